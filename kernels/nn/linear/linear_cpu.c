/*
 * Compiled once per instruction set. Two shapes of inner loop serve the three products: dot
 * products of 2 x 4 rows (forward), and rank-4 updates of two rows (both gradients). Either does as
 * many multiply-adds per load as the vector units need; a general matrix library gains nothing at
 * these sizes.
 */
#include "kernels/nn/linear/linear_private.h"

#define DEPTH ((size_t)64) /* rows of b kept in cache while all rows of c pass over them */

/* y[i][j] = sum over k of x[i][k] * w[j][k], for 2 rows i and 4 rows j */
static void dots_2x4(size_t len, const float *restrict x0, const float *restrict x1,
                     const float *restrict w, float out[2][4])
{
    const float *restrict w0 = w, *restrict w1 = w + len, *restrict w2 = w1 + len,
                          *restrict w3 = w2 + len;
    float a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
#pragma omp simd reduction(+ : a0, a1, a2, a3, b0, b1, b2, b3)
    for (size_t k = 0; k < len; k++) {
        a0 += x0[k] * w0[k];
        a1 += x0[k] * w1[k];
        a2 += x0[k] * w2[k];
        a3 += x0[k] * w3[k];
        b0 += x1[k] * w0[k];
        b1 += x1[k] * w1[k];
        b2 += x1[k] * w2[k];
        b3 += x1[k] * w3[k];
    }
    out[0][0] = a0;
    out[0][1] = a1;
    out[0][2] = a2;
    out[0][3] = a3;
    out[1][0] = b0;
    out[1][1] = b1;
    out[1][2] = b2;
    out[1][3] = b3;
}

static float dot(size_t len, const float *restrict x, const float *restrict w)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t k = 0; k < len; k++) {
        sum += x[k] * w[k];
    }
    return sum;
}

/* Rows x0 and x1 (the same row for an odd last one) of y. */
static void forward_pair(const spx_linear_args *a, size_t i0, size_t i1)
{
    const float *x0 = a->x + i0 * a->f, *x1 = a->x + i1 * a->f;
    float *y0 = a->out + i0 * a->o, *y1 = a->out + i1 * a->o;
    size_t o = 0;
    for (; o + 4 <= a->o; o += 4) {
        float sum[2][4];
        dots_2x4(a->f, x0, x1, a->w + o * a->f, sum);
        for (size_t j = 0; j < 4; j++) {
            const float b = a->b != NULL ? a->b[o + j] : 0.0f;
            y0[o + j] = sum[0][j] + b;
            y1[o + j] = sum[1][j] + b;
        }
    }
    for (; o < a->o; o++) {
        const float b = a->b != NULL ? a->b[o] : 0.0f;
        y0[o] = dot(a->f, x0, a->w + o * a->f) + b;
        y1[o] = dot(a->f, x1, a->w + o * a->f) + b;
    }
}

static void forward(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_linear_args *a = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i += 2) {
        forward_pair(a, i, i + 1 < end ? i + 1 : i);
    }
}

/* c (rows, cols) += a * b, b (depth, cols); a[i][k] lies at a[i*row_step + k*depth_step] */
typedef struct product {
    size_t cols, depth;
    const float *a;
    size_t row_step, depth_step;
    const float *b;
    float *c;
} product;

/* Rows i0 and i1 of c += 4 rows of b from k on; i1 == i0 leaves the second out. */
static void update_2x4(const product *p, size_t i0, size_t i1, size_t k)
{
    const float *u = p->a + i0 * p->row_step + k * p->depth_step;
    const float *v = p->a + i1 * p->row_step + k * p->depth_step;
    const size_t d = p->depth_step;
    const float u0 = u[0], u1 = u[d], u2 = u[2 * d], u3 = u[3 * d];
    const float v0 = v[0], v1 = v[d], v2 = v[2 * d], v3 = v[3 * d];
    const float *restrict b0 = p->b + k * p->cols, *restrict b1 = b0 + p->cols,
                          *restrict b2 = b1 + p->cols, *restrict b3 = b2 + p->cols;
    float *restrict c0 = p->c + i0 * p->cols, *restrict c1 = p->c + i1 * p->cols;
    if (i0 == i1) {
#pragma omp simd
        for (size_t j = 0; j < p->cols; j++) {
            c0[j] += u0 * b0[j] + u1 * b1[j] + u2 * b2[j] + u3 * b3[j];
        }
        return;
    }
#pragma omp simd
    for (size_t j = 0; j < p->cols; j++) {
        c0[j] += u0 * b0[j] + u1 * b1[j] + u2 * b2[j] + u3 * b3[j];
        c1[j] += v0 * b0[j] + v1 * b1[j] + v2 * b2[j] + v3 * b3[j];
    }
}

static void update_1x1(const product *p, size_t i, size_t k)
{
    const float u = p->a[i * p->row_step + k * p->depth_step];
    const float *restrict b = p->b + k * p->cols;
    float *restrict c = p->c + i * p->cols;
#pragma omp simd
    for (size_t j = 0; j < p->cols; j++) {
        c[j] += u * b[j];
    }
}

/* Rows [begin, end) of the product. */
static void multiply(const product *p, size_t begin, size_t end)
{
    for (size_t k0 = 0; k0 < p->depth; k0 += DEPTH) {
        const size_t k1 = k0 + DEPTH < p->depth ? k0 + DEPTH : p->depth;
        for (size_t i = begin; i < end; i += 2) {
            const size_t next = i + 1 < end ? i + 1 : i;
            size_t k = k0;
            for (; k + 4 <= k1; k += 4) {
                update_2x4(p, i, next, k);
            }
            for (; k < k1; k++) {
                update_1x1(p, i, k);
                if (next != i) {
                    update_1x1(p, next, k);
                }
            }
        }
    }
}

static void clear(float *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = 0;
    }
}

static void backward_data(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_linear_args *a = ctx;
    const product p = {a->f, a->o, a->dy, a->o, 1, a->w, a->out};
    (void)worker;
    if (!a->accumulate) {
        clear(a->out + begin * a->f, (end - begin) * a->f);
    }
    multiply(&p, begin, end);
}

static void backward_weights(void *ctx, int worker, size_t begin, size_t end)
{
    const spx_linear_args *a = ctx;
    const product p = {a->f, a->n, a->dy, 1, a->o, a->x, a->out};
    (void)worker;
    if (!a->accumulate) {
        clear(a->out + begin * a->f, (end - begin) * a->f);
    }
    multiply(&p, begin, end);
    for (size_t o = begin; o < end && a->db != NULL; o++) {
        double sum = a->accumulate ? (double)a->db[o] : 0.0;
        for (size_t n = 0; n < a->n; n++) {
            sum += (double)a->dy[n * a->o + o];
        }
        a->db[o] = (float)sum;
    }
}

const spx_linear_kernels SPX_VARIANT(spx_linear_kernels) = {forward, backward_data,
                                                            backward_weights};
