#ifndef SPX_BENCH_CONV2D_CUDA_H
#define SPX_BENCH_CONV2D_CUDA_H
#include <stdbool.h>

typedef struct bench_cuda_options {
    bool json;
    int images;    /* 0: the table's */
    double budget; /* seconds a case and pass */
    const char *only;
} bench_cuda_options;

/** bench_conv2d's table on device 0 of cuda: own kernels, and what is chosen in each precision. */
int bench_conv2d_cuda(const bench_cuda_options *o);

#endif
