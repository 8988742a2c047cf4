#include "kernels/nn/relu_score/relu_score.h"

#include "kernels/device/backend.h"
#include "kernels/nn/nn_check.h"
#include "kernels/nn/relu_score/relu_score_math_private.h"
#include "kernels/nn/relu_score/relu_score_private.h"

/* ---- the CPU ---- */

static spx_status score_cpu(spx_stream *s, spx_score_args *a)
{
    const spx_score_kernels *k = SPX_PICK_VARIANT(spx_score_kernels);
    const size_t parts = ((size_t)(a->c * a->hw) + SPX_SCORE_PART - 1) / SPX_SCORE_PART;
    spx_pool_run(spx_stream_pool(s), parts, k->maps, a);
    spx_pool_run(spx_stream_pool(s), (size_t)a->n, k->squares, a);
    return SPX_OK;
}

static spx_status add_cpu(spx_stream *s, spx_score_add_args *a)
{
    double norms = 0, squares = 0;
    spx_pool_run(spx_stream_pool(s), (size_t)a->count, SPX_PICK_VARIANT(spx_score_kernels)->add, a);
    for (int64_t i = 0; i < a->n; i++) {
        norms += sqrt((double)a->square[i]);
        squares += (double)a->square[i];
    }
    spx_score_layer(a->n, a->count, norms, squares, &a->table[a->layer],
                    &a->table[a->layers + a->layer]);
    return SPX_OK;
}

static spx_status weigh_cpu(spx_stream *s, int64_t layers, float *table, float *seen)
{
    (void)s; /* some dozens of layers */
    spx_score_weights(layers, table);
    *seen += 1.0f;
    return SPX_OK;
}

static const spx_score_backend spx_score_cpu = {score_cpu, add_cpu, weigh_cpu};

/* ---- validation ---- */

spx_status spx_relu_score(spx_stream *s, int64_t n, int64_t c, int64_t hw, spx_operand x,
                          spx_operand g, float *map, float *square)
{
    spx_score_args a = {.n = n, .c = c, .hw = hw, .x = x, .g = g, .map = map, .square = square};
    SPX_RETURN_IF(spx_check_size("relu score", n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu score", "x", x, n, c, hw));
    SPX_RETURN_IF(spx_check_operand(s, "relu score", "g", g, n, c, hw));
    if (map == NULL || square == NULL || n > INT32_MAX || c * hw > INT32_MAX) {
        return SPX_FAIL(SPX_EINVAL, "relu score: a map is missing, or %lld images of %lld",
                        (long long)n, (long long)(c * hw));
    }
    return SPX_BACKEND(s, spx_score_cpu, spx_score_cuda)->score(s, &a);
}

spx_status spx_relu_score_add(spx_stream *s, int64_t n, int64_t count, const float *map,
                              const float *square, int64_t layer, int64_t layers, float *table,
                              const float *seen, const spx_score_maps *out)
{
    spx_score_add_args a = {n, count, map, square, layer, layers, table, seen, *out};
    SPX_RETURN_IF(spx_check_size("relu score", n, count, 1));
    if (layer < 0 || layer >= layers || n > INT32_MAX || count > INT32_MAX) {
        return SPX_FAIL(SPX_EINVAL, "relu score: layer %lld of %lld, %lld images of %lld",
                        (long long)layer, (long long)layers, (long long)n, (long long)count);
    }
    if (map == NULL || square == NULL || table == NULL || seen == NULL || out->importance == NULL ||
        out->curvature == NULL || out->negative == NULL) {
        return SPX_FAIL(SPX_EINVAL, "relu score: an operand is missing");
    }
    return SPX_BACKEND(s, spx_score_cpu, spx_score_cuda)->add(s, &a);
}

spx_status spx_relu_score_weigh(spx_stream *s, int64_t layers, float *table, float *seen)
{
    SPX_RETURN_IF(spx_check_size("relu score", layers, 1, 1));
    if (table == NULL || seen == NULL) {
        return SPX_FAIL(SPX_EINVAL, "relu score: a table is missing");
    }
    return SPX_BACKEND(s, spx_score_cpu, spx_score_cuda)->weigh(s, layers, table, seen);
}
