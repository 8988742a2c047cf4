#ifndef SPX_NN_CHECK_H
#define SPX_NN_CHECK_H
/* Guards shared by the public entries of the light ops. */
#include "kernels/base/alloc.h"
#include "kernels/base/status.h"
#include "kernels/nn/operand.h"

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

/**
 * SPX_EINVAL unless (n, c, hw), of which spx_check_size has been asked, lies in x, of that type, as
 * the stream's device has it. CUDA: at most 2^31 - 1 pixels, so that kernels divide 32-bit numbers.
 */
SPX_MUST_CHECK static inline spx_status spx_check_typed(const spx_stream *s, const char *op,
                                                        const char *what, spx_operand x,
                                                        spx_type type, int64_t n, int64_t c,
                                                        int64_t hw)
{
    const bool pixels = spx_stream_device(s) != SPX_DEVICE_CPU;
    const int64_t rows = pixels ? n * hw : n, row = pixels ? c : c * hw;
    int64_t all;
    if (x.data == NULL) {
        return SPX_FAIL(SPX_EINVAL, "%s: %s is missing", op, what);
    }
    if (x.type != type || (x.type != SPX_TYPE_F32 && (x.type != SPX_TYPE_BF16 || !pixels))) {
        return SPX_FAIL(SPX_EINVAL, "%s: %s is of another type than the stream's activations", op,
                        what);
    }
    if ((pixels && rows > INT32_MAX) || x.stride < row || !spx_mul_i64(rows, x.stride, &all) ||
        all > SPX_NN_MAX_ELEMENTS) {
        return SPX_FAIL(SPX_EINVAL, "%s: %s has %lld %s of %lld elements, %lld apart", op, what,
                        (long long)rows, pixels ? "pixels" : "images", (long long)row,
                        (long long)x.stride);
    }
    return SPX_OK;
}

/** The same of an activation. */
SPX_MUST_CHECK static inline spx_status spx_check_operand(const spx_stream *s, const char *op,
                                                          const char *what, spx_operand x,
                                                          int64_t n, int64_t c, int64_t hw)
{
    return spx_check_typed(s, op, what, x, spx_activation_type(s), n, c, hw);
}

#endif
