#ifndef SPX_EMULATED_CUDA_BF16_H
#define SPX_EMULATED_CUDA_BF16_H
/* bf16 on the CPU: the upper half of an f32, rounded to nearest even; arithmetic in f32. */
#include <cuda_runtime.h>

struct __nv_bfloat16 {
    unsigned short bits;
    __nv_bfloat16() = default;
    inline __nv_bfloat16(float v);
    inline operator float() const;
};
typedef __nv_bfloat16 nv_bfloat16;

struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
typedef __nv_bfloat162 nv_bfloat162;

static inline float __bfloat162float(__nv_bfloat16 v)
{
    return __uint_as_float((unsigned)v.bits << 16);
}

static inline __nv_bfloat16 __float2bfloat16_rn(float v)
{
    const unsigned u = __float_as_uint(v);
    __nv_bfloat16 out;
    if (v != v) {
        out.bits = 0x7fff; /* the device's one NaN */
    } else {
        out.bits = (unsigned short)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
    }
    return out;
}

static inline __nv_bfloat16 __float2bfloat16(float v)
{
    return __float2bfloat16_rn(v);
}

inline __nv_bfloat16::__nv_bfloat16(float v) : bits(__float2bfloat16_rn(v).bits)
{
}

inline __nv_bfloat16::operator float() const
{
    return __bfloat162float(*this);
}

static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    __nv_bfloat162 out;
    out.x = __float2bfloat16_rn(x);
    out.y = __float2bfloat16_rn(y);
    return out;
}

static inline float2 __bfloat1622float2(__nv_bfloat162 v)
{
    return make_float2(__bfloat162float(v.x), __bfloat162float(v.y));
}

static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short v)
{
    __nv_bfloat16 out;
    out.bits = v;
    return out;
}

static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 v)
{
    return v.bits;
}

#endif
