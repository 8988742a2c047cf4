/*
 * Large products through cuBLASLt, which needs no state between calls and no memory of its own, so
 * that recordings may hold it. The library is looked for when it is first wanted: SPHYNX_CUBLAS
 * names it, "none" switches it off; without it the own kernel runs.
 */
#define _DEFAULT_SOURCE
#include "kernels/nn/linear/linear_cublas_cuda_private.h"

#include "kernels/device/stream_cuda_private.h"
#include "kernels/nn/linear/linear_cuda_private.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Below about this many multiply-adds there are too few tiles for the library to win by. */
#define WORTHWHILE ((double)(1 << 23))

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define LIBRARY "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)

/* Written once. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool found;
static struct {
#define X(name) __typeof__(&cublasLt##name) name;
    SPX_CUBLASLT_FUNCTIONS(X)
#undef X
} lt;

static void find(void)
{
    const char *path = getenv("SPHYNX_CUBLAS");
    if (path != NULL && strcmp(path, "none") == 0) {
        return;
    }
    void *handle = dlopen(path != NULL && path[0] != '\0' ? path : LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool all = handle != NULL;
    void *symbol;
#define X(name)                                                                                    \
    symbol = all ? dlsym(handle, "cublasLt" #name) : NULL;                                         \
    all = symbol != NULL;                                                                          \
    memcpy(&lt.name, &symbol, sizeof symbol);
    SPX_CUBLASLT_FUNCTIONS(X)
#undef X
    found = all;
}

static spx_status open_handle(spx_stream *s, void **out)
{
    cublasLtHandle_t handle = NULL;
    (void)spx_cuda_stream(s); /* its device becomes the thread's */
    const cublasStatus_t st = lt.Create(&handle);
    *out = handle;
    return st == CUBLAS_STATUS_SUCCESS ? SPX_OK : SPX_FAIL(SPX_EDEVICE, "cuBLASLt: %d", (int)st);
}

static void close_handle(void *handle)
{
    (void)lt.Destroy(handle);
}

/* The library counts columns first: it is asked for c' = b' a'. */
typedef struct call {
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulPreference_t preference;
} call;

static void call_clear(call *k)
{
    if (k->preference != NULL) {
        (void)lt.MatmulPreferenceDestroy(k->preference);
    }
    if (k->op != NULL) {
        (void)lt.MatmulDescDestroy(k->op);
    }
    cublasLtMatrixLayout_t layouts[] = {k->a, k->b, k->c};
    for (int i = 0; i < 3; i++) {
        if (layouts[i] != NULL) {
            (void)lt.MatrixLayoutDestroy(layouts[i]);
        }
    }
}

/* x of rows x columns, transposed: as it lies where adjacent elements are in a row, else turned. */
static bool set_operand(call *k, cublasLtMatrixLayout_t *layout,
                        cublasLtMatmulDescAttributes_t which, const spx_matrix *x, int64_t rows,
                        int64_t columns)
{
    const bool along = x->column == 1;
    const int32_t turn = along ? CUBLAS_OP_N : CUBLAS_OP_T;
    return lt.MatmulDescSetAttribute(k->op, which, &turn, sizeof turn) == CUBLAS_STATUS_SUCCESS &&
           lt.MatrixLayoutCreate(layout, CUDA_R_32F, (uint64_t)(along ? columns : rows),
                                 (uint64_t)(along ? rows : columns),
                                 along ? x->row : x->column) == CUBLAS_STATUS_SUCCESS;
}

static bool set_epilogue(const call *k, const float *bias)
{
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    return bias == NULL ||
           (lt.MatmulDescSetAttribute(k->op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                      sizeof epilogue) == CUBLAS_STATUS_SUCCESS &&
            lt.MatmulDescSetAttribute(k->op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                      sizeof bias) == CUBLAS_STATUS_SUCCESS);
}

static bool prefer(const call *k, cublasLtMatmulPreferenceAttributes_t which, uint32_t value)
{
    return lt.MatmulPreferenceSetAttribute(k->preference, which, &value, sizeof value) ==
           CUBLAS_STATUS_SUCCESS;
}

static uint32_t alignment(const void *p)
{
    const uintptr_t bits = (uintptr_t)p | 256;
    return (uint32_t)(bits & (0 - bits));
}

/* No scratch, and no sums split over blocks: the same bits each time. */
static bool set_preferences(call *k, const spx_product *p)
{
    const uint64_t scratch = 0;
    return lt.MatmulPreferenceCreate(&k->preference) == CUBLAS_STATUS_SUCCESS &&
           lt.MatmulPreferenceSetAttribute(k->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                           &scratch, sizeof scratch) == CUBLAS_STATUS_SUCCESS &&
           prefer(k, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_NONE) &&
           prefer(k, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p->b.data)) &&
           prefer(k, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p->a.data)) &&
           prefer(k, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p->c.data)) &&
           prefer(k, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p->c.data));
}

static bool set_call(call *k, const spx_stream *s, const spx_product *p)
{
    const cublasComputeType_t compute = spx_stream_precision(s) == SPX_PRECISION_F32
                                            ? CUBLAS_COMPUTE_32F
                                            : CUBLAS_COMPUTE_32F_FAST_TF32;
    return lt.MatmulDescCreate(&k->op, compute, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
           set_operand(k, &k->a, CUBLASLT_MATMUL_DESC_TRANSA, &p->b, p->k, p->n) &&
           set_operand(k, &k->b, CUBLASLT_MATMUL_DESC_TRANSB, &p->a, p->m, p->k) &&
           lt.MatrixLayoutCreate(&k->c, CUDA_R_32F, (uint64_t)p->n, (uint64_t)p->m, p->c.row) ==
               CUBLAS_STATUS_SUCCESS &&
           set_epilogue(k, p->bias) && set_preferences(k, p);
}

static bool suits(const spx_product *p)
{
    return p->a.type == SPX_TYPE_F32 && p->b.type == SPX_TYPE_F32 && p->c.type == SPX_TYPE_F32 &&
           p->c.column == 1 && (double)p->m * (double)p->n * (double)p->k >= WORTHWHILE;
}

spx_status spx_product_cublas_cuda(spx_stream *s, const spx_product *p, bool *done)
{
    cublasLtMatmulHeuristicResult_t best;
    cublasStatus_t st = CUBLAS_STATUS_SUCCESS;
    const float one = 1, beta = p->accumulate ? 1 : 0;
    int count = 0;
    void *handle;
    call k = {0};
    *done = false;
    (void)pthread_once(&once, find);
    if (!found || !suits(p)) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_stream_library(s, SPX_STREAM_CUBLAS, open_handle, close_handle, &handle));
    if (set_call(&k, s, p) &&
        lt.MatmulAlgoGetHeuristic(handle, k.op, k.a, k.b, k.c, k.c, k.preference, 1, &best,
                                  &count) == CUBLAS_STATUS_SUCCESS &&
        count > 0 && best.state == CUBLAS_STATUS_SUCCESS) {
        st = lt.Matmul(handle, k.op, &one, p->b.data, k.a, p->a.data, k.b, &beta, p->c.data, k.c,
                       p->c.data, k.c, &best.algo, NULL, 0, spx_cuda_stream(s));
        *done = st == CUBLAS_STATUS_SUCCESS;
    }
    call_clear(&k);
    return st == CUBLAS_STATUS_SUCCESS ? SPX_OK : SPX_FAIL(SPX_EDEVICE, "cuBLASLt: %d", (int)st);
}
