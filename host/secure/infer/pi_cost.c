/* What a query will take, before anything runs: counted work times rates. */
#include "host/model/deploy_build.h"
#include "host/secure/infer/pi_ahead_private.h"

#include <string.h>

_Static_assert(SPX_PI_RATE_SETS >= SPX_HE_SETS, "rates of every parameter set");

const spx_pi_rates spx_pi_usual_rates = {.garble = 16e-9,
                                         .evaluate = 7.7e-9,
                                         .transfer = 21e-9,
                                         .request = {165e-6, 380e-6, 390e-6, 390e-6},
                                         .response = {650e-6, 1150e-6, 1150e-6, 1150e-6},
                                         .product = {56e-6, 120e-6, 130e-6, 130e-6},
                                         .choose = 0.43e-9,
                                         .answer = 4.4e-9,
                                         .unmask = 2.9e-9,
                                         .step = 5.9e-9,
                                         .sum = 92e-9,
                                         .pack = 1.4e-9,
                                         .element = 0.9e-9,
                                         .seal = 4.7e-9,
                                         .open = 0.65e-9,
                                         .drop = 0.07e-9,
                                         .touch = 0.19e-9,
                                         .pass = 0.5e-9,
                                         .turn = 30e-6};

const spx_pi_width spx_pi_usual_width = {37, 20, 8};

/* ---- work ---- */

static double exchange_seconds(const spx_he_facts *f, const spx_pi_rates *r)
{
    return r->request[f->set] * (double)f->request_polys +
           r->product[f->set] * (double)f->weight_polys +
           r->response[f->set] * (double)f->response_polys;
}

static double conv_seconds(spx_conv2d_ring_work w, const spx_pi_rates *r)
{
    return w.steps * r->step + w.sums * r->sum + w.packed * r->pack;
}

static double linear_seconds(const spx_pi_plan *p, const spx_pi_rates *r, int segment)
{
    double t = 0;
    for (int i = 0; i < p->n_exchanges; i++) {
        const spx_pi_exchange *x = &p->exchange[i];
        if (segment < 0 || x->segment == segment) {
            t += exchange_seconds(x->facts, r);
        }
    }
    return t;
}

/* A linear op of the server's, on its share. */
static double op_seconds(const spx_deploy *m, const spx_deploy_op *op, const spx_pi_rates *r)
{
    const spx_deploy_value *out = &m->value[op->out];
    const double elements = (double)out->c * (double)out->h * (double)out->w;
    if (op->kind == SPX_DEPLOY_CONV) {
        const spx_conv2d_ring_shape shape = spx_deploy_conv_shape(&m->value[op->in], out, op);
        return conv_seconds(
            spx_conv2d_ring_count(&shape, (spx_ring_range){.bits = out->ring}, op->width), r);
    }
    if (op->kind == SPX_DEPLOY_PICK) {
        return (double)op->channels * (double)out->h * (double)out->w * r->element;
    }
    return elements * (op->kind == SPX_DEPLOY_POOL ? (double)(op->size * op->size) : 1) *
           r->element;
}

static double wire_seconds(spx_link link, double bytes, double rounds)
{
    return (link.bytes_per_second > 0 ? bytes / link.bytes_per_second : 0) +
           rounds * link.rtt_seconds;
}

/* ---- online, as the parties do it ---- */

/* One query, at one moment of it; times are from the image, seconds. */
typedef struct timeline {
    const spx_pi_plan *plan;
    const spx_pi_rates *rate;
    spx_link link;
    double server, client; /* until when each is busy */
    double up, down;       /* until when the link is, towards the server and towards the client */
    spx_pi_parts part;     /* so far */
    double last;           /* bytes of the chunk in use */
    /* Reading ahead, chunk by chunk through the circuits of all layers. */
    int relu, chunk;   /* the next to be read */
    double read, used; /* bytes, from the first chunk */
    double reader;     /* until when it reads */
} timeline;

static double later(double a, double b)
{
    return a > b ? a : b;
}

static double piece_bytes(const spx_pi_chunk *c)
{
    return (double)c->wires * sizeof(spx_block) + (double)c->table_bytes;
}

/* Reads on from `now` as far as there is room, as pi_ahead.c does. */
static void read_on(timeline *q, double now)
{
    while (q->relu < q->plan->n_relus) {
        const spx_pi_relu *r = &q->plan->relu[q->relu];
        const spx_pi_chunk c = spx_pi_chunk_of(r, q->chunk);
        const double held = q->read - q->used, bytes = piece_bytes(&c);
        if (held > 0 && held + bytes > (double)SPX_PI_AHEAD) {
            return;
        }
        q->reader = later(q->reader, now) + bytes * q->rate->open;
        q->read += bytes;
        q->chunk = q->chunk + 1 < r->chunks ? q->chunk + 1 : 0;
        q->relu += q->chunk == 0;
    }
}

