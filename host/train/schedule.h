#ifndef SPX_SCHEDULE_H
#define SPX_SCHEDULE_H
/* What changes from epoch to epoch: learning rate and drop-path probability. Pure functions. */
#include "kernels/base/status.h"

#include <stdint.h>

typedef enum spx_schedule_kind {
    SPX_SCHEDULE_COSINE, /* lr_min + (lr - lr_min)/2 * (1 + cos(pi e / epochs)) */
    SPX_SCHEDULE_STEP    /* lr * factor^(number of milestones <= e) */
} spx_schedule_kind;

#define SPX_SCHEDULE_MILESTONES 8

typedef struct spx_schedule {
    spx_schedule_kind kind;
    double lr;     /* rate of epoch 0, > 0 */
    double lr_min; /* cosine: the rate it tends to, 0..lr */
    int64_t epochs;
    double factor;                              /* step: 0..1 */
    int n_milestones;                           /* step */
    int64_t milestone[SPX_SCHEDULE_MILESTONES]; /* step: epochs, ascending */
} spx_schedule;

/** @return SPX_OK; SPX_EINVAL naming the number out of range */
SPX_MUST_CHECK spx_status spx_schedule_check(const spx_schedule *s);

/** Learning rate of epoch e, 0 <= e < epochs; it holds for the whole epoch. */
float spx_schedule_lr(const spx_schedule *s, int64_t e);

/** Linear ramp of drop-path: p * e / epochs. */
float spx_drop_path_ramp(double p, int64_t e, int64_t epochs);

#endif
