#include "host/train/loop.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int64_t spx_loop_total(const spx_loop *l)
{
    const int64_t all = l->epochs * l->epoch_steps;
    return l->max_steps > 0 && l->max_steps < all ? l->max_steps : all;
}

static spx_status check(const spx_loop *l, const spx_loop_state *s)
{
    if (l->epochs < 1 || l->epoch_steps < 1 || l->max_steps < 0 || l->save_every < 0 ||
        l->epochs > INT64_MAX / l->epoch_steps) {
        return SPX_FAIL(SPX_EINVAL, "run: %lld epochs of %lld steps", (long long)l->epochs,
                        (long long)l->epoch_steps);
    }
    if (s->epoch < 0 || s->epoch > l->epochs || s->epoch_step < 0 ||
        s->epoch_step > l->epoch_steps || s->step != s->epoch * l->epoch_steps + s->epoch_step) {
        return SPX_FAIL(SPX_EINVAL,
                        "run: step %lld, %lld of epoch %lld, is not one of %lld epochs of %lld",
                        (long long)s->step, (long long)s->epoch_step, (long long)s->epoch,
                        (long long)l->epochs, (long long)l->epoch_steps);
    }
    return SPX_OK;
}

static spx_status drain(const spx_loop *l, spx_loop_state *s)
{
    return l->drain != NULL ? l->drain(l->ctx, s) : SPX_OK;
}

/* Running statistics may overflow in a step whose loss is finite: only who reads them sees that. */
static spx_status name_step(const spx_loop_state *s, spx_status st)
{
    return st == SPX_ENUMERIC ? spx_fail_context(st, "step %lld", (long long)s->step) : st;
}

static spx_status save(const spx_loop *l, spx_loop_state *s)
{
    SPX_RETURN_IF(drain(l, s));
    return name_step(s, l->save(l->ctx, s));
}

/* Saves, then says why the run stops (keeping a failure to save, which matters more). */
static spx_status interrupted(const spx_loop *l, spx_loop_state *s)
{
    char why[256];
    (void)snprintf(why, sizeof why, "%s", spx_error_message());
    SPX_RETURN_IF(save(l, s));
    return SPX_FAIL(SPX_EINTERRUPTED, "%s; saved after step %lld of %lld", why, (long long)s->step,
                    (long long)spx_loop_total(l));
}

/* One epoch's remaining steps; *cut tells that max_steps ended it early. */
static spx_status run_steps(const spx_loop *l, spx_loop_state *s, bool *cut)
{
    *cut = false;
    while (s->epoch_step < l->epoch_steps) {
        if (l->max_steps > 0 && s->step >= l->max_steps) {
            *cut = true;
            return SPX_OK;
        }
        SPX_RETURN_IF(l->step(l->ctx, s));
        s->epoch_step++;
        s->step++;
        if (l->stop != NULL && l->stop(l->ctx) != SPX_OK) {
            return interrupted(l, s);
        }
        if (l->save_every > 0 && s->step % l->save_every == 0 && s->epoch_step < l->epoch_steps) {
            SPX_RETURN_IF(save(l, s));
        }
    }
    return SPX_OK;
}

static spx_status end_epoch(const spx_loop *l, spx_loop_state *s)
{
    spx_status st;
    SPX_RETURN_IF(drain(l, s));
    st = l->end_epoch(l->ctx, s);
    return st == SPX_EINTERRUPTED ? interrupted(l, s) : name_step(s, st);
}

static spx_status run_epochs(const spx_loop *l, spx_loop_state *s)
{
    while (s->epoch < l->epochs) {
        bool cut;
        SPX_RETURN_IF(run_steps(l, s, &cut));
        if (cut) {
            SPX_RETURN_IF(save(l, s));
            return s->epoch_step > 0 ? end_epoch(l, s) : SPX_OK;
        }
        SPX_RETURN_IF(end_epoch(l, s));
        s->epoch++;
        s->epoch_step = 0;
        memset(&s->train, 0, sizeof s->train);
        SPX_RETURN_IF(save(l, s));
    }
    return SPX_OK;
}

spx_status spx_loop_run(const spx_loop *l, spx_loop_state *s)
{
    SPX_RETURN_IF(check(l, s));
    const spx_status st = run_epochs(l, s);
    return st == SPX_ENUMERIC ? spx_fail_context(st, "diverged, try a lower --lr") : st;
}

json_t *spx_loop_state_json(const spx_loop_state *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "epoch", (json_int_t)s->epoch,
                     "epoch_step", (json_int_t)s->epoch_step, "step", (json_int_t)s->step,
                     "train_images", (json_int_t)s->train.images, "train_top1",
                     (json_int_t)s->train.top1, "train_top5", (json_int_t)s->train.top5,
                     "train_loss", s->train.loss);
}

spx_status spx_loop_state_parse(spx_loop_state *s, const json_t *j)
{
    json_int_t epoch, epoch_step, step, images, top1, top5;
    json_error_t err;
    double loss;
    if (json_unpack_ex((json_t *)(uintptr_t)j, &err, 0, "{s:I, s:I, s:I, s:I, s:I, s:I, s:F}",
                       "epoch", &epoch, "epoch_step", &epoch_step, "step", &step, "train_images",
                       &images, "train_top1", &top1, "train_top5", &top5, "train_loss",
                       &loss) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "progress: %s", err.text);
    }
    *s = (spx_loop_state){.epoch = epoch,
                          .epoch_step = epoch_step,
                          .step = step,
                          .train = {.images = images, .top1 = top1, .top5 = top5, .loss = loss}};
    return SPX_OK;
}
