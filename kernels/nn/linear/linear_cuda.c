#include "kernels/nn/linear/linear_cuda.h"
#include "kernels/nn/linear/linear_cuda_private.h"
#include "kernels/nn/nn_check.h"

static spx_matrix f32_matrix(const float *data, int64_t row, int64_t column)
{
    return (spx_matrix){(void *)(uintptr_t)data, SPX_TYPE_F32, row, column};
}

static spx_matrix activation(spx_nhwc x, int64_t f)
{
    return (spx_matrix){x.data, x.type, f, 1};
}

static spx_status check(int64_t n, int64_t f, int64_t o, spx_nhwc x, const void *p0, const void *p1)
{
    SPX_RETURN_IF(spx_check_size("linear", n, f, o));
    if (x.data == NULL || p0 == NULL || p1 == NULL ||
        (x.type != SPX_TYPE_F32 && x.type != SPX_TYPE_BF16)) {
        return SPX_FAIL(SPX_EINVAL, "linear: a matrix is missing, or of an unknown type");
    }
    return SPX_OK;
}

static spx_status product(spx_stream *s, const spx_product *p)
{
    spx_product sums = *p;
    bool done;
    SPX_RETURN_IF(spx_product_cublas_cuda(s, p, &done));
    sums.n = 0;
    return !done               ? spx_product_tiled_cuda(s, p)
           : p->a_sums != NULL ? spx_product_tiled_cuda(s, &sums)
                               : SPX_OK;
}

size_t spx_linear_cuda_workspace(int64_t n, int64_t f, int64_t o)
{
    (void)n;
    (void)f;
    (void)o;
    return 0;
}

spx_status spx_linear_forward_cuda(spx_stream *s, int64_t n, int64_t f, int64_t o, spx_nhwc x,
                                   const float *w, const float *b, float *y, void *workspace)
{
    (void)workspace;
    SPX_RETURN_IF(check(n, f, o, x, w, y));
    return product(s, &(spx_product){.m = n,
                                     .n = o,
                                     .k = f,
                                     .a = activation(x, f),
                                     .b = f32_matrix(w, 1, f),
                                     .c = f32_matrix(y, o, 1),
                                     .bias = b});
}

spx_status spx_linear_backward_data_cuda(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                         const float *dy, const float *w, bool accumulate,
                                         spx_nhwc dx, void *workspace)
{
    (void)workspace;
    SPX_RETURN_IF(check(n, f, o, dx, dy, w));
    return product(s, &(spx_product){.m = n,
                                     .n = f,
                                     .k = o,
                                     .a = f32_matrix(dy, o, 1),
                                     .b = f32_matrix(w, f, 1),
                                     .c = activation(dx, f),
                                     .accumulate = accumulate});
}

spx_status spx_linear_backward_weights_cuda(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                            spx_nhwc x, const float *dy, bool accumulate, float *dw,
                                            float *db, void *workspace)
{
    (void)workspace;
    SPX_RETURN_IF(check(n, f, o, x, dy, dw));
    return product(s, &(spx_product){.m = o,
                                     .n = f,
                                     .k = n,
                                     .a = f32_matrix(dy, 1, o),
                                     .b = activation(x, f),
                                     .c = f32_matrix(dw, f, 1),
                                     .a_sums = db,
                                     .accumulate = accumulate});
}
