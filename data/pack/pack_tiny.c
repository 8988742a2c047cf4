/*
 * Tiny-ImageNet (CS231n, Stanford): tiny-imagenet-200.zip, or its folder. train/KEY/images has the
 * pictures of a class; val/images those to test on, whose classes val/val_annotations.txt names, or
 * val is sorted into folders of classes as many keep it. wnids.txt has the keys, words.txt the
 * names. What lies in test has no labels and is not used.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_archive_private.h"
#include "data/pack/pack_labels_private.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HOME "tiny-imagenet-200"
#define WANTED HOME ".zip, or " HOME " with train and val"

enum { CLASSES, NAMES, LABELS, TEXTS };
static const char *const text_names[TEXTS] = {"wnids.txt", "words.txt", "val/val_annotations.txt"};

typedef struct tiny {
    spx_pack_list *l;
    spx_side_text text[TEXTS];
    const char *prefix; /* of names in the archive, above train/ */
    size_t prefix_n;
    uint8_t container;
} tiny;

/* ---- the archive ---- */

/* Notes the place in front of the first train/ there is. */
static spx_status find_prefix(void *ctx, const spx_container *c, const spx_archive_member *m)
{
    static const char train[] = "train/", below[] = HOME "/";
    tiny *t = ctx;
    (void)c;
    for (size_t n = 0; t->prefix == NULL && n <= sizeof below - 1; n += sizeof below - 1) {
        if (m->length > n + sizeof train - 1 && memcmp(m->name, below, n) == 0 &&
            memcmp(m->name + n, train, sizeof train - 1) == 0) {
            t->prefix = n > 0 ? below : "";
            t->prefix_n = n;
        }
    }
    return SPX_OK;
}

static spx_status take_text(tiny *t, const spx_container *c, const spx_archive_member *m, int which)
{
    char where[PATH_MAX];
    void *bytes;
    (void)snprintf(where, sizeof where, "%s/%.*s", c->path, (int)m->length, m->name);
    if (m->where.size > SPX_SIDE_TEXT_MAX) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %zu bytes, expected at most %zu", where,
                        (size_t)m->where.size, SPX_SIDE_TEXT_MAX);
    }
    SPX_RETURN_IF(spx_zip_read(c, &m->where, &bytes));
    return spx_side_text_take(&t->text[which], t->l, where, bytes, m->where.size);
}

static bool starts(const char *name, size_t n, const char *with)
{
    return n > strlen(with) && memcmp(name, with, strlen(with)) == 0;
}

static spx_status take_member(void *ctx, const spx_container *c, const spx_archive_member *m)
{
    tiny *t = ctx;
    const char *name = m->name + t->prefix_n;
    const size_t n = m->length - t->prefix_n;
    const bool train = starts(name, n, "train/");
    spx_place where = m->where;
    if (m->length <= t->prefix_n || memcmp(m->name, t->prefix, t->prefix_n) != 0) {
        return SPX_OK;
    }
    for (int i = 0; i < TEXTS; i++) {
        if (n == strlen(text_names[i]) && memcmp(name, text_names[i], n) == 0) {
            return take_text(t, c, m, i);
        }
    }
    if (!train && !starts(name, n, "val/")) {
        return SPX_OK;
    }
    if (!spx_list_is_picture(name, n)) {
        spx_list_pass_over(t->l, 1);
        return SPX_OK;
    }
    where.container = t->container;
    return spx_list_add(t->l, train ? SPX_SPLIT_TRAIN : SPX_SPLIT_TEST, name, n, &where);
}

static spx_status read_archive(tiny *t, const char *path)
{
    const spx_container *c;
    SPX_RETURN_IF(spx_list_container(t->l, path, &c, &t->container));
    SPX_RETURN_IF(spx_zip_walk(c, find_prefix, t));
    return t->prefix != NULL ? spx_zip_walk(c, take_member, t)
                             : SPX_FAIL(SPX_ENOTFOUND,
                                        "%s: looked for train/ in it, or in " HOME "/ in it", path);
}

/* ---- the folder ---- */

static spx_status read_folder(tiny *t, const char *folder)
{
    SPX_RETURN_IF(spx_list_root(t->l, folder));
    for (int i = 0; i < TEXTS; i++) {
        SPX_RETURN_IF(spx_side_text_read(&t->text[i], t->l, folder, text_names[i]));
    }
    SPX_RETURN_IF(spx_list_walk(t->l, folder, "train", SPX_SPLIT_TRAIN, false));
    return spx_list_walk(t->l, folder, "val", SPX_SPLIT_TEST, false);
}

/* Finds and reads what src is or has in it. */
static spx_status read_any(tiny *t, const char *src)
{
    char path[PATH_MAX], part[PATH_MAX];
    struct stat info;
    if (stat(src, &info) == 0 && !S_ISDIR(info.st_mode)) {
        return read_archive(t, src);
    }
    for (int i = 0; i < 2; i++) {
        if (spx_path_join(path, src, i == 0 ? "." : HOME) && spx_path_join(part, path, "train") &&
            spx_is_folder(part)) {
            return spx_path_join(part, path, "val") && spx_is_folder(part)
                       ? read_folder(t, path)
                       : spx_pack_not_found(path, "val beside train");
        }
    }
    return spx_path_join(path, src, HOME ".zip") && stat(path, &info) == 0
               ? read_archive(t, path)
               : spx_pack_not_found(src, WANTED);
}

spx_status spx_list_tiny(spx_pack_list *l, const char *src, const spx_pack_build_options *o)
{
    tiny t = {.l = l};
    spx_status st;
    (void)o;
    SPX_TRY(st, read_any(&t, src), done);
    if (t.text[CLASSES].text == NULL) {
        st = SPX_FAIL(SPX_ENOTFOUND, "%s: looked for wnids.txt beside train and val", src);
        goto done;
    }
    SPX_TRY(st, spx_list_read_classes(l, &t.text[CLASSES]), done);
    st = spx_list_finish_labelled(l, &t.text[LABELS], &t.text[NAMES],
                                  ", and val/val_annotations.txt is not there");
done:
    for (int i = 0; i < TEXTS; i++) {
        spx_side_text_clear(&t.text[i]);
    }
    return st;
}
