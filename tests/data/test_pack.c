#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_list.h"
#include "host/h5/h5_file.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>
#include <zlib.h>

#define FASHION_MNIST "/usr/share/datasets/fashion-mnist" /* Debian's dataset-fashion-mnist */

static spx_scratch scratch;

/* ---- tiny published sets ---- */

enum { TRAIN = 20, TEST = 10, SIDE = 28, IMAGE = SIDE * SIDE };

static uint8_t pixel(size_t image, size_t i)
{
    return (uint8_t)(image * 31 + i * 7);
}

static void big_endian(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

/* Writes plain, or as a gzip file if name ends in .gz. */
static void put(const char *name, const void *data, size_t n)
{
    const char *path = spx_scratch_path(&scratch, name);
    gzFile f = gzopen(path, strstr(name, ".gz") != NULL ? "wb" : "wbT");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, data, (unsigned)n), n);
    assert_int_equal(gzclose(f), Z_OK);
}

static void write_idx_set(const char *suffix)
{
    static const char *const prefix[] = {"train", "t10k"};
    static const uint32_t count[] = {TRAIN, TEST};
    static uint8_t bytes[16 + TRAIN * IMAGE];
    char name[64];
    for (size_t s = 0; s < 2; s++) {
        big_endian(bytes, 0x803);
        big_endian(bytes + 4, count[s]);
        big_endian(bytes + 8, SIDE);
        big_endian(bytes + 12, SIDE);
        for (size_t i = 0; i < count[s] * IMAGE; i++) {
            bytes[16 + i] = pixel(i / IMAGE + s, i % IMAGE);
        }
        (void)snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", prefix[s], suffix);
        put(name, bytes, 16 + count[s] * IMAGE);
        big_endian(bytes, 0x801);
        for (size_t i = 0; i < count[s]; i++) {
            bytes[8 + i] = (uint8_t)((i + s) % 10);
        }
        (void)snprintf(name, sizeof name, "%s-labels-idx1-ubyte%s", prefix[s], suffix);
        put(name, bytes, 8 + count[s]);
    }
}

static void write_cifar_file(const char *name, size_t images, bool coarse, size_t start)
{
    const size_t record = 3072 + (coarse ? 2 : 1);
    uint8_t *bytes = calloc(images, record), *at = bytes;
    assert_non_null(bytes);
    for (size_t i = 0; i < images; i++) {
        if (coarse) {
            *at++ = (uint8_t)((start + i) % 20);
        }
        *at++ = (uint8_t)((start + i) % (coarse ? 100 : 10));
        for (size_t j = 0; j < 3072; j++) {
            *at++ = pixel(start + i, j);
        }
    }
    put(name, bytes, images * record);
    free(bytes);
}

static void write_cifar10_set(void)
{
    char name[32];
    for (size_t i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof name, "data_batch_%zu.bin", i + 1);
        write_cifar_file(name, i + 1, false, i * (i + 1) / 2); /* 1 + 2 + .. + 5 = 15 images */
    }
    write_cifar_file("test_batch.bin", 4, false, 100);
}

static void empty_folder(void)
{
    spx_scratch_remove(&scratch);
    assert_int_equal(spx_scratch_make(&scratch), 0);
}

/* ---- reading what is right ---- */

SPX_TEST(idx_sets_are_read_plain_and_compressed_alike)
{
    SPX_UNUSED;
    static const char *const suffix[] = {"", ".gz"};
    for (size_t k = 0; k < 2; k++) {
        spx_pack *p;
        empty_folder();
        write_idx_set(suffix[k]);
        CHECK_OK(spx_pack_build(&p, "fashion-mnist", scratch.folder, NULL));
        assert_string_equal(p->dataset, "fashion-mnist");
        assert_int_equal(p->channels, 1);
        assert_int_equal(p->height, SIDE);
        assert_int_equal(p->classes, 10);
        assert_int_equal(p->split[SPX_SPLIT_TRAIN].count, TRAIN);
        assert_int_equal(p->split[SPX_SPLIT_TEST].count, TEST);
        assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[13], 3);
        assert_int_equal(p->split[SPX_SPLIT_TEST].labels[9], 0);
        for (size_t i = 0; i < TRAIN * IMAGE; i++) {
            assert_int_equal(p->split[SPX_SPLIT_TRAIN].images[i], pixel(i / IMAGE, i % IMAGE));
        }
        assert_int_equal(p->split[SPX_SPLIT_TEST].images[IMAGE], pixel(2, 0));
        spx_pack_close(p);
    }
}

