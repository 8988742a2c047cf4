#ifndef SPX_SCHEDULE_H
#define SPX_SCHEDULE_H
/* What changes over a training: learning rate and drop-path probability. Pure functions. */
#include "kernels/base/status.h"

#include <stdint.h>

typedef enum spx_schedule_kind {
    SPX_SCHEDULE_COSINE,       /* lr_min + (lr - lr_min)/2 * (1 + cos(pi e / epochs)) */
    SPX_SCHEDULE_STEP,         /* lr * factor^(number of milestones <= e) */
    SPX_SCHEDULE_COSINE_STEPS, /* cosine with the fraction of e too: falls at each step */
    SPX_SCHEDULE_ONE_CYCLE     /* after the warm-up straight from lr to lr_min, at each step */
} spx_schedule_kind;

#define SPX_SCHEDULE_MILESTONES 8

typedef struct spx_schedule {
    spx_schedule_kind kind;
    double lr;     /* rate of epoch 0, after the warm-up the largest; > 0 */
    double lr_min; /* all but step: the rate it tends to, 0..lr */
    int64_t epochs;
    double warmup;    /* epochs, 0 <= warmup < epochs, over which the kind's rate is scaled by what
                      rises linearly, at each step, from a step's part to 1 */
    double factor;    /* step: 0..1 */
    int n_milestones; /* step */
    int64_t milestone[SPX_SCHEDULE_MILESTONES]; /* step: epochs, ascending */
} spx_schedule;

/** @return SPX_OK; SPX_EINVAL naming the number out of range */
SPX_MUST_CHECK spx_status spx_schedule_check(const spx_schedule *s);

/** Learning rate when `done` of `steps` steps of epoch e are done, 0 <= e < epochs and
 * 0 <= done < steps. Without a warm-up, COSINE and STEP hold a rate for a whole epoch, as
 * published. */
float spx_schedule_lr(const spx_schedule *s, int64_t e, int64_t done, int64_t steps);

/** Linear ramp of drop-path: p * e / epochs. */
float spx_drop_path_ramp(double p, int64_t e, int64_t epochs);

#endif
