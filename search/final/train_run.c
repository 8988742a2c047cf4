#include "search/final/train_run.h"

#include "host/train/tuning_cache.h"
#include "kernels/base/alloc.h"
#include "search/final/model.h"
#include "search/final/train_private.h"

#include <string.h>
#include <unistd.h>

spx_status spx_training_source(spx_training *x, int source, int side, const uint32_t *subset,
                               size_t count)
{
    const spx_train_options *o = x->o;
    const spx_split split = source == SPX_TESTED ? SPX_SPLIT_TEST : SPX_SPLIT_TRAIN;
    const spx_loader_options lo = {.split = split,
                                   .subset = subset,
                                   .subset_count = count,
                                   .train = source == SPX_TRAINED,
                                   .batch = (size_t)o->batch,
                                   .height = side > 0 ? side : (int)o->spec.input.rows,
                                   .width = side > 0 ? side : (int)o->spec.input.columns,
                                   .augment = o->augment,
                                   .seed = o->run.seed,
                                   .threads = o->workers, /* 0: chosen */
                                   .nvjpeg = o->nvjpeg};
    spx_stream *s = x->run.session->stream;
    if (x->split[split] == NULL) {
        SPX_RETURN_IF(
            spx_device_split_open(&x->split[split], s, o->pack, split, SPX_DEVICE_SPLIT_SHARE));
    }
    SPX_RETURN_IF(spx_device_source_open(&x->batches[source], s, x->split[split], o->pack, &lo));
    x->source[source] = spx_device_source_of(x->batches[source]);
    return SPX_OK;
}

/* The images that are trained on: all but those of o->held. */
static void leave_out(spx_training *x)
{
    const spx_train_options *o = x->o;
    size_t k = 0;
    for (size_t i = 0; i < o->pack->split[SPX_SPLIT_TRAIN].count; i++) {
        if (k < o->held_count && o->held[k] == i) {
            k++;
        } else {
            x->part[x->part_count++] = (uint32_t)i;
        }
    }
}

/* Opens the held-out images; the others are the part that is trained on. */
static spx_status hold_out(spx_training *x)
{
    const spx_train_options *o = x->o;
    const spx_pack_split *all = &o->pack->split[SPX_SPLIT_TRAIN];
    uint32_t *held = NULL;
    size_t n;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(x->part, all->count));
    if (o->held_count > 0) {
        leave_out(x);
        return spx_training_source(x, SPX_HELD_OUT, 0, o->held, o->held_count);
    }
    SPX_TRY(st, SPX_NEW(held, all->count), end);
    SPX_TRY(st,
            spx_split_held_out(all->labels, all->count, o->pack->classes, o->run.seed, o->held_out,
                               held, &n, x->part, &x->part_count),
            end);
    st = spx_training_source(x, SPX_HELD_OUT, 0, held, n);
end:
    spx_free(held);
    return st;
}

static spx_status open_sources(spx_training *x)
{
    const spx_train_options *o = x->o;
    if (spx_training_holds(o)) {
        SPX_RETURN_IF(hold_out(x));
    }
    SPX_RETURN_IF(spx_training_source(x, SPX_TRAINED, o->stage[0].side, x->part, x->part_count));
    return o->no_test ? SPX_OK : spx_training_source(x, SPX_TESTED, 0, NULL, 0);
}

/* Programs of a step: one for each side of the images, or for each stage of a linearization. */
static int programs_of(const spx_train_options *o)
{
    const int stages = o->linearize.method != SPX_LINEARIZE_NONE
                           ? 1 + (o->linearize.second.epochs > 0)
                           : o->n_stages;
    return stages > 0 ? stages : 1;
}

/* The teacher at the side of a stage. The digest that the run's record has of it must be that of
 * what was opened: the checkpoint of a run that goes on may change in between. */