SPX_TEST(idx_files_are_found_under_their_dotted_names_too)
{
    SPX_UNUSED;
    char from[600];
    spx_pack *p;
    empty_folder();
    write_idx_set(".gz");
    (void)snprintf(from, sizeof from, "%s",
                   spx_scratch_path(&scratch, "t10k-labels-idx1-ubyte.gz"));
    assert_int_equal(rename(from, spx_scratch_path(&scratch, "t10k-labels.idx1-ubyte.gz")), 0);
    CHECK_OK(spx_pack_build(&p, "mnist", scratch.folder, NULL));
    spx_pack_close(p);
}

SPX_TEST(cifar10_files_are_joined_in_order)
{
    SPX_UNUSED;
    spx_pack *p;
    empty_folder();
    write_cifar10_set();
    CHECK_OK(spx_pack_build(&p, "cifar10", scratch.folder, NULL));
    assert_int_equal(p->channels, 3);
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].count, 15);
    assert_int_equal(p->split[SPX_SPLIT_TEST].count, 4);
    for (size_t i = 0; i < 15; i++) {
        assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[i], i % 10);
        assert_int_equal(p->split[SPX_SPLIT_TRAIN].images[i * 3072 + 5], pixel(i, 5));
    }
    assert_null(p->split[SPX_SPLIT_TRAIN].coarse);
    spx_pack_close(p);
}

SPX_TEST(cifar100_keeps_fine_and_coarse_labels)
{
    SPX_UNUSED;
    spx_pack *p;
    empty_folder();
    write_cifar_file("train.bin", 30, true, 75);
    write_cifar_file("test.bin", 3, true, 0);
    CHECK_OK(spx_pack_build(&p, "cifar100", scratch.folder, NULL));
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[20], 95);
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].coarse[20], 15);
    spx_pack_close(p);
    CHECK_OK(spx_pack_build(&p, "cifar100", spx_scratch_path(&scratch, "test.bin"), NULL));
    assert_int_equal(p->split[SPX_SPLIT_TEST].count, 3);
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].count, 0);
    spx_pack_close(p);
}

SPX_TEST(every_known_set_names_as_many_classes_as_it_has)
{
    SPX_UNUSED;
    static const char *const last[] = {"9", "Ankle boot", "t", "t",     "z",
                                       "Z", "9",          "9", "truck", "worm"};
    size_t kinds = 0;
    empty_folder();
    write_idx_set(""); /* labels 0 to 9; EMNIST's may have MNIST's names */
    write_cifar10_set();
    write_cifar_file("train.bin", 1, true, 0);
    write_cifar_file("test.bin", 1, true, 0);
    for (; !spx_pack_is_list(spx_pack_known(kinds)); kinds++) { /* own ones come last */
        spx_pack *p;
        size_t length, lines = 1;
        const char *name;
        if (strcmp(spx_pack_known(kinds), "emnist-letters") == 0) {
            const spx_status st = spx_pack_build(&p, spx_pack_known(kinds), scratch.folder, NULL);
            assert_int_equal(st, SPX_EFORMAT); /* they count from 1 */
            assert_non_null(strstr(spx_error_message(), "label 0, expected 1 to 26"));
            continue;
        }
        CHECK_OK(spx_pack_build(&p, spx_pack_known(kinds), scratch.folder, NULL));
        for (const char *at = p->class_names; *at != '\0'; at++) {
            lines += *at == '\n';
        }
        assert_int_equal(lines, p->classes);
        name = spx_pack_class(p, p->classes - 1, &length);
        assert_int_equal(length, strlen(last[kinds]));
        assert_memory_equal(name, last[kinds], length);
        assert_null(spx_pack_class(p, p->classes, &length));
        assert_null(spx_pack_class(p, -1, &length));
        spx_pack_close(p);
    }
    assert_int_equal(kinds, sizeof last / sizeof *last);
}

