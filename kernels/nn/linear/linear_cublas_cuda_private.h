#ifndef SPX_NN_LINEAR_CUBLAS_CUDA_PRIVATE_H
#define SPX_NN_LINEAR_CUBLAS_CUDA_PRIVATE_H
/* What is used of cuBLASLt, found at run time: X(name) for cublasLt<name>. */
#include <cublasLt.h>

#define SPX_CUBLASLT_FUNCTIONS(X)                                                                  \
    X(Create)                                                                                      \
    X(Destroy)                                                                                     \
    X(Matmul)                                                                                      \
    X(MatmulAlgoGetHeuristic) X(MatmulDescCreate) X(MatmulDescDestroy) X(MatmulDescSetAttribute)   \
        X(MatrixLayoutCreate) X(MatrixLayoutDestroy) X(MatmulPreferenceCreate)                     \
            X(MatmulPreferenceDestroy) X(MatmulPreferenceSetAttribute)

#endif
