/* CIFAR's python version: pickles as Python writes them, hostile ones, and any others. */
#define _GNU_SOURCE /* memmem */
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "tests/data/pack_bytes.h"

enum { PIXELS = 3 * 32 * 32 };

static void pickle_string(buffer *b, const char *text) /* SHORT_BINSTRING, BINPUT */
{
    put_text(b, "U");
    put_number(b, strlen(text), 1, false);
    put_text(b, text);
    put(b, BYTES("q\1"));
}

/* A batch as cPickle writes it in protocol 2: {'data': ndarray (n, 3072), key: [label, ...]}. */
static void pickle_batch(buffer *b, size_t n, const char *const *keys, const int *classes)
{
    put(b, BYTES("\x80\2}q\1("));
    for (; *keys != NULL; keys++, classes++) {
        pickle_string(b, *keys);
        put_text(b, "](");
        for (size_t i = 0; i < n; i++) {
            put_text(b, "K");
            put_number(b, i % (size_t)*classes, 1, false);
        }
        put_text(b, "e");
    }
    pickle_string(b, "data");
    put_text(b, "cnumpy.core.multiarray\n_reconstruct\nq\2cnumpy\nndarray\nq\3");
    put(b, BYTES("K\0\x85U\1b\x87Rq\4(K\1M"));
    put_number(b, n, 2, false);
    put(b, BYTES("M\0\x0c\x86"
                 "cnumpy\ndtype\nq\5U\2u1K\0K\1\x87Rq\6(K\3U\1|NNNJ\xff\xff\xff\xff"
                 "J\xff\xff\xff\xffK\0tb\x89T"));
    put_number(b, n * PIXELS, 4, false);
    for (size_t i = 0; i < n * PIXELS; i++) {
        put_number(b, i % 251, 1, false);
    }
    put_text(b, "tbu.");
}

static const char *const ten_keys[] = {"labels", NULL};
static const int ten_classes[] = {10};

static void write_cifar10(const char *folder)
{
    buffer b = {0};
    char name[100];
    for (size_t i = 1; i <= 5; i++) {
        pickle_batch(&b, 2 * i, ten_keys, ten_classes);
        (void)snprintf(name, sizeof name, "%sdata_batch_%zu", folder, i);
        save(&b, name);
    }
    pickle_batch(&b, 4, ten_keys, ten_classes);
    (void)snprintf(name, sizeof name, "%stest_batch", folder);
    save(&b, name);
}

SPX_TEST(the_python_version_of_cifar_is_read)
{
    SPX_UNUSED;
    static const char *const folders[] = {"", "cifar-10-batches-py/"};
    static const char *const keys[] = {"fine_labels", "coarse_labels", NULL};
    static const int classes[] = {100, 20};
    buffer b = {0};
    spx_pack *p;
    for (size_t k = 0; k < 2; k++) {
        empty_folder();
        write_cifar10(folders[k]);
        CHECK_OK(spx_pack_build(&p, "cifar10", scratch.folder, NULL));
        assert_int_equal(p->split[SPX_SPLIT_TRAIN].count, 30);
        assert_int_equal(p->split[SPX_SPLIT_TEST].count, 4);
        assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[2 + 3], 3); /* the second file's fourth */
        assert_int_equal(p->split[SPX_SPLIT_TRAIN].images[2 * PIXELS + 5000], 5000 % 251);
        spx_pack_close(p);
    }
    pickle_batch(&b, 40, keys, classes);
    save(&b, "cifar-100-python/train");
    pickle_batch(&b, 3, keys, classes);
    save(&b, "cifar-100-python/test");
    CHECK_OK(spx_pack_build(&p, "cifar100", scratch.folder, NULL));
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].labels[39], 39);
    assert_int_equal(p->split[SPX_SPLIT_TRAIN].coarse[39], 19);
    spx_pack_close(p);
}

