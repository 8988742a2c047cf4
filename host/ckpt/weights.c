#define _POSIX_C_SOURCE 200809L /* strdup, strndup */
#include "host/ckpt/weights.h"

#include "host/ckpt/weights_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)4 << 30)

spx_weights_array *spx_weights_add(spx_weights *w, const char *name)
{
    if (SPX_GROW(w->array, w->count, w->room) != SPX_OK) {
        return NULL;
    }
    w->array[w->count] = (spx_weights_array){.name = strdup(name)};
    return w->array[w->count].name != NULL ? &w->array[w->count++] : NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const spx_weights_array *)a)->name, ((const spx_weights_array *)b)->name);
}

/* ---- opening ---- */

/* What the file begins with decides: a zip archive, a pickle, a header's length and its brace. */
static spx_status open_form(spx_weights *w)
{
    const unsigned char *head;
    void *bytes = NULL;
    SPX_RETURN_IF(spx_file_read(w->path, MAX_FILE, &bytes, &w->size)); /* a pipe is read once */
    w->bytes = bytes;
    head = w->bytes;
    if ((w->size >= 4 && memcmp(head, "PK\3\4", 4) == 0) ||
        (w->size >= 2 && head[0] == 0x80 && head[1] <= 5)) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: pickled by PyTorch, which only PyTorch reads; in Python: "
                        "safetensors.torch.save_file(torch.load('x.pt', weights_only=True), "
                        "'x.safetensors')",
                        w->path);
    }
    return w->size > 8 && head[8] == '{' ? spx_weights_open_safetensors(w) : spx_weights_open_h5(w);
}

spx_status spx_weights_open(spx_weights **out, const char *path)
{
    spx_weights *w = NULL;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(SPX_NEW(w, 1));
    w->path = strdup(path);
    w->prefix = strdup("");
    if (w->path == NULL || w->prefix == NULL) {
        SPX_TRY(st, SPX_FAIL(SPX_ENOMEM, "%s", path), fail);
    }
    SPX_TRY(st, open_form(w), fail);
    if (w->count > 0) {
        qsort(w->array, w->count, sizeof *w->array, by_name);
    }
    *out = w;
    return SPX_OK;
fail:
    spx_weights_close(w);
    return st;
}

void spx_weights_close(spx_weights *w)
{
    if (w == NULL) {
        return;
    }
    spx_h5_close(w->h5);
    json_decref(w->metadata);
    spx_free(w->bytes);
    for (size_t i = 0; i < w->count; i++) {
        free(w->array[i].name);
    }
    free(w->array);
    free(w->path);
    free(w->prefix);
    spx_free(w);
}

const char *spx_weights_name(const spx_weights *w)
{
    return w->path;
}

const char *spx_weights_prefix(const spx_weights *w)
{
    return w->prefix;
}

spx_status spx_weights_about(const spx_weights *w, const char *key, char **out)
{
    *out = NULL;
    return w->form->about(w, key, out);
}

/* ---- names ---- */

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* What PyTorch counts, of no use here. */
static bool is_counter(const char *name)
{
    return ends_with(name, "num_batches_tracked") || ends_with(name, "n_averaged");
}

/* "a/b/" of "a/b/module.": the part of a prefix that names a group */
static size_t group_of(const char *prefix)
{
    const char *slash = strrchr(prefix, '/');
    return slash != NULL ? (size_t)(slash - prefix) + 1 : 0;
}

spx_status spx_weights_find(spx_weights *w, const char *classifier)
{
    const spx_weights_array *best = NULL;
    for (size_t i = 0; i < w->count; i++) {
        const char *name = w->array[i].name;
        const size_t n = strlen(name), m = strlen(classifier);
        if (ends_with(name, classifier) && (n == m || strchr("./", name[n - m - 1]) != NULL) &&
            (best == NULL || n < strlen(best->name))) {
            best = &w->array[i];
        }
    }
    if (best == NULL) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: no such parameter: %s, the network's classifier, under no prefix; the "
                        "file has %zu %s%s%s",
                        w->path, classifier, w->count, SPX_PLURAL(w->count, "array", "arrays"),
                        w->count > 0 ? ", first " : "", w->count > 0 ? w->array[0].name : "");
    }
    free(w->prefix);
    w->prefix = strndup(best->name, strlen(best->name) - strlen(classifier));
    return w->prefix != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "%s: prefix", w->path);
}

/* Statistics may have a group of their own: "buffer/" beside "param/". */
static char *state_prefix(const spx_weights *w)
{
    const bool split = ends_with(w->prefix, "param/");
    const size_t kept = strlen(w->prefix) - (split ? strlen("param/") : 0);
    const size_t room = kept + sizeof "buffer/";
    char *p = malloc(room);
    if (p != NULL) {
        (void)snprintf(p, room, "%.*s%s", (int)kept, w->prefix, split ? "buffer/" : "");
    }
    return p;
}

