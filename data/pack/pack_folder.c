/*
 * Own pictures: one folder a class, its name the class's, with PNG files of one size; in train/ and
 * test/ (or val/, valid/), or of one level, from which a share of each class is held out.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/image/image.h"
#include "data/pack/pack_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"

#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define MAX_FILE_BYTES ((size_t)64 << 20)

/* One picture to read. */
typedef struct picture {
    char *path;
    uint16_t label;
    spx_split split;
} picture;

/* The list of pictures and what reading them gathers. */
typedef struct album {
    picture *at;
    size_t n, room;
    char **class;
    size_t classes;
    crypto_hash_sha256_state digest; /* over names and contents, in order */
    bool grey;                       /* so far */
} album;

static void album_clear(album *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(a->at[i].path);
    }
    free(a->at);
    spx_names_free(a->class, a->classes);
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n > m && strcasecmp(name + n - m, end) == 0;
}

static spx_status add_picture(album *a, const char *folder, const char *name, size_t label,
                              spx_split split)
{
    char path[PATH_MAX];
    SPX_RETURN_IF(spx_fail_context(SPX_GROW(a->at, a->n, a->room), "%s", folder));
    if (!spx_path_join(path, folder, name)) {
        return SPX_FAIL(SPX_EINVAL, "%s/%.60s...: the path is too long", folder, name);
    }
    a->at[a->n] = (picture){strdup(path), (uint16_t)label, split};
    return a->at[a->n++].path != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "%s: names", folder);
}

/* Which pictures [first, n) of one class become test images: a share, by the seed alone. */
static void hold_out(album *a, size_t first, size_t label, const spx_pack_build_options *o)
{
    const size_t count = a->n - first;
    size_t out = (size_t)(o->held_out * (double)count + 0.5), left = count;
    spx_rng r;
    out = out == 0 && o->held_out > 0 && count > 1 ? 1 : out < count ? out : count - 1;
    spx_rng_init(&r, o->seed, SPX_RNG_SPLIT, label);
    for (size_t i = first; i < a->n && out > 0; i++, left--) { /* each subset as likely */
        if (spx_rng_below(&r, (uint32_t)left) < out) {
            a->at[i].split = SPX_SPLIT_TEST;
            out--;
        }
    }
}

/* Lists the pictures of one class. */
static spx_status list_class(album *a, const char *folder, size_t label, spx_split split)
{
    char **names;
    size_t n, before = a->n;
    spx_status st;
    SPX_RETURN_IF(spx_names_of_folder(folder, &names, &n));
    for (size_t i = 0; i < n; i++) {
        if (!ends_in(names[i], ".png")) {
            st = SPX_FAIL(SPX_EFORMAT,
                          "%s/%s: a class's folder holds PNG files only: convert it, or take it "
                          "out",
                          folder, names[i]);
            goto done;
        }
        SPX_TRY(st, add_picture(a, folder, names[i], label, split), done);
    }
    st = a->n > before ? SPX_OK : SPX_FAIL(SPX_EFORMAT, "%s: a class without pictures", folder);
done:
    spx_names_free(names, n);
    return st;
}

/* Takes the folders in src as classes, or holds them to those that are known. */
static spx_status take_classes(album *a, const char *src)
{
    char **names, path[PATH_MAX];
    size_t n;
    spx_status st = SPX_OK;
    SPX_RETURN_IF(spx_names_of_folder(src, &names, &n));
    if (n > SPX_PACK_MAX_CLASSES) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: %zu folders, expected at most %d classes", src, n,
                      SPX_PACK_MAX_CLASSES);
    }
    for (size_t i = 0; i < n && st == SPX_OK; i++) {
        const bool known =
            a->class == NULL || (n == a->classes && strcmp(names[i], a->class[i]) == 0);
        if (!spx_path_join(path, src, names[i]) || !is_folder(path) ||
            strchr(names[i], '\n') != NULL) {
            st = SPX_FAIL(SPX_EFORMAT, "%s/%s: expected nothing but a folder for each class", src,
                          names[i]);
        } else if (!known) {
            st =
                SPX_FAIL(SPX_EFORMAT,
                         "%s: %zu classes, among them %s; train has %zu, and the same are expected",
                         src, n, names[i], a->classes);
        }
    }
    if (st == SPX_OK && n == 0) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: empty, expected a folder for each class", src);
    }
    if (st == SPX_OK && a->class != NULL && n != a->classes) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: %zu classes, expected %zu", src, n, a->classes);
    }
    if (st == SPX_OK && a->class == NULL) {
        a->class = names;
        a->classes = n;
    } else {
        spx_names_free(names, n);
    }
    return st;
}

static spx_status list_split(album *a, const char *src, spx_split split,
                             const spx_pack_build_options *hold)
{
    char path[PATH_MAX];
    SPX_RETURN_IF(take_classes(a, src));
    for (size_t k = 0; k < a->classes; k++) {
        const size_t before = a->n;
        if (!spx_path_join(path, src, a->class[k])) {
            return SPX_FAIL(SPX_EINVAL, "%s: a path is too long", src);
        }
        SPX_RETURN_IF(list_class(a, path, k, split));
        if (hold != NULL) {
            hold_out(a, before, k, hold);
        }
    }
    return SPX_OK;
}

