#ifndef SPX_MUON_PRIVATE_H
#define SPX_MUON_PRIVATE_H
/* What the parts of Muon share; the arguments are checked already. */
#include "kernels/base/variant.h"
#include "kernels/optim/muon.h"

#define SPX_MUON_A 3.4445
#define SPX_MUON_B (-4.7750)
#define SPX_MUON_C 2.0315
#define SPX_MUON_STEPS 3
#define SPX_MUON_EPS 1e-7

/* Numbers and arrays of a step. */
typedef struct spx_muon_args {
    const float *rate;
    float scale, momentum;
    const spx_guard *guard;
    const float *g;
    float *buf, *w;
} spx_muon_args;

/* What a device gives. */
typedef struct spx_muon_backend {
    /* *plan: what the steps of these matrices need; freed by destroy */
    spx_status (*create)(void **plan, spx_stream *s, const spx_muon_matrix *matrix, size_t n);
    void (*destroy)(void *plan, spx_stream *s);
    spx_status (*step)(void *plan, spx_stream *s, const spx_muon_args *a);
} spx_muon_backend;
extern const spx_muon_backend spx_muon_cuda; /* where SPX_HAVE_CUDA */

/* The CPU's: one matrix. The wider than high of it and its transpose is computed with. */
typedef struct spx_muon_kernels {
    /* scratch: spx_muon_scratch floats */
    void (*step)(const spx_muon_matrix *matrix, const spx_muon_args *a, float *scratch);
} spx_muon_kernels;
SPX_DECLARE_VARIANTS(spx_muon_kernels, spx_muon_kernels);

static inline size_t spx_muon_scratch(const spx_muon_matrix *m)
{
    const size_t rows = (size_t)m->rows, columns = (size_t)m->columns;
    const size_t least = rows < columns ? rows : columns;
    return 2 * (rows * columns + least * least);
}

#endif
