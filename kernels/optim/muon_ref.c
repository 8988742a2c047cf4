#include "kernels/base/alloc.h"
#include "kernels/optim/muon_private.h"

#include <math.h>
#include <string.h>

/* out (n, m) = x (n, k) times y (k, m), or times y (m, k) transposed */
static void multiply(int n, int m, int k, const double *x, const double *y, bool transposed,
                     double *out)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < m; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++) {
                sum += x[i * k + l] * (transposed ? y[j * k + l] : y[l * m + j]);
            }
            out[i * m + j] = sum;
        }
    }
}

static double norm_of(size_t n, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    return sqrt(sum);
}

/* x (r, c) becomes nearly orthogonal; a, b (r, r) and y (r, c) are scratch */
static void orthogonalise(int r, int c, double *x, double *y, double *a, double *b)
{
    const size_t n = (size_t)r * (size_t)c;
    const double norm = norm_of(n, x) + SPX_MUON_EPS;
    for (size_t i = 0; i < n; i++) {
        x[i] /= norm;
    }
    for (int step = 0; step < SPX_MUON_STEPS; step++) {
        multiply(r, r, c, x, x, true, a);
        multiply(r, r, r, a, a, false, b);
        for (size_t i = 0; i < (size_t)r * (size_t)r; i++) {
            b[i] = SPX_MUON_B * a[i] + SPX_MUON_C * b[i];
        }
        multiply(r, c, r, b, x, false, y);
        for (size_t i = 0; i < n; i++) {
            x[i] = SPX_MUON_A * x[i] + y[i];
        }
    }
}

spx_status spx_muon_ref(const spx_muon_matrix *matrix, double lr, double momentum, double clip,
                        const float *g, float *buf, float *w)
{
    const int r = matrix->rows, c = matrix->columns;
    const size_t n = (size_t)r * (size_t)c, square = (size_t)r * (size_t)r;
    double *x, *v, norm, factor;
    g += matrix->offset;
    buf += matrix->offset;
    w += matrix->offset;
    SPX_RETURN_IF(SPX_NEW(x, 3 * n + 2 * square));
    v = x + n;
    for (size_t i = 0; i < n; i++) {
        const double d = clip * (double)g[i], moved = momentum * (double)buf[i] + d;
        buf[i] = (float)moved;
        x[i] = d + momentum * moved;
        v[i] = (double)w[i];
    }
    orthogonalise(r, c, x, v + n, v + 2 * n, v + 2 * n + square);
    norm = norm_of(n, v);
    factor = norm > 0 ? sqrt((double)r) / norm : 1;
    for (size_t i = 0; i < n; i++) {
        w[i] = (float)(factor * v[i] - lr * x[i]);
    }
    spx_free(x);
    return SPX_OK;
}
