/* Packs of stored pictures that are damaged, incomplete or made to mislead: each is refused, and a
 * damaged picture is named. */
#define _DEFAULT_SOURCE
#include "host/h5/h5_file.h"
#include "tests/data/store_check.h"

#include <unistd.h>

/* Whether nothing is found wrong; else the message is set. */
static bool is_sound(const char *name)
{
    spx_pack *p;
    bool sound = false;
    if (spx_pack_open(&p, spx_scratch_path(&scratch, name), SPX_PACK_LOAD_ALL) == SPX_OK) {
        sound = spx_pack_verify(p, NULL, NULL, NULL) == SPX_OK;
        spx_pack_close(p);
    }
    if (!sound && strchr(spx_error_message(), '\n') != NULL) {
        fail_msg("more than a line: %s", spx_error_message());
    }
    return sound;
}

SPX_TEST(every_flipped_bit_of_a_pack_is_found)
{
    SPX_UNUSED;
    static const spx_store_options forms[] = {{.form = SPX_STORE_ORIGINAL, .threads = 1},
                                              {.form = SPX_STORE_RAW, .side = 4, .threads = 1}};
    const size_t step = SPX_SANITIZED ? 17 : 3; /* with luck no field is passed over */
    empty_folder();
    put_picture("set/train/a/1.png", 1, 3, 5, 6);
    put_picture("set/train/b/2.jpg", 2, 3, 5, 6);
    put_picture("set/test/a/3.png", 3, 3, 6, 5);
    for (size_t k = 0; k < 2; k++) {
        unsigned char *bytes;
        void *whole;
        size_t size;
        store("a.h5", &forms[k]);
        read_whole("a.h5", &whole, &size);
        bytes = whole;
        for (size_t at = 0; at < size; at += step) {
            bytes[at] ^= (unsigned char)(1u << at % 8);
            assert_int_equal(spx_scratch_write(place("b.h5"), bytes, size), 0);
            if (is_sound("b.h5")) {
                fail_msg("form %zu: a bit of byte %zu of %zu is not missed", k, at, size);
            }
            bytes[at] ^= (unsigned char)(1u << at % 8);
        }
        for (size_t n = 0; n < size; n += 1 + size / 50) { /* cut short */
            assert_int_equal(spx_scratch_write(place("b.h5"), bytes, n), 0);
            assert_false(is_sound("b.h5"));
        }
        assert_int_equal(spx_scratch_write(place("b.h5"), bytes, size), 0);
        assert_true(is_sound("b.h5"));
        spx_free(whole);
    }
}

/* ---- damaged pictures are named ---- */

typedef struct told {
    int n;
    uint32_t i[2];
    spx_split split[2];
} told;

static void tell(void *ctx, spx_split split, uint32_t i, const char *why)
{
    told *t = ctx;
    assert_non_null(why);
    if (t->n < 2) {
        t->i[t->n] = i;
        t->split[t->n] = split;
    }
    t->n++;
}

SPX_TEST(damaged_pictures_are_named_and_the_others_can_be_read)
{
    SPX_UNUSED;
    const spx_store_options o = {.form = SPX_STORE_RAW, .side = 8, .threads = 1};
    unsigned char *bytes;
    void *whole;
    size_t size, at = 0;
    told t = {0};
    spx_image image;
    spx_pack *p;
    empty_folder();
    put_set(9, 3);
    store("a.h5", &o);
    read_whole("a.h5", &whole, &size);
    bytes = whole;
    p = open_pack("a.h5");
    CHECK_OK(spx_pack_image(p, SPX_SPLIT_TRAIN, 0, &image));
    while (memcmp(bytes + at, image.pixels, 192) != 0) { /* where the pictures begin */
        at++;
    }
    spx_image_clear(&image);
    spx_pack_close(p);
    bytes[at + 2 * 192 + 5] ^= 1;
    bytes[at + 7 * 192 + 191] ^= 128; /* the first of test */
    assert_int_equal(spx_scratch_write(place("a.h5"), bytes, size), 0);
    spx_free(whole);
    p = open_pack("a.h5");
    CHECK_OK(spx_pack_image(p, SPX_SPLIT_TRAIN, 1, &image));
    spx_image_clear(&image);
    CHECK_FAILS(SPX_EFORMAT, spx_pack_image(p, SPX_SPLIT_TRAIN, 2, &image));
    assert_null(image.pixels);
    assert_non_null(strstr(spx_error_message(), "a.h5: 'train/even/004.jpg' (image 2 of train)"));
    CHECK_FAILS(SPX_EFORMAT, spx_pack_verify(p, tell, NULL, &t));
    assert_true(t.n == 2 && t.i[0] == 2 && t.split[0] == SPX_SPLIT_TRAIN && t.i[1] == 0 &&
                t.split[1] == SPX_SPLIT_TEST);
    assert_non_null(strstr(spx_error_message(), "train/even/004.jpg"));
    assert_non_null(strstr(spx_error_message(), "1 more"));
    spx_pack_close(p);
}

