#define _POSIX_C_SOURCE 200809L
#include "host/ckpt/ckpt.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <sys/stat.h>

static spx_scratch scratch;

/* Three parameters with a gap between them, one alpha, one state. */
static spx_layout_entry entries[] = {
    {.name = "net.a.weight",
     .role = SPX_ROLE_WEIGHT,
     .rank = 4,
     .dim = {2, 3, 1, 1},
     .offset = 0,
     .count = 6},
    {.name = "net.b.weight",
     .role = SPX_ROLE_WEIGHT,
     .rank = 1,
     .dim = {5},
     .offset = 16,
     .count = 5},
    {.name = "alpha_normal.0",
     .role = SPX_ROLE_ARCH,
     .rank = 2,
     .dim = {2, 7},
     .offset = 0,
     .count = 14},
    {.name = "net.b.running_mean",
     .role = SPX_ROLE_STATE,
     .rank = 1,
     .dim = {5},
     .offset = 3,
     .count = 5},
};
static const spx_layout layout = {
    .entry = entries,
    .n = 4,
    .floats = {[SPX_ROLE_WEIGHT] = 21, [SPX_ROLE_ARCH] = 14, [SPX_ROLE_STATE] = 8}};

typedef struct arenas {
    float weight[21], arch[14], state[8], momentum[21];
} arenas;

#define VIEW(array)                                                                                \
    {                                                                                              \
        .data = (array), .bytes = sizeof(array)                                                    \
    }
#define ARENAS(a)                                                                                  \
    {                                                                                              \
        {"param", SPX_ROLE_WEIGHT, VIEW((a)->weight)}, {"param", SPX_ROLE_ARCH, VIEW((a)->arch)},  \
            {"buffer", SPX_ROLE_STATE, VIEW((a)->state)},                                          \
            {"momentum", SPX_ROLE_WEIGHT, VIEW((a)->momentum)},                                    \
            {"ema_param", SPX_ROLE_WEIGHT, {0}},                                                   \
    }

static void fill(arenas *a, uint64_t seed)
{
    spx_rng r;
    float *x = (float *)a;
    spx_rng_init(&r, seed, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < sizeof *a / sizeof *x; i++) {
        x[i] = spx_rng_normal(&r);
    }
}

static void save(const char *path, arenas *a, int step, bool keep)
{
    const spx_ckpt_arena list[] = ARENAS(a);
    json_t *meta = json_pack("{s:s, s:i, s:f}", "kind", "search", "step", step, "best", 0.1);
    CHECK_OK(spx_ckpt_save(path, meta, &layout, list, sizeof list / sizeof list[0], keep));
    json_decref(meta);
}

static int step_of(const spx_ckpt *c)
{
    return (int)json_integer_value(json_object_get(c->meta, "step"));
}

SPX_TEST(what_is_saved_is_loaded_bit_for_bit_and_gaps_are_left_alone)
{
    const char *path = spx_scratch_path(&scratch, "a.h5");
    arenas a, b;
    const spx_ckpt_arena list[] = ARENAS(&b);
    spx_ckpt c;
    SPX_UNUSED;
    fill(&a, 1);
    fill(&b, 2);
    b.weight[6] = 77; /* in the gap */
    save(path, &a, 12, true);
    CHECK_OK(spx_ckpt_open(&c, path));
    assert_string_equal(spx_ckpt_kind(&c), "search");
    assert_int_equal(step_of(&c), 12);
    assert_true(json_real_value(json_object_get(c.meta, "best")) == 0.1);
    CHECK_OK(spx_ckpt_load(&c, &layout, list, sizeof list / sizeof list[0]));
    spx_ckpt_close(&c);
    assert_memory_equal(b.weight, a.weight, 6 * sizeof(float));
    assert_memory_equal(b.weight + 16, a.weight + 16, 5 * sizeof(float));
    assert_memory_equal(b.momentum + 16, a.momentum + 16, 5 * sizeof(float));
    assert_memory_equal(b.arch, a.arch, sizeof a.arch);
    assert_memory_equal(b.state + 3, a.state + 3, 5 * sizeof(float));
    assert_true(b.weight[6] == 77);
}

