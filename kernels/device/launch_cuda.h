#ifndef SPX_DEVICE_LAUNCH_CUDA_H
#define SPX_DEVICE_LAUNCH_CUDA_H
/*
 * For .cu files only: launching kernels and calling the CUDA runtime. Include it first, then the
 * project's C headers between braces of extern "C":
 *
 *     #include "kernels/device/launch_cuda.h"
 *     extern "C" {
 *     #include "kernels/nn/relu/relu_private.h"
 *     }
 *
 * A .cu file is compiled by nvcc, or by a C++ compiler against the emulation in
 * tests/support/cuda_emulation (SPX_CUDA_EMULATED), so it keeps to what both know: no inline
 * assembly, no cooperative groups, full-mask warp primitives.
 */
#include <cuda_runtime.h>

/* What the project's C headers include, so that none of it lands inside extern "C". */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tuple>
#include <utility>

extern "C" {
#include "kernels/base/host_device.h"
#include "kernels/base/status.h"
#include "kernels/device/device_memory.h"
#include "kernels/device/scalars.h"
#include "kernels/device/stream.h"
#include "kernels/device/stream_cuda_private.h"
}

/**
 * Queues kernel<<<grid, block, shared_bytes>>>(args...) on the current lane. Arguments are
 * converted to the kernel's parameter types; write (kernel<a, b>) where template arguments have
 * commas.
 * @return SPX_OK, SPX_EDEVICE: the launch's own failure, or one of work queued before it
 */
#define SPX_LAUNCH(s, kernel, grid, block, shared_bytes, ...)                                      \
    spx_cuda_launch((s), __FILE__, __LINE__, #kernel, kernel, (grid), (block), (shared_bytes),     \
                    __VA_ARGS__)

/** Inside a kernel: `type *name`, the shared bytes given at the launch, aligned to 16. */
#if defined(SPX_CUDA_EMULATED)
#define SPX_DYNAMIC_SHARED(type, name) type *const name = (type *)spx_emulated_shared()
#else
#define SPX_DYNAMIC_SHARED(type, name)                                                             \
    extern __shared__ __align__(16) unsigned char spx_dynamic_shared[];                            \
    type *const name = reinterpret_cast<type *>(spx_dynamic_shared)
#endif

template <class... P, class... A>
static inline spx_status spx_cuda_launch(const spx_stream *s, const char *file, int line,
                                         const char *name, void (*kernel)(P...), dim3 grid,
                                         dim3 block, size_t shared_bytes, A... args)
{
    static_assert(sizeof...(P) == sizeof...(A), "one argument for each of the kernel's parameters");
    std::tuple<P...> values(static_cast<P>(args)...);
    cudaError_t e = cudaSuccess;
#if defined(SPX_CUDA_EMULATED)
    e = spx_emulated_launch(name, grid, block, shared_bytes, spx_cuda_stream(s),
                            [kernel, values] { std::apply(kernel, values); });
#else
    const cudaStream_t stream = spx_cuda_stream(s); /* first: its device becomes the current one */
    if (shared_bytes > 48u * 1024u) { /* more than every device has must be asked for */
        e = cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                 cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared_bytes));
    }
    if (e == cudaSuccess) {
        e = std::apply(
            [&](P &...p) {
                void *pointers[] = {const_cast<void *>(static_cast<const void *>(&p))...};
                return cudaLaunchKernel(reinterpret_cast<const void *>(kernel), grid, block,
                                        pointers, shared_bytes, stream);
            },
            values);
    }
#endif
    return spx_cuda_status(s, file, line, name, e);
}

#endif
