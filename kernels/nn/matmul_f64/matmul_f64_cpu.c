/* Blocks of rows and columns whose sums stay in registers; compiled once per instruction set. */
#include "kernels/nn/matmul_f64/matmul_f64_private.h"

enum { ROWS = 4, COLUMNS = 12 };

static void block(size_t k, const double *a, size_t a_step, const double *b, size_t b_step,
                  double *c, size_t c_step)
{
    double sum[ROWS][COLUMNS] = {{0}};
    for (size_t l = 0; l < k; l++) {
        for (size_t i = 0; i < ROWS; i++) {
            const double v = a[i * a_step + l];
#pragma omp simd
            for (size_t j = 0; j < COLUMNS; j++) {
                sum[i][j] += v * b[l * b_step + j];
            }
        }
    }
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < COLUMNS; j++) {
            c[i * c_step + j] += sum[i][j];
        }
    }
}

/* What is left at the edges. */
static void edge(size_t m, size_t n, size_t k, const double *a, size_t a_step, const double *b,
                 size_t b_step, double *c, size_t c_step)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t l = 0; l < k; l++) {
            const double v = a[i * a_step + l];
            for (size_t j = 0; j < n; j++) {
                c[i * c_step + j] += v * b[l * b_step + j];
            }
        }
    }
}

static void run(size_t m, size_t n, size_t k, const double *a, size_t a_step, const double *b,
                size_t b_step, double *c, size_t c_step)
{
    const size_t rows = m - m % ROWS, columns = n - n % COLUMNS;
    for (size_t i = 0; i < rows; i += ROWS) {
        for (size_t j = 0; j < columns; j += COLUMNS) {
            block(k, a + i * a_step, a_step, b + j, b_step, c + i * c_step + j, c_step);
        }
    }
    edge(rows, n - columns, k, a, a_step, b + columns, b_step, c + columns, c_step);
    edge(m - rows, n, k, a + rows * a_step, a_step, b, b_step, c + rows * c_step, c_step);
}

const spx_matmul_f64_table SPX_VARIANT(spx_matmul_f64_table) = {.run = run};