static spx_status open_teacher(spx_training *x, int stage)
{
    const spx_train_options *o = x->o;
    const spx_session *s = x->run.session;
    const spx_preprocess_rules rules = {.any_size = true, /* it sees batches, not images */
                                        .allow_changed = o->allow_changed,
                                        .warn = stage == 0 ? o->run.warn : NULL, /* once */
                                        .ctx = o->run.ctx};
    const char *recorded = json_string_value(json_object_get(s->inputs, "teacher"));
    spx_teacher **t = &x->teacher[stage];
    x->distill[stage] = o->distill;
    if (o->linearize.method != SPX_LINEARIZE_NONE && stage == 0) {
        x->distill[stage].attention = 0;
        x->distill[stage].distances = o->linearize.method == SPX_LINEARIZE_SENET;
    }
    if (o->distill.teacher == NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_teacher_open(t, s->stream, &x->distill[stage], &o->spec, &x->images, &rules,
                                   o->stage[stage].side, o->batch, s->tuning));
    return recorded == NULL || strcmp(recorded, spx_teacher_digest(*t)) == 0
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL,
                          "teacher %s: it changed while it was opened; give a finished training or "
                          "a copy",
                          o->distill.teacher);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static spx_status open_network(spx_training *x)
{
    const spx_train_options *o = x->o;
    spx_session *s = x->run.session;
    spx_final_losses losses = {
        .aux_weight = o->aux_weight, .smoothing = o->smoothing, .drop_path = o->drop_path > 0};
    size_t room;
    SPX_RETURN_IF(spx_final_eval_program(&x->eval_program, s->stream, &o->spec, o->batch,
                                         o->aux_weight > 0, s->tuning));
    room = spx_program_workspace_bytes(x->eval_program);
    for (int i = 0; i < programs_of(o); i++) {
        spx_program **p = &x->train_program[i];
        SPX_RETURN_IF(open_teacher(x, i));
        losses.teacher = x->teacher[i];
        losses.side = o->stage[i].side;
        losses.score_relus = o->linearize.method == SPX_LINEARIZE_RELUPRUNER && i == 0;
        losses.train_masks = o->linearize.method == SPX_LINEARIZE_SNL && i == 0;
        SPX_RETURN_IF(
            spx_final_train_program(p, s->stream, &o->spec, o->batch, &losses, s->tuning));
        if (!spx_layout_equal(spx_program_layout(*p), spx_program_layout(x->eval_program))) {
            return SPX_FAIL(SPX_EINVAL, "training and evaluation disagree about the layout");
        }
        room = larger(room, spx_program_workspace_bytes(*p));
        room = larger(room, spx_teacher_workspace_bytes(x->teacher[i]));
    }
    spx_tuning_cache_store(s->tuning);
    SPX_RETURN_IF(
        spx_trainer_init(&x->trainer, s->stream, x->train_program[0], &o->sgd, o->run.seed, room));
    x->trainer.guide = spx_teacher_guide(x->teacher[0]);
    if (o->linearize.method != SPX_LINEARIZE_NONE) {
        SPX_RETURN_IF(spx_linearizer_open(&x->linearizer, s->stream, &o->linearize, &o->spec,
                                          x->train_program[0]));
        spx_linearizer_attach(x->linearizer, &x->trainer);
    }
    return SPX_OK;
}

/* The images as a model reads them: those that are not of the input's size by their centre box, as
 * the loader evaluates them. */
static spx_status describe_images(spx_training *x)
{
    const spx_train_options *o = x->o;
    spx_preprocess *p = &x->images;
    SPX_RETURN_IF(spx_preprocess_of_pack(p, o->pack));
    if (o->augment.resized_crop != SPX_RESIZED_CROP_NONE || p->height == 0 ||
        p->height > o->spec.input.rows || p->width > o->spec.input.columns) {
        p->centre_crop = o->augment.centre_resize > 0 ? o->augment.centre_crop : 224;
        p->centre_resize = o->augment.centre_resize > 0 ? o->augment.centre_resize : 256;
    }
    return SPX_OK;
}

static void describe_run(spx_training *x)
{
    const spx_trainer *t = &x->trainer;
    const spx_ckpt_arena arena[] = {
        {"param", SPX_ROLE_WEIGHT, t->weights},
        {"buffer", SPX_ROLE_STATE, t->state},
        {"momentum", SPX_ROLE_WEIGHT, t->momentum},
        {"ema_param", SPX_ROLE_WEIGHT, t->ema_weights},
        {"ema_buffer", SPX_ROLE_STATE, t->ema_state},
        {"score", SPX_ROLE_ARCH,
         x->linearizer != NULL ? *spx_linearizer_scores(x->linearizer) : (spx_buffer){0}},
    };
    x->run.epoch_steps = x->source[SPX_TRAINED].steps;
    if (x->o->epoch_steps > 0 && x->o->epoch_steps < x->run.epoch_steps) {
        x->run.epoch_steps = x->o->epoch_steps;
    }
    x->run.eval_every = x->o->eval_every;
    x->run.queue = &x->trainer.queue;
    x->run.layout = x->linearizer != NULL ? spx_linearizer_layout(x->linearizer) : t->layout;
    x->run.n_arenas = sizeof arena / sizeof arena[0];
    _Static_assert(sizeof arena <= sizeof x->run.arena, "room for all");
    memcpy(x->run.arena, arena, sizeof arena);
}

