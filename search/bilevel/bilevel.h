#ifndef SPX_BILEVEL_H
#define SPX_BILEVEL_H
/*
 * One step of the search: alphas on the validation half, then weights on the training half (DARTS,
 * Liu et al., arXiv 1806.09055, as in Sphynx, arXiv 2106.11755).
 *
 * Second order: w' = w - xi*(momentum*buf + dw L_train(w) + decay*w); g = d_alpha L_val(w');
 * v = d_w' L_val(w'); eps = 0.01/||v||; hessian = (d_alpha L_train(w + eps v) - d_alpha L_train(w -
 * eps v)) / (2 eps); the alphas' gradient is g - xi*hessian. First order: it is d_alpha L_val(w).
 *
 * Running statistics are updated by every training-mode pass over the training batch (up to four),
 * not by the passes over the validation batch.
 *
 * Arenas of the weights' size held: weights, momentum, gradient; second order one more, which is
 * w', then w+, then w-.
 */
#include "kernels/device/scalars.h"
#include "search/supernet/supernet.h"

typedef struct spx_bilevel_options {
    bool second_order;
    bool published_hessian; /* (p - n) / 2 * eps, as the published code has it */
    float momentum, decay;  /* of the weights: 0.9, 3e-4 */
    double clip;            /* of the weights' gradient: 5 */
    float alpha_lr, alpha_beta1, alpha_beta2, alpha_decay; /* 3e-4, 0.5, 0.999, 1e-3 */
} spx_bilevel_options;

/** The published values; second order. */
extern const spx_bilevel_options spx_bilevel_defaults;

/** Quantities shown to a trace, in the order in which they arise; arenas have the layout's gaps. */
typedef enum spx_bilevel_quantity {
    SPX_BILEVEL_VIRTUAL_WEIGHT, /* w'; weights arena */
    SPX_BILEVEL_VAL_LOGITS,     /* (batch, classes), at w' (first order: at w) */
    SPX_BILEVEL_DW_VAL,         /* v; weights arena */
    SPX_BILEVEL_DALPHA_VAL,     /* g; alphas arena */
    SPX_BILEVEL_HESSIAN,        /* alphas arena */
    SPX_BILEVEL_ALPHA_GRAD,     /* g - xi*hessian; alphas arena */
    SPX_BILEVEL_TRAIN_LOGITS,   /* (batch, classes), of the weight step */
    SPX_BILEVEL_WEIGHT_GRAD     /* before clipping; weights arena */
} spx_bilevel_quantity;

typedef void (*spx_bilevel_trace)(void *ctx, spx_bilevel_quantity q, const float *data, size_t n);

typedef struct spx_bilevel {
    spx_bilevel_options options;
    spx_supernet *net; /* borrowed; with the passes the order needs */
    /* Owned arenas of net->layout's sizes; the state to save and restore. */
    float *weights, *momentum, *state;
    float *alphas, *adam_m, *adam_v;
    uint64_t alpha_steps; /* Adam's step count */
    /* Scratch: undefined between steps. */
    float *weight_grad, *shifted;              /* shifted: second order only */
    float *alpha_grad;                         /* alphas' size */
    float *alpha_plus, *alpha_minus, *hessian; /* alphas' size; second order only */
    spx_scalars scalars;
    spx_guard guard;
    float eps;
    void *norm_workspace;
    spx_bilevel_trace trace; /* or NULL */
    void *trace_ctx;
} spx_bilevel;

typedef struct spx_bilevel_report {
    float train_loss, val_loss; /* of the weight step; of the alpha step, at w' or w */
    double weight_norm;         /* of the weights' gradient, before clipping */
    double alpha_norm;          /* of the alphas' gradient */
    double dw_norm;             /* ||v||; second order */
    float eps;                  /* 0.01/||v||; second order */
    const float *logits; /* (batch, classes) of the weight step, until the workspace's next use */
} spx_bilevel_report;

/**
 * Allocates arenas: weights, alphas and states as the layout draws them from seed, all else zero.
 * @return SPX_OK, SPX_EINVAL (an option out of range, net lacks a pass), SPX_ENOMEM; then b is
 * cleared
 */
SPX_MUST_CHECK spx_status spx_bilevel_init(spx_bilevel *b, spx_supernet *net,
                                           const spx_bilevel_options *o, uint64_t seed);
void spx_bilevel_clear(spx_bilevel *b); /* zeroed or initialised */

/**
 * One step: alphas, then weights with the new alphas.
 * @param xi  learning rate of the look-ahead, second order; published: equal to lr
 * @param lr  learning rate of the weights
 * @return SPX_OK; SPX_ENUMERIC where a loss or a gradient is not finite (alphas may be updated,
 * weights are not); what a program returns
 */
SPX_MUST_CHECK spx_status spx_bilevel_step(spx_bilevel *b, const spx_samples *train,
                                           const spx_samples *val, float xi, float lr,
                                           spx_bilevel_report *report);

/* The parts of a step, for checks and other ways of searching. */

/** alpha_grad = d_alpha L_val(w) at the present weights; states are left alone. */
SPX_MUST_CHECK spx_status spx_bilevel_first_order(spx_bilevel *b, const spx_samples *val,
                                                  spx_bilevel_report *report);
/** alpha_grad = the second-order gradient; weight_grad and shifted are overwritten. */
SPX_MUST_CHECK spx_status spx_bilevel_second_order(spx_bilevel *b, const spx_samples *train,
                                                   const spx_samples *val, float xi,
                                                   spx_bilevel_report *report);
/**
 * hessian [alphas' size] by central differences of L_train along `direction` (weights arena; may be
 * b->weight_grad) with step eps; zeros where that is 0. Updates the states twice.
 * @param hessian may not be alpha_plus or alpha_minus
 */
SPX_MUST_CHECK spx_status spx_bilevel_hessian(spx_bilevel *b, const spx_samples *train,
                                              const float *direction, float eps, float *hessian);
/** Adam on the alphas by alpha_grad. */
SPX_MUST_CHECK spx_status spx_bilevel_update_alphas(spx_bilevel *b, spx_bilevel_report *report);
/** Gradient on the training batch, clipping, SGD. */
SPX_MUST_CHECK spx_status spx_bilevel_update_weights(spx_bilevel *b, const spx_samples *train,
                                                     float lr, spx_bilevel_report *report);

#endif
