#define _POSIX_C_SOURCE 200809L
#include "kernels/base/clock.h"

#include <time.h>

double spx_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
