/*
 * Packings that are stopped, killed, cut short or run into a full disk, and then go on: the bytes
 * are those of one that nothing disturbed. One pack's bytes stand for all its files': it names the
 * shards by their digests.
 */
#define _GNU_SOURCE /* syscall */
#include "kernels/base/clock.h"
#include "kernels/base/rng.h"
#include "tests/data/store_check.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PICTURES 23
#define KILLS 20
#define CUTS (SPX_SANITIZED ? 8 : 40)

/* A few pictures a file. */
static const spx_store_options usual = {
    .form = SPX_STORE_ORIGINAL, .threads = 2, .shard_bytes = 1500, .channels = 3, .allow_bad = 1};

static void *right; /* the bytes of an undisturbed packing */
static size_t right_size;
static int right_files;

/* What was done, a letter each: fsync of a file, of a folder, rename, unlink of the log. */
static char done[512];
static size_t dones;

static void note(char what)
{
    if (dones < sizeof done - 1) {
        done[dones++] = what;
        done[dones] = '\0';
    }
}

/* Stand in for libc's. */
int fsync(int fd)
{
    struct stat info;
    note(fstat(fd, &info) == 0 && S_ISDIR(info.st_mode) ? 'd' : 'f');
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    note('r');
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    if (strstr(path, ".part") != NULL) {
        note('u');
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static bool there(const char *name)
{
    return access(spx_scratch_path(&scratch, name), F_OK) == 0;
}

static void remove_file(const char *name)
{
    (void)unlink(spx_scratch_path(&scratch, name));
}

static void make_right(void)
{
    spx_pack *p;
    empty_folder();
    put_set(PICTURES, 3);
    spx_scratch_write_text(place("set/train/even/bad.png"), "no picture");
    store("got.h5", &usual);
    spx_free(right);
    read_whole("got.h5", &right, &right_size);
    right_files = spx_scratch_files(&scratch);
    p = open_pack("got.h5");
    assert_true(spx_store_describe(p)->shards > 2);
    spx_pack_close(p);
    remove_file("got.h5"); /* what shards are left is swept away, or is written again */
}

/* The pack is whole, the same as the undisturbed, and nothing else lies beside it. */
static void check_right(void)
{
    spx_pack *p = open_pack("got.h5");
    void *bytes;
    size_t size;
    CHECK_OK(spx_pack_verify(p, NULL, NULL, NULL));
    spx_pack_close(p);
    read_whole("got.h5", &bytes, &size);
    assert_int_equal(size, right_size);
    assert_memory_equal(bytes, right, size);
    spx_free(bytes);
    assert_int_equal(spx_scratch_files(&scratch), right_files);
}

/* Goes on; how many pictures there were already. */
static size_t go_on(int threads)
{
    spx_store_options o = usual;
    spx_store_report r;
    size_t resumed_at;
    o.resume = true;
    o.threads = threads;
    CHECK_OK(try_store("got.h5", &o, &r));
    resumed_at = r.resumed_at;
    assert_true(r.bad == 1 && r.count[0] + r.count[1] == PICTURES);
    assert_string_equal(r.bad_names, "train/even/bad.png");
    spx_store_report_clear(&r);
    check_right();
    return resumed_at;
}

static bool stop_now(void *ctx)
{
    return (*(int *)ctx)-- <= 0;
}

/* Stops after n pictures. */
static void stop_after(int n)
{
    spx_store_options o = usual;
    spx_store_report r;
    spx_pack *p;
    o.stop = stop_now;
    o.ctx = &n;
    o.threads = 3;
    CHECK_FAILS(SPX_EINTERRUPTED, try_store("got.h5", &o, &r));
    assert_true(there("got.h5.part") && !there("got.h5"));
    CHECK_FAILS(SPX_ENOTFOUND, spx_pack_open(&p, spx_scratch_path(&scratch, "got.h5"), 0));
    assert_non_null(strstr(spx_error_message(), "--resume"));
}

SPX_TEST(a_stopped_packing_goes_on_to_the_same_bytes)
{
    SPX_UNUSED;
    make_right();
    for (int k = 0; k <= PICTURES; k += 3) { /* with the bad one there is one more */
        stop_after(k);
        assert_int_equal(go_on(1 + k % 3), k);
        remove_file("got.h5");
    }
}

/* ---- killed ---- */

/* Packs in a process of its own, going on where one was killed. */
static pid_t begin_child(void)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        spx_store_options o = usual;
        spx_store_report r;
        o.resume = true;
        _exit(try_store("got.h5", &o, &r) == SPX_OK ? 0 : 1);
    }
    return child;
}

