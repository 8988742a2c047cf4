#ifndef SPX_DEVICE_STREAM_CUDA_PRIVATE_H
#define SPX_DEVICE_STREAM_CUDA_PRIVATE_H
/* The CUDA stream behind a stream, and the runtime's failures as statuses; C and C++. */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#if !defined(SPX_CUDA_EMULATED) /* there launch_cuda.h has included what is wanted */
#include <cuda_runtime_api.h>
#endif

/** The CUDA stream behind the current lane of s, a stream of SPX_DEVICE_CUDA; its device becomes
 * the calling thread's. */
cudaStream_t spx_cuda_stream(const spx_stream *s);

/** SPX_OK for cudaSuccess, else SPX_EDEVICE (out of memory: SPX_ENOMEM) with the stream's label,
 * `what` and the runtime's text; s may be NULL. Use SPX_CUDA_CHECK. */
SPX_MUST_CHECK spx_status spx_cuda_status(const spx_stream *s, const char *file, int line,
                                          const char *what, cudaError_t e);

/** Status of a runtime call: SPX_RETURN_IF(SPX_CUDA_CHECK(s, cudaMemsetAsync(...))). */
#define SPX_CUDA_CHECK(s, call) spx_cuda_status((s), __FILE__, __LINE__, #call, (call))

/** Counters of the current lane, SPX_CUDA_TICKETS of them in device memory, for kernels whose last
 * block ends the work of all: zero before a kernel, and left at zero by it. A lane's kernels follow
 * one another, so one set is enough; a recording is replayed on the stream it was made on. */
#define SPX_CUDA_TICKETS 1024
unsigned *spx_cuda_tickets(const spx_stream *s);

#endif
