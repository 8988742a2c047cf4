#define _DEFAULT_SOURCE
#include "host/graph/layout_private.h"

#include "host/graph/graph_private.h"
#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool stored(const spx_tensor *t)
{
    return t->role == SPX_ROLE_WEIGHT || t->role == SPX_ROLE_ARCH || t->role == SPX_ROLE_STATE;
}

/* Pixels per channel: of a filter, of the maps a linear layer flattens, or of a mask of maps. */
static int64_t pixels_of(const spx_graph *g, spx_tid t)
{
    const spx_tensor *w = &g->tensor[t];
    if (w->rank == 3) { /* a mask */
        return w->dim[1] * w->dim[2];
    }
    if (w->role != SPX_ROLE_WEIGHT || w->rank == 1) {
        return 1;
    }
    for (int i = 0; i < g->n_nodes && w->rank == 2; i++) {
        const spx_node *nd = &g->node[i];
        for (int k = 1; k < nd->n_in; k++) {
            if (nd->in[k] == t) { /* weights of rank 2 multiply their reader's first operand */
                const spx_tensor *x = &g->tensor[nd->in[0]];
                return x->rank == 4 ? x->dim[2] * x->dim[3] : 1;
            }
        }
    }
    return w->rank == 4 ? w->dim[2] * w->dim[3] : 1;
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
                                .pixels = pixels_of(g, i),
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

size_t spx_layout_bytes(const spx_layout *l, spx_role role)
{
    assert(role == SPX_ROLE_WEIGHT || role == SPX_ROLE_ARCH || role == SPX_ROLE_STATE);
    return (size_t)l->floats[role] * sizeof(float);
}

spx_status spx_layout_arena(const spx_layout *l, spx_stream *s, spx_role role, spx_buffer *out)
{
    return spx_buffer_alloc(out, s, spx_layout_bytes(l, role));
}

spx_status spx_layout_check_host(const spx_layout *l, const spx_buffer *weights,
                                 const spx_buffer *state, const char *what)
{
    SPX_RETURN_IF(
        spx_buffer_check(weights, SPX_DEVICE_CPU, spx_layout_bytes(l, SPX_ROLE_WEIGHT), what));
    return spx_buffer_check(state, SPX_DEVICE_CPU, spx_layout_bytes(l, SPX_ROLE_STATE), what);
}

/* to = from, every row of b columns of a reordered into a columns of b. */
static void transpose(const float *from, float *to, int64_t rows, int64_t a, int64_t b)
{
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < a; i++) {
            for (int64_t j = 0; j < b; j++) {
                to[(r * b + j) * a + i] = from[(r * a + i) * b + j];
            }
        }
    }
}

/* to = from, an arena, its entries put in the device's order or back. */
static void reorder(const spx_layout *l, spx_role role, bool upload, const float *from, float *to)
{
    memcpy(to, from, sizeof(float) * (size_t)l->floats[role]);
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (e->role != role || e->pixels <= 1) {
            continue;
        }
        const int64_t rows = e->rank == 3 ? 1 : e->dim[0], channels = e->count / rows / e->pixels;
        transpose(from + e->offset, to + e->offset, rows, upload ? channels : e->pixels,
                  upload ? e->pixels : channels);
    }
}

/* Whether an arena of the host's and one of the stream's device can be copied. */
static spx_status check_copy(const spx_layout *l, const spx_stream *s, spx_role role,
                             const spx_buffer *host, const spx_buffer *device)
{
    const size_t bytes = spx_layout_bytes(l, role);
    SPX_RETURN_IF(spx_buffer_check(host, SPX_DEVICE_CPU, bytes, "copying an arena"));
    return spx_buffer_check(device, spx_stream_device(s), bytes, "copying an arena");
}

spx_status spx_layout_upload(const spx_layout *l, spx_stream *s, spx_role role,
                             const spx_buffer *host, const spx_buffer *device)
{
    const size_t bytes = spx_layout_bytes(l, role);
    void *reordered = NULL;
    spx_status st;
    SPX_RETURN_IF(check_copy(l, s, role, host, device));
    if (bytes == 0 || spx_stream_device(s) == SPX_DEVICE_CPU) {
        return bytes == 0 ? SPX_OK : spx_upload(s, device->data, host->data, bytes);
    }
    SPX_RETURN_IF(spx_alloc(&reordered, bytes));
    reorder(l, role, true, host->data, reordered);
    st = spx_upload(s, device->data, reordered, bytes);
    spx_free(reordered);
    return st;
}

spx_status spx_layout_download(const spx_layout *l, spx_stream *s, spx_role role,
                               const spx_buffer *device, const spx_buffer *host)
{
    const size_t bytes = spx_layout_bytes(l, role);
    void *reordered = NULL;
    spx_status st = SPX_OK;
    SPX_RETURN_IF(check_copy(l, s, role, host, device));
    if (bytes == 0 || spx_stream_device(s) == SPX_DEVICE_CPU) {
        SPX_RETURN_IF(bytes == 0 ? SPX_OK : spx_download(s, host->data, device->data, bytes));
        return spx_stream_sync(s);
    }
    SPX_RETURN_IF(spx_alloc(&reordered, bytes));
    SPX_TRY(st, spx_download(s, reordered, device->data, bytes), done);
    SPX_TRY(st, spx_stream_sync(s), done);
    reorder(l, role, false, reordered, host->data);
done:
    spx_free(reordered);
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

spx_status spx_layout_init(const spx_layout *l, uint64_t seed, const spx_buffer *weights,
                           const spx_buffer *arch, const spx_buffer *state)
{
    const spx_buffer *const arena[SPX_ROLE_COUNT] = {
        [SPX_ROLE_WEIGHT] = weights, [SPX_ROLE_ARCH] = arch, [SPX_ROLE_STATE] = state};
    float *x[SPX_ROLE_COUNT] = {NULL};
    for (int r = 0; r < SPX_ROLE_COUNT; r++) {
        if (arena[r] != NULL && arena[r]->data != NULL) {
            const size_t bytes = spx_layout_bytes(l, (spx_role)r);
            SPX_RETURN_IF(spx_buffer_check(arena[r], SPX_DEVICE_CPU, bytes, "initial values"));
            x[r] = arena[r]->data;
            memset(x[r], 0, bytes);
        }
    }
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (x[e->role] != NULL) {
            init_entry(e, seed, x[e->role] + e->offset);
        }
    }
    return SPX_OK;
}
