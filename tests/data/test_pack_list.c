/* Pictures of folders, found in order without being read: names, labels, links, loops, hold-out. */
#define _DEFAULT_SOURCE
#include "tests/data/pack_list_check.h"

#include <unistd.h>

SPX_TEST(folders_become_classes_and_items_in_byte_order)
{
    SPX_UNUSED;
    static const char *const files[] = {
        "train/b/2.JPG",       "train/b/10.png",  "train/b/deep/er/x.jpeg", "train/a/z.png",
        "train/a-b/1.webp",    "train/a.c/1.gif", "train/Z/1.jpg",          "test/b/1.png",
        "val/a/9.jpg",         "valid/Z/1.bmp",   "train/b/notes.txt",      "train/readme.md",
        "train/b/.hidden.jpg", "train/b/tool"};
    static const expected right[] = {{"train/Z/1.jpg", 0, 0, NULL},
                                     {"train/a-b/1.webp", 2, 0, NULL},
                                     {"train/a.c/1.gif", 3, 0, NULL},
                                     {"train/a/z.png", 1, 0, NULL},
                                     {"train/b/10.png", 4, 0, NULL},
                                     {"train/b/2.JPG", 4, 0, NULL},
                                     {"train/b/deep/er/x.jpeg", 4, 0, NULL},
                                     {"test/b/1.png", 4, 1, NULL},
                                     {"val/a/9.jpg", 1, 1, NULL},
                                     {"valid/Z/1.bmp", 0, 1, NULL}};
    spx_pack_list *l;
    empty_folder();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        put_file(files[i]);
    }
    assert_int_equal(mkdir(place("train/empty"), 0777), 0);
    l = open_list("imagefolder", scratch.folder, NULL);
    assert_string_equal(spx_pack_list_about(l)->class_names, "Z\na\na-b\na.c\nb\nempty");
    assert_string_equal(spx_pack_list_about(l)->dataset, "imagefolder");
    assert_string_equal(spx_pack_list_about(l)->sources, "");
    assert_string_equal(spx_pack_list_source(l), scratch.folder);
    assert_int_equal(spx_pack_list_passed_over(l), 4);
    check_items(l, right, sizeof right / sizeof *right);
    spx_pack_list_close(l);
    l = open_list("folder", scratch.folder, NULL); /* the old name */
    assert_int_equal(spx_pack_list_count(l), 10);
    spx_pack_list_close(l);
}

SPX_TEST(a_share_of_each_class_is_held_out_by_the_seed)
{
    SPX_UNUSED;
    spx_pack_build_options o = {.held_out = 0.25, .seed = 3};
    size_t held[3] = {0}, others = 0;
    char name[64];
    spx_pack_list *l, *again, *other;
    empty_folder();
    for (int i = 0; i < 24; i++) { /* one of the classes is called like a part of a set */
        (void)snprintf(name, sizeof name, "%s/%02d.png",
                       i % 3 == 0   ? "train"
                       : i % 3 == 1 ? "a"
                                    : "b",
                       i);
        put_file(name);
    }
    l = open_list("imagefolder", scratch.folder, &o);
    again = open_list("imagefolder", scratch.folder, &o);
    o.seed = 4;
    other = open_list("imagefolder", scratch.folder, &o);
    assert_string_equal(spx_pack_list_about(l)->class_names, "a\nb\ntrain");
    assert_int_equal(spx_pack_list_about(l)->split[SPX_SPLIT_TRAIN].count, 18);
    assert_int_equal(spx_pack_list_about(l)->split[SPX_SPLIT_TEST].count, 6);
    for (size_t i = 0; i < 24; i++) {
        const spx_pack_item item = spx_pack_list_item(l, i);
        held[item.label] += item.split == SPX_SPLIT_TEST;
        assert_string_equal(item.name, spx_pack_list_item(again, i).name);
        others += strcmp(item.name, spx_pack_list_item(other, i).name) != 0;
        assert_int_equal(item.split, i < 18 ? SPX_SPLIT_TRAIN : SPX_SPLIT_TEST);
        assert_true(i % 18 == 0 || strcmp(spx_pack_list_item(l, i - 1).name, item.name) < 0);
    }
    assert_true(held[0] == 2 && held[1] == 2 && held[2] == 2 && others > 0);
    spx_pack_list_close(l);
    spx_pack_list_close(again);
    spx_pack_list_close(other);
    put_file("train/c/1.png"); /* now it is a part, still without one for tests */
    l = open_list("imagefolder", scratch.folder, &o);
    assert_string_equal(spx_pack_list_about(l)->class_names, "c");
    spx_pack_list_close(l);
    o.held_out = 1.5;
    check_list_refused("imagefolder", scratch.folder, &o, "a share of 1.5");
}

