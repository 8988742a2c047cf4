#include "host/train/trainer.h"

#include "host/train/device_arenas.h"
#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"
#include "kernels/optim/optim.h"

#include <assert.h>
#include <string.h>

spx_status spx_sgd_options_check(const spx_sgd_options *o)
{
    if (!(o->momentum >= 0 && o->momentum < 1)) {
        return SPX_FAIL(SPX_EINVAL, "momentum %g, expected 0 <= momentum < 1", (double)o->momentum);
    }
    if (o->nesterov && !(o->momentum > 0)) {
        return SPX_FAIL(SPX_EINVAL, "Nesterov's momentum needs momentum above 0");
    }
    if (!(o->decay >= 0 && o->decay <= 1)) {
        return SPX_FAIL(SPX_EINVAL, "weight decay %g, expected 0..1", (double)o->decay);
    }
    if (!(o->muon >= 0) || (o->muon > 0 && !(o->muon_momentum >= 0 && o->muon_momentum < 1))) {
        return SPX_FAIL(SPX_EINVAL,
                        "Muon at %g times the rate with momentum %g, expected 0 or more, "
                        "0 <= momentum < 1",
                        (double)o->muon, (double)o->muon_momentum);
    }
    if (!(o->clip >= 0)) {
        return SPX_FAIL(SPX_EINVAL, "gradient clip %g, expected 0 or more", o->clip);
    }
    if (!(o->ema >= 0 && o->ema < 1)) {
        return SPX_FAIL(SPX_EINVAL, "moving average decay %g, expected 0 <= decay < 1",
                        (double)o->ema);
    }
    return SPX_OK;
}

static spx_status alloc_arenas(spx_trainer *t)
{
    struct {
        spx_role role;
        spx_buffer *out;
    } const arena[] = {{SPX_ROLE_WEIGHT, &t->weights},     {SPX_ROLE_WEIGHT, &t->momentum},
                       {SPX_ROLE_WEIGHT, &t->grad},        {SPX_ROLE_STATE, &t->state},
                       {SPX_ROLE_WEIGHT, &t->ema_weights}, {SPX_ROLE_STATE, &t->ema_state}};
    const size_t n = t->options.ema > 0 ? 6 : 4;
    for (size_t i = 0; i < n; i++) {
        SPX_RETURN_IF(spx_layout_arena(t->layout, t->stream, arena[i].role, arena[i].out));
    }
    return SPX_OK;
}

/* How SGD treats an entry. */
static spx_sgd_group group_of(const spx_sgd_options *o, const spx_layout_entry *e)
{
    return e->rank == 4 && o->muon > 0        ? SPX_SGD_LEFT
           : e->rank == 1 && o->spare_vectors ? SPX_SGD_PLAIN
                                              : SPX_SGD_DECAYED;
}

/* Blocks of the weights' arena by their group. Where entries share one, as parts of a merged
 * parameter, they are of the same rank. */
static spx_status make_groups(spx_trainer *t)
{
    const size_t floats = (size_t)t->layout->floats[SPX_ROLE_WEIGHT];
    const size_t blocks = (floats + SPX_SGD_BLOCK - 1) / SPX_SGD_BLOCK;
    spx_status st;
    uint8_t *group;
    if (!t->options.spare_vectors && !(t->options.muon > 0)) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_alloc((void **)&group, blocks));
    memset(group, SPX_SGD_DECAYED, blocks);
    for (int i = 0; i < t->layout->n; i++) {
        const spx_layout_entry *e = &t->layout->entry[i];
        if (e->role == SPX_ROLE_WEIGHT) {
            const size_t first = (size_t)e->offset / SPX_SGD_BLOCK;
            const size_t last = (size_t)(e->offset + e->count - 1) / SPX_SGD_BLOCK;
            memset(group + first, (int)group_of(&t->options, e), last - first + 1);
        }
    }
    SPX_TRY(st, spx_buffer_alloc(&t->group, t->stream, blocks), end);
    st = spx_upload(t->stream, t->group.data, group, blocks);
end:
    spx_free(group);
    return st;
}

