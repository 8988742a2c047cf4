#ifndef SPX_MATMUL_F64_PRIVATE_H
#define SPX_MATMUL_F64_PRIVATE_H
/* Shared by the files of this folder. */
#include "kernels/base/variant.h"
#include "kernels/nn/matmul_f64/matmul_f64.h"

typedef struct spx_matmul_f64_table {
    void (*run)(size_t m, size_t n, size_t k, const double *a, size_t a_step, const double *b,
                size_t b_step, double *c, size_t c_step);
} spx_matmul_f64_table;

SPX_DECLARE_VARIANTS(spx_matmul_f64_table, spx_matmul_f64_table);

#endif
