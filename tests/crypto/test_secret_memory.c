/* Memory for keys, and the guard against dumps and debuggers. */
#define _DEFAULT_SOURCE
#include "kernels/crypto/secret_memory.h"
#include "tests/support/spx_test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

SPX_TEST(memory_for_secrets_begins_as_zeros_at_a_cache_line)
{
    static const size_t sizes[] = {1, 63, 64, 65, 4096, 100000};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *p;
        CHECK_OK(spx_secret_alloc(&p, sizes[i]));
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t k = 0; k < sizes[i]; k++) {
            assert_int_equal(((unsigned char *)p)[k], 0);
        }
        memset(p, 0xff, sizes[i]);
        spx_secret_free(p);
    }
    spx_secret_free(NULL);
    void *p;
    CHECK_FAILS(SPX_ENOMEM, spx_secret_alloc(&p, SIZE_MAX - 1));
}

/* Bit 0: a process under the guard can be dumped or debugged; bit 1: its limit of core dumps is as
 * it was. @param debug  what the environment says */
static int dumpable(const char *debug)
{
    struct rlimit most = {0}, now = {0};
    int status = 0;
    (void)fflush(NULL);
    const pid_t id = fork();
    if (id == 0) {
        (void)setenv("SPHYNX_DEBUGGABLE", debug, 1);
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        (void)getrlimit(RLIMIT_CORE, &most);
        spx_secret_guard();
        (void)getrlimit(RLIMIT_CORE, &now);
        _exit((prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) +
              2 * (now.rlim_max == most.rlim_max && now.rlim_max != 0));
    }
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

SPX_TEST(a_guarded_process_leaves_no_dump_and_lets_nobody_attach)
{
    struct rlimit most;
    SPX_UNUSED;
    assert_int_equal(getrlimit(RLIMIT_CORE, &most), 0);
    assert_int_equal(dumpable(""), 0);
    assert_int_equal(dumpable("0"), 0);
    assert_int_equal(dumpable("1"), most.rlim_max != 0 ? 3 : 1);
}

/* Beyond the end lies a page that nobody may touch. */
SPX_TEST(a_secret_cannot_be_read_past_its_end)
{
    int status = 0;
    SPX_UNUSED;
    (void)fflush(NULL);
    const pid_t id = fork();
    if (id == 0) {
        void *p;
        (void)signal(SIGSEGV, SIG_DFL);
        if (spx_secret_alloc(&p, 64) == SPX_OK) {
            const volatile unsigned char *at = p;
            _exit(at[64]);
        }
        _exit(1);
    }
    assert_int_equal(waitpid(id, &status, 0), id);
    assert_true(WIFSIGNALED(status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(memory_for_secrets_begins_as_zeros_at_a_cache_line),
        SPX_UNIT(a_guarded_process_leaves_no_dump_and_lets_nobody_attach),
        SPX_UNIT(a_secret_cannot_be_read_past_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
