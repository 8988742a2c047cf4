#include "kernels/optim/muon.h"

#include "kernels/base/alloc.h"
#include "kernels/base/pool.h"
#include "kernels/device/backend.h"
#include "kernels/optim/muon_private.h"

#include <string.h>

#define KERNELS SPX_PICK_VARIANT(spx_muon_kernels)

/* ---- the CPU's backend: each worker takes whole matrices, so their sums know no threads ---- */

typedef struct cpu_plan {
    spx_muon_matrix *matrix;
    size_t n;
    int *worker; /* [n] */
    float *scratch;
    size_t scratch_floats; /* of one worker */
    const spx_muon_args *args;
} cpu_plan;

static double work_of(const spx_muon_matrix *m)
{
    const double least = m->rows < m->columns ? m->rows : m->columns;
    return ((double)m->rows * m->columns + least * least) * (least + 8); /* 8: passes over memory */
}

/* Each matrix, from the last to the first, goes to who has least: networks widen, so the last are
 * the largest. */
static void share_out(cpu_plan *p, int workers)
{
    double load[SPX_POOL_MAX_THREADS] = {0};
    for (size_t i = p->n; i-- > 0;) {
        int least = 0;
        for (int t = 1; t < workers; t++) {
            least = load[t] < load[least] ? t : least;
        }
        load[least] += work_of(&p->matrix[i]);
        p->worker[i] = least;
    }
}

static void destroy_cpu(void *plan, spx_stream *s)
{
    cpu_plan *p = plan;
    (void)s;
    if (p != NULL) {
        spx_free(p->matrix);
        spx_free(p->worker);
        spx_free(p->scratch);
        spx_free(p);
    }
}

static spx_status create_cpu(void **plan, spx_stream *s, const spx_muon_matrix *matrix, size_t n)
{
    const int workers = spx_stream_threads(s);
    cpu_plan *p;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(p, 1));
    p->n = n;
    SPX_TRY(st, SPX_NEW(p->matrix, n), fail);
    SPX_TRY(st, SPX_NEW(p->worker, n), fail);
    for (size_t i = 0; i < n; i++) {
        const size_t floats = spx_muon_scratch(&matrix[i]);
        p->matrix[i] = matrix[i];
        p->scratch_floats = floats > p->scratch_floats ? floats : p->scratch_floats;
    }
    SPX_TRY(st, SPX_NEW(p->scratch, p->scratch_floats * (size_t)workers), fail);
    share_out(p, workers);
    *plan = p;
    return SPX_OK;
fail:
    destroy_cpu(p, s);
    return st;
}

/* Items are the workers' shares. */
static void work(void *ctx, int worker, size_t begin, size_t end)
{
    const cpu_plan *p = ctx;
    (void)worker;
    for (size_t share = begin; share < end; share++) {
        for (size_t i = 0; i < p->n; i++) {
            if ((size_t)p->worker[i] == share) {
                KERNELS->step(&p->matrix[i], p->args, p->scratch + share * p->scratch_floats);
            }
        }
    }
}

static spx_status step_cpu(void *plan, spx_stream *s, const spx_muon_args *a)
{
    cpu_plan *p = plan;
    if (a->guard->ok != 0) {
        p->args = a;
        spx_pool_run(spx_stream_pool(s), (size_t)spx_stream_threads(s), work, p);
    }
    return SPX_OK;
}

static const spx_muon_backend cpu = {create_cpu, destroy_cpu, step_cpu};

/* ---- public ---- */

struct spx_muon {
    spx_stream *stream; /* borrowed */
    const spx_muon_backend *backend;
    void *plan;
};

spx_status spx_muon_create(spx_muon **out, spx_stream *s, const spx_muon_matrix *matrix, size_t n)
{
    spx_muon *m;
    spx_status st;
    *out = NULL;
    for (size_t i = 0; i < n; i++) {
        if (matrix[i].rows < 1 || matrix[i].columns < 1) {
            return SPX_FAIL(SPX_EINVAL, "muon: a matrix of %dx%d", matrix[i].rows,
                            matrix[i].columns);
        }
    }
    SPX_RETURN_IF(SPX_NEW(m, 1));
    m->stream = s;
    m->backend = SPX_BACKEND(s, cpu, spx_muon_cuda);
    st = m->backend->create(&m->plan, s, matrix, n);
    if (st != SPX_OK) {
        spx_free(m);
        return st;
    }
    *out = m;
    return SPX_OK;
}

void spx_muon_destroy(spx_muon *m)
{
    if (m != NULL) {
        m->backend->destroy(m->plan, m->stream);
        spx_free(m);
    }
}

spx_status spx_muon_step(spx_muon *m, const float *rate, float scale, float momentum,
                         const spx_guard *guard, const float *g, float *buf, float *w)
{
    const spx_muon_args a = {rate, scale, momentum, guard, g, buf, w};
    if (rate == NULL || guard == NULL || g == NULL || buf == NULL || w == NULL) {
        return SPX_FAIL(SPX_EINVAL, "muon: an array or a number is missing");
    }
    return m->backend->step(m->plan, m->stream, &a);
}
