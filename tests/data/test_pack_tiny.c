/* Tiny-ImageNet in each form it is kept in, and ZIP archives that are damaged. */
#define _DEFAULT_SOURCE
#include "kernels/base/rng.h"
#include "tests/data/pack_archive_bytes.h"
#include "tests/data/pack_list_check.h"
#include "tests/support/fresh_seed.h"

#include <unistd.h>

/* A set of two classes; its files have their names as contents, but for the texts. */
typedef struct file {
    const char *name, *contents;
} file;

static const char annotations[] = "val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t1\t2\t3\t4\n";

static const file published[] = {
    {"wnids.txt", "n02\nn01\n"},
    {"words.txt", "n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\tbee\n"},
    {"val/val_annotations.txt", annotations},
    {"train/n02/images/n02_1.JPEG", NULL},
    {"train/n02/images/n02_10.JPEG", NULL},
    {"train/n02/n02_boxes.txt", "boxes"},
    {"train/n01/images/n01_0.JPEG", NULL},
    {"val/images/val_1.JPEG", NULL},
    {"val/images/val_0.JPEG", NULL},
    {"test/images/test_0.JPEG", NULL},
};
enum { PUBLISHED = sizeof published / sizeof *published };

static const expected right[] = {{"train/n01/images/n01_0.JPEG", 0, 0, NULL},
                                 {"train/n02/images/n02_1.JPEG", 1, 0, NULL},
                                 {"train/n02/images/n02_10.JPEG", 1, 0, NULL},
                                 {"val/images/val_0.JPEG", 1, 1, NULL},
                                 {"val/images/val_1.JPEG", 0, 1, NULL}};

static void write_files(const char *folder, const file *f, size_t n)
{
    char name[200];
    for (size_t i = 0; i < n; i++) {
        const char *contents = f[i].contents != NULL ? f[i].contents : f[i].name;
        (void)snprintf(name, sizeof name, "%s%s", folder, f[i].name);
        spx_scratch_write_text(place(name), contents);
    }
}

/* The archive of the files, every other member deflated. */
static buffer make_zip(const char *folder, const file *f, size_t n, const char *comment)
{
    char name[200];
    zip z = {0};
    (void)snprintf(name, sizeof name, "%strain/", folder);
    zip_add(&z, name, "", 0, false);
    for (size_t i = 0; i < n; i++) {
        const char *contents = f[i].contents != NULL ? f[i].contents : f[i].name;
        (void)snprintf(name, sizeof name, "%s%s", folder, f[i].name);
        zip_add(&z, name, contents, strlen(contents), i % 2 == 1);
    }
    return zip_end(&z, comment);
}

static void check_set(const char *src)
{
    spx_pack_list *l = open_list("tiny-imagenet", src, NULL);
    const spx_pack *about = spx_pack_list_about(l);
    check_items(l, right, sizeof right / sizeof *right);
    assert_string_equal(about->class_names, "goldfish, Carassius auratus\nbee");
    assert_string_equal(about->dataset, "tiny-imagenet");
    assert_int_equal(about->height, 0);
    assert_true(about->mean[0] == .480 && about->std[2] == .282);
    assert_non_null(strstr(about->sources, "  val_annotations.txt\n"));
    assert_true(spx_pack_list_passed_over(l) >= 1); /* boxes; of a folder the labels, too */
    spx_pack_list_close(l);
}

SPX_TEST(the_published_archive_and_its_folder_are_one_set)
{
    SPX_UNUSED;
    static const char *const folders[] = {"tiny-imagenet-200/", ""};
    for (size_t i = 0; i < 2; i++) {
        buffer b;
        empty_folder();
        write_files(folders[i], published, PUBLISHED);
        check_set(scratch.folder); /* the folder, or the one it lies in */
        empty_folder();
        b = make_zip(folders[i], published, PUBLISHED, i == 0 ? "" : "a comment, PK\5\6 and more");
        save(&b, "tiny-imagenet-200.zip");
        check_set(scratch.folder);
        check_set(spx_scratch_path(&scratch, "tiny-imagenet-200.zip"));
    }
}

SPX_TEST(a_validation_split_sorted_into_classes_is_read)
{
    SPX_UNUSED;
    static const char *const forms[] = {"val/n02/val_0.JPEG", "val/n02/images/val_0.JPEG"};
    for (size_t i = 0; i < 2; i++) {
        spx_pack_list *l;
        empty_folder();
        write_files("", published, 7); /* annotations stay beside it */
        put_file(forms[i]);
        l = open_list("tiny-imagenet", scratch.folder, NULL);
        assert_int_equal(spx_pack_list_count(l), 4);
        assert_string_equal(spx_pack_list_item(l, 3).name, forms[i]);
        assert_int_equal(spx_pack_list_item(l, 3).label, 1);
        spx_pack_list_close(l);
    }
}