SPX_TEST(links_are_followed_and_loops_are_named)
{
    SPX_UNUSED;
    static const expected right[] = {{"train/a/1.jpg", 0, 0, "set/train/a/1.jpg"},
                                     {"train/a/3.jpg", 0, 0, "elsewhere/deep/2.jpg"},
                                     {"train/b/deep/2.jpg", 1, 0, "elsewhere/deep/2.jpg"},
                                     {"test/a/1.jpg", 0, 1, "set/test/a/1.jpg"}};
    char set[600];
    spx_pack_list *l;
    empty_folder();
    put_file("set/train/a/1.jpg");
    put_file("set/test/a/1.jpg");
    put_file("elsewhere/deep/2.jpg");
    (void)snprintf(set, sizeof set, "%s/set", scratch.folder);
    assert_int_equal(symlink("../../elsewhere", place("set/train/b")), 0);
    assert_int_equal(symlink("../../../elsewhere/deep/2.jpg", place("set/train/a/3.jpg")), 0);
    assert_int_equal(symlink("nothing", place("set/train/a/note")), 0);
    l = open_list("imagefolder", set, NULL);
    check_items(l, right, 4);
    spx_pack_list_close(l);
    assert_int_equal(symlink("../..", place("set/train/a/up")), 0);
    check_list_refused("imagefolder", set, NULL, "set/train/a/up/train: a loop of folders");
    assert_int_equal(unlink(place("set/train/a/up")), 0);
    assert_int_equal(symlink("self", place("set/train/a/self")), 0);
    check_list_refused("imagefolder", set, NULL, "set/train/a/self: ");
    assert_int_equal(unlink(place("set/train/a/self")), 0);
    assert_int_equal(symlink("gone", place("set/train/a/gone.jpg")), 0);
    check_list_refused("imagefolder", set, NULL, "set/train/a/gone.jpg: No such file");
}

