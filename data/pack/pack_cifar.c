/*
 * The binary version of CIFAR (https://www.cs.toronto.edu/~kriz/cifar.html): records of one label
 * byte (CIFAR-100: coarse, then fine) and 3 x 32 x 32 bytes, no header.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_private.h"
#include "kernels/base/alloc.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MAX_PARTS 5

/* Files of one split, in order. */
typedef struct parts {
    const char *name[MAX_PARTS + 1];
} parts;

static const parts cifar10_parts[SPX_SPLIT_COUNT] = {
    {{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
      "data_batch_5.bin"}},
    {{"test_batch.bin"}}};
static const parts cifar100_parts[SPX_SPLIT_COUNT] = {{{"train.bin"}}, {{"test.bin"}}};

static const parts *parts_of(const spx_pack *p)
{
    return p->coarse_classes > 0 ? cifar100_parts : cifar10_parts;
}

static spx_status check_label(const char *path, size_t offset, int label, int classes)
{
    if (label >= classes) {
        return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: label %d, expected 0 to %d", path, offset,
                        label, classes - 1);
    }
    return SPX_OK;
}

static spx_status read_records(spx_pack *p, spx_pack_split *to, size_t first, size_t count,
                               spx_source *s)
{
    const size_t image = spx_pack_image_bytes(p), labels = p->coarse_classes > 0 ? 2 : 1;
    for (size_t i = first; i < first + count; i++) {
        const size_t at = s->at;
        uint8_t label[2];
        SPX_RETURN_IF(spx_source_read(s, label, labels));
        SPX_RETURN_IF(spx_source_read(s, to->images + i * image, image));
        if (labels == 2) {
            SPX_RETURN_IF(check_label(s->path, at, label[0], p->coarse_classes));
            to->coarse[i] = label[0];
        }
        SPX_RETURN_IF(check_label(s->path, at + labels - 1, label[labels - 1], p->classes));
        to->labels[i] = label[labels - 1];
    }
    return SPX_OK;
}

/* Reads the files named path[0..n) as one split. */
static spx_status read_split(spx_pack *p, spx_split split, char path[][PATH_MAX], size_t n)
{
    const size_t record = spx_pack_image_bytes(p) + (p->coarse_classes > 0 ? 2 : 1);
    spx_source s[MAX_PARTS] = {{0}};
    size_t count = 0, first = 0;
    spx_status st = SPX_OK;
    for (size_t i = 0; i < n; i++) {
        SPX_TRY(st, spx_source_open(&s[i], path[i], p), done);
        if (s[i].gzip || s[i].raw_size == 0 || s[i].raw_size % record != 0) {
            st = SPX_FAIL(SPX_EFORMAT,
                          "%s: offset 0: %zu bytes, expected a multiple of %zu, one record",
                          path[i], s[i].raw_size, record);
            goto done;
        }
        count += s[i].raw_size / record;
    }
    SPX_TRY(st, spx_pack_reserve(p, split, count), done);
    for (size_t i = 0; i < n; i++) {
        SPX_TRY(st, read_records(p, &p->split[split], first, s[i].raw_size / record, &s[i]), done);
        first += s[i].raw_size / record;
    }
done:
    for (size_t i = 0; i < n; i++) {
        spx_source_close(&s[i]);
    }
    return st;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

spx_status spx_pack_read_cifar(spx_pack *p, const char *src)
{
    char path[MAX_PARTS][PATH_MAX];
    if (ends_with(src, ".bin")) {
        const char *slash = strrchr(src, '/');
        const bool test = strncmp(slash != NULL ? slash + 1 : src, "test", 4) == 0;
        (void)snprintf(path[0], PATH_MAX, "%s", src);
        return read_split(p, test ? SPX_SPLIT_TEST : SPX_SPLIT_TRAIN, path, 1);
    }
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        const parts *of = &parts_of(p)[s];
        size_t n = 0;
        for (; of->name[n] != NULL; n++) {
            const int length = snprintf(path[n], PATH_MAX, "%s/%s", src, of->name[n]);
            if (length < 0 || length >= PATH_MAX) {
                return SPX_FAIL(SPX_EINVAL, "path of %zu bytes is too long", strlen(src));
            }
        }
        SPX_RETURN_IF(read_split(p, (spx_split)s, path, n));
    }
    return SPX_OK;
}