SPX_TEST(labels_that_do_not_fit_are_refused_by_name_and_line)
{
    SPX_UNUSED;
    static const struct {
        const char *name, *contents, *expect;
    } cases[] = {
        {"val/val_annotations.txt", "val_0.JPEG\tn02\n", "val/images/val_1.JPEG: no line names it"},
        {"val/val_annotations.txt", "val_0.JPEG\tn02\nval_1.JPEG\tn03\n",
         "line 2: 'n03' is no class"},
        {"val/val_annotations.txt", "val_0.JPEG\tn02\nval_1.JPEG\n", "line 2: '' is no class"},
        {"val/val_annotations.txt", "val_0.JPEG\t1\nval_1.JPEG\t2\n",
         "line 2: label 2, expected 0 to 1"},
        {"val/val_annotations.txt", "val_1.JPEG\tn02\nval_1.JPEG\tn02\nval_0.JPEG n01",
         "line 2: val_1.JPEG is named by line 1, too"},
        {"val/val_annotations.txt", "val_0.JPEG\tn02\nval_1.JPEG\tn01\n\nval_2.JPEG\tn01\n",
         "line 4: no picture val_2.JPEG"},
        {"val/val_annotations.txt", "\xff\xfev\0", "UTF-16"},
        {"wnids.txt", "n02\nn01x\n", "line 2: 'n01' is no class"},
        {"words.txt", "n01\ta\nn01\tb\n", "line 2: n01 is named twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        empty_folder();
        write_files("", published, PUBLISHED);
        spx_scratch_write_text(place(cases[i].name), cases[i].contents);
        check_list_refused("tiny-imagenet", scratch.folder, NULL, cases[i].expect);
    }
    empty_folder();
    write_files("", published, PUBLISHED);
    put_file("train/n03/x.JPEG");
    check_list_refused("tiny-imagenet", scratch.folder, NULL,
                       "train/n03/x.JPEG: its folder is no class");
    assert_int_equal(unlink(place("train/n03/x.JPEG")), 0);
    assert_int_equal(unlink(place("val/val_annotations.txt")), 0);
    check_list_refused("tiny-imagenet", scratch.folder, NULL,
                       "and val/val_annotations.txt is not there");
    assert_int_equal(unlink(place("wnids.txt")), 0);
    check_list_refused("tiny-imagenet", scratch.folder, NULL, "looked for wnids.txt");
    empty_folder();
    put_file("train/n01/images/1.JPEG");
    check_list_refused("tiny-imagenet", scratch.folder, NULL, "looked for val beside train");
    empty_folder();
    check_list_refused("tiny-imagenet", scratch.folder, NULL, "looked for tiny-imagenet-200.zip");
}

SPX_TEST(more_classes_than_a_pack_holds_are_refused)
{
    SPX_UNUSED;
    buffer keys = {0}, more = {0};
    spx_pack_list *l;
    size_t length;
    empty_folder();
    put_file("train/00000/1.JPEG");
    put_file("val/09999/1.JPEG");
    for (int k = SPX_PACK_MAX_CLASSES - 1; k >= 0; k--) {
        char line[32];
        (void)snprintf(line, sizeof line, "%05d\n", k);
        put_text(&keys, line);
    }
    put(&more, keys.bytes, keys.n);
    put_text(&more, "more\n");
    save(&keys, "wnids.txt");
    l = open_list("tiny-imagenet", scratch.folder, NULL);
    assert_int_equal(spx_pack_list_about(l)->classes, SPX_PACK_MAX_CLASSES);
    assert_memory_equal(spx_pack_class(spx_pack_list_about(l), 9999, &length), "09999", 5);
    assert_int_equal(spx_pack_list_item(l, 1).label, 9999);
    spx_pack_list_close(l);
    save(&more, "wnids.txt");
    check_list_refused("tiny-imagenet", scratch.folder, NULL, "10001 classes, at most 10000");
}

SPX_TEST(pictures_there_twice_are_refused)
{
    SPX_UNUSED;
    const file twice[] = {published[0], published[3], published[3], published[6]};
    buffer b = make_zip("", twice, 4, "");
    empty_folder();
    save(&b, "t.zip");
    check_list_refused("tiny-imagenet", spx_scratch_path(&scratch, "t.zip"), NULL,
                       "train/n02/images/n02_1.JPEG is there twice");
}

/* ---- hostile archives ---- */

/* Where the field of the n-th entry of the directory is; the first one is a folder's. */
static uint8_t *entry(const buffer *b, int n, size_t field)
{
    size_t at = b->n - 22;
    at = (size_t)b->bytes[at + 16] | (size_t)b->bytes[at + 17] << 8 |
         (size_t)b->bytes[at + 18] << 16;
    for (; n > 0; n--) {
        at += 46 + (size_t)b->bytes[at + 28];
    }
    return b->bytes + at + field;
}

static void check_zip_refused(buffer *b, const char *expect)
{
    save(b, "t.zip");
    check_list_refused("tiny-imagenet", spx_scratch_path(&scratch, "t.zip"), NULL, expect);
}

SPX_TEST(damaged_archives_are_refused_with_the_offset)
{
    SPX_UNUSED;
    static const struct {
        int member; /* -1: the end record */
        size_t field, n;
        const char *bytes, *expect;
    } cases[] = {
        {-1, 8, 4, "\xff\xff\xff\xff", "as many entries as the end record says"},
        {-1, 8, 4, "\1\0\1\0", "as many entries as the end record says"},
        {-1, 16, 4, "\xff\xff\xff\xff", "the directory is not there"},
        {-1, 16, 4, "\xff\xff\xff\x7f", "the directory is not there"},
        {-1, 4, 1, "\1", "in a single part"},
        {-1, 8, 2, "\x50\0", "in a single part"},
        {3, 0, 4, "PK\0\0", "an entry of the directory"},
        {3, 8, 1, "\1", "not encrypted"},
        {3, 10, 1, "\x0e", "stored or deflated"},
        {3, 24, 4, "\xff\xff\xff\xff", "a ZIP64 archive"},
        {4, 24, 4, "\xff\xff\xff\x7f", "of a size that it can inflate to"},
        {3, 24, 1, "\1", "of a size"},
        {3, 42, 4, "\xff\xff\xff\x7f", "a member within the file"},
        {3, 46, 3, "../", "is no name of a file below a folder"},
        {3, 46, 1, "/", "is no name of a file"},
        {3, 47, 1, "\0", "is no name of a file"},
        {10, 28, 2, "\xff\xff", "an entry of the directory"},
        {3, 16, 1, "?", "a member's checksum is wrong"}, /* a text, read at once */
    };
    empty_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = make_zip("", published, PUBLISHED, "");
        uint8_t *at = cases[i].member < 0 ? b.bytes + b.n - 22 + cases[i].field
                                          : entry(&b, cases[i].member, cases[i].field);
        memcpy(at, cases[i].bytes, cases[i].n);
        check_zip_refused(&b, cases[i].expect);
    }
    for (size_t cut = 1; cut < 60; cut += 7) { /* an interrupted download */
        buffer b = make_zip("", published, PUBLISHED, "");
        b.n -= cut;
        check_zip_refused(&b, "t.zip: offset ");
    }
}

