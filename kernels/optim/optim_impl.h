#ifndef SPX_OPTIM_IMPL_H
#define SPX_OPTIM_IMPL_H
/* What the parts of optim share; the arguments are checked already. */
#include "kernels/base/pool.h"
#include "kernels/base/variant.h"
#include "kernels/optim/optim.h"

/* Each update reads the members its formula in optim.h names. */
typedef struct spx_optim_args {
    float a; /* lr, xi, the factor of axpy, the decay of ema */
    float momentum, decay, clip;
    float b1, b2, bias1, bias2; /* of Adam: bias1 = 1/(1-b1^t), bias2 = 1/sqrt(1-b2^t) */
    const float *g, *x, *y;
    float *m, *v, *w;                     /* read and written */
    float *out;                           /* written only */
    double partial[SPX_POOL_MAX_THREADS]; /* one a worker */
} spx_optim_args;

/* Work on elements [begin, end); ctx is a spx_optim_args. */
typedef struct spx_optim_kernels {
    spx_pool_fn norm2, sgd, lookahead, adam, axpy, ema;
} spx_optim_kernels;
SPX_DECLARE_VARIANTS(spx_optim_kernels, spx_optim_kernels);

#endif