/* The convolutions' weights, each part of a merged one by itself. */
static spx_status make_muon(spx_trainer *t)
{
    spx_muon_matrix *matrix;
    size_t n = 0;
    spx_status st;
    if (!(t->options.muon > 0)) {
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_NEW(matrix, (size_t)t->layout->n));
    for (int i = 0; i < t->layout->n; i++) {
        const spx_layout_entry *e = &t->layout->entry[i];
        if (e->role == SPX_ROLE_WEIGHT && group_of(&t->options, e) == SPX_SGD_LEFT) {
            matrix[n++] = (spx_muon_matrix){.offset = (size_t)e->offset,
                                            .rows = (int)e->dim[0],
                                            .columns = (int)(e->count / e->dim[0])};
        }
    }
    st = spx_muon_create(&t->muon, t->stream, matrix, n);
    spx_free(matrix);
    return st;
}

spx_status spx_trainer_init(spx_trainer *t, spx_stream *stream, spx_program *program,
                            const spx_sgd_options *o, uint64_t seed, size_t min_workspace)
{
    const spx_layout *l = spx_program_layout(program);
    const size_t bytes = spx_program_workspace_bytes(program);
    spx_status st;
    memset(t, 0, sizeof *t);
    t->stream = stream;
    t->program = program;
    t->layout = l;
    t->options = *o;
    SPX_TRY(st, spx_sgd_options_check(o), fail);
    SPX_TRY(st, spx_step_queue_init(&t->queue, stream, (size_t)l->floats[SPX_ROLE_WEIGHT]), fail);
    SPX_TRY(st, alloc_arenas(t), fail);
    SPX_TRY(st, make_groups(t), fail);
    SPX_TRY(st, make_muon(t), fail);
    SPX_TRY(st,
            spx_buffer_alloc(&t->workspace, stream, bytes > min_workspace ? bytes : min_workspace),
            fail);
    SPX_TRY(st, spx_device_arenas_init(l, stream, seed, &t->weights, NULL, &t->state), fail);
    SPX_TRY(st, spx_device_arenas_init(l, stream, seed, &t->ema_weights, NULL, &t->ema_state),
            fail);
    return SPX_OK;
fail:
    spx_trainer_clear(t);
    return st;
}

void spx_trainer_clear(spx_trainer *t)
{
    spx_buffer *const owned[] = {&t->weights,     &t->momentum,  &t->grad,  &t->state,
                                 &t->ema_weights, &t->ema_state, &t->group, &t->workspace};
    spx_step_queue_clear(&t->queue);
    spx_muon_destroy(t->muon);
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        spx_buffer_free(owned[i]);
    }
    memset(t, 0, sizeof *t);
}