SPX_TEST(every_kind_has_a_layout_or_that_of_the_one_before)
{
    SPX_UNUSED;
    size_t layouts = 0;
    for (size_t i = 0; spx_pack_known(i) != NULL; i++) {
        layouts += spx_pack_layout(i) != NULL;
    }
    assert_int_equal(layouts, 7); /* MNIST, EMNIST, CIFAR, two ImageNets, own pictures, arrays */
}

SPX_TEST(a_pack_survives_the_disk)
{
    SPX_UNUSED;
    const char *path;
    spx_pack *p, *q;
    empty_folder();
    write_cifar_file("train.bin", 30, true, 75);
    write_cifar_file("test.bin", 3, true, 0);
    path = spx_scratch_path(&scratch, "c.h5");
    CHECK_OK(spx_pack_build(&p, "cifar100", scratch.folder, NULL));
    CHECK_OK(spx_pack_write(p, path));
    CHECK_OK(spx_pack_open(&q, path, SPX_PACK_LOAD_ALL));
    assert_string_equal(q->dataset, "cifar100");
    assert_string_equal(q->class_names, p->class_names);
    assert_string_equal(q->coarse_names, p->coarse_names);
    assert_string_equal(q->sources, p->sources);
    assert_memory_equal(q->mean, p->mean, sizeof p->mean);
    assert_memory_equal(q->std, p->std, sizeof p->std);
    assert_int_equal(q->coarse_classes, 20);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        const spx_pack_split *a = &p->split[s], *b = &q->split[s];
        assert_int_equal(a->count, b->count);
        assert_memory_equal(a->images, b->images, a->count * 3072);
        assert_memory_equal(a->labels, b->labels, a->count * sizeof *a->labels);
        assert_memory_equal(a->coarse, b->coarse, a->count * sizeof *a->coarse);
    }
    spx_pack_close(q);
    CHECK_OK(spx_pack_open(&q, path, SPX_PACK_LOAD(SPX_SPLIT_TEST)));
    assert_int_equal(q->split[SPX_SPLIT_TRAIN].count, 30);
    assert_null(q->split[SPX_SPLIT_TRAIN].images);
    assert_non_null(q->split[SPX_SPLIT_TEST].images);
    spx_pack_close(q);
    spx_pack_close(p);
}

SPX_TEST(sources_are_listed_with_their_sha256)
{
    SPX_UNUSED;
    static const uint8_t zeros[3074];
    spx_pack *p;
    empty_folder();
    put("train.bin", zeros, sizeof zeros);
    CHECK_OK(spx_pack_build(&p, "cifar100", spx_scratch_path(&scratch, "train.bin"), NULL));
    /* head -c 3074 /dev/zero | sha256sum */
    assert_string_equal(
        p->sources,
        "ff61f3a87b9944d67e053a3c595c810ad1b65ff6c4fdddac0a165ad839d42111  train.bin\n");
    spx_pack_close(p);
}

SPX_TEST(moments_and_histogram_are_those_of_the_pixels)
{
    SPX_UNUSED;
    uint8_t images[2 * 2 * 4] = {0,   255, 255, 0,   /* image 0, channel 0 */
                                 51,  51,  51,  51,  /* image 0, channel 1 */
                                 0,   255, 0,   255, /* image 1, channel 0 */
                                 102, 102, 102, 102};
    uint16_t labels[2] = {2, 2};
    const spx_pack p = {
        .channels = 2, .height = 2, .width = 2, .classes = 3, .split = {{2, images, labels, NULL}}};
    double mean[2], std[2];
    size_t counts[3];
    spx_pack_moments(&p, SPX_SPLIT_TRAIN, mean, std);
    /* By hand; 1e-7: sqrt of a difference of numbers near 0.1 that round to 1e-17. */
    assert_true(fabs(mean[0] - .5) < 1e-7 && fabs(std[0] - .5) < 1e-7);
    assert_true(fabs(mean[1] - .3) < 1e-7 && fabs(std[1] - .1) < 1e-7);
    spx_pack_histogram(&p, SPX_SPLIT_TRAIN, counts);
    assert_true(counts[0] == 0 && counts[1] == 0 && counts[2] == 2);
}

