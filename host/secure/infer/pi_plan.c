/* What both parties derive from the public model: exchanges, ReLU layers, lengths, sizes. */
#include "host/secure/infer/pi_units_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/crypto/ct.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "labels, keys and masks are stored and sent as they lie in memory: little-endian only"
#endif

#define FRAME SPX_CHANNEL_FRAME_BYTES
/* Pairs of channels that all convolutions join. A client derives a model below the bound in seconds
 * (3.4 s measured near it), and it is the server that chooses the model. */
#define MAX_PAIRS ((int64_t)1 << 30)

/* ---- exchanges ---- */

/* The part of a value that `value` belongs to; paths are halved. */
static int find(int *part, int value)
{
    while (part[value] != value) {
        part[value] = part[part[value]];
        value = part[value];
    }
    return value;
}

static int index_of(const int *list, int n, int x)
{
    for (int i = 0; i < n; i++) {
        if (list[i] == x) {
            return i;
        }
    }
    return -1;
}

static void add_once(int *list, int *n, int x)
{
    if (index_of(list, *n, x) < 0) {
        list[(*n)++] = x;
    }
}

static spx_he_value he_value(const spx_deploy_value *v)
{
    return (spx_he_value){.c = v->c, .h = v->h, .w = v->w};
}

/* The encryption's view of x; its lists are filled. */
static spx_status make_he(const spx_deploy *m, spx_pi_exchange *x)
{
    const size_t n = (size_t)(x->n_in + x->n_out);
    spx_he_value *value = calloc(n, sizeof *value);
    spx_he_conv *conv = calloc((size_t)x->n_conv, sizeof *conv);
    spx_he_geometry g = {.weight_bits = 1,
                         .set = SPX_HE_ANY_SET,
                         .inputs = x->n_in,
                         .outputs = x->n_out,
                         .convs = x->n_conv,
                         .input = value,
                         .output = value + x->n_in,
                         .conv = conv};
    spx_status st = SPX_FAIL(SPX_ENOMEM, "exchange");
    if (value != NULL && conv != NULL) {
        for (int i = 0; i < x->n_in; i++) {
            value[i] = he_value(&m->value[x->in[i]]);
        }
        for (int i = 0; i < x->n_out; i++) {
            value[x->n_in + i] = he_value(&m->value[x->out[i]]);
            g.l = m->value[x->out[i]].ring > g.l ? m->value[x->out[i]].ring : g.l;
        }
        for (int i = 0; i < x->n_conv; i++) {
            const spx_deploy_op *op = &m->op[x->conv[i]];
            g.weight_bits = op->width > g.weight_bits ? op->width : g.weight_bits;
            conv[i] = (spx_he_conv){.in = index_of(x->in, x->n_in, op->in),
                                    .out = index_of(x->out, x->n_out, op->out),
                                    .c = m->value[op->in].c,
                                    .k = m->value[op->out].c,
                                    .r = op->size,
                                    .s = op->size,
                                    .stride = op->stride,
                                    .dilation = op->dilation,
                                    .pad_top = op->pad,
                                    .pad_left = op->pad};
        }
        st = spx_he_plan_create(&x->he, &g);
    }
    free(value);
    free(conv);
    if (st == SPX_OK) {
        x->facts = spx_he_plan_facts(x->he);
    }
    return spx_fail_context(st, "segment %d", x->segment);
}

