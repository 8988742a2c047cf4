#ifndef SPX_TRAINER_H
#define SPX_TRAINER_H
/*
 * One network being trained: its arenas and the step that updates them. Every step is a pure
 * function of the arenas, the batch and the arguments, so restoring the arenas resumes bit for bit.
 *
 * Steps are queued; what one says of itself is read some steps later (on the CPU: at once). From
 * the first step whose loss or gradient is not finite, weights, momentum and averages stay as they
 * are, whatever is queued behind it.
 */
#include "host/graph/program.h"
#include "host/train/source.h"
#include "host/train/step_queue.h"
#include "kernels/optim/muon.h"

typedef struct spx_sgd_options {
    float momentum, decay; /* published: 0.9, 3e-4 */
    double clip;           /* largest 2-norm of the gradient, published: 5; 0: not clipped */
    float ema;             /* decay of the moving average of weights, 0..1; 0: none kept */
    bool nesterov;         /* Nesterov's momentum (kernels/optim/optim.h) */
    bool spare_vectors;    /* no weight decay on scales and shifts of norms and on biases */
    float muon;            /* above 0: convolutions' weights step by Muon (kernels/optim/muon.h), at
                              so many times the learning rate; the rest as without it */
    float muon_momentum;   /* its own */
} spx_sgd_options;

/** SPX_EINVAL where a field is out of its range. */
SPX_MUST_CHECK spx_status spx_sgd_options_check(const spx_sgd_options *o);

#define SPX_GUIDE_INPUTS 384
#define SPX_GUIDE_LOSSES (SPX_STEP_LOSSES - 1)

/** What a training learns from beside labels: another network's answers to the same images. */
typedef struct spx_guide {
    /**
     * Queues what fills the inputs, as a part of the step and before its network runs.
     * @param images     the step's
     * @param workspace  the trainer's; the network's next
     */
    spx_status (*queue)(void *ctx, const float *images, const spx_buffer *workspace);
    void *ctx;
    const void *input[SPX_GUIDE_INPUTS]; /* of the network's program, behind images and labels */
    int n_input;
    int n_loss; /* outputs of that program behind the loss: losses to report, too; up to
                   SPX_GUIDE_LOSSES */
} spx_guide;

/** What else is made of a step's run. */
typedef struct spx_watch {
    /** Queues it, as a part of the step, behind the network's run and before its weights change.
     * @param guard  the step's, on its device */
    spx_status (*queue)(void *ctx, const spx_binding *b, const spx_guard *guard);
    void *ctx;
} spx_watch;

typedef struct spx_trainer {
    spx_stream *stream;       /* borrowed */
    spx_program *program;     /* borrowed; outputs 0 logits, 1 loss, then a guide's losses. May be
                                 changed between steps for one of the same layout and batch whose
                                 workspace has room */
    const spx_layout *layout; /* the program's */
    spx_sgd_options options;
    /* Owned, memory of the stream's device, of the layout's sizes; restored by
     * writing into them. */
    spx_buffer weights, state, momentum;
    spx_buffer ema_weights, ema_state; /* empty unless options.ema > 0 */
    spx_buffer grad;
    /* Of parameters that others train, who hold them and change them in a watch, and their
     * gradients; borrowed, empty where there are none, set before the first step. */
    spx_buffer arch, arch_grad;
    spx_buffer group; /* bytes, of spx_sgd_rule; empty where all weights are treated alike */
    spx_muon *muon;   /* NULL: none */
    spx_step_queue queue;
    const spx_guide *guide;                  /* borrowed; NULL or set before the first step */
    const spx_watch *watch;                  /* likewise; changed only together with the program */
    const void *input[2 + SPX_GUIDE_INPUTS]; /* of the step being queued */
    spx_buffer workspace;                    /* may serve other programs between steps */
} spx_trainer;

typedef struct spx_step_report {
    uint64_t step;                 /* of its arguments */
    float loss;                    /* of the main classifier */
    float guide[SPX_GUIDE_LOSSES]; /* of the guide */
    double norm;                   /* of the whole gradient, before clipping */
    spx_metrics metrics; /* of all steps since spx_step_queue_count_from, this one included */
} spx_step_report;

/**
 * Allocates arenas (momentum zero, weights and states as spx_layout_init draws them from seed) and
 * a workspace of at least min_workspace bytes.
 * @return SPX_OK, SPX_EINVAL, SPX_ENOMEM; on failure t is cleared
 */
SPX_MUST_CHECK spx_status spx_trainer_init(spx_trainer *t, spx_stream *stream, spx_program *program,
                                           const spx_sgd_options *o, uint64_t seed,
                                           size_t min_workspace);
void spx_trainer_clear(spx_trainer *t); /* zeroed or initialised */

/** Lets the moving average, where one is kept, begin again with the weights and states as they are:
 * after they were replaced. */
SPX_MUST_CHECK spx_status spx_trainer_average_anew(const spx_trainer *t);

/** What varies from step to step. */
typedef struct spx_step_args {
    float lr;
    float drop_prob;
    uint64_t seed; /* of drop-path masks */
    uint64_t step; /* steps done before this one */
} spx_step_args;

/**
 * Queues a step: forward, backward, clip, SGD, moving average. The average's decay is
 * min(ema, (1 + t)/(10 + t)), so that it forgets the first weights quickly.
 * @param batch  a full one, in the memory of the stream's device (source.h)
 * @return SPX_OK; what the program returns; SPX_EINVAL where too many reports are unread
 */
SPX_MUST_CHECK spx_status spx_trainer_queue(spx_trainer *t, const spx_samples *batch,
                                            const spx_step_args *a);

/**
 * The report of the oldest step not reported yet, if it is due; to be asked after every step until
 * there is none.
 * @param wait  true: every step is due; false: those with some steps queued behind them
 * @param any   whether there was one
 * @return SPX_OK; SPX_ENUMERIC where its loss or gradient, or an earlier one's, was not finite:
 *         nothing was updated since but running statistics
 */
SPX_MUST_CHECK spx_status spx_trainer_report(spx_trainer *t, bool wait, spx_step_report *report,
                                             bool *any);

/** Queues a step and waits for its report. */
SPX_MUST_CHECK spx_status spx_trainer_step(spx_trainer *t, const spx_samples *batch,
                                           const spx_step_args *a, spx_step_report *report);

/** The trained weights (WEIGHT) or states (STATE), or the averaged ones where kept; borrowed. */
const spx_buffer *spx_trainer_best(const spx_trainer *t, spx_role role);
/** A binding of the trained weights, or of the averaged ones where kept, for evaluation. */
void spx_trainer_bind_best(const spx_trainer *t, spx_binding *b);

#endif
