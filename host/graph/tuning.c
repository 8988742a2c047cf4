#include "host/graph/tuning_private.h"
#include "host/graph/tuning_table_private.h"

#include "kernels/base/alloc.h"
#include "kernels/base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct spx_shared_plan {
    spx_conv2d_plan *plan;
    spx_conv2d_want want;
    const spx_stream *stream;
    int users;   /* nodes; without any there is no plan */
    bool listed; /* in a table */
};

struct spx_tuning {
    spx_tuning_table table;
    spx_shared_plan **plan; /* made so far */
    int n_plans, measured;
    size_t room_plans;
    bool described; /* device is that of this index */
    int device_index;
    spx_device_info device;
};

spx_status spx_tuning_create(spx_tuning **out)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "tuning table");
}

static void free_unused(spx_shared_plan *p)
{
    if (p->users == 0 && !p->listed) {
        free(p);
    }
}

void spx_tuning_destroy(spx_tuning *t)
{
    if (t == NULL) {
        return;
    }
    for (int i = 0; i < t->n_plans; i++) {
        t->plan[i]->listed = false;
        free_unused(t->plan[i]);
    }
    free(t->plan);
    spx_tuning_table_clear(&t->table);
    free(t);
}

spx_status spx_tuning_parse(spx_tuning *t, const char *text, size_t len)
{
    return spx_tuning_table_parse(&t->table, text, len);
}

char *spx_tuning_text(const spx_tuning *t)
{
    return spx_tuning_table_text(&t->table);
}

int spx_tuning_measured(const spx_tuning *t)
{
    return t->measured;
}

/* ---- keys ---- */

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

static int print_numbers(char *out, size_t room, const int64_t *number, size_t count)
{
    int n = 0;
    for (size_t i = 0; i < count; i++) {
        n += snprintf(out + n, room - (size_t)n, " %lld", (long long)number[i]);
        assert((size_t)n < room); /* SPX_TUNING_KEY_BYTES: 16 numbers, a name, 9 words */
    }
    return n;
}

static void print_groups(char *out, size_t room, int64_t groups)
{
    if (groups > 1) {
        (void)snprintf(out, room, " " SPX_TUNING_GROUPS "%lld", (long long)groups);
    }
}

/* A line of the table up to its choice; grouped convolutions have a word more than others. */
static spx_status key_of(spx_tuning *t, char out[SPX_TUNING_KEY_BYTES], const spx_stream *s,
                         const spx_conv2d_want *want)
{
    const spx_conv2d_shape *d = &want->shape;
    const int64_t shape[] = {d->n, d->c,      d->h,        d->w,         d->k,      d->r,
                             d->s, d->stride, d->dilation, d->pad_begin, d->pad_end};
    const int64_t operands[] = {want->x_stride, want->y_stride, want->x_first, want->y_first};
    const size_t room = SPX_TUNING_KEY_BYTES, numbers = sizeof shape / sizeof shape[0];
    const spx_device_info *info;
    int n;
    if (spx_stream_device(s) == SPX_DEVICE_CPU) {
        n = snprintf(out, room, "%d %d", (int)want->pass, spx_stream_threads(s));
        n += print_numbers(out + n, room - (size_t)n, shape, numbers);
        print_groups(out + n, room - (size_t)n, d->groups);
        return SPX_OK;
    }
    SPX_RETURN_IF(describe(t, spx_stream_index(s), &info));
    n = snprintf(out, room, "cuda %s %d %d %s %d %d %d %d",
                 info->name[0] != '\0' ? info->name : "_", info->driver, info->runtime,
                 spx_precision_name(spx_stream_precision(s)), (int)spx_stream_deterministic(s),
                 (int)want->pass, (int)want->accumulate, (int)want->bias);
    n += print_numbers(out + n, room - (size_t)n, shape, numbers);
    n += print_numbers(out + n, room - (size_t)n, operands, sizeof operands / sizeof operands[0]);
    print_groups(out + n, room - (size_t)n, d->groups);
    return SPX_OK;
}

/* ---- plans ---- */

const spx_conv2d_plan *spx_shared_plan_get(const spx_shared_plan *p)
{
    return p->plan;
}

void spx_shared_plan_release(spx_shared_plan *p)
{
    if (p != NULL && --p->users == 0) {
        spx_conv2d_plan_destroy(p->plan);
        p->plan = NULL;
        free_unused(p);
    }
}

spx_status spx_shared_plans_release(spx_stream *s, spx_shared_plan *const *plan, int n)
{
    const spx_status st = spx_stream_sync(s);
    for (int i = 0; i < n; i++) {
        spx_shared_plan_release(plan[i]);
    }
    return st;
}

static bool same_want(const spx_conv2d_want *a, const spx_conv2d_want *b)
{
    return memcmp(&a->shape, &b->shape, sizeof a->shape) == 0 && a->pass == b->pass &&
           a->accumulate == b->accumulate && a->bias == b->bias && a->fused == b->fused &&
           a->reference == b->reference && a->unmeasured == b->unmeasured &&
           a->x_stride == b->x_stride && a->y_stride == b->y_stride && a->x_first == b->x_first &&
           a->y_first == b->y_first;
}

/* A plan in use; a node's stream lives, so equal addresses are the same stream. */
static spx_shared_plan *find_plan(spx_tuning *t, const spx_stream *s, const spx_conv2d_want *want)
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

static spx_status create_plan(spx_tuning *t, spx_stream *s, const spx_conv2d_want *want,
                              spx_conv2d_plan **out)
{
    const spx_conv2d_shape *d = &want->shape;
    char key[SPX_TUNING_KEY_BYTES];
    if (want->reference || want->unmeasured) {
        return spx_conv2d_plan_create(out, s, want, NULL); /* nothing to keep */
    }
    SPX_RETURN_IF(key_of(t, key, s, want));
    const char *kept = spx_tuning_table_find(&t->table, key);
    SPX_RETURN_IF(spx_conv2d_plan_create(out, s, want, kept));
    const char *choice = spx_conv2d_plan_choice(*out);
    if (kept != NULL && strcmp(kept, choice) == 0) {
        return SPX_OK;
    }
    t->measured++;
    SPX_LOG(GRAPH, DEBUG, "conv2d %lldx%lld, %lld to %lld channels, pass %d: %s", (long long)d->h,
            (long long)d->w, (long long)d->c, (long long)d->k, (int)want->pass, choice);
    const spx_status st = spx_tuning_table_put(&t->table, key, choice);
    if (st != SPX_OK) {
        spx_conv2d_plan_destroy(*out);
        *out = NULL;
    }
    return st;
}

spx_status spx_tuning_share_plan(spx_tuning *t, spx_stream *s, const spx_conv2d_want *want,
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
