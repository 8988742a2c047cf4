/* Packs of stored pictures: what is written is read back, in every form, whatever the threads. */
#define _DEFAULT_SOURCE
#include "tests/data/store_check.h"

#include <math.h>
#include <unistd.h>

#define PICTURES 14

/* The picture is what decoding its file gives. */
static void check_picture(const spx_pack *p, spx_split split, uint32_t i, const char *name)
{
    char path[600];
    spx_image right, got;
    void *bytes, *stored;
    size_t size, n;
    int height, width;
    (void)snprintf(path, sizeof path, "%s/set/%s", scratch.folder, name);
    CHECK_OK(spx_image_read(&right, path, p->channels));
    CHECK_OK(spx_pack_image(p, split, i, &got));
    spx_store_size(p, split, i, &height, &width);
    assert_true(height == right.height && width == right.width && got.height == height &&
                got.width == width && got.channels == p->channels);
    assert_memory_equal(got.pixels, right.pixels, (size_t)(p->channels * height * width));
    CHECK_OK(spx_file_read(path, 1 << 20, &bytes, &size));
    assert_true(size <= spx_store_max_bytes(p, split));
    CHECK_OK(spx_alloc(&stored, size));
    CHECK_OK(spx_store_read(p, split, i, stored, size, &n));
    assert_int_equal(n, size);
    assert_memory_equal(stored, bytes, size);
    CHECK_FAILS(SPX_EINVAL, spx_store_read(p, split, i, stored, size - 1, &n));
    spx_free(stored);
    spx_free(bytes);
    spx_image_clear(&right);
    spx_image_clear(&got);
}

SPX_TEST(pictures_are_kept_as_they_are_with_names_labels_and_sizes)
{
    SPX_UNUSED;
    const spx_store_options o = {.form = SPX_STORE_ORIGINAL, .threads = 2};
    spx_pack_list *l;
    spx_pack *p;
    size_t at = 0;
    empty_folder();
    put_set(PICTURES, 3);
    store("a.h5", &o);
    p = open_pack("a.h5");
    l = list_set();
    assert_true(p->store != NULL && spx_store_encoded(p));
    assert_string_equal(spx_store_describe(p)->form, "original");
    assert_int_equal(p->classes, 2);
    assert_int_equal(p->channels, 3);
    assert_true(p->height == 0 && p->width == 0);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        assert_true(spx_pack_has(p, (spx_split)s));
        assert_null(p->split[s].images);
        for (uint32_t i = 0; i < p->split[s].count; i++, at++) {
            const spx_pack_item item = spx_pack_list_item(l, at);
            char *name;
            assert_int_equal(item.split, s);
            assert_int_equal(p->split[s].labels[i], item.label);
            CHECK_OK(spx_store_name(p, (spx_split)s, i, &name));
            assert_string_equal(name, item.name);
            check_picture(p, (spx_split)s, i, name);
            spx_free(name);
        }
    }
    assert_int_equal(at, PICTURES);
    CHECK_OK(spx_pack_verify(p, NULL, NULL, NULL));
    assert_int_equal(access(spx_scratch_path(&scratch, "a.h5.part"), F_OK), -1);
    spx_pack_list_close(l);
    spx_pack_close(p);
}

SPX_TEST(the_same_bytes_come_of_any_number_of_threads_in_any_form)
{
    SPX_UNUSED;
    static const char *const form[] = {"original", "jpeg:6:80", "raw:7"};
    empty_folder();
    put_set(PICTURES, 3);
    for (size_t k = 0; k < 3; k++) {
        spx_store_options o = {.threads = 1};
        CHECK_OK(spx_store_parse(form[k], &o));
        store("one.h5", &o);
        o.threads = 5;
        store("five.h5", &o);
        assert_true(equal_files("one.h5", "five.h5"));
    }
}