SPX_TEST(equal_pixels_have_no_deviation)
{
    SPX_UNUSED;
    for (int v = 0; v < 256; v++) {
        uint8_t images[3] = {(uint8_t)v, (uint8_t)v, (uint8_t)v};
        uint16_t labels[3] = {0};
        const spx_pack p = {.channels = 1,
                            .height = 1,
                            .width = 1,
                            .classes = 1,
                            .split = {{3, images, labels, NULL}}};
        double mean, std;
        spx_pack_moments(&p, SPX_SPLIT_TRAIN, &mean, &std);
        assert_true(std < 1e-7); /* as above; a NaN fails */
    }
}

/* ---- refusing what is wrong ---- */

typedef enum how { CUT, SET, APPEND } how;

/* One change to one source file, and what the message must say besides the path. */
typedef struct damage {
    const char *file;
    how how;
    long at; /* CUT: new length, or minus how many bytes; SET: offset, from the end if negative */
    int value;
    const char *expect;
} damage;

static void apply(const damage *d)
{
    const char *path = spx_scratch_path(&scratch, d->file);
    void *data;
    uint8_t *copy;
    size_t n, at;
    CHECK_OK(spx_file_read(path, 1 << 24, &data, &n));
    at = (size_t)(d->at < 0 ? (long)n + d->at : d->at);
    assert_true(at < n || d->how == APPEND);
    copy = calloc(n + 1, 1);
    assert_non_null(copy);
    memcpy(copy, data, n);
    if (d->how == CUT) {
        n = at;
    } else if (d->how == SET) {
        copy[at] = (uint8_t)d->value;
    } else {
        copy[n++] = (uint8_t)d->value;
    }
    assert_int_equal(spx_scratch_write(path, copy, n), 0);
    free(copy);
    spx_free(data);
}

static void check_refused(const char *dataset, const damage *d)
{
    spx_pack *p;
    const spx_status st = spx_pack_build(&p, dataset, scratch.folder, NULL);
    assert_null(p);
    if (st != SPX_EFORMAT || strstr(spx_error_message(), d->file) == NULL ||
        strstr(spx_error_message(), d->expect) == NULL) {
        fail_msg("%s, change %d at %ld: %s: '%s', expected '%s'", d->file, (int)d->how, d->at,
                 spx_status_text(st), spx_error_message(), d->expect);
    }
}

