/* Compiled once per instruction set. One matrix at a time, as X (r, c) with r <= c: what is higher
 * than wide is transposed on its way in and out. */
#include "kernels/optim/muon_private.h"
#include "kernels/optim/optim_math_private.h"

#include <math.h>

#define CHUNK ((size_t)2048) /* columns of a row that stay in the first cache */

/* out[t] = x times row t of y, for up to four rows of n */
static void dots(size_t n, const float *x, const float *y, size_t rows, float out[4])
{
    const float *y0 = y, *y1 = y + (rows > 1 ? n : 0), *y2 = y + (rows > 2 ? 2 * n : 0),
                *y3 = y + (rows > 3 ? 3 * n : 0);
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (size_t k = 0; k < n; k++) {
        s0 += x[k] * y0[k];
        s1 += x[k] * y1[k];
        s2 += x[k] * y2[k];
        s3 += x[k] * y3[k];
    }
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
}

/* a (r, r) = x x', x (r, c) */
static void gram(size_t r, size_t c, const float *x, float *a)
{
    for (size_t i = 0; i < r; i++) {
        for (size_t j = 0; j <= i; j += 4) {
            float sum[4];
            dots(c, x + i * c, x + j * c, i + 1 - j, sum);
            for (size_t t = 0; t < 4 && j + t <= i; t++) {
                a[i * r + j + t] = a[(j + t) * r + i] = sum[t];
            }
        }
    }
}

/* y = SPX_MUON_A x + b x, b (r, r), x and y (r, c) */
static void improve(size_t r, size_t c, const float *b, const float *x, float *y)
{
    for (size_t first = 0; first < c; first += CHUNK) {
        const size_t n = c - first < CHUNK ? c - first : CHUNK;
        for (size_t i = 0; i < r; i++) {
            const float *own = x + i * c + first;
            float *out = y + i * c + first;
#pragma omp simd
            for (size_t k = 0; k < n; k++) {
                out[k] = (float)SPX_MUON_A * own[k];
            }
            for (size_t j = 0; j < r; j++) {
                const float factor = b[i * r + j], *other = x + j * c + first;
#pragma omp simd
                for (size_t k = 0; k < n; k++) {
                    out[k] += factor * other[k];
                }
            }
        }
    }
}

/* x (r, c) = the momentum's step, of norm 1; wide: rows are rows. */
static void prepare(size_t rows, size_t columns, const spx_muon_args *a, const float *g, float *buf,
                    float *x)
{
    const bool wide = rows <= columns;
    double sum = 0;
    float factor;
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < columns; k++) {
            const size_t at = i * columns + k;
            const float d = a->guard->clip * g[at];
            const float m = spx_sgd_momentum(a->momentum, d, buf[at]), u = d + a->momentum * m;
            buf[at] = m;
            x[wide ? at : k * rows + i] = u;
            sum += (double)u * (double)u;
        }
    }
    factor = (float)(1 / (sqrt(sum) + SPX_MUON_EPS));
#pragma omp simd
    for (size_t i = 0; i < rows * columns; i++) {
        x[i] *= factor;
    }
}

static void apply(size_t rows, size_t columns, float lr, const float *x, float *w)
{
    const bool wide = rows <= columns;
    double sum = 0;
    float factor;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < rows * columns; i++) {
        sum += (double)w[i] * (double)w[i];
    }
    factor = sum > 0 ? (float)(sqrt((double)rows) / sqrt(sum)) : 1;
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < columns; k++) {
            const size_t at = i * columns + k;
            w[at] = factor * w[at] - lr * x[wide ? at : k * rows + i];
        }
    }
}

static void step(const spx_muon_matrix *matrix, const spx_muon_args *args, float *scratch)
{
    const size_t rows = (size_t)matrix->rows, columns = (size_t)matrix->columns;
    const size_t r = rows < columns ? rows : columns, c = rows < columns ? columns : rows;
    float *x = scratch, *y = x + r * c, *a = y + r * c, *b = a + r * r;
    prepare(rows, columns, args, args->g + matrix->offset, args->buf + matrix->offset, x);
    for (int i = 0; i < SPX_MUON_STEPS; i++) {
        float *before = x;
        gram(r, c, x, a);
        gram(r, r, a, b); /* a is its own transpose */
#pragma omp simd
        for (size_t k = 0; k < r * r; k++) {
            b[k] = (float)SPX_MUON_B * a[k] + (float)SPX_MUON_C * b[k];
        }
        improve(r, c, b, x, y);
        x = y;
        y = before;
    }
    apply(rows, columns, args->scale * *args->rate, x, args->w + matrix->offset);
}

const spx_muon_kernels SPX_VARIANT(spx_muon_kernels) = {.step = step};
