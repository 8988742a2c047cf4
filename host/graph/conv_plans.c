#include "host/graph/conv_plans_private.h"

#include "host/graph/tuning_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 448

struct spx_shared_plan {
    spx_conv2d_plan *plan;
    spx_conv2d_cuda_want want;
    const spx_stream *stream;
    int users;   /* nodes; without any there is no plan */
    bool listed; /* in a table */
};

const spx_conv2d_plan *spx_shared_plan_get(const spx_shared_plan *p)
{
    return p->plan;
}

static void free_unused(spx_shared_plan *p)
{
    if (p->users == 0 && !p->listed) {
        free(p);
    }
}

void spx_shared_plan_release(spx_shared_plan *p)
{
    if (p != NULL && --p->users == 0) {
        spx_conv2d_plan_destroy(p->plan);
        p->plan = NULL;
        free_unused(p);
    }
}

void spx_tuning_release_plans(spx_tuning *t)
{
    for (int i = 0; i < t->n_plans; i++) {
        t->plan[i]->listed = false;
        free_unused(t->plan[i]);
    }
    free(t->plan);
    t->plan = NULL;
    t->n_plans = 0;
    t->room_plans = 0;
}

static bool same_want(const spx_conv2d_cuda_want *a, const spx_conv2d_cuda_want *b)
{
    return memcmp(&a->shape, &b->shape, sizeof a->shape) == 0 && a->pass == b->pass &&
           a->accumulate == b->accumulate && a->bias == b->bias && a->reference == b->reference &&
           a->unmeasured == b->unmeasured && a->x_pixel == b->x_pixel && a->y_pixel == b->y_pixel &&
           a->x_first == b->x_first && a->y_first == b->y_first;
}

/* A plan in use; a node's stream lives, so equal addresses are the same stream. */
static spx_shared_plan *find_plan(spx_tuning *t, const spx_stream *s,
                                  const spx_conv2d_cuda_want *want)
{
    for (int i = 0; i < t->n_plans; i++) {
        spx_shared_plan *p = t->plan[i];
        if (p->users == 0) {
            p->listed = false;
            free_unused(p);
            t->plan[i--] = t->plan[--t->n_plans];
        } else if (p->stream == s && same_want(&p->want, want)) {
            return p;
        }
    }
    return NULL;
}

/* A device, its name one word. Asking takes a millisecond, a network has hundreds of plans: the
 * last answer is kept. */
static spx_status describe(spx_tuning *t, int index, const spx_device_info **out)
{
    *out = &t->device;
    if (t->described && t->device_index == index) {
        return SPX_OK;
    }
    t->described = false;
    SPX_RETURN_IF(spx_device_describe(SPX_DEVICE_CUDA, index, &t->device));
    for (char *c = t->device.name; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            *c = '_';
        }
    }
    t->device_index = index;
    t->described = true;
    return SPX_OK;
}

/* A line of the table up to its choice. */
static spx_status key_of(spx_tuning *t, char out[KEY_BYTES], const spx_stream *s,
                         const spx_conv2d_cuda_want *want)
{
    const spx_conv2d_shape *d = &want->shape;
    const int64_t number[] = {d->n,          d->c,          d->h,         d->w,
                              d->k,          d->r,          d->s,         d->stride,
                              d->dilation,   d->pad_begin,  d->pad_end,   want->x_pixel,
                              want->y_pixel, want->x_first, want->y_first};
    const spx_device_info *info;
    int n;
    SPX_RETURN_IF(describe(t, spx_stream_index(s), &info));
    n = snprintf(out, KEY_BYTES, "cuda %s %d %d %s %d %d %d %d",
                 info->name[0] != '\0' ? info->name : "_", info->driver, info->runtime,
                 spx_precision_name(spx_stream_precision(s)), (int)spx_stream_deterministic(s),
                 (int)want->pass, (int)want->accumulate, (int)want->bias);
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++) {
        n += snprintf(out + n, KEY_BYTES - (size_t)n, " %lld", (long long)number[i]);
    }
    return SPX_OK;
}

static spx_status create_plan(spx_tuning *t, spx_stream *s, const spx_conv2d_cuda_want *want,
                              spx_conv2d_plan **out)
{
    char key[KEY_BYTES];
    if (want->reference || want->unmeasured) {
        return spx_conv2d_plan_create(out, s, want, NULL); /* nothing to keep */
    }
    SPX_RETURN_IF(key_of(t, key, s, want));
    const char *kept = spx_tuning_cuda_find(t, key);
    SPX_RETURN_IF(spx_conv2d_plan_create(out, s, want, kept));
    const char *choice = spx_conv2d_plan_choice(*out);
    if (kept != NULL && strcmp(kept, choice) == 0) {
        return SPX_OK;
    }
    t->measured++;
    const spx_status st = spx_tuning_cuda_put(t, key, choice);
    if (st != SPX_OK) {
        spx_conv2d_plan_destroy(*out);
        *out = NULL;
    }
    return st;
}

spx_status spx_tuning_share_plan(spx_tuning *t, spx_stream *s, const spx_conv2d_cuda_want *want,
                                 spx_shared_plan **out)
{
    spx_shared_plan *p = find_plan(t, s, want);
    spx_status st;
    *out = NULL;
    if (p != NULL) {
        p->users++;
        *out = p;
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_GROW(t->plan, (size_t)t->n_plans, t->room_plans));
    p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "plan");
    }
    st = create_plan(t, s, want, &p->plan);
    if (st != SPX_OK) {
        free(p);
        return st;
    }
    p->want = *want;
    p->stream = s;
    p->users = 1;
    p->listed = true;
    t->plan[t->n_plans++] = p;
    *out = p;
    return SPX_OK;
}

spx_status spx_shared_plans_release(spx_stream *s, struct spx_shared_plan *const *plan, int n)
{
    const spx_status st = spx_stream_sync(s);
    for (int i = 0; i < n; i++) {
        spx_shared_plan_release(plan[i]);
    }
    return st;
}

spx_status spx_tuning_plan_node(spx_tuning *t, spx_exec *e, int i, const spx_conv2d_cuda_want *want)
{
    SPX_RETURN_IF(spx_tuning_share_plan(t, e->stream, want, &e->plan[i]));
    e->need[i] = spx_conv2d_plan_workspace(e->plan[i]->plan);
    e->cost[i] = spx_conv2d_plan_seconds(e->plan[i]->plan);
    return SPX_OK;
}
