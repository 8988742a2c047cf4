#define _XOPEN_SOURCE 700
#include "host/control/interrupt.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/spx_test.h"

SPX_TEST(signals_only_set_a_flag_and_the_check_names_them)
{
    SPX_UNUSED;
    static const struct {
        int signal;
        const char *name;
    } cases[] = {{SIGINT, "SIGINT"},   {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"},
                 {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGXCPU, "SIGXCPU"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        spx_interrupt_clear();
        CHECK_OK(spx_interrupt_install());
        CHECK_OK(spx_interrupt_check(NULL));
        assert_int_equal(raise(cases[i].signal), 0);
        assert_int_equal(spx_interrupt_signal(), cases[i].signal);
        CHECK_FAILS(SPX_EINTERRUPTED, spx_interrupt_check(NULL));
        assert_non_null(strstr(spx_error_message(), cases[i].name));
    }
}

SPX_TEST(the_first_signal_is_the_one_reported)
{
    SPX_UNUSED;
    spx_interrupt_clear();
    CHECK_OK(spx_interrupt_install());
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(raise(SIGUSR2), 0);
    assert_int_equal(spx_interrupt_signal(), SIGTERM);
}

SPX_TEST(a_hangup_that_was_ignored_stays_ignored)
{
    SPX_UNUSED;
    int status;
    const pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGHUP, SIG_IGN);
        spx_interrupt_clear();
        _exit(spx_interrupt_install() == SPX_OK && raise(SIGHUP) == 0 && spx_interrupt_signal() == 0
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

SPX_TEST(a_second_sigint_kills)
{
    SPX_UNUSED;
    int status;
    const pid_t child = fork();
    if (child == 0) {
        spx_interrupt_clear();
        if (spx_interrupt_install() != SPX_OK || raise(SIGINT) != 0) {
            _exit(1);
        }
        (void)raise(SIGINT);
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

SPX_TEST(a_deadline_passes_and_zero_never_does)
{
    SPX_UNUSED;
    const spx_deadline never = spx_deadline_in(0), far = spx_deadline_in(1e6);
    const spx_deadline near = spx_deadline_in(1e-3);
    const struct timespec nap = {.tv_nsec = 5000000};
    spx_interrupt_clear();
    CHECK_OK(spx_interrupt_check(&never));
    CHECK_OK(spx_interrupt_check(&far));
    assert_int_equal(nanosleep(&nap, NULL), 0); /* at least: the clock is monotonic */
    CHECK_FAILS(SPX_EINTERRUPTED, spx_interrupt_check(&near));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(signals_only_set_a_flag_and_the_check_names_them),
        SPX_UNIT(the_first_signal_is_the_one_reported),
        SPX_UNIT(a_hangup_that_was_ignored_stays_ignored),
        SPX_UNIT(a_second_sigint_kills),
        SPX_UNIT(a_deadline_passes_and_zero_never_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
