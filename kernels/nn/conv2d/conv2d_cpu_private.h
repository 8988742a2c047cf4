#ifndef SPX_NN_CONV2D_CPU_PRIVATE_H
#define SPX_NN_CONV2D_CPU_PRIVATE_H
/* Private to this folder: choosing an algorithm on the CPU. */
#include "kernels/nn/conv2d/conv2d_private.h"

/** The fastest of list[0 .. n - 1], n >= 1, all of which run the want, on random operands. */
SPX_MUST_CHECK spx_status spx_conv2d_measure_cpu(spx_stream *s, const spx_conv2d_want *want,
                                                 const spx_conv2d_algorithm *const *list, int n,
                                                 const spx_conv2d_algorithm **best);

#endif