SPX_TEST(damaged_idx_files_are_refused_with_file_and_offset)
{
    SPX_UNUSED;
    static const damage plain[] = {
        {"train-images-idx3-ubyte", SET, 3, 1,
         "offset 0: expected IDX magic 0x00000803, found 0x00000801"},
        {"t10k-labels-idx1-ubyte", SET, 2, 9, "offset 0: expected IDX magic 0x00000801"},
        {"train-images-idx3-ubyte", CUT, 0, 0, "offset 0: expected 4 more bytes"},
        {"train-images-idx3-ubyte", CUT, 2, 0, "offset 2: expected 2 more bytes"},
        {"train-images-idx3-ubyte", CUT, 10, 0, "offset 10: expected 6 more bytes"},
        {"train-images-idx3-ubyte", CUT, -1, 0, "offset 4: header claims 15680 bytes"},
        {"train-images-idx3-ubyte", APPEND, 0, 0, "expected the end, found more"},
        {"train-images-idx3-ubyte", SET, 11, 27, "offset 8: images of 27x28, expected 28x28"},
        {"train-images-idx3-ubyte", SET, 4, 255, "offset 4: header claims"},
        {"train-images-idx3-ubyte", SET, 7, 0, "offset 4: header claims 0 bytes"},
        {"train-labels-idx1-ubyte", SET, 7, 19, "offset 4: 19 labels, expected 20"},
        {"train-labels-idx1-ubyte", SET, 7, 21, "offset 4: header claims 21 bytes"},
        {"t10k-labels-idx1-ubyte", SET, 13, 10, "offset 13: label 10, expected 0 to 9"},
        {"t10k-labels-idx1-ubyte", APPEND, 0, 0, "offset 18: expected the end"},
    };
    static const damage compressed[] = {
        {"train-images-idx3-ubyte.gz", CUT, -20, 0, "found the end of the file"},
        {"train-images-idx3-ubyte.gz", CUT, 5, 0, "found the end of the file"},
        {"train-images-idx3-ubyte.gz", SET, -5, 1, "a damaged stream"}, /* its CRC */
        {"train-images-idx3-ubyte.gz", SET, 3, 0xff, "a damaged stream"},
        {"t10k-labels-idx1-ubyte.gz", APPEND, 0, 7, "expected the end, found more"},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        empty_folder();
        write_idx_set("");
        apply(&plain[i]);
        check_refused("mnist", &plain[i]);
    }
    for (size_t i = 0; i < sizeof compressed / sizeof *compressed; i++) {
        empty_folder();
        write_idx_set(".gz");
        apply(&compressed[i]);
        check_refused("mnist", &compressed[i]);
    }
}

SPX_TEST(a_gzip_bomb_is_refused_before_it_inflates)
{
    SPX_UNUSED;
    static const damage bomb = {"train-images-idx3-ubyte.gz", SET, 0, 0, "offset 4: header claims"};
    uint8_t header[16 + 100] = {0};
    empty_folder();
    write_idx_set(".gz");
    big_endian(header, 0x803);
    big_endian(header + 4, 0x00ffffff); /* 16,777,215 images in a file of some 40 bytes */
    big_endian(header + 8, SIDE);
    big_endian(header + 12, SIDE);
    put(bomb.file, header, sizeof header);
    check_refused("mnist", &bomb);
}

