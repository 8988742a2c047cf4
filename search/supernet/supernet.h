#ifndef SPX_SUPERNET_H
#define SPX_SUPERNET_H
/*
 * The supernet ready to run: one layout of weights, alphas and running statistics, and one program
 * per kind of pass, all over one workspace. So a pass computes only what it is asked for, and the
 * memory of the largest pass is the memory of all.
 */
#include "host/graph/program.h"
#include "host/train/source.h"
#include "search/space/network.h"

typedef enum spx_pass {
    SPX_PASS_WEIGHTS, /* d loss / d weights */
    SPX_PASS_ALPHAS,  /* d loss / d alphas */
    SPX_PASS_BOTH,    /* both */
    SPX_PASS_EVAL,    /* logits with running statistics, no gradients; labels are not read */
    SPX_PASS_COUNT
} spx_pass;

#define SPX_PASS_BIT(pass) (1u << (pass))
#define SPX_PASSES_FIRST_ORDER (SPX_PASS_BIT(SPX_PASS_WEIGHTS) | SPX_PASS_BIT(SPX_PASS_ALPHAS))
#define SPX_PASSES_SECOND_ORDER (SPX_PASSES_FIRST_ORDER | SPX_PASS_BIT(SPX_PASS_BOTH))
/** With the passes: run the graph as built, by reference kernels. Slow; what finite differences,
 * which a single ReLU flipped by rounding moves by 1 %, are checked with. */
#define SPX_PASSES_REFERENCE (1u << 31)

typedef struct spx_supernet {
    spx_supernet_config config;
    spx_stream *stream;                   /* borrowed */
    spx_program *program[SPX_PASS_COUNT]; /* owned; NULL where not asked for */
    const spx_layout *layout;             /* of the first program; the others' are equal */
    spx_buffer workspace;                 /* owned, of the stream's device: the largest program's */
} spx_supernet;

/**
 * Builds the programs of the given passes.
 * @param c       training is ignored: each pass decides
 * @param passes  SPX_PASS_BIT of at least one pass, and perhaps SPX_PASSES_REFERENCE
 * @param tuning  as in spx_program_options; borrowed for the call
 * @return SPX_OK, what the builder and spx_program_create return; on failure *out is cleared
 */
SPX_MUST_CHECK spx_status spx_supernet_init(spx_supernet *out, spx_stream *stream,
                                            const spx_supernet_config *c, unsigned passes,
                                            struct spx_tuning *tuning);
void spx_supernet_clear(spx_supernet *s); /* zeroed or initialised */

/** What one pass reads and writes; arenas as in spx_binding. */
typedef struct spx_supernet_run {
    spx_buffer weights, alphas; /* only read */
    spx_buffer state;
    bool update_state;
    spx_buffer weight_grad, alpha_grad; /* where the pass computes them */
    /* A batch in the memory of the stream's device (host/train/source.h). */
    const float *images;   /* (batch, C, H, W); CUDA: (batch, H, W, C) */
    const int32_t *labels; /* [batch]; NULL for SPX_PASS_EVAL */
} spx_supernet_run;

/**
 * Runs one pass.
 * @param logits receives (batch, classes), f32: a view of the workspace, valid until its next use;
 *               may be NULL
 * @param loss   receives the mean loss likewise, not for SPX_PASS_EVAL; may be NULL
 * @return SPX_OK, SPX_EINVAL (a pass not built), what spx_program_run returns
 */
SPX_MUST_CHECK spx_status spx_supernet_pass(spx_supernet *s, spx_pass pass,
                                            const spx_supernet_run *r, spx_buffer *logits,
                                            spx_buffer *loss);

/** Pointers to the alphas' rows inside an arena in host memory: (2 + i) x SPX_PRIMITIVE_COUNT
 * floats each. @return SPX_OK, SPX_EINVAL (memory of another device) */
SPX_MUST_CHECK spx_status spx_supernet_alphas(const spx_supernet *s, const spx_buffer *alphas,
                                              float *normal[SPX_CELL_NODES],
                                              float *reduce[SPX_CELL_NODES]);

/** Pointers to the gates inside such an arena, of normal and of reduction cells: SPX_CELL_SITES x 2
 * floats each, the ReLU's first. @return SPX_OK, SPX_EINVAL (memory of another device, no gates) */
SPX_MUST_CHECK spx_status spx_supernet_gates(const spx_supernet *s, const spx_buffer *alphas,
                                             float *gate[2]);

/** The genotype of such an arena. @return likewise */
SPX_MUST_CHECK spx_status spx_supernet_genotype(const spx_supernet *s, const spx_buffer *alphas,
                                                spx_genotype *out);

/** How far the alphas have collapsed; see README.md for what the numbers say. */
typedef struct spx_collapse {
    double skip_share; /* skip_connect among the genotype's edges, 0..1: normal cells */
    double none_share; /* edges whose largest alpha is none, of all candidate edges, 0..1 */
    double entropy;    /* mean entropy of the softmaxed alphas per edge, 1: uniform, 0: one-hot */
    bool warn;         /* skip_share > 0.5 or none_share > 0.5 */
} spx_collapse;

/** Of an arena of alphas in host memory. @return SPX_OK, SPX_EINVAL (memory of another device) */
SPX_MUST_CHECK spx_status spx_supernet_collapse(const spx_supernet *s, const spx_buffer *alphas,
                                                spx_collapse *out);

#endif
