#ifndef SPX_COMM_H
#define SPX_COMM_H
/*
 * A group of processes that train one network together. One table of functions a transport; every
 * rank calls the same operations in the same order. Results are the same bits on every rank.
 */
#include "kernels/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct spx_comm spx_comm;

/** What a transport provides. Buffers are host memory; every call returns when its work is done. */
typedef struct spx_comm_ops {
    const char *name; /* "self" */
    /** x[i] = sum over ranks of x[i], added in rank order. */
    spx_status (*sum_f32)(spx_comm *c, float *x, size_t n);
    spx_status (*sum_f64)(spx_comm *c, double *x, size_t n);
    /** Rank root's bytes, on every rank. */
    spx_status (*broadcast)(spx_comm *c, void *bytes, size_t n, int root);
    /** Returns when every rank has called it. */
    spx_status (*barrier)(spx_comm *c);
    void (*destroy)(spx_comm *c);
} spx_comm_ops;

/** What every transport's state begins with. */
struct spx_comm {
    const spx_comm_ops *ops;
    int rank, size; /* 0 <= rank < size */
};

/** The group of this process alone. @return SPX_OK, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_comm_self(spx_comm **out);

/* Each checks its arguments (SPX_EINVAL) and calls the transport. NULL x is allowed where
 * n is 0. */
SPX_MUST_CHECK spx_status spx_comm_sum_f32(spx_comm *c, float *x, size_t n);
SPX_MUST_CHECK spx_status spx_comm_sum_f64(spx_comm *c, double *x, size_t n);
SPX_MUST_CHECK spx_status spx_comm_broadcast(spx_comm *c, void *bytes, size_t n, int root);
SPX_MUST_CHECK spx_status spx_comm_barrier(spx_comm *c);
void spx_comm_destroy(spx_comm *c); /* NULL is a no-op */

#endif
