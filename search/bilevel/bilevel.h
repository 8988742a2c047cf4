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
 * With costs (spx_bilevel_set_costs) the alphas' loss has the cost of the softmaxed alphas beside
 * L_val. Weights do not enter it, so in both orders its exact gradient is added to the above.
 *
 * Running statistics are updated by every training-mode pass over the training batch (up to four),
 * not by the passes over the validation batch.
 *
 * With a ReLU budget (spx_bilevel_set_budget) the penalty of kernels/optim/gates.h joins it, too,
 * and each step raises or lowers its multiplier by what ReLUs then cost.
 *
 * Steps are queued; what one says of itself is read some steps later (on the CPU: at once). From
 * the first loss or gradient that is not finite, weights, alphas and their averages stay as they
 * are, whatever is queued behind it.
 *
 * Arenas of the weights' size held: weights, momentum, gradient; second order one more, which is
 * w', then w+, then w-.
 */
#include "host/train/step_queue.h"
#include "search/supernet/relu_budget.h"

typedef struct spx_bilevel_options {
    bool second_order;
    bool published_hessian; /* (p - n) / 2 * eps, as the published code has it */
    float momentum, decay;  /* of the weights: 0.9, 3e-4 */
    double clip;            /* of the weights' gradient: 5 */
    float alpha_lr, alpha_beta1, alpha_beta2, alpha_decay; /* 3e-4, 0.5, 0.999, 1e-3 */
    double dual_rate; /* of a ReLU budget's multiplier, a step and budget above it: 0.01 */
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

/** data: floats in host memory, in the layout's order; borrowed for the call. */
typedef void (*spx_bilevel_trace)(void *ctx, spx_bilevel_quantity q, const spx_buffer *data);

typedef struct spx_bilevel {
    spx_bilevel_options options;
    spx_supernet *net; /* borrowed; with the passes the order needs */
    /* Owned arenas of net->layout's sizes, memory of the net's device; the state to save and
     * restore. */
    spx_buffer weights, momentum, state;
    spx_buffer alphas, adam_m, adam_v;
    uint64_t alpha_steps; /* Adam's step count: steps queued so far */
    /* Scratch: undefined between steps. */
    spx_buffer weight_grad, shifted;             /* shifted: second order only */
    spx_buffer alpha_grad;                       /* alphas' size */
    spx_buffer alpha_plus, alpha_minus, hessian; /* alphas' size; second order only */
    spx_buffer costs, softmax; /* alphas' size; where costs or a budget are set, else no memory */
    spx_buffer prices, push;   /* likewise: of a budget; with its push added to costs */
    spx_buffer sites, gates;   /* spx_gate_site [], a spx_gate_state; where a budget is set */
    double fixed;
    spx_step_queue queue;
    spx_samples train, val;  /* of the step being queued */
    spx_bilevel_trace trace; /* or NULL; set it before the first step */
    void *trace_ctx;
    spx_status traced; /* the first failure to show something */
} spx_bilevel;

typedef struct spx_bilevel_report {
    uint64_t step;
    float train_loss, val_loss; /* of the weight step; of the alpha step, at w' or w */
    double weight_norm;         /* of the weights' gradient, before clipping */
    double alpha_norm;          /* of the alphas' gradient */
    double dw_norm;             /* ||v||; second order, else 0 */
    float eps;                  /* 0.01/||v||, 0 where that is not finite; second order, else 0 */
    spx_metrics metrics;        /* of the weight steps since spx_step_queue_count_from */
} spx_bilevel_report;

/**
 * Allocates arenas: weights, alphas and states as the layout draws them from seed, all else zero.
 * @return SPX_OK, SPX_EINVAL (an option out of range, net lacks a pass), SPX_ENOMEM, SPX_EDEVICE;
 * then b is cleared
 */
SPX_MUST_CHECK spx_status spx_bilevel_init(spx_bilevel *b, spx_supernet *net,
                                           const spx_bilevel_options *o, uint64_t seed);
void spx_bilevel_clear(spx_bilevel *b); /* zeroed or initialised */

/**
 * From now on alphas are to be cheap, too: the sum over rows of softmax(row) * costs' row joins the
 * loss that they descend. Before a ReLU budget and the first step; not kept in checkpoints: set it
 * again.
 * @param costs  an arena like the alphas', host memory; gaps are ignored
 * @return SPX_OK, SPX_EINVAL (memory of another device; set already), SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_bilevel_set_costs(spx_bilevel *b, const spx_buffer *costs);

/**
 * From now on ReLUs have a price. Before the first step; not kept in checkpoints: set it again, and
 * the multiplier.
 * @return SPX_OK, SPX_EINVAL (set already), SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_bilevel_set_budget(spx_bilevel *b, const spx_relu_prices *p);
/** Sets the multiplier: what a checkpoint of such a search kept. @param lambda  finite, >= 0 */
SPX_MUST_CHECK spx_status spx_bilevel_set_lambda(spx_bilevel *b, double lambda);
/** Multiplier and expected cost after all steps queued so far; zeros where no budget is set. */
SPX_MUST_CHECK spx_status spx_bilevel_budget(const spx_bilevel *b, spx_gate_state *out);

/** What varies from step to step. */
typedef struct spx_bilevel_args {
    float xi;      /* learning rate of the look-ahead, second order; published: equal to lr */
    float lr;      /* of the weights */
    uint64_t step; /* steps done before this one; comes back with the report */
} spx_bilevel_args;

/**
 * Queues a step: alphas, then weights with the new alphas.
 * @param train, val  full batches in the memory of the net's device (host/train/source.h)
 * @return SPX_OK; what a program returns; SPX_EINVAL where too many reports are unread
 */
SPX_MUST_CHECK spx_status spx_bilevel_queue(spx_bilevel *b, const spx_samples *train,
                                            const spx_samples *val, const spx_bilevel_args *a);

/**
 * The report of the oldest step not reported yet, if it is due; to be asked after every step until
 * there is none.
 * @param wait  true: every step is due; false: those with some steps queued behind them
 * @param any   whether there was one
 * @return SPX_OK; SPX_ENUMERIC where a loss or a gradient was not finite: the alphas may be updated
 *         by that step, nothing else is but running statistics
 */
SPX_MUST_CHECK spx_status spx_bilevel_report_next(spx_bilevel *b, bool wait,
                                                  spx_bilevel_report *report, bool *any);

/** Queues a step and waits for its report. */
SPX_MUST_CHECK spx_status spx_bilevel_step(spx_bilevel *b, const spx_samples *train,
                                           const spx_samples *val, const spx_bilevel_args *a,
                                           spx_bilevel_report *report);

/** The alphas into an arena in host memory, after all steps queued so far.
 * @return SPX_OK, SPX_EINVAL (memory of another device), SPX_ENOMEM, SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_bilevel_alphas(const spx_bilevel *b, const spx_buffer *host);

/* The parts of a step, for checks and other ways of searching; spx_bilevel_look reads what they
 * say. */

/** alpha_grad = d_alpha L_val(w) at the present weights; states are left alone. */
SPX_MUST_CHECK spx_status spx_bilevel_first_order(spx_bilevel *b, const spx_samples *val);
/**
 * hessian (an arena of alphas) by central differences of L_train along `direction` (of weights; may
 * be b->weight_grad) with step eps; zeros where that is 0. Updates the states twice. Both are
 * memory of the net's device, SPX_EINVAL where not.
 * @param hessian may not be alpha_plus or alpha_minus
 */
SPX_MUST_CHECK spx_status spx_bilevel_hessian(spx_bilevel *b, const spx_samples *train,
                                              const spx_buffer *direction, float eps,
                                              const spx_buffer *hessian);
/** Adam on the alphas by alpha_grad, to which the gradients of costs and budget are added; then the
 * multiplier. */
SPX_MUST_CHECK spx_status spx_bilevel_update_alphas(spx_bilevel *b);
/** Gradient on the training batch, clipping, SGD. */
SPX_MUST_CHECK spx_status spx_bilevel_update_weights(spx_bilevel *b, const spx_samples *train,
                                                     float lr);
/** What the parts said so far, waiting for them. @return as spx_bilevel_report_next */
SPX_MUST_CHECK spx_status spx_bilevel_look(spx_bilevel *b, spx_bilevel_report *report);

#endif
