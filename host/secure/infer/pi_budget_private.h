#ifndef SPX_PI_BUDGET_PRIVATE_H
#define SPX_PI_BUDGET_PRIVATE_H
/* Memory that all clients of a server share. */
#include "kernels/base/status.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct spx_pi_budget {
    size_t all, left; /* bytes; all 0: no limit */
    void *first;      /* who waits, in order */
    pthread_mutex_t lock;
    pthread_cond_t changed;
} spx_pi_budget;

SPX_MUST_CHECK spx_status spx_pi_budget_init(spx_pi_budget *b, size_t bytes);
void spx_pi_budget_clear(spx_pi_budget *b);
/**
 * Takes between least and most bytes: less the less there is left, so that one does not leave the
 * others without. Waits in line for so many seconds.
 * @param least  at most b->all
 * @param got    to be given back
 * @return SPX_OK, SPX_EINVAL (others hold on to theirs)
 */
SPX_MUST_CHECK spx_status spx_pi_budget_take(spx_pi_budget *b, size_t least, size_t most,
                                             double seconds, size_t *got);
void spx_pi_budget_give(spx_pi_budget *b, size_t bytes);

#endif
