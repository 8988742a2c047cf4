/* Packs as files: contents out of range, damaged bytes, a disk that is full. */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack.h"
#include "host/h5/h5_file.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

static spx_scratch scratch;

/* A pack that is right but for one thing; its checksum is in order. */
typedef struct odd_pack {
    const char *format;
    int64_t schema;
    int64_t dims[4];
    spx_h5_type images;
    int64_t labels;
    uint16_t label;
    double std;
    const char *expect;
} odd_pack;

static const odd_pack right = {"sphynx-pack", 1, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, 1, NULL};

static void empty_folder(void)
{
    spx_scratch_remove(&scratch);
    assert_int_equal(spx_scratch_make(&scratch), 0);
}

static void write_odd_pack(const char *path, const odd_pack *o)
{
    static const uint8_t bytes[2048];
    const uint16_t labels[4] = {0, o->label, 1, 0};
    const double mean = 0.5;
    spx_h5_out *w;
    CHECK_OK(spx_h5_create(&w));
    CHECK_OK(spx_h5_add_text(w, "", "format", o->format));
    CHECK_OK(spx_h5_add_attr(w, "", "schema", SPX_H5_I64, 1, &o->schema));
    CHECK_OK(spx_h5_add_text(w, "", "dataset", "odd"));
    CHECK_OK(spx_h5_add_text(w, "", "classes", "a\nb"));
    CHECK_OK(spx_h5_add_text(w, "", "sources", ""));
    CHECK_OK(spx_h5_add_attr(w, "", "mean", SPX_H5_F64, 1, &mean));
    CHECK_OK(spx_h5_add_attr(w, "", "std", SPX_H5_F64, 1, &o->std));
    CHECK_OK(spx_h5_add(w, "train/images", o->images, 4, o->dims, bytes));
    CHECK_OK(spx_h5_add(w, "train/labels", SPX_H5_U16, 1, &o->labels, labels));
    CHECK_OK(spx_h5_commit(w, path));
    spx_h5_discard(w);
}

SPX_TEST(packs_with_contents_out_of_range_are_refused)
{
    SPX_UNUSED;
    static const odd_pack cases[] = {
        {"sphynx-pack", 1, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, 1, NULL},
        {"other", 1, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, 1, "expected format"},
        {"sphynx-pack", 3, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, 1, "schema 3, expected 1 or 2"},
        {"sphynx-pack", 2, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, 1, "no attribute 'channels'"},
        {"sphynx-pack-shard", 2, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, 1, "a shard: give the file"},
        {"sphynx-pack", 1, {2, 1, 2, 2}, SPX_H5_U8, 2, 2, 1, "label 2 of image 1, expected 0 to 1"},
        {"sphynx-pack", 1, {2, 1, 2, 2}, SPX_H5_U8, 3, 1, 1, "has 3 elements, expected 2"},
        {"sphynx-pack", 1, {2, 1, 2, 2}, SPX_H5_U16, 2, 1, 1, "expected 8-bit images"},
        {"sphynx-pack", 1, {1, 1, 1, 1025}, SPX_H5_U8, 0, 1, 1, "expected 8-bit images"},
        {"sphynx-pack", 1, {2, 5, 2, 2}, SPX_H5_U8, 2, 1, 1, "expected 8-bit images"},
        {"sphynx-pack", 1, {2, 2, 2, 2}, SPX_H5_U8, 2, 1, 1, "'mean' has 1 values, expected 2"},
        {"sphynx-pack", 1, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, 0, "a std of 1e-06 to 1000"},
        {"sphynx-pack", 1, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, NAN, "a std of 1e-06 to 1000"},
        {"sphynx-pack", 1, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, 1e-40, "a std of 1e-06 to 1000"},
        {"sphynx-pack", 1, {2, 1, 2, 2}, SPX_H5_U8, 2, 1, 1e30, "a std of 1e-06 to 1000"},
    };
    empty_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = spx_scratch_path(&scratch, "odd.h5");
        spx_pack *p;
        write_odd_pack(path, &cases[i]);
        if (cases[i].expect == NULL) {
            CHECK_OK(spx_pack_open(&p, path, SPX_PACK_LOAD_ALL));
            spx_pack_close(p);
            continue;
        }
        CHECK_FAILS(SPX_EFORMAT, spx_pack_open(&p, path, SPX_PACK_LOAD_ALL));
        if (strstr(spx_error_message(), cases[i].expect) == NULL ||
            strstr(spx_error_message(), path) == NULL) {
            fail_msg("case %zu: '%s', expected '%s'", i, spx_error_message(), cases[i].expect);
        }
    }
}

