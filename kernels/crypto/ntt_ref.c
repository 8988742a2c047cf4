/* The transform in portable 64-bit arithmetic: what the others must equal. */
#include "kernels/crypto/ntt_private.h"

/* Every value canonical at every level: slow and plain. */
static void forward(const spx_ntt *t, uint64_t *x)
{
    const uint64_t q = t->m.q;
    for (size_t m = 1, half = t->n / 2; m < t->n; m *= 2, half /= 2) {
        for (size_t i = 0; i < m; i++) {
            const uint64_t w = t->word.forward.w[m + i], ratio = t->word.forward.ratio[m + i];
            uint64_t *u = x + 2 * i * half, *v = u + half;
            for (size_t k = 0; k < half; k++) {
                const uint64_t p = spx_modq_mul_shoup(v[k], w, ratio, q);
                v[k] = spx_modq_sub(u[k], p, q);
                u[k] = spx_modq_add(u[k], p, q);
            }
        }
    }
}

static void inverse(const spx_ntt *t, uint64_t *x)
{
    const uint64_t q = t->m.q;
    for (size_t m = t->n / 2, half = 1; m >= 1; m /= 2, half *= 2) {
        for (size_t i = 0; i < m; i++) {
            const uint64_t w = t->word.inverse.w[m + i], ratio = t->word.inverse.ratio[m + i];
            uint64_t *u = x + 2 * i * half, *v = u + half;
            for (size_t k = 0; k < half; k++) {
                const uint64_t d = u[k] + q - v[k];
                u[k] = spx_modq_add(u[k], v[k], q);
                v[k] = spx_modq_mul_shoup(d, w, ratio, q);
            }
        }
    }
    for (size_t k = 0; k < t->n; k++) {
        x[k] = spx_modq_mul_shoup(x[k], t->word.n_inverse, t->word.n_ratio, q);
    }
}

/* 64 products of 92 bits and a residue fit 128 bits: one reduction an element. */
static void dot(const spx_ntt *t, uint64_t *sum, size_t terms, const uint64_t *const x[],
                const uint64_t *const w[])
{
    for (size_t k = 0; k < t->n; k++) {
        spx_u128 s = {0, sum[k]};
        for (size_t i = 0; i < terms; i++) {
            s = spx_u128_add(s, spx_mul_wide(x[i][k], w[i][k]));
        }
        sum[k] = spx_modq_reduce_wide(s, &t->m);
    }
}

const ntt_ops ntt_ops_ref = {"portable", forward, inverse, dot};