spx_status spx_trainer_average_anew(const spx_trainer *t)
{
    if (t->ema_weights.data == NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(
        spx_device_copy(t->stream, t->ema_weights.data, t->weights.data, t->weights.bytes));
    return spx_device_copy(t->stream, t->ema_state.data, t->state.data, t->state.bytes);
}

static spx_status queue_update(const spx_trainer *t)
{
    const spx_sgd_options *o = &t->options;
    const spx_scalars *v = t->queue.scalars;
    const spx_guard *guard = &t->queue.numbers->guard;
    const size_t n = (size_t)t->layout->floats[SPX_ROLE_WEIGHT];
    const size_t n_state = (size_t)t->layout->floats[SPX_ROLE_STATE];
    const spx_sgd_rule rule = {.momentum = o->momentum,
                               .decay = o->decay,
                               .nesterov = o->nesterov,
                               .group = t->group.data};
    SPX_RETURN_IF(spx_sgd(t->stream, n, &v->lr, &rule, guard, t->grad.data, t->momentum.data,
                          t->weights.data));
    if (t->muon != NULL) {
        SPX_RETURN_IF(spx_muon_step(t->muon, &v->lr, o->muon, o->muon_momentum, guard, t->grad.data,
                                    t->momentum.data, t->weights.data));
    }
    if (t->ema_weights.data == NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_ema(t->stream, n, &v->ema, guard, t->weights.data, t->ema_weights.data));
    return spx_ema(t->stream, n_state, &v->ema, guard, t->state.data, t->ema_state.data);
}

static spx_status queue_step(void *ctx)
{
    spx_trainer *t = ctx;
    spx_step_numbers *numbers = t->queue.numbers;
    const int64_t *dim = spx_program_output_tensor(t->program, 0)->dim;
    const spx_binding b = {.weights = t->weights,
                           .state = t->state,
                           .arch = t->arch,
                           .update_state = true,
                           .weight_grad = t->grad,
                           .arch_grad = t->arch_grad,
                           .workspace = t->workspace,
                           .input = t->input,
                           .scalars = t->queue.scalars};
    const int losses = 1 + (t->guide != NULL ? t->guide->n_loss : 0);
    if (t->guide != NULL) {
        SPX_RETURN_IF(t->guide->queue(t->guide->ctx, t->input[0], &t->workspace));
    }
    SPX_RETURN_IF(spx_program_run(t->program, &b));
    SPX_RETURN_IF(spx_count_hits(t->stream, dim[0], dim[0], dim[1],
                                 spx_program_output(t->program, &b, 0).data, t->input[1],
                                 &numbers->metrics));
    for (int k = 0; k < losses; k++) {
        SPX_RETURN_IF(spx_device_copy(t->stream, &numbers->loss[k],
                                      spx_program_output(t->program, &b, 1 + k).data,
                                      sizeof(float)));
    }
    SPX_RETURN_IF(spx_norm2(t->stream, (size_t)t->layout->floats[SPX_ROLE_WEIGHT], t->grad.data,
                            &numbers->norm[0], t->queue.norm_workspace.data));
    SPX_RETURN_IF(spx_guard_update(t->stream, &numbers->norm[0], &numbers->loss[0], t->options.clip,
                                   &numbers->guard));
    if (t->watch != NULL) {
        SPX_RETURN_IF(t->watch->queue(t->watch->ctx, &b, &numbers->guard));
    }
    return queue_update(t);
}

spx_status spx_trainer_queue(spx_trainer *t, const spx_samples *batch, const spx_step_args *a)
{
    const float early = (1.0f + (float)a->step) / (10.0f + (float)a->step);
    const spx_scalars v = {.seed = a->seed,
                           .step = a->step,
                           .adam_t = a->step + 1,
                           .drop_prob = a->drop_prob,
                           .lr = a->lr,
                           .ema = early < t->options.ema ? early : t->options.ema};
    const void *const key[SPX_RECORDING_KEYS] = {batch->images, batch->labels, t->program};
    assert(batch->valid == spx_program_output_tensor(t->program, 0)->dim[0]); /* a full one */
    t->input[0] = batch->images;
    t->input[1] = batch->labels;
    for (int i = 0; t->guide != NULL && i < t->guide->n_input; i++) {
        t->input[2 + i] = t->guide->input[i];
    }
    return spx_step_queue_run(&t->queue, &v, key, queue_step, t);
}

spx_status spx_trainer_report(spx_trainer *t, bool wait, spx_step_report *report, bool *any)
{
    spx_step_result r;
    SPX_RETURN_IF(spx_step_queue_read(&t->queue, wait, &r, any));
    if (!*any) {
        return SPX_OK;
    }
    *report = (spx_step_report){.step = r.scalars.step,
                                .loss = r.numbers.loss[0],
                                .norm = r.numbers.norm[0],
                                .guide = {r.numbers.loss[1], r.numbers.loss[2]},
                                .metrics = r.numbers.metrics};
    return r.numbers.guard.ok ? SPX_OK
                              : SPX_FAIL(SPX_ENUMERIC, "step %llu: loss %g, gradient norm %g",
                                         (unsigned long long)report->step + 1, (double)report->loss,
                                         report->norm); /* from 1, as logs number steps */
}

spx_status spx_trainer_step(spx_trainer *t, const spx_samples *batch, const spx_step_args *a,
                            spx_step_report *report)
{
    bool any = true;
    SPX_RETURN_IF(spx_trainer_queue(t, batch, a));
    while (any) { /* the last one is this step's */
        SPX_RETURN_IF(spx_trainer_report(t, true, report, &any));
    }
    return SPX_OK;
}

const spx_buffer *spx_trainer_best(const spx_trainer *t, spx_role role)
{
    const bool averaged = t->options.ema > 0;
    return role == SPX_ROLE_WEIGHT ? averaged ? &t->ema_weights : &t->weights
           : averaged              ? &t->ema_state
                                   : &t->state;
}

void spx_trainer_bind_best(const spx_trainer *t, spx_binding *b)
{
    *b = (spx_binding){.weights = *spx_trainer_best(t, SPX_ROLE_WEIGHT),
                       .arch = t->arch,
                       .state = *spx_trainer_best(t, SPX_ROLE_STATE),
                       .workspace = t->workspace};
}
