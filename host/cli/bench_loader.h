#ifndef SPX_BENCH_LOADER_H
#define SPX_BENCH_LOADER_H
#include "host/cli/cli.h"

/** sphynx bench loader */
extern const spx_command spx_bench_loader;

#endif
