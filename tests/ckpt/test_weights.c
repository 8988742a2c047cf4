#define _POSIX_C_SOURCE 200809L
/* Weights of other programs: whatever they are called, in whichever float and form, the same arrays
 * arrive; headers that lie are refused. The safetensors files are put together here. */
#include "host/ckpt/weights.h"

#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <hdf5.h>

static spx_scratch scratch;

/* A convolution, its norm's statistics, the classifier. */
enum { ARRAYS = 4, COUNT = 6 };
static spx_layout_entry entries[ARRAYS] = {
    {.name = "stem.0.weight", .role = SPX_ROLE_WEIGHT, .rank = 2, .dim = {2, 3}, .count = COUNT},
    {.name = "stem.1.running_mean", .role = SPX_ROLE_STATE, .rank = 1, .dim = {6}, .count = COUNT},
    {.name = "stem.1.running_var",
     .role = SPX_ROLE_STATE,
     .rank = 1,
     .dim = {6},
     .offset = 8,
     .count = COUNT},
    {.name = "linear.weight",
     .role = SPX_ROLE_WEIGHT,
     .rank = 2,
     .dim = {3, 2},
     .offset = 8,
     .count = COUNT},
};
static const spx_layout layout = {
    .entry = entries, .n = ARRAYS, .floats = {[SPX_ROLE_WEIGHT] = 16, [SPX_ROLE_STATE] = 16}};

/* Of array i; exact in 16-bit floats of both kinds. */
static float value_of(int i, int k)
{
    return (float)(i + 1) * 0.25f + (float)k;
}

/* ---- a safetensors file ---- */

typedef struct builder {
    char header[4096];
    unsigned char data[4096];
    size_t bytes;
} builder;

static void put(builder *b, const char *name, const char *dtype, const char *shape,
                const void *data, size_t bytes)
{
    const size_t used = strlen(b->header);
    (void)snprintf(b->header + used, sizeof b->header - used,
                   "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                   used > 0 ? "," : "", name, dtype, shape, b->bytes, b->bytes + bytes);
    memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
}

static void write_bytes(const char *path, const char *header, const void *data, size_t bytes)
{
    const size_t n = strlen(header);
    unsigned char length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = (unsigned char)((uint64_t)n >> (8 * i));
    }
    const spx_span part[3] = {{length, 8}, {header, n}, {data, bytes}};
    CHECK_OK(spx_file_replace(path, part, 3));
}

static void finish(const builder *b, const char *path)
{
    char header[sizeof b->header + 2];
    (void)snprintf(header, sizeof header, "{%s}", b->header);
    write_bytes(path, header, b->data, b->bytes);
}

/* x as `dtype`, by the definitions of the formats: for values that they hold exactly. */
static size_t encode(const char *dtype, float x, unsigned char *to)
{
    const double d = (double)x;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (strcmp(dtype, "F32") == 0) {
        memcpy(to, &x, 4);
        return 4;
    }
    if (strcmp(dtype, "F64") == 0) {
        memcpy(to, &d, 8);
        return 8;
    }
    uint16_t half = (uint16_t)(bits >> 16);
    if (strcmp(dtype, "F16") == 0) {
        int e;
        const float m = frexpf(fabsf(x), &e); /* x = m * 2^e, 0.5 <= m < 1 */
        half = (uint16_t)((x < 0 ? 0x8000 : 0) | (e - 1 + 15) << 10 | ((int)ldexpf(m, 11) & 1023));
    }
    memcpy(to, &half, 2);
    return 2;
}