SPX_TEST(names_of_any_bytes_are_shown_on_one_line)
{
    SPX_UNUSED;
    static const struct {
        const char *bytes;
        size_t n;
        const char *text; /* NULL: as it is */
    } cases[] = {
        {BYTES("plain name.jpg"), NULL},
        {BYTES("gr\xc3\xbc\xc3\x9f \xe7\x8c\xab \xf0\x9f\x90\x88"), NULL},
        {BYTES("a\nb\tc\x7f"), "a\\x0ab\\x09c\\x7f"},
        {BYTES("a\\b"), "a\\x5cb"},
        {BYTES("\xff\xfe\xc3"), "\\xff\\xfe\\xc3"},
        {BYTES("\xc0\xaf\xed\xa0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80"}, /* overlong; a surrogate */
        {BYTES("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"},          /* above U+10FFFF */
        {BYTES("\xc2\x85\xe2\x80\xa8\xe2\x80\xae"), "\\xc2\\x85\\xe2\\x80\\xa8\\xe2\\x80\\xae"},
        {BYTES("zero\0inside"), "zero\\x00inside"},
        {BYTES(""), NULL},
    };
    char text[100];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *right = cases[i].text != NULL ? cases[i].text : cases[i].bytes;
        assert_int_equal(spx_pack_escape(text, sizeof text, cases[i].bytes, cases[i].n),
                         strlen(right));
        assert_string_equal(text, right);
    }
    assert_int_equal(spx_pack_escape(text, 6, "abc\n", 4), 7); /* cut between characters */
    assert_string_equal(text, "abc");
    assert_int_equal(spx_pack_escape(text, 3, "a\xc3\xbc", 3), 3);
    assert_string_equal(text, "a");
}

SPX_TEST(classes_and_files_have_names_of_any_bytes)
{
    SPX_UNUSED;
    static const expected right[] = {{"train/a\\x0ab/\\xff\\x5c.jpg", 0, 0, "x"},
                                     {"train/\\xe9t\\xe9/1.jpg", 1, 0, "y"},
                                     {"test/\\xe9t\\xe9/\\x0a.jpg", 1, 1, "z"}};
    spx_pack_list *l;
    empty_folder();
    spx_scratch_write_text(place("train/a\nb/\xff\\.jpg"), "x");
    spx_scratch_write_text(place("train/\xe9t\xe9/1.jpg"), "y");
    spx_scratch_write_text(place("test/\xe9t\xe9/\n.jpg"), "z");
    l = open_list("imagefolder", scratch.folder, NULL);
    assert_string_equal(spx_pack_list_about(l)->class_names, "a\\x0ab\n\\xe9t\\xe9");
    check_items(l, right, 3);
    spx_pack_list_close(l);
    put_file("test/new\n/1.jpg");
    check_list_refused("imagefolder", scratch.folder, NULL,
                       "test/new\\x0a/1.jpg: its folder is no class of the train split");
}

SPX_TEST(what_is_no_set_of_pictures_is_refused)
{
    SPX_UNUSED;
    spx_pack_list *l;
    void *bytes;
    size_t size;
    empty_folder();
    check_list_refused("imagefolder", scratch.folder, NULL, "no class: a folder for each");
    check_list_refused("cifar10", scratch.folder, NULL, "'cifar10' is no kind");
    check_list_refused("imagefolder", place("absent"), NULL, "found no such folder");
    assert_int_equal(mkdir(place("a"), 0777), 0);
    put_file("a/notes.txt");
    check_list_refused("imagefolder", scratch.folder, NULL, "no pictures");
    put_file("test/a/1.png");
    put_file("new\nline/notes.txt");
    check_list_refused(
        "imagefolder", scratch.folder, NULL,
        "looked for train beside its test, val or valid; found a, new\\x0aline, test");
    put_file("train/a/1.png");
    assert_int_equal(mkfifo(place("train/a/2.png"), 0600), 0); /* never opened */
    assert_int_equal(spx_scratch_write(place("train/a/3.png"), "", 0), 0);
    l = open_list("imagefolder", scratch.folder, NULL);
    assert_int_equal(spx_pack_list_passed_over(l), 1);
    assert_int_equal(spx_pack_list_count(l), 3);
    CHECK_OK(spx_pack_list_read(l, 1, &bytes, &size)); /* empty: bad only when decoded */
    assert_int_equal(size, 0);
    spx_free(bytes);
    assert_int_equal(unlink(place("train/a/1.png")), 0);
    CHECK_FAILS(SPX_ENOTFOUND, spx_pack_list_read(l, 0, &bytes, &size));
    assert_non_null(strstr(spx_error_message(), "train/a/1.png: No such file"));
    assert_null(bytes);
    spx_pack_list_close(l);
    if (geteuid() != 0) { /* root reads everything */
        assert_int_equal(chmod(place("train/a"), 0), 0);
        check_list_refused("imagefolder", scratch.folder, NULL, "train/a: Permission denied");
        assert_int_equal(chmod(place("train/a"), 0700), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(folders_become_classes_and_items_in_byte_order),
        SPX_UNIT(a_share_of_each_class_is_held_out_by_the_seed),
        SPX_UNIT(links_are_followed_and_loops_are_named),
        SPX_UNIT(names_of_any_bytes_are_shown_on_one_line),
        SPX_UNIT(classes_and_files_have_names_of_any_bytes),
        SPX_UNIT(what_is_no_set_of_pictures_is_refused),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