SPX_TEST(planes_are_the_largest_centred_square_of_one_size)
{
    SPX_UNUSED;
    const spx_store_options o = {.form = SPX_STORE_RAW, .side = 8, .threads = 2};
    double mean[3], std[3], sum = 0, squares = 0;
    spx_pack *p;
    size_t n = 0;
    empty_folder();
    for (int i = 0; i < 4; i++) { /* 12 x 8: the rows 2..9 are the square */
        char name[64];
        (void)snprintf(name, sizeof name, "set/train/a/%d.png", i);
        put_picture(name, i, 3, 12, 8);
    }
    put_picture("set/test/a/1.png", 9, 3, 12, 8);
    store("a.h5", &o);
    p = open_pack("a.h5");
    assert_false(spx_store_encoded(p));
    assert_true(p->height == 8 && p->width == 8 && p->channels == 3);
    for (uint32_t i = 0; i < 4; i++) {
        spx_image right, got;
        draw(&right, (int)i, 3, 12, 8);
        CHECK_OK(spx_pack_image(p, SPX_SPLIT_TRAIN, i, &got));
        for (size_t c = 0; c < 3; c++) {
            assert_memory_equal(got.pixels + 64 * c, right.pixels + 96 * c + 16, 64);
            for (size_t j = 0; c == 0 && j < 64; j++, n++) {
                sum += got.pixels[j] / 255.0;
                squares += got.pixels[j] * got.pixels[j] / 255.0 / 255.0;
            }
        }
        spx_image_clear(&right);
        spx_image_clear(&got);
    }
    spx_pack_moments(p, SPX_SPLIT_TRAIN, mean, std);
    assert_true(fabs(mean[0] - sum / (double)n) < 1e-12);
    assert_true(fabs(std[0] - sqrt(squares / (double)n - mean[0] * mean[0])) < 1e-12);
    assert_true(fabs(p->mean[0] - mean[0]) < 1e-12 && fabs(p->std[0] - std[0]) < 1e-12);
    spx_pack_close(p);
}

SPX_TEST(jpegs_are_scaled_down_to_the_short_side_and_smaller_ones_stay)
{
    SPX_UNUSED;
    const spx_store_options o = {.form = SPX_STORE_JPEG, .side = 10, .quality = 95, .threads = 1};
    static const int sides[][2] = {{20, 31}, {10, 40}, {31, 20}, {9, 9}};
    static const int right[][2] = {{10, 16}, {10, 40}, {16, 10}, {9, 9}};
    spx_pack *p;
    empty_folder();
    for (int i = 0; i < 4; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "set/train/a/%d.%s", i, i == 1 ? "jpg" : "png");
        put_picture(name, i, 3, sides[i][0], sides[i][1]);
    }
    put_picture("set/test/a/1.png", 9, 3, 30, 30);
    store("a.h5", &o);
    p = open_pack("a.h5");
    for (uint32_t i = 0; i < 4; i++) {
        spx_image_info info;
        unsigned char bytes[4096];
        size_t n;
        CHECK_OK(spx_store_read(p, SPX_SPLIT_TRAIN, i, bytes, sizeof bytes, &n));
        CHECK_OK(spx_image_probe(&info, "stored", bytes, n));
        assert_true(info.jpeg && info.height == right[i][0] && info.width == right[i][1]);
    }
    check_picture(p, SPX_SPLIT_TRAIN, 1, "train/a/1.jpg");
    CHECK_OK(spx_pack_verify(p, NULL, NULL, NULL));
    spx_pack_close(p);
}

SPX_TEST(one_channel_is_kept_where_no_picture_has_colour)
{
    SPX_UNUSED;
    spx_store_options o = {.form = SPX_STORE_RAW, .side = 8, .threads = 2};
    spx_pack *p;
    empty_folder();
    put_set(6, 1);
    store("a.h5", &o);
    p = open_pack("a.h5");
    assert_int_equal(p->channels, 1);
    spx_pack_close(p);
    o.channels = 3;
    store("a.h5", &o);
    p = open_pack("a.h5");
    assert_int_equal(p->channels, 3);
    spx_pack_close(p);
    o.channels = 0;
    put_picture("set/test/odd/last.png", 1, 3, 8, 8);
    store("a.h5", &o);
    p = open_pack("a.h5");
    assert_int_equal(p->channels, 3);
    spx_pack_close(p);
}