/* The server drops the chunk in use and takes the next. */
static void take_chunk(timeline *q, const spx_pi_chunk *c)
{
    const double drop = q->last * q->rate->drop;
    q->server += drop;
    q->part.material += drop;
    q->used += q->last;
    q->last = piece_bytes(c);
    read_on(q, q->server);
    /* Those behind it were read after it, one after the other. */
    q->server = later(q->server, q->reader - (q->read - q->used - q->last) * q->rate->open);
}

/* A message begun at `from`, whose reader takes it off its socket from `taken` on: when it is
 * there. An imitated link holds back what has come. turns: 0.5 for the first of those that go one
 * way, 0 for the others, which are under way together with it. */
static double arrival(timeline *q, double *busy, double from, double taken, double bytes,
                      double turns)
{
    const double copy = bytes * q->rate->pass + turns * q->rate->turn;
    const double copied = later(from, taken) + copy;
    q->part.pass += copy;
    q->part.link += wire_seconds(q->link, bytes, turns);
    *busy = later(*busy, from) + wire_seconds(q->link, bytes, 0);
    return later(copied, *busy + q->link.rtt_seconds / 2);
}

static void send_choices(timeline *q, const spx_pi_relu *relu, double turns)
{
    const double choose = (double)relu->wires * q->rate->choose;
    q->server += choose;
    q->part.labels += choose;
    q->client = arrival(q, &q->down, q->server, q->client,
                        SPX_CHANNEL_FRAME_BYTES + (double)relu->wires / 8, turns);
}

static void send_labels(timeline *q, const spx_pi_relu *relu, double turns)
{
    const spx_pi_rates *r = q->rate;
    for (int k = 0; k < relu->chunks; k++) {
        const spx_pi_chunk c = spx_pi_chunk_of(relu, k);
        const double wires = (double)c.wires, bytes = SPX_CHANNEL_FRAME_BYTES + 16 * wires;
        const double circuits = (double)(c.n * spx_gc_ands(&relu->gc)) * r->evaluate;
        q->client += wires * r->answer;
        take_chunk(q, &c);
        const double there = arrival(q, &q->up, q->client, q->server, bytes, k == 0 ? turns : 0);
        q->client = later(q->client, q->server) + bytes * r->pass; /* all is written */
        q->server = there + wires * r->unmask + circuits;
        q->part.labels += wires * (r->answer + r->unmask);
        q->part.circuits += circuits;
    }
}

/* All circuits of a segment's layer, in one round; `relu` is the first of them.
 * @return the first of the next layer */
static int run_layer(timeline *q, int relu)
{
    const int end = spx_pi_layer_end(q->plan, relu);
    for (int i = relu; i < end; i++) {
        send_choices(q, &q->plan->relu[i], i == relu ? 0.5 : 0);
    }
    for (int i = relu; i < end; i++) {
        send_labels(q, &q->plan->relu[i], i == relu ? 0.5 : 0);
    }
    return end;
}

static void run_ops(timeline *q, int segment)
{
    const spx_deploy *m = q->plan->model;
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        if (op->kind != SPX_DEPLOY_RELU && m->value[op->out].segment == segment) {
            const double t = op_seconds(m, op, q->rate);
            q->server += t;
            q->part.linear += t;
        }
    }
}

/* Of segments up to the last; *begin has how it stood when that began. */
static timeline run_online(const spx_pi_plan *p, const spx_pi_rates *r, spx_link link, int last,
                           timeline *begin)
{
    const spx_deploy *m = p->model;
    const double image = (double)(spx_deploy_count(m, 0) * p->share_bytes),
                 logits = (double)(spx_deploy_count(m, m->logits) * sizeof(int64_t)),
                 first_use = 2.0 * (double)(p->most.wires * sizeof(spx_block)) * r->touch;
    timeline q = {.plan = p, .rate = r, .link = link};
    read_on(&q, 0);
    q.reader = 0; /* that was before the image */
    q.server = arrival(&q, &q.up, 0, 0, SPX_CHANNEL_FRAME_BYTES + image, 0.5);
    for (int i = 0, relu = 0; i <= last; i++) {
        *begin = q;
        if (i == 0) {
            memset(&begin->part, 0, sizeof begin->part);
            begin->server = 0; /* the image and first uses are the first segment's */
            q.server += first_use;
            q.part.material += first_use;
        }
        run_ops(&q, i);
        if (i < m->n_segments - 1) {
            relu = run_layer(&q, relu);
        } else {
            q.server =
                arrival(&q, &q.down, q.server, q.client, SPX_CHANNEL_FRAME_BYTES + logits, 0.5);
        }
    }
    return q;
}

static spx_pi_parts difference(const spx_pi_parts *a, const spx_pi_parts *b)
{
    return (spx_pi_parts){.linear = a->linear - b->linear,
                          .labels = a->labels - b->labels,
                          .circuits = a->circuits - b->circuits,
                          .material = a->material - b->material,
                          .pass = a->pass - b->pass,
                          .link = a->link - b->link};
}

