#include "host/comm/comm.h"

spx_status spx_comm_sum_f32(spx_comm *c, float *x, size_t n)
{
    if (x == NULL && n > 0) {
        return SPX_FAIL(SPX_EINVAL, "comm: no buffer for %zu numbers", n);
    }
    return n == 0 ? SPX_OK : c->ops->sum_f32(c, x, n);
}

spx_status spx_comm_sum_f64(spx_comm *c, double *x, size_t n)
{
    if (x == NULL && n > 0) {
        return SPX_FAIL(SPX_EINVAL, "comm: no buffer for %zu numbers", n);
    }
    return n == 0 ? SPX_OK : c->ops->sum_f64(c, x, n);
}

spx_status spx_comm_broadcast(spx_comm *c, void *bytes, size_t n, int root)
{
    if (root < 0 || root >= c->size || (bytes == NULL && n > 0)) {
        return SPX_FAIL(SPX_EINVAL, "comm: broadcast of %zu bytes from rank %d of %d", n, root,
                        c->size);
    }
    return n == 0 ? SPX_OK : c->ops->broadcast(c, bytes, n, root);
}

spx_status spx_comm_barrier(spx_comm *c)
{
    return c->ops->barrier(c);
}

void spx_comm_destroy(spx_comm *c)
{
    if (c != NULL) {
        c->ops->destroy(c);
    }
}