SPX_TEST(damaged_cifar_files_are_refused_with_file_and_offset)
{
    SPX_UNUSED;
    static const damage damages[] = {
        {"data_batch_2.bin", CUT, -1, 0, "expected a multiple of 3073"},
        {"data_batch_5.bin", CUT, 0, 0, "0 bytes, expected a multiple of 3073"},
        {"data_batch_5.bin", APPEND, 0, 0, "expected a multiple of 3073"},
        {"data_batch_3.bin", SET, 2 * 3073, 10, "offset 6146: label 10, expected 0 to 9"},
        {"test_batch.bin", SET, 0, 255, "offset 0: label 255, expected 0 to 9"},
    };
    static const damage coarse = {"train.bin", SET, 3074, 20,
                                  "offset 3074: label 20, expected 0 to 19"};
    static const damage fine = {"train.bin", SET, 3075, 100,
                                "offset 3075: label 100, expected 0 to 99"};
    static const damage *const hundred[] = {&coarse, &fine};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        empty_folder();
        write_cifar10_set();
        apply(&damages[i]);
        check_refused("cifar10", &damages[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        empty_folder();
        write_cifar_file("train.bin", 3, true, 0);
        write_cifar_file("test.bin", 3, true, 0);
        apply(hundred[i]);
        check_refused("cifar100", hundred[i]);
    }
}

SPX_TEST(whatever_a_source_holds_is_read_or_refused)
{
    SPX_UNUSED;
    static const char *const files[] = {"train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"};
    spx_rng rng;
    int refused = 0;
    spx_rng_init(&rng, 4, SPX_RNG_TEST, 0);
    for (int i = 0; i < 200; i++) {
        damage d = {files[i % 2], i % 4 < 3 ? SET : CUT, 0, (int)spx_rng_below(&rng, 256), ""};
        spx_pack *p;
        spx_status st;
        empty_folder();
        write_idx_set(".gz");
        d.at = (long)spx_rng_below(&rng, i % 2 == 0 ? 500 : 30); /* within either file */
        apply(&d);
        st = spx_pack_build(&p, "mnist", scratch.folder, NULL);
        assert_true(st == SPX_OK || (st == SPX_EFORMAT && p == NULL));
        refused += st != SPX_OK;
        spx_pack_close(p);
    }
    assert_true(refused >
                100); /* what is left hit the gzip header's time or name, or was no change */
}

SPX_TEST(missing_files_and_unknown_sets_are_named)
{
    SPX_UNUSED;
    spx_pack *p;
    empty_folder();
    CHECK_FAILS(SPX_ENOTFOUND, spx_pack_build(&p, "mnist", scratch.folder, NULL));
    assert_non_null(strstr(spx_error_message(), "train-images-idx3-ubyte"));
    write_cifar10_set();
    assert_int_equal(unlink(spx_scratch_path(&scratch, "data_batch_4.bin")), 0);
    CHECK_FAILS(SPX_ENOTFOUND, spx_pack_build(&p, "cifar10", scratch.folder, NULL));
    assert_non_null(strstr(spx_error_message(), "data_batch_4.bin"));
    CHECK_FAILS(SPX_EINVAL, spx_pack_build(&p, "imagenot", scratch.folder, NULL));
    assert_non_null(strstr(spx_error_message(), "imagenot"));
    CHECK_FAILS(SPX_EINVAL, spx_pack_build(&p, "imagenet", scratch.folder, NULL));
    assert_non_null(strstr(spx_error_message(), "imagenet is a set of pictures"));
}

SPX_TEST(the_real_fashion_mnist_is_what_it_is_said_to_be)
{
    SPX_UNUSED;
    double mean, std;
    size_t counts[10];
    spx_pack *p;
    if (access(FASHION_MNIST, R_OK) != 0) {
        skip(); /* Debian's package is not installed */
    }
    CHECK_OK(spx_pack_build(&p, "fashion-mnist", FASHION_MNIST, NULL));
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].count, 60000);
    assert_int_equal(p->split[SPX_SPLIT_TEST].count, 10000);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        spx_pack_histogram(p, (spx_split)s, counts);
        for (int k = 0; k < 10; k++) {
            assert_int_equal(counts[k], s == SPX_SPLIT_TRAIN ? 6000 : 1000);
        }
    }
    spx_pack_moments(p, SPX_SPLIT_TRAIN, &mean, &std);
    assert_true(fabs(mean - p->mean[0]) < 5e-5 && fabs(std - p->std[0]) < 5e-5); /* 4 decimals */
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[0], 9); /* the first image is an ankle boot */
    spx_pack_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(idx_sets_are_read_plain_and_compressed_alike),
        SPX_UNIT(idx_files_are_found_under_their_dotted_names_too),
        SPX_UNIT(cifar10_files_are_joined_in_order),
        SPX_UNIT(cifar100_keeps_fine_and_coarse_labels),
        SPX_UNIT(every_known_set_names_as_many_classes_as_it_has),
        SPX_UNIT(every_kind_has_a_layout_or_that_of_the_one_before),
        SPX_UNIT(a_pack_survives_the_disk),
        SPX_UNIT(sources_are_listed_with_their_sha256),
        SPX_UNIT(moments_and_histogram_are_those_of_the_pixels),
        SPX_UNIT(equal_pixels_have_no_deviation),
        SPX_UNIT(damaged_idx_files_are_refused_with_file_and_offset),
        SPX_UNIT(a_gzip_bomb_is_refused_before_it_inflates),
        SPX_UNIT(damaged_cifar_files_are_refused_with_file_and_offset),
        SPX_UNIT(whatever_a_source_holds_is_read_or_refused),
        SPX_UNIT(missing_files_and_unknown_sets_are_named),
        SPX_UNIT(the_real_fashion_mnist_is_what_it_is_said_to_be),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