SPX_TEST(archives_of_more_members_than_16_bits_count_are_read)
{
    SPX_UNUSED;
    enum { MANY = 66000 };
    static const struct {
        size_t back, n; /* bytes from the end; as many are changed */
        const char *bytes, *expect;
    } cases[] = {
        {22 + 20, 1, "?", "as many entries"}, /* no locator: 65535 are too few */
        {22 + 20 - 8, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", "found the end"},
        {22 + 20 + 56, 1, "?", "the end record of a large one"},
        {22 + 20 + 56 - 32, 1, "\7", "as many entries"},
        {22 + 20 + 56 - 40, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", "directory is not there"},
        {22 + 20 + 56 - 48, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", "directory is not there"},
    };
    empty_folder();
    for (int wide = 0; wide < 2; wide++) { /* without the record, the count has overflowed */
        zip z = {.wide = wide == 1};
        char name[64];
        buffer b;
        spx_pack_list *l;
        zip_add(&z, "wnids.txt", "n1\n", 3, false);
        zip_add(&z, "val/n1/1.JPEG", "v", 1, false);
        for (int i = 0; i < MANY; i++) {
            (void)snprintf(name, sizeof name, "train/n1/images/%06d.JPEG", i);
            zip_add(&z, name, "t", 1, false);
        }
        z.members = wide == 1 ? z.members : z.members & UINT16_MAX;
        b = zip_end(&z, "");
        for (size_t i = 0; wide == 1 && i < sizeof cases / sizeof *cases; i++) {
            const size_t at = b.n - cases[i].back;
            buffer bad = {0};
            put(&bad, b.bytes, b.n);
            memcpy(bad.bytes + at, cases[i].bytes, cases[i].n);
            save(&bad, "bad.zip");
            check_list_refused("tiny-imagenet", spx_scratch_path(&scratch, "bad.zip"), NULL,
                               cases[i].expect);
        }
        save(&b, "t.zip");
        l = open_list("tiny-imagenet", spx_scratch_path(&scratch, "t.zip"), NULL);
        assert_int_equal(spx_pack_list_count(l), MANY + 1);
        assert_string_equal(spx_pack_list_item(l, MANY - 1).name, "train/n1/images/065999.JPEG");
        spx_pack_list_close(l);
    }
}

SPX_TEST(a_text_in_an_archive_that_inflates_beyond_measure_is_refused)
{
    SPX_UNUSED;
    static const uint8_t filling[80000];
    zip z = {0};
    buffer b;
    zip_add(&z, "wnids.txt", "n01\n", 4, true);
    zip_add(&z, "train/n01/filling", filling, sizeof filling, false);
    b = zip_end(&z, "");
    memcpy(entry(&b, 0, 20), "\0\0\1\0\1\0\0\4", 8); /* packed in the filling, inflated */
    empty_folder();
    check_zip_refused(&b, "wnids.txt: 67108865 bytes, expected at most 67108864");
}

SPX_TEST(a_picture_damaged_in_its_archive_is_bad_alone)
{
    SPX_UNUSED;
    buffer b = make_zip("", published, PUBLISHED, "");
    spx_pack_list *l;
    void *bytes;
    size_t size;
    empty_folder();
    for (int i = 4; i < 8; i += 3) { /* stored and deflated members; n02_1 and n01_0 */
        entry(&b, i, 16)[0] ^= 1;
    }
    save(&b, "t.zip");
    l = open_list("tiny-imagenet", spx_scratch_path(&scratch, "t.zip"), NULL);
    for (size_t i = 0; i < 5; i++) {
        if (i < 2) {
            CHECK_FAILS(SPX_EFORMAT, spx_pack_list_read(l, i, &bytes, &size));
            assert_non_null(strstr(spx_error_message(), "JPEG: "));
            assert_non_null(strstr(spx_error_message(), "checksum"));
            assert_null(bytes);
        } else {
            CHECK_OK(spx_pack_list_read(l, i, &bytes, &size));
            spx_free(bytes);
        }
    }
    spx_pack_list_close(l);
}

SPX_TEST(whatever_bytes_an_archive_has_it_is_read_or_refused)
{
    SPX_UNUSED;
    const buffer whole = make_zip("", published, PUBLISHED, "");
    spx_rng r;
    empty_folder();
    spx_rng_init(&r, spx_fresh_seed(), SPX_RNG_TEST, 0);
    for (int i = 0; i < 600; i++) {
        buffer b = {0};
        spx_pack_list *l;
        spx_status st;
        put(&b, whole.bytes, i % 8 == 0 ? spx_rng_below(&r, (uint32_t)whole.n) : whole.n);
        for (int k = 0; k <= i % 4 && b.n > 0; k++) { /* mostly of the directory */
            const uint32_t back =
                spx_rng_below(&r, (uint32_t)(k % 2 == 0 && b.n > 900 ? 900 : b.n));
            b.bytes[b.n - 1 - back] = (uint8_t)spx_rng_below(&r, 256);
        }
        save(&b, "t.zip");
        st = spx_pack_list_open(&l, "tiny-imagenet", spx_scratch_path(&scratch, "t.zip"), NULL);
        assert_true((st == SPX_OK) == (l != NULL));
        for (size_t k = 0; l != NULL && k < spx_pack_list_count(l); k++) {
            void *bytes;
            size_t size;
            st = spx_pack_list_read(l, k, &bytes, &size);
            assert_true((st == SPX_OK) == (bytes != NULL));
            spx_free(bytes);
        }
        spx_pack_list_close(l);
    }
    free(whole.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_published_archive_and_its_folder_are_one_set),
        SPX_UNIT(a_validation_split_sorted_into_classes_is_read),
        SPX_UNIT(labels_that_do_not_fit_are_refused_by_name_and_line),
        SPX_UNIT(more_classes_than_a_pack_holds_are_refused),
        SPX_UNIT(pictures_there_twice_are_refused),
        SPX_UNIT(damaged_archives_are_refused_with_the_offset),
        SPX_UNIT(archives_of_more_members_than_16_bits_count_are_read),
        SPX_UNIT(a_text_in_an_archive_that_inflates_beyond_measure_is_refused),
        SPX_UNIT(a_picture_damaged_in_its_archive_is_bad_alone),
        SPX_UNIT(whatever_bytes_an_archive_has_it_is_read_or_refused),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
