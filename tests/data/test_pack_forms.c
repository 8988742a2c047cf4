/* The forms a data set may come in: torchvision's folders, EMNIST, gzip as tools write it, own
 * arrays. Pictures: test_pack_list.c; CIFAR's pickles: test_pack_pickle.c. */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_build.h"
#include "host/h5/h5_file.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "tests/data/pack_archive_bytes.h"

enum { SIDE = 28, IMAGE = SIDE * SIDE, PIXELS = 3 * 32 * 32 };

/* ---- IDX ---- */

/* n images whose pixel (y, x) is 8 y + x, with labels first, first + 1, ... of `classes`. */
static void write_idx(const char *folder, const char *prefix, int n, int first, int classes)
{
    buffer images = {0}, labels = {0};
    char name[200];
    put_number(&images, 0x803, 4, true);
    put_number(&images, (uint64_t)n, 4, true);
    put_number(&images, SIDE, 4, true);
    put_number(&images, SIDE, 4, true);
    put_number(&labels, 0x801, 4, true);
    put_number(&labels, (uint64_t)n, 4, true);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < IMAGE; j++) {
            put_number(&images, (uint64_t)(8 * (j / SIDE) + j % SIDE), 1, true);
        }
        put_number(&labels, (uint64_t)(first + i % classes), 1, true);
    }
    (void)snprintf(name, sizeof name, "%s%s-images-idx3-ubyte", folder, prefix);
    save(&images, name);
    (void)snprintf(name, sizeof name, "%s%s-labels-idx1-ubyte", folder, prefix);
    save(&labels, name);
}

SPX_TEST(a_root_of_torchvision_is_searched)
{
    SPX_UNUSED;
    static const char *const folders[] = {"", "raw/", "MNIST/raw/"};
    for (size_t i = 0; i < 3; i++) {
        spx_pack *p;
        empty_folder();
        write_idx(folders[i], "train", 10, 0, 10);
        write_idx(folders[i], "t10k", 10, 0, 10);
        CHECK_OK(spx_pack_build(&p, "mnist", scratch.folder, NULL));
        assert_int_equal(p->split[SPX_SPLIT_TEST].count, 10);
        spx_pack_close(p);
    }
    check_refused("fashion-mnist", scratch.folder,
                  "looked for train-images-idx3-ubyte, plain or "
                  ".gz, here, in raw or in FashionMNIST/raw; "
                  "found MNIST");
    check_refused("cifar10", scratch.folder, "cifar-10-batches-py; found MNIST");
}

SPX_TEST(images_of_emnist_stand_upright_and_letters_count_from_zero)
{
    SPX_UNUSED;
    static const char *const prefixes[] = {"emnist-letters-train", "emnist-letters-test"};
    size_t length;
    spx_pack *p;
    empty_folder();
    write_idx("EMNIST/raw/", prefixes[0], 52, 1, 26);
    write_idx("EMNIST/raw/", prefixes[1], 26, 1, 26);
    CHECK_OK(spx_pack_build(&p, "emnist-letters", scratch.folder, NULL));
    assert_int_equal(p->classes, 26);
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[0], 0);
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[25], 25);
    assert_int_equal(spx_pack_class(p, 1, &length)[0], 'B');
    for (int j = 0; j < IMAGE; j++) { /* rows and columns have changed places */
        assert_int_equal(p->split[SPX_SPLIT_TEST].images[3 * IMAGE + j],
                         (8 * (j % SIDE) + j / SIDE) & 0xff);
    }
    spx_pack_close(p);
    check_refused("emnist-digits", scratch.folder, "looked for emnist-digits-train-images");
}

