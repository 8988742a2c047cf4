#ifndef SPX_TESTS_KERNELS_CUDA_H
#define SPX_TESTS_KERNELS_CUDA_H
/* Small kernels that test_stream_cuda.c launches; device pointers. */
#include "kernels/device/stream.h"

#include <stdint.h>

/* x[i] = a * x[i] + b */
SPX_MUST_CHECK spx_status test_affine(spx_stream *s, int64_t n, float a, float b, float *x);
/* y[0] = sum of x, one block: a tree in shared memory, then shuffles */
SPX_MUST_CHECK spx_status test_sum(spx_stream *s, int n, const float *x, float *y);
/* y[i] = bf16(x[i]), as f32 */
SPX_MUST_CHECK spx_status test_round_bf16(spx_stream *s, int n, const float *x, float *y);
/* count[0] += number of x[i] > 0, one atomic a warp; last[0] counts the block that ended last */
SPX_MUST_CHECK spx_status test_count(spx_stream *s, int n, const float *x, int *count, int *last);
/* A launch that no device takes: 2048 threads a block. */
SPX_MUST_CHECK spx_status test_too_many_threads(spx_stream *s, float *x);
/* Under emulation only. One thread waits at its warp's barrier, the others at the block's. */
SPX_MUST_CHECK spx_status test_missed_barrier(spx_stream *s, float *x);
/* x[0] = what another thread stored in shared memory, without the barrier that this needs: 1 */
SPX_MUST_CHECK spx_status test_racy_shift(spx_stream *s, float *x);

#endif
