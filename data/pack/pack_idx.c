/*
 * The IDX form of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist): big-endian u32 magic
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
static spx_status read_header(spx_source *s, uint32_t magic, uint32_t *dims)
{
    const size_t rank = magic & 0xff;
    unsigned char bytes[4 + 4 * 3];
    size_t total = 1;
    SPX_RETURN_IF(spx_source_read(s, bytes, 4));
    if (big_endian(bytes) != magic) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: offset 0: expected IDX magic 0x%08" PRIx32 ", found 0x%08" PRIx32,
                        s->path, magic, big_endian(bytes));
    }
    SPX_RETURN_IF(spx_source_read(s, bytes + 4, 4 * rank));
    for (size_t i = 0; i < rank; i++) {
        dims[i] = big_endian(bytes + 4 + 4 * i);
        if (!spx_mul_size(total, dims[i], &total)) {
            return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: absurd size", s->path, 4 + 4 * i);
        }
    }
    if (total == 0 || total > spx_source_limit(s)) {
        return SPX_FAIL(
            SPX_EFORMAT,
            "%s: offset 4: header claims %zu bytes, expected 1 to %zu in a file of this size",
            s->path, total, spx_source_limit(s));
    }
    return SPX_OK;
}

static spx_status read_images(spx_pack *p, spx_split split, const char *path)
{
    spx_source s;
    uint32_t dims[3] = {0};
    spx_status st;
    SPX_TRY(st, spx_source_open(&s, path, p), done);
    SPX_TRY(st, read_header(&s, MAGIC_IMAGES, dims), done);
    if (dims[1] != (uint32_t)p->height || dims[2] != (uint32_t)p->width) {
        st =
            SPX_FAIL(SPX_EFORMAT, "%s: offset 8: images of %" PRIu32 "x%" PRIu32 ", expected %dx%d",
                     path, dims[1], dims[2], p->height, p->width);
        goto done;
    }
    SPX_TRY(st, spx_pack_reserve(p, split, dims[0]), done);
    SPX_TRY(st, spx_source_read(&s, p->split[split].images, dims[0] * spx_pack_image_bytes(p)),
            done);
    st = spx_source_end(&s);
done:
    spx_source_close(&s);
    return st;
}

static spx_status read_labels(spx_pack *p, spx_split split, const char *path)
{
    spx_pack_split *to = &p->split[split];
    void *bytes = NULL;
    spx_source s;
    uint32_t count = 0;
    spx_status st;
    SPX_TRY(st, spx_source_open(&s, path, p), done);
    SPX_TRY(st, read_header(&s, MAGIC_LABELS, &count), done);
    if (count != to->count) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: offset 4: %" PRIu32 " labels, expected %zu, one an image",
                      path, count, to->count);
        goto done;
    }
    SPX_TRY(st, spx_alloc(&bytes, count), done);
    SPX_TRY(st, spx_source_read(&s, bytes, count), done);
    SPX_TRY(st, spx_source_end(&s), done);
    for (size_t i = 0; i < count; i++) {
        to->labels[i] = ((const uint8_t *)bytes)[i];
        if (to->labels[i] >= p->classes) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: label %d, expected 0 to %d", path, 8 + i,
                          to->labels[i], p->classes - 1);
            goto done;
        }
    }
done:
    spx_free(bytes);
    spx_source_close(&s);
    return st;
}

/* The file under either spelling in circulation, plain or compressed. */
static spx_status find(const char *folder, const char *prefix, const char *what, int rank,
                       char path[PATH_MAX])
{
    static const char *const forms[] = {"-", "-", ".", "."}, *const ends[] = {"", ".gz", "", ".gz"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const int n = snprintf(path, PATH_MAX, "%s/%s-%s%sidx%d-ubyte%s", folder, prefix, what,
                               forms[i], rank, ends[i]);
        if (n > 0 && n < PATH_MAX && access(path, F_OK) == 0) {
            return SPX_OK;
        }
    }
    return SPX_FAIL(SPX_ENOTFOUND, "%s: expected %s-%s-idx%d-ubyte, plain or .gz, in this folder",
                    folder, prefix, what, rank);
}

spx_status spx_pack_read_idx(spx_pack *p, const char *src)
{
    static const char *const prefix[SPX_SPLIT_COUNT] = {"train", "t10k"};
    char path[PATH_MAX];
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        SPX_RETURN_IF(find(src, prefix[s], "images", 3, path));
        SPX_RETURN_IF(read_images(p, (spx_split)s, path));
        SPX_RETURN_IF(find(src, prefix[s], "labels", 1, path));
        SPX_RETURN_IF(read_labels(p, (spx_split)s, path));
    }
    return SPX_OK;
}
