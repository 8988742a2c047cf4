#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_list.h"

#include "data/pack/pack_archive_private.h"
#include "data/pack/pack_labels_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_CONTAINERS 4
#define BLOCK_BYTES ((size_t)1 << 20) /* of names */

/* One picture: 48 bytes beside its name. */
typedef struct entry {
    char *path; /* as it is; behind its 0, where that differs, as it is shown */
    spx_place where;
    uint16_t label;
    uint8_t split;
    bool escaped; /* there are two */
} entry;

/* Names lie in blocks, so that they never move. */
typedef struct block {
    struct block *next;
    size_t used, room;
    char bytes[];
} block;

struct spx_pack_list {
    spx_pack *about;
    char *source, *root;
    entry *item;
    size_t n, room;
    block *names;
    char **class; /* keys, by rising bytes once numbered */
    size_t classes, class_room;
    spx_container container[MAX_CONTAINERS];
    size_t containers, passed_over;
};

/* ---- names ---- */

static spx_status keep(spx_pack_list *l, size_t n, char **out)
{
    if (l->names == NULL || l->names->room - l->names->used < n) {
        const size_t room = n > BLOCK_BYTES ? n : BLOCK_BYTES;
        void *memory;
        SPX_RETURN_IF(spx_alloc(&memory, sizeof(block) + room));
        *(block *)memory = (block){.next = l->names, .room = room};
        l->names = memory;
    }
    *out = l->names->bytes + l->names->used;
    l->names->used += n;
    return SPX_OK;
}

static const char *shown(const entry *e)
{
    return e->escaped ? e->path + strlen(e->path) + 1 : e->path;
}

spx_status spx_list_add(spx_pack_list *l, spx_split split, const char *name, size_t n,
                        const spx_place *where)
{
    const size_t escaped = spx_pack_escape(&(char){0}, 1, name, n);
    const bool twice = escaped != n; /* escaping only lengthens */
    entry e = {.where = *where, .split = (uint8_t)split, .escaped = twice};
    SPX_RETURN_IF(SPX_GROW(l->item, l->n, l->room));
    SPX_RETURN_IF(keep(l, n + 1 + (twice ? escaped + 1 : 0), &e.path));
    memcpy(e.path, name, n);
    e.path[n] = '\0';
    if (twice) {
        (void)spx_pack_escape(e.path + n + 1, escaped + 1, name, n);
    }
    l->item[l->n++] = e;
    return SPX_OK;
}

bool spx_list_is_picture(const char *path, size_t n)
{
    static const char *const suffixes[] = {".jpeg", ".jpg", ".png",  ".ppm",  ".pgm",
                                           ".bmp",  ".tif", ".tiff", ".webp", ".gif"};
    size_t base = n;
    while (base > 0 && path[base - 1] != '/') {
        base--;
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes && base < n; i++) {
        const size_t m = strlen(suffixes[i]);
        if (n - base > m && path[base] != '.' && strncasecmp(path + n - m, suffixes[i], m) == 0) {
            return true;
        }
    }
    return false;
}

void spx_list_pass_over(spx_pack_list *l, size_t n)
{
    l->passed_over += n;
}

/* ---- classes ---- */

spx_status spx_list_add_class(spx_pack_list *l, const char *key, size_t n)
{
    const char *last = l->classes > 0 ? l->class[l->classes - 1] : NULL;
    if (last != NULL && strlen(last) == n && memcmp(last, key, n) == 0) {
        return SPX_OK; /* pictures of a class mostly come together */
    }
    SPX_RETURN_IF(SPX_GROW(l->class, l->classes, l->class_room));
    SPX_RETURN_IF(keep(l, n + 1, &l->class[l->classes]));
    memcpy(l->class[l->classes], key, n);
    l->class[l->classes++][n] = '\0';
    return SPX_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

spx_status spx_list_number_classes(spx_pack_list *l)
{
    size_t n = 0;
    if (l->classes == 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: no class: a folder for each is expected", l->source);
    }
    qsort(l->class, l->classes, sizeof *l->class, by_bytes);
    for (size_t i = 0; i < l->classes; i++) {
        if (n == 0 || strcmp(l->class[i], l -> class[n - 1]) != 0) {
            l->class[n++] = l->class[i];
        }
    }
    l->classes = n;
    if (n > SPX_PACK_MAX_CLASSES) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %zu classes, at most %d are expected", l->source, n,
                        SPX_PACK_MAX_CLASSES);
    }
    l->about->classes = (int)n;
    return SPX_OK;
}