/* ---- shards ---- */

/* The name of the pack's file that has `part` in its name. */
static void find(const char *part, char name[256])
{
    DIR *d = opendir(scratch.folder);
    name[0] = '\0';
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strstr(e->d_name, part) != NULL) {
            (void)snprintf(name, 256, "%s", e->d_name);
        }
    }
    (void)closedir(d);
    assert_true(name[0] != '\0');
}

static void check_misses(const char *name, const char *expect)
{
    spx_pack *p;
    const spx_status st = spx_pack_open(&p, spx_scratch_path(&scratch, name), SPX_PACK_LOAD_ALL);
    if (st != SPX_EFORMAT || strstr(spx_error_message(), expect) == NULL) {
        fail_msg("%s: %s: '%s', expected '%s'", name, spx_status_text(st),
                 st != SPX_OK ? spx_error_message() : "", expect);
    }
}

SPX_TEST(a_shard_that_is_missing_or_of_another_pack_is_named)
{
    SPX_UNUSED;
    spx_store_options o = {.form = SPX_STORE_RAW, .side = 8, .threads = 1, .shard_bytes = 4 * 192};
    char shard[256], other[256], kept[600];
    spx_pack *p;
    empty_folder();
    put_set(14, 3);
    store("a.h5", &o);
    o.side = 7; /* as many images a shard, other bytes */
    o.shard_bytes = 4 * 147;
    store("b.h5", &o);
    find("a.002-", shard);
    find("b.002-", other);
    check_misses(shard, "a shard: give the file of the pack");
    (void)snprintf(kept, sizeof kept, "%s/kept", scratch.folder);
    assert_int_equal(rename(spx_scratch_path(&scratch, shard), kept), 0);
    check_misses("a.h5", shard);
    CHECK_OK(spx_pack_open(&p, spx_scratch_path(&scratch, "a.h5"), 0)); /* the description */
    assert_true(p->split[0].count == 11 && p->split[1].count == 3 && !spx_pack_has(p, 0));
    spx_pack_close(p);
    assert_int_equal(link(spx_scratch_path(&scratch, other), spx_scratch_path(&scratch, shard)), 0);
    check_misses("a.h5", "that of another pack");
    assert_int_equal(unlink(spx_scratch_path(&scratch, shard)), 0);
    assert_int_equal(rename(kept, spx_scratch_path(&scratch, shard)), 0);
    assert_true(is_sound("a.h5"));
}

