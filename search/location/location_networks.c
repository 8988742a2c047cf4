/* The networks of a location search: their programs, and one layout of all they store. */
#include "host/train/memory.h"
#include "kernels/base/alloc.h"
#include "search/location/location_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define READY 32       /* networks whose programs are kept */
#define APART 64       /* floats: where a network's part begins, aligned as devices allocate */
#define LEAST_LAYERS 3 /* with 2 there is one pair */

int spx_location_pairs(int64_t layers, spx_location_pair *out)
{
    int n = 0;
    for (int j = 1; j <= (int)(2 * layers / 3); j++) {
        for (int i = 0; i < j; i++, n++) {
            if (out != NULL) {
                out[n] = (spx_location_pair){{i, j}};
            }
        }
    }
    return n;
}

/* ---- programs ---- */

static spx_final_spec spec_of(const spx_location *x, int pair)
{
    spx_final_spec f = x->spec;
    f.n_reduce = 2;
    f.reduce_at[0] = x->pair[pair].at[0];
    f.reduce_at[1] = x->pair[pair].at[1];
    return f;
}

/* Logits in training mode, without gradients. */
static spx_status forward_program(spx_program **out, const spx_location *x, const spx_final_spec *f)
{
    spx_final_config c = spx_spec_config(f, x->batch);
    spx_network net;
    c.training = true;
    SPX_RETURN_IF(spx_build_spec(&net, f, &c));
    const spx_program_options o = {.output = &net.logits, .n_output = 1, .tuning = x->tuning};
    const spx_status st = spx_program_create(out, net.graph, x->stream, &o);
    spx_network_clear(&net);
    return st;
}

static void let_go(spx_location_network *w)
{
    for (int i = 0; i < SPX_LOCATION_PASSES; i++) {
        spx_program_destroy(w->program[i]);
        w->program[i] = NULL;
    }
}

static void make_room(spx_location *x)
{
    int ready = 0, oldest = -1;
    for (int i = 0; i < x->n; i++) {
        if (x->network[i].program[0] != NULL) {
            ready++;
            oldest = oldest < 0 || x->network[i].used < x->network[oldest].used ? i : oldest;
        }
    }
    if (ready >= READY) {
        let_go(&x->network[oldest]);
    }
}

spx_status spx_location_ready(spx_location *x, int pair)
{
    spx_location_network *w = &x->network[pair];
    const spx_final_losses losses = {0};
    const spx_final_spec f = spec_of(x, pair);
    spx_program **p = w->program;
    spx_status st;
    w->used = ++x->clock;
    if (p[0] != NULL) {
        return SPX_OK;
    }
    make_room(x);
    SPX_TRY(st,
            spx_final_train_program(&p[SPX_LOCATION_TRAIN], x->stream, &f, x->batch, &losses,
                                    x->tuning),
            fail);
    SPX_TRY(st, forward_program(&p[SPX_LOCATION_FORWARD], x, &f), fail);
    SPX_TRY(
        st,
        spx_final_eval_program(&p[SPX_LOCATION_EVAL], x->stream, &f, x->batch, false, x->tuning),
        fail);
    for (int i = 1; i < SPX_LOCATION_PASSES; i++) {
        if (!spx_layout_equal(spx_program_layout(p[0]), spx_program_layout(p[i]))) {
            SPX_TRY(st, SPX_FAIL(SPX_EINVAL, "locate: passes disagree about the layout"), fail);
        }
    }
    return SPX_OK;
fail:
    let_go(w);
    return st;
}

/* ---- the layout of all ---- */

static spx_status add_entry(spx_location *x, size_t *room, const spx_layout_entry *like,
                            const char *name, int64_t offset)
{
    spx_layout *l = &x->layout;
    const size_t bytes = strlen(name) + 1;
    void *copy;
    SPX_RETURN_IF(SPX_GROW(l->entry, (size_t)l->n, *room));
    SPX_RETURN_IF(spx_alloc(&copy, bytes));
    memcpy(copy, name, bytes);
    l->entry[l->n] = *like;
    l->entry[l->n].name = copy;
    l->entry[l->n++].offset = offset;
    return SPX_OK;
}

static int64_t up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

static bool is_stem(const spx_layout_entry *e)
{
    return strncmp(e->name, "stem", 4) == 0;
}

/* The first network's stem is what all share: its arrays come first, without gaps between roles. */
static spx_status add_stem(spx_location *x, const spx_layout *l, size_t *room)
{
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (is_stem(e)) {
            SPX_RETURN_IF(add_entry(x, room, e, e->name, x->layout.floats[e->role]));
            x->layout.floats[e->role] =
                up(x->layout.floats[e->role] + e->count, SPX_ALIGN / (int64_t)sizeof(float));
        }
    }
    return SPX_OK;
}