json_t *spx_train_result_json(const spx_train_result *r)
{
    json_t *j = json_pack("{s:I, s:f, s:f, s:f, s:I, s:o, s:s, s:I, s:I, s:I, s:I}", "steps",
                          (json_int_t)r->steps, "top1", spx_metrics_top1(&r->last), "top5",
                          spx_metrics_top5(&r->last), "loss", spx_metrics_loss(&r->last), "images",
                          (json_int_t)r->last.images, "best_top1",
                          r->best_top1 >= 0 ? json_real(r->best_top1) : json_null(), "best_by",
                          r->best_by_test ? "test" : "val", "best_epoch", (json_int_t)r->best_epoch,
                          "relus", (json_int_t)r->relus.kept, "params",
                          (json_int_t)r->counts.params, "macs", (json_int_t)r->counts.macs);
    if (j != NULL && r->last.images == 0) { /* nobody asked the test split */
        (void)json_object_set_new(j, "top1", json_null());
        (void)json_object_set_new(j, "top5", json_null());
        (void)json_object_set_new(j, "loss", json_null());
    }
    spx_relu_count_json(j, &r->relus);
    if (j != NULL && r->held.images > 0) {
        (void)json_object_set_new(j, "val_top1", json_real(spx_metrics_top1(&r->held)));
        (void)json_object_set_new(j, "val_images", json_integer((json_int_t)r->held.images));
        if (!r->best_by_test) {
            (void)json_object_set_new(j, r->best_by_loss ? "best_val_loss" : "best_val_top1",
                                      json_real(r->best_judged));
        }
    }
    if (j != NULL && r->teacher != NULL) {
        (void)json_object_set_new(
            j, "teacher", json_pack("{s:s, s:s}", "file", r->teacher, "digest", r->teacher_digest));
    }
    return j;
}

/* What best.h5 gives on the test split, which did not choose it. */
static spx_status measure_best(spx_training *x, double *top1)
{
    spx_session *s = x->run.session;
    char path[4096];
    spx_model m;
    spx_model_runner *r = NULL;
    spx_metrics test;
    spx_status st;
    *top1 = -1;
    SPX_RETURN_IF(spx_run_dir_path(s->dir, "best.h5", path, sizeof path));
    if (access(path, F_OK) != 0) {
        return SPX_OK; /* the run has warned */
    }
    SPX_RETURN_IF(spx_model_open(&m, path));
    SPX_TRY(st, spx_model_runner_create(&r, s->stream, &m, x->o->batch, s->tuning), end);
    SPX_TRY(st, spx_model_runner_evaluate(r, &x->source[SPX_TESTED], &test), end);
    *top1 = spx_metrics_top1(&test);
end:
    spx_model_runner_destroy(r);
    spx_model_close(&m);
    return st;
}

/* What the masks of model.h5 keep. */
static spx_status count_relus(spx_training *x, spx_relu_count *out)
{
    char path[4096];
    spx_model m;
    spx_status st;
    SPX_RETURN_IF(spx_run_dir_path(x->run.session->dir, "model.h5", path, sizeof path));
    SPX_RETURN_IF(spx_model_open(&m, path));
    st = spx_model_relus(out, &m);
    spx_model_close(&m);
    return st;
}

static spx_status finish(spx_training *x, spx_train_result *result)
{
    const spx_run *r = &x->run;
    const spx_loop_state *s = &r->session->state;
    const spx_train_options *o = x->o;
    *result =
        (spx_train_result){.steps = s->step,
                           .best_by_test = spx_training_judge(o) == SPX_TESTED,
                           .best_by_loss = x->linearizer != NULL,
                           .best_epoch = r->best.epoch,
                           .best_judged = x->linearizer != NULL ? -r->best.top1 : r->best.top1,
                           .best_top1 = r->best.top1};
    for (int i = o->no_test ? SPX_HELD_OUT : SPX_TESTED;
         i <= (spx_training_holds(o) ? SPX_HELD_OUT : SPX_TESTED); i++) {
        if (x->last[i].images == 0) { /* not asked for before, or resumed after its end */
            SPX_RETURN_IF(spx_training_measure(x, i));
        }
    }
    result->last = x->last[SPX_TESTED];
    result->held = x->last[SPX_HELD_OUT];
    if (o->no_test) {
        result->best_top1 = -1;
    } else if (!result->best_by_test || result->best_by_loss) {
        SPX_RETURN_IF(measure_best(x, &result->best_top1));
    }
    if (x->teacher[0] != NULL) {
        result->teacher = o->distill.teacher;
        memcpy(result->teacher_digest, spx_teacher_digest(x->teacher[0]), SPX_H5_DIGEST_CHARS);
    }
    SPX_RETURN_IF(spx_final_count(&o->spec, o->aux_weight > 0, &result->counts));
    SPX_RETURN_IF(spx_training_save(x, "model.h5", s, NULL));
    SPX_RETURN_IF(count_relus(x, &result->relus));
    return spx_session_result(r->session, spx_train_result_json(result));
}