SPX_TEST(texts_of_a_pack_bring_no_control_characters)
{
    SPX_UNUSED;
    uint8_t pixel = 1;
    uint16_t label = 1;
    char names[] = "a\x1b[2J\nb\xc2\x9b\\x\xe2\x80\xae", from[] = "0  x\x1b[m\n";
    spx_pack made = {.dataset = "d\r\xc3\xa9",
                     .channels = 1,
                     .height = 1,
                     .width = 1,
                     .classes = 2,
                     .class_names = names,
                     .sources = from,
                     .std = {1},
                     .split = {{1, &pixel, &label, NULL}}};
    spx_pack *p;
    empty_folder();
    CHECK_OK(spx_pack_write(&made, spx_scratch_path(&scratch, "a.h5")));
    CHECK_OK(spx_pack_open(&p, spx_scratch_path(&scratch, "a.h5"), SPX_PACK_LOAD_ALL));
    assert_string_equal(p->class_names, "a?[2J\nb??\\x???");
    assert_string_equal(p->sources, "0  x?[m\n");
    assert_string_equal(p->dataset, "d?\xc3\xa9");
    spx_pack_close(p);
}

SPX_TEST(truncated_and_flipped_packs_are_refused)
{
    SPX_UNUSED;
    const char *path, *bad;
    void *data;
    uint8_t *bytes;
    size_t n;
    spx_pack *p;
    spx_rng rng;
    empty_folder();
    path = spx_scratch_path(&scratch, "right.h5");
    bad = spx_scratch_path(&scratch, "bad.h5");
    write_odd_pack(path, &right);
    CHECK_OK(spx_pack_open(&p, path, SPX_PACK_LOAD_ALL));
    spx_pack_close(p);
    CHECK_OK(spx_file_read(path, 1 << 24, &data, &n));
    bytes = data;
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(spx_scratch_write(bad, bytes, n * i / 50), 0);
        CHECK_FAILS(SPX_EFORMAT, spx_pack_open(&p, bad, SPX_PACK_LOAD_ALL));
    }
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    for (int i = 0; i < 100; i++) {
        const size_t bit = spx_rng_below(&rng, (uint32_t)(8 * n));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(spx_scratch_write(bad, bytes, n), 0);
        CHECK_FAILS(SPX_EFORMAT, spx_pack_open(&p, bad, SPX_PACK_LOAD_ALL));
        assert_non_null(strstr(spx_error_message(), bad));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    spx_free(data);
}

SPX_TEST(a_full_disk_leaves_nothing_behind)
{
    SPX_UNUSED;
    spx_pack *p;
    spx_status st;
    empty_folder();
    write_odd_pack(spx_scratch_path(&scratch, "right.h5"), &right);
    CHECK_OK(spx_pack_open(&p, spx_scratch_path(&scratch, "right.h5"), SPX_PACK_LOAD_ALL));
    assert_int_equal(spx_scratch_limit(1000), 0);
    st = spx_pack_write(p, spx_scratch_path(&scratch, "full.h5"));
    assert_int_equal(spx_scratch_limit(RLIM_INFINITY), 0);
    assert_int_equal(st, SPX_EIO);
    assert_non_null(strstr(spx_error_message(), "full.h5"));
    assert_int_equal(spx_scratch_files(&scratch), 1);
    spx_pack_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(packs_with_contents_out_of_range_are_refused),
        SPX_UNIT(texts_of_a_pack_bring_no_control_characters),
        SPX_UNIT(truncated_and_flipped_packs_are_refused),
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
