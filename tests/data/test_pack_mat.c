/* MATLAB files of each kind, and damaged ones. */
#define _GNU_SOURCE /* memmem */
#include "data/pack/pack_mat_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "tests/data/pack_mat_bytes.h"
#include "tests/support/fresh_seed.h"

static spx_status read_mat(const buffer *b, spx_synset **s, size_t *n, char **names)
{
    return spx_mat_synsets("meta.mat", b->bytes, b->n, s, n, names);
}

SPX_TEST(matlab_files_of_each_kind_are_read)
{
    SPX_UNUSED;
    static const int types[] = {UINT8, UINT16, DOUBLE, INT64};
    for (int i = 0; i < 32; i++) {
        const mat m = {i % 2 == 1, i / 2 % 2 == 1, i / 4 % 2 == 1, types[i / 8]};
        buffer b = meta_mat(&m);
        spx_synset *s;
        char *names;
        size_t n;
        CHECK_OK(read_mat(&b, &s, &n, &names));
        assert_int_equal(n, 3);
        assert_int_equal(s[1].id, 2);
        assert_string_equal(s[1].key, "n01");
        assert_string_equal(names, "n02 bee\nn01 tench, Tinca tinca\nn09 \n");
        spx_free(s);
        spx_free(names);
        free(b.bytes);
    }
}

static void check_mat_refused(buffer *b, const char *expect)
{
    spx_synset *s;
    char *names;
    size_t n;
    const spx_status st = read_mat(b, &s, &n, &names);
    assert_null(s);
    assert_null(names);
    if (st != SPX_EFORMAT || strstr(spx_error_message(), expect) == NULL) {
        fail_msg("%s: '%s', expected '%s'", spx_status_text(st), spx_error_message(), expect);
    }
    free(b->bytes);
    *b = (buffer){0};
}

SPX_TEST(other_matlab_files_are_refused)
{
    SPX_UNUSED;
    static const mat plain = {.number_type = UINT16};
    static const struct {
        const char *find; /* the first such bytes are changed */
        size_t n;
        const char *bytes, *expect;
    } cases[] = {
        {BYTES("\0\1IM"), "\0\2IM", "version 5 (saved by MATLAB's option -v7)"},
        {BYTES("\0\1IM"), "\0\1XX", "version 5"},
        {BYTES("synsets"), "Synsets", "a variable synsets"},
        {BYTES("WNID"), "WNIE", "synsets with ILSVRC2012_ID, WNID and words"},
        {BYTES("\4\0\2\0\1\0"), "\4\0\2\0\0\0", "an ILSVRC2012_ID of 1 or more"},
        {BYTES("n\0000\0002\0"), "n\0/\0002\0", "a WNID"},
        {BYTES("\2\0\0\0\0\0\0\0"), "\1\0\0\0\0\0\0\0", "an array of structures"},
        {BYTES("\16\0\0\0"), "\17\0\0\0", "a variable that inflates"},
        {BYTES("\1\0\0\0\3\0\0\0"), "\1\0\0\0\xff\xff\xff\xff", "an array of structures"},
        {BYTES("\1\0\0\0\3\0\0\0"), "\1\0\0\0\4\0\0\0", "an element"},
        {BYTES("\5\0\4\0\20\0\0\0"), "\5\0\4\0\21\0\0\0", "the names of fields"},
        {BYTES("\5\0\4\0\20\0\0\0"), "\5\0\4\0\0\0\0\0", "the names of fields"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = meta_mat(&plain);
        uint8_t *at = memmem(b.bytes, b.n, cases[i].find, cases[i].n);
        assert_non_null(at);
        memcpy(at, cases[i].bytes, cases[i].n);
        check_mat_refused(&b, cases[i].expect);
    }
    for (int packed = 0; packed < 2; packed++) {
        const mat m = {.packed = packed == 1, .number_type = UINT16};
        for (size_t cut = 9; cut < 400; cut += packed == 1 ? 10 : 40) {
            buffer b = meta_mat(&m);
            b.n = b.n > cut ? b.n - cut : 0;
            check_mat_refused(&b, "meta.mat: offset ");
        }
    }
}

SPX_TEST(whatever_bytes_a_matlab_file_has_it_is_read_or_refused)
{
    SPX_UNUSED;
    spx_rng r;
    spx_rng_init(&r, spx_fresh_seed(), SPX_RNG_TEST, 2);
    for (int i = 0; i < 3000; i++) {
        const mat m = {i % 2 == 1, i % 16 == 0, i % 3 == 0, UINT16};
        buffer b = meta_mat(&m);
        spx_synset *s;
        char *names;
        size_t n;
        spx_status st;
        for (int k = 0; k <= i % 3; k++) {
            const uint32_t at = 124 + spx_rng_below(&r, (uint32_t)b.n - 124);
            b.bytes[at] = (uint8_t)(i % 2 == 0 ? spx_rng_below(&r, 256) : spx_rng_below(&r, 16));
        }
        st = read_mat(&b, &s, &n, &names);
        assert_true((st == SPX_OK) == (s != NULL));
        spx_free(s);
        spx_free(names);
        free(b.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(matlab_files_of_each_kind_are_read),
        SPX_UNIT(other_matlab_files_are_refused),
        SPX_UNIT(whatever_bytes_a_matlab_file_has_it_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
