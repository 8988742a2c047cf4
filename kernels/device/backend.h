#ifndef SPX_DEVICE_BACKEND_H
#define SPX_DEVICE_BACKEND_H
/*
 * An op's functions on a device are a constant table, `const spx_OP_backend`; its public entry
 * checks the arguments and calls the table of the stream's device. CUDA's, spx_OP_cuda, lies in the
 * op's .cu file and exists where SPX_HAVE_CUDA: elsewhere no stream is on CUDA (spx_stream_open
 * refuses).
 */
#include "kernels/device/stream.h"

#ifdef SPX_HAVE_CUDA
#define SPX_BACKEND(s, cpu, cuda) (spx_stream_device(s) == SPX_DEVICE_CUDA ? &(cuda) : &(cpu))
#else
#define SPX_BACKEND(s, cpu, cuda) ((void)(s), &(cpu))
#endif

#endif