/* All arrays, called prefix + name. */
static void put_arrays(builder *b, const char *prefix, const char *dtype, int except)
{
    for (int i = 0; i < ARRAYS; i++) {
        unsigned char data[COUNT * 8];
        char name[128], shape[64];
        size_t bytes = 0;
        for (int k = 0; k < COUNT; k++) {
            bytes += encode(dtype, value_of(i, k), data + bytes);
        }
        (void)snprintf(name, sizeof name, "%s%s", prefix, entries[i].name);
        if (entries[i].rank == 2) {
            (void)snprintf(shape, sizeof shape, "[%d,%d]", (int)entries[i].dim[0],
                           (int)entries[i].dim[1]);
        } else {
            (void)snprintf(shape, sizeof shape, "[%d]", (int)entries[i].dim[0]);
        }
        if (i != except) {
            put(b, name, dtype, shape, data, bytes);
        }
    }
}

/* ---- the same in HDF5 ---- */

static void write_h5(const char *path, const char *prefix, const char *state_prefix)
{
    spx_h5_out *w;
    CHECK_OK(spx_h5_create(&w));
    for (int i = 0; i < ARRAYS; i++) {
        float x[COUNT];
        char name[128];
        for (int k = 0; k < COUNT; k++) {
            x[k] = value_of(i, k);
        }
        (void)snprintf(name, sizeof name, "%s%s",
                       entries[i].role == SPX_ROLE_STATE ? state_prefix : prefix, entries[i].name);
        CHECK_OK(spx_h5_add(w, name, SPX_H5_F32, entries[i].rank, entries[i].dim, x));
    }
    CHECK_OK(spx_h5_commit(w, path));
    spx_h5_discard(w);
}

/* As h5py stores float16 and bfloat16. */
static void write_h5_half(const char *path, size_t exponent_bits)
{
    const size_t fraction_bits = 15 - exponent_bits;
    const hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    assert_true(f >= 0 &&
                H5Tset_fields(type, 15, fraction_bits, exponent_bits, 0, fraction_bits) >= 0);
    assert_true(H5Tset_size(type, 2) >= 0 &&
                H5Tset_ebias(type, ((size_t)1 << (exponent_bits - 1)) - 1) >= 0);
    for (int i = 0; i < ARRAYS; i++) {
        hsize_t dims[2] = {(hsize_t)entries[i].dim[0], (hsize_t)entries[i].dim[1]};
        const hid_t space = H5Screate_simple(entries[i].rank, dims, NULL);
        const hid_t set =
            H5Dcreate2(f, entries[i].name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        float x[COUNT];
        for (int k = 0; k < COUNT; k++) {
            x[k] = value_of(i, k);
        }
        assert_true(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
        (void)H5Dclose(set);
        (void)H5Sclose(space);
    }
    (void)H5Tclose(type);
    assert_true(H5Fclose(f) >= 0);
}

/* ---- reading back ---- */

static spx_status load(const char *path, char prefix[64], size_t *elsewhere)
{
    float weights[16], state[16];
    spx_weights *w;
    spx_status st;
    SPX_RETURN_IF(spx_weights_open(&w, path));
    SPX_TRY(st, spx_weights_find(w, "linear.weight"), end);
    (void)snprintf(prefix, 64, "%s", spx_weights_prefix(w));
    *elsewhere = spx_weights_elsewhere(w);
    SPX_TRY(st,
            spx_weights_load(w, &layout, &(spx_buffer){.data = weights, .bytes = sizeof weights},
                             &(spx_buffer){.data = state, .bytes = sizeof state}),
            end);
    for (int i = 0; i < ARRAYS; i++) {
        const float *x = (entries[i].role == SPX_ROLE_STATE ? state : weights) + entries[i].offset;
        for (int k = 0; k < COUNT; k++) {
            assert_true(x[k] == value_of(i, k));
        }
    }
end:
    spx_weights_close(w);
    return st;
}

SPX_TEST(a_prefix_common_to_all_names_is_dropped_in_both_forms)
{
    static const char *const prefixes[] = {"",       "module.", "_orig_mod.module.",
                                           "model/", "a/b/",    "state_dict/module."};
    const char *path = spx_scratch_path(&scratch, "names");
    char prefix[64];
    size_t elsewhere;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        builder b = {{0}, {0}, 0};
        put_arrays(&b, prefixes[i], "F32", -1);
        finish(&b, path);
        CHECK_OK(load(path, prefix, &elsewhere));
        assert_string_equal(prefix, prefixes[i]);
        write_h5(path, prefixes[i], prefixes[i]);
        CHECK_OK(load(path, prefix, &elsewhere));
        assert_string_equal(prefix, prefixes[i]);
        assert_int_equal(elsewhere, 0);
    }
    write_h5(path, "param/", "buffer/"); /* as published */
    CHECK_OK(load(path, prefix, &elsewhere));
}

SPX_TEST(floats_of_other_widths_are_converted)
{
    static const char *const types[] = {"F32", "F16", "BF16", "F64"};
    const char *path = spx_scratch_path(&scratch, "widths");
    char prefix[64];
    size_t elsewhere;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        builder b = {{0}, {0}, 0};
        put_arrays(&b, "", types[i], -1);
        finish(&b, path);
        CHECK_OK(load(path, prefix, &elsewhere));
    }
    write_h5_half(path, 5);
    CHECK_OK(load(path, prefix, &elsewhere));
    write_h5_half(path, 8);
    CHECK_OK(load(path, prefix, &elsewhere));
}

