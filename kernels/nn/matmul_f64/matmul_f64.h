#ifndef SPX_MATMUL_F64_H
#define SPX_MATMUL_F64_H
/* Small dense products in double, for what is computed once per model and must be nearly exact. */
#include <stddef.h>

/**
 * c[i][j] += sum over l < k of a[i][l] * b[l][j]; each product and sum is rounded once, in some
 * order. Rows lie a_step, b_step, c_step doubles apart. c must overlap neither a nor b.
 */
void spx_matmul_f64(size_t m, size_t n, size_t k, const double *a, size_t a_step, const double *b,
                    size_t b_step, double *c, size_t c_step);

#endif
