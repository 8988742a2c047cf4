/* ImageNet in each form it is kept in; tar archives and labels that are damaged. */
#define _DEFAULT_SOURCE
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "tests/data/pack_archive_bytes.h"
#include "tests/data/pack_list_check.h"
#include "tests/data/pack_mat_bytes.h"
#include "tests/support/fresh_seed.h"

#include <unistd.h>

#define TRAIN_TAR "ILSVRC2012_img_train.tar"
#define VAL_TAR "ILSVRC2012_img_val.tar"
#define KIT "ILSVRC2012_devkit_t12"
#define TRUTH "ILSVRC2012_validation_ground_truth.txt"
#define VAL(n) "ILSVRC2012_val_0000000" #n

static const expected right[] = {{"train/n01/n01_7.JPEG", 0, 0, "n01_7.JPEG"},
                                 {"train/n02/n02_1.JPEG", 1, 0, "n02_1.JPEG"},
                                 {"train/n02/n02_10.JPEG", 1, 0, "n02_10.JPEG"},
                                 {"val/" VAL(1) ".JPEG", 1, 1, VAL(1) ".JPEG"},
                                 {"val/" VAL(2) ".JPEG", 0, 1, VAL(2) ".JPEG"}};
static const char words[] = "tench, Tinca tinca\nbee";

/* ---- the archives ---- */

static buffer class_tar(const char *const *names)
{
    buffer b = {0};
    for (; *names != NULL; names++) {
        tar_add(&b, *names, '0', *names, strlen(*names));
    }
    tar_end(&b);
    return b;
}

static buffer train_tar(void)
{
    static const char *const second[] = {"n02_10.JPEG", "n02_1.JPEG", NULL};
    static const char *const first[] = {"n01_7.JPEG", NULL};
    buffer b = {0}, two = class_tar(second), one = class_tar(first);
    tar_add(&b, "./n02.tar", '0', two.bytes, two.n);
    tar_add(&b, "n01.tar", '0', one.bytes, one.n);
    tar_end(&b);
    free(one.bytes);
    free(two.bytes);
    return b;
}

static buffer val_tar(void)
{
    buffer b = {0};
    tar_add(&b, VAL(2) ".JPEG", '0', VAL(2) ".JPEG", sizeof VAL(1) ".JPEG" - 1);
    tar_add(&b, "notes", '0', "none", 4);
    tar_add(&b, VAL(1) ".JPEG", 0, VAL(1) ".JPEG", sizeof VAL(1) ".JPEG" - 1);
    tar_end(&b);
    return b;
}

static void save_tars(void)
{
    buffer train = train_tar(), val = val_tar();
    save(&train, TRAIN_TAR);
    save(&val, VAL_TAR);
}

/* The development kit, compressed as it is published. */
static void save_kit(const char *truth)
{
    buffer b = {0}, packed = {0}, meta = meta_mat(&usual);
    tar_add(&b, KIT "/", '5', "", 0);
    tar_add(&b, KIT "/data/meta.mat", '0', meta.bytes, meta.n);
    tar_add(&b, KIT "/data/" TRUTH, '0', truth, strlen(truth));
    tar_end(&b);
    deflate_bytes(&packed, b.bytes, b.n, 15 + 16);
    free(b.bytes);
    free(meta.bytes);
    save(&packed, KIT ".tar.gz");
}

static void save_folders(const char *root)
{
    char name[200];
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        (void)snprintf(name, sizeof name, "%s%s", root, right[i].name);
        put_file(name);
    }
}

static void save_loose_kit(const char *folder, const char *truth)
{
    char name[200];
    buffer meta = meta_mat(&usual);
    (void)snprintf(name, sizeof name, "%smeta.mat", folder);
    save(&meta, name);
    (void)snprintf(name, sizeof name, "%s" TRUTH, folder);
    spx_scratch_write_text(place(name), truth);
}

static void check_set(const char *names)
{
    spx_pack_list *l = open_list("imagenet", scratch.folder, NULL);
    const spx_pack *about = spx_pack_list_about(l);
    check_items(l, right, sizeof right / sizeof *right);
    assert_string_equal(about->class_names, names);
    assert_true(about->mean[0] == .485 && about->std[2] == .225);
    spx_pack_list_close(l);
}

SPX_TEST(the_published_archives_are_read_where_they_lie)
{
    SPX_UNUSED;
    empty_folder();
    save_tars();
    save_kit("1\n2\n");
    check_set(words);
    empty_folder(); /* the kit unpacked; tars and folders mixed */
    save_tars();
    save_loose_kit(KIT "/data/", "1\r\n2");
    check_set(words);
    save_folders("");
    assert_int_equal(unlink(place(TRAIN_TAR)), 0);
    check_set(words);
    assert_int_equal(unlink(place(VAL_TAR)), 0);
    check_set(words);
}

