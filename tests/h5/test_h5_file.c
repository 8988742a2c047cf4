#define _POSIX_C_SOURCE 200809L
#include "host/h5/h5_file.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <hdf5.h>

static spx_scratch scratch;
static const float weights[6] = {1.5f, -2, 3, 0.1f, 1e-30f, 7};

/* A file with each kind of content. */
static void write_sample(const char *path)
{
    const int64_t dims[] = {2, 3}, three = 3, none[] = {0, 5};
    const uint8_t bytes[] = {0, 128, 255};
    const uint16_t words[] = {0, 60000, 65535};
    const int32_t ints[] = {-5, 0, INT32_MAX};
    const int64_t longs[] = {INT64_MIN, 0, INT64_MAX};
    const double doubles[] = {0.1, 1e300}, scalar = 2.5;
    spx_h5_out *w;
    CHECK_OK(spx_h5_create(&w));
    CHECK_OK(spx_h5_add(w, "param/net.stem.0.weight", SPX_H5_F32, 2, dims, weights));
    CHECK_OK(spx_h5_add(w, "u8", SPX_H5_U8, 1, &three, bytes));
    CHECK_OK(spx_h5_add(w, "u16", SPX_H5_U16, 1, &three, words));
    CHECK_OK(spx_h5_add(w, "i32", SPX_H5_I32, 1, &three, ints));
    CHECK_OK(spx_h5_add(w, "i64", SPX_H5_I64, 1, &three, longs));
    CHECK_OK(spx_h5_add(w, "scalar", SPX_H5_F64, 0, NULL, &scalar));
    CHECK_OK(spx_h5_add(w, "none", SPX_H5_F32, 2, none, NULL));
    CHECK_OK(spx_h5_add_attr(w, "", "longs", SPX_H5_I64, 3, longs));
    CHECK_OK(spx_h5_add_attr(w, "param", "doubles", SPX_H5_F64, 2, doubles));
    CHECK_OK(spx_h5_add_attr(w, "u8", "one", SPX_H5_I32, 1, ints));
    CHECK_OK(spx_h5_add_text(w, "", "text", "h\xc3\xa9llo\nworld"));
    CHECK_OK(spx_h5_add_text(w, "", "empty", ""));
    CHECK_FAILS(SPX_EINVAL, spx_h5_add(w, "u8", SPX_H5_U8, 1, &three, bytes));
    CHECK_FAILS(SPX_EINVAL, spx_h5_add_attr(w, "absent", "x", SPX_H5_I32, 1, ints));
    CHECK_OK(spx_h5_commit(w, path));
    spx_h5_discard(w);
}

SPX_TEST(what_is_written_is_read_back)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "a.h5");
    spx_h5 *f;
    spx_h5_info info;
    float back[6];
    int64_t longs[3];
    uint16_t words[3];
    double doubles[4];
    size_t count;
    char *text;
    write_sample(path);
    CHECK_OK(spx_h5_open(&f, path, SPX_H5_CHECKED));
    CHECK_OK(spx_h5_stat(f, "param/net.stem.0.weight", &info));
    assert_int_equal(info.type, SPX_H5_F32);
    assert_int_equal(info.rank, 2);
    assert_int_equal(info.dims[0] * 10 + info.dims[1], 23);
    CHECK_OK(spx_h5_read(f, "param/net.stem.0.weight", SPX_H5_F32, back, 6));
    assert_memory_equal(back, weights, sizeof back);
    CHECK_OK(spx_h5_read(f, "i64", SPX_H5_I64, longs, 3));
    assert_true(longs[0] == INT64_MIN && longs[2] == INT64_MAX);
    CHECK_OK(spx_h5_read(f, "u16", SPX_H5_U16, words, 3));
    assert_int_equal(words[2], 65535);
    CHECK_OK(spx_h5_read(f, "scalar", SPX_H5_F64, doubles, 1));
    assert_true(doubles[0] == 2.5);
    CHECK_OK(spx_h5_stat(f, "none", &info));
    assert_int_equal(info.count, 0);
    CHECK_OK(spx_h5_read(f, "none", SPX_H5_F32, NULL, 0));
    CHECK_OK(spx_h5_read_attr(f, "param", "doubles", SPX_H5_F64, doubles, 4, &count));
    assert_true(count == 2 && doubles[0] == 0.1 && doubles[1] == 1e300);
    CHECK_OK(spx_h5_read_attr(f, "", "longs", SPX_H5_I64, longs, 3, NULL));
    CHECK_OK(spx_h5_read_attr(f, "u8", "one", SPX_H5_I64, longs, 1, NULL));
    assert_int_equal(longs[0], -5);
    CHECK_OK(spx_h5_read_text(f, "", "text", &text));
    assert_string_equal(text, "h\xc3\xa9llo\nworld");
    spx_free(text);
    CHECK_OK(spx_h5_read_text(f, "", "empty", &text));
    assert_string_equal(text, "");
    spx_free(text);
    spx_h5_close(f);
}

