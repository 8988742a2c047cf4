#include "kernels/nn/matmul_f64/matmul_f64_private.h"

void spx_matmul_f64(size_t m, size_t n, size_t k, const double *a, size_t a_step, const double *b,
                    size_t b_step, double *c, size_t c_step)
{
    SPX_PICK_VARIANT(spx_matmul_f64_table)->run(m, n, k, a, a_step, b, b_step, c, c_step);
}
