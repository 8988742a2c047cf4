/* The thread that says "still here" while its channel's owner computes. */
#define _POSIX_C_SOURCE 200809L
#include "host/secure/channel/channel_private.h"
#include "kernels/base/clock.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#define MAX_PAUSE 0.25 /* seconds between signs of life: well under any sensible timeout */
#define STACK_BYTES ((size_t)1 << 18)

void spx_channel_hold(spx_channel *c)
{
    (void)pthread_mutex_lock(&c->lock);
}

spx_status spx_channel_release(spx_channel *c, spx_status st)
{
    c->left_at = spx_seconds();
    (void)pthread_mutex_unlock(&c->lock);
    return st;
}

static void *run_pulse(void *arg)
{
    spx_channel *c = arg;
    (void)pthread_mutex_lock(&c->lock);
    const double pause = fmin(MAX_PAUSE, c->timeout / 4);
    const long step = (long)(pause / 2 * 1e9);
    while (!c->ending) {
        struct timespec t;
        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += step;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&c->change, &c->lock, &t);
        /* The owner, where it receives, holds the lock: it is silent because it waits itself. */
        if (c->alive && spx_seconds() - c->left_at >= 0.75 * pause) {
            spx_channel_beat(c);
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

void spx_channel_alive(spx_channel *c, bool on)
{
    spx_channel_hold(c);
    c->alive = on && c->out != NULL;
    if (c->alive && !c->pulsing) {
        pthread_attr_t a;
        if (pthread_attr_init(&a) == 0) {
            (void)pthread_attr_setstacksize(&a, STACK_BYTES);
            c->pulsing = pthread_create(&c->pulse, &a, run_pulse, c) == 0;
            (void)pthread_attr_destroy(&a);
        }
    }
    (void)spx_channel_release(c, SPX_OK);
}

void spx_channel_say(spx_channel *c, const char *line)
{
    spx_channel_hold(c);
    (void)snprintf(c->say, sizeof c->say, "%s", line);
    (void)pthread_mutex_unlock(&c->lock); /* left_at stays: saying is not sending */
}

void spx_channel_pulse_end(spx_channel *c)
{
    if (c->pulsing) {
        (void)pthread_mutex_lock(&c->lock);
        c->ending = true;
        (void)pthread_cond_signal(&c->change);
        (void)pthread_mutex_unlock(&c->lock);
        (void)pthread_join(c->pulse, NULL);
        c->pulsing = false;
    }
}
