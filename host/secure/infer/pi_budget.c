/* Memory that all clients of a server share: whoever is first in the line is served first. */
#define _POSIX_C_SOURCE 200809L
#include "host/secure/infer/pi_budget_private.h"

#include <time.h>

typedef struct waiting {
    struct waiting *next;
} waiting;

spx_status spx_pi_budget_init(spx_pi_budget *b, size_t bytes)
{
    pthread_condattr_t attr;
    *b = (spx_pi_budget){.all = bytes, .left = bytes};
    if (pthread_condattr_init(&attr) != 0) {
        return SPX_FAIL(SPX_ENOMEM, "a lock");
    }
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    const bool ok =
        pthread_mutex_init(&b->lock, NULL) == 0 && pthread_cond_init(&b->changed, &attr) == 0;
    (void)pthread_condattr_destroy(&attr);
    return ok ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "a lock");
}

void spx_pi_budget_clear(spx_pi_budget *b)
{
    (void)pthread_cond_destroy(&b->changed);
    (void)pthread_mutex_destroy(&b->lock);
}

static bool wait_in_line(spx_pi_budget *b, size_t least, double seconds)
{
    waiting me = {0};
    waiting **at = (waiting **)&b->first;
    struct timespec until;
    bool in_time = true;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = &me;
    while (in_time && (b->first != &me || b->left < least)) {
        in_time = pthread_cond_timedwait(&b->changed, &b->lock, &until) == 0;
    }
    in_time = b->first == &me && b->left >= least;
    for (at = (waiting **)&b->first; *at != &me; at = &(*at)->next) {
    }
    *at = me.next;
    (void)pthread_cond_broadcast(&b->changed);
    return in_time;
}

spx_status spx_pi_budget_take(spx_pi_budget *b, size_t least, size_t most, double seconds,
                              size_t *got)
{
    spx_status st = SPX_OK;
    *got = 0;
    if (b->all == 0) { /* no limit */
        *got = most;
        return SPX_OK;
    }
    (void)pthread_mutex_lock(&b->lock);
    if (!wait_in_line(b, least, seconds)) {
        st = SPX_FAIL(SPX_EINVAL, "the server's memory is taken by other clients; try again later");
    } else {
        const size_t share = b->left / 4;
        *got = most < share ? most : share;
        *got = *got < least ? least : *got;
        b->left -= *got;
    }
    (void)pthread_mutex_unlock(&b->lock);
    return st;
}

void spx_pi_budget_give(spx_pi_budget *b, size_t bytes)
{
    if (b->all > 0 && bytes > 0) {
        (void)pthread_mutex_lock(&b->lock);
        b->left += bytes;
        (void)pthread_cond_broadcast(&b->changed);
        (void)pthread_mutex_unlock(&b->lock);
    }
}
