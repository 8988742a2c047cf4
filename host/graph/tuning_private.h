#ifndef SPX_TUNING_PRIVATE_H
#define SPX_TUNING_PRIVATE_H
/* Private to host/graph: plans of convolutions, one for all nodes and programs alike. */
#include "host/graph/tuning.h"
#include "kernels/nn/conv2d/conv2d.h"

/** Lives as long as a node uses it. */
typedef struct spx_shared_plan spx_shared_plan;

/**
 * A plan for `want`: one that a living program of the same stream has, else a new one by the kept
 * choice, else a measured one, whose choice is kept. Release it before the stream is destroyed; the
 * table may go before or after.
 * @return SPX_OK, SPX_ENOMEM, what spx_conv2d_plan_create returns
 */
SPX_MUST_CHECK spx_status spx_tuning_share_plan(spx_tuning *t, spx_stream *s,
                                                const spx_conv2d_want *want, spx_shared_plan **out);
const spx_conv2d_plan *spx_shared_plan_get(const spx_shared_plan *p);
void spx_shared_plan_release(spx_shared_plan *p); /* NULL is a no-op */
/** Waits for the stream, then releases plan[0..n-1]. @return what waiting does */
SPX_MUST_CHECK spx_status spx_shared_plans_release(spx_stream *s, spx_shared_plan *const *plan,
                                                   int n);

#endif