SPX_TEST(folders_with_a_flat_validation_split_are_read_by_each_label_file)
{
    SPX_UNUSED;
    static const struct {
        const char *name, *text, *names;
    } cases[] = {
        {"val_annotations.txt", VAL(1) ".JPEG\tn02\t1\t2\n" VAL(2) ".JPEG\tn01\n", "n01\nn02"},
        {"val/val_annotations.txt", VAL(2) ".JPEG\tn01\n" VAL(1) ".JPEG\tn02\n", "n01\nn02"},
        {"val.txt", VAL(1) ".JPEG 1\n" VAL(2) ".JPEG 0\n", "n01\nn02"}, /* as Caffe has it */
        {"LOC_val_solution.csv",
         "ImageId,PredictionString\n" VAL(2) ",n01 1 2 3 4 n01 5 6 7 8 \n" VAL(1) ",n02 1 2 3 4 \n",
         "n01\nn02"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        empty_folder();
        save_folders("");
        spx_scratch_write_text(place(cases[i].name), cases[i].text);
        check_set(cases[i].names);
    }
    spx_scratch_write_text(place("LOC_synset_mapping.txt"),
                           "n01 tench, Tinca tinca\nn02 bee\nn03 other\n");
    check_set(words);
    for (int home = 0; home < 2; home++) { /* Kaggle's tree, and what its archive has below it */
        empty_folder();
        save_folders(home == 0 ? "ILSVRC/Data/CLS-LOC/" : "Data/CLS-LOC/");
        spx_scratch_write_text(place("LOC_val_solution.csv"), cases[3].text);
        spx_scratch_write_text(place("LOC_synset_mapping.txt"),
                               "n01 tench, Tinca tinca\nn02 bee\n");
        check_set(words);
    }
    empty_folder(); /* sorted into classes: no labels are needed */
    put_file("train/n01/a.JPEG");
    put_file("val/n01/b.JPEG");
    spx_pack_list_close(open_list("imagenet", scratch.folder, NULL));
}

SPX_TEST(labels_that_do_not_fit_are_refused)
{
    SPX_UNUSED;
    static const struct {
        const char *truth, *expect;
    } cases[] = {
        {"1\n", "val/" VAL(2) ".JPEG: no line names it"},
        {"1\n2\n3\n", "line 3: 'n09' is no class of the train split"},
        {"1\n2\n1\n", "line 3: no picture " VAL(3)},
        {"1\n4\n", "line 2: expected an ILSVRC2012_ID of meta.mat"},
        {"1\n0\n", "line 2: expected an ILSVRC2012_ID"},
        {"1\n-1\n", "line 2: expected an ILSVRC2012_ID"},
        {"1\n2x\n", "line 2: expected an ILSVRC2012_ID"},
        {"1\n99999999999999999999\n", "line 2: expected an ILSVRC2012_ID"},
        {"\n1\n2\n", "line 1: expected an ILSVRC2012_ID"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        empty_folder();
        save_tars();
        save_kit(cases[i].truth);
        check_list_refused("imagenet", scratch.folder, NULL, cases[i].expect);
    }
    assert_int_equal(unlink(place(KIT ".tar.gz")), 0);
    check_list_refused("imagenet", scratch.folder, NULL, "and no label file is there");
    assert_int_equal(unlink(place(VAL_TAR)), 0);
    check_list_refused("imagenet", scratch.folder, NULL, "looked for " VAL_TAR " or val");
    assert_int_equal(unlink(place(TRAIN_TAR)), 0);
    check_list_refused("imagenet", scratch.folder, NULL, "looked for " TRAIN_TAR " and");
}

/* ---- tar ---- */

static size_t octal(const uint8_t *at)
{
    return strtoul((const char *)at, NULL, 8);
}

SPX_TEST(long_names_are_read_as_gnu_and_posix_write_them)
{
    SPX_UNUSED;
    char name[200], record[300];
    buffer b = {0}, one;
    const char *const names[] = {name, NULL};
    spx_pack_list *l;
    memset(name, 'x', 150);
    memcpy(name + 150, ".JPEG", 6);
    one = class_tar(names);
    tar_add(&b, "n01.tar", '0', one.bytes, one.n);
    free(one.bytes);
    (void)memcpy(name, "pax", 3);
    (void)snprintf(record, sizeof record, "%d path=%s\n30 mtime=1350244992.023960108\n", 165, name);
    one = (buffer){0};
    tar_add(&one, "PaxHeaders/x", 'x', record, strlen(record));
    tar_add(&one, "short", '0', "y", 1);
    tar_end(&one);
    tar_add(&b, "n02.tar", '0', one.bytes, one.n);
    tar_end(&b);
    free(one.bytes);
    empty_folder();
    save(&b, TRAIN_TAR);
    put_file("val/n01/a.JPEG");
    l = open_list("imagenet", scratch.folder, NULL);
    assert_int_equal(spx_pack_list_count(l), 3);
    assert_int_equal(strlen(spx_pack_list_item(l, 0).name), 10 + 155);
    assert_memory_equal(spx_pack_list_item(l, 1).name, "train/n02/paxxx", 15);
    spx_pack_list_close(l);
}

SPX_TEST(damaged_tar_archives_are_refused_with_the_offset)
{
    SPX_UNUSED;
    static const struct {
        size_t at;
        const char *bytes;
        size_t n;
        bool seal; /* with a right sum */
        const char *expect;
    } cases[] = {
        {0, "X", 1, false, "offset 0: expected a tar archive: a header whose checksum"},
        {148, "zzzzzzzz", 8, false, "a header whose checksum"},
        {124, "zz", 2, true, "offset 0: expected a tar archive: a size"},
        {124, "-0000000001", 11, true, "a size"},
        {124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12, true, "a size"},
        {124, "\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, true, "a size"},
        {124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, true, "a member within"},
        {124, "77777777777", 11, true, "a member within the archive (is it whole?)"},
        {156, "S", 1, true, "no sparse file"},
        {156, "L", 1, true, "a name or records"},
        {156, "x", 1, true, "a name or records"},
        {0, "../n02.tar", 10, true, "is no name of a file"},
        {0, "/n02.tar\0", 10, true, "is no name of a file"},
        {0, "a/../b.tar", 10, true, "is no name of a file"},
        {0, "", 0, true, NULL}, /* as it was: the table's own check */
    };
    empty_folder();
    put_file("val/n01/a.JPEG");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = train_tar();
        memcpy(b.bytes + cases[i].at, cases[i].bytes, cases[i].n);
        if (cases[i].seal) {
            tar_seal(b.bytes);
        }
        save(&b, TRAIN_TAR);
        if (cases[i].expect != NULL) {
            check_list_refused("imagenet", scratch.folder, NULL, cases[i].expect);
        } else {
            spx_pack_list_close(open_list("imagenet", scratch.folder, NULL));
        }
    }
    for (size_t keep = 1; keep < 6; keep++) { /* an interrupted download, also between members */
        buffer b = train_tar();
        const size_t second = 1024 + octal(b.bytes + 124) - 512;
        b.n = keep == 5 ? second : keep * 700;
        save(&b, TRAIN_TAR);
        check_list_refused("imagenet", scratch.folder, NULL, "(is it whole?)");
    }
}

SPX_TEST(an_archive_within_a_class_and_a_picture_twice_are_refused)
{
    SPX_UNUSED;
    static const char *const nested[] = {"more.tar", NULL}, *const twice[] = {"a.jpg", "a.jpg",
                                                                              NULL};
    for (int i = 0; i < 2; i++) {
        buffer b = {0}, inner = class_tar(i == 0 ? nested : twice);
        tar_add(&b, "n01.tar", '0', inner.bytes, inner.n);
        tar_end(&b);
        empty_folder();
        save(&b, TRAIN_TAR);
        free(inner.bytes);
        put_file("val/n01/a.JPEG");
        check_list_refused("imagenet", scratch.folder, NULL,
                           i == 0 ? "an archive in an archive in an archive"
                                  : "train/n01/a.jpg is there twice");
    }
}

/* Reads all that a list says it has. */
static void read_all(const char *src)
{
    spx_pack_list *l;
    const spx_status st = spx_pack_list_open(&l, "imagenet", src, NULL);
    assert_true((st == SPX_OK) == (l != NULL));
    for (size_t k = 0; l != NULL && k < spx_pack_list_count(l); k++) {
        void *bytes;
        size_t size;
        const spx_status got = spx_pack_list_read(l, k, &bytes, &size);
        assert_true((got == SPX_OK) == (bytes != NULL));
        spx_free(bytes);
    }
    spx_pack_list_close(l);
}

SPX_TEST(whatever_bytes_a_tar_archive_has_it_is_read_or_refused)
{
    SPX_UNUSED;
    const buffer whole = train_tar();
    spx_rng r;
    empty_folder();
    put_file("val/n01/a.JPEG");
    spx_rng_init(&r, spx_fresh_seed(), SPX_RNG_TEST, 1);
    for (int i = 0; i < 500; i++) {
        static const char types[] = "LxKgS150";
        const uint32_t header = 512 * spx_rng_below(&r, (uint32_t)(whole.n / 512));
        buffer b = {0};
        put(&b, whole.bytes, i % 8 == 0 ? spx_rng_below(&r, (uint32_t)whole.n) : whole.n);
        for (int k = 0; k <= i % 3 && header + 512 <= b.n; k++) { /* sums are right, mostly */
            b.bytes[header + spx_rng_below(&r, 345)] = (uint8_t)spx_rng_below(&r, 256);
            if (k == 1) {
                b.bytes[header + 156] = (uint8_t)types[spx_rng_below(&r, 8)];
            }
        }
        if (i % 5 != 0 && header + 512 <= b.n) {
            tar_seal(b.bytes + header);
        }
        save(&b, TRAIN_TAR);
        read_all(scratch.folder);
    }
    free(whole.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_published_archives_are_read_where_they_lie),
        SPX_UNIT(folders_with_a_flat_validation_split_are_read_by_each_label_file),
        SPX_UNIT(labels_that_do_not_fit_are_refused),
        SPX_UNIT(long_names_are_read_as_gnu_and_posix_write_them),
        SPX_UNIT(damaged_tar_archives_are_refused_with_the_offset),
        SPX_UNIT(an_archive_within_a_class_and_a_picture_twice_are_refused),
        SPX_UNIT(whatever_bytes_a_tar_archive_has_it_is_read_or_refused),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