SPX_TEST(gzip_of_several_members_and_with_padding_is_read)
{
    SPX_UNUSED;
    static const uint8_t zeros[512];
    const char *plain, *packed;
    char other[600];
    uint8_t *bytes;
    void *data;
    size_t n;
    spx_pack *p;
    empty_folder();
    write_idx("", "train", 10, 0, 10);
    write_idx("", "t10k", 10, 0, 10);
    plain = spx_scratch_path(&scratch, "train-images-idx3-ubyte");
    packed = spx_scratch_path(&scratch, "train-images-idx3-ubyte.gz");
    CHECK_OK(spx_file_read(plain, 1 << 20, &data, &n));
    bytes = data;
    for (size_t at = 0, step = 1000; at < n; at += step) { /* appending begins a new member */
        gzFile f = gzopen(packed, "ab");
        assert_non_null(f);
        (void)gzwrite(f, bytes + at, (unsigned)(n - at < step ? n - at : step));
        assert_int_equal(gzclose(f), Z_OK);
    }
    assert_int_equal(unlink(plain), 0);
    CHECK_OK(spx_pack_build(&p, "mnist", scratch.folder, NULL));
    assert_memory_equal(p->split[SPX_SPLIT_TRAIN].images, bytes + 16, 10 * IMAGE);
    spx_pack_close(p);
    spx_free(data);
    CHECK_OK(spx_file_read(packed, 1 << 20, &data, &n));
    bytes = calloc(1, n + sizeof zeros);
    assert_non_null(bytes);
    memcpy(bytes, data, n);
    assert_int_equal(spx_scratch_write(packed, bytes, n + sizeof zeros), 0);
    CHECK_OK(spx_pack_build(&p, "mnist", scratch.folder, NULL));
    spx_pack_close(p);
    assert_int_equal(spx_scratch_write(packed, bytes, n - 9), 0);
    (void)snprintf(other, sizeof other, "%s", scratch.folder);
    check_refused("mnist", other, "found the end of the file");
    free(bytes);
    spx_free(data);
}

/* ---- own arrays ---- */

typedef struct member {
    const char *name, *descr, *shape;
    const void *data;
    size_t n;
} member;

/* A ZIP archive of .npy files; deflated where asked. */
static void write_npz(const char *name, const member *m, size_t members, bool deflated)
{
    zip z = {0};
    buffer whole;
    for (size_t i = 0; i < members; i++) {
        buffer npy = {0};
        char header[200], file[80];
        (void)snprintf(header, sizeof header,
                       "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n", m[i].descr,
                       m[i].shape);
        put(&npy, "\x93NUMPY\1\0", 8);
        put_number(&npy, strlen(header), 2, false);
        put_text(&npy, header);
        put(&npy, m[i].data, m[i].n);
        (void)snprintf(file, sizeof file, "%s.npy", m[i].name);
        zip_add(&z, file, npy.bytes, npy.n, deflated);
        free(npy.bytes);
    }
    whole = zip_end(&z, "");
    save(&whole, name);
}

static const uint8_t pixels[2 * 2 * 2 * 3] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                              12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
static const uint8_t wide_labels[16] = {4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0};
static const uint8_t byte_labels[2] = {1, 0};

SPX_TEST(arrays_of_numpy_are_read_stored_and_deflated)
{
    SPX_UNUSED;
    static const member arrays[] = {{"x_train", "|u1", "(2, 2, 2, 3)", pixels, 24},
                                    {"y_train", "<i8", "(2,)", wide_labels, 16},
                                    {"x_test", "|u1", "(2, 2, 2, 3)", pixels, 24},
                                    {"y_test", "|u1", "(2, 1)", byte_labels, 2}};
    static const uint8_t first[12] = {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11};
    for (int deflated = 0; deflated < 2; deflated++) {
        spx_pack *p;
        empty_folder();
        write_npz("a.npz", arrays, 4, deflated == 1);
        CHECK_OK(spx_pack_build(&p, "npz", spx_scratch_path(&scratch, "a.npz"), NULL));
        assert_int_equal(p->classes, 5);
        assert_string_equal(p->class_names, "0\n1\n2\n3\n4");
        assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[0], 4);
        assert_int_equal(p->split[SPX_SPLIT_TEST].labels[0], 1);
        assert_memory_equal(p->split[SPX_SPLIT_TRAIN].images, first, 12); /* NHWC to NCHW */
        spx_pack_close(p);
    }
}

