#ifndef SPX_NN_RELU_SCORE_PRIVATE_H
#define SPX_NN_RELU_SCORE_PRIVATE_H
/* What the parts of relu_score share; the arguments are checked already. */
#include "kernels/base/variant.h"
#include "kernels/nn/relu_score/relu_score.h"

typedef struct spx_score_args {
    int64_t n, c, hw;
    spx_operand x, g;
    float *map, *square;
} spx_score_args;

typedef struct spx_score_add_args {
    int64_t n, count;
    const float *map, *square;
    int64_t layer, layers;
    float *table;
    const float *seen;
    spx_score_maps out;
} spx_score_add_args;

/* What a device gives. */
typedef struct spx_score_backend {
    spx_status (*score)(spx_stream *s, spx_score_args *a);
    spx_status (*add)(spx_stream *s, spx_score_add_args *a);
    spx_status (*weigh)(spx_stream *s, int64_t layers, float *table, float *seen);
} spx_score_backend;
extern const spx_score_backend spx_score_cuda;

/* The CPU's: maps of parts [begin, end) of SPX_SCORE_PART positions; squares of images. */
typedef struct spx_score_kernels {
    spx_pool_fn maps, squares; /* ctx is a spx_score_args */
    spx_pool_fn add;           /* of positions; ctx is a spx_score_add_args */
} spx_score_kernels;
SPX_DECLARE_VARIANTS(spx_score_kernels, spx_score_kernels);

#define SPX_SCORE_PART ((size_t)1024)

/* Plain specification, of host memory: in double, maps and tables in float. */
void spx_relu_score_ref(const spx_score_args *a);
void spx_relu_score_add_ref(const spx_score_add_args *a);
void spx_relu_score_weigh_ref(int64_t layers, float *table, float *seen);

#endif
