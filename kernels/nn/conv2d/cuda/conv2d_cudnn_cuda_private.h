#ifndef SPX_NN_CONV2D_CUDNN_CUDA_PRIVATE_H
#define SPX_NN_CONV2D_CUDNN_CUDA_PRIVATE_H
/* Private: shared by the two files about cuDNN and by their test. */
#include "kernels/nn/conv2d/cuda/conv2d_cuda_private.h"
#include "kernels/nn/conv2d/cuda/conv2d_library_cuda_private.h"

struct spx_conv2d_library {
    const spx_cudnn *lib;
    cudnnHandle_t handle;                /* of a stream's device, or */
    cudnnBackendDescriptor_t properties; /* of a device that need not be there */
    int64_t scratch;                     /* bytes that a candidate may always want */
};

/** Chooses and finalises for a device described in cuDNN's own JSON, without one: candidates and
 * engines can be asked for, not run. cuDNN 9.8 or newer. Close with spx_conv2d_library_close.
 * @param memory  bytes of the device */
SPX_MUST_CHECK spx_status spx_conv2d_library_for(const char *json, size_t memory,
                                                 spx_conv2d_library **out);
void spx_conv2d_library_close(void *library); /* NULL is a no-op */

/* Descriptors of one operation, destroyed together. The first failure stays in `status` and makes
 * what follows no-ops. */
#define SPX_CUDNN_BAG 96
typedef struct spx_cudnn_bag {
    const spx_cudnn *lib;
    spx_status status;
    int n;
    cudnnBackendDescriptor_t item[SPX_CUDNN_BAG];
} spx_cudnn_bag;

void spx_cudnn_bag_clear(spx_cudnn_bag *b);
/** NULL after a failure. */
cudnnBackendDescriptor_t spx_cudnn_make(spx_cudnn_bag *b, cudnnBackendDescriptorType_t type,
                                        const char *name);
void spx_cudnn_set(spx_cudnn_bag *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t attr,
                   cudnnBackendAttributeType_t type, int64_t count, const void *values,
                   const char *name);
void spx_cudnn_finalize(spx_cudnn_bag *b, cudnnBackendDescriptor_t d, const char *name);
/** Elements there are; at most `most` are written to values. NULL with most = 0 counts the answers
 * of ENGINEHEUR_RESULTS; ENGINECFG_KNOB_CHOICES, asked so, are 0 always. */
int64_t spx_cudnn_get(spx_cudnn_bag *b, cudnnBackendDescriptor_t d,
                      cudnnBackendAttributeName_t attr, cudnnBackendAttributeType_t type,
                      int64_t most, void *values, const char *name);

#define SPX_CUDNN_MAKE(b, KIND) spx_cudnn_make((b), CUDNN_BACKEND_##KIND##_DESCRIPTOR, #KIND)
#define SPX_CUDNN_SET(b, d, ATTR, TYPE, count, values)                                             \
    spx_cudnn_set((b), (d), CUDNN_ATTR_##ATTR, CUDNN_TYPE_##TYPE, (count), (values), #ATTR)
#define SPX_CUDNN_GET(b, d, ATTR, TYPE, most, values)                                              \
    spx_cudnn_get((b), (d), CUDNN_ATTR_##ATTR, CUDNN_TYPE_##TYPE, (most), (values), #ATTR)

enum { SPX_CUDNN_X = 1, SPX_CUDNN_W, SPX_CUDNN_Y }; /* the operands' numbers */

/** The operation graph of a problem: the three operands and the convolution. */
cudnnBackendDescriptor_t spx_cudnn_graph(spx_cudnn_bag *b, const spx_conv2d_library *l,
                                         const spx_conv2d_problem *p);

#endif