typedef struct shown {
    uint64_t done;
    int turns; /* times that it began again */
} shown;

static void note(void *ctx, uint64_t done, uint64_t total)
{
    shown *s = ctx;
    assert_true(done <= total);
    s->turns += done < s->done;
    s->done = done;
}

static bool stop_at_once(void *ctx)
{
    (void)ctx;
    return true;
}

SPX_TEST(looking_for_colours_is_shown_can_be_stopped_and_meets_damage_by_any_threads)
{
    SPX_UNUSED;
    spx_store_options o = {.form = SPX_STORE_ORIGINAL, .allow_bad = 1, .show = note};
    const int threads[] = {1, 3, 8};
    spx_store_report r;
    spx_image image;
    empty_folder();
    put_set(12, 1);
    draw(&image, 1, 3, 5, 4); /* colours that are all grey */
    memcpy(image.pixels + 20, image.pixels, 20);
    memcpy(image.pixels + 40, image.pixels, 20);
    CHECK_OK(spx_image_write(&image, place("set/train/even/00.png")));
    spx_image_clear(&image);
    spx_scratch_write_text(place("set/train/even/01.png"), "no picture");
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        shown s = {0, 0};
        spx_pack *p;
        o.threads = threads[i];
        o.ctx = &s;
        store(i == 0 ? "a.h5" : "b.h5", &o);
        assert_true(s.turns == 1 && s.done == 14);
        p = open_pack("a.h5");
        assert_true(p->channels == 1 && spx_store_describe(p)->bad == 1);
        spx_pack_close(p);
        assert_true(i == 0 || equal_files("a.h5", "b.h5"));
    }
    o.stop = stop_at_once;
    CHECK_FAILS(SPX_EINTERRUPTED, try_store("c.h5", &o, &r));
    assert_int_equal(access(spx_scratch_path(&scratch, "c.h5.part"), F_OK), -1);
}

SPX_TEST(bad_pictures_are_named_and_left_out_up_to_a_number)
{
    SPX_UNUSED;
    spx_store_options o = {.form = SPX_STORE_ORIGINAL, .threads = 2};
    spx_store_report r;
    spx_pack *p;
    empty_folder();
    put_set(8, 3);
    spx_scratch_write_text(place("set/train/even/empty.png"), "");
    spx_scratch_write_text(place("set/test/odd/text.jpg"), "no picture");
    CHECK_FAILS(SPX_EFORMAT, try_store("a.h5", &o, &r));
    assert_non_null(strstr(spx_error_message(), "train/even/empty.png"));
    spx_store_report_clear(&r);
    assert_int_equal(spx_scratch_files(&scratch), 1); /* the pictures alone */
    o.allow_bad = 1;
    CHECK_FAILS(SPX_EFORMAT, try_store("a.h5", &o, &r));
    assert_non_null(strstr(spx_error_message(), "train/even/empty.png"));
    assert_non_null(strstr(spx_error_message(), "2 pictures"));
    assert_int_equal(r.bad, 2);
    assert_string_equal(r.bad_names + strlen(r.bad_names) + 1, "test/odd/text.jpg");
    spx_store_report_clear(&r);
    o.allow_bad = 2;
    CHECK_OK(try_store("a.h5", &o, &r));
    assert_true(r.bad == 2 && r.count[0] == 6 && r.count[1] == 2);
    assert_string_equal(r.bad_names, "train/even/empty.png");
    assert_string_equal(r.bad_names + strlen(r.bad_names) + 1, "test/odd/text.jpg");
    spx_store_report_clear(&r);
    p = open_pack("a.h5");
    assert_int_equal(spx_store_describe(p)->bad, 2);
    assert_string_equal(spx_store_describe(p)->bad_names, "train/even/empty.png");
    assert_int_equal(p->split[0].count, 6);
    spx_pack_close(p);
}