static spx_status list_all(album *a, const char *src, const spx_pack_build_options *o)
{
    static const char *const test[] = {"test", "val", "valid"};
    char path[PATH_MAX];
    if (!is_folder(src)) {
        return spx_pack_not_found(src, "a folder a class, or train and test (or val) of such");
    }
    if (!spx_path_join(path, src, "train") || !is_folder(path)) {
        return list_split(a, src, SPX_SPLIT_TRAIN, o);
    }
    SPX_RETURN_IF(list_split(a, path, SPX_SPLIT_TRAIN, NULL));
    for (size_t i = 0; i < sizeof test / sizeof *test; i++) {
        if (spx_path_join(path, src, test[i]) && is_folder(path)) {
            return list_split(a, path, SPX_SPLIT_TEST, NULL);
        }
    }
    return spx_pack_not_found(src, "test, val or valid beside train");
}

/* Decodes one picture into its place, as colour; the first one tells the size of all. */
static spx_status take_picture(spx_pack *p, album *a, const picture *from, size_t to,
                               const spx_image *like)
{
    const char *path = from->path;
    unsigned char one[crypto_hash_sha256_BYTES];
    spx_image image;
    void *bytes;
    size_t size, plane;
    spx_status st;
    SPX_RETURN_IF(spx_file_read(path, MAX_FILE_BYTES, &bytes, &size));
    (void)crypto_hash_sha256(one, bytes, size);
    (void)crypto_hash_sha256_update(&a->digest, one, sizeof one);
    st = spx_image_decode(&image, path, bytes, size, 3);
    spx_free(bytes);
    SPX_RETURN_IF(st);
    plane = (size_t)image.height * (size_t)image.width;
    if (image.height != like->height || image.width != like->width) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: %dx%d pixels, others have %dx%d: make them one size", path,
                      image.height, image.width, like->height, like->width);
    } else {
        memcpy(p->split[from->split].images + to * 3 * plane, image.pixels, 3 * plane);
        p->split[from->split].labels[to] = from->label;
        a->grey = a->grey && memcmp(image.pixels, image.pixels + plane, plane) == 0 &&
                  memcmp(image.pixels, image.pixels + 2 * plane, plane) == 0;
    }
    spx_image_clear(&image);
    return st;
}

/* Where no picture has colour, one channel holds all. */
static void drop_colour(spx_pack *p)
{
    const size_t plane = (size_t)p->height * (size_t)p->width;
    p->channels = 1;
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        for (size_t i = 1; i < p->split[s].count; i++) {
            memcpy(p->split[s].images + i * plane, p->split[s].images + i * 3 * plane, plane);
        }
    }
}

static spx_status describe(spx_pack *p, album *a, const char *src)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof digest + 1];
    const size_t n = strlen(src) + sizeof hex + 64;
    size_t bytes = 1;
    for (size_t k = 0; k < a->classes; k++) {
        bytes += strlen(a->class[k]) + 1;
    }
    SPX_RETURN_IF(SPX_NEW(p->class_names, bytes));
    for (size_t k = 0, at = 0; k < a->classes; k++) {
        at += (size_t)snprintf(p->class_names + at, bytes - at, "%s%s", k > 0 ? "\n" : "",
                               a->class[k]);
    }
    p->classes = (int)a->classes;
    (void)crypto_hash_sha256_final(&a->digest, digest);
    (void)sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    SPX_RETURN_IF(SPX_NEW(p->sources, n));
    (void)snprintf(p->sources, n, "%s  %s (of the %zu files' SHA-256, in order)\n", hex, src, a->n);
    return SPX_OK;
}

static spx_status read_pictures(spx_pack *p, album *a)
{
    size_t at[SPX_SPLIT_COUNT] = {0};
    spx_image like;
    for (size_t i = 0; i < a->n; i++) {
        at[a->at[i].split]++;
    }
    SPX_RETURN_IF(spx_image_read(&like, a->at[0].path, 3));
    spx_free(like.pixels); /* its sides are what counts */
    if (like.height > SPX_PACK_MAX_SIDE || like.width > SPX_PACK_MAX_SIDE) {
        return SPX_FAIL(SPX_EFORMAT, "%s: sides of at most %d pixels are expected", a->at[0].path,
                        SPX_PACK_MAX_SIDE);
    }
    p->channels = 3;
    p->height = like.height;
    p->width = like.width;
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        if (at[s] > 0) {
            SPX_RETURN_IF(spx_pack_reserve(p, (spx_split)s, at[s]));
        }
        at[s] = 0;
    }
    for (size_t i = 0; i < a->n; i++) {
        SPX_RETURN_IF(take_picture(p, a, &a->at[i], at[a->at[i].split]++, &like));
    }
    return SPX_OK;
}

spx_status spx_pack_read_folder(spx_pack *p, const spx_pack_kind *k, const char *src,
                                const spx_pack_build_options *o)
{
    album a = {.grey = true};
    spx_status st;
    (void)k;
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "libsodium does not start");
    }
    (void)crypto_hash_sha256_init(&a.digest);
    SPX_TRY(st, list_all(&a, src, o), done);
    SPX_TRY(st, read_pictures(p, &a), done);
    if (a.grey) {
        drop_colour(p);
    }
    st = describe(p, &a, src);
done:
    album_clear(&a);
    return st;
}