SPX_TEST(arrays_of_other_shapes_and_types_are_refused)
{
    SPX_UNUSED;
    static const struct {
        int which;
        member m;
        const char *expect;
    } cases[] = {
        {0, {"x_train", "<f4", "(2, 3)", pixels, 24}, "images of u8"},
        {0, {"x_train", "|u1", "(2, 3, 2, 2)", pixels, 23}, "its shape says 24"},
        {0, {"x_train", "|u1", "(0, 2, 2)", pixels, 0}, "at least 1"},
        {0, {"x_train", "|u1", "(2, 2, 6)", pixels, 24}, NULL},
        {0, {"x_train", "|u1", "(99999999999, 2, 2)", pixels, 24}, "expected an array"},
        {0, {"x_train", "|O", "(2, 2, 6)", pixels, 24}, "expected an array"},
        {1, {"y_train", "<i8", "(1,)", wide_labels, 8}, "2 whole numbers, one an image, found 1"},
        {1, {"y_train", "<U2", "(1,)", wide_labels, 8}, "whole numbers, in C order"},
        {1, {"y_train", "|i1", "(2,)", "\xff\0", 2}, "image 0: expected a label"},
        {1, {"labels", "|u1", "(2,)", byte_labels, 2}, "no array y_train"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        member arrays[] = {{"x_train", "|u1", "(2, 2, 6)", pixels, 24},
                           {"y_train", "<i8", "(2,)", wide_labels, 16},
                           {"x_test", "|u1", "(2, 2, 6)", pixels, 24},
                           {"y_test", "|u1", "(2,)", byte_labels, 2}};
        spx_pack *p;
        empty_folder();
        arrays[cases[i].which] = cases[i].m;
        write_npz("a.npz", arrays, 4, false);
        if (cases[i].expect == NULL) {
            CHECK_OK(spx_pack_build(&p, "npz", spx_scratch_path(&scratch, "a.npz"), NULL));
            spx_pack_close(p);
        } else {
            check_refused("npz", spx_scratch_path(&scratch, "a.npz"), cases[i].expect);
            assert_null(strpbrk(spx_error_message(), "\n?")); /* a header ends with a new line */
        }
    }
}

SPX_TEST(a_share_of_arrays_without_a_test_split_is_held_out)
{
    SPX_UNUSED;
    enum { COUNT = 40 };
    const spx_pack_build_options o = {.held_out = 0.25, .seed = 7}, none = {.held_out = 0};
    const member arrays[] = {{"x", "|u1", "(40, 1, 2)", NULL, 2 * COUNT},
                             {"y", "|u1", "(40,)", NULL, COUNT}};
    uint8_t x[2 * COUNT], y[COUNT];
    member given[2];
    const char *path;
    size_t counts[4], next[SPX_SPLIT_COUNT] = {0};
    spx_pack *p;
    for (int i = 0; i < COUNT; i++) {
        x[2 * i] = (uint8_t)i;
        x[2 * i + 1] = y[i] = (uint8_t)(i % 4);
    }
    memcpy(given, arrays, sizeof given);
    given[0].data = x;
    given[1].data = y;
    empty_folder();
    write_npz("a.npz", given, 2, true);
    path = spx_scratch_path(&scratch, "a.npz");
    CHECK_OK(spx_pack_build(&p, "arrays", path, &o));
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].count, 28);
    spx_pack_histogram(p, SPX_SPLIT_TEST, counts);
    assert_true(counts[0] == 3 && counts[1] == 3 && counts[2] == 3 && counts[3] == 3);
    for (int i = 0; i < COUNT; i++) { /* each is in one split, in the order it had */
        int found = 0;
        for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
            const spx_pack_split *at = &p->split[s];
            if (next[s] < at->count && at->images[2 * next[s]] == i) {
                assert_int_equal(at->labels[next[s]], i % 4);
                assert_int_equal(at->images[2 * next[s] + 1], i % 4);
                next[s]++;
                found++;
            }
        }
        assert_int_equal(found, 1);
    }
    spx_pack_close(p);
    CHECK_OK(spx_pack_build(&p, "arrays", path, &none));
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].count, COUNT);
    assert_int_equal(p->split[SPX_SPLIT_TEST].count, 0);
    spx_pack_close(p);
    write_npz("b.npz", given, 1, false);
    check_refused("arrays", spx_scratch_path(&scratch, "b.npz"), "no array y beside x");
    write_npz("b.npz", given + 1, 1, false);
    check_refused("arrays", spx_scratch_path(&scratch, "b.npz"),
                  "no array x_train; expected x_train, y_train, x_test, y_test, or x, y");
}

/* Adds a dataset to a file of HDF5. */
static void add(spx_h5_out *w, const char *name, spx_h5_type type, int rank, const int64_t *dims,
                const void *data)
{
    CHECK_OK(spx_h5_add(w, name, type, rank, dims, data));
}

