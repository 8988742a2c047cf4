/*
 * The IDX form of MNIST and its kin (http://yann.lecun.com/exdb/mnist; EMNIST: Cohen and others,
 * arXiv 1702.05373, whose letters count from 1): big-endian u32 magic
 * (type 8 = u8, then the rank), the dimensions, then the bytes.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_private.h"
#include "kernels/base/alloc.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAGIC_LABELS 0x00000801u
#define MAGIC_IMAGES 0x00000803u

static uint32_t big_endian(const unsigned char *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Reads magic and dimensions; what follows must be able to hold them. */
static spx_status read_header(spx_pack_input *s, uint32_t magic, uint32_t *dims)
{
    const size_t rank = magic & 0xff;
    unsigned char bytes[4 + 4 * 3];
    size_t total = 1;
    SPX_RETURN_IF(spx_pack_input_read(s, bytes, 4));
    if (big_endian(bytes) != magic) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: offset 0: expected IDX magic 0x%08" PRIx32 ", found 0x%08" PRIx32,
                        s->path, magic, big_endian(bytes));
    }
    SPX_RETURN_IF(spx_pack_input_read(s, bytes + 4, 4 * rank));
    for (size_t i = 0; i < rank; i++) {
        dims[i] = big_endian(bytes + 4 + 4 * i);
        if (!spx_mul_size(total, dims[i], &total)) {
            return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: absurd size", s->path, 4 + 4 * i);
        }
    }
    if (total == 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: offset 4: header claims 0 bytes: nothing in it", s->path);
    }
    if (total > spx_pack_input_limit(s)) {
        return SPX_FAIL(
            SPX_EFORMAT,
            "%s: offset 4: header claims %zu bytes, expected 1 to %zu in a file of this size",
            s->path, total, spx_pack_input_limit(s));
    }
    return SPX_OK;
}

static spx_status read_images(spx_pack *p, spx_split split, const char *path)
{
    spx_pack_input s;
    uint32_t dims[3] = {0};
    spx_status st;
    SPX_TRY(st, spx_pack_input_open(&s, path, p), done);
    SPX_TRY(st, read_header(&s, MAGIC_IMAGES, dims), done);
    if (dims[1] != (uint32_t)p->height || dims[2] != (uint32_t)p->width) {
        st =
            SPX_FAIL(SPX_EFORMAT, "%s: offset 8: images of %" PRIu32 "x%" PRIu32 ", expected %dx%d",
                     path, dims[1], dims[2], p->height, p->width);
        goto done;
    }
    SPX_TRY(st, spx_pack_reserve(p, split, dims[0]), done);
    SPX_TRY(st, spx_pack_input_read(&s, p->split[split].images, dims[0] * spx_pack_image_bytes(p)),
            done);
    st = spx_pack_input_end(&s);
done:
    spx_pack_input_close(&s);
    return st;
}

static spx_status read_labels(spx_pack *p, const spx_pack_kind *kind, spx_split split,
                              const char *path)
{
    spx_pack_split *to = &p->split[split];
    const int first = kind->first_label;
    void *bytes = NULL;
    spx_pack_input s;
    uint32_t count = 0;
    spx_status st;
    SPX_TRY(st, spx_pack_input_open(&s, path, p), done);
    SPX_TRY(st, read_header(&s, MAGIC_LABELS, &count), done);
    if (count != to->count) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: offset 4: %" PRIu32 " labels, expected %zu, one an image",
                      path, count, to->count);
        goto done;
    }
    SPX_TRY(st, spx_alloc(&bytes, count), done);
    SPX_TRY(st, spx_pack_input_read(&s, bytes, count), done);
    SPX_TRY(st, spx_pack_input_end(&s), done);
    for (size_t i = 0; i < count; i++) {
        const int label = ((const uint8_t *)bytes)[i];
        if (label < first || label >= first + p->classes) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: label %d, expected %d to %d%s", path, 8 + i,
                          label, first, first + p->classes - 1,
                          kind->label_hint != NULL ? kind->label_hint : "");
            goto done;
        }
        to->labels[i] = (uint16_t)(label - first);
    }
