/*
 * The noise budget of he.h. Only correctly rounded operations (no logarithms), so that both sides
 * come to the same plan.
 */
#include "host/secure/he/he_private.h"

#include "kernels/crypto/sampler.h"

#include <math.h>

/* check-figure: FLOOD_FACTOR - 0.001 < sqrt(4.563) / 2 < FLOOD_FACTOR
 * check-figure: ROUNDING_EXPONENT - 0.00001 < 81 * log(2) < ROUNDING_EXPONENT
 * check-figure: 2 * exp(-ROUNDING_EXPONENT) < 2^-80 */
#define FLOOD_FACTOR 1.069         /* sqrt(4.563) / 2, rounded up */
#define HIDDEN_BITS 40             /* statistical security */
#define ROUNDING_EXPONENT 56.14493 /* 81 ln 2, rounded up: P <= 2^-80, sub-Gaussian */
#define MOST_EXTRA_BITS 16         /* k <= l + this */

bool he_noise(const he_set *s, int l, int weight_bits, double terms, spx_he_facts *f)
{
    const double n = (double)s->n, weight = ldexp(1.0, weight_bits - 1);
    const double q = ldexp(1.0 - 0x1p-10, he_set_bits(s)); /* from below */
    const double sigma =
        sqrt(terms * weight * weight * (SPX_CBD_VARIANCE + 1.0 / 12) + 14 * n + 0.25);
    const double least = FLOOD_FACTOR * ldexp(sigma, HIDDEN_BITS + SPX_HE_KEY_LIFE / 2);
    const double rounding = sqrt(n / 6 * ROUNDING_EXPONENT);
    double flooded;
    f->flood_width = 1;
    while (ldexp(1.0, f->flood_width) < least) {
        f->flood_width++;
    }
    flooded =
        ldexp(1.5, f->flood_width) + (SPX_CBD_ETA + 0.5) * terms * weight + 2 * SPX_CBD_ETA * n + 1;
    f->sigma_bits = log2(sigma); /* told, not used */
    for (int k = l + 2; k < l + MOST_EXTRA_BITS; k++) {
        const double room = ldexp(1.0, k - l - 1), taken = ldexp(flooded, k) / q + rounding + 1;
        int drop = 0;
        if (taken + 0.5 >= room) {
            continue;
        }
        while (taken + ldexp(1.0, drop) < room) { /* drop + 1 bits err by 2^drop */
            drop++;
        }
        f->first_bits = k;
        f->second_bits = k - drop;
        f->margin_bits = log2(room / (taken + ldexp(0.5, drop)));
        return f->flood_width <= 120;
    }
    return false;
}

uint64_t he_weights_beyond(const spx_he_plan *p, const int32_t *const *weights)
{
    const int64_t bound = (int64_t)1 << (p->weight_bits - 1);
    uint64_t beyond = 0;
    for (int i = 0; i < p->convs; i++) {
        const spx_he_conv *c = &p->conv[i];
        const size_t n = (size_t)(c->k * c->c * c->r * c->s);
        for (size_t j = 0; j < n; j++) {
            beyond |= (uint64_t)(bound - weights[i][j]) | (uint64_t)(bound + weights[i][j]);
        }
    }
    return beyond >> 63;
}
