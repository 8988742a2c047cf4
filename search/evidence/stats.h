#ifndef SPX_STATS_H
#define SPX_STATS_H
/*
 * Statistics of a few measured numbers: means, differences with their intervals, tests corrected
 * for being several. Student's t distribution by the incomplete beta function (DLMF 8.17.22).
 */
#include "kernels/base/status.h"

#include <stddef.h>
#include <stdint.h>

double spx_mean(const double *x, size_t n); /* n >= 1 */
/** The sample's standard deviation, with n - 1 below; 0 where n is 1. */
double spx_deviation(const double *x, size_t n);

/** P(T <= t) of Student's distribution; df > 0, need not be whole. */
double spx_student_cdf(double t, double df);
/** The t that P(T <= t) = p holds for; 0 < p < 1. */
double spx_student_quantile(double p, double df);

/** A difference of means, and how sure it is. */
typedef struct spx_difference {
    double difference; /* mean of a less that of b */
    double error;      /* its standard error */
    double df;         /* degrees of freedom */
    double p;          /* two-sided: that so large a difference comes by chance */
    double low, high;  /* its confidence interval */
} spx_difference;

/**
 * Of two independent samples (Welch 1947): their variances may differ.
 * @param a, b   [n], [m], finite
 * @param level  of the interval, such as 0.95
 * @return SPX_OK; SPX_EINVAL (a sample below 2, a level not inside 0..1, a number that is not
 *         finite)
 */
SPX_MUST_CHECK spx_status spx_welch(const double *a, size_t n, const double *b, size_t m,
                                    double level, spx_difference *out);
/** Of pairs a[i], b[i], i < n: Student's test of their differences. @return as spx_welch */
SPX_MUST_CHECK spx_status spx_paired(const double *a, const double *b, size_t n, double level,
                                     spx_difference *out);

/**
 * Holm's correction of n tests made at once (Scandinavian Journal of Statistics 6, 1979): the level
 * at which each would be rejected.
 * @param p         [n], 0..1
 * @param adjusted  [n]; may be p
 * @return SPX_OK, SPX_EINVAL (a p outside 0..1), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_holm(const double *p, size_t n, double *adjusted);

/** Units, such as trained networks, and what each gave on the same images. */
typedef struct spx_unit_results {
    const double *x; /* [units][images] */
    size_t units;
} spx_unit_results;

/**
 * The interval of mean(a) - mean(b) when both units and images are drawn anew with replacement
 * (percentile bootstrap): it counts in that other units, and other images, might have been had.
 * Images are drawn alike for all units.
 * @param images  columns of both; 1: units alone are drawn
 * @param rounds  >= 100
 * @param seed    of SPX_RNG_BOOTSTRAP
 * @param low, high  the middle `level` of the differences drawn
 * @return SPX_OK, SPX_EINVAL, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_bootstrap(const spx_unit_results *a, const spx_unit_results *b,
                                        size_t images, size_t rounds, uint64_t seed, double level,
                                        double *low, double *high);

#endif