SPX_TEST(integers_widen_floats_convert_and_nothing_else_does)
{
    SPX_UNUSED;
    spx_h5 *f;
    int32_t ints[3];
    int64_t longs[3];
    uint8_t bytes[3];
    float floats[6];
    double doubles[6];
    CHECK_OK(spx_h5_open(&f, spx_scratch_path(&scratch, "a.h5"), SPX_H5_CHECKED));
    CHECK_OK(spx_h5_read(f, "u8", SPX_H5_I32, ints, 3));
    assert_true(ints[0] == 0 && ints[1] == 128 && ints[2] == 255);
    CHECK_OK(spx_h5_read(f, "u16", SPX_H5_I64, longs, 3));
    assert_true(longs[1] == 60000);
    CHECK_OK(spx_h5_read(f, "param/net.stem.0.weight", SPX_H5_F64, doubles, 6));
    assert_true(doubles[3] == (double)0.1f);
    CHECK_FAILS(SPX_EFORMAT, spx_h5_read(f, "i32", SPX_H5_U8, bytes, 3));
    CHECK_FAILS(SPX_EFORMAT, spx_h5_read(f, "i64", SPX_H5_I32, ints, 3));
    CHECK_FAILS(SPX_EFORMAT, spx_h5_read(f, "i32", SPX_H5_F32, floats, 3));
    CHECK_FAILS(SPX_EFORMAT, spx_h5_read(f, "scalar", SPX_H5_I64, longs, 1));
    CHECK_FAILS(SPX_EINVAL, spx_h5_read(f, "u8", SPX_H5_OTHER, bytes, 3));
    spx_h5_close(f);
}

SPX_TEST(absent_and_wrong_things_are_named_in_the_message)
{
    SPX_UNUSED;
    spx_h5 *f;
    spx_h5_info info;
    float floats[6];
    int64_t longs[3];
    size_t count;
    char *text;
    spx_h5_names names;
    CHECK_OK(spx_h5_open(&f, spx_scratch_path(&scratch, "a.h5"), SPX_H5_CHECKED));
    assert_true(spx_h5_has(f, "u8"));
    assert_false(spx_h5_has(f, "param"));
    assert_false(spx_h5_has(f, "u8/below"));
    assert_true(spx_h5_has_attr(f, "", "text"));
    assert_false(spx_h5_has_attr(f, "", "texts"));
    CHECK_FAILS(SPX_ENOTFOUND, spx_h5_stat(f, "param/absent", &info));
    assert_non_null(strstr(spx_error_message(), "a.h5"));
    assert_non_null(strstr(spx_error_message(), "param/absent"));
    CHECK_FAILS(SPX_EFORMAT, spx_h5_stat(f, "param", &info));
    CHECK_FAILS(SPX_EFORMAT, spx_h5_read(f, "param/net.stem.0.weight", SPX_H5_F32, floats, 5));
    assert_non_null(strstr(spx_error_message(), "expected 5"));
    CHECK_FAILS(SPX_ENOTFOUND, spx_h5_read_attr(f, "", "absent", SPX_H5_I64, longs, 1, NULL));
    CHECK_FAILS(SPX_EFORMAT, spx_h5_read_attr(f, "", "longs", SPX_H5_I64, longs, 2, &count));
    CHECK_FAILS(SPX_EFORMAT, spx_h5_read_attr(f, "", "text", SPX_H5_I64, longs, 1, NULL));
    CHECK_FAILS(SPX_EFORMAT, spx_h5_read_text(f, "", "longs", &text));
    CHECK_FAILS(SPX_ENOTFOUND, spx_h5_list(f, "absent", &names));
    spx_h5_close(f);
    CHECK_FAILS(SPX_ENOTFOUND,
                spx_h5_open(&f, spx_scratch_path(&scratch, "absent.h5"), SPX_H5_CHECKED));
    assert_null(f);
}