SPX_TEST(tensors_that_replace_stored_pictures_remove_their_shards)
{
    SPX_UNUSED;
    const spx_store_options o = {
        .form = SPX_STORE_RAW, .side = 8, .threads = 1, .shard_bytes = 4 * 192};
    uint8_t pixels[4] = {0};
    uint16_t label = 0;
    char name[] = "a";
    spx_pack p = {.dataset = "dots",
                  .channels = 1,
                  .height = 2,
                  .width = 2,
                  .classes = 1,
                  .class_names = name,
                  .std = {1},
                  .split = {{1, pixels, &label, NULL}}};
    empty_folder();
    put_set(14, 3);
    store("a.h5", &o);
    store("a.b.h5", &o); /* another pack's shards stay */
    spx_scratch_write_text(place("a.h5.part"), "a packing under way");
    CHECK_OK(spx_pack_write(&p, spx_scratch_path(&scratch, "a.h5")));
    assert_int_equal(spx_scratch_files(&scratch), 2 + 2 * 4);
    assert_int_equal(unlink(spx_scratch_path(&scratch, "a.h5.part")), 0);
    CHECK_OK(spx_pack_write(&p, spx_scratch_path(&scratch, "a.h5")));
    assert_int_equal(spx_scratch_files(&scratch), 1 + 1 + 4);
    assert_true(is_sound("a.h5") && is_sound("a.b.h5"));
}

SPX_TEST(files_that_are_called_like_shards_are_not_removed)
{
    SPX_UNUSED;
    const spx_store_options o = {
        .form = SPX_STORE_RAW, .side = 8, .threads = 1, .shard_bytes = 4 * 192};
    empty_folder();
    put_set(9, 3);
    spx_scratch_write_text(place("a.001-01234567.h5"), "a file of somebody's");
    store("a.h5", &o);
    spx_scratch_check_text(spx_scratch_path(&scratch, "a.001-01234567.h5"), "a file of somebody's");
    assert_true(is_sound("a.h5"));
}

/* ---- made to mislead, with a checksum that fits ---- */

enum { IMAGES = 4, TRAIN = 3, BYTES = 40 };

typedef struct lie {
    int64_t data[4]; /* dims; rank 1 where the second is 0 */
    int64_t counts[2], begin[2], ends[IMAGES], size[2];
    int64_t channels;
    const char *form, *shards;
    int sides, labels; /* labels: of train that are there */
    const char *expect;
} lie;

static void write_u16(spx_h5_out *w, const char *name, int64_t n, int v)
{
    const uint16_t all[IMAGES] = {(uint16_t)v, (uint16_t)v, (uint16_t)v, (uint16_t)v};
    CHECK_OK(spx_h5_add(w, name, SPX_H5_U16, 1, &n, all));
}

static spx_status put_zeros(void *ctx, int fd, const char *path)
{
    const int64_t *n = ctx;
    void *zeros = calloc(1, (size_t)*n);
    const bool ok = zeros != NULL && spx_write_fully(fd, zeros, (size_t)*n);
    free(zeros);
    return ok ? SPX_OK : SPX_FAIL(SPX_EIO, "%s", path);
}

static void write_splits(spx_h5_out *w, const lie *l)
{
    static const char *const names[] = {"a\0b\0c", "d"};
    const uint32_t crc[IMAGES] = {0};
    for (int s = 0; s < 2; s++) {
        const int64_t n = s == 0 ? TRAIN : IMAGES - TRAIN, bytes = 2 * n;
        const int64_t labels = s == 0 ? l->labels : n;
        char name[32];
#define NAME(what) ((void)snprintf(name, sizeof name, "%s/" what, s == 0 ? "train" : "test"), name)
        write_u16(w, NAME("labels"), labels, 1);
        CHECK_OK(spx_h5_add(w, NAME("crc"), SPX_H5_U32, 1, &n, crc));
        CHECK_OK(spx_h5_add(w, NAME("names"), SPX_H5_U8, 1, &bytes, names[s]));
        CHECK_OK(spx_h5_add(w, NAME("ends"), SPX_H5_I64, 1, &n, l->ends + (s == 0 ? 0 : TRAIN)));
        write_u16(w, NAME("heights"), n, l->sides);
        write_u16(w, NAME("widths"), n, 5);
    }
}

