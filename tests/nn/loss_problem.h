#ifndef SPX_LOSS_PROBLEM_H
#define SPX_LOSS_PROBLEM_H
#include "tests/support/spx_fixture.h"

typedef struct loss_case {
    size_t n, classes;
    float smoothing, spread;
} loss_case;

static const loss_case loss_cases[] = {
    {1, 1, 0, 1},        {1, 2, 0, 1},  {7, 10, 0.1f, 3},    {64, 100, 0, 5},
    {5, 1000, 0.1f, 30}, {3, 10, 1, 1}, {4, 10, 0.2f, 1e4f},
};
#define LOSS_CASES (sizeof loss_cases / sizeof loss_cases[0])

typedef struct problem {
    pile p;
    loss_case k;
    float *logits;
    int32_t *label;
} problem;

static inline void problem_init(problem *q, const loss_case *k)
{
    spx_rng r;
    memset(q, 0, sizeof *q);
    q->k = *k;
    q->logits = pile_normal(&q->p, k->n * k->classes, 0, k->spread);
    q->label = pile_bytes(&q->p, k->n * sizeof *q->label);
    spx_rng_init(&r, 2, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < k->n; i++) {
        q->label[i] = (int32_t)spx_rng_below(&r, (uint32_t)k->classes);
    }
}

#endif
