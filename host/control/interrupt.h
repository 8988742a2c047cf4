#ifndef SPX_CONTROL_INTERRUPT_H
#define SPX_CONTROL_INTERRUPT_H
/* When a long command should stop at the next safe point: a signal came, or its time is up. */
#include "kernels/base/status.h"

#include <stdatomic.h>

/**
 * From now on SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU only set a flag: people,
 * terminals and schedulers ask with these that a program end in order. SIGHUP stays ignored where
 * it was (nohup). A second SIGINT kills: the way out of a command that does not come to a safe
 * point.
 * @return SPX_OK, SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_interrupt_install(void);

/** The first signal that came, 0 if none; the flag itself, for those who wait on it. */
int spx_interrupt_signal(void);
const atomic_int *spx_interrupt_flag(void);

/** Forgets the signal; for tests. */
void spx_interrupt_clear(void);

/** A moment of the monotonic clock, or never. */
typedef struct spx_deadline {
    double at; /* seconds; 0 is never */
} spx_deadline;

/** That many seconds from now; 0 is never. @param seconds >= 0 */
spx_deadline spx_deadline_in(double seconds);

/**
 * To be asked at every safe point: save and pass the status on, main turns it into exit code 75.
 * @param deadline  NULL for none
 * @return SPX_OK, SPX_EINTERRUPTED with a message saying why
 */
SPX_MUST_CHECK spx_status spx_interrupt_check(const spx_deadline *deadline);

#endif
