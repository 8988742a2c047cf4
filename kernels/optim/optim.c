#include "kernels/optim/optim.h"
#include "kernels/device/backend.h"
#include "kernels/optim/optim_math_private.h"
#include "kernels/optim/optim_private.h"

#define KERNELS SPX_PICK_VARIANT(spx_optim_kernels)

/* ---- the CPU's backend: queued work is done at once ---- */

static spx_status update_cpu(spx_stream *s, spx_optim_op op, size_t n, spx_optim_args *a)
{
    if (a->guard == NULL || a->guard->ok != 0) {
        spx_pool_run(spx_stream_pool(s), n, KERNELS->update[op], a);
    }
    return SPX_OK;
}

static size_t norm2_workspace_cpu(const spx_stream *s, size_t n)
{
    (void)n;
    return sizeof(double) * (size_t)spx_stream_threads(s);
}

static spx_status norm2_cpu(spx_stream *s, size_t n, const float *g, double *norm, void *workspace)
{
    spx_optim_args a = {.g = g, .partial = workspace};
    double sum = 0;
    for (int t = 0; t < spx_stream_threads(s); t++) {
        a.partial[t] = 0; /* a worker without elements never writes its own */
    }
    spx_pool_run(spx_stream_pool(s), n, KERNELS->norm2, &a);
    for (int t = 0; t < spx_stream_threads(s); t++) {
        sum += a.partial[t];
    }
    *norm = sqrt(sum);
    return SPX_OK;
}

static spx_status guard_cpu(spx_stream *s, const double *norm, const float *loss, double max_norm,
                            spx_guard *guard)
{
    (void)s;
    *guard = spx_guard_next(*guard, *norm, loss != NULL ? (double)*loss : 0.0, max_norm);
    return SPX_OK;
}

static spx_status difference_step_cpu(spx_stream *s, const double *norm, float *eps)
{
    (void)s;
    *eps = spx_difference_eps(*norm);
    return SPX_OK;
}

static const spx_optim_backend cpu = {.update = update_cpu,
                                      .norm2_workspace = norm2_workspace_cpu,
                                      .norm2 = norm2_cpu,
                                      .guard = guard_cpu,
                                      .difference_step = difference_step_cpu};

static const spx_optim_backend *backend(const spx_stream *s)
{
    return SPX_BACKEND(s, cpu, spx_optim_cuda);
}

static spx_status run(spx_stream *s, spx_optim_op op, size_t n, spx_optim_args *a)
{
    return n > 0 ? backend(s)->update(s, op, n, a) : SPX_OK;
}

/* ---- validation ---- */

/* An empty arena needs no arrays; numbers are always there. */
static spx_status check(const char *op, size_t n, const void *const *array, size_t arrays,
                        const void *number, const void *another)
{
    for (size_t i = 0; i < arrays && n > 0; i++) {
        if (array[i] == NULL) {
            return SPX_FAIL(SPX_EINVAL, "%s: an array is missing", op);
        }
    }
    if (number == NULL || another == NULL) {
        return SPX_FAIL(SPX_EINVAL, "%s: a number is missing", op);
    }
    return SPX_OK;
}

#define CHECK(op, n, number, another, ...)                                                         \
    check((op), (n), (const void *const[]){__VA_ARGS__},                                           \
          sizeof((const void *const[]){__VA_ARGS__}) / sizeof(void *), (number), (another))

size_t spx_norm2_workspace(const spx_stream *s, size_t n)
{
    return backend(s)->norm2_workspace(s, n);
}

spx_status spx_norm2(spx_stream *s, size_t n, const float *g, double *norm, void *workspace)
{
    SPX_RETURN_IF(CHECK("norm2", n, norm, workspace, g));
    return backend(s)->norm2(s, n, g, norm, workspace);
}

spx_status spx_guard_update(spx_stream *s, const double *norm, const float *loss, double max_norm,
                            spx_guard *guard)
{
    SPX_RETURN_IF(CHECK("guard", 0, norm, guard, norm));
    return backend(s)->guard(s, norm, loss, max_norm, guard);
}