/* ---- the whole ---- */

/* Masks, choices and what of the chunks is read before the image. */
static double load_seconds(const spx_pi_plan *p, const spx_pi_rates *r, spx_link link)
{
    timeline q = {.plan = p, .rate = r};
    read_on(&q, 0);
    return q.reader + (double)(p->masks * sizeof(uint64_t) + p->choices) * r->open + r->turn +
           wire_seconds(link, 0, 1);
}

spx_pi_forecast spx_pi_predict(const spx_pi_plan *p, const spx_pi_rates *r, spx_link link,
                               int segment)
{
    const spx_pi_sizes s = segment < 0 ? p->sizes : spx_pi_plan_segment(p, segment);
    const double offline = (double)(s.offline_to_server + s.offline_to_client);
    const bool whole = segment < 0;
    timeline begin,
        end = run_online(p, r, link, whole ? p->model->n_segments - 1 : segment, &begin);
    if (whole) {
        memset(&begin, 0, sizeof begin);
    }
    return (spx_pi_forecast){.offline = linear_seconds(p, r, segment) + (double)s.ands * r->garble +
                                        (double)s.wires * r->transfer +
                                        (double)s.server_bytes * r->seal + offline * r->pass +
                                        wire_seconds(link, offline, (double)s.offline_rounds),
                             .load = whole ? load_seconds(p, r, link) : 0,
                             .online = end.server - begin.server,
                             .part = difference(&end.part, &begin.part)};
}

spx_status spx_pi_conv_price(spx_pi_price *out, const spx_pi_rates *r, spx_link link,
                             const spx_conv2d_ring_shape *d)
{
    enum { WEIGHT_BITS = 8 };
    const spx_he_value in = {d->c, d->h, d->w}, value = {d->k, d->p, d->q};
    const spx_he_conv conv = {.c = d->c,
                              .k = d->k,
                              .r = d->size,
                              .s = d->size,
                              .stride = d->stride,
                              .dilation = d->dilation,
                              .pad_top = d->pad,
                              .pad_left = d->pad};
    const spx_he_geometry g = {.l = spx_pi_usual_width.l,
                               .weight_bits = WEIGHT_BITS,
                               .set = SPX_HE_ANY_SET,
                               .inputs = 1,
                               .outputs = 1,
                               .convs = 1,
                               .input = &in,
                               .output = &value,
                               .conv = &conv};
    spx_he_plan *plan;
    SPX_RETURN_IF(spx_conv2d_ring_check(d));
    SPX_RETURN_IF(spx_he_plan_create(&plan, &g));
    const spx_he_facts f = *spx_he_plan_facts(plan);
    spx_he_plan_destroy(plan);
    const double bytes = (double)(f.request_bytes + f.response_bytes),
                 stored = (double)(f.output_elements * sizeof(uint64_t));
    const spx_conv2d_ring_work w =
        spx_conv2d_ring_count(d, (spx_ring_range){.bits = g.l}, WEIGHT_BITS);
    *out = (spx_pi_price){.offline_bytes = bytes,
                          .offline_ms = 1e3 * (exchange_seconds(&f, r) + stored * r->seal +
                                               bytes * r->pass + wire_seconds(link, bytes, 0)),
                          .online_ms = 1e3 * conv_seconds(w, r),
                          .layer_ms = 1e3 * (r->turn + wire_seconds(link, 0, 1))};
    return SPX_OK;
}

spx_status spx_pi_relu_price(spx_pi_price *out, const spx_pi_rates *r, spx_link link,
                             spx_pi_width w)
{
    const spx_gc_params g = {.l = w.l, .f = w.f, .a = w.a};
    const size_t n = SPX_GC_GROUP; /* so that nothing is padding */
    SPX_RETURN_IF(spx_gc_check(&g));
    const double ands = (double)spx_gc_ands(&g), wires = w.l,
                 table = (double)spx_gc_table_bytes(&g, n) / (double)n,
                 used = table + wires * sizeof(spx_block), stored = used + wires / 8,
                 offline = table + wires * ((double)spx_ot_bytes(SPX_OT_UNIT) / SPX_OT_UNIT),
                 online = wires * (sizeof(spx_block) + 1.0 / 8);
    *out = (spx_pi_price){
        .offline_bytes = offline,
        .online_bytes = online,
        .offline_ms = 1e3 * (ands * r->garble + wires * r->transfer + stored * r->seal +
                             offline * r->pass + wire_seconds(link, offline, 0)),
        .online_ms = 1e3 * (ands * r->evaluate + wires * (r->choose + r->answer + r->unmask) +
                            used * r->drop + online * r->pass + wire_seconds(link, online, 0)),
        .layer_ms = 1e3 * (r->turn + wire_seconds(link, 0, 1))};
    return SPX_OK;
}