SPX_TEST(packings_killed_at_any_moment_go_on_to_the_same_bytes)
{
    SPX_UNUSED;
    double whole;
    int status, killed = 0;
    spx_rng random;
    pid_t child;
    make_right();
    whole = spx_seconds();
    child = begin_child();
    assert_true(waitpid(child, &status, 0) == child && status == 0);
    whole = spx_seconds() - whole;
    check_right();
    remove_file("got.h5");
    spx_rng_init(&random, 7, SPX_RNG_TEST, 0);
    for (int k = 0; k < KILLS; k++) {
        child = begin_child();
        (void)usleep((useconds_t)(whole * 1e6 * (double)spx_rng_below(&random, 1000) / 1000));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        killed += WIFSIGNALED(status);
        if (k % 2 == 1) { /* some are killed again before they come to an end */
            (void)go_on(2);
            remove_file("got.h5");
        }
    }
    assert_true(killed > 0);
    (void)go_on(1);
}

/* ---- damaged logs ---- */

SPX_TEST(a_log_counts_up_to_its_last_whole_record)
{
    SPX_UNUSED;
    unsigned char *bytes;
    void *log;
    size_t size, most = 0;
    make_right();
    stop_after(3);
    read_whole("got.h5.part", &log, &size);
    bytes = log;
    for (size_t n = size; n > size / 3; n -= 1 + n / CUTS) { /* cut short */
        assert_int_equal(spx_scratch_write(place("got.h5.part"), bytes, n), 0);
        if (n < 700) { /* in the header */
            break;
        }
        most = go_on(1);
        assert_true(most <= 3);
        remove_file("got.h5");
    }
    for (size_t at = size - 1; at > 700; at -= 1 + at / CUTS) { /* a bit turned over */
        bytes[at] ^= 16;
        assert_int_equal(spx_scratch_write(place("got.h5.part"), bytes, size), 0);
        assert_true(go_on(1) < 3);
        remove_file("got.h5");
        bytes[at] ^= 16;
    }
    assert_int_equal(spx_scratch_write(place("got.h5.part"), bytes, size), 0);
    assert_int_equal(go_on(1), 3);
    spx_free(log);
}

SPX_TEST(what_is_no_log_of_this_packing_is_refused_and_stays)
{
    SPX_UNUSED;
    spx_store_options o = usual;
    spx_store_report r;
    spx_pack *p;
    make_right();
    o.resume = true;
    stop_after(5);
    o.shard_bytes++; /* other options */
    CHECK_FAILS(SPX_EINVAL, try_store("got.h5", &o, &r));
    assert_non_null(strstr(spx_error_message(), "other pictures or options"));
    o.shard_bytes--;
    put_picture("set/train/odd/another.png", 50, 3, 8, 8); /* another list */
    CHECK_FAILS(SPX_EINVAL, try_store("got.h5", &o, &r));
    assert_non_null(strstr(spx_error_message(), "got.h5.part"));
    remove_file("set/train/odd/another.png");
    CHECK_FAILS(SPX_EFORMAT,
                spx_pack_open(&p, spx_scratch_path(&scratch, "got.h5.part"), SPX_PACK_LOAD_ALL));
    assert_non_null(strstr(spx_error_message(), "an unfinished packing"));
    o.allow_bad = 0; /* one is in it */
    stop_after(20);
    CHECK_FAILS(SPX_EFORMAT, try_store("got.h5", &o, &r));
    assert_non_null(strstr(spx_error_message(), "bad.png"));
    spx_store_report_clear(&r);
    stop_after(5);
    assert_int_equal(go_on(1), 5);
    remove_file("got.h5");
    spx_scratch_write_text(place("got.h5.part"), "something else");
    for (int resume = 0; resume < 2; resume++) {
        o.resume = resume == 1;
        CHECK_FAILS(SPX_EINVAL, try_store("got.h5", &o, &r));
        assert_non_null(strstr(spx_error_message(), "got.h5.part"));
        spx_scratch_check_text(spx_scratch_path(&scratch, "got.h5.part"), "something else");
    }
    remove_file("got.h5.part");
    stop_after(5);
    o = usual; /* begins again */
    CHECK_OK(try_store("got.h5", &o, &r));
    assert_int_equal(r.resumed_at, 0);
    spx_store_report_clear(&r);
    check_right();
}

SPX_TEST(a_finished_pack_is_left_alone_by_resume)
{
    SPX_UNUSED;
    spx_store_options o = usual;
    spx_store_report r;
    struct stat before, after;
    make_right();
    (void)go_on(1); /* with nothing there it begins */
    assert_int_equal(stat(spx_scratch_path(&scratch, "got.h5"), &before), 0);
    o.resume = true;
    CHECK_OK(try_store("got.h5", &o, &r));
    assert_true(r.finished_before && r.bad == 1 && r.count[0] + r.count[1] == PICTURES);
    assert_string_equal(r.bad_names, "train/even/bad.png");
    spx_store_report_clear(&r);
    assert_int_equal(stat(spx_scratch_path(&scratch, "got.h5"), &after), 0);
    assert_true(before.st_ino == after.st_ino);
    o.channels = 1;
    CHECK_FAILS(SPX_EINVAL, try_store("got.h5", &o, &r));
    check_right();
}