SPX_TEST(arrays_that_are_missing_or_of_another_shape_are_named)
{
    const char *path = spx_scratch_path(&scratch, "shape.h5");
    spx_layout_entry other[4];
    const spx_layout l = {.entry = other, .n = 4};
    arenas a;
    const spx_ckpt_arena list[] = ARENAS(&a);
    spx_ckpt c;
    SPX_UNUSED;
    fill(&a, 1);
    save(path, &a, 0, false);
    CHECK_OK(spx_ckpt_open(&c, path));
    memcpy(other, entries, sizeof other);
    other[1].name = "net.c.weight";
    CHECK_FAILS(SPX_EFORMAT, spx_ckpt_load(&c, &l, list, 1));
    assert_non_null(strstr(spx_error_message(), "param/net.c.weight is missing"));
    memcpy(other, entries, sizeof other);
    other[0].dim[0] = 3; /* same rank and, with the next, the same count */
    other[0].dim[1] = 2;
    CHECK_FAILS(SPX_EFORMAT, spx_ckpt_load(&c, &l, list, 1));
    assert_non_null(strstr(spx_error_message(), "param/net.a.weight is 2x3x1x1"));
    assert_non_null(strstr(spx_error_message(), "3x2x1x1"));
    spx_ckpt_close(&c);
}

SPX_TEST(arenas_of_a_device_or_too_small_are_refused_before_they_are_touched)
{
    const char *path = spx_scratch_path(&scratch, "device.h5");
    arenas a;
    spx_ckpt_arena wrong = {"param", SPX_ROLE_WEIGHT, VIEW(a.weight)};
    json_t *meta = json_pack("{s:s}", "kind", "search");
    spx_ckpt c;
    SPX_UNUSED;
    fill(&a, 1);
    wrong.data.device = SPX_DEVICE_CUDA;
    CHECK_FAILS(SPX_EINVAL, spx_ckpt_save(path, meta, &layout, &wrong, 1, false));
    CHECK_FAILS(SPX_ENOTFOUND, spx_ckpt_open(&c, path));
    save(path, &a, 1, false);
    CHECK_OK(spx_ckpt_open(&c, path));
    CHECK_FAILS(SPX_EINVAL, spx_ckpt_load(&c, &layout, &wrong, 1));
    wrong.data.device = SPX_DEVICE_CPU;
    wrong.data.bytes--;
    CHECK_FAILS(SPX_EINVAL, spx_ckpt_load(&c, &layout, &wrong, 1));
    spx_ckpt_close(&c);
    json_decref(meta);
}

SPX_TEST(a_group_never_saved_is_missing)
{
    const char *path = spx_scratch_path(&scratch, "ema.h5");
    arenas a;
    const spx_ckpt_arena ema = {"ema_param", SPX_ROLE_WEIGHT, VIEW(a.weight)};
    spx_ckpt c;
    SPX_UNUSED;
    fill(&a, 1);
    save(path, &a, 0, false);
    CHECK_OK(spx_ckpt_open(&c, path));
    CHECK_FAILS(SPX_EFORMAT, spx_ckpt_load(&c, &layout, &ema, 1));
    spx_ckpt_close(&c);
}

SPX_TEST(every_truncation_is_refused)
{
    char path[512];
    void *whole;
    size_t size;
    arenas a;
    spx_ckpt c;
    SPX_UNUSED;
    (void)snprintf(path, sizeof path, "%s", spx_scratch_path(&scratch, "cut.h5"));
    fill(&a, 1);
    save(path, &a, 0, false);
    CHECK_OK(spx_file_read(path, 1 << 20, &whole, &size));
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(spx_scratch_write(path, whole, size * i / 50), 0);
        CHECK_FAILS(SPX_EFORMAT, spx_ckpt_open(&c, path));
        assert_non_null(strstr(spx_error_message(), "cut.h5"));
    }
    spx_free(whole);
}

