#ifndef SPX_BASE_HOST_DEVICE_H
#define SPX_BASE_HOST_DEVICE_H
/* Marks an inline function that C and CUDA share: `static inline SPX_HOST_DEVICE float f(float x)`.
 * Such a header is plain C17 that is also C++: casts written out, no designated initialisers. */
#if defined(__CUDACC__)
#define SPX_HOST_DEVICE __host__ __device__
#else
#define SPX_HOST_DEVICE
#endif

#endif