/* The array prefix + name, or NULL. */
static const spx_weights_array *find(const spx_weights *w, const char *prefix, const char *name)
{
    const size_t n = strlen(prefix);
    size_t low = 0, high = w->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const char *at = w->array[middle].name;
        int order = strncmp(at, prefix, n);
        order = order != 0 ? order : strcmp(at + n, name);
        if (order == 0) {
            return &w->array[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

bool spx_weights_has(const spx_weights *w, const char *name)
{
    return find(w, w->prefix, name) != NULL;
}

static bool starts_with(const char *name, const char *prefix, size_t n)
{
    return strncmp(name, prefix, n) == 0;
}

size_t spx_weights_elsewhere(const spx_weights *w)
{
    char *state = state_prefix(w);
    size_t n = 0;
    for (size_t i = 0; state != NULL && i < w->count; i++) {
        const char *name = w->array[i].name;
        n += !starts_with(name, w->prefix, group_of(w->prefix)) &&
             !starts_with(name, state, group_of(state));
    }
    free(state);
    return n;
}

/* ---- loading ---- */

/* The first few names and how many there are. */
typedef struct listing {
    char text[400];
    size_t n;
} listing;

static void list_name(listing *l, const char *name)
{
    const size_t used = strlen(l->text);
    if (l->n++ < 3) {
        (void)snprintf(l->text + used, sizeof l->text - used, "%s%.100s", used > 0 ? ", " : "",
                       name);
    }
}

static const char *more(const listing *l)
{
    return l->n > 3 ? ", ..." : "";
}

/* Every array of the parameters' group is one of the network's, and the reverse. */
static spx_status check_names(const spx_weights *w, const spx_layout *l, const char *state)
{
    listing missing = {{0}, 0}, extra = {{0}, 0};
    for (int i = 0; i < l->n; i++) {
        const char *prefix = l->entry[i].role == SPX_ROLE_STATE ? state : w->prefix;
        if (find(w, prefix, l->entry[i].name) == NULL) {
            list_name(&missing, l->entry[i].name);
        }
    }
    for (size_t i = 0; i < w->count; i++) {
        const char *name = w->array[i].name;
        const size_t a = strlen(w->prefix), b = strlen(state);
        const bool known =
            (starts_with(name, w->prefix, a) && spx_layout_find(l, name + a) != NULL) ||
            (starts_with(name, state, b) && spx_layout_find(l, name + b) != NULL);
        if (!known && !is_counter(name) &&
            (starts_with(name, w->prefix, group_of(w->prefix)) ||
             starts_with(name, state, group_of(state)))) {
            list_name(&extra, name);
        }
    }
    if (missing.n == 0 && extra.n == 0) {
        return SPX_OK;
    }
    return SPX_FAIL(
        SPX_EFORMAT,
        "%s: not this network's (see --network, --genotype, --layers, "
        "--init-channels, --reduce-at): no such parameter of the network: %zu (%s%s); missing: %zu "
        "(%s%s)",
        w->path, extra.n, extra.n > 0 ? extra.text : "none", more(&extra), missing.n,
        missing.n > 0 ? missing.text : "none", more(&missing));
}

static spx_status load_entry(const spx_weights *w, const spx_layout_entry *e, const char *prefix,
                             float *arena)
{
    const spx_weights_array *a = find(w, prefix, e->name);
    if (a->rank != e->rank || memcmp(a->dims, e->dim, (size_t)e->rank * sizeof e->dim[0]) != 0) {
        char found[96], wanted[96];
        spx_shape_text(a->rank, a->dims, found, sizeof found);
        spx_shape_text(e->rank, e->dim, wanted, sizeof wanted);
        return SPX_FAIL(SPX_EFORMAT, "%s: %s is %s, the network needs %s", w->path, a->name, found,
                        wanted);
    }
    SPX_RETURN_IF(w->form->read(w, a, arena + e->offset));
    return spx_array_check(w->path, a->name, e->rank, e->dim, arena + e->offset);
}

spx_status spx_weights_load(const spx_weights *w, const spx_layout *l, const spx_buffer *weights,
                            const spx_buffer *state)
{
    char *prefix;
    spx_status st;
    SPX_RETURN_IF(spx_layout_check_host(l, weights, state, w->path));
    prefix = state_prefix(w);
    if (prefix == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s: prefix", w->path);
    }
    SPX_TRY(st, check_names(w, l, prefix), end);
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (e->role == SPX_ROLE_STATE || e->role == SPX_ROLE_WEIGHT) {
            const bool is_state = e->role == SPX_ROLE_STATE;
            SPX_TRY(st,
                    load_entry(w, e, is_state ? prefix : w->prefix,
                               is_state ? state->data : weights->data),
                    end);
        }
    }
end:
    free(prefix);
    return st;
}