int spx_list_label(const spx_pack_list *l, const char *key, size_t n)
{
    size_t low = 0, high = l->classes;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const char *at = l->class[middle];
        int order = strncmp(key, at, n);
        order = order == 0 && at[n] != '\0' ? -1 : order;
        if (order == 0) {
            return (int)middle;
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return -1;
}

spx_status spx_list_name_classes(spx_pack_list *l, char *const *name)
{
    size_t bytes = 1, at = 0;
    char *text;
    for (size_t k = 0; k < l->classes; k++) {
        const char *of = name != NULL && name[k] != NULL ? name[k] : l->class[k];
        bytes += 1 + spx_pack_escape(&(char){0}, 1, of, strlen(of));
    }
    SPX_RETURN_IF(SPX_NEW(text, bytes));
    for (size_t k = 0; k < l->classes; k++) {
        const char *of = name != NULL && name[k] != NULL ? name[k] : l->class[k];
        if (k > 0) {
            text[at++] = '\n';
        }
        at += spx_pack_escape(text + at, bytes - at, of, strlen(of));
    }
    spx_free(l->about->class_names);
    l->about->class_names = text;
    return SPX_OK;
}

/* ---- order, labels, counts ---- */

static int by_split_and_path(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->split != y->split ? (int)x->split - (int)y->split : strcmp(x->path, y->path);
}

static spx_status put_in_order(spx_pack_list *l)
{
    size_t i = 1;
    while (i < l->n && by_split_and_path(&l->item[i - 1], &l->item[i]) < 0) {
        i++;
    }
    if (i >= l->n) {
        return SPX_OK; /* as a walk over folders mostly leaves it */
    }
    qsort(l->item, l->n, sizeof *l->item, by_split_and_path);
    for (i = 1; i < l->n; i++) {
        if (by_split_and_path(&l->item[i - 1], &l->item[i]) == 0) {
            return SPX_FAIL(SPX_EFORMAT, "%s: %s is there twice", l->source, shown(&l->item[i]));
        }
    }
    return SPX_OK;
}

static spx_status find_label(const spx_pack_list *l, const spx_list_rules *rules, entry *e)
{
    const char *key = e->path, *end;
    int label;
    for (int i = 0; i < rules->depth && key != NULL; i++) {
        key = strchr(key, '/');
        key = key != NULL ? key + 1 : NULL;
    }
    end = key != NULL ? strchr(key, '/') : NULL;
    label = end != NULL ? spx_list_label(l, key, (size_t)(end - key)) : -1;
    if (label >= 0) {
        e->label = (uint16_t)label;
        return SPX_OK;
    }
    if (rules->labels != NULL && e->split == SPX_SPLIT_TEST) {
        return rules->labels->find(rules->labels->ctx, l, e->path, &e->label);
    }
    return SPX_FAIL(SPX_EFORMAT, "%s: %s: its folder is no class of the train split%s", l->source,
                    shown(e), rules->unlabelled != NULL ? rules->unlabelled : "");
}

static spx_status hold_out(spx_pack_list *l, const spx_pack_build_options *o)
{
    uint16_t *label;
    bool *out = NULL;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(label, l->n));
    for (size_t i = 0; i < l->n; i++) {
        label[i] = l->item[i].label;
    }
    SPX_TRY(st, SPX_NEW(out, l->n), done);
    SPX_TRY(st, spx_pack_hold_out(label, l->n, (int)l->classes, o, out), done);
    for (size_t i = 0; i < l->n; i++) {
        l->item[i].split = out[i] ? SPX_SPLIT_TEST : SPX_SPLIT_TRAIN;
    }
    st = put_in_order(l);
done:
    spx_free(label);
    spx_free(out);
    return st;
}

spx_status spx_list_finish(spx_pack_list *l, const spx_list_rules *rules)
{
    if (l->n == 0 || l->n > UINT32_MAX) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s", l->source,
                        l->n == 0 ? "no pictures (files named .jpg, .jpeg or .png) were found"
                                  : "more than 2^32 pictures");
    }
    SPX_RETURN_IF(put_in_order(l));
    for (size_t i = 0; i < l->n; i++) {
        SPX_RETURN_IF(find_label(l, rules, &l->item[i]));
    }
    if (rules->hold != NULL) {
        SPX_RETURN_IF(hold_out(l, rules->hold));
    }
    for (size_t i = 0; i < l->n; i++) {
        l->about->split[l->item[i].split].count++;
    }
    return l->about->class_names != NULL ? SPX_OK : spx_list_name_classes(l, NULL);
}

/* ---- containers ---- */

spx_status spx_list_container(spx_pack_list *l, const char *path, const spx_container **c,
                              uint8_t *number)
{
    if (l->containers == MAX_CONTAINERS) {
        return SPX_FAIL(SPX_EINVAL, "%s: more than %d archives", l->source, MAX_CONTAINERS);
    }
    SPX_RETURN_IF(spx_container_open(&l->container[l->containers], path));
    *c = &l->container[l->containers];
    *number = (uint8_t)l->containers++;
    return SPX_OK;
}

