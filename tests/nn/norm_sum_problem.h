#ifndef SPX_NORM_SUM_PROBLEM_H
#define SPX_NORM_SUM_PROBLEM_H
/* Random weighted sums of normalised terms, their reference, and bounds: for
 * every device's test. */
#include "tests/support/spx_fixture.h"

#include "kernels/nn/norm_sum/norm_sum.h"
#include "kernels/nn/norm_sum/norm_sum_private.h"

/* Which parts the terms have; term j of a case gets parts[j % 4]. */
enum { BN = 1, AFFINE = 2, COEF = 4, MASK = 8 };

typedef struct norm_case {
    size_t n, c, hw;
    int k;
    size_t gap; /* floats between images */
    bool relu;
    int parts[4];
} norm_case;

static const norm_case norm_cases[] = {
    {2, 3, 1, 1, 0, false, {0}},
    {3, 2, 7, 1, 5, true, {BN}},
    {5, 1, 64, 2, 0, false, {BN | AFFINE, BN | AFFINE}},
    {4, 3, 81, 3, 3, true, {BN, COEF, BN | AFFINE | COEF}},
    {3, 5, 49, 4, 8, false, {BN | COEF, BN | COEF, BN | COEF, COEF}},
    {2, 4, 256, 5, 0, true, {BN | MASK, MASK, BN | AFFINE | MASK, 0}},
    {6, 2, 33, 9, 1, true, {BN | COEF | MASK, COEF | MASK, BN | AFFINE | COEF, BN}},
    {2, 2, 1025, 6, 7, false, {BN | COEF, BN | AFFINE, COEF, MASK}},
    {7, 3, 1, 7, 2, true, {BN, BN | AFFINE | COEF, 0, COEF}},
    {2, 1, 2500, SPX_NORM_SUM_MAX, 0, false, {BN | COEF, BN | COEF, COEF, BN | AFFINE}},
};
#define NORM_CASES (sizeof norm_cases / sizeof norm_cases[0])

typedef struct problem {
    pile p;
    spx_norm_dims d;
    int k;
    bool relu;
    spx_norm_term term[SPX_NORM_SUM_MAX];
    size_t stride, all; /* all: floats of an operand */
    float *y, *dy;
} problem;

/* Terms with statistics of their own x, so that the gradient check may go through them. */
static inline void problem_init(problem *q, const norm_case *k, float mean)
{
    memset(q, 0, sizeof *q);
    q->d = (spx_norm_dims){(int64_t)k->n, (int64_t)k->c, (int64_t)k->hw};
    q->k = k->k;
    q->relu = k->relu;
    q->stride = k->c * k->hw + k->gap;
    q->all = k->n * q->stride;
    for (int j = 0; j < k->k; j++) {
        spx_norm_term *t = &q->term[j];
        const int parts = k->parts[j % 4];
        t->x =
            (spx_operand){pile_normal(&q->p, q->all, mean, 1.0f), (int64_t)q->stride, SPX_TYPE_F32};
        if (parts & BN) {
            float *m = pile_normal(&q->p, k->c, 0, 1), *v = pile_normal(&q->p, k->c, 0, 1);
            const spx_bn_stats_args a = {k->n, k->c, k->hw, t->x.data, q->stride, m,   v,
                                         0,    NULL, NULL,  0,         0,         NULL};
            spx_bn_stats_ref(&a);
            t->mean = m;
            t->invstd = v;
        }
        if (parts & AFFINE) {
            t->gamma = pile_normal(&q->p, k->c, 1, 0.5f);
            t->beta = pile_normal(&q->p, k->c, 0, 1);
        }
        t->coef = parts & COEF ? pile_normal(&q->p, 1, 0.3f, 0.3f) : NULL;
        if (parts & MASK) {
            float *mask = pile_bytes(&q->p, k->n * sizeof *mask);
            for (size_t n = 0; n < k->n; n++) {
                mask[n] = (n + (size_t)j) % 3 == 0 ? 0.0f : 1.25f;
            }
            t->mask = mask;
        }
    }
    q->y = pile_normal(&q->p, q->all, 0, 1);
    q->dy = pile_normal(&q->p, q->all, 0, 1);
}

static inline spx_norm_sum_args ref_args(const problem *q)
{
    return (spx_norm_sum_args){.n = (size_t)q->d.n,
                               .c = (size_t)q->d.c,
                               .hw = (size_t)q->d.hw,
                               .k = q->k,
                               .term = q->term,
                               .relu = q->relu,
                               .y = q->y,
                               .y_stride = q->stride,
                               .dy = q->dy,
                               .dy_stride = q->stride};
}

static inline double part_or(const float *p, size_t i, double absent)
{
    return p != NULL ? (double)p[i] : absent;
}

/* Sum of the sizes of what is added up for element (n, c, i). */
static inline double forward_size(const problem *q, size_t n, size_t c, size_t at)
{
    double sum = 0;
    for (int j = 0; j < q->k; j++) {
        const spx_norm_term *t = &q->term[j];
        const double g = part_or(t->gamma, c, 1) * part_or(t->invstd, c, 1);
        const double size = fabs(g * (double)spx_image(t->x, 0)[at]) +
                            fabs(g * part_or(t->mean, c, 0)) + fabs(part_or(t->beta, c, 0));
        sum += fabs(part_or(t->coef, 0, 1)) * part_or(t->mask, n, 1) * size;
    }
    return sum;
}

