#ifndef SPX_CONTROL_INTERRUPT_H
#define SPX_CONTROL_INTERRUPT_H
/* When a long command should stop at the next safe point: a signal came, or its time is up. */
#include "kernels/base/status.h"

/**
 * From now on SIGINT, SIGTERM and SIGUSR2 only set a flag (Slurm sends the last two before a job's
 * end). A second SIGINT kills: the way out of a command that does not come to a safe point.
 * @return SPX_OK, SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_interrupt_install(void);

/** The first signal that came, 0 if none. */
int spx_interrupt_signal(void);

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