SPX_TEST(shards_are_found_by_the_pack_and_old_ones_are_removed)
{
    SPX_UNUSED;
    spx_store_options o = {.form = SPX_STORE_RAW, .side = 8, .threads = 3};
    spx_pack *whole, *parts;
    char link[600];
    int files;
    empty_folder();
    put_set(PICTURES, 3);
    store("whole.h5", &o);
    o.shard_bytes = 4 * 3 * 64; /* four pictures a file */
    store("parts.h5", &o);
    assert_int_equal(spx_scratch_files(&scratch), 2 + 1 + (PICTURES - 1) / 4);
    (void)snprintf(link, sizeof link, "%s/elsewhere", scratch.folder);
    assert_int_equal(mkdir(link, 0777), 0);
    (void)snprintf(link, sizeof link, "%s/elsewhere/link.h5", scratch.folder);
    assert_int_equal(symlink("../parts.h5", link), 0);
    whole = open_pack("whole.h5");
    parts = open_pack("elsewhere/link.h5"); /* shards lie beside the file itself */
    assert_int_equal(spx_store_describe(parts)->shards, (PICTURES - 1) / 4);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        assert_int_equal(parts->split[s].count, whole->split[s].count);
        assert_memory_equal(parts->split[s].labels, whole->split[s].labels,
                            whole->split[s].count * sizeof *whole->split[s].labels);
        for (uint32_t i = 0; i < whole->split[s].count; i++) {
            spx_image a, b;
            char *x, *y;
            CHECK_OK(spx_pack_image(whole, (spx_split)s, i, &a));
            CHECK_OK(spx_pack_image(parts, (spx_split)s, i, &b));
            assert_memory_equal(a.pixels, b.pixels, 3 * 64);
            CHECK_OK(spx_store_name(whole, (spx_split)s, i, &x));
            CHECK_OK(spx_store_name(parts, (spx_split)s, i, &y));
            assert_string_equal(x, y);
            spx_free(x);
            spx_free(y);
            spx_image_clear(&a);
            spx_image_clear(&b);
        }
    }
    assert_memory_equal(whole->mean, parts->mean, sizeof whole->mean);
    spx_pack_close(whole);
    spx_pack_close(parts);
    files = spx_scratch_files(&scratch);
    o.shard_bytes = 7 * 3 * 64;
    store("parts.h5", &o);
    assert_int_equal(spx_scratch_files(&scratch), files - (PICTURES - 1) / 4 + (PICTURES - 1) / 7);
    parts = open_pack("parts.h5");
    assert_int_equal(parts->split[0].count + parts->split[1].count, PICTURES);
    spx_pack_close(parts);
}

SPX_TEST(forms_are_read_from_text)
{
    SPX_UNUSED;
    static const char *const bad[] = {
        "",     "orig",  "jpeg",      "jpeg:256", "jpeg:0:90", "jpeg:8:101", "jpeg:8:0",
        "raw:", "raw:0", "raw:99999", "raw:8x",   "raw:-1",    "jpeg:8:90:"};
    spx_store_options o = {0};
    CHECK_OK(spx_store_parse("jpeg:256:95", &o));
    assert_true(o.form == SPX_STORE_JPEG && o.side == 256 && o.quality == 95);
    CHECK_OK(spx_store_parse("raw:64", &o));
    assert_true(o.form == SPX_STORE_RAW && o.side == 64);
    CHECK_OK(spx_store_parse("original", &o));
    assert_int_equal(o.form, SPX_STORE_ORIGINAL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_store_parse(bad[i], &o));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(pictures_are_kept_as_they_are_with_names_labels_and_sizes),
        SPX_UNIT(the_same_bytes_come_of_any_number_of_threads_in_any_form),
        SPX_UNIT(planes_are_the_largest_centred_square_of_one_size),
        SPX_UNIT(jpegs_are_scaled_down_to_the_short_side_and_smaller_ones_stay),
        SPX_UNIT(one_channel_is_kept_where_no_picture_has_colour),
        SPX_UNIT(looking_for_colours_is_shown_can_be_stopped_and_meets_damage_by_any_threads),
        SPX_UNIT(bad_pictures_are_named_and_left_out_up_to_a_number),
        SPX_UNIT(shards_are_found_by_the_pack_and_old_ones_are_removed),
        SPX_UNIT(forms_are_read_from_text),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