/*
 * Per element: k + 1 additions, each rounding a partial sum no larger than the sizes' sum, three
 * more roundings in each factor (coef * gamma * invstd, mask, product) and one of the result.
 */
static inline void forward_bound(const problem *q, double *bound)
{
    const size_t chw = (size_t)(q->d.c * q->d.hw);
    for (size_t at = 0; at < q->all; at++) {
        const size_t n = at / q->stride, i = at % q->stride;
        bound[at] = i >= chw ? 0 : (q->k + 6) * SPX_U * forward_size(q, n, i / (size_t)q->d.hw, at);
    }
}

/* Gradients of every term, and where the reductions go. */
typedef struct grads {
    spx_norm_grad g[SPX_NORM_SUM_MAX];
    float *dx[SPX_NORM_SUM_MAX];
} grads;

static inline void grads_init(problem *q, grads *g, bool accumulate)
{
    const size_t c = (size_t)q->d.c;
    q->p.key = 5000; /* what is accumulated onto: the same each time */
    memset(g, 0, sizeof *g);
    for (int j = 0; j < q->k; j++) {
        const spx_norm_term *t = &q->term[j];
        const bool bn = t->mean != NULL, affine = t->gamma != NULL;
        g->g[j].accumulate_affine = g->g[j].accumulate_coef = accumulate;
        g->g[j].sum_dy = bn || j % 2 == 0 ? pile_normal(&q->p, c, 0, 1) : NULL;
        g->g[j].sum_dy_xhat = bn ? pile_normal(&q->p, c, 0, 1) : NULL;
        g->g[j].dgamma = affine ? pile_normal(&q->p, c, 0, 1) : NULL;
        g->g[j].dbeta = affine ? pile_normal(&q->p, c, 0, 1) : NULL;
        g->g[j].dcoef = t->coef != NULL ? pile_normal(&q->p, 1, 0, 1) : NULL;
        g->dx[j] = pile_normal(&q->p, q->all, 0, 1);
    }
}

static inline void run_backward_ref(const problem *q, const grads *g, bool accumulate)
{
    double dcoef[SPX_NORM_SUM_MAX] = {0};
    spx_norm_sum_args a = ref_args(q);
    a.grad = g->g;
    spx_norm_sum_reduce_ref(&a, dcoef);
    for (int j = 0; j < q->k; j++) {
        if (g->g[j].dcoef != NULL) {
            *g->g[j].dcoef = (float)(dcoef[j] + (accumulate ? (double)*g->g[j].dcoef : 0));
        }
        a.term = &q->term[j];
        a.k = 1;
        a.sum_dy = g->g[j].sum_dy;
        a.sum_dy_xhat = g->g[j].sum_dy_xhat;
        a.accumulate = accumulate;
        a.out = g->dx[j];
        a.out_stride = q->stride;
        spx_norm_sum_apply_ref(&a);
    }
}

/* Sum of the sizes of what the reductions of term j, channel c add up: dz, and dz * (x - mean). */
static inline void reduce_size(const problem *q, int j, size_t c, double *dz_size, double *dot_size)
{
    const spx_norm_term *t = &q->term[j];
    *dz_size = *dot_size = 0;
    for (size_t n = 0; n < (size_t)q->d.n; n++) {
        for (size_t i = 0; i < (size_t)q->d.hw; i++) {
            const size_t at = n * q->stride + c * (size_t)q->d.hw + i;
            const double dz = part_or(t->mask, n, 1) * fabs((double)q->dy[at]);
            *dz_size += dz;
            *dot_size += dz * fabs((double)spx_image(t->x, 0)[at] - part_or(t->mean, c, 0));
        }
    }
}

static inline void check_reduced(const char *what, const float *got, const float *want, size_t c,
                                 double bound)
{
    if (got != NULL) {
        spx_check_bounded(what, got + c, want + c, &bound, 1);
    }
}

static inline void check_reductions(const problem *q, const grads *got, const grads *want)
{
    const double chunk = (double)(q->d.hw < 1024 ? q->d.hw : 1024);
    /* random-sign rounding in sums of at most 1024 (Higham and Mary 2019), the
     * products, the result */
    const double tol = (4 * sqrt(chunk) + 6) * SPX_U;
    for (int j = 0; j < q->k; j++) {
        const spx_norm_term *t = &q->term[j];
        const spx_norm_grad *a = &got->g[j], *b = &want->g[j];
        double coef_size = 0;
        for (size_t c = 0; c < (size_t)q->d.c; c++) {
            const double k = fabs(part_or(t->coef, 0, 1));
            double dz, dot;
            reduce_size(q, j, c, &dz, &dot);
            dot *= part_or(t->invstd, c, 1);
            check_reduced("sum_dy", a->sum_dy, b->sum_dy, c, tol * dz);
            check_reduced("sum_dy_xhat", a->sum_dy_xhat, b->sum_dy_xhat, c, tol * dot);
            check_reduced("dgamma", a->dgamma, b->dgamma, c, tol * (k * dot + 4));
            check_reduced("dbeta", a->dbeta, b->dbeta, c, tol * (k * dz + 4));
            coef_size += fabs(part_or(t->gamma, c, 1)) * dot + fabs(part_or(t->beta, c, 0)) * dz;
        }
        check_reduced("dcoef", a->dcoef, b->dcoef, 0, tol * (coef_size + 4));
    }
}

#endif
