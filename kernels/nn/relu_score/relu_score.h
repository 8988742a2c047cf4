#ifndef SPX_NN_RELU_SCORE_H
#define SPX_NN_RELU_SCORE_H
/*
 * Which positions of a masked ReLU a network needs: what a batch tells of each, and what batches
 * add up to. The scores are those of ReLUPruner (AAAI 2026; its code), for a layer and a position,
 * from the pre-activation x and g = d loss / d output, with means over images:
 *
 *   negative   = mean of the last batches' share of x < 0
 *   curvature  = EMA.99 of mean(g^2)
 *   importance = EMA.95 of weight * (mean|g x| * negative + 0.5 mean(x^2) * curvature)
 *
 * A layer's weight comes from the batch before. There, over all layers, it is moved to 0.1..1.1:
 *
 *   s = G * sqrt(Q + 1e-8) * (1 + 0.2 * layer / (layers - 1))
 *   G = EMA.95 of the mean over images of the 2-norm of g;  Q = EMA.95 of the mean of g^2
 *
 * It is 1 where all s are equal, and in the first batch. Everything begins at 0.
 *
 * The gradient that a program has is of a loss averaged over its batch, and shrinks with it. Here g
 * is an image's own: batch times that. The numbers 0.5 and 1e-8 belong to gradients of the
 * published batch, 128, and are scaled to that: 0.5/128 and 1e-8 * 128^2. So the order of scores
 * does not depend on the batch. The last ten batches' mean is a mean of the first ten, then EMA.9:
 * one map.
 *
 * Pointers are memory of the stream's device. Maps are [c*hw] in the order (c, h, w), on every
 * device. All results are the same bits for any number of threads.
 */
#include "kernels/nn/operand.h"

/** Rows of a batch's maps. */
enum {
    SPX_SCORE_PRODUCT,  /* sum over images of |g x| */
    SPX_SCORE_NEGATIVE, /* images with x < 0 */
    SPX_SCORE_INPUT,    /* sum of x^2 */
    SPX_SCORE_GRADIENT, /* sum of g^2 */
    SPX_SCORE_MAPS
};

/**
 * A batch's statistics; g as the program has it.
 * @param x, g    (n, c, hw)
 * @param map     (SPX_SCORE_MAPS, c*hw), overwritten
 * @param square  [n], overwritten: each image's sum of g^2
 * @return SPX_OK, SPX_EINVAL (a size or an operand), SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_relu_score(spx_stream *s, int64_t n, int64_t c, int64_t hw,
                                         spx_operand x, spx_operand g, float *map, float *square);

/** What batches add up to: of a layer's positions, [count] each. */
typedef struct spx_score_maps {
    float *importance, *curvature, *negative;
} spx_score_maps;

/** Rows of the layers' table. */
enum { SPX_SCORE_NORM, SPX_SCORE_MEAN, SPX_SCORE_WEIGHT, SPX_SCORE_ROWS };

/**
 * Adds a batch's statistics to a layer's.
 * @param n, count     images of the batch; positions
 * @param map, square  of spx_relu_score
 * @param layer, layers  0 <= layer < layers
 * @param table        (SPX_SCORE_ROWS, layers): reads the weight, updates norm and mean
 * @param seen         one float: batches before this one
 * @return SPX_OK, SPX_EINVAL, SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_relu_score_add(spx_stream *s, int64_t n, int64_t count,
                                             const float *map, const float *square, int64_t layer,
                                             int64_t layers, float *table, const float *seen,
                                             const spx_score_maps *out);

/** After the batch was added to every layer's: the next batch's weights into the table, and seen
 * counts it. @return as spx_relu_score_add */
SPX_MUST_CHECK spx_status spx_relu_score_weigh(spx_stream *s, int64_t layers, float *table,
                                               float *seen);

#endif
