#ifndef SPX_BENCH_PI_H
#define SPX_BENCH_PI_H
#include "host/cli/cli.h"

/** sphynx bench pi */
extern const spx_command spx_bench_pi;

#endif