/* Loads a one-array network "linear.weight" of one element. */
static spx_status load_one(const char *dtype, const void *bits, size_t bytes, float *out)
{
    const char *path = spx_scratch_path(&scratch, "one");
    spx_layout_entry e = {
        .name = "linear.weight", .role = SPX_ROLE_WEIGHT, .rank = 1, .dim = {1}, .count = 1};
    const spx_layout l = {.entry = &e, .n = 1};
    builder b = {{0}, {0}, 0};
    spx_weights *w;
    put(&b, "linear.weight", dtype, "[1]", bits, bytes);
    finish(&b, path);
    CHECK_OK(spx_weights_open(&w, path));
    CHECK_OK(spx_weights_find(w, "linear.weight"));
    const spx_buffer weights = {.data = out, .bytes = sizeof *out}, none = {0};
    const spx_status st = spx_weights_load(w, &l, &weights, &none);
    spx_weights_close(w);
    return st;
}

SPX_TEST(halves_are_exact_at_their_ends_and_what_f32_cannot_hold_is_refused)
{
    static const struct {
        uint16_t bits;
        float value;
    } halves[] = {{0x0000, 0},          {0x0001, 0x1p-24f}, {0x8001, -0x1p-24f},
                  {0x03ff, 0x3ffp-24f}, {0x0400, 0x1p-14f}, {0x3c00, 1},
                  {0xc000, -2},         {0x7bff, 65504},    {0x3555, 0x1.554p-2f}};
    static const uint16_t not_finite[] = {0x7c00, 0xfc00, 0x7e00};
    const double too_large = 1e39, rounded = 1.0 + 0x1p-30;
    const int64_t whole = 3;
    float x;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
        CHECK_OK(load_one("F16", &halves[i].bits, 2, &x));
        assert_true(x == halves[i].value);
    }
    for (size_t i = 0; i < 3; i++) {
        CHECK_FAILS(SPX_EFORMAT, load_one("F16", &not_finite[i], 2, &x));
    }
    CHECK_FAILS(SPX_EFORMAT, load_one("F64", &too_large, 8, &x));
    assert_non_null(strstr(spx_error_message(), "linear.weight[0]"));
    CHECK_OK(load_one("F64", &rounded, 8, &x));
    assert_true(x == 1);
    CHECK_FAILS(SPX_EFORMAT, load_one("I64", &whole, 8, &x));
    assert_non_null(strstr(spx_error_message(), "I64"));
}

