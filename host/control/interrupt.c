#define _POSIX_C_SOURCE 200809L
#include "host/control/interrupt.h"

#include "kernels/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static const struct {
    int signal;
    const char *name;
    int flags;
} watched[] = {
    {SIGINT, "SIGINT", (int)SA_RESETHAND}, /* the second one finds the default action: it kills */
    {SIGTERM, "SIGTERM", 0},
    {SIGUSR2, "SIGUSR2", 0},
};

/* Signals belong to the process, so this is the one piece of global state a handler can reach. Any
 * thread may be the one that is interrupted: a lock-free atomic, which handlers may use. */
static atomic_int received;

static void on_signal(int number)
{
    int none = 0;
    (void)atomic_compare_exchange_strong(&received, &none, number);
}

spx_status spx_interrupt_install(void)
{
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART | watched[i].flags;
        if (sigaction(watched[i].signal, &action, NULL) != 0) {
            return SPX_FAIL(SPX_EIO, "%s: %s", watched[i].name, strerror(errno));
        }
    }
    return SPX_OK;
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
