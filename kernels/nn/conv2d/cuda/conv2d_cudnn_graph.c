/* A convolution as cuDNN's graph API describes it. */
#include "kernels/nn/conv2d/cuda/conv2d_cudnn_cuda_private.h"

#define OPERAND_ALIGN 16 /* bytes; what tensor-core engines ask for */

static void note(spx_cudnn_bag *b, const char *what, const char *name, cudnnStatus_t st)
{
    b->status = spx_cudnn_status(b->lib, what, name, st);
}

void spx_cudnn_bag_clear(spx_cudnn_bag *b)
{
    while (b->n > 0) {
        (void)b->lib->BackendDestroyDescriptor(b->item[--b->n]);
    }
}

cudnnBackendDescriptor_t spx_cudnn_make(spx_cudnn_bag *b, cudnnBackendDescriptorType_t type,
                                        const char *name)
{
    cudnnBackendDescriptor_t d = NULL;
    if (b->status != SPX_OK) {
        return NULL;
    }
    if (b->n == SPX_CUDNN_BAG) {
        b->status = SPX_FAIL(SPX_EUNSUPPORTED, "cuDNN: more than %d descriptors", SPX_CUDNN_BAG);
        return NULL;
    }
    note(b, "creating", name, b->lib->BackendCreateDescriptor(type, &d));
    if (b->status != SPX_OK) {
        return NULL;
    }
    b->item[b->n++] = d;
    return d;
}

void spx_cudnn_set(spx_cudnn_bag *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t attr,
                   cudnnBackendAttributeType_t type, int64_t count, const void *values,
                   const char *name)
{
    if (b->status == SPX_OK) {
        note(b, "setting", name, b->lib->BackendSetAttribute(d, attr, type, count, values));
    }
}

void spx_cudnn_finalize(spx_cudnn_bag *b, cudnnBackendDescriptor_t d, const char *name)
{
    if (b->status == SPX_OK) {
        note(b, "finalising", name, b->lib->BackendFinalize(d));
    }
}

int64_t spx_cudnn_get(spx_cudnn_bag *b, cudnnBackendDescriptor_t d,
                      cudnnBackendAttributeName_t attr, cudnnBackendAttributeType_t type,
                      int64_t most, void *values, const char *name)
{
    int64_t count = 0;
    if (b->status == SPX_OK) {
        note(b, "reading", name, b->lib->BackendGetAttribute(d, attr, type, most, &count, values));
    }
    return b->status == SPX_OK ? count : 0;
}

/* dim and stride: images, channels, rows, columns. */
static cudnnBackendDescriptor_t tensor(spx_cudnn_bag *b, int64_t uid, spx_type type,
                                       const int64_t dim[4], int64_t pixel)
{
    const int64_t stride[4] = {dim[2] * dim[3] * pixel, 1, dim[3] * pixel, pixel};
    const int64_t align = OPERAND_ALIGN;
    const cudnnDataType_t data = type == SPX_TYPE_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const cudnnBackendDescriptor_t t = SPX_CUDNN_MAKE(b, TENSOR);
    SPX_CUDNN_SET(b, t, TENSOR_UNIQUE_ID, INT64, 1, &uid);
    SPX_CUDNN_SET(b, t, TENSOR_DATA_TYPE, DATA_TYPE, 1, &data);
    SPX_CUDNN_SET(b, t, TENSOR_DIMENSIONS, INT64, 4, dim);
    SPX_CUDNN_SET(b, t, TENSOR_STRIDES, INT64, 4, stride);
    SPX_CUDNN_SET(b, t, TENSOR_BYTE_ALIGNMENT, INT64, 1, &align);
    spx_cudnn_finalize(b, t, "TENSOR");
    return t;
}