SPX_TEST(arrays_of_hdf5_are_read_as_those_of_numpy)
{
    SPX_UNUSED;
    static const int64_t shape[] = {2, 2, 2, 3}, column[] = {2, 1}, wide[] = {4, 2};
    static const int32_t negative[] = {0, -1};
    static const float reals[] = {0, 1};
    static const uint16_t deep[24];
    static const uint8_t first[12] = {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11};
    static const char *const expect[] = {NULL, "image 1: expected a label of 0 to", "y_train",
                                         "no array y_test", "expected images of u8"};
    for (int i = 0; i < 5; i++) {
        spx_h5_out *w;
        char *path;
        spx_pack *p;
        empty_folder();
        path = (char *)(uintptr_t)spx_scratch_path(&scratch, "a.h5");
        CHECK_OK(spx_h5_create(&w));
        add(w, "x_train", i == 4 ? SPX_H5_U16 : SPX_H5_U8, 4, shape,
            i == 4 ? (const void *)deep : pixels);
        if (i == 1) {
            add(w, "y_train", SPX_H5_I32, 1, column, negative);
        } else if (i == 2) {
            add(w, "y_train", SPX_H5_F32, 1, column, reals);
        } else {
            add(w, "y_train", SPX_H5_I64, 1, column, wide);
        }
        add(w, "x_test", SPX_H5_U8, 4, shape, pixels);
        if (i != 3) {
            add(w, "y_test", SPX_H5_U8, 2, column, byte_labels);
        }
        CHECK_OK(spx_h5_commit(w, path));
        spx_h5_discard(w);
        if (expect[i] != NULL) {
            check_refused("arrays", path, expect[i]);
            continue;
        }
        CHECK_OK(spx_pack_build(&p, "arrays", path, NULL));
        assert_int_equal(p->classes, 5);
        assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[0], 4);
        assert_int_equal(p->split[SPX_SPLIT_TEST].labels[0], 1);
        assert_memory_equal(p->split[SPX_SPLIT_TRAIN].images, first, 12);
        assert_non_null(strstr(p->sources, "  a.h5\n"));
        spx_pack_close(p);
        assert_int_equal(truncate(path, 900), 0);
        check_refused("arrays", path, "a.h5: ");
    }
}

SPX_TEST(whatever_an_archive_holds_is_read_or_refused)
{
    SPX_UNUSED;
    static const member arrays[] = {{"x_train", "|u1", "(2, 2, 6)", pixels, 24},
                                    {"y_train", "<i8", "(2,)", wide_labels, 16},
                                    {"x_test", "|u1", "(2, 2, 6)", pixels, 24},
                                    {"y_test", "|u1", "(2,)", byte_labels, 2}};
    for (int deflated = 0; deflated < 2; deflated++) {
        const char *path;
        uint8_t *bytes;
        void *data;
        spx_rng rng;
        size_t n;
        empty_folder();
        write_npz("a.npz", arrays, 4, deflated == 1);
        path = spx_scratch_path(&scratch, "a.npz");
        CHECK_OK(spx_file_read(path, 1 << 20, &data, &n));
        bytes = data;
        spx_rng_init(&rng, 8, SPX_RNG_TEST, (uint64_t)deflated);
        for (int i = 0; i < 150; i++) {
            const size_t at = spx_rng_below(&rng, (uint32_t)n), end = i % 4 == 0 ? at : n;
            const uint8_t old = bytes[at];
            spx_pack *p;
            spx_status st;
            bytes[at] = (uint8_t)spx_rng_below(&rng, 256);
            assert_int_equal(spx_scratch_write(path, bytes, end), 0);
            st = spx_pack_build(&p, "npz", path, NULL);
            assert_true((st == SPX_OK) == (p != NULL));
            spx_pack_close(p);
            bytes[at] = old;
        }
        spx_free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_root_of_torchvision_is_searched),
        SPX_UNIT(images_of_emnist_stand_upright_and_letters_count_from_zero),
        SPX_UNIT(gzip_of_several_members_and_with_padding_is_read),
        SPX_UNIT(arrays_of_numpy_are_read_stored_and_deflated),
        SPX_UNIT(arrays_of_other_shapes_and_types_are_refused),
        SPX_UNIT(a_share_of_arrays_without_a_test_split_is_held_out),
        SPX_UNIT(arrays_of_hdf5_are_read_as_those_of_numpy),
        SPX_UNIT(whatever_an_archive_holds_is_read_or_refused),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
