#include "search/evidence/stats.h"

#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"

#include <math.h>
#include <stdlib.h>

double spx_mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum / (double)n;
}

double spx_deviation(const double *x, size_t n)
{
    const double mean = spx_mean(x, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (x[i] - mean) * (x[i] - mean);
    }
    return n < 2 ? 0 : sqrt(sum / (double)(n - 1));
}

/* ---- Student's distribution ---- */

/* The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method: it
 * converges within some tens of terms where x < (a + 1)/(a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1), f;
    d = 1 / (fabs(d) < tiny ? tiny : d);
    f = d;
    for (int m = 1; m <= 1000; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        const double term[2] = {even, odd};
        double step = 1;
        for (int i = 0; i < 2; i++) {
            d = 1 + term[i] * d;
            c = 1 + term[i] / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            step = c * d;
            f *= step;
        }
        if (fabs(step - 1) < 1e-16) {
            break;
        }
    }
    return f;
}

/* I_x(a, b), 0 <= x <= 1. */
static double incomplete_beta(double a, double b, double x)
{
    if (x <= 0 || x >= 1) {
        return x <= 0 ? 0 : 1;
    }
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                     : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double spx_student_cdf(double t, double df)
{
    const double tail = 0.5 * incomplete_beta(df / 2, 0.5, df / (df + t * t));
    return t > 0 ? 1 - tail : tail;
}

double spx_student_quantile(double p, double df)
{
    double low = -1, high = 1;
    while (spx_student_cdf(low, df) > p && low > -1e300) {
        low *= 2;
    }
    while (spx_student_cdf(high, df) < p && high < 1e300) {
        high *= 2;
    }
    for (int i = 0; i < 200 && low < high; i++) {
        const double middle = low + (high - low) / 2;
        if (spx_student_cdf(middle, df) < p) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

/* ---- differences ---- */

static spx_status check(const double *x, size_t n, size_t least, double level)
{
    if (n < least || !(level > 0 && level < 1)) {
        return SPX_FAIL(SPX_EINVAL, "a sample of %zu, expected %zu or more, at a level of %g", n,
                        least, level);
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return SPX_FAIL(SPX_EINVAL, "a sample with a number that is not finite");
        }
    }
    return SPX_OK;
}

/* What follows from difference, error and df. Numbers that do not vary leave nothing to chance. */
static void judge(spx_difference *d, double level)
{
    const double half = d->error * spx_student_quantile(0.5 + level / 2, d->df);
    d->p = d->error > 0 ? 2 * spx_student_cdf(-fabs(d->difference / d->error), d->df)
                        : (d->difference == 0);
    d->low = d->difference - half;
    d->high = d->difference + half;
}

spx_status spx_welch(const double *a, size_t n, const double *b, size_t m, double level,
                     spx_difference *out)
{
    SPX_RETURN_IF(check(a, n, 2, level));
    SPX_RETURN_IF(check(b, m, 2, level));
    const double s = spx_deviation(a, n), t = spx_deviation(b, m);
    const double u = s * s / (double)n, v = t * t / (double)m;
    *out = (spx_difference){.difference = spx_mean(a, n) - spx_mean(b, m),
                            .error = sqrt(u + v),
                            .df = (double)(n + m - 2)};
    if (u + v > 0) {
        out->df = (u + v) * (u + v) / (u * u / (double)(n - 1) + v * v / (double)(m - 1));
    }
    judge(out, level);
    return SPX_OK;
}

spx_status spx_paired(const double *a, const double *b, size_t n, double level, spx_difference *out)
{
    double sum = 0;
    SPX_RETURN_IF(check(a, n, 2, level));
    SPX_RETURN_IF(check(b, n, 2, level));
    *out = (spx_difference){.difference = spx_mean(a, n) - spx_mean(b, n), .df = (double)(n - 1)};
    for (size_t i = 0; i < n; i++) {
        const double d = a[i] - b[i] - out->difference;
        sum += d * d;
    }
    out->error = sqrt(sum / (double)(n - 1) / (double)n);
    judge(out, level);
    return SPX_OK;
}

typedef struct ranked {
    double p;
    size_t at;
} ranked;

static int by_p(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->p != y->p ? (x->p > y->p ? 1 : -1) : (x->at > y->at) - (x->at < y->at);
}

spx_status spx_holm(const double *p, size_t n, double *adjusted)
{
    ranked *r = NULL;
    double most = 0;
    SPX_RETURN_IF(SPX_NEW(r, n + 1));
    for (size_t i = 0; i < n; i++) {
        if (!(p[i] >= 0 && p[i] <= 1)) {
            spx_free(r);
            return SPX_FAIL(SPX_EINVAL, "Holm: a probability of %g", p[i]);
        }
        r[i] = (ranked){p[i], i};
    }
    qsort(r, n, sizeof *r, by_p);
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fmin(1, (double)(n - i) * r[i].p));
        adjusted[r[i].at] = most;
    }
    spx_free(r);
    return SPX_OK;
}

/* ---- bootstrap ---- */

/* The mean over units and images drawn; how often each image is drawn stands in times. */
static double drawn_mean(const spx_unit_results *r, size_t images, const uint32_t *times,
                         spx_rng *rng)
{
    double sum = 0;
    for (size_t u = 0; u < r->units; u++) {
        const double *row = r->x + spx_rng_below(rng, (uint32_t)r->units) * images;
        for (size_t i = 0; i < images; i++) {
            sum += times[i] * row[i];
        }
    }
    return sum / (double)r->units / (double)images;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which a share of n sorted ones lies, straight between neighbours. */
static double quantile(const double *x, size_t n, double share)
{
    const double at = share * (double)(n - 1);
    const size_t i = (size_t)at < n - 1 ? (size_t)at : n - 2;
    return x[i] + (at - (double)i) * (x[i + 1] - x[i]);
}

spx_status spx_bootstrap(const spx_unit_results *a, const spx_unit_results *b, size_t images,
                         size_t rounds, uint64_t seed, double level, double *low, double *high)
{
    double *difference = NULL;
    uint32_t *times = NULL;
    spx_status st;
    if (images < 1 || images > UINT32_MAX || rounds < 100) {
        return SPX_FAIL(SPX_EINVAL, "bootstrap: %zu images, %zu rounds", images, rounds);
    }
    SPX_RETURN_IF(check(a->x, a->units * images, 1, level));
    SPX_RETURN_IF(check(b->x, b->units * images, 1, level));
    SPX_TRY(st, SPX_NEW(difference, rounds), end);
    SPX_TRY(st, SPX_NEW(times, images), end);
    for (size_t k = 0; k < rounds; k++) {
        spx_rng rng;
        spx_rng_init(&rng, seed, SPX_RNG_BOOTSTRAP, k);
        for (size_t i = 0; i < images; i++) {
            times[i] = 0;
        }
        for (size_t i = 0; i < images; i++) {
            times[spx_rng_below(&rng, (uint32_t)images)]++;
        }
        difference[k] = drawn_mean(a, images, times, &rng);
        difference[k] -= drawn_mean(b, images, times, &rng);
    }
    qsort(difference, rounds, sizeof *difference, by_value);
    *low = quantile(difference, rounds, 0.5 - level / 2);
    *high = quantile(difference, rounds, 0.5 + level / 2);
end:
    spx_free(difference);
    spx_free(times);
    return st;
}
