#ifndef SPX_LOCATION_H
#define SPX_LOCATION_H
/*
 * One step of the location search: which two cells reduce (Sphynx, arXiv 2106.11755). There is a
 * network for every pair of places i < j <= 2*layers/3; all share the stem. Their logits l[k] are
 * mixed with weights y by the Gumbel-softmax trick, hard and straight through (arXiv 1611.01144):
 *
 *   soft = softmax((beta + noise) / tau);  y = one-hot of its largest, with the gradient of soft
 *
 * So the mixture is the logits of the pair drawn, and beta's gradient is J^T d / tau, where d[k] is
 * the sum over images and classes of dL/dlogits * l[k], and J[k][m] = soft[k] * ((k == m) -
 * soft[m]). Only the pair drawn and some others that are drawn beside it are run; d is 0 for the
 * rest.
 *
 * A step: Adam on beta by a batch of the validation half (training mode; running statistics are
 * left alone), then SGD on the weights by one of the training half. The other networks weigh
 * nothing in the mixture: their gradients are 0. So the second half runs the pair drawn alone, and
 * only its weights and the stem's are updated, decay included.
 */
#include "host/train/source.h"
#include "host/train/step_queue.h"
#include "search/final/final.h"

/** Places of a network's reductions. */
typedef struct spx_location_pair {
    int at[2]; /* ascending */
} spx_location_pair;

/**
 * The pairs of a network of so many layers: (0,1), (0,2), (1,2), (0,3), ...
 * @param out  room for all, or NULL
 * @return how many
 */
int spx_location_pairs(int64_t layers, spx_location_pair *out);

typedef struct spx_location_options {
    float momentum, decay;                             /* of the weights: 0.9, 3e-4 */
    double clip;                                       /* of the weights' gradient: 5; 0: none */
    float beta_lr, beta_beta1, beta_beta2, beta_decay; /* 3e-4, 0.5, 0.999, 1e-3 */
    int subsampling; /* networks run for beta, the one drawn included; published: 3; 0: it alone */
} spx_location_options;

/** The published values. */
extern const spx_location_options spx_location_defaults;

#define SPX_LOCATION_RUN_MAX 64 /* of subsampling */

/** What one network does in a step. */
typedef enum spx_location_pass {
    SPX_LOCATION_TRAIN,   /* gradients of the weights */
    SPX_LOCATION_FORWARD, /* logits, in training mode */
    SPX_LOCATION_EVAL,    /* logits, by running statistics */
    SPX_LOCATION_PASSES
} spx_location_pass;

typedef struct spx_location_network spx_location_network;

typedef struct spx_location {
    spx_location_options options;
    spx_final_spec spec; /* its reductions are those of whichever network */
    int64_t batch;
    spx_stream *stream;        /* borrowed, as is the next */
    struct spx_tuning *tuning; /* or NULL */
    int n;                     /* pairs */
    spx_location_pair *pair;   /* owned, [n] */
    /* The state to save and restore: arenas of `layout` on the stream's device, owned. Names are
     * those of the networks with "I-J." before, but for the shared stem's; and "beta", [n]. */
    spx_layout layout;
    spx_buffer weights, momentum, state, beta, adam_m, adam_v;
    uint64_t beta_steps; /* Adam's step count */
    /* Private. */
    spx_location_network *network; /* [n] */
    uint64_t clock;                /* of uses of the networks' programs */
    spx_buffer grad, workspace;    /* of the largest network */
    spx_buffer beta_grad;          /* like beta */
    float *host_beta;              /* [n] */
    float *logits;                 /* [SPX_LOCATION_RUN_MAX][batch * classes] */
    int32_t *labels;               /* [batch] */
    double *soft;                  /* [n] */
    spx_step_queue queue;
    const struct spx_location_args *args; /* of the step being queued */
    int drawn;
} spx_location;

/**
 * Makes the networks' programs, once all, and allocates the arenas: weights and states as the
 * layout draws them from seed, beta 1e-3 * N(0,1), all else zero. Programs of up to 32 networks are
 * kept; others are made again when they are drawn.
 * @param spec    of cells; its reductions are not read
 * @param tuning  as in spx_program_options; borrowed until clear
 * @return SPX_OK; SPX_EINVAL (an option out of range; fewer than 3 layers; a reference network);
 *         SPX_ENOMEM telling the bytes needed; what programs return; then x is cleared
 */
SPX_MUST_CHECK spx_status spx_location_init(spx_location *x, spx_stream *stream,
                                            const spx_final_spec *spec, int64_t batch,
                                            const spx_location_options *o, uint64_t seed,
                                            struct spx_tuning *tuning);
void spx_location_clear(spx_location *x); /* zeroed or initialised */

/** Bytes of device memory that the arenas and the workspace take. */
size_t spx_location_bytes(const spx_location *x);

/** What a step is given; nothing in it is kept behind the call. */
typedef struct spx_location_args {
    spx_samples train, val; /* full batches in the device's memory */
    float lr;               /* of the weights */
    double tau;             /* > 0 */
    const double *noise;    /* [n], Gumbel(0, 1), for the drawing */
    const int *others;      /* [subsampling - 1] offsets from the pair drawn, each 1..n-1 and
                               different: pair (drawn + offset) % n is run beside it */
    uint64_t step;          /* steps done before this one; comes back with the report */
} spx_location_args;

/**
 * Draws what a step needs, from (seed, SPX_RNG_LOCATION, step).
 * @param noise   [n]
 * @param others  [SPX_LOCATION_RUN_MAX]
 */
void spx_location_draw(const spx_location *x, uint64_t seed, uint64_t step, double *noise,
                       int *others);

/** Queues a step. It waits for the device: logits are compared on the host.
 * @return SPX_OK; what a program returns; SPX_EINVAL where too many reports are unread */
SPX_MUST_CHECK spx_status spx_location_queue(spx_location *x, const spx_location_args *a);

typedef struct spx_location_report {
    uint64_t step;
    float train_loss, val_loss;    /* of the mixture */
    double weight_norm, beta_norm; /* of the gradients, before clipping */
    spx_metrics metrics;           /* of the weight steps since spx_step_queue_count_from */
} spx_location_report;

/** As spx_bilevel_report_next. */
SPX_MUST_CHECK spx_status spx_location_report_next(spx_location *x, bool wait,
                                                   spx_location_report *report, bool *any);

/** Brings host_beta up to date and gives the pair with the largest (ties: the earlier one). */
SPX_MUST_CHECK spx_status spx_location_look(spx_location *x, int *best);

/** What evaluation of a network takes: its program and the binding, valid until the next call for
 * any network. */
SPX_MUST_CHECK spx_status spx_location_bind(spx_location *x, int pair, spx_program **program,
                                            spx_binding *b);

#endif