done:
    spx_free(bytes);
    spx_pack_input_close(&s);
    return st;
}

/* The file under either spelling in circulation, plain or compressed. */
static bool find(const char *folder, const char *prefix, const char *what, int rank,
                 char path[PATH_MAX])
{
    static const char *const forms[] = {"-", "-", ".", "."}, *const ends[] = {"", ".gz", "", ".gz"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const int n = snprintf(path, PATH_MAX, "%s/%s-%s%sidx%d-ubyte%s", folder, prefix, what,
                               forms[i], rank, ends[i]);
        if (n > 0 && n < PATH_MAX && access(path, F_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* The folder below src that has the training images: src, or where torchvision keeps them. */
static bool find_folder(const char *src, const char *const *below, const char *prefix,
                        char folder[PATH_MAX])
{
    char path[PATH_MAX];
    for (; *below != NULL; below++) {
        if (spx_path_join(folder, src, *below) && find(folder, prefix, "images", 3, path)) {
            return true;
        }
    }
    return false;
}

static spx_status read_files(spx_pack *p, const spx_pack_kind *kind, const char *src,
                             const char *const *below, const char *const prefix[SPX_SPLIT_COUNT])
{
    static const char *const what[] = {"images", "labels"};
    char folder[PATH_MAX], path[PATH_MAX], wanted[160];
    const bool found = find_folder(src, below, prefix[SPX_SPLIT_TRAIN], folder);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        for (int k = 0; k < 2; k++) {
            const int rank = k == 0 ? 3 : 1;
            if (!found || !find(folder, prefix[s], what[k], rank, path)) {
                (void)snprintf(wanted, sizeof wanted,
                               "%s-%s-idx%d-ubyte, plain or .gz, here, in raw or in %s", prefix[s],
                               what[k], rank, below[2]);
                return spx_pack_not_found(found ? folder : src, wanted);
            }
            SPX_RETURN_IF(k == 0 ? read_images(p, (spx_split)s, path)
                                 : read_labels(p, kind, (spx_split)s, path));
        }
    }
    return SPX_OK;
}

spx_status spx_pack_read_idx(spx_pack *p, const spx_pack_kind *k, const char *src,
                             const spx_pack_build_options *o)
{
    static const char *const prefix[SPX_SPLIT_COUNT] = {"train", "t10k"};
    const char *const below[] = {".", "raw", k->home, NULL};
    (void)o;
    return read_files(p, k, src, below, prefix);
}

/* Images of EMNIST lie on their side, as its authors' MATLAB had them: rows and columns change
 * places. */
static void stand_up(spx_pack *p, spx_split split)
{
    const size_t side = (size_t)p->height;
    for (size_t i = 0; i < p->split[split].count; i++) {
        uint8_t *image = p->split[split].images + i * side * side;
        for (size_t y = 0; y < side; y++) {
            for (size_t x = y + 1; x < side; x++) {
                const uint8_t v = image[y * side + x];
                image[y * side + x] = image[x * side + y];
                image[x * side + y] = v;
            }
        }
    }
}

spx_status spx_pack_read_emnist(spx_pack *p, const spx_pack_kind *k, const char *src,
                                const spx_pack_build_options *o)
{
    static const char *const below[] = {".", "raw", "EMNIST/raw", "gzip", "EMNIST/raw/gzip", NULL};
    static const char *const renamed[SPX_SPLIT_COUNT] = {"train", "t10k"}; /* for MNIST's readers */
    char name[SPX_SPLIT_COUNT][48], folder[PATH_MAX];
    const char *const prefix[SPX_SPLIT_COUNT] = {name[0], name[1]};
    (void)o;
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        (void)snprintf(name[s], sizeof name[s], "%s-%s", k->name, spx_split_name((spx_split)s));
    }
    SPX_RETURN_IF(read_files(p, k, src, below,
                             !find_folder(src, below, prefix[0], folder) &&
                                     find_folder(src, below, renamed[0], folder)
                                 ? renamed
                                 : prefix));
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        stand_up(p, (spx_split)s);
    }
    return SPX_OK;
}
