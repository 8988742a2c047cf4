#define _POSIX_C_SOURCE 200809L
#include "host/control/interrupt.h"

#include "kernels/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const struct {
    int signal;
    const char *name;
    int flags;
} watched[] = {
    {SIGINT, "SIGINT", (int)SA_RESETHAND}, /* the second one finds the default action: it kills */
    {SIGTERM, "SIGTERM", 0},               /* kill, and a scheduler whose patience ends */
    {SIGHUP, "SIGHUP", 0},                 /* the terminal is gone; nohup has it ignored */
    {SIGUSR1, "SIGUSR1", 0},               /* schedulers, ahead of a job's end */
    {SIGUSR2, "SIGUSR2", 0},
    {SIGXCPU, "SIGXCPU", 0}, /* the soft limit of processor time */
};

/* Signals belong to the process, so this is the one piece of global state a handler can reach. Any
 * thread may be the one that is interrupted: a lock-free atomic, which handlers may use. */
static atomic_int received;

static void on_signal(int number)
{
    int none = 0;
    (void)atomic_compare_exchange_strong(&received, &none, number);
}

/* Whoever began the program with SIGHUP ignored wants it to outlive the terminal. */
static bool stays_ignored(int number)
{
    struct sigaction now;
    return number == SIGHUP && sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

spx_status spx_interrupt_install(void)
{
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++) {
        struct sigaction action;
        if (stays_ignored(watched[i].signal)) {
            continue;
        }
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART | watched[i].flags;
        if (sigaction(watched[i].signal, &action, NULL) != 0) {
            return SPX_FAIL(SPX_EIO, "%s: %s", watched[i].name, strerror(errno));
        }
    }
    return SPX_OK;
}

const atomic_int *spx_interrupt_flag(void)
{
    return &received;
}

int spx_interrupt_signal(void)
{
    return atomic_load(&received);
}

void spx_interrupt_clear(void)
{
    atomic_store(&received, 0);
}

spx_deadline spx_deadline_in(double seconds)
{
    return (spx_deadline){.at = seconds > 0 ? spx_seconds() + seconds : 0};
}

spx_status spx_interrupt_check(const spx_deadline *deadline)
{
    const int number = spx_interrupt_signal();
    for (size_t i = 0; number != 0 && i < sizeof watched / sizeof watched[0]; i++) {
        if (watched[i].signal == number) {
            return SPX_FAIL(SPX_EINTERRUPTED, "stopped by %s", watched[i].name);
        }
    }
    if (deadline != NULL && deadline->at > 0 && spx_seconds() >= deadline->at) {
        return SPX_FAIL(SPX_EINTERRUPTED, "the time limit is reached");
    }
    return SPX_OK;
}
