/* Convolutions on the CPU: which algorithm runs. */
#include "kernels/nn/conv2d/conv2d_cpu_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Likely ones first; the reference runs everything and is not measured. */
static const spx_conv2d_algorithm *const algorithms[] = {
#ifdef SPX_HAVE_PLANAR
    &spx_conv2d_winograd,
    &spx_conv2d_planar,
#endif
    &spx_conv2d_ref,
};
#define ALGORITHMS ((int)(sizeof algorithms / sizeof algorithms[0]))

typedef struct cpu_plan {
    spx_conv2d_plan base;
    const spx_conv2d_algorithm *algorithm;
    int threads;
} cpu_plan;

static bool supports(const spx_conv2d_algorithm *a, const spx_conv2d_shape *d)
{
    return a->supports == NULL || a->supports(d);
}

static spx_status candidates(spx_stream *s, const spx_conv2d_want *want, spx_conv2d_choices *out)
{
    (void)s;
    for (int i = 0; i < ALGORITHMS; i++) {
        if (supports(algorithms[i], &want->shape)) {
            (void)snprintf(out->text[out->count++], SPX_CONV2D_CHOICE, "%s", algorithms[i]->name);
        }
    }
    return SPX_OK;
}

/* The named one, or NULL where this processor has none of the name for the shape. */
static const spx_conv2d_algorithm *named(const spx_conv2d_shape *d, const char *name)
{
    for (int i = 0; i < ALGORITHMS; i++) {
        if (strcmp(algorithms[i]->name, name) == 0 && supports(algorithms[i], d)) {
            return algorithms[i];
        }
    }
    return NULL;
}

static const spx_conv2d_algorithm *by_default(const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    int i = 0;
    while (!supports(algorithms[i], d) ||
           (algorithms[i]->pays != NULL && !algorithms[i]->pays(d, pass))) {
        i++;
    }
    assert(i < ALGORITHMS); /* the reference runs all */
    return algorithms[i];
}

static spx_status measured(spx_stream *s, const spx_conv2d_want *want,
                           const spx_conv2d_algorithm **out)
{
    const spx_conv2d_algorithm *list[ALGORITHMS];
    int n = 0;
    for (int i = 0; i < ALGORITHMS && algorithms[i] != &spx_conv2d_ref; i++) {
        const spx_conv2d_algorithm *a = algorithms[i];
        if (supports(a, &want->shape) && (a->worth == NULL || a->worth(&want->shape))) {
            list[n++] = a;
        }
    }
    *out = n > 0 ? list[0] : &spx_conv2d_ref;
    return n > 1 ? spx_conv2d_measure_cpu(s, want, list, n, out) : SPX_OK;
}

static spx_status choose(spx_stream *s, const spx_conv2d_want *want, const char *choice,
                         const spx_conv2d_algorithm **out)
{
    const spx_conv2d_shape *d = &want->shape;
    *out = want->reference ? &spx_conv2d_ref : choice != NULL ? named(d, choice) : NULL;
    if (*out == NULL && want->unmeasured) {
        *out = by_default(d, want->pass);
    }
    return *out == NULL ? measured(s, want, out) : SPX_OK;
}

static spx_status create(spx_conv2d_plan **out, spx_stream *s, const spx_conv2d_want *want,
                         const char *choice)
{
    cpu_plan *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "conv2d: plan");
    }
    const spx_status st = choose(s, want, choice, &p->algorithm);
    if (st != SPX_OK) {
        free(p);
        return st;
    }
    p->threads = spx_stream_threads(s);
    p->base =
        (spx_conv2d_plan){.backend = &spx_conv2d_cpu,
                          .want = *want,
                          .type = SPX_TYPE_F32,
                          .bytes = p->algorithm->workspace(&want->shape, want->pass, p->threads)};
    (void)snprintf(p->base.choice, sizeof p->base.choice, "%s", p->algorithm->name);
    *out = &p->base;
    return SPX_OK;
}

static void destroy(spx_conv2d_plan *p)
{
    free(p);
}

static spx_status run(const spx_conv2d_plan *p, spx_stream *s, const spx_conv2d_call *call)
{
    const cpu_plan *own = (const cpu_plan *)p;
    if (own->threads != spx_stream_threads(s)) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: the plan is for %d threads, not %d", own->threads,
                        spx_stream_threads(s));
    }
    own->algorithm->run(s, call);
    return SPX_OK;
}

const spx_conv2d_backend spx_conv2d_cpu = {.device = SPX_DEVICE_CPU,
                                           .fuses = true,
                                           .candidates = candidates,
                                           .create = create,
                                           .destroy = destroy,
                                           .run = run};
