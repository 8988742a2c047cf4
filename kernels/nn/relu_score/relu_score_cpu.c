/* Compiled once per instruction set; plain loops that the compiler turns into vectors. */
#include "kernels/nn/relu_score/relu_score_math_private.h"
#include "kernels/nn/relu_score/relu_score_private.h"

#include <string.h>

/* Adds an image's part. */
static void add_image(size_t len, const float *restrict x, const float *restrict g,
                      float *restrict product, float *restrict negative, float *restrict input,
                      float *restrict gradient)
{
#pragma omp simd
    for (size_t i = 0; i < len; i++) {
        product[i] += fabsf(g[i] * x[i]);
        negative[i] += x[i] < 0.0f ? 1.0f : 0.0f;
        input[i] += x[i] * x[i];
        gradient[i] += g[i] * g[i];
    }
}

static void maps(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_score_args *a = ctx;
    const size_t chw = (size_t)(a->c * a->hw);
    (void)worker;
    for (size_t part = begin; part < end; part++) {
        const size_t at = part * SPX_SCORE_PART;
        const size_t len = chw - at < SPX_SCORE_PART ? chw - at : SPX_SCORE_PART;
        float *row[SPX_SCORE_MAPS];
        for (size_t k = 0; k < SPX_SCORE_MAPS; k++) {
            row[k] = a->map + k * chw + at;
            memset(row[k], 0, len * sizeof(float));
        }
        for (int64_t n = 0; n < a->n; n++) {
            add_image(len, spx_image(a->x, n) + at, spx_image(a->g, n) + at, row[SPX_SCORE_PRODUCT],
                      row[SPX_SCORE_NEGATIVE], row[SPX_SCORE_INPUT], row[SPX_SCORE_GRADIENT]);
        }
    }
}

static void squares(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_score_args *a = ctx;
    const size_t chw = (size_t)(a->c * a->hw);
    (void)worker;
    for (size_t n = begin; n < end; n++) {
        const float *g = spx_image(a->g, (int64_t)n);
        double all = 0;
        for (size_t at = 0; at < chw; at += SPX_SCORE_PART) {
            const size_t len = chw - at < SPX_SCORE_PART ? chw - at : SPX_SCORE_PART;
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (size_t i = 0; i < len; i++) {
                sum += g[at + i] * g[at + i];
            }
            all += (double)sum;
        }
        a->square[n] = (float)all;
    }
}

static void add(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_score_add_args *a = ctx;
    const spx_score_factors f = spx_score_factors_of(a->n, *a->seen);
    const float weight = *a->seen > 0 ? a->table[SPX_SCORE_WEIGHT * a->layers + a->layer] : 1.0f;
    const float *row[SPX_SCORE_MAPS];
    (void)worker;
    for (int64_t k = 0; k < SPX_SCORE_MAPS; k++) {
        row[k] = a->map + k * a->count;
    }
    for (size_t i = begin; i < end; i++) {
        spx_score_position(&f, weight, row[SPX_SCORE_PRODUCT][i], row[SPX_SCORE_NEGATIVE][i],
                           row[SPX_SCORE_INPUT][i], row[SPX_SCORE_GRADIENT][i],
                           &a->out.importance[i], &a->out.curvature[i], &a->out.negative[i]);
    }
}

const spx_score_kernels SPX_VARIANT(spx_score_kernels) = {maps, squares, add};