SPX_TEST(arenas_in_the_memory_of_a_device_are_refused)
{
    const char *path = spx_scratch_path(&scratch, "foreign");
    float memory[16];
    spx_buffer mine = {.data = memory, .bytes = sizeof memory}, foreign = mine;
    spx_weights *w;
    builder b = {{0}, {0}, 0};
    SPX_UNUSED;
    foreign.device = SPX_DEVICE_CUDA;
    put_arrays(&b, "", "F32", -1);
    finish(&b, path);
    CHECK_OK(spx_weights_open(&w, path));
    CHECK_OK(spx_weights_find(w, "linear.weight"));
    CHECK_FAILS(SPX_EINVAL, spx_weights_load(w, &layout, &foreign, &mine));
    CHECK_FAILS(SPX_EINVAL, spx_weights_load(w, &layout, &mine, &foreign));
    spx_weights_close(w);
}

SPX_TEST(arrays_missing_and_too_many_are_listed_counters_and_other_groups_are_not)
{
    static const float zero[COUNT];
    static const int64_t count = 5;
    const char *path = spx_scratch_path(&scratch, "lists");
    char prefix[64];
    size_t elsewhere;
    builder b = {{0}, {0}, 0};
    SPX_UNUSED;
    put_arrays(&b, "m/net.", "F32", -1);
    put(&b, "m/net.stem.1.num_batches_tracked", "I64", "[]", &count, sizeof count);
    put(&b, "optimizer/state.0", "F32", "[6]", zero, sizeof zero);
    finish(&b, path);
    CHECK_OK(load(path, prefix, &elsewhere));
    assert_int_equal(elsewhere, 1);
    for (int i = 0; i < 5; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "m/net.more.%d", i);
        put(&b, name, "F32", "[6]", zero, sizeof zero);
    }
    finish(&b, path);
    CHECK_FAILS(SPX_EFORMAT, load(path, prefix, &elsewhere));
    assert_non_null(strstr(spx_error_message(), "network: 5 (m/net.more.0, m/net.more.1, "));
    b = (builder){{0}, {0}, 0};
    put_arrays(&b, "", "F32", 1);
    finish(&b, path);
    CHECK_FAILS(SPX_EFORMAT, load(path, prefix, &elsewhere));
    assert_non_null(strstr(spx_error_message(), "missing: 1 (stem.1.running_mean)"));
    b = (builder){{0}, {0}, 0};
    put(&b, "linear.weight", "F32", "[2,3]", zero, sizeof zero);
    finish(&b, path);
    CHECK_FAILS(SPX_EFORMAT, load(path, prefix, &elsewhere));
    b = (builder){{0}, {0}, 0};
    put_arrays(&b, "", "F32", 3); /* no classifier, nothing that ends like it */
    finish(&b, path);
    CHECK_FAILS(SPX_EFORMAT, load(path, prefix, &elsewhere));
    assert_non_null(strstr(spx_error_message(), "linear.weight"));
}

SPX_TEST(what_the_file_says_of_its_network_is_read)
{
    const char *path = spx_scratch_path(&scratch, "about");
    static const int64_t layers = 12;
    spx_weights *w;
    spx_h5_out *h;
    char *text;
    SPX_UNUSED;
    write_bytes(path, "{\"__metadata__\":{\"layers\":\"12\"}}", NULL, 0);
    for (int form = 0; form < 2; form++) {
        CHECK_OK(spx_weights_open(&w, path));
        CHECK_OK(spx_weights_about(w, "layers", &text));
        assert_string_equal(text, "12");
        spx_free(text);
        CHECK_OK(spx_weights_about(w, "size", &text));
        assert_null(text);
        spx_weights_close(w);
        CHECK_OK(spx_h5_create(&h));
        CHECK_OK(spx_h5_add_attr(h, "", "layers", SPX_H5_I64, 1, &layers));
        CHECK_OK(spx_h5_commit(h, path));
        spx_h5_discard(h);
    }
}