static void write_lie(const char *name, const lie *l)
{
    const double mean[] = {.5, .5, .5}, std[] = {.2, .2, .2};
    const int64_t schema = 2, moments[14] = {0};
    const int rank = l->data[1] == 0 ? 1 : 4;
    int64_t n = l->data[0] * (rank == 1 ? 1 : l->data[1] * l->data[2] * l->data[3]);
    char digest[SPX_H5_DIGEST_CHARS];
    spx_h5_out *w;
    CHECK_OK(spx_h5_create_apart(&w, "data", rank, l->data));
    CHECK_OK(spx_h5_add_text(w, "", "format", "sphynx-pack"));
    CHECK_OK(spx_h5_add_attr(w, "", "schema", SPX_H5_I64, 1, &schema));
    CHECK_OK(spx_h5_add_text(w, "", "dataset", "lies"));
    CHECK_OK(spx_h5_add_text(w, "", "classes", "a\nb"));
    CHECK_OK(spx_h5_add_text(w, "", "sources", ""));
    CHECK_OK(spx_h5_add_text(w, "", "fingerprint", ""));
    CHECK_OK(spx_h5_add_text(w, "", "form", l->form));
    CHECK_OK(spx_h5_add_text(w, "", "shards", l->shards));
    CHECK_OK(spx_h5_add_attr(w, "", "channels", SPX_H5_I64, 1, &l->channels));
    CHECK_OK(spx_h5_add_attr(w, "", "size", SPX_H5_I64, 2, l->size));
    CHECK_OK(spx_h5_add_attr(w, "", "counts", SPX_H5_I64, 2, l->counts));
    CHECK_OK(spx_h5_add_attr(w, "", "begin", SPX_H5_I64, 2, l->begin));
    CHECK_OK(spx_h5_add_attr(w, "", "mean", SPX_H5_F64, 3, mean));
    CHECK_OK(spx_h5_add_attr(w, "", "std", SPX_H5_F64, 3, std));
    CHECK_OK(spx_h5_add_attr(w, "", "moments", SPX_H5_I64, 14, moments));
    write_splits(w, l);
    CHECK_OK(spx_h5_finish_apart(w, digest));
    CHECK_OK(spx_h5_commit_apart(w, spx_scratch_path(&scratch, name), put_zeros, &n));
    spx_h5_discard(w);
}

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LIE(...)                                                                                   \
    {                                                                                              \
        .data = {BYTES}, .counts = {TRAIN, IMAGES - TRAIN}, .begin = {0, 30},                      \
        .ends = {10, 20, 30, BYTES}, .channels = 3, .form = "original", .shards = "", .sides = 4,  \
        .labels = TRAIN, __VA_ARGS__                                                               \
    }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const lie lies[] = {
    LIE(.expect = NULL),
    LIE(.ends = {10, 10, 30, BYTES}, .expect = "image 1 of 4x5 pixels ends at 10"),
    LIE(.ends = {20, 10, 30, BYTES}, .expect = "image 1"),
    LIE(.ends = {10, 20, 31, BYTES}, .expect = "image 2"),
    LIE(.ends = {10, 20, 29, BYTES}, .expect = "ends at 29, expected 30"),
    LIE(.ends = {-1, 20, 30, BYTES}, .expect = "image 0"),
    LIE(.ends = {INT64_MIN, 20, 30, BYTES}, .expect = "image 0"),
    LIE(.ends = {10, 20, 30, INT64_MAX}, .expect = "image 0"),
    LIE(.ends = {10, 20, 30, BYTES - 1}, .expect = "expected 40"),
    LIE(.begin = {0, BYTES}, .expect = "begin at 40"),
    LIE(.begin = {0, BYTES + 1}, .expect = "begin at 41"),
    LIE(.begin = {0, 0}, .expect = "begin at 0"),
    LIE(.begin = {0, -30}, .expect = "begin at -30"),
    LIE(.begin = {1, 30}, .expect = "begin at"),
    LIE(.data = {BYTES + 1}, .expect = "expected 41"),
    LIE(.data = {BYTES, 1, 1, 1}, .expect = "'data' is not"),
    LIE(.counts = {TRAIN + 1, 1}, .expect = "'train/labels' has 3 elements, expected 4"),
    LIE(.counts = {UINT32_MAX, 1}, .expect = "has 3 elements, expected 4294967295"),
    LIE(.counts = {(int64_t)UINT32_MAX + 1, 1}, .expect = "4294967296 images"),
    LIE(.counts = {-1, 1}, .expect = "-1 images"),
    LIE(.counts = {0, 0}, .expect = "no images"),
    LIE(.labels = TRAIN - 1, .expect = "'train/labels' has 2 elements"),
    LIE(.sides = 0, .expect = "image 0 of 0x5"),
    LIE(.sides = 8193, .expect = "image 0 of 8193x5"),
    LIE(.size = {4, 5}, .expect = NULL),
    LIE(.size = {4, 4}, .expect = "image 0 of 4x5"),
    LIE(.size = {3, 5}, .expect = "image 0 of 4x5"),
    LIE(.channels = 2, .expect = "channels 2"),
    LIE(.channels = INT64_MAX, .expect = "channels"),
    LIE(.size = {4, 0}, .expect = "size 4 x 0"),
    LIE(.size = {9000, 9000}, .expect = "size 9000 x 9000"),
    LIE(.form = "raw:2", .expect = "size 0 x 0"),
    LIE(.form = "raw:2", .size = {2, 2}, .expect = "'data' is not"),
    LIE(.form = "raw:1", .data = {13, 3, 1, 1}, .size = {1, 1}, .begin = {0, 9},
        .expect = "do not fill their place"),
    LIE(.form = "raw:1", .data = {IMAGES, 3, 1, 1}, .size = {1, 1}, .begin = {0, 9},
        .expect = NULL),
    LIE(.shards = DIGEST " 9 0 x.h5\n", .expect = "more train images"),
    LIE(.shards = DIGEST " 1 0 ../x.h5\n", .expect = "a shard"),
    LIE(.shards = DIGEST " 1 0 /x.h5\n", .expect = "a shard"),
    LIE(.shards = DIGEST " 1 0 ..\n", .expect = "a shard"),
    LIE(.shards = "0123 1 0 x.h5\n", .expect = "a shard"),
    LIE(.shards = "\n\n", .expect = "a shard"),
    LIE(.shards = DIGEST " -1 0 x.h5\n", .expect = "shard"),
    LIE(.shards = DIGEST " 1 0 a.h5\n", .expect = "another pack"), /* itself */
};
#pragma GCC diagnostic pop