SPX_TEST(any_flipped_bit_is_refused)
{
    char path[512];
    uint8_t *whole;
    void *data;
    size_t size;
    arenas a;
    spx_ckpt c;
    spx_rng r;
    SPX_UNUSED;
    (void)snprintf(path, sizeof path, "%s", spx_scratch_path(&scratch, "flip.h5"));
    fill(&a, 1);
    save(path, &a, 0, false);
    CHECK_OK(spx_file_read(path, 1 << 20, &data, &size));
    whole = data;
    spx_rng_init(&r, 5, SPX_RNG_TEST, 1);
    for (size_t i = 0; i < 200; i++) {
        const uint32_t bit = spx_rng_below(&r, (uint32_t)((size - 16) * 8)); /* not the zero tail */
        whole[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(spx_scratch_write(path, whole, size), 0);
        CHECK_FAILS(SPX_EFORMAT, spx_ckpt_open(&c, path));
        whole[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    spx_free(data);
}

SPX_TEST(a_damaged_checkpoint_gives_way_to_the_previous_one)
{
    char path[512];
    arenas a, b;
    const spx_ckpt_arena list[] = ARENAS(&b);
    spx_ckpt c;
    SPX_UNUSED;
    (void)snprintf(path, sizeof path, "%s", spx_scratch_path(&scratch, "last.h5"));
    fill(&a, 1);
    save(path, &a, 1, true);
    save(path, &a, 2, true);
    CHECK_OK(spx_ckpt_open_latest(&c, path));
    assert_int_equal(c.fallback, SPX_OK);
    assert_int_equal(step_of(&c), 2);
    spx_ckpt_close(&c);
    assert_int_equal(spx_scratch_write(path, "damage", 6), 0);
    CHECK_OK(spx_ckpt_open_latest(&c, path));
    assert_int_equal(c.fallback, SPX_EFORMAT);
    assert_int_equal(step_of(&c), 1);
    fill(&b, 2);
    CHECK_OK(spx_ckpt_load(&c, &layout, list, sizeof list / sizeof list[0]));
    assert_memory_equal(b.weight, a.weight, 6 * sizeof(float));
    spx_ckpt_close(&c);
    /* The next save must not push the good one out by the damaged one. */
    save(path, &a, 3, true);
    assert_int_equal(unlink(path), 0);
    CHECK_OK(spx_ckpt_open_latest(&c, path));
    assert_true(step_of(&c) == 1 && c.fallback == SPX_ENOTFOUND);
    spx_ckpt_close(&c);
}

SPX_TEST(behind_a_link_the_previous_one_is_kept_and_the_link_stays)
{
    char path[512], target[512];
    struct stat s;
    arenas a;
    spx_ckpt c;
    SPX_UNUSED;
    (void)snprintf(path, sizeof path, "%s", spx_scratch_path(&scratch, "last.h5"));
    (void)snprintf(target, sizeof target, "%s", spx_scratch_path(&scratch, "elsewhere.h5"));
    assert_int_equal(symlink(target, path), 0);
    fill(&a, 1);
    for (int step = 1; step <= 3; step++) {
        save(path, &a, step, true);
    }
    assert_int_equal(spx_scratch_write(target, "damage", 6), 0);
    CHECK_OK(spx_ckpt_open_latest(&c, path));
    assert_true(step_of(&c) == 2 && c.fallback == SPX_EFORMAT);
    spx_ckpt_close(&c);
    save(path, &a, 4, true);
    assert_true(lstat(path, &s) == 0 && S_ISLNK(s.st_mode));
    CHECK_OK(spx_ckpt_open(&c, target));
    assert_int_equal(step_of(&c), 4);
    spx_ckpt_close(&c);
}

SPX_TEST(a_full_disk_keeps_the_old_checkpoint_and_leaves_nothing_behind)
{
    char path[512];
    arenas a;
    const spx_ckpt_arena list[] = ARENAS(&a);
    json_t *meta = json_pack("{s:s, s:i}", "kind", "search", "step", 9);
    spx_ckpt c;
    int files;
    SPX_UNUSED;
    (void)snprintf(path, sizeof path, "%s", spx_scratch_path(&scratch, "full.h5"));
    fill(&a, 1);
    save(path, &a, 8, false);
    files = spx_scratch_files(&scratch);
    for (rlim_t bytes = 0; bytes < 2048; bytes += 512) {
        assert_int_equal(spx_scratch_limit(bytes), 0);
        CHECK_FAILS(SPX_EIO, spx_ckpt_save(path, meta, &layout, list, 4, false));
        assert_int_equal(spx_scratch_limit(RLIM_INFINITY), 0);
        assert_int_equal(spx_scratch_files(&scratch), files);
        CHECK_OK(spx_ckpt_open(&c, path));
        assert_int_equal(step_of(&c), 8);
        spx_ckpt_close(&c);
    }
    json_decref(meta);
}

/* A checksummed file that is no checkpoint, or one with a broken description. */
static void write_other(const char *path, const char *format, int64_t schema, const char *meta)
{
    const int64_t n = meta != NULL ? (int64_t)strlen(meta) : 0;
    spx_h5_out *w;
    CHECK_OK(spx_h5_create(&w));
    CHECK_OK(spx_h5_add_text(w, "", "format", format));
    CHECK_OK(spx_h5_add_attr(w, "", "schema", SPX_H5_I64, 1, &schema));
    if (meta != NULL) {
        CHECK_OK(spx_h5_add(w, "meta", SPX_H5_U8, 1, &n, meta));
    }
    CHECK_OK(spx_h5_commit(w, path));
    spx_h5_discard(w);
}

SPX_TEST(files_of_another_format_schema_or_description_are_refused)
{
    static const char *const metas[] = {
        "", "{", "[1]", "{}", "{\"kind\": 3}", "{\"kind\":\"a\",\"kind\":\"b\"}"};
    const char *path = spx_scratch_path(&scratch, "other.h5");
    spx_ckpt c;
    SPX_UNUSED;
    write_other(path, "sphynx-model", SPX_CKPT_SCHEMA, "{\"kind\":\"search\"}");
    CHECK_OK(spx_ckpt_open(&c, path));
    spx_ckpt_close(&c);
    write_other(path, "sphynx-pack", SPX_CKPT_SCHEMA, "{\"kind\":\"search\"}");
    CHECK_FAILS(SPX_EFORMAT, spx_ckpt_open(&c, path));
    write_other(path, "sphynx-model", SPX_CKPT_SCHEMA + 1, "{\"kind\":\"search\"}");
    CHECK_FAILS(SPX_EFORMAT, spx_ckpt_open(&c, path));
    for (size_t i = 0; i < sizeof metas / sizeof metas[0]; i++) {
        write_other(path, "sphynx-model", SPX_CKPT_SCHEMA, metas[i]);
        CHECK_FAILS(SPX_EFORMAT, spx_ckpt_open(&c, path));
        assert_non_null(strstr(spx_error_message(), "other.h5"));
    }
    write_other(path, "sphynx-model", SPX_CKPT_SCHEMA,
                NULL); /* not to be taken for an absent file */
    CHECK_FAILS(SPX_EFORMAT, spx_ckpt_open(&c, path));
    CHECK_FAILS(SPX_ENOTFOUND, spx_ckpt_open(&c, spx_scratch_path(&scratch, "absent.h5")));
    CHECK_FAILS(SPX_ENOTFOUND, spx_ckpt_open_latest(&c, spx_scratch_path(&scratch, "absent.h5")));
}

SPX_TEST(a_description_without_a_kind_is_not_saved)
{
    const char *path = spx_scratch_path(&scratch, "kind.h5");
    json_t *meta = json_object();
    SPX_UNUSED;
    CHECK_FAILS(SPX_EINVAL, spx_ckpt_save(path, meta, &layout, NULL, 0, false));
    assert_int_equal(access(path, F_OK), -1);
    json_decref(meta);
}

/* On the way out the old file stays; on the way in no arena may be trusted. */
SPX_TEST(numbers_that_nothing_can_be_computed_with_are_named_by_array_and_index)
{
    static const struct {
        float value;
        const char *name, *says;
    } bad[] = {{NAN, "w.weight", "w.weight[1][0][2] is nan"},
               {INFINITY, "w.weight", "w.weight[1][0][2] is inf"},
               {-INFINITY, "w.bias", "w.bias[1][0][2] is -inf"},
               {-1e-9f, "bn.running_var", "bn.running_var[1][0][2] is -1e-09, expected a variance"},
               {-1, "bn.running_mean", NULL},
               {0, "bn.running_var", NULL},
               {0.5f, "buffer/x.mask", "buffer/x.mask[1][0][2] is 0.5, expected 0 or 1"},
               {NAN, "ema_buffer/x.mask", "ema_buffer/x.mask[1][0][2] is nan, expected 0 or 1"},
               {0, "buffer/x.mask", NULL},
               {0.5f, "alpha/x.mask", NULL}}; /* one that is trained */
    const char *path = spx_scratch_path(&scratch, "numbers.h5");
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        static const int64_t dim[] = {2, 1, 3};
        spx_layout_entry entry = {.role = SPX_ROLE_WEIGHT, .rank = 3, .dim = {2, 1, 3}, .count = 6};
        const spx_layout l = {.entry = &entry, .n = 1, .floats = {[SPX_ROLE_WEIGHT] = 6}};
        float x[6] = {1, 0, 1, 1, 0, bad[i].value}, y[6];
        const spx_ckpt_arena from = {"param", SPX_ROLE_WEIGHT, VIEW(x)},
                             to = {"", SPX_ROLE_WEIGHT, VIEW(y)};
        json_t *meta = json_pack("{s:s}", "kind", "model");
        const spx_status wanted = bad[i].says != NULL ? SPX_EFORMAT : SPX_OK;
        spx_h5_out *w;
        spx_h5 *f;
        entry.name = bad[i].name;
        if (wanted == SPX_OK) {
            CHECK_OK(spx_ckpt_save(path, meta, &l, &from, 1, false));
        } else {
            CHECK_FAILS(SPX_ENUMERIC, spx_ckpt_save(path, meta, &l, &from, 1, false));
            assert_non_null(strstr(spx_error_message(), bad[i].says));
            assert_int_equal(access(path, F_OK), -1);
        }
        json_decref(meta);
        CHECK_OK(spx_h5_create(&w)); /* another program's file */
        CHECK_OK(spx_h5_add(w, bad[i].name, SPX_H5_F32, 3, dim, x));
        CHECK_OK(spx_h5_commit(w, path));
        spx_h5_discard(w);
        CHECK_OK(spx_h5_open(&f, path, SPX_H5_FOREIGN));
        assert_int_equal(spx_arrays_load(f, &l, &to, 1), wanted);
        assert_true(wanted == SPX_OK || strstr(spx_error_message(), bad[i].says) != NULL);
        spx_h5_close(f);
        assert_int_equal(unlink(path), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(what_is_saved_is_loaded_bit_for_bit_and_gaps_are_left_alone),
        SPX_UNIT(arrays_that_are_missing_or_of_another_shape_are_named),
        SPX_UNIT(arenas_of_a_device_or_too_small_are_refused_before_they_are_touched),
        SPX_UNIT(a_group_never_saved_is_missing),
        SPX_UNIT(every_truncation_is_refused),
        SPX_UNIT(any_flipped_bit_is_refused),
        SPX_UNIT(a_damaged_checkpoint_gives_way_to_the_previous_one),
        SPX_UNIT(behind_a_link_the_previous_one_is_kept_and_the_link_stays),
        SPX_UNIT(a_full_disk_keeps_the_old_checkpoint_and_leaves_nothing_behind),
        SPX_UNIT(files_of_another_format_schema_or_description_are_refused),
        SPX_UNIT(a_description_without_a_kind_is_not_saved),
        SPX_UNIT(numbers_that_nothing_can_be_computed_with_are_named_by_array_and_index),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
