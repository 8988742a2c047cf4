#ifndef SPX_PROGRAM_H
#define SPX_PROGRAM_H
/*
 * A graph made ready to run: optimised, differentiated, scheduled and with its memory planned.
 * Running allocates nothing. One program serves any weights: a run binds the arenas it reads and
 * writes, so w, w', w+ and w- share a program, and programs that run one after another may share a
 * workspace.
 */
#include "host/graph/graph.h"
#include "kernels/device/stream.h"

/** One named parameter, architecture parameter or state, and where it lies in its arena. */
typedef struct spx_layout_entry {
    const char *name;
    spx_role role; /* WEIGHT, ARCH or STATE */
    int rank;
    int64_t dim[SPX_MAX_RANK];
    int64_t offset, count; /* floats into the role's arena; elements, dense */
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
 * A zeroed arena of l's size for a role: WEIGHT, ARCH or STATE; gradients take the same. Free with
 * spx_free. *out is NULL where the network has nothing of that role. @return SPX_OK, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_layout_arena(const spx_layout *l, spx_role role, float **out);
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
    float recompute; /* share of the forward work that may be done twice to save memory; 0..1 */
    bool no_fusion;  /* run the graph as built (the reference for the passes) */
    bool reference;  /* reference convolutions (the reference for the kernels) */
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
void spx_program_destroy(spx_program *p); /* NULL is a no-op */

const spx_layout *spx_program_layout(const spx_program *p); /* borrowed */
size_t spx_program_workspace_bytes(const spx_program *p);
const spx_graph *spx_program_graph(const spx_program *p); /* the final graph; borrowed */

typedef struct spx_binding {
    const float *weights; /* arenas of spx_layout sizes, aligned to SPX_ALIGN */
    const float *arch;
    float *state;
    bool update_state;  /* training: update running statistics */
    float *weight_grad; /* written where asked for; gaps stay as they are (zero them once) */
    float *arch_grad;
    void *workspace;          /* spx_program_workspace_bytes, aligned to SPX_ALIGN */
    const void *const *input; /* one pointer per spx_g_input, in order of declaration */
    uint64_t seed, step;      /* of drop masks */
    float drop_prob;          /* 0 <= p < 1 */
} spx_binding;

/** Runs the program; gradients of a run overwrite. @return SPX_OK, SPX_EINVAL (a label out of
 * range) */
SPX_MUST_CHECK spx_status spx_program_run(spx_program *p, const spx_binding *b);

/** output[i] of the last run: dense f32 in the workspace, valid until the next run that uses it. */
const float *spx_program_output(const spx_program *p, const spx_binding *b, int i);
/** Gradient of options.grad[i], likewise. */
const float *spx_program_grad(const spx_program *p, const spx_binding *b, int i);

/** From now on runs are timed node by node (with a wait after each); sums start at zero. */
void spx_program_profile_begin(spx_program *p);
/** Sums of one op kind: seconds, calls, and the floating-point operations of ONE run
 * (convolutions). */
void spx_program_profile(const spx_program *p, spx_op op, double *seconds, int64_t *calls,
                         double *flops);

#endif
