#include "host/train/trainer.h"

#include "kernels/base/alloc.h"
#include "kernels/optim/optim.h"

#include <string.h>

spx_status spx_sgd_options_check(const spx_sgd_options *o)
{
    if (!(o->momentum >= 0 && o->momentum < 1)) {
        return SPX_FAIL(SPX_EINVAL, "momentum %g, expected 0 <= momentum < 1", (double)o->momentum);
    }
    if (!(o->decay >= 0 && o->decay <= 1)) {
        return SPX_FAIL(SPX_EINVAL, "weight decay %g, expected 0..1", (double)o->decay);
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
    t->workspace_bytes = bytes > min_workspace ? bytes : min_workspace;
    SPX_TRY(st, spx_sgd_options_check(o), fail);
    SPX_TRY(st, spx_layout_arena(l, SPX_ROLE_WEIGHT, &t->weights), fail);
    SPX_TRY(st, spx_layout_arena(l, SPX_ROLE_WEIGHT, &t->momentum), fail);
    SPX_TRY(st, spx_layout_arena(l, SPX_ROLE_WEIGHT, &t->grad), fail);
    SPX_TRY(st, spx_layout_arena(l, SPX_ROLE_STATE, &t->state), fail);
    SPX_TRY(st, spx_alloc(&t->workspace, t->workspace_bytes), fail);
    SPX_TRY(st,
            spx_alloc(&t->norm_workspace,
                      spx_norm2_workspace(stream, (size_t)l->floats[SPX_ROLE_WEIGHT])),
            fail);
    spx_layout_init(l, seed, t->weights, NULL, t->state);
    if (o->ema > 0) {
        SPX_TRY(st, spx_layout_arena(l, SPX_ROLE_WEIGHT, &t->ema_weights), fail);
        SPX_TRY(st, spx_layout_arena(l, SPX_ROLE_STATE, &t->ema_state), fail);
        spx_layout_init(l, seed, t->ema_weights, NULL, t->ema_state);
    }
    return SPX_OK;
fail:
    spx_trainer_clear(t);
    return st;
}

void spx_trainer_clear(spx_trainer *t)
{
    spx_free(t->weights);
    spx_free(t->momentum);
    spx_free(t->grad);
    spx_free(t->state);
    spx_free(t->ema_weights);
    spx_free(t->ema_state);
    spx_free(t->norm_workspace);
    spx_free(t->workspace);
    memset(t, 0, sizeof *t);
}

static spx_status update(spx_trainer *t)
{
    const spx_sgd_options *o = &t->options;
    const spx_scalars *v = &t->scalars;
    const size_t n = (size_t)t->layout->floats[SPX_ROLE_WEIGHT];
    const size_t n_state = (size_t)t->layout->floats[SPX_ROLE_STATE];
    SPX_RETURN_IF(spx_sgd(t->stream, n, &v->lr, o->momentum, o->decay, &t->guard, t->grad,
                          t->momentum, t->weights));
    if (t->ema_weights == NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_ema(t->stream, n, &v->ema, &t->guard, t->weights, t->ema_weights));
    return spx_ema(t->stream, n_state, &v->ema, &t->guard, t->state, t->ema_state);
}

static spx_scalars scalars_of(const spx_trainer *t, const spx_step_args *a)
{
    const float early = (1.0f + (float)a->step) / (10.0f + (float)a->step);
    return (spx_scalars){.seed = a->seed,
                         .step = a->step,
                         .drop_prob = a->drop_prob,
                         .lr = a->lr,
                         .ema = early < t->options.ema ? early : t->options.ema};
}

spx_status spx_trainer_step(spx_trainer *t, const spx_samples *batch, const spx_step_args *a,
                            spx_step_report *report)
{
    const void *input[2] = {batch->images, batch->labels};
    const spx_scalars scalars = {.seed = a->seed, .step = a->step, .drop_prob = a->drop_prob};
    const spx_binding b = {.weights = t->weights,
                           .state = t->state,
                           .update_state = true,
                           .weight_grad = t->grad,
                           .workspace = t->workspace,
                           .input = input,
                           .scalars = &scalars};
    const size_t n = (size_t)t->layout->floats[SPX_ROLE_WEIGHT];
    t->scalars = scalars_of(t, a);
    t->guard.ok = 1;
    SPX_RETURN_IF(spx_program_run(t->program, &b));
    report->logits = spx_program_output(t->program, &b, 0);
    report->loss = *spx_program_output(t->program, &b, 1);
    SPX_RETURN_IF(spx_norm2(t->stream, n, t->grad, &t->norm, t->norm_workspace));
    SPX_RETURN_IF(spx_guard_update(t->stream, &t->norm, &report->loss, t->options.clip, &t->guard));
    report->norm = t->norm;
    SPX_RETURN_IF(update(t));
    return t->guard.ok ? SPX_OK
                       : SPX_FAIL(SPX_ENUMERIC, "step %llu: loss %g, gradient norm %g",
                                  (unsigned long long)a->step, (double)report->loss, report->norm);
}

void spx_trainer_bind_best(const spx_trainer *t, spx_binding *b)
{
    memset(b, 0, sizeof *b);
    b->weights = t->ema_weights != NULL ? t->ema_weights : t->weights;
    b->state = t->ema_state != NULL ? t->ema_state : t->state;
    b->workspace = t->workspace;
}
