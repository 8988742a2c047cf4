#include "host/train/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- beginning ---- */

spx_status spx_run_init(spx_run *r, spx_session *session, const spx_run_options *o,
                        const spx_run_kind *kind, void *ctx)
{
    *r = (spx_run){.session = session, .options = o, .kind = kind, .ctx = ctx, .eval_every = 1};
    SPX_RETURN_IF(spx_schedule_check(&o->schedule));
    spx_session_warn(session, o->warn, o->ctx);
    return SPX_OK;
}

/* A file that goes lost between two sessions is not written again before there is a better one. */
static void look_for_kept(const spx_run *r)
{
    const spx_run_options *o = r->options;
    char path[4096], text[160];
    if (r->best.any && r->kind->kept != NULL && o->warn != NULL &&
        spx_run_dir_path(r->session->dir, r->kind->kept, path, sizeof path) == SPX_OK &&
        access(path, F_OK) != 0) {
        (void)snprintf(text, sizeof text,
                       "%s, the best so far, is absent: it is written again after a better epoch",
                       r->kind->kept);
        o->warn(o->ctx, text);
    }
}

static spx_status restore(spx_run *r)
{
    const json_t *about = r->session->checkpoint.meta, *best = json_object_get(about, "best");
    json_int_t epoch;
    if (!json_is_null(best)) {
        if (json_unpack((json_t *)(uintptr_t)best, "{s:I, s:F}", "epoch", &epoch, "top1",
                        &r->best.top1) != 0) {
            return SPX_FAIL(SPX_EFORMAT, "checkpoint: best epoch is malformed");
        }
        r->best.epoch = epoch;
        r->best.any = true;
        look_for_kept(r);
    }
    if (r->kind->restore != NULL) {
        SPX_RETURN_IF(r->kind->restore(r->ctx, about));
    }
    return spx_session_load(r->session, r->layout, r->arena, r->n_arenas);
}

static spx_status begin(spx_run *r)
{
    if (spx_session_resumes(r->session)) {
        return restore(r);
    }
    return r->options->init_from != NULL ? r->kind->init_from(r->ctx, r->options->init_from)
                                         : SPX_OK;
}

/* Of a step when `done` of its epoch are done. */
static float rate(const spx_run *r, int64_t epoch, int64_t done)
{
    return r->kind->rate != NULL
               ? r->kind->rate(r->ctx, epoch, done, r->epoch_steps)
               : spx_schedule_lr(&r->options->schedule, epoch, done, r->epoch_steps);
}

/* ---- the log ---- */

/* Adds the members of more to to; takes both over. NULL where either is. */
static json_t *joined(json_t *to, json_t *more)
{
    if (more == NULL || json_object_update(to, more) != 0) {
        json_decref(to);
        to = NULL;
    }
    json_decref(more);
    return to;
}

static spx_status log_step(const spx_run *r, const spx_run_report *p)
{
    const spx_run_options *o = r->options;
    const int64_t done = (int64_t)p->step + 1;
    json_t *line;
    if (o->show != NULL) {
        char note[64];
        (void)snprintf(note, sizeof note, "loss %.3f", (double)p->loss);
        o->show(o->ctx, done, spx_loop_total(&r->loop), note);
    }
    if (o->log_every == 0 || done % o->log_every != 0) {
        return SPX_OK;
    }
    line = json_pack("{s:I}", "step", (json_int_t)done);
    for (int i = 0; i < SPX_RUN_NUMBERS && p->number[i].name != NULL; i++) {
        line = joined(line, json_pack("{s:f}", p->number[i].name, p->number[i].value));
    }
    return spx_jsonl_append(r->session->metrics, line);
}

static spx_status log_epoch(const spx_run *r, const spx_loop_state *s, json_t *more)
{
    json_t *line =
        json_pack("{s:I, s:I, s:f, s:f, s:f}", "epoch", (json_int_t)s->epoch, "step",
                  (json_int_t)s->step, "lr", (double)rate(r, s->epoch, 0), "train_loss",
                  spx_metrics_loss(&s->train), "train_top1", spx_metrics_top1(&s->train));
    return spx_jsonl_append(r->session->metrics, joined(line, more));
}

/* ---- the loop's callbacks ---- */

/* Takes what steps say of themselves: of all of them, or of those that are due. */
static spx_status read_reports(const spx_run *r, spx_loop_state *s, bool wait)
{
    for (;;) {
        spx_run_report report = {0};
        bool any;
        SPX_RETURN_IF(
            spx_fail_context(r->kind->report(r->ctx, wait, &report, &any), "%s", r->kind->name));
        if (!any) {
            return SPX_OK;
        }
        s->train = report.metrics;
        SPX_RETURN_IF(log_step(r, &report));
    }
}

static spx_status drain(void *ctx, spx_loop_state *s)
{
    return read_reports(ctx, s, true);
}

static spx_status step(void *ctx, spx_loop_state *s)
{
    spx_run *r = ctx;
    if (!r->counting || s->epoch_step == 0) {
        SPX_RETURN_IF(spx_step_queue_count_from(r->queue, &s->train));
        r->counting = true;
    }
    SPX_RETURN_IF(r->kind->queue(r->ctx, s, rate(r, s->epoch, s->epoch_step)));
    return read_reports(r, s, false);
}

static spx_status end_epoch(void *ctx, const spx_loop_state *s)
{
    spx_run *r = ctx;
    const bool last = s->step >= spx_loop_total(&r->loop);
    json_t *line = NULL;
    double top1;
    if (!last && (s->epoch + 1) % r->eval_every != 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(r->kind->evaluate(r->ctx, &top1, &line));
    SPX_RETURN_IF(log_epoch(r, s, line));
    /* A part of an epoch, at max_steps, is the best only before any is: a run that goes on from the
     * checkpoint, which is older, finds the best epoch of before there, or none. */
    if (isnan(top1) ||
        (r->best.any && (s->epoch_step < r->epoch_steps || top1 <= r->best.top1))) {
        return SPX_OK;
    }
    r->best = (spx_run_best){.any = true, .epoch = s->epoch, .top1 = top1};
    return r->kind->keep(r->ctx, s, top1);
}

static spx_status save(void *ctx, const spx_loop_state *s)
{
    spx_run *r = ctx;
    const spx_run_best *b = &r->best;
    json_t *about =
        json_pack("{s:o}", "best",
                  b->any ? json_pack("{s:I, s:f}", "epoch", (json_int_t)b->epoch, "top1", b->top1)
                         : json_null());
    const spx_status st = r->kind->describe(r->ctx, about);
    if (st != SPX_OK) {
        json_decref(about);
        return st;
    }
    return spx_session_save(r->session, s, about, r->layout, r->arena, r->n_arenas);
}

static spx_status stop(void *ctx)
{
    const spx_run *r = ctx;
    return spx_session_stop(r->session);
}

/* ---- the whole ---- */

spx_status spx_run_all(spx_run *r)
{
    const spx_run_options *o = r->options;
    SPX_RETURN_IF(begin(r));
    r->loop = (spx_loop){.epochs = o->schedule.epochs,
                         .epoch_steps = r->epoch_steps,
                         .max_steps = o->max_steps,
                         .save_every = o->save_every,
                         .ctx = r,
                         .step = step,
                         .drain = drain,
                         .end_epoch = end_epoch,
                         .save = save,
                         .stop = stop};
    return spx_loop_run(&r->loop, &r->session->state);
}