spx_status spx_sgd(spx_stream *s, size_t n, const float *lr, const spx_sgd_rule *rule,
                   const spx_guard *guard, const float *g, float *buf, float *w)
{
    spx_optim_args a = {.rate = lr,
                        .guard = guard,
                        .momentum = rule->momentum,
                        .decay = rule->decay,
                        .nesterov = rule->nesterov,
                        .group = rule->group,
                        .g = g,
                        .m = buf,
                        .w = w};
    SPX_RETURN_IF(CHECK("sgd", n, lr, guard, g, buf, w));
    return run(s, SPX_OPTIM_SGD, n, &a);
}

spx_status spx_sgd_lookahead(spx_stream *s, size_t n, const float *xi, float momentum, float decay,
                             const float *g, const float *buf, const float *w, float *out)
{
    spx_optim_args a = {
        .rate = xi, .momentum = momentum, .decay = decay, .g = g, .x = buf, .y = w, .out = out};
    SPX_RETURN_IF(CHECK("sgd look-ahead", n, xi, xi, g, buf, w, out));
    return run(s, SPX_OPTIM_LOOKAHEAD, n, &a);
}

static spx_status check_betas(float b1, float b2)
{
    return b1 >= 0 && b1 < 1 && b2 >= 0 && b2 < 1
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "adam: b1 = %g, b2 = %g", (double)b1, (double)b2);
}

spx_status spx_adam(spx_stream *s, size_t n, float lr, float b1, float b2, float decay,
                    const uint64_t *t, const spx_guard *guard, const float *g, float *m, float *v,
                    float *w)
{
    spx_optim_args a = {.t = t,
                        .guard = guard,
                        .lr = lr,
                        .b1 = b1,
                        .b2 = b2,
                        .decay = decay,
                        .g = g,
                        .m = m,
                        .v = v,
                        .w = w};
    SPX_RETURN_IF(CHECK("adam", n, t, guard, g, m, v, w));
    SPX_RETURN_IF(check_betas(b1, b2));
    return run(s, SPX_OPTIM_ADAM, n, &a);
}

spx_status spx_adam_masks(spx_stream *s, size_t n, float lr, float b1, float b2,
                          const float *penalty, const uint64_t *t, const spx_guard *guard,
                          const float *g, float *m, float *v, float *w)
{
    spx_optim_args a = {.rate = penalty,
                        .t = t,
                        .guard = guard,
                        .lr = lr,
                        .b1 = b1,
                        .b2 = b2,
                        .g = g,
                        .m = m,
                        .v = v,
                        .w = w};
    SPX_RETURN_IF(CHECK("masks", n, t, guard, penalty, g, m, v, w));
    SPX_RETURN_IF(check_betas(b1, b2));
    return run(s, SPX_OPTIM_MASKS, n, &a);
}

spx_status spx_axpy(spx_stream *s, size_t n, const float *a, float scale, const float *x,
                    const float *y, float *out)
{
    spx_optim_args args = {.rate = a, .scale = scale, .x = x, .y = y, .out = out};
    SPX_RETURN_IF(CHECK("axpy", n, a, a, x, y, out));
    return run(s, SPX_OPTIM_AXPY, n, &args);
}

spx_status spx_difference_step(spx_stream *s, const double *norm, float *eps)
{
    SPX_RETURN_IF(CHECK("difference step", 0, norm, eps, norm));
    return backend(s)->difference_step(s, norm, eps);
}

spx_status spx_central_difference(spx_stream *s, size_t n, const float *eps, bool published,
                                  const float *plus, const float *minus, float *out)
{
    spx_optim_args a = {.rate = eps, .published = published, .x = plus, .y = minus, .out = out};
    SPX_RETURN_IF(CHECK("central difference", n, eps, eps, plus, minus, out));
    return run(s, SPX_OPTIM_DIFFERENCE, n, &a);
}

spx_status spx_ema(spx_stream *s, size_t n, const float *decay, const spx_guard *guard,
                   const float *w, float *ema)
{
    spx_optim_args a = {.rate = decay, .guard = guard, .x = w, .w = ema};
    SPX_RETURN_IF(CHECK("ema", n, decay, guard, w, ema));
    return run(s, SPX_OPTIM_EMA, n, &a);
}
