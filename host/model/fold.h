#ifndef SPX_FOLD_H
#define SPX_FOLD_H
/*
 * A network's evaluation graph as linear segments between ReLUs, in float64: batch norms and 1x1
 * convolutions folded, parallel paths of equal geometry merged, pools and subsampling made public.
 * Structure and meaning of values and ops are those of a deployed model (deploy.h), with real
 * weights: POOL keeps its integer factors, image values are pixels 0..255.
 *
 * A ReLU with a mask (host/graph: 1 keeps, 0 drops) of all zeros is none: what it reads goes on as
 * it is. Where a mask is the same all over each channel, kept channels become an activation of
 * their own, and dropped ones go on. Else all elements do, and dropped ones are linear within a
 * clamp.
 *
 * What is folded is exact. Two convolutions that pad are never composed: zero padding of the second
 * one would have to know what the first one gives outside its map. A linear value stands between
 * them. A bias that passes through padding becomes a map.
 */
#include "host/graph/layout.h"
#include "host/model/deploy.h"

typedef struct spx_fold_op {
    spx_deploy_op d; /* geometry, mask; weights, bias, filter NULL; RELU: shift, bits and width 0 */
    double *w;       /* CONV: [k][c][size][size]; BIAS: [c][h][w] */
    spx_tid relu;    /* RELU: the graph's tensor it stands for, */
    int *channel;    /* and which of its channels, [out.c]; NULL: all */
    double most;     /* RELU: its largest output (ReLU6); 0: there is none */
} spx_fold_op;

typedef struct spx_fold {
    spx_deploy_value *value; /* kind, c, h, w */
    spx_fold_op *op;
    int n_values, n_ops, logits;
    size_t room_values, room_ops;
} spx_fold;

/** The network to fold. All borrowed for the call. */
typedef struct spx_fold_input {
    const spx_graph *graph; /* as a builder made it, for evaluation; its batch does not matter */
    spx_tid image, logits;
    const spx_layout *layout;  /* names to arenas */
    spx_buffer weights, state; /* in host memory, as spx_layout_init has them; borrowed */
    const double *mean,
        *std;          /* [channels] of pixels scaled to 0..1; what the image was normalised by */
    const bool *clamp; /* [nodes] of a ReLU: clamp what its mask drops, even whole channels; of
                          another op, whose output has four dimensions: clamp that, as a ReLU that
                          keeps nothing would (see spx_fold_choose); NULL: none */
} spx_fold_input;

/**
 * @return SPX_OK; SPX_EUNSUPPORTED naming the node (an op that is not linear, a ReLU of what is not
 *         four-dimensional, a mask of other numbers than 0 and 1); SPX_EINVAL (a parameter the
 *         layout lacks, an arena not in host memory); SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_fold_create(spx_fold **out, const spx_fold_input *s);
void spx_fold_destroy(spx_fold *f); /* NULL is a no-op */

/** Elements of value v. */
size_t spx_fold_count(const spx_fold *f, int v);
/** ReLUs of an image: elements of activations that no mask drops. */
int64_t spx_fold_relus(const spx_fold *f);

/**
 * All values of one image, term by term in float64: the reference, not a fast executor.
 * @param pixels  (c, h, w), any reals
 * @param values  receives [n_values] arrays, to be freed each with spx_free; NULL on failure
 */
SPX_MUST_CHECK spx_status spx_fold_run(const spx_fold *f, const double *pixels, double **values);

#endif