SPX_TEST(listing_is_recursive_sorted_and_relative)
{
    SPX_UNUSED;
    static const char *const all[] = {"i32",    "i64", "none", "param/net.stem.0.weight",
                                      "scalar", "u16", "u8"};
    spx_h5 *f;
    spx_h5_names names;
    CHECK_OK(spx_h5_open(&f, spx_scratch_path(&scratch, "a.h5"), SPX_H5_CHECKED));
    CHECK_OK(spx_h5_list(f, "", &names));
    assert_int_equal(names.count, 7);
    for (size_t i = 0; i < names.count; i++) {
        assert_string_equal(names.name[i], all[i]);
    }
    spx_h5_names_clear(&names);
    CHECK_OK(spx_h5_list(f, "param", &names));
    assert_int_equal(names.count, 1);
    assert_string_equal(names.name[0], "net.stem.0.weight");
    spx_h5_names_clear(&names);
    CHECK_FAILS(SPX_ENOTFOUND, spx_h5_list(f, "group", &names));
    assert_int_equal(names.count, 0);
    spx_h5_close(f);
}

SPX_TEST(equal_contents_give_equal_bytes)
{
    SPX_UNUSED;
    const char *a = spx_scratch_path(&scratch, "a.h5"), *b = spx_scratch_path(&scratch, "b.h5");
    void *x, *y;
    size_t m, n;
    write_sample(b);
    CHECK_OK(spx_file_read(a, 1 << 20, &x, &m));
    CHECK_OK(spx_file_read(b, 1 << 20, &y, &n));
    assert_int_equal(m, n);
    assert_memory_equal(x, y, n);
    spx_free(x);
    spx_free(y);
}

