#include "kernels/nn/linear/linear_cuda_private.h"
#include "kernels/nn/linear/linear_private.h"

static spx_matrix f32_matrix(const float *data, int64_t row, int64_t column)
{
    return (spx_matrix){(void *)(uintptr_t)data, SPX_TYPE_F32, row, column};
}

static spx_matrix activation(spx_operand x, int64_t f)
{
    return (spx_matrix){x.data, x.type, f, 1};
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

static spx_status forward_cuda(spx_stream *s, int64_t n, int64_t f, int64_t o, spx_operand x,
                               const float *w, const float *b, float *y)
{
    return product(s, &(spx_product){.m = n,
                                     .n = o,
                                     .k = f,
                                     .a = activation(x, f),
                                     .b = f32_matrix(w, 1, f),
                                     .c = f32_matrix(y, o, 1),
                                     .bias = b});
}

static spx_status backward_data_cuda(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                     const float *dy, const float *w, bool accumulate,
                                     spx_operand dx)
{
    return product(s, &(spx_product){.m = n,
                                     .n = f,
                                     .k = o,
                                     .a = f32_matrix(dy, o, 1),
                                     .b = f32_matrix(w, f, 1),
                                     .c = activation(dx, f),
                                     .accumulate = accumulate});
}

static spx_status backward_weights_cuda(spx_stream *s, int64_t n, int64_t f, int64_t o,
                                        spx_operand x, const float *dy, bool accumulate, float *dw,
                                        float *db)
{
    return product(s, &(spx_product){.m = o,
                                     .n = f,
                                     .k = n,
                                     .a = f32_matrix(dy, 1, o),
                                     .b = activation(x, f),
                                     .c = f32_matrix(dw, f, 1),
                                     .a_sums = db,
                                     .accumulate = accumulate});
}

const spx_linear_backend spx_linear_cuda = {forward_cuda, backward_data_cuda,
                                            backward_weights_cuda};
