#ifndef SPX_PROGRAM_H
#define SPX_PROGRAM_H
/*
 * A graph made ready to run: optimised, differentiated, scheduled and with its memory planned.
 * Running allocates nothing. One program serves any weights: a run binds the arenas it reads and
 * writes, so w, w', w+ and w- share a program, and programs that run one after another may share a
 * workspace.
 *
 * On CUDA everything a binding names is memory of the stream's device, and work is queued on the
 * stream. Layouts differ (kernels/nn/operand.h): activations are NHWC, of the stream's activation
 * type; weights that span pixels lie with the channels innermost. Host arrays are NCHW f32 always;
 * spx_layout_upload, spx_layout_download, spx_program_read and spx_program_read_grad convert.
 */
#include "host/graph/layout.h"
#include "kernels/device/scalars.h"
#include "kernels/device/stream.h"

/** Measured choices of convolution algorithms; see tuning.h. */
struct spx_tuning;

typedef struct spx_program_options {
    const spx_loss_seed *loss;    /* what is differentiated: sum of weight*loss */
    int n_loss;                   /* 0: forward only */
    bool grad_weights, grad_arch; /* which gradients to compute; at least one where n_loss > 0 */
    const spx_tid *output;        /* tensors of the graph to keep readable after a run */
    int n_output;
    const spx_tid *grad; /* activations or inputs whose gradient is wanted too (tests) */
    int n_grad;
    bool score_relus; /* with a loss: what the batch tells of every masked ReLU, for
                         spx_program_score */
    float recompute;  /* share of the forward work that may be done twice to save memory; 0..1 */
    bool no_fusion;   /* run the graph as built (the reference for the passes) */
    bool reference;   /* reference convolutions (the reference for the kernels) */
    uint64_t shuffle; /* not 0: nodes run one after the other in an order drawn from it among those
                         that lanes and their events would allow (the check of the schedule) */
    struct spx_tuning
        *tuning; /* NULL: default algorithms; else looked up, measured where missing */
} spx_program_options;

typedef struct spx_program spx_program;

/**
 * @param g    borrowed for the call only
 * @return SPX_OK, the graph's builder error, SPX_EINVAL, SPX_ENOMEM, SPX_EUNSUPPORTED
 */
SPX_MUST_CHECK spx_status spx_program_create(spx_program **out, const spx_graph *g,
                                             spx_stream *stream, const spx_program_options *o);
void spx_program_destroy(spx_program *p); /* waits for its runs; NULL is a no-op */

const spx_layout *spx_program_layout(const spx_program *p); /* borrowed */
size_t spx_program_workspace_bytes(const spx_program *p);
const spx_graph *spx_program_graph(const spx_program *p); /* the final graph; borrowed */
/** What output[i] is like: its dimensions above all; borrowed. */
const spx_tensor *spx_program_output_tensor(const spx_program *p, int i);

/** What a run reads and writes. Buffers are of the stream's device; those that a program has no use
 * for may be empty. */
typedef struct spx_binding {
    spx_buffer weights, arch;          /* arenas of spx_layout_arena, only read */
    spx_buffer state;                  /* likewise, written too where update_state */
    bool update_state;                 /* training: update running statistics */
    spx_buffer weight_grad, arch_grad; /* written where asked for; gaps stay as they are (zero them
                                          once) */
    spx_buffer workspace;              /* spx_program_workspace_bytes */
    /* One pointer per spx_g_input, in order of declaration: memory of the stream's device, aligned
     * as spx_buffer_alloc does. CUDA: those of rank 4 are NHWC, f32 at every precision. */
    const void *const *input;
    const spx_scalars *scalars; /* seed, step and drop_prob; NULL where no masks are drawn */
} spx_binding;

/** Runs the program; gradients of a run overwrite. @return SPX_OK, SPX_EINVAL (a buffer too small
 * or of another device; a label out of range: on CUDA the loss becomes NaN instead), SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_program_run(spx_program *p, const spx_binding *b);

/**
 * output[i] of the last run: a view of the workspace, dense, valid until the next run that uses it.
 * Of rank 4 on CUDA: NHWC, of the stream's activation type. All else is f32 everywhere: logits and
 * losses can be read by kernels of either device.
 */
spx_buffer spx_program_output(const spx_program *p, const spx_binding *b, int i);
/**
 * Copies output[i] of the last run to host memory as dense f32, NCHW where of rank 4. Waits for the
 * stream. @return SPX_OK, SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_program_read(const spx_program *p, const spx_binding *b, int i,
                                           float *host);
/** Gradient of options.grad[i], likewise. */
SPX_MUST_CHECK spx_status spx_program_read_grad(const spx_program *p, const spx_binding *b, int i,
                                                float *host);

/** What the batch of a run tells of a masked ReLU (kernels/nn/relu_score). */
typedef struct spx_relu_statistics {
    int64_t n, count;    /* images; positions */
    const float *map;    /* (SPX_SCORE_MAPS, count) */
    const float *square; /* [n] */
} spx_relu_statistics;

int spx_program_scores(const spx_program *p); /* masked ReLUs; 0 where not score_relus */
/** Those of the last run and of ReLU k in the order in which data flow: a view of the workspace,
 * memory of the stream's device, valid until the next run that uses it. */
spx_relu_statistics spx_program_score(const spx_program *p, const spx_binding *b, int k);

/** Sums of one op kind. */
typedef struct spx_op_profile {
    double seconds; /* of all runs since spx_program_profile_begin */
    int64_t calls;  /* likewise */
    double flops;   /* of ONE run: convolutions and linear layers, a multiply-add counting two */
    double bytes;   /* of ONE run: the sizes of all operands, those added to counting twice */
} spx_op_profile;

/**
 * From now on runs are timed node by node, one node at a time (on CUDA between events, with a wait
 * at the end of each run; not while recording); sums start at zero. On CUDA short nodes show what
 * the host takes to launch them: kernels in replays are what scripts/gpu-check traces.
 * @return SPX_OK, SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_program_profile_begin(spx_program *p);
void spx_program_profile(const spx_program *p, spx_op op, spx_op_profile *out);

#endif
