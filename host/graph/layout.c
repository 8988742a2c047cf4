#define _DEFAULT_SOURCE
#include "host/graph/layout_impl.h"

#include "host/graph/graph_impl.h"
#include "kernels/base/rng.h"

#include <stdlib.h>
#include <string.h>

static bool stored(const spx_tensor *t)
{
    return t->role == SPX_ROLE_WEIGHT || t->role == SPX_ROLE_ARCH || t->role == SPX_ROLE_STATE;
}

spx_status spx_layout_make(spx_layout *l, const spx_graph *g)
{
    int n = 0;
    *l = (spx_layout){0};
    l->entry = calloc((size_t)g->n_tensors + 1, sizeof *l->entry);
    if (l->entry == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "layout of %d tensors", g->n_tensors);
    }
    for (int i = 0; i < g->n_tensors; i++) {
        const spx_tensor *t = &g->tensor[i];
        if (!stored(t)) {
            continue;
        }
        const int64_t align = SPX_ALIGN / (int64_t)sizeof(float);
        const int64_t count = spx_tensor_count(t),
                      end = (t->offset + count + align - 1) / align * align;
        if (end > l->floats[t->role]) {
            l->floats[t->role] = end;
        }
        if (t->name == NULL) {
            continue; /* a merger of named parts */
        }
        spx_layout_entry *e = &l->entry[n++];
        *e = (spx_layout_entry){.name = strdup(t->name),
                                .role = t->role,
                                .rank = t->rank,
                                .offset = t->offset,
                                .count = count,
                                .init = t->init};
        memcpy(e->dim, t->dim, sizeof e->dim);
        l->n = n;
        if (e->name == NULL) {
            spx_layout_clear(l);
            return SPX_FAIL(SPX_ENOMEM, "layout of %d tensors", g->n_tensors);
        }
    }
    return SPX_OK;
}

void spx_layout_clear(spx_layout *l)
{
    for (int i = 0; i < l->n; i++) {
        union {
            const char *in;
            char *out;
        } name = {l->entry[i].name}; /* made by strdup above */
        free(name.out);
    }
    free(l->entry);
    *l = (spx_layout){0};
}

const spx_layout_entry *spx_layout_find(const spx_layout *l, const char *name)
{
    for (int i = 0; i < l->n; i++) {
        if (strcmp(l->entry[i].name, name) == 0) {
            return &l->entry[i];
        }
    }
    return NULL;
}

bool spx_layout_equal(const spx_layout *a, const spx_layout *b)
{
    if (a->n != b->n || memcmp(a->floats, b->floats, sizeof a->floats) != 0) {
        return false;
    }
    for (int i = 0; i < a->n; i++) {
        const spx_layout_entry *x = &a->entry[i], *y = &b->entry[i];
        if (strcmp(x->name, y->name) != 0 || x->role != y->role || x->offset != y->offset ||
            x->rank != y->rank || memcmp(x->dim, y->dim, sizeof x->dim) != 0) {
            return false;
        }
    }
    return true;
}

spx_status spx_layout_arena(const spx_layout *l, spx_role role, float **out)
{
    void *p = NULL;
    const spx_status st = spx_calloc(&p, (size_t)l->floats[role], sizeof(float));
    *out = p;
    return st;
}

/* FNV-1a: names to RNG keys. */
static uint64_t hash_name(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s != '\0'; s++) {
        h = (h ^ (uint64_t)(unsigned char)*s) * 0x100000001b3u;
    }
    return h;
}

static void init_entry(const spx_layout_entry *e, uint64_t seed, float *x)
{
    spx_rng r;
    spx_rng_init(&r, seed, e->role == SPX_ROLE_ARCH ? SPX_RNG_ALPHAS : SPX_RNG_WEIGHTS,
                 hash_name(e->name));
    for (int64_t i = 0; i < e->count; i++) {
        switch (e->init.kind) {
        case SPX_INIT_UNIFORM:
            x[i] = e->init.value * (2.0f * spx_rng_uniform(&r) - 1.0f);
            break;
        case SPX_INIT_NORMAL:
            x[i] = e->init.value * spx_rng_normal(&r);
            break;
        default:
            x[i] = e->init.value;
        }
    }
}

void spx_layout_init(const spx_layout *l, uint64_t seed, float *weights, float *arch, float *state)
{
    float *const arena[SPX_ROLE_COUNT] = {
        [SPX_ROLE_WEIGHT] = weights, [SPX_ROLE_ARCH] = arch, [SPX_ROLE_STATE] = state};
    for (int r = 0; r < SPX_ROLE_COUNT; r++) {
        if (arena[r] != NULL) {
            memset(arena[r], 0, sizeof(float) * (size_t)l->floats[r]);
        }
    }
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (arena[e->role] != NULL) {
            init_entry(e, seed, arena[e->role] + e->offset);
        }
    }
}