/* A network's part: as its own layout has it, room for a copy of the stem included. */
static spx_status add_network(spx_location *x, int pair, size_t *room)
{
    spx_location_network *w = &x->network[pair];
    const spx_layout *l = spx_program_layout(w->program[0]);
    char name[512];
    for (int r = 0; r < SPX_ROLE_COUNT; r++) {
        w->base[r] = up(x->layout.floats[r], APART);
        w->floats[r] = l->floats[r];
        x->layout.floats[r] = w->base[r] + l->floats[r];
    }
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (is_stem(e)) {
            const spx_layout_entry *shared = spx_layout_find(&x->layout, e->name);
            if (shared == NULL || shared->count != e->count || w->n_stem == SPX_LOCATION_STEM_MAX) {
                return SPX_FAIL(SPX_EINVAL, "locate: %s: no stem that can be shared", e->name);
            }
            w->stem[w->n_stem++] = (spx_location_stem){e->role, shared->offset,
                                                       w->base[e->role] + e->offset, e->count};
            continue;
        }
        (void)snprintf(name, sizeof name, "%d-%d.%s", x->pair[pair].at[0], x->pair[pair].at[1],
                       e->name);
        SPX_RETURN_IF(add_entry(x, room, e, name, w->base[e->role] + e->offset));
    }
    return SPX_OK;
}

spx_status spx_location_networks(spx_location *x, size_t *most)
{
    size_t room = 0;
    *most = 0;
    x->n = spx_location_pairs(x->spec.layers, NULL);
    if (x->spec.reference[0] != '\0' || x->spec.layers < LEAST_LAYERS) {
        return SPX_FAIL(SPX_EINVAL, "locate: a network of %d or more cells is needed",
                        LEAST_LAYERS);
    }
    SPX_RETURN_IF(SPX_NEW(x->pair, (size_t)x->n));
    SPX_RETURN_IF(SPX_NEW(x->network, (size_t)x->n));
    (void)spx_location_pairs(x->spec.layers, x->pair);
    for (int i = 0; i < x->n; i++) {
        SPX_RETURN_IF(spx_location_ready(x, i));
        if (i == 0) {
            SPX_RETURN_IF(add_stem(x, spx_program_layout(x->network[0].program[0]), &room));
        }
        SPX_RETURN_IF(add_network(x, i, &room));
        for (int k = 0; k < SPX_LOCATION_PASSES; k++) {
            const size_t bytes = spx_program_workspace_bytes(x->network[i].program[k]);
            *most = bytes > *most ? bytes : *most;
        }
    }
    const spx_layout_entry beta = {.role = SPX_ROLE_ARCH,
                                   .rank = 1,
                                   .dim = {x->n},
                                   .count = x->n,
                                   .pixels = 1,
                                   .init = {SPX_INIT_NORMAL, 1e-3f}};
    x->layout.floats[SPX_ROLE_ARCH] = up(x->n, SPX_ALIGN / (int64_t)sizeof(float));
    return add_entry(x, &room, &beta, "beta", 0);
}

void spx_location_networks_clear(spx_location *x)
{
    for (int i = 0; i < x->n && x->network != NULL; i++) {
        let_go(&x->network[i]);
    }
    for (int i = 0; i < x->layout.n; i++) {
        spx_free((void *)(uintptr_t)x->layout.entry[i].name); /* add_entry's copy */
    }
    spx_free(x->layout.entry);
    spx_free(x->network);
    spx_free(x->pair);
}

/* ---- parts of arenas ---- */

spx_buffer spx_location_part(const spx_location *x, int pair, const spx_buffer *arena,
                             spx_role role)
{
    const spx_location_network *w = &x->network[pair];
    return (spx_buffer){.device = arena->device,
                        .data = (float *)arena->data + w->base[role],
                        .bytes = (size_t)w->floats[role] * sizeof(float)};
}

spx_status spx_location_stem_copy(const spx_location *x, int pair, const spx_buffer *arena,
                                  spx_role role, bool in)
{
    const spx_location_network *w = &x->network[pair];
    float *data = arena->data;
    for (int i = 0; i < w->n_stem; i++) {
        const spx_location_stem *s = &w->stem[i];
        if (s->role == role) {
            SPX_RETURN_IF(spx_device_copy(x->stream, data + (in ? s->own : s->shared),
                                          data + (in ? s->shared : s->own),
                                          (size_t)s->count * sizeof(float)));
        }
    }
    return SPX_OK;
}
