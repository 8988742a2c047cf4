#ifndef SPX_NN_CONV2D_PLAN_CUDA_PRIVATE_H
#define SPX_NN_CONV2D_PLAN_CUDA_PRIVATE_H
/* Private: a plan from the inside. */
#include "kernels/nn/conv2d/cuda/conv2d_cuda_private.h"

#define SPX_CONV2D_EACH 10                       /* candidates of a layout */
#define SPX_CONV2D_CHOICE (SPX_CONV2D_TEXT + 48) /* bytes of a choice's text */

struct spx_conv2d_plan {
    spx_conv2d_cuda_want want;
    spx_type type; /* of activations and weights */
    double seconds;
    char choice[SPX_CONV2D_CHOICE];
    size_t bytes; /* of workspace */

    spx_conv2d_engine *engine; /* NULL: the own kernels, in place */
    spx_conv2d_problem problem;
    bool copy_x, copy_y, copy_w;         /* which operands are copied */
    size_t x_at, y_at, w_at, scratch_at; /* in the workspace */
};

typedef struct spx_conv2d_choices {
    int count;
    char text[2 * SPX_CONV2D_EACH + 1][SPX_CONV2D_CHOICE];
} spx_conv2d_choices;

/** Checks want and starts a plan that cannot run yet. */
SPX_MUST_CHECK spx_status spx_conv2d_plan_init(spx_conv2d_plan *p, const spx_stream *s,
                                               const spx_conv2d_cuda_want *want);
/** All that is worth measuring, likely ones first, the own kernels last. */
SPX_MUST_CHECK spx_status spx_conv2d_plan_list(spx_conv2d_plan *p, const spx_conv2d_library *l,
                                               spx_conv2d_choices *out);
/** Makes p what a choice's text says, with or without the time it took; any other text fails. l may
 * be NULL. */
SPX_MUST_CHECK spx_status spx_conv2d_plan_take(spx_conv2d_plan *p, const spx_conv2d_library *l,
                                               const char *choice);
/** Makes p the first of its list that can be made; none is run. l may be NULL. */
SPX_MUST_CHECK spx_status spx_conv2d_plan_first(spx_conv2d_plan *p, const spx_conv2d_library *l);
/** Makes p the fastest of its list (conv2d_measure_cuda.c). */
SPX_MUST_CHECK spx_status spx_conv2d_plan_measure(spx_conv2d_plan *p, spx_stream *s,
                                                  const spx_conv2d_library *l);

/** The operands of one run; a pass uses its own. */
typedef struct spx_conv2d_operands {
    spx_operand x, y;  /* in their places: backward dx, dy */
    const void *w;     /* forward, backward-data */
    float *dw, *dbias; /* backward-weights */
    const float *bias; /* forward */
} spx_conv2d_operands;

/** Queues the plan on checked operands (conv2d_run_cuda.c). */
SPX_MUST_CHECK spx_status spx_conv2d_plan_run(const spx_conv2d_plan *p, spx_stream *s,
                                              const spx_conv2d_operands *o, void *workspace);

#endif
