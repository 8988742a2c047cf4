#define _DEFAULT_SOURCE
#include "host/secure/vault/vault.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "tests/support/spx_scratch.h"

#include <sys/stat.h>

static spx_scratch scratch;
static char folder[512];
static spx_vault *vault;

static int make(void **state)
{
    (void)state;
    if (spx_scratch_make(&scratch) != 0) {
        return -1;
    }
    (void)snprintf(folder, sizeof folder, "%s", spx_scratch_path(&scratch, "vault"));
    return spx_vault_open(&vault, folder) == SPX_OK ? 0 : -1;
}

static int unmake(void **state)
{
    (void)state;
    spx_vault_close(vault);
    spx_scratch_remove(&scratch);
    return 0;
}

static const char *inside(const char *name)
{
    static char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

SPX_TEST(a_record_survives_and_is_replaced_whole)
{
    SPX_UNUSED;
    char got[6];
    CHECK_OK(spx_vault_put(vault, "a", "first", 6));
    CHECK_OK(spx_vault_put(vault, "a", "other", 6));
    spx_vault_close(vault);
    CHECK_OK(spx_vault_open(&vault, folder));
    CHECK_OK(spx_vault_get(vault, "a", got, 6));
    assert_string_equal(got, "other");
    CHECK_FAILS(SPX_EFORMAT, spx_vault_get(vault, "a", got, 5));
    CHECK_OK(spx_vault_remove(vault, "a"));
    CHECK_OK(spx_vault_remove(vault, "a"));
    CHECK_FAILS(SPX_ENOTFOUND, spx_vault_get(vault, "a", got, 6));
}

SPX_TEST(the_folder_is_the_owners_alone_and_nothing_in_it_is_readable)
{
    SPX_UNUSED;
    struct stat info;
    void *data;
    size_t n;
    CHECK_OK(spx_vault_put(vault, "a", "plaintext", 9));
    assert_int_equal(stat(folder, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(stat(inside(".key"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    CHECK_OK(spx_file_read(inside("a"), 4096, &data, &n));
    assert_int_equal(n, 8 + 32 + 9 + 16);
    for (size_t i = 0; i + 5 <= n; i++) {
        assert_memory_not_equal((char *)data + i, "plain", 5);
    }
    spx_free(data);
}

SPX_TEST(a_folder_that_others_can_read_or_write_is_refused)
{
    SPX_UNUSED;
    static const mode_t bad[] = {0770, 0750, 0755, 0705, 0701, 0777, 01777};
    char fresh[600];
    spx_vault *second;
    spx_vault_close(vault);
    (void)snprintf(fresh, sizeof fresh, "%s", spx_scratch_path(&scratch, "fresh"));
    assert_int_equal(mkdir(fresh, 0700), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(chmod(folder, bad[i]), 0);
        assert_int_equal(chmod(fresh, bad[i]), 0);
        CHECK_FAILS(SPX_EINVAL, spx_vault_open(&vault, folder));
        assert_non_null(strstr(spx_error_message(), "chmod go-rwx"));
        CHECK_FAILS(SPX_EINVAL, spx_vault_open(&second, fresh)); /* empty, and made by hand */
        assert_int_equal(rmdir(fresh), 0);                       /* still empty */
        assert_int_equal(mkdir(fresh, 0700), 0);
    }
    CHECK_OK(spx_vault_open(&second, fresh));
    spx_vault_close(second);
    assert_int_equal(chmod(folder, 0700), 0);
    CHECK_OK(spx_vault_open(&vault, folder));
}

SPX_TEST(a_folder_that_holds_other_things_is_refused_and_left_as_it_was)
{
    SPX_UNUSED;
    static const char *const name[] = {"passwd", ".profile", "t-units"};
    const spx_span part = {"dear", 4};
    spx_vault *second;
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++) {
        char foreign[600], file[700];
        (void)snprintf(foreign, sizeof foreign, "%s%zu", spx_scratch_path(&scratch, "foreign"), i);
        (void)snprintf(file, sizeof file, "%s/%s", foreign, name[i]);
        assert_int_equal(mkdir(foreign, i == 0 ? 0755 : 0700), 0); /* and no advice to chmod it */
        CHECK_OK(spx_file_replace(file, &part, 1));
        CHECK_FAILS(SPX_EINVAL, spx_vault_open(&second, foreign));
        assert_non_null(strstr(spx_error_message(), "name a new one"));
        assert_int_equal(unlink(file), 0);
        assert_int_equal(rmdir(foreign), 0); /* nothing else has come into it */
    }
}

/* What another user owns is another's to fill: only root can make such a folder. */
SPX_TEST(a_folder_or_a_key_of_another_user_is_refused)
{
    SPX_UNUSED;
    static const char *const part[] = {"", ".key", ".id"};
    if (geteuid() != 0) {
        skip();
    }
    spx_vault_close(vault);
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        assert_int_equal(chown(inside(part[i]), 65534, 65534), 0);
        CHECK_FAILS(SPX_EINVAL, spx_vault_open(&vault, folder));
        assert_non_null(strstr(spx_error_message(), "another user"));
        assert_int_equal(chown(inside(part[i]), 0, 0), 0);
    }
    CHECK_OK(spx_vault_open(&vault, folder));
}

SPX_TEST(a_key_that_others_can_read_is_refused)
{
    SPX_UNUSED;
    static const struct {
        const char *name;
        mode_t mode;
    } bad[] = {{".key", 0640}, {".key", 0604}, {".key", 0602}, {".id", 0620}, {".id", 0606}};
    spx_vault_close(vault);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(chmod(inside(bad[i].name), bad[i].mode), 0);
        CHECK_FAILS(SPX_EINVAL, spx_vault_open(&vault, folder));
        assert_non_null(strstr(spx_error_message(), "chmod"));
        assert_int_equal(chmod(inside(bad[i].name), 0600), 0);
    }
    CHECK_OK(spx_vault_open(&vault, folder));
}

SPX_TEST(a_link_planted_in_the_folder_is_neither_followed_nor_overwritten)
{
    SPX_UNUSED;
    static const char *const temporary[] = {".tmp-a", ".tmp-.id", ".tmp-.key"};
    char victim[600], got[4];
    const spx_span part = {"dear", 4};
    void *data;
    size_t n;
    (void)snprintf(victim, sizeof victim, "%s", spx_scratch_path(&scratch, "victim"));
    CHECK_OK(spx_file_replace(victim, &part, 1));
    for (size_t i = 0; i < sizeof temporary / sizeof temporary[0]; i++) {
        assert_int_equal(symlink(victim, inside(temporary[i])), 0);
    }
    CHECK_OK(spx_vault_put(vault, "a", "abcd", 4)); /* beside the link it would have followed */
    CHECK_OK(spx_vault_get(vault, "a", got, 4));
    spx_vault_close(vault);
    assert_int_equal(unlink(inside("a")), 0);
    assert_int_equal(unlink(inside(".id")), 0);
    assert_int_equal(unlink(inside(".key")), 0);
    CHECK_OK(spx_vault_open(&vault, folder)); /* both are made anew */
    assert_int_equal(symlink(victim, inside("b")), 0);
    CHECK_FAILS(SPX_EIO, spx_vault_get(vault, "b", got, 4));
    CHECK_OK(spx_file_read(victim, 100, &data, &n));
    assert_int_equal(n, 4);
    assert_memory_equal(data, "dear", 4);
    spx_free(data);
    spx_vault_close(vault);
    assert_int_equal(unlink(inside(".key")), 0);
    assert_int_equal(symlink(victim, inside(".key")), 0);
    CHECK_FAILS(SPX_EIO, spx_vault_open(&vault, folder));
    assert_int_equal(unlink(inside("b")), 0);
    assert_int_equal(unlink(inside(".id")), 0);
    assert_int_equal(unlink(inside(".key")), 0);
    CHECK_OK(spx_vault_open(&vault, folder));
}

SPX_TEST(every_changed_byte_is_noticed)
{
    SPX_UNUSED;
    unsigned char *data;
    void *read;
    size_t n;
    char got[4];
    CHECK_OK(spx_vault_put(vault, "a", "abcd", 4));
    CHECK_OK(spx_file_read(inside("a"), 4096, &read, &n));
    data = read;
    for (size_t i = 0; i < n; i++) {
        const spx_span part = {data, n};
        data[i] ^= 0x40;
        CHECK_OK(spx_file_replace(inside("a"), &part, 1));
        CHECK_FAILS(SPX_EFORMAT, spx_vault_get(vault, "a", got, 4));
        data[i] ^= 0x40;
    }
    for (size_t cut = 0; cut < n; cut++) {
        const spx_span part = {data, cut};
        CHECK_OK(spx_file_replace(inside("a"), &part, 1));
        CHECK_FAILS(SPX_EFORMAT, spx_vault_get(vault, "a", got, 4));
    }
    spx_free(read);
}

SPX_TEST(a_file_under_another_name_or_in_another_vault_does_not_open)
{
    SPX_UNUSED;
    char got[4], other[600];
    spx_vault *second;
    void *data;
    size_t n;
    CHECK_OK(spx_vault_put(vault, "a", "abcd", 4));
    CHECK_OK(spx_file_read(inside("a"), 4096, &data, &n));
    const spx_span part = {data, n};
    CHECK_OK(spx_file_replace(inside("b"), &part, 1));
    CHECK_FAILS(SPX_EFORMAT, spx_vault_get(vault, "b", got, 4));
    (void)snprintf(other, sizeof other, "%s", spx_scratch_path(&scratch, "second"));
    CHECK_OK(spx_vault_open(&second, other));
    assert_memory_not_equal(spx_vault_id(vault), spx_vault_id(second), SPX_VAULT_ID_BYTES);
    (void)snprintf(other + strlen(other), 8, "/a");
    CHECK_OK(spx_file_replace(other, &part, 1));
    CHECK_FAILS(SPX_EFORMAT, spx_vault_get(second, "a", got, 4));
    spx_vault_close(second);
    spx_free(data);
}

static spx_status count(void *ctx, const char *name, uint64_t bytes)
{
    uint64_t *sum = ctx;
    sum[0] += bytes;
    sum[1] += strncmp(name, "big", 3) == 0;
    return SPX_OK;
}

SPX_TEST(sections_are_read_back_and_only_in_their_sizes_and_order)
{
    SPX_UNUSED;
    enum { SIZE = 700001 }; /* over two chunks; odd */
    unsigned char *data = malloc(SIZE), *got = malloc(SIZE);
    spx_vault_writer *w;
    spx_vault_reader *r;
    uint64_t seen[2] = {0};
    assert_true(data != NULL && got != NULL);
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (unsigned char)(i * 7 >> 2);
    }
    CHECK_OK(spx_vault_writer_open(&w, vault, "big-1"));
    CHECK_OK(spx_vault_write(w, data, SIZE));
    CHECK_OK(spx_vault_write(w, data, 0));
    CHECK_OK(spx_vault_write(w, data, 10));
    CHECK_FAILS(SPX_ENOTFOUND, spx_vault_reader_open(&r, vault, "big-1")); /* not committed */
    CHECK_OK(spx_vault_commit(w));
    CHECK_OK(spx_vault_list(vault, "big-", count, seen));
    assert_int_equal(seen[0], 8 + 32 + SIZE + 10 + 3 * 16);
    assert_int_equal(seen[1], 1);
    CHECK_OK(spx_vault_reader_open(&r, vault, "big-1"));
    CHECK_OK(spx_vault_remove(vault, "big-1")); /* what is open stays readable */
    CHECK_OK(spx_vault_read(r, got, SIZE));
    assert_memory_equal(got, data, SIZE);
    CHECK_OK(spx_vault_read(r, got, 0));
    CHECK_FAILS(SPX_EFORMAT, spx_vault_read(r, got, 9));
    spx_vault_reader_close(r);
    CHECK_OK(spx_vault_writer_open(&w, vault, "big-2"));
    spx_vault_abort(w);
    CHECK_FAILS(SPX_ENOTFOUND, spx_vault_reader_open(&r, vault, "big-2"));
    free(data);
    free(got);
}

SPX_TEST(one_process_at_a_time)
{
    SPX_UNUSED;
    spx_vault *second;
    CHECK_FAILS(SPX_EINVAL, spx_vault_open(&second, folder));
    assert_non_null(strstr(spx_error_message(), "in use"));
}

SPX_TEST(bad_names_and_a_foreign_folder_are_refused)
{
    SPX_UNUSED;
    static const char *const bad[] = {"", ".key", "a/b", "../x", "A", "a b"};
    char other[600];
    spx_vault *second;
    const spx_span part = {"short", 5};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_vault_put(vault, bad[i], "x", 1));
    }
    (void)snprintf(other, sizeof other, "%s", spx_scratch_path(&scratch, "foreign"));
    assert_int_equal(mkdir(other, 0700), 0);
    (void)snprintf(other + strlen(other), 8, "/.key");
    CHECK_OK(spx_file_replace(other, &part, 1));
    other[strlen(other) - 5] = '\0';
    CHECK_FAILS(SPX_EFORMAT, spx_vault_open(&second, other));
}

