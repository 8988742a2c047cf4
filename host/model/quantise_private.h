#ifndef SPX_QUANTISE_PRIVATE_H
#define SPX_QUANTISE_PRIVATE_H
/* Shared by the files that quantise. */
#include "host/model/deploy_build.h"
#include "host/model/quantise.h"

/** A network with integer weights whose widths are not proven yet. */
typedef struct spx_quantised {
    spx_deploy_value *value;
    double **scale;    /* per value: [c] integer units per real unit */
    int *depth;        /* per value: convolutions behind the nearest maskable one */
    spx_deploy_op *op; /* owns weights and biases */
    int *output;       /* per segment: the value it ends in */
    int n_values, n_ops, n_outputs, logits;
    double logit_scale;
    int *map; /* fold's values to these */
} spx_quantised;

/**
 * @param segment  [fold's values]; @param bits [segments] weight bits
 * @return SPX_OK, SPX_ENUMERIC, SPX_EUNSUPPORTED (too many values), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_quantised_make(spx_quantised *q, const spx_fold *f,
                                             const double *const *clip,
                                             const spx_quantise_options *o, const int *segment,
                                             const double *bits);
void spx_quantised_clear(spx_quantised *q); /* zeroed or made */

#define SPX_COPY_RUNS 256

/** Channels that follow one another in a convolution's input and output. */
typedef struct spx_copy_run {
    int64_t in_first, out_first, channels;
} spx_copy_run;

/** The runs that an op copies, where it is a convolution that does nothing else; else 0. */
int spx_copy_runs(const spx_fold *f, const spx_fold_op *op, spx_copy_run run[SPX_COPY_RUNS]);

/**
 * Clips by which identity paths between activations are shifts: those of a copied channel become
 * power-of-two multiples of each other, none smaller than it was but for what its RELU itself cuts
 * off. Where copies contradict each other, the later one stays a convolution.
 * @param clip  as spx_quantise takes them; @param out  the same, one block, free with spx_free
 */
SPX_MUST_CHECK spx_status spx_tie_clips(double ***out, const spx_fold *f,
                                        const double *const *clip);

/** Borrows. */
spx_deploy_draft spx_quantised_draft(const spx_quantised *q);

#endif
