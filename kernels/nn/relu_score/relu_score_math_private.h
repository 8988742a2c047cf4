#ifndef SPX_NN_RELU_SCORE_MATH_H
#define SPX_NN_RELU_SCORE_MATH_H
/* The formulas of relu_score.h, for every device. */
#include "kernels/base/host_device.h"

#include <math.h>
#include <stdint.h>

#define SPX_SCORE_BATCH 128.0f /* the published one */
#define SPX_SCORE_RECENT 10.0f /* batches that a mean of recent ones is of */

/* What a batch of n images, with `seen` before it, multiplies by. */
typedef struct spx_score_factors {
    float mean;   /* 1/n */
    float square; /* of sums of g^2: n images' mean of n^2 times that */
    float recent; /* the share of this batch in the mean of recent ones */
} spx_score_factors;

static inline SPX_HOST_DEVICE spx_score_factors spx_score_factors_of(int64_t n, float seen)
{
    spx_score_factors f;
    f.mean = 1.0f / (float)n;
    f.square = (float)n;
    f.recent = 1.0f / (seen + 1.0f < SPX_SCORE_RECENT ? seen + 1.0f : SPX_SCORE_RECENT);
    return f;
}

/* A position's maps, updated by its statistics. A sum of |g x| is n images' mean of n times it. */
static inline SPX_HOST_DEVICE void spx_score_position(const spx_score_factors *f, float weight,
                                                      float product, float negative, float input,
                                                      float gradient, float *importance,
                                                      float *curvature, float *recent)
{
    const float p = *recent + (negative * f->mean - *recent) * f->recent;
    const float q = 0.99f * *curvature + 0.01f * (gradient * f->square);
    const float v = product * p + 0.5f / SPX_SCORE_BATCH * (input * f->mean) * q;
    *recent = p;
    *curvature = q;
    *importance = 0.95f * *importance + 0.05f * (weight * v);
}

/* Norm and mean of a layer of `count` positions, updated by the sum over images of their norms and
 * by the sum of all squares. */
static inline SPX_HOST_DEVICE void spx_score_layer(int64_t n, int64_t count, double norms,
                                                   double squares, float *norm, float *mean)
{
    *norm = 0.95f * *norm + 0.05f * (float)norms; /* n images' mean of n times the gradient */
    *mean = 0.95f * *mean + 0.05f * (float)(squares * (double)n / (double)count);
}

/* A layer's s. */
static inline SPX_HOST_DEVICE float spx_score_strength(int64_t layer, int64_t layers, float norm,
                                                       float mean)
{
    const float depth = layers > 1 ? (float)layer / (float)(layers - 1) : 0.0f;
    return norm * sqrtf(mean + 1e-8f * SPX_SCORE_BATCH * SPX_SCORE_BATCH) * (1.0f + 0.2f * depth);
}

/* The weights of all layers, from norms and means: (SPX_SCORE_ROWS, layers), those rows in that
 * order. */
static inline SPX_HOST_DEVICE void spx_score_weights(int64_t layers, float *table)
{
    float least = INFINITY, most = -INFINITY;
    for (int64_t l = 0; l < layers; l++) {
        const float s = spx_score_strength(l, layers, table[l], table[layers + l]);
        table[2 * layers + l] = s;
        least = s < least ? s : least;
        most = s > most ? s : most;
    }
    for (int64_t l = 0; l < layers; l++) {
        float *w = &table[2 * layers + l];
        *w = most > least ? (*w - least) / (most - least) + 0.1f : 1.0f;
    }
}

#endif
