#ifndef SPX_PROGRAM_H
#define SPX_PROGRAM_H
/*
 * A graph made ready to run: optimised, differentiated, scheduled and with its memory planned.
 * Running allocates nothing. One program serves any weights: a run binds the arenas it reads and
 * writes, so w, w', w+ and w- share a program, and programs that run one after another may share a
 * workspace.
 *
 * On CUDA every pointer of a binding is memory of the stream's device, and work is queued on the
 * stream. Layouts differ (kernels/nn/nhwc.h): activations are NHWC, of the stream's activation
 * type; weights that span pixels lie with the channels innermost. Host arrays are NCHW f32 always;
 * spx_layout_upload, spx_layout_download, spx_program_read and spx_program_read_grad convert.
 */
#include "host/graph/graph.h"
#include "kernels/device/buffer.h"
#include "kernels/device/scalars.h"
#include "kernels/device/stream.h"

/** One named parameter, architecture parameter or state, and where it lies in its arena. */
typedef struct spx_layout_entry {
    const char *name;
    spx_role role; /* WEIGHT, ARCH or STATE */
    int rank;
    int64_t dim[SPX_MAX_RANK];
    int64_t offset, count; /* floats into the role's arena; elements, dense */
    int64_t
        pixels; /* above 1: weights (rows, channels, pixels), on CUDA (rows, pixels, channels) */
    spx_init init;
} spx_layout_entry;

/** Arenas of a network. The same network at another batch size or in evaluation has an equal
 * layout. */
typedef struct spx_layout {
    spx_layout_entry *entry; /* in the order the builder created them */
    int n;
    int64_t floats[SPX_ROLE_COUNT]; /* arena sizes (gaps included): WEIGHT, ARCH, STATE */
} spx_layout;

const spx_layout_entry *spx_layout_find(const spx_layout *l, const char *name); /* or NULL */
bool spx_layout_equal(const spx_layout *a, const spx_layout *b);
/**
 * A zeroed arena of l's size for a role: WEIGHT, ARCH or STATE; gradients take the same.
 * @param s    whose device's memory; NULL: host memory
 * @param out  free with spx_buffer_free; empty where the network has nothing of that role
 * @return SPX_OK, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_layout_arena(const spx_layout *l, spx_stream *s, spx_role role,
                                           spx_buffer *out);
size_t spx_layout_bytes(const spx_layout *l, spx_role role); /* of such an arena */
/** spx_buffer_check_host of an arena of weights and one of states. */
SPX_MUST_CHECK spx_status spx_layout_check_host(const spx_layout *l, const spx_buffer *weights,
                                                const spx_buffer *state, const char *what);
/**
 * Copies a whole arena of l to the stream's device, in the device's order of elements.
 * @param role    WEIGHT, ARCH or STATE; for gradients and momenta, the one they are laid out like
 * @param host    as spx_layout_init and checkpoints have it; may be changed after the call
 * @param device  of such an arena; neither is touched where the arena is empty
 * @return SPX_OK, SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_layout_upload(const spx_layout *l, spx_stream *s, spx_role role,
                                            const float *host, float *device);
/** The way back. Waits for the stream. */
SPX_MUST_CHECK spx_status spx_layout_download(const spx_layout *l, spx_stream *s, spx_role role,
                                              const float *device, float *host);
/**
 * Fills arenas (any may be NULL) with initial values; gaps become 0. Each entry draws from
 * (seed, hash of its name), so values do not depend on the layout.
 */
void spx_layout_init(const spx_layout *l, uint64_t seed, float *weights, float *arch, float *state);

typedef struct spx_loss_seed {
    spx_tid loss;
    float weight;
} spx_loss_seed;

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

typedef struct spx_binding {
    const float *weights; /* arenas of spx_layout sizes, aligned to SPX_ALIGN */
    const float *arch;
    float *state;
    bool update_state;  /* training: update running statistics */
    float *weight_grad; /* written where asked for; gaps stay as they are (zero them once) */
    float *arch_grad;
    void *workspace; /* spx_program_workspace_bytes, aligned to SPX_ALIGN; CUDA: to 256 */
    /* One pointer per spx_g_input, in order of declaration, aligned likewise. CUDA: those of rank 4
     * are NHWC, f32 at every precision. */
    const void *const *input;
    const spx_scalars *scalars; /* seed, step and drop_prob; NULL where no masks are drawn */
} spx_binding;

/** Runs the program; gradients of a run overwrite. @return SPX_OK, SPX_EINVAL (a label out of
 * range; on CUDA the loss becomes NaN instead), SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_program_run(spx_program *p, const spx_binding *b);

/**
 * output[i] of the last run: device memory in the workspace, dense, valid until the next run that
 * uses it. Of rank 4 on CUDA: NHWC, of the stream's activation type. All else is f32 everywhere:
 * logits and losses can be read by kernels of either device.
 */
const float *spx_program_output(const spx_program *p, const spx_binding *b, int i);
/** Gradient of options.grad[i], likewise. */
const float *spx_program_grad(const spx_program *p, const spx_binding *b, int i);
/**
 * Copies output[i] of the last run to host memory as dense f32, NCHW where of rank 4. Waits for the
 * stream. @return SPX_OK, SPX_ENOMEM, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_program_read(const spx_program *p, const spx_binding *b, int i,
                                           float *host);
/** Gradient of options.grad[i], likewise. */
SPX_MUST_CHECK spx_status spx_program_read_grad(const spx_program *p, const spx_binding *b, int i,
                                                float *host);

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
