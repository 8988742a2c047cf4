#ifndef SPX_NN_CONV2D_PLAN_CUDA_PRIVATE_H
#define SPX_NN_CONV2D_PLAN_CUDA_PRIVATE_H
/* Private: a plan from the inside. */
#include "kernels/nn/conv2d/conv2d_private.h"
#include "kernels/nn/conv2d/cuda/conv2d_cuda_private.h"

#include <assert.h>

#define SPX_CONV2D_DIRECT "direct" /* the own kernels' choice */
#define SPX_CONV2D_EACH 10         /* candidates of a layout */
static_assert(SPX_CONV2D_CHOICES >= 2 * SPX_CONV2D_EACH + 1, "two layouts and the own kernels");
static_assert(SPX_CONV2D_CHOICE >= SPX_CONV2D_TEXT + 48, "a time, a version and a layout before");

typedef struct spx_conv2d_cuda_plan {
    spx_conv2d_plan base;
    spx_conv2d_engine *engine; /* NULL: the own kernels, in place */
    spx_conv2d_problem problem;
    bool copy_x, copy_y, copy_w;         /* which operands are copied */
    size_t x_at, y_at, w_at, scratch_at; /* in the workspace */
} spx_conv2d_cuda_plan;

/** Starts a plan for a checked want; it cannot run yet, and has no backend. */
void spx_conv2d_plan_init(spx_conv2d_cuda_plan *p, const spx_stream *s,
                          const spx_conv2d_want *want);
/** Lets go of what p runs. */
void spx_conv2d_plan_forget(spx_conv2d_cuda_plan *p);
/** All that is worth measuring, likely ones first, the own kernels last. */
SPX_MUST_CHECK spx_status spx_conv2d_plan_list(spx_conv2d_cuda_plan *p, const spx_conv2d_library *l,
                                               spx_conv2d_choices *out);
/** Makes p what a choice's text says, with or without the time it took; any other text fails. l may
 * be NULL. */
SPX_MUST_CHECK spx_status spx_conv2d_plan_take(spx_conv2d_cuda_plan *p, const spx_conv2d_library *l,
                                               const char *choice);
/** Makes p the first of its list that can be made; none is run. l may be NULL. */
SPX_MUST_CHECK spx_status spx_conv2d_plan_first(spx_conv2d_cuda_plan *p,
                                                const spx_conv2d_library *l);
/** Makes p the fastest of its list (conv2d_measure_cuda.c). */
SPX_MUST_CHECK spx_status spx_conv2d_plan_measure(spx_conv2d_cuda_plan *p, spx_stream *s,
                                                  const spx_conv2d_library *l);

/** Queues the plan on checked operands (conv2d_run_cuda.c). */
SPX_MUST_CHECK spx_status spx_conv2d_plan_run(const spx_conv2d_cuda_plan *p, spx_stream *s,
                                              const spx_conv2d_call *call);

#endif