/* The connected part of e whose root is `root`. */
static spx_status add_part(spx_pi_plan *p, const spx_deploy_exchange *e, int *part, int root)
{
    const spx_deploy *m = p->model;
    spx_pi_exchange *x = &p->exchange[p->n_exchanges++];
    int *list = calloc((size_t)(e->n_in + e->n_out + e->n_conv) + 1, sizeof *list);
    *x = (spx_pi_exchange){.segment = e->segment, .depth = e->depth, .in = list};
    if (list == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "exchange");
    }
    x->out = list + e->n_in;
    x->conv = x->out + e->n_out;
    for (int i = 0; i < e->n_conv; i++) {
        const spx_deploy_op *op = &m->op[e->conv[i]];
        if (find(part, op->in) == root) {
            add_once(x->in, &x->n_in, op->in);
            add_once(x->out, &x->n_out, op->out);
            x->conv[x->n_conv++] = e->conv[i];
        }
    }
    SPX_RETURN_IF(make_he(m, x));
    x->mask = p->masks;
    p->masks += x->facts->output_elements;
    p->set_used[x->facts->set] = true;
    p->returned[x->facts->set] += x->facts->returned;
    return p->returned[x->facts->set] <= (uint64_t)1 << SPX_HE_KEY_LIFE
               ? SPX_OK /* at once: deriving the rest of a made-up model takes long */
               : SPX_FAIL(SPX_EUNSUPPORTED, "one query outlives an encryption key");
}

/* Values of one exchange share a layout, so what is not connected is taken apart. */
static spx_status split_exchange(spx_pi_plan *p, const spx_deploy_exchange *e, int *part)
{
    const spx_deploy *m = p->model;
    for (int i = 0; i < e->n_conv; i++) {
        const spx_deploy_op *op = &m->op[e->conv[i]];
        part[op->in] = op->in;
        part[op->out] = op->out;
    }
    for (int i = 0; i < e->n_conv; i++) {
        const spx_deploy_op *op = &m->op[e->conv[i]];
        part[find(part, op->out)] = find(part, op->in);
    }
    for (int i = 0; i < e->n_conv; i++) {
        const int in = m->op[e->conv[i]].in;
        bool first = true;
        for (int j = 0; j < i && first; j++) {
            first = find(part, m->op[e->conv[j]].in) != find(part, in);
        }
        if (first) {
            SPX_RETURN_IF(add_part(p, e, part, find(part, in)));
        }
    }
    return SPX_OK;
}

static spx_status make_exchanges(spx_pi_plan *p)
{
    const spx_deploy *m = p->model;
    size_t convs = 0;
    int64_t pairs = 0;
    int *part = calloc((size_t)m->n_values, sizeof *part);
    spx_status st = SPX_OK;
    for (int i = 0; i < m->n_exchanges; i++) {
        convs += (size_t)m->exchange[i].n_conv;
    }
    p->exchange = calloc(convs + 1, sizeof *p->exchange);
    if (part == NULL || p->exchange == NULL) {
        st = SPX_FAIL(SPX_ENOMEM, "%zu convolutions", convs);
    }
    for (int i = 0; i < m->n_ops && pairs <= MAX_PAIRS; i++) {
        const spx_deploy_op *op = &m->op[i];
        pairs += op->kind == SPX_DEPLOY_CONV ? m->value[op->in].c * m->value[op->out].c : 0;
    }
    if (pairs > MAX_PAIRS) {
        st = SPX_FAIL(SPX_EUNSUPPORTED, "the model's convolutions join over %lld pairs of channels",
                      (long long)MAX_PAIRS);
    }
    for (int d = 1; st == SPX_OK && d <= m->max_depth; d++) {
        for (int i = 0; st == SPX_OK && i < m->n_exchanges; i++) {
            if (m->exchange[i].depth == d) {
                st = split_exchange(p, &m->exchange[i], part);
            }
        }
    }
    free(part);
    return st;
}

/* ---- sizes ---- */

static void size_exchange(const spx_pi_exchange *x, spx_pi_sizes *s)
{
    s->offline_to_server += FRAME + x->facts->request_bytes;
    s->offline_to_client += FRAME + x->facts->response_bytes;
    s->weight_transforms += x->facts->weight_polys;
    s->server_bytes += x->facts->output_elements * sizeof(uint64_t);
}

