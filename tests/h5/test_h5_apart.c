/* Files with one dataset apart: other readers see it, the checksum covers all the rest. */
#define _POSIX_C_SOURCE 200809L
#include "host/h5/h5_file.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <hdf5.h>

static spx_scratch scratch;

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

/* Writes as many bytes as the dataset has. */
static spx_status put_bytes(void *ctx, int fd, const char *path)
{
    const size_t n = *(const size_t *)ctx;
    uint8_t *bytes = malloc(n);
    bool ok;
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = byte_at(i);
    }
    ok = spx_write_fully(fd, bytes, n);
    free(bytes);
    return ok ? SPX_OK : SPX_FAIL(SPX_EIO, "%s: cannot write", path);
}

static void write_apart(const char *path, int rank, const int64_t *dims, size_t n)
{
    const int64_t three = 3;
    const uint32_t words[] = {0, 70000, UINT32_MAX};
    char digest[SPX_H5_DIGEST_CHARS], closed[SPX_H5_DIGEST_CHARS];
    spx_h5_out *w;
    CHECK_OK(spx_h5_create_apart(&w, "data", rank, dims));
    CHECK_OK(spx_h5_add(w, "a/b/words", SPX_H5_U32, 1, &three, words));
    CHECK_OK(spx_h5_add_text(w, "", "text", "something"));
    CHECK_OK(spx_h5_add_link(w, "links/one", "other.h5"));
    CHECK_OK(spx_h5_finish_apart(w, digest));
    CHECK_OK(spx_h5_commit_apart(w, path, put_bytes, &n));
    spx_h5_discard(w);
    CHECK_OK(spx_h5_file_digest(path, closed));
    assert_string_equal(closed, digest);
}

SPX_TEST(what_is_apart_lies_in_one_piece_where_other_readers_see_it)
{
    SPX_UNUSED;
    static const int64_t shapes[][4] = {{1}, {3000000}, {1048576}, {7, 3, 5, 2}, {300, 1, 1, 1}};
    static const int ranks[] = {1, 1, 1, 4, 4};
    for (size_t k = 0; k < sizeof ranks / sizeof *ranks; k++) {
        const char *path = spx_scratch_path(&scratch, "a.h5");
        char digest[SPX_H5_DIGEST_CHARS], closed[SPX_H5_DIGEST_CHARS];
        uint8_t *whole, *piece;
        uint32_t words[3];
        int64_t longs[3];
        spx_h5_range range;
        size_t n = 1;
        spx_h5 *f;
        int fd;
        for (int i = 0; i < ranks[k]; i++) {
            n *= (size_t)shapes[k][i];
        }
        write_apart(path, ranks[k], shapes[k], n);
        CHECK_OK(spx_h5_open(&f, path, SPX_H5_CHECKED));
        spx_h5_digest(f, digest);
        CHECK_OK(spx_h5_file_digest(path, closed));
        assert_string_equal(closed, digest);
        range = spx_h5_apart(f);
        assert_int_equal(range.length, n);
        assert_non_null(whole = malloc(n));
        assert_non_null(piece = malloc(n));
        CHECK_OK(spx_h5_read(f, "data", SPX_H5_U8, whole, n)); /* as libhdf5 finds it */
        CHECK_OK(spx_h5_descriptor(f, &fd));
        CHECK_OK(spx_file_read_at(fd, path, range.start, piece, n));
        for (size_t i = 0; i < n; i++) {
            assert_true(whole[i] == byte_at(i) && piece[i] == byte_at(i));
        }
        CHECK_OK(spx_h5_read(f, "a/b/words", SPX_H5_U32, words, 3));
        CHECK_OK(spx_h5_read(f, "a/b/words", SPX_H5_I64, longs, 3));
        assert_true(words[2] == UINT32_MAX && longs[2] == UINT32_MAX);
        CHECK_FAILS(SPX_EFORMAT, spx_h5_place(f, "data", &range)); /* in chunks */
        CHECK_FAILS(SPX_EFORMAT, spx_h5_place(f, "a/b/words", &range));
        assert_false(spx_h5_has(f, "links/one")); /* no file leads to another */
        free(whole);
        free(piece);
        (void)close(fd);
        spx_h5_close(f);
    }
}

