#ifndef SPX_OPTIM_PRIVATE_H
#define SPX_OPTIM_PRIVATE_H
/* What the parts of optim share; the arguments are checked already. */
#include "kernels/base/pool.h"
#include "kernels/base/variant.h"
#include "kernels/optim/optim.h"

typedef enum spx_optim_op {
    SPX_OPTIM_SGD,
    SPX_OPTIM_LOOKAHEAD,
    SPX_OPTIM_ADAM,
    SPX_OPTIM_MASKS,
    SPX_OPTIM_AXPY,
    SPX_OPTIM_DIFFERENCE,
    SPX_OPTIM_EMA,
    SPX_OPTIM_COUNT
} spx_optim_op;

/* Each update reads the members its formula in optim.h names. Pointers are device memory. */
typedef struct spx_optim_args {
    const float *rate;      /* lr, xi, a of axpy, eps, the decay of ema, the masks' penalty */
    const uint64_t *t;      /* of Adam, the masks', too */
    const spx_guard *guard; /* of updates: SGD, Adam, ema */
    float lr, b1, b2;       /* of Adam */
    float momentum, decay, scale;
    bool published, nesterov;
    const uint8_t *group; /* of SGD, or NULL */
    const float *g, *x, *y;
    float *m, *v, *w; /* read and written */
    float *out;       /* written only */
    double *partial;  /* of the CPU's norm: one a worker */
} spx_optim_args;

/* What a device gives. */
typedef struct spx_optim_backend {
    spx_status (*update)(spx_stream *s, spx_optim_op op, size_t n, spx_optim_args *a); /* n > 0 */
    size_t (*norm2_workspace)(const spx_stream *s, size_t n);
    spx_status (*norm2)(spx_stream *s, size_t n, const float *g, double *norm, void *workspace);
    spx_status (*guard)(spx_stream *s, const double *norm, const float *loss, double max_norm,
                        spx_guard *guard);
    spx_status (*difference_step)(spx_stream *s, const double *norm, float *eps);
} spx_optim_backend;
extern const spx_optim_backend spx_optim_cuda; /* where SPX_HAVE_CUDA */

/* The CPU's: work on elements [begin, end); ctx is a spx_optim_args. */
typedef struct spx_optim_kernels {
    spx_pool_fn norm2;
    spx_pool_fn update[SPX_OPTIM_COUNT];
} spx_optim_kernels;
SPX_DECLARE_VARIANTS(spx_optim_kernels, spx_optim_kernels);

#endif