static void size_relu(const spx_pi_plan *p, int relu, spx_pi_sizes *s)
{
    const spx_pi_relu *r = &p->relu[relu];
    s->relus += r->dropped ? 0 : r->n;
    s->interactive += r->n;
    s->ands += r->n * spx_gc_ands(&r->gc);
    s->wires += r->wires;
    s->table_bytes += r->table_bytes;
    s->server_bytes += r->table_bytes + r->wires * sizeof(spx_block) + r->wires / 8;
    for (int k = 0; k < r->chunks; k++) {
        const spx_pi_chunk c = spx_pi_chunk_of(r, k);
        s->offline_to_client += FRAME + spx_ot_bytes(c.wires);
        s->offline_to_server += FRAME + c.table_bytes;
        s->online_to_server += FRAME + c.wires * sizeof(spx_block);
    }
    s->offline_rounds += (uint64_t)r->chunks;
    s->online_to_client += FRAME + r->wires / 8;
    s->online_rounds += relu == 0 || p->relu[relu - 1].segment != r->segment;
}

spx_pi_sizes spx_pi_plan_segment(const spx_pi_plan *p, int segment)
{
    spx_pi_sizes s = {0};
    for (int i = 0; i < p->n_exchanges; i++) {
        if (p->exchange[i].segment == segment) {
            size_exchange(&p->exchange[i], &s);
        }
    }
    for (int i = 0; i < p->n_relus; i++) {
        if (p->relu[i].segment == segment) {
            size_relu(p, i, &s);
        }
    }
    return s;
}

/* Windows of requests at one depth: the server answers each as a whole. */
static uint64_t windows(const spx_pi_plan *p)
{
    uint64_t n = 0;
    for (int i = 0; i < p->n_exchanges; n++) {
        i = spx_pi_window_end(p, i);
    }
    return n;
}

static void make_sizes(spx_pi_plan *p)
{
    const spx_deploy *m = p->model;
    const uint64_t classes = spx_deploy_count(m, m->logits);
    spx_pi_sizes *s = &p->sizes;
    spx_pi_command command;
    spx_pi_allow allow;
    spx_pi_unit unit;
    for (int i = 0; i < p->n_exchanges; i++) {
        size_exchange(&p->exchange[i], s);
    }
    for (int i = 0; i < p->n_relus; i++) {
        size_relu(p, i, s);
    }
    s->offline_rounds += windows(p); /* the last chunk's tables are answered by "stored" */
    s->offline_to_client += FRAME + sizeof(uint64_t);
    s->online_to_server += FRAME + spx_deploy_count(m, 0) * p->share_bytes;
    s->online_to_client += FRAME + classes * sizeof(int64_t);
    s->online_rounds++;
    s->batch_to_server = 4 * FRAME + spx_wire_size(spx_pi_command_fields, &command) +
                         SPX_OT_POINTS_BYTES + sizeof(spx_block) + p->public_bytes;
    s->batch_to_client = 3 * FRAME + spx_wire_size(spx_pi_allow_fields, &allow) +
                         SPX_OT_HELLO_BYTES + SPX_OT_TREES_BYTES;
    s->client_bytes = spx_wire_size(spx_pi_unit_fields, &unit) + classes * sizeof(int64_t);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void make_most(spx_pi_plan *p)
{
    spx_pi_most *m = &p->most;
    for (int first = 0, end; first < p->n_exchanges; first = end) {
        size_t window = 0;
        end = spx_pi_window_end(p, first);
        for (int i = first; i < end; i++) {
            const spx_he_facts *f = p->exchange[i].facts;
            m->request = larger(m->request, f->request_bytes);
            m->response = larger(m->response, f->response_bytes);
            m->words = larger(m->words, larger(f->input_elements, f->output_elements));
            window += f->response_bytes;
        }
        m->window = larger(m->window, window);
    }
    for (int i = 0; i < p->n_relus; i++) { /* a layer's first chunk is its largest */
        const spx_pi_chunk c = spx_pi_chunk_of(&p->relu[i], 0);
        m->wires = larger(m->wires, c.wires);
        m->room = larger(m->room, spx_ot_room(c.wires));
        m->message = larger(m->message, larger(spx_ot_bytes(c.wires), c.table_bytes));
        m->piece = larger(m->piece, c.wires * sizeof(spx_block) + c.table_bytes);
        m->apart = larger(m->apart, p->relu[i].begin != NULL ? c.n : 0);
        m->words = larger(m->words, 2 * m->apart);
    }
    for (int i = 0, end; i < p->n_relus; i = end) {
        size_t choices = 0;
        end = spx_pi_layer_end(p, i);
        for (int j = i; j < end; j++) {
            choices += p->relu[j].wires / 8;
        }
        m->choices = larger(m->choices, choices);
    }
}

/* The model may be a stranger's: what a party will hold at a time must be within reason. */
static spx_status check_memory(const spx_pi_plan *p)
{
    const size_t machine = spx_memory_physical();
    const size_t bytes = spx_deploy_total(p->model) * sizeof(int64_t) + p->most.request +
                         p->most.response + p->most.choices + p->masks * sizeof(uint64_t);
    return machine == 0 || bytes <= machine / 2
               ? SPX_OK
               : SPX_FAIL(SPX_EUNSUPPORTED,
                          "this model takes %zu MB of memory, the machine has %zu", bytes >> 20,
                          machine >> 20);
}

spx_status spx_pi_plan_create(spx_pi_plan **out, const spx_deploy *m)
{
    spx_status st;
    spx_pi_plan *p = calloc(1, sizeof *p);
    *out = NULL;
    if (p == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "plan");
    }
    p->model = m;
    p->share_bytes = (size_t)(m->value[0].ring + 7) / 8;
    SPX_TRY(st, make_exchanges(p), fail);
    SPX_TRY(st, spx_pi_plan_relus(p), fail);
    for (int set = 0; set < SPX_HE_SETS; set++) {
        p->public_bytes += p->set_used[set] ? spx_he_public_bytes(set) : 0;
    }
    make_most(p);
    SPX_TRY(st, check_memory(p), fail);
    make_sizes(p);
    *out = p;
    return SPX_OK;
fail:
    spx_pi_plan_destroy(p);
    return st;
}

