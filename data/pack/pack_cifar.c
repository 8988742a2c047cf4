/*
 * CIFAR (https://www.cs.toronto.edu/~kriz/cifar.html). Its binary version: records of one label
 * byte (CIFAR-100: coarse, then fine) and 3 x 32 x 32 bytes, no header. Its python version: pickled
 * dictionaries of an array (N, 3072) and lists of labels.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_private.h"
#include "kernels/base/alloc.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_PARTS 5

/* Files of one split, in order. */
typedef struct parts {
    const char *name[MAX_PARTS + 1];
} parts;

/* One published version of a set. */
typedef struct form {
    parts split[SPX_SPLIT_COUNT];
    const char *folder; /* its archive's, in which torchvision leaves it, too */
    bool python;
} form;

static const form cifar10_forms[] = {
    {{{{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
        "data_batch_5.bin"}},
      {{"test_batch.bin"}}},
     "cifar-10-batches-bin",
     false},
    {{{{"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"}},
      {{"test_batch"}}},
     "cifar-10-batches-py",
     true}};
static const form cifar100_forms[] = {
    {{{{"train.bin"}}, {{"test.bin"}}}, "cifar-100-binary", false},
    {{{{"train"}}, {{"test"}}}, "cifar-100-python", true}};

static spx_status check_label(const char *path, size_t offset, int label, int classes)
{
    if (label >= classes) {
        return SPX_FAIL(SPX_EFORMAT, "%s: offset %zu: label %d, expected 0 to %d", path, offset,
                        label, classes - 1);
    }
    return SPX_OK;
}

static spx_status read_records(spx_pack *p, spx_pack_split *to, size_t first, size_t count,
                               spx_pack_input *s)
{
    const size_t image = spx_pack_image_bytes(p), labels = p->coarse_classes > 0 ? 2 : 1;
    for (size_t i = first; i < first + count; i++) {
        const size_t at = s->at;
        uint8_t label[2];
        SPX_RETURN_IF(spx_pack_input_read(s, label, labels));
        SPX_RETURN_IF(spx_pack_input_read(s, to->images + i * image, image));
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
    spx_pack_input s[MAX_PARTS] = {{0}};
    size_t count = 0, first = 0;
    spx_status st = SPX_OK;
    for (size_t i = 0; i < n; i++) {
        SPX_TRY(st, spx_pack_input_open(&s[i], path[i], p), done);
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
        spx_pack_input_close(&s[i]);
    }
    return st;
}

/* Copies one pickled file behind the `first` images that p has. */
static spx_status take_pickle(spx_pack *p, spx_split split, size_t first, size_t rows,
                              const uint8_t *data, const spx_pickle *from)
{
    spx_pack_split *to = &p->split[split];
    const bool coarse = p->coarse_classes > 0;
    memcpy(to->images + first * spx_pack_image_bytes(p), data, rows * spx_pack_image_bytes(p));
    if (coarse) {
        SPX_RETURN_IF(
            spx_pickle_labels(from, "coarse_labels", rows, p->coarse_classes, to->coarse + first));
    }
    return spx_pickle_labels(from, coarse ? "fine_labels" : "labels", rows, p->classes,
                             to->labels + first);
}

/* Reads the python version's files named path[0..n) as one split. */
static spx_status read_python_split(spx_pack *p, spx_split split, char path[][PATH_MAX], size_t n)
{
    spx_pack_input s[MAX_PARTS] = {{0}};
    spx_pickle *pickle[MAX_PARTS] = {NULL};
    size_t rows[MAX_PARTS], count = 0, first = 0;
    const uint8_t *data[MAX_PARTS];
    spx_status st = SPX_OK;
    for (size_t i = 0; i < n; i++) {
        SPX_TRY(st, spx_pack_input_open(&s[i], path[i], p), done);
        SPX_TRY(st, spx_pickle_open(&pickle[i], path[i], s[i].raw, s[i].raw_size), done);
        SPX_TRY(st,
                spx_pickle_bytes(pickle[i], "data", spx_pack_image_bytes(p), &rows[i], &data[i]),
                done);
        count += rows[i];
    }
    SPX_TRY(st, spx_pack_reserve(p, split, count), done);
    for (size_t i = 0; i < n; i++) {
        SPX_TRY(st, take_pickle(p, split, first, rows[i], data[i], pickle[i]), done);
        first += rows[i];
    }
done:
    for (size_t i = 0; i < n; i++) {
        spx_pickle_close(pickle[i]);
        spx_pack_input_close(&s[i]);
    }
    return st;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The version that lies in src or below it, and its folder; NULL: none. */
static const form *find_form(const form *of, const char *src, char folder[PATH_MAX])
{
    char path[PATH_MAX];
    for (size_t i = 0; i < 4; i++) {
        const form *f = &of[i % 2];
        if (spx_path_join(folder, src, i < 2 ? "." : f->folder) &&
            spx_path_join(path, folder, f->split[SPX_SPLIT_TRAIN].name[0]) &&
            access(path, F_OK) == 0) {
            return f;
        }
    }
    return NULL;
}

static spx_status read_form(spx_pack *p, const form *f, const char *folder)
{
    char path[MAX_PARTS][PATH_MAX];
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        const parts *of = &f->split[s];
        size_t n = 0;
        for (; of->name[n] != NULL; n++) {
            if (!spx_path_join(path[n], folder, of->name[n]) || access(path[n], F_OK) != 0) {
                return spx_pack_not_found(folder, of->name[n]);
            }
        }
        SPX_RETURN_IF(f->python ? read_python_split(p, (spx_split)s, path, n)
                                : read_split(p, (spx_split)s, path, n));
    }
    return SPX_OK;
}

spx_status spx_pack_read_cifar(spx_pack *p, const spx_pack_kind *k, const char *src,
                               const spx_pack_build_options *o)
{
    const form *forms = p->coarse_classes > 0 ? cifar100_forms : cifar10_forms, *f;
    char path[1][PATH_MAX], folder[PATH_MAX], wanted[200];
    (void)k;
    (void)o;
    if (ends_with(src, ".bin")) {
        const char *slash = strrchr(src, '/');
        const bool test = strncmp(slash != NULL ? slash + 1 : src, "test", 4) == 0;
        (void)snprintf(path[0], PATH_MAX, "%s", src);
        return read_split(p, test ? SPX_SPLIT_TEST : SPX_SPLIT_TRAIN, path, 1);
    }
    f = find_form(forms, src, folder);
    if (f == NULL) {
        (void)snprintf(wanted, sizeof wanted, "%s and so on, or %s, here or in %s or %s",
                       forms[0].split[SPX_SPLIT_TRAIN].name[0],
                       forms[1].split[SPX_SPLIT_TRAIN].name[0], forms[0].folder, forms[1].folder);
        return spx_pack_not_found(src, wanted);
    }
    return read_form(p, f, folder);
}