spx_status spx_list_root(spx_pack_list *l, const char *root)
{
    spx_free(l->root);
    l->root = NULL;
    return spx_pack_copy_text(&l->root, root);
}

/* ---- the public calls ---- */

spx_pack *spx_list_describe(spx_pack_list *l)
{
    return l->about;
}

const spx_pack *spx_pack_list_about(const spx_pack_list *l)
{
    return l->about;
}

const char *spx_pack_list_source(const spx_pack_list *l)
{
    return l->source;
}

size_t spx_pack_list_count(const spx_pack_list *l)
{
    return l->n;
}

size_t spx_pack_list_passed_over(const spx_pack_list *l)
{
    return l->passed_over;
}

spx_pack_item spx_pack_list_item(const spx_pack_list *l, size_t i)
{
    const entry *e = &l->item[i];
    return (spx_pack_item){shown(e), e->label, (spx_split)e->split};
}

/* A file of its own. */
static spx_status read_file(const spx_pack_list *l, const entry *e, void **bytes, size_t *size)
{
    char path[PATH_MAX], name[PATH_MAX];
    spx_status st;
    int fd;
    (void)snprintf(name, sizeof name, "%s/%s", l->root, shown(e));
    if (!spx_path_join(path, l->root, e->path)) {
        return SPX_FAIL(SPX_EIO, "%s: the path is too long", name);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return SPX_FAIL(errno == ENOENT ? SPX_ENOTFOUND : SPX_EIO, "%s: %s", name, strerror(errno));
    }
    st = spx_file_read_open(fd, name, SPX_PACK_MAX_PICTURE, bytes, size);
    (void)close(fd);
    return st;
}

spx_status spx_pack_list_read(const spx_pack_list *l, size_t i, void **bytes, size_t *size)
{
    const entry *e = &l->item[i];
    const spx_container *c = &l->container[e->where.container];
    spx_status st;
    *bytes = NULL;
    *size = 0;
    if (e->where.form == SPX_PLACE_FILE) {
        return read_file(l, e, bytes, size);
    }
    if (e->where.size > SPX_PACK_MAX_PICTURE) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: %zu bytes, expected at most %zu", l->source, shown(e),
                        (size_t)e->where.size, SPX_PACK_MAX_PICTURE);
    }
    st = e->where.form == SPX_PLACE_ZIP ? spx_zip_read(c, &e->where, bytes)
                                        : spx_container_range(c, &e->where, bytes);
    *size = st == SPX_OK ? e->where.size : 0;
    return spx_fail_context(st, "%s", shown(e));
}

void spx_pack_list_close(spx_pack_list *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->containers; i++) {
        spx_container_close(&l->container[i]);
    }
    for (block *b = l->names, *next; b != NULL; b = next) {
        next = b->next;
        spx_free(b);
    }
    spx_pack_close(l->about);
    spx_free(l->source);
    spx_free(l->root);
    spx_free(l->item);
    spx_free(l->class);
    spx_free(l);
}

bool spx_pack_is_list(const char *kind)
{
    const spx_pack_kind *k = spx_pack_kind_of(kind);
    return k != NULL && k->list != NULL;
}

static spx_status find(spx_pack_list *l, const spx_pack_kind *k, const char *src,
                       const spx_pack_build_options *o)
{
    SPX_RETURN_IF(spx_pack_new(&l->about));
    SPX_RETURN_IF(spx_pack_copy_text(&l->source, src));
    SPX_RETURN_IF(spx_pack_describe(l->about, k));
    SPX_RETURN_IF(k->list(l, src, o));
    return l->about->sources != NULL ? SPX_OK : spx_pack_copy_text(&l->about->sources, "");
}

spx_status spx_pack_list_open(spx_pack_list **out, const char *kind, const char *src,
                              const spx_pack_build_options *o)
{
    const spx_pack_kind *k = spx_pack_kind_of(kind);
    spx_pack_list *l = NULL;
    spx_status st;
    *out = NULL;
    if (k == NULL || k->list == NULL) {
        return SPX_FAIL(SPX_EINVAL, "'%.64s' is no kind of set of pictures", kind);
    }
    o = o != NULL ? o : &spx_pack_build_usual;
    if (!(o->held_out >= 0 && o->held_out < 1)) {
        return SPX_FAIL(SPX_EINVAL, "a share of %g is held out, expected 0 or more, below 1",
                        o->held_out);
    }
    SPX_TRY(st, SPX_NEW(l, 1), fail);
    SPX_TRY(st, find(l, k, src, o), fail);
    *out = l;
    return SPX_OK;
fail:
    spx_pack_list_close(l);
    return st;
}
