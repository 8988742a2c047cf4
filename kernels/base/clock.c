#define _POSIX_C_SOURCE 200809L
#include "kernels/base/clock.h"

#include <time.h>

static double read_clock(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double spx_seconds(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double spx_thread_seconds(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}
