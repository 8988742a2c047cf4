/*
 * ImageNet's 1000 classes (ILSVRC 2012) as people have it: the archives it is published in, a tar
 * of a tar a class among them, with the development kit; their unpacked folders; or Kaggle's tree.
 * Classes are the keys of synsets by rising bytes, as torchvision numbers them.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_archive_private.h"
#include "data/pack/pack_labels_private.h"
#include "data/pack/pack_mat_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRAIN_TAR "ILSVRC2012_img_train.tar"
#define VAL_TAR "ILSVRC2012_img_val.tar"
#define KIT "ILSVRC2012_devkit_t12"
#define TRUTH "ILSVRC2012_validation_ground_truth.txt"
#define MAX_KIT_BYTES ((size_t)64 << 20)
#define UNLABELLED                                                                                 \
    ", and no label file is there (val_annotations.txt, val.txt, LOC_val_solution.csv, or " KIT    \
    ".tar.gz or its " TRUTH " with meta.mat)"

typedef struct imagenet {
    spx_pack_list *l;
    const char *src;
    char root[PATH_MAX]; /* that has train and val, or the archives */
    spx_side_text labels, names, truth, meta;
    uint8_t container;
    const char *key; /* of the class being read */
    size_t key_n;
} imagenet;

/* ---- the archives of pictures ---- */

static spx_status add(imagenet *n, spx_split split, const spx_archive_member *m)
{
    char path[PATH_MAX];
    spx_place where = m->where;
    const bool train = split == SPX_SPLIT_TRAIN;
    const int length = snprintf(path, sizeof path, "%s/%.*s%s%.*s", train ? "train" : "val",
                                train ? (int)n->key_n : 0, train ? n->key : "", train ? "/" : "",
                                (int)m->length, m->name);
    if (!spx_list_is_picture(m->name, m->length) || (size_t)length >= sizeof path) {
        spx_list_pass_over(n->l, 1);
        return SPX_OK;
    }
    where.container = n->container;
    return spx_list_add(n->l, split, path, (size_t)length, &where);
}

static bool ends(const spx_archive_member *m, const char *with)
{
    const size_t n = strlen(with);
    return m->length > n && memcmp(m->name + m->length - n, with, n) == 0;
}

static spx_status take_train(void *ctx, const spx_container *c, const spx_archive_member *m)
{
    if (ends(m, ".tar")) {
        return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: an archive in an archive in an archive",
                        c->path, (size_t)m->where.offset);
    }
    return add(ctx, SPX_SPLIT_TRAIN, m);
}

static spx_status take_class(void *ctx, const spx_container *c, const spx_archive_member *m)
{
    imagenet *n = ctx;
    if (!ends(m, ".tar") || m->name[0] == '.' || memchr(m->name, '/', m->length) != NULL) {
        spx_list_pass_over(n->l, 1);
        return SPX_OK;
    }
    n->key_n = m->length - 4;
    n->key = m->name;
    SPX_RETURN_IF(spx_list_add_class(n->l, n->key, n->key_n));
    return spx_tar_walk(c, m->where.offset, m->where.size, take_train, n);
}

static spx_status take_val(void *ctx, const spx_container *c, const spx_archive_member *m)
{
    (void)c;
    return add(ctx, SPX_SPLIT_TEST, m);
}

static spx_status read_tar(imagenet *n, const char *path, spx_archive_take take)
{
    const spx_container *c;
    SPX_RETURN_IF(spx_list_container(n->l, path, &c, &n->container));
    return spx_tar_walk(c, 0, c->size, take, n);
}

/* ---- labels and names ---- */

static spx_status take_kit_file(void *ctx, const spx_container *c, const spx_archive_member *m)
{
    imagenet *n = ctx;
    spx_side_text *to = ends(m, "/meta.mat") ? &n->meta : ends(m, "/" TRUTH) ? &n->truth : NULL;
    char where[PATH_MAX];
    void *bytes;
    if (to == NULL || to->text != NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_container_range(c, &m->where, &bytes));
    (void)snprintf(where, sizeof where, "%s/%.*s", c->path, (int)m->length, m->name);
    return spx_side_text_take(to, n->l, where, bytes, m->where.size);
}

static spx_status read_kit(imagenet *n, const char *path)
{
    spx_container c = {.path = (char *)(uintptr_t)path, .fd = -1};
    void *bytes;
    size_t size;
    spx_status st;
    SPX_RETURN_IF(spx_pack_input_whole(path, MAX_KIT_BYTES, &bytes, &size));
    c.bytes = bytes;
    c.size = size;
    st = spx_tar_walk(&c, 0, size, take_kit_file, n);
    spx_free(bytes);
    return st;
}

/* The key of a label of the ground truth; NULL: none. */
static const char *key_of(const spx_synset *s, size_t n, long id)
{
    for (size_t i = 0; i < n; i++) { /* mostly the id-th */
        const size_t at = (i + (size_t)id + n - 1) % n;
        if (s[at].id == id) {
            return s[at].key;
        }
    }
    return NULL;
}