SPX_TEST(two_processes_do_not_pack_into_one_file)
{
    SPX_UNUSED;
    spx_store_options o = usual;
    spx_store_report r;
    int fd;
    make_right();
    stop_after(7);
    fd = open(spx_scratch_path(&scratch, "got.h5.part"), O_RDWR);
    assert_true(fd >= 0);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        for (int resume = 0; resume < 2; resume++) {
            o.resume = resume == 1;
            CHECK_FAILS(SPX_EINVAL, try_store("got.h5", &o, &r));
            assert_non_null(strstr(spx_error_message(), "another process"));
            assert_true(there("got.h5.part") && !there("got.h5"));
        }
    }
    (void)close(fd);
    assert_int_equal(go_on(2), 7);
}

SPX_TEST(who_opens_a_pack_while_it_is_replaced_gets_the_old_or_the_new)
{
    SPX_UNUSED;
    int status = 0, seen[2] = {0};
    pid_t child;
    make_right();
    store("got.h5", &usual);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (int k = 0; k < 12; k++) {
            spx_store_options o = usual;
            o.form = k % 2 == 0 ? SPX_STORE_RAW : SPX_STORE_ORIGINAL;
            o.side = 8;
            store("got.h5", &o);
        }
        _exit(0);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        spx_pack *p = open_pack("got.h5");
        seen[spx_store_encoded(p)]++;
        CHECK_OK(spx_pack_verify(p, NULL, NULL, NULL));
        spx_pack_close(p);
    }
    assert_int_equal(status, 0);
    assert_true(seen[0] + seen[1] > 0);
    check_right();
}

/* ---- disks ---- */

SPX_TEST(what_a_power_cut_may_not_lose_is_synced_in_this_order)
{
    SPX_UNUSED;
    size_t renames = 0;
    make_right();
    dones = 0;
    store("got.h5", &usual);
    assert_true(dones < sizeof done - 1);
    for (size_t i = 0; i < dones; i++) {
        if (done[i] ==
            'r') { /* a file's bytes before its name, the name before what relies on it */
            assert_true(i > 0 && done[i - 1] == 'f' && done[i + 1] == 'd');
            renames++;
        }
    }
    assert_true(renames > 5); /* the log, and each shard and the log again, and the pack */
    assert_string_equal(done + dones - 4, "frdu"); /* the log goes last */
    check_right();
}

/* As many files as before; the pack that was there is as it was. */
SPX_TEST(a_full_disk_leaves_the_old_pack_and_nothing_half_written)
{
    SPX_UNUSED;
    spx_store_options o = usual;
    spx_store_report r;
    spx_status st = SPX_EIO;
    int full = 0;
    make_right();
    (void)go_on(1);
    o.form = SPX_STORE_RAW; /* another pack: 24 pictures of 192 bytes */
    o.side = 8;
    for (rlim_t bytes = 0; st != SPX_OK; bytes += bytes < 900 ? 150 : 800) {
        assert_int_equal(spx_scratch_limit(bytes), 0);
        st = try_store("got.h5", &o, &r);
        assert_int_equal(spx_scratch_limit(RLIM_INFINITY), 0);
        full += st != SPX_OK;
        if (st != SPX_OK) {
            assert_true(st == SPX_EIO);
            assert_true(strchr(spx_error_message(), '\n') == NULL);
            if (there("got.h5.part")) { /* a shard was finished: worth going on from */
                assert_non_null(strstr(spx_error_message(), "--resume"));
                remove_file("got.h5.part");
            }
            assert_false(there("got.h5.part.new"));
            {
                spx_pack *p = open_pack("got.h5");
                assert_string_equal(spx_store_describe(p)->form, "original");
                CHECK_OK(spx_pack_verify(p, NULL, NULL, NULL));
                spx_pack_close(p);
            }
        }
    }
    assert_true(full > 4);
    spx_store_report_clear(&r);
    store("got.h5", &usual);
    check_right();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_stopped_packing_goes_on_to_the_same_bytes),
        SPX_UNIT(packings_killed_at_any_moment_go_on_to_the_same_bytes),
        SPX_UNIT(a_log_counts_up_to_its_last_whole_record),
        SPX_UNIT(what_is_no_log_of_this_packing_is_refused_and_stays),
        SPX_UNIT(a_finished_pack_is_left_alone_by_resume),
        SPX_UNIT(two_processes_do_not_pack_into_one_file),
        SPX_UNIT(who_opens_a_pack_while_it_is_replaced_gets_the_old_or_the_new),
        SPX_UNIT(what_a_power_cut_may_not_lose_is_synced_in_this_order),
        SPX_UNIT(a_full_disk_leaves_the_old_pack_and_nothing_half_written),
    };
    int failed;
    if (!begin_in_memory()) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_free(right);
    spx_scratch_remove(&scratch);
    return failed;
}