void spx_pi_plan_destroy(spx_pi_plan *p)
{
    if (p == NULL) {
        return;
    }
    for (int i = 0; i < p->n_exchanges; i++) {
        spx_he_plan_destroy(p->exchange[i].he);
        free(p->exchange[i].in);
    }
    for (int i = 0; i < p->n_relus; i++) {
        free(p->relu[i].begin);
    }
    free(p->exchange);
    free(p->relu);
    free(p);
}

const spx_pi_sizes *spx_pi_plan_sizes(const spx_pi_plan *p)
{
    return &p->sizes;
}

int spx_pi_window_end(const spx_pi_plan *p, int first)
{
    size_t bytes = 0;
    int i = first;
    do {
        bytes += p->exchange[i].facts->response_bytes;
        i++;
    } while (i < p->n_exchanges && p->exchange[i].depth == p->exchange[first].depth &&
             bytes + p->exchange[i].facts->response_bytes <= SPX_PI_WINDOW);
    return i;
}

uint64_t spx_pi_key_queries(const spx_pi_plan *p)
{
    uint64_t least = UINT64_MAX;
    for (int set = 0; set < SPX_HE_SETS; set++) {
        if (p->set_used[set] && p->returned[set] > 0) {
            const uint64_t n = ((uint64_t)1 << SPX_HE_KEY_LIFE) / p->returned[set];
            least = n < least ? n : least;
        }
    }
    return least;
}

/* ---- helpers of both parties ---- */

spx_gc_batch spx_pi_gc_batch(const spx_pi_plan *p, int relu, const spx_pi_chunk *k, uint64_t query,
                             spx_pool *pool)
{
    return (spx_gc_batch){.params = p->relu[relu].gc,
                          .domain = query << 16 | (uint64_t)relu,
                          .first = k->first,
                          .n = k->n,
                          .pool = pool};
}

void spx_pi_session(const uint8_t client[SPX_PI_ID], const uint8_t server[SPX_PI_ID],
                    const uint8_t model[SPX_PI_HASH], const uint8_t nonce[SPX_PI_NONCE],
                    uint8_t out[SPX_OT_SESSION_BYTES])
{
    static const unsigned char what[] = "sphynx transfers 1";
    crypto_generichash_state h;
    (void)crypto_generichash_init(&h, NULL, 0, SPX_OT_SESSION_BYTES);
    (void)crypto_generichash_update(&h, what, sizeof what);
    (void)crypto_generichash_update(&h, client, SPX_PI_ID);
    (void)crypto_generichash_update(&h, server, SPX_PI_ID);
    (void)crypto_generichash_update(&h, model, SPX_PI_HASH);
    (void)crypto_generichash_update(&h, nonce, SPX_PI_NONCE);
    (void)crypto_generichash_final(&h, out, SPX_OT_SESSION_BYTES);
}