SPX_TEST(a_hostile_pickle_is_refused_and_nothing_in_it_runs)
{
    SPX_UNUSED;
    static const struct {
        const char *bytes;
        size_t n;
        const char *expect;
    } cases[] = {
        {BYTES("\x80\2cos\nsystem\nU\4true\x85R."),
         "a use of os.system, which is not looked at: take the published archive, or pickle it "
         "anew: pickle.dump(batch, file, protocol=4)"},
        {BYTES("\x80\4\x8c\2os\x8c\6system\x93\x8c\4true\x85R."), "a use of os.system"},
        {BYTES("\x80\2ibuiltins\neval\n."), "opcode 0x69"},
        {BYTES("\x80\2}."), "expected 'data'"},
        {BYTES("\x80\2N."), "no dictionary"},
        {BYTES("\x80\2"), "the end"},
        {BYTES(""), "the end"},
        {BYTES("."), "no dictionary"},
        {BYTES("a"), "items without"},
        {BYTES("s"), "items without"},
        {BYTES("e"), "no mark"},
        {BYTES("t"), "no mark"},
        {BYTES("\x87"), "an empty stack"},
        {BYTES("R"), "an empty stack"},
        {BYTES("b"), "an empty stack"},
        {BYTES("\x93"), "an empty stack"},
        {BYTES("("), "the end"},
        {BYTES("q\1"), "a memo"},
        {BYTES("h\1"), "a memo"},
        {BYTES("}r\xff\xff\xff\xff."), "a memo"},
        {BYTES("X\xff\xff\xff\xff"), "longer than the file"},
        {BYTES("cnumpy\nndarray"), "the end"},
        {BYTES("cnumpy\nndarray\n)R."), "a call"},
        {BYTES("]]a](e."), "no dictionary"},
        {BYTES("\x80\2}.}."), "more behind its end"},
        {BYTES("\x80\1}."), "another protocol"},
        {BYTES("}\x80\2."), "another protocol"},
        {BYTES("cnumpy.core.multiarray\n_reconstruct\nK\0\x85R."), "a call with other arguments"},
        {BYTES("cnumpy\ndtype\nU\2u1\x85R."), "a call with other arguments"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        empty_folder();
        write_cifar10("");
        assert_int_equal(spx_scratch_write(spx_scratch_path(&scratch, "data_batch_1"),
                                           cases[i].bytes, cases[i].n),
                         0);
        check_refused("cifar10", scratch.folder, cases[i].expect);
    }
}

SPX_TEST(a_batch_with_anything_else_in_it_is_refused)
{
    SPX_UNUSED;
    static const char *const twice[] = {"labels", "labels", NULL};
    static const int classes[] = {10, 10};
    static const struct {
        const char *find, *put; /* of one length */
        size_t n;
        const char *expect;
    } cases[] = {
        {"K\1M", "K\2M", 3, "a state of what has none"},   /* another version of arrays */
        {"|NNNJ", "|N]NJ", 5, "a state of what has none"}, /* a dtype with fields */
        {"U\2u1", "U\2i1", 4, "an array of bytes"},
        {"\x89T", "\x88T", 2, "an array of bytes"}, /* in Fortran's order */
        {"M\0\x0c\x86", "M\1\x0c\x86", 4, "an array of bytes"},
        {"U\4data", "U\4date", 6, "N > 0: take the published archive, or pickle it anew"},
        {"tbu.", "tbub", 4, "a state of what has none"},
        {"K\0e", "K\012e", 3, "expected a label of 0 to 9"},
    };
    for (size_t i = 0; i <= sizeof cases / sizeof *cases; i++) {
        const bool double_key = i == sizeof cases / sizeof *cases;
        buffer b = {0};
        empty_folder();
        write_cifar10("");
        pickle_batch(&b, 1, double_key ? twice : ten_keys, classes);
        if (!double_key) {
            uint8_t *at = memmem(b.bytes, b.n, cases[i].find, cases[i].n);
            assert_non_null(at);
            memcpy(at, cases[i].put, cases[i].n);
        }
        save(&b, "data_batch_1");
        check_refused("cifar10", scratch.folder,
                      double_key ? "expected 'labels'" : cases[i].expect);
    }
}

SPX_TEST(whatever_a_pickle_holds_is_read_or_refused)
{
    SPX_UNUSED;
    buffer b = {0};
    spx_rng rng;
    spx_pack *p;
    int refused = 0;
    empty_folder();
    write_cifar10("");
    pickle_batch(&b, 2, ten_keys, ten_classes);
    spx_rng_init(&rng, 7, SPX_RNG_TEST, 0);
    for (int i = 0; i < 200; i++) {
        const size_t at = spx_rng_below(&rng, 250), end = i % 3 == 0 ? b.n - at : b.n;
        const uint8_t old = b.bytes[at];
        spx_status st;
        b.bytes[at] = (uint8_t)spx_rng_below(&rng, 256);
        assert_int_equal(
            spx_scratch_write(spx_scratch_path(&scratch, "data_batch_1"), b.bytes, end), 0);
        st = spx_pack_build(&p, "cifar10", scratch.folder, NULL);
        assert_true((st == SPX_OK) == (p != NULL));
        refused += st != SPX_OK;
        spx_pack_close(p);
        b.bytes[at] = old;
    }
    assert_true(refused > 60);
    free(b.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_python_version_of_cifar_is_read),
        SPX_UNIT(a_hostile_pickle_is_refused_and_nothing_in_it_runs),
        SPX_UNIT(a_batch_with_anything_else_in_it_is_refused),
        SPX_UNIT(whatever_a_pickle_holds_is_read_or_refused),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