#define ONE(dtype, shape, offsets)                                                                 \
    "{\"linear.weight\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(a, b)                                                                                  \
    "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" a "},\"y\":{\"dtype\":\"F32\","    \
    "\"shape\":[1],\"data_offsets\":" b "}}"

SPX_TEST(headers_that_lie_are_refused)
{
    static const char *const bad[] = {
        ONE("F32", "[2]", "[0,4]"),
        ONE("F32", "[3]", "[0,12]"),
        ONE("F32", "[-2]", "[0,8]"),
        ONE("F32", "[2.0]", "[0,8]"),
        ONE("F32", "[4294967296,4294967296]", "[0,8]"),
        ONE("F32", "[4611686018427387904,2]", "[0,8]"),
        ONE("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"),
        ONE("F32", "[2]", "[-8,0]"),
        ONE("F32", "[2]", "[8,0]"),
        ONE("F32", "[2]", "[0]"),
        ONE("F32", "[2]", "[0,8,8]"),
        ONE("F32", "[2]", "[0,9223372036854775807]"),
        ONE("F32", "7", "[0,8]"),
        ONE("Q4", "[2]", "[0,8]"),
        ONE("F32", "[1]", "[0,4]"), /* four bytes belong to nothing */
        ONE("F32", "[1]", "[4,8]"),
        TWO("[0,4]", "[0,4]"), /* overlap */
        TWO("[0,4]", "[2,6]"),
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        "{\"linear.weight\":7}",
        "{\"linear.weight\":",
        "{]",
    };
    static const unsigned char data[8];
    const char *path = spx_scratch_path(&scratch, "bad");
    spx_weights *w;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_bytes(path, bad[i], data, sizeof data);
        const spx_status st = spx_weights_open(&w, path);
        if (st != SPX_EFORMAT) {
            fail_msg("%s: %s", bad[i], spx_status_text(st));
        }
    }
    write_bytes(path, TWO("[0,4]", "[4,8]"), data, sizeof data); /* what was bent above */
    CHECK_OK(spx_weights_open(&w, path));
    spx_weights_close(w);
}

SPX_TEST(lengths_beyond_the_file_and_other_formats_are_refused)
{
    static const unsigned char huge[] = "\xff\xff\xff\xff\xff\xff\xff\xff{}";
    static const unsigned char longer[] = "\x09\0\0\0\0\0\0\0{}";
    static const unsigned char zip[] = "PK\3\4 archive", pickle[] = "\x80\x02}q";
    const struct {
        const void *data;
        size_t size;
        const char *says;
    } files[] = {{huge, 10, "header of"},  {longer, 10, "header of"}, {zip, 12, "save_file"},
                 {pickle, 4, "save_file"}, {"", 0, "HDF5"},           {"{", 1, "HDF5"}};
    const char *path = spx_scratch_path(&scratch, "other");
    spx_weights *w;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const spx_span part = {files[i].data, files[i].size};
        CHECK_OK(spx_file_replace(path, &part, 1));
        CHECK_FAILS(SPX_EFORMAT, spx_weights_open(&w, path));
        assert_non_null(strstr(spx_error_message(), files[i].says));
    }
    CHECK_FAILS(SPX_ENOTFOUND, spx_weights_open(&w, spx_scratch_path(&scratch, "absent")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_prefix_common_to_all_names_is_dropped_in_both_forms),
        SPX_UNIT(floats_of_other_widths_are_converted),
        SPX_UNIT(halves_are_exact_at_their_ends_and_what_f32_cannot_hold_is_refused),
        SPX_UNIT(arenas_in_the_memory_of_a_device_are_refused),
        SPX_UNIT(arrays_missing_and_too_many_are_listed_counters_and_other_groups_are_not),
        SPX_UNIT(what_the_file_says_of_its_network_is_read),
        SPX_UNIT(headers_that_lie_are_refused),
        SPX_UNIT(lengths_beyond_the_file_and_other_formats_are_refused),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
