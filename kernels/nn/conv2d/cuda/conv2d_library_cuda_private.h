#ifndef SPX_NN_CONV2D_LIBRARY_CUDA_PRIVATE_H
#define SPX_NN_CONV2D_LIBRARY_CUDA_PRIVATE_H
/* Private: the functions of cuDNN that convolutions need, found when the first of them is planned,
 * so that a binary starts where the library or the driver is missing. */
#include "kernels/base/status.h"

#include <cudnn_graph.h>
#include <stddef.h>

/* X(name, return type, parameters) */
#define SPX_CUDNN_FUNCTIONS(X)                                                                     \
    X(GetVersion, size_t, (void))                                                                  \
    X(GetErrorString, const char *, (cudnnStatus_t))                                               \
    X(GetLastErrorString, void, (char *, size_t))                                                  \
    X(Create, cudnnStatus_t, (cudnnHandle_t *))                                                    \
    X(Destroy, cudnnStatus_t, (cudnnHandle_t))                                                     \
    X(SetStream, cudnnStatus_t, (cudnnHandle_t, cudaStream_t))                                     \
    X(BackendCreateDescriptor, cudnnStatus_t,                                                      \
      (cudnnBackendDescriptorType_t, cudnnBackendDescriptor_t *))                                  \
    X(BackendDestroyDescriptor, cudnnStatus_t, (cudnnBackendDescriptor_t))                         \
    X(BackendFinalize, cudnnStatus_t, (cudnnBackendDescriptor_t))                                  \
    X(BackendSetAttribute, cudnnStatus_t,                                                          \
      (cudnnBackendDescriptor_t, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t,         \
       int64_t, const void *))                                                                     \
    X(BackendGetAttribute, cudnnStatus_t,                                                          \
      (cudnnBackendDescriptor_t const, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t,   \
       int64_t, int64_t *, void *))                                                                \
    X(BackendExecute, cudnnStatus_t,                                                               \
      (cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t))

typedef struct spx_cudnn {
    size_t version; /* 10000 * major + 100 * minor + patch */
#define X(name, type, parameters) type(*name) parameters;
    SPX_CUDNN_FUNCTIONS(X)
#undef X
} spx_cudnn;

/**
 * Finds the library once per process, by the environment's SPHYNX_CUDNN (a path; "none" does
 * without the library) or else by its usual name. Any thread may call it.
 * @param out NULL where it is switched off
 * @return SPX_OK; SPX_EDEVICE where it is missing or older than 9, saying what to do
 */
SPX_MUST_CHECK spx_status spx_cudnn_find(const spx_cudnn **out);

/** SPX_OK for success; else what failed with the library's own words: SPX_EUNSUPPORTED,
 * SPX_EINVAL, SPX_ENOMEM, SPX_EDEVICE. */
SPX_MUST_CHECK spx_status spx_cudnn_status(const spx_cudnn *lib, const char *what,
                                           const char *detail, cudnnStatus_t st);

#endif