SPX_TEST(a_full_disk_leaves_the_old_record_and_no_trace)
{
    SPX_UNUSED;
    struct rlimit old, small = {.rlim_cur = 4096};
    static char large[20000];
    char got[4];
    CHECK_OK(spx_vault_put(vault, "a", "abcd", 4));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    CHECK_FAILS(SPX_EIO, spx_vault_put(vault, "a", large, sizeof large));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    CHECK_OK(spx_vault_get(vault, "a", got, 4));
    assert_memory_equal(got, "abcd", 4);
    assert_int_not_equal(access(inside(".tmp-a"), F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
        T(a_record_survives_and_is_replaced_whole),
        T(the_folder_is_the_owners_alone_and_nothing_in_it_is_readable),
        T(a_folder_that_others_can_read_or_write_is_refused),
        T(a_folder_that_holds_other_things_is_refused_and_left_as_it_was),
        T(a_folder_or_a_key_of_another_user_is_refused),
        T(a_key_that_others_can_read_is_refused),
        T(a_link_planted_in_the_folder_is_neither_followed_nor_overwritten),
        T(every_changed_byte_is_noticed),
        T(a_file_under_another_name_or_in_another_vault_does_not_open),
        T(sections_are_read_back_and_only_in_their_sizes_and_order),
        T(one_process_at_a_time),
        T(bad_names_and_a_foreign_folder_are_refused),
        T(a_full_disk_leaves_the_old_record_and_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
