#ifndef SPX_RESAMPLE_PRIVATE_H
#define SPX_RESAMPLE_PRIVATE_H
/* The two inner loops of resampling, and what every instruction set has of them. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What each wanted pixel of a row is made of. */
typedef struct spx_resample_columns {
    int wanted, taps; /* taps: of each wanted pixel; weights of those it has not are 0 */
    const int32_t *first;
    const double *weight;  /* (wanted, taps) */
    const double *inverse; /* 1 / sum of the weights */
} spx_resample_columns;

typedef struct spx_resample_loops {
    /* out[i] = sum over t < taps of weight[t] * src[t * row + i], i < n. Weights are 0..2^14. */
    void (*rows)(const uint8_t *src, ptrdiff_t row, const int16_t *weight, int taps, int n,
                 double *out);
    /* One wanted row of 1 or 3 interleaved channels out of line, which is readable (as zeros) for
     * `taps` pixels and one value behind its end. inverse: 1 / sum of the rows' weights. */
    void (*columns)(const double *line, int channels, const spx_resample_columns *c, double inverse,
                    uint8_t *out);
} spx_resample_loops;

extern const spx_resample_loops spx_resample_portable, spx_resample_avx2;

#endif