/* Makes lines of a label file from the ground truth, whose n-th line is the n-th picture's. */
static spx_status label_by_truth(imagenet *n, const spx_synset *s, size_t synsets)
{
    const char *at = n->truth.text;
    char *text;
    size_t lines = 1, used = 0, room;
    SPX_RETURN_IF(spx_text_tidy(n->truth.where, n->truth.text, &n->truth.size));
    for (size_t i = 0; i < n->truth.size; i++) {
        lines += at[i] == '\n';
    }
    room = lines * (sizeof "ILSVRC2012_val_00000000 \n" + 12 + SPX_SYNSET_KEY) + 1;
    SPX_RETURN_IF(SPX_NEW(text, room));
    n->labels.text = text;
    for (size_t line = 1; *at != '\0'; line++) {
        char *end;
        const long id = strtol(at, &end, 10);
        const char *key = *at >= '0' && *at <= '9' && id > 0 ? key_of(s, synsets, id) : NULL;
        end += strspn(end, " \t");
        if (key == NULL || (*end != '\n' && *end != '\0')) {
            return SPX_FAIL(SPX_EFORMAT, "%s: line %zu: expected an ILSVRC2012_ID of meta.mat",
                            n->truth.where, line);
        }
        used += (size_t)snprintf(text + used, room - used, "ILSVRC2012_val_%08zu %s\n", line, key);
        at = end + (*end == '\n');
    }
    n->labels.size = used;
    return spx_pack_copy_text(&n->labels.where, n->truth.where);
}

static spx_status use_meta(imagenet *n)
{
    spx_synset *s;
    size_t synsets;
    char *names;
    spx_status st;
    SPX_RETURN_IF(spx_mat_synsets(n->meta.where, n->meta.text, n->meta.size, &s, &synsets, &names));
    st = n->labels.text == NULL && n->truth.text != NULL ? label_by_truth(n, s, synsets) : SPX_OK;
    if (st == SPX_OK && n->names.text == NULL) {
        n->names.text = names;
        n->names.size = strlen(names);
        names = NULL;
        st = spx_pack_copy_text(&n->names.where, n->meta.where);
    }
    spx_free(names);
    spx_free(s);
    return st;
}

/* The first of each kind of text that is there. */
static spx_status read_texts(imagenet *n)
{
    static const char *const labels[] = {"LOC_val_solution.csv", "val_annotations.txt",
                                         "val/val_annotations.txt", "val.txt", "val/val.txt"};
    static const char *const names[] = {"LOC_synset_mapping.txt", "synset_words.txt", "words.txt"};
    static const char *const kits[] = {".", "data", KIT "/data"};
    const char *const folder[] = {n->src, n->root};
    char path[PATH_MAX];
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
            SPX_RETURN_IF(spx_side_text_read(&n->labels, n->l, folder[k], labels[i]));
        }
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            SPX_RETURN_IF(spx_side_text_read(&n->names, n->l, folder[k], names[i]));
        }
        for (size_t i = 0; i < sizeof kits / sizeof *kits; i++) {
            if (spx_path_join(path, folder[k], kits[i])) {
                SPX_RETURN_IF(spx_side_text_read(&n->truth, n->l, path, TRUTH));
                SPX_RETURN_IF(spx_side_text_read(&n->meta, n->l, path, "meta.mat"));
            }
        }
        if (n->meta.text == NULL && spx_path_join(path, folder[k], KIT ".tar.gz") &&
            access(path, F_OK) == 0) {
            SPX_RETURN_IF(read_kit(n, path));
        }
    }
    return n->meta.text != NULL ? use_meta(n) : SPX_OK;
}

/* ---- what src is ---- */

/* Reads one split from its archive or folder in the root. */
static spx_status read_split(imagenet *n, spx_split split)
{
    const bool train = split == SPX_SPLIT_TRAIN;
    const char *name = train ? "train" : "val";
    char path[PATH_MAX];
    if (spx_path_join(path, n->root, train ? TRAIN_TAR : VAL_TAR) && access(path, F_OK) == 0) {
        return read_tar(n, path, train ? take_class : take_val);
    }
    if (!spx_path_join(path, n->root, name) || !spx_is_folder(path)) {
        return spx_pack_not_found(n->root, train ? TRAIN_TAR " or train" : VAL_TAR " or val");
    }
    return spx_list_walk(n->l, n->root, name, split, train);
}

static spx_status find_root(imagenet *n)
{
    static const char *const homes[] = {".", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC"};
    static const char *const parts[] = {TRAIN_TAR, "train"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        for (size_t k = 0; k < 2; k++) {
            if (spx_path_join(n->root, n->src, homes[i]) &&
                spx_path_join(path, n->root, parts[k]) && access(path, F_OK) == 0) {
                return SPX_OK;
            }
        }
    }
    return spx_pack_not_found(n->src, TRAIN_TAR " and " VAL_TAR " with " KIT ".tar.gz, train and "
                                                "val, or ILSVRC/Data/CLS-LOC");
}

static spx_status read_all(imagenet *n)
{
    SPX_RETURN_IF(find_root(n));
    SPX_RETURN_IF(spx_list_root(n->l, n->root));
    SPX_RETURN_IF(read_texts(n)); /* first, as they are quick to refuse */
    SPX_RETURN_IF(read_split(n, SPX_SPLIT_TRAIN));
    SPX_RETURN_IF(read_split(n, SPX_SPLIT_TEST));
    return spx_list_finish_labelled(n->l, &n->labels, &n->names, UNLABELLED);
}

spx_status spx_list_imagenet(spx_pack_list *l, const char *src, const spx_pack_build_options *o)
{
    imagenet *n;
    spx_status st;
    (void)o;
    SPX_RETURN_IF(SPX_NEW(n, 1));
    n->l = l;
    n->src = src;
    st = read_all(n);
    spx_side_text_clear(&n->labels);
    spx_side_text_clear(&n->names);
    spx_side_text_clear(&n->truth);
    spx_side_text_clear(&n->meta);
    spx_free(n);
    return st;
}