spx_status spx_pi_shares_create(spx_pi_shares *s, const spx_deploy *m, spx_pool *pool)
{
    void *word, *scratch;
    *s = (spx_pi_shares){.model = m, .pool = pool};
    SPX_RETURN_IF(spx_calloc(&word, spx_deploy_total(m), sizeof(int64_t)));
    s->word = word;
    const spx_status st = spx_alloc(&scratch, spx_deploy_scratch(m));
    s->scratch = scratch;
    if (st != SPX_OK) {
        spx_pi_shares_clear(s);
    }
    return st;
}

void spx_pi_free_secret(void *p, size_t bytes)
{
    if (p != NULL) {
        spx_wipe(p, bytes);
    }
    spx_free(p);
}

void spx_pi_shares_clear(spx_pi_shares *s)
{
    if (s->model != NULL) {
        spx_pi_free_secret(s->word, spx_deploy_total(s->model) * sizeof *s->word);
        spx_pi_free_secret(s->scratch, spx_deploy_scratch(s->model));
    }
    *s = (spx_pi_shares){0};
}

int64_t *spx_pi_share(const spx_pi_shares *s, int value)
{
    return s->word + spx_deploy_begin(s->model, value);
}

int64_t spx_pi_signed(uint64_t x, int bits)
{
    const uint64_t sign = (uint64_t)1 << (bits - 1);
    x &= sign + (sign - 1);
    return (int64_t)((x ^ sign) - sign);
}

void spx_pi_name(char name[SPX_PI_NAME], char prefix, const uint8_t id[SPX_PI_ID],
                 const uint8_t model[SPX_PI_HASH], int64_t number)
{
    char who[2 * SPX_PI_ID + 1], what[2 * 8 + 1];
    (void)sodium_bin2hex(who, sizeof who, id, SPX_PI_ID);
    (void)sodium_bin2hex(what, sizeof what, model, 8);
    (void)snprintf(name, SPX_PI_NAME, number < 0 ? "%c-%s-%s" : "%c-%s-%s-%012lld", prefix, who,
                   what, (long long)number);
}

void spx_pi_owner(const uint8_t id[SPX_PI_ID], const char *peer, uint8_t out[SPX_PI_ID])
{
    if (peer[0] == '\0') {
        memcpy(out, id, SPX_PI_ID);
    } else { /* keyed, so that no name is taken for another's beginning */
        (void)crypto_generichash(out, SPX_PI_ID, (const unsigned char *)peer, strlen(peer), id,
                                 SPX_PI_ID);
    }
}

int64_t spx_pi_name_number(const char *name)
{
    const size_t n = strlen(name), head = 2 + 2 * SPX_PI_ID + 1 + 2 * 8;
    if (n != head + 13 || name[head] != '-' || strspn(name + head + 1, "0123456789") != 12) {
        return -1;
    }
    return (int64_t)strtoll(name + head + 1, NULL, 10);
}

spx_pi_mark spx_pi_mark_now(const spx_channel *c)
{
    return (spx_pi_mark){.seconds = spx_seconds(), .traffic = spx_channel_traffic(c)};
}

void spx_pi_mark_add(const spx_channel *c, spx_pi_mark *at, spx_pi_cost *cost)
{
    const spx_pi_mark now = spx_pi_mark_now(c);
    if (cost != NULL) {
        cost->seconds += now.seconds - at->seconds;
        cost->sent += now.traffic.sent - at->traffic.sent;
        cost->received += now.traffic.received - at->traffic.received;
        cost->rounds += now.traffic.rounds - at->traffic.rounds;
    }
    *at = now;
}