SPX_TEST(an_index_that_does_not_fit_is_refused)
{
    SPX_UNUSED;
    empty_folder();
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        spx_pack *p;
        write_lie("a.h5", &lies[i]);
        if (lies[i].expect != NULL) {
            check_misses("a.h5", lies[i].expect);
            continue;
        }
        p = open_pack("a.h5");
        CHECK_FAILS(SPX_EFORMAT, spx_pack_verify(p, NULL, NULL, NULL)); /* zeros */
        spx_pack_close(p);
    }
}

SPX_TEST(a_stream_of_stored_pictures_is_refused)
{
    SPX_UNUSED;
    const spx_store_options o = {.form = SPX_STORE_RAW, .side = 8, .threads = 1};
    char command[700], path[64];
    FILE *pipe;
    spx_pack *p;
    empty_folder();
    put_set(9, 3);
    store("a.h5", &o);
    (void)snprintf(command, sizeof command, "cat %s/a.h5", scratch.folder);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", fileno(pipe));
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_pack_open(&p, path, SPX_PACK_LOAD_ALL));
    assert_non_null(strstr(spx_error_message(), "give a file"));
    (void)pclose(pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_flipped_bit_of_a_pack_is_found),
        SPX_UNIT(damaged_pictures_are_named_and_the_others_can_be_read),
        SPX_UNIT(a_shard_that_is_missing_or_of_another_pack_is_named),
        SPX_UNIT(tensors_that_replace_stored_pictures_remove_their_shards),
        SPX_UNIT(files_that_are_called_like_shards_are_not_removed),
        SPX_UNIT(an_index_that_does_not_fit_is_refused),
        SPX_UNIT(a_stream_of_stored_pictures_is_refused),
    };
    int failed;
    if (!begin_in_memory()) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