SPX_TEST(every_truncation_and_bit_flip_is_refused)
{
    SPX_UNUSED;
    const char *path = spx_scratch_path(&scratch, "a.h5");
    const char *bad = spx_scratch_path(&scratch, "bad.h5");
    unsigned char *bytes;
    void *data;
    size_t size;
    spx_h5 *f;
    spx_rng rng;
    CHECK_OK(spx_file_read(path, 1 << 20, &data, &size));
    bytes = data;
    for (size_t i = 0; i < 50; i++) {
        const size_t n = size * i / 50;
        CHECK_FAILS(SPX_EFORMAT, spx_h5_open_image(&f, "bad", data, n, SPX_H5_CHECKED));
        assert_int_equal(spx_scratch_write(bad, data, n), 0);
        CHECK_FAILS(SPX_EFORMAT, spx_h5_open(&f, bad, SPX_H5_CHECKED));
        assert_non_null(strstr(spx_error_message(), bad));
        assert_non_null(strstr(spx_error_message(), "offset"));
    }
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    for (int i = 0; i < 2000; i++) {
        /* The last 64 bytes, the checksum itself, in every bit; then anywhere. */
        const size_t bit =
            i < 512 ? 8 * (size - 64) + (size_t)i : spx_rng_below(&rng, (uint32_t)(8 * size));
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        CHECK_FAILS(SPX_EFORMAT, spx_h5_open_image(&f, "bad", data, size, SPX_H5_CHECKED));
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    CHECK_OK(spx_h5_open_image(&f, "good", data, size, SPX_H5_CHECKED));
    assert_true(spx_h5_has(f, "u8"));
    spx_h5_close(f);
    spx_free(data);
}

/* Reads all that can be read, allocating what the file claims; failures are fine,
 * crashes are not. */
static void read_everything(const spx_h5 *f)
{
    spx_h5_names names;
    char *text;
    if (spx_h5_read_text(f, "", "text", &text) == SPX_OK) {
        spx_free(text);
    }
    if (spx_h5_list(f, "", &names) != SPX_OK) {
        return;
    }
    for (size_t i = 0; i < names.count; i++) {
        spx_h5_info info;
        void *p;
        if (spx_h5_stat(f, names.name[i], &info) == SPX_OK && info.type != SPX_H5_OTHER &&
            spx_calloc(&p, info.count, sizeof(int64_t)) == SPX_OK) {
            (void)!spx_h5_read(f, names.name[i], info.type, p, info.count);
            spx_free(p);
        }
    }
    spx_h5_names_clear(&names);
}

/* Only truncation: libhdf5 1.10 itself writes out of bounds on some damaged headers, which is why
 * the checksum comes first wherever there is one. */
SPX_TEST(truncated_foreign_files_are_survived)
{
    SPX_UNUSED;
    void *data;
    size_t size;
    spx_h5 *f;
    CHECK_OK(spx_file_read(spx_scratch_path(&scratch, "a.h5"), 1 << 20, &data, &size));
    size -= 64; /* without the checksum it is any program's file */
    for (size_t i = 0; i <= 200; i++) {
        if (spx_h5_open_image(&f, "cut", data, size * i / 200, SPX_H5_FOREIGN) == SPX_OK) {
            read_everything(f);
            spx_h5_close(f);
        }
    }
    spx_free(data);
}

/* Sizes and links that only libhdf5 itself can write. */
static void write_hostile(const char *path)
{
    const hsize_t vast[] = {1u << 20, 1u << 20}, nine[] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, four = 4;
    const hsize_t chunk[] = {1024, 1024};
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE), outside = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(2, vast, NULL);
    (void)H5Dclose(H5Dcreate2(file, "unwritten", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, H5P_DEFAULT,
                              H5P_DEFAULT));
    (void)H5Pset_chunk(chunked, 2, chunk);
    (void)H5Dclose(
        H5Dcreate2(file, "no_chunks", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, chunked, H5P_DEFAULT));
    (void)H5Sclose(space);
    space = H5Screate_simple(9, nine, NULL);
    (void)H5Dclose(
        H5Dcreate2(file, "rank9", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    (void)H5Sclose(space);
    space = H5Screate_simple(1, &four, NULL);
    (void)H5Pset_external(outside, "/etc/passwd", 0, 4);
    (void)H5Dclose(
        H5Dcreate2(file, "outside", H5T_NATIVE_UINT8, space, H5P_DEFAULT, outside, H5P_DEFAULT));
    (void)H5Sclose(space);
    (void)H5Lcreate_external("a.h5", "/u8", file, "linked", H5P_DEFAULT, H5P_DEFAULT);
    (void)H5Pclose(chunked);
    (void)H5Pclose(outside);
    (void)H5Fclose(file);
}

SPX_TEST(absurd_sizes_and_data_in_other_files_are_refused)
{
    SPX_UNUSED;
    static const struct {
        const char *name;
        spx_status st;
    } cases[] = {{"unwritten", SPX_EFORMAT},
                 {"no_chunks", SPX_EFORMAT},
                 {"rank9", SPX_EFORMAT},
                 {"outside", SPX_EFORMAT},
                 {"linked", SPX_ENOTFOUND}};
    const char *path = spx_scratch_path(&scratch, "hostile.h5");
    spx_h5_info info;
    uint8_t byte[4];
    spx_h5 *f;
    write_hostile(path);
    CHECK_FAILS(SPX_EFORMAT, spx_h5_open(&f, path, SPX_H5_CHECKED));
    CHECK_OK(spx_h5_open(&f, path, SPX_H5_FOREIGN));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_FAILS(cases[i].st, spx_h5_stat(f, cases[i].name, &info));
        CHECK_FAILS(cases[i].st, spx_h5_read(f, cases[i].name, SPX_H5_U8, byte, 4));
    }
    spx_h5_close(f);
}

SPX_TEST(a_full_disk_leaves_nothing_behind)
{
    SPX_UNUSED;
    static float big[1 << 16];
    const int64_t n = 1 << 16;
    const int before = spx_scratch_files(&scratch);
    spx_h5_out *w;
    spx_status st;
    CHECK_OK(spx_h5_create(&w));
    CHECK_OK(spx_h5_add(w, "big", SPX_H5_F32, 1, &n, big));
    assert_int_equal(spx_scratch_limit(100000), 0);
    st = spx_h5_commit(w, spx_scratch_path(&scratch, "full.h5"));
    assert_int_equal(spx_scratch_limit(RLIM_INFINITY), 0);
    assert_int_equal(st, SPX_EIO);
    assert_int_equal(spx_scratch_files(&scratch), before);
    CHECK_OK(spx_h5_commit(w, spx_scratch_path(&scratch, "full.h5"))); /* w is still good */
    spx_h5_discard(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(what_is_written_is_read_back),
        SPX_UNIT(integers_widen_floats_convert_and_nothing_else_does),
        SPX_UNIT(absent_and_wrong_things_are_named_in_the_message),
        SPX_UNIT(listing_is_recursive_sorted_and_relative),
        SPX_UNIT(equal_contents_give_equal_bytes),
        SPX_UNIT(every_truncation_and_bit_flip_is_refused),
        SPX_UNIT(truncated_foreign_files_are_survived),
        SPX_UNIT(absurd_sizes_and_data_in_other_files_are_refused),
        SPX_UNIT(a_full_disk_leaves_nothing_behind),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
