#ifndef SPX_NN_CHECK_H
#define SPX_NN_CHECK_H
/* Guards shared by the public entries of the light ops. */
#include "kernels/base/alloc.h"
#include "kernels/base/status.h"

#define SPX_NN_MAX_ELEMENTS ((int64_t)1 << 40)

/** SPX_EINVAL unless a, b, c >= 1 and a*b*c <= 2^40. */
SPX_MUST_CHECK static inline spx_status spx_check_size(const char *op, int64_t a, int64_t b,
                                                       int64_t c)
{
    int64_t ab, abc;
    if (a < 1 || b < 1 || c < 1 || !spx_mul_i64(a, b, &ab) || !spx_mul_i64(ab, c, &abc) ||
        abc > SPX_NN_MAX_ELEMENTS) {
        return SPX_FAIL(SPX_EINVAL, "%s: sizes %lld x %lld x %lld", op, (long long)a, (long long)b,
                        (long long)c);
    }
    return SPX_OK;
}

/** SPX_EINVAL unless p is given and n images of `image` floats fit `stride` apart. */
SPX_MUST_CHECK static inline spx_status spx_check_images(const char *op, const char *what,
                                                         const float *p, int64_t n, int64_t image,
                                                         int64_t stride)
{
    int64_t all;
    if (p == NULL) {
        return SPX_FAIL(SPX_EINVAL, "%s: %s is missing", op, what);
    }
    if (stride < image || !spx_mul_i64(n, stride, &all) || all > SPX_NN_MAX_ELEMENTS) {
        return SPX_FAIL(SPX_EINVAL, "%s: %s has images of %lld floats %lld apart", op, what,
                        (long long)image, (long long)stride);
    }
    return SPX_OK;
}

#endif