SPX_TEST(no_object_has_a_time)
{
    SPX_UNUSED;
    static const char *const objects[] = {"/", "/a", "/a/b", "/links", "/data", "/a/b/words"};
    const int64_t n = 5000;
    const char *path = spx_scratch_path(&scratch, "a.h5");
    hid_t file;
    write_apart(path, 1, &n, 5000);
    file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        H5O_info_t info;
        assert_true(H5Oget_info_by_name1(file, objects[i], &info, H5P_DEFAULT) >= 0);
        assert_true(info.mtime == 0 && info.ctime == 0 && info.atime == 0 && info.btime == 0);
    }
    (void)H5Fclose(file);
}

SPX_TEST(the_checksum_covers_all_but_what_is_apart_and_its_place)
{
    SPX_UNUSED;
    const int64_t n = 300;
    const char *path = spx_scratch_path(&scratch, "a.h5");
    const size_t step = SPX_SANITIZED ? 11 : 1;
    spx_h5_range range;
    uint8_t *bytes;
    void *whole;
    size_t size;
    spx_h5 *f;
    write_apart(path, 1, &n, 300);
    CHECK_OK(spx_h5_open(&f, path, SPX_H5_CHECKED));
    range = spx_h5_apart(f);
    spx_h5_close(f);
    CHECK_OK(spx_file_read(path, 1 << 20, &whole, &size));
    bytes = whole;
    for (size_t at = 0; at < size; at += step) {
        const bool apart = at >= range.start && at < range.start + range.length;
        spx_status st;
        bytes[at] ^= (uint8_t)(1u << at % 8);
        st = spx_h5_open_image(&f, "bytes", bytes, size, SPX_H5_CHECKED);
        if (st != (apart ? SPX_OK : SPX_EFORMAT)) {
            fail_msg("byte %zu: %s", at, spx_status_text(st));
        }
        spx_h5_close(f);
        bytes[at] ^= (uint8_t)(1u << at % 8);
    }
    spx_free(whole);
}

SPX_TEST(bad_dimensions_and_bytes_in_memory_are_refused)
{
    SPX_UNUSED;
    static const int64_t bad[][2] = {{0, 1},
                                     {1, 0},
                                     {-1, 1},
                                     {1, (int64_t)1 << 33},
                                     {INT64_MAX, INT64_MAX},
                                     {(int64_t)1 << 60, 1}};
    const int64_t n = 10;
    const char *path = spx_scratch_path(&scratch, "a.h5");
    spx_h5_out *w;
    void *whole;
    size_t size;
    spx_h5 *f;
    int fd;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_h5_create_apart(&w, "data", 2, bad[i]));
    }
    CHECK_FAILS(SPX_EINVAL, spx_h5_create_apart(&w, "data", 0, bad[0]));
    write_apart(path, 1, &n, 10);
    CHECK_OK(spx_file_read(path, 1 << 20, &whole, &size));
    CHECK_OK(spx_h5_open_image(&f, "bytes", whole, size, SPX_H5_CHECKED));
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_h5_descriptor(f, &fd));
    spx_h5_close(f);
    spx_free(whole);
}

SPX_TEST(a_full_disk_leaves_nothing_behind)
{
    SPX_UNUSED;
    const int64_t n = 200000;
    const int before = spx_scratch_files(&scratch);
    size_t bytes = 200000;
    char digest[SPX_H5_DIGEST_CHARS];
    spx_h5_out *w;
    spx_status st;
    CHECK_OK(spx_h5_create_apart(&w, "data", 1, &n));
    CHECK_OK(spx_h5_finish_apart(w, digest));
    assert_int_equal(spx_scratch_limit(100000), 0);
    st = spx_h5_commit_apart(w, spx_scratch_path(&scratch, "full.h5"), put_bytes, &bytes);
    assert_int_equal(spx_scratch_limit(RLIM_INFINITY), 0);
    assert_int_equal(st, SPX_EIO);
    assert_int_equal(spx_scratch_files(&scratch), before);
    CHECK_OK(spx_h5_commit_apart(w, spx_scratch_path(&scratch, "full.h5"), put_bytes, &bytes));
    spx_h5_discard(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(what_is_apart_lies_in_one_piece_where_other_readers_see_it),
        SPX_UNIT(no_object_has_a_time),
        SPX_UNIT(the_checksum_covers_all_but_what_is_apart_and_its_place),
        SPX_UNIT(bad_dimensions_and_bytes_in_memory_are_refused),
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