static cudnnBackendDescriptor_t convolution(spx_cudnn_bag *b, const spx_conv2d_shape *d)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t dims = 2, pre[2] = {d->pad_begin, d->pad_begin},
                  post[2] = {d->pad_end, d->pad_end};
    const int64_t stride[2] = {d->stride, d->stride}, dilation[2] = {d->dilation, d->dilation};
    const cudnnBackendDescriptor_t c = SPX_CUDNN_MAKE(b, CONVOLUTION);
    SPX_CUDNN_SET(b, c, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &sums);
    SPX_CUDNN_SET(b, c, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, &mode);
    SPX_CUDNN_SET(b, c, CONVOLUTION_SPATIAL_DIMS, INT64, 1, &dims);
    SPX_CUDNN_SET(b, c, CONVOLUTION_PRE_PADDINGS, INT64, 2, pre);
    SPX_CUDNN_SET(b, c, CONVOLUTION_POST_PADDINGS, INT64, 2, post);
    SPX_CUDNN_SET(b, c, CONVOLUTION_FILTER_STRIDES, INT64, 2, stride);
    SPX_CUDNN_SET(b, c, CONVOLUTION_DILATIONS, INT64, 2, dilation);
    spx_cudnn_finalize(b, c, "CONVOLUTION");
    return c;
}

/* The same six attributes of an operation under the three passes' names. */
#define OPERATION(b, op, PASS, x_name, w_name, y_name)                                             \
    do {                                                                                           \
        SPX_CUDNN_SET(b, op, OPERATION_CONVOLUTION_##PASS##_ALPHA, FLOAT, 1, &alpha);              \
        SPX_CUDNN_SET(b, op, OPERATION_CONVOLUTION_##PASS##_BETA, FLOAT, 1, &beta);                \
        SPX_CUDNN_SET(b, op, OPERATION_CONVOLUTION_##PASS##_CONV_DESC, BACKEND_DESCRIPTOR, 1, &c); \
        SPX_CUDNN_SET(b, op, OPERATION_CONVOLUTION_##PASS##_##x_name, BACKEND_DESCRIPTOR, 1, &x);  \
        SPX_CUDNN_SET(b, op, OPERATION_CONVOLUTION_##PASS##_##w_name, BACKEND_DESCRIPTOR, 1, &w);  \
        SPX_CUDNN_SET(b, op, OPERATION_CONVOLUTION_##PASS##_##y_name, BACKEND_DESCRIPTOR, 1, &y);  \
    } while (0)

static cudnnBackendDescriptor_t operation(spx_cudnn_bag *b, const spx_conv2d_problem *p)
{
    const spx_conv2d_shape *d = &p->shape;
    const int64_t x_dim[4] = {d->n, d->c, d->h, d->w}, y_dim[4] = {d->n, d->k, d->p, d->q};
    const int64_t w_dim[4] = {d->k, d->c / d->groups, d->r, d->s}; /* fewer channels: groups */
    const float alpha = 1, beta = p->accumulate ? 1 : 0;
    const cudnnBackendDescriptor_t x = tensor(b, SPX_CUDNN_X, p->type, x_dim, p->x_pixel);
    const cudnnBackendDescriptor_t w = tensor(b, SPX_CUDNN_W, p->type, w_dim, w_dim[1]);
    const cudnnBackendDescriptor_t y = tensor(b, SPX_CUDNN_Y, p->type, y_dim, p->y_pixel);
    const cudnnBackendDescriptor_t c = convolution(b, d);
    cudnnBackendDescriptor_t op;
    switch (p->pass) {
    case SPX_CONV2D_FORWARD:
        op = SPX_CUDNN_MAKE(b, OPERATION_CONVOLUTION_FORWARD);
        OPERATION(b, op, FORWARD, X, W, Y);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        op = SPX_CUDNN_MAKE(b, OPERATION_CONVOLUTION_BACKWARD_DATA);
        OPERATION(b, op, BWD_DATA, DX, W, DY);
        break;
    default:
        op = SPX_CUDNN_MAKE(b, OPERATION_CONVOLUTION_BACKWARD_FILTER);
        OPERATION(b, op, BWD_FILTER, X, DW, DY);
        break;
    }
    spx_cudnn_finalize(b, op, "OPERATION_CONVOLUTION");
    return op;
}

cudnnBackendDescriptor_t spx_cudnn_graph(spx_cudnn_bag *b, const spx_conv2d_library *l,
                                         const spx_conv2d_problem *p)
{
    const cudnnBackendDescriptor_t op = operation(b, p);
    const cudnnBackendDescriptor_t g = SPX_CUDNN_MAKE(b, OPERATIONGRAPH);
    SPX_CUDNN_SET(b, g, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 1, &op);
    if (l->handle != NULL) {
        SPX_CUDNN_SET(b, g, OPERATIONGRAPH_HANDLE, HANDLE, 1, &l->handle);
    }
    spx_cudnn_finalize(b, g, "OPERATIONGRAPH");
    return g;
}