static spx_status check_stages(const spx_train_options *o)
{
    const spx_train_stage *last;
    if (o->n_stages == 0) {
        return SPX_OK;
    }
    last = &o->stage[o->n_stages - 1];
    if (o->n_stages > SPX_TRAIN_STAGES) {
        return SPX_FAIL(SPX_EINVAL, "resolutions: %d, at most %d are expected", o->n_stages,
                        SPX_TRAIN_STAGES);
    }
    if (o->stage[0].epoch != 0) {
        return SPX_FAIL(SPX_EINVAL, "resolutions: the first is from epoch %lld, expected 0",
                        (long long)o->stage[0].epoch);
    }
    if (last->epoch >= o->run.schedule.epochs) {
        return SPX_FAIL(SPX_EINVAL,
                        "resolutions: the last is from epoch %lld, but the last epoch is %lld",
                        (long long)last->epoch, (long long)o->run.schedule.epochs - 1);
    }
    if (last->side != o->spec.input.rows || last->side != o->spec.input.columns) {
        return SPX_FAIL(SPX_EINVAL,
                        "resolutions: the last is %dx%d, expected the input's %lldx%lld (--input)",
                        last->side, last->side, (long long)o->spec.input.rows,
                        (long long)o->spec.input.columns);
    }
    for (int i = 0; i < o->n_stages; i++) {
        const int side = o->stage[i].side;
        if (i > 0 && o->stage[i].epoch <= o->stage[i - 1].epoch) {
            return SPX_FAIL(SPX_EINVAL, "resolutions: epochs must ascend");
        }
        /* now, not when a later stage's batches are opened */
        SPX_RETURN_IF(spx_fail_context(spx_augment_check(&o->augment, side, side), "resolutions"));
    }
    return o->augment.resized_crop == SPX_RESIZED_CROP_RANDOM
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "resolutions: need resized crops");
}

static spx_status check(const spx_train_options *o)
{
    if (o->eval_every < 1) {
        return SPX_FAIL(SPX_EINVAL, "evaluation every %lld epochs", (long long)o->eval_every);
    }
    if (!(o->held_out >= 0 && o->held_out < 1) || o->test_every < 0) {
        return SPX_FAIL(SPX_EINVAL, "%g of the training images held out, test every %lld epochs",
                        o->held_out, (long long)o->test_every);
    }
    if (o->no_test && (!spx_training_holds(o) || o->by_test || o->test_every > 0)) {
        return SPX_FAIL(SPX_EINVAL, "without the test split, held-out images have to judge");
    }
    SPX_RETURN_IF(check_stages(o));
    if (o->linearize.method != SPX_LINEARIZE_NONE &&
        (o->n_stages > 0 || o->sgd.ema > 0 || o->run.init_from == NULL || !o->spec.masked)) {
        return SPX_FAIL(SPX_EINVAL, "linearization: of a masked network's model, without averages "
                                    "and at one size");
    }
    if (!(o->drop_path >= 0 && o->drop_path < 1)) {
        return SPX_FAIL(SPX_EINVAL, "drop-path probability %g, expected 0 <= p < 1", o->drop_path);
    }
    return SPX_OK;
}

spx_status spx_train_run(spx_session *session, const spx_train_options *o, spx_train_result *result)
{
    spx_training x = {.o = o};
    spx_status st;
    SPX_RETURN_IF(check(o));
    SPX_RETURN_IF(spx_run_init(&x.run, session, &o->run, &spx_training_kind, &x));
    SPX_TRY(st, describe_images(&x), end);
    SPX_TRY(st, open_sources(&x), end);
    SPX_TRY(st, open_network(&x), end);
    describe_run(&x);
    SPX_TRY(st, spx_run_all(&x.run), end);
    st = finish(&x, result);
end:
    spx_trainer_clear(&x.trainer); /* waits for the stream */
    spx_linearizer_close(x.linearizer);
    for (int i = 0; i < SPX_TRAIN_STAGES; i++) {
        spx_teacher_close(x.teacher[i]);
        spx_program_destroy(x.train_program[i]);
    }
    spx_free(x.part);
    spx_program_destroy(x.eval_program);
    for (int i = 0; i < SPX_TRAINING_SOURCES; i++) {
        spx_device_source_close(x.batches[i]);
    }
    for (int i = 0; i < SPX_SPLIT_COUNT; i++) {
        spx_device_split_close(x.split[i]);
    }
    spx_preprocess_clear(&x.images);
    return st;
}
