/* What runs of every kind do alike, shown by a kind that only counts: no network, no data. Its
 * reports are two steps late, as a device's are. */
#define _POSIX_C_SOURCE 200809L
#include "host/train/run.h"

#include "tests/support/spx_scratch.h"

#include <math.h>

enum { EPOCHS = 4, EPOCH_STEPS = 3, LATE = 2 };

typedef struct counter {
    spx_run run;
    spx_step_queue queue;
    double top1[EPOCHS]; /* what judging finds, by how often it was asked */
    int64_t judged;      /* epochs */
    int interruptions;   /* of judging, still to come */
    float loss;
    int64_t queued, read;
    int begun; /* times init_from was called */
    char kept[64];
    bool begun_to_count;
} counter;

static spx_status queue(void *ctx, const spx_loop_state *s, float lr)
{
    counter *c = ctx;
    assert_true(lr > 0);
    assert_int_equal(s->step, c->queued);
    if (!c->begun_to_count) { /* an epoch under way is counted on; the CPU's memory is the host's */
        assert_int_equal(c->queue.numbers->metrics.images, s->train.images);
        assert_int_equal(s->train.images, s->epoch_step);
        c->begun_to_count = true;
    }
    c->queued++;
    return SPX_OK;
}

static spx_status report(void *ctx, bool wait, spx_run_report *out, bool *any)
{
    counter *c = ctx;
    *any = c->read < c->queued - (wait ? 0 : LATE);
    if (*any) {
        const int64_t in_epoch = c->read % EPOCH_STEPS + 1;
        *out = (spx_run_report){.step = (uint64_t)c->read++,
                                .metrics = {.images = in_epoch, .top1 = in_epoch},
                                .number = {{"half", 0.5}, {"loss", (double)c->loss}}};
    }
    return SPX_OK;
}

static spx_status evaluate(void *ctx, double *top1, json_t **line)
{
    counter *c = ctx;
    assert_int_equal(c->read, c->queued); /* nothing is under way */
    if (c->interruptions > 0) {
        c->interruptions--;
        return SPX_FAIL(SPX_EINTERRUPTED, "asked to stop");
    }
    *top1 = c->top1[c->judged++];
    *line = json_pack("{s:f}", "score", *top1);
    return SPX_OK;
}

static spx_status keep(void *ctx, const spx_loop_state *s, double top1)
{
    counter *c = ctx;
    const size_t n = strlen(c->kept);
    (void)snprintf(c->kept + n, sizeof c->kept - n, "%lld:%g ", (long long)s->epoch, top1);
    return SPX_OK;
}

static spx_status describe(void *ctx, json_t *about)
{
    const counter *c = ctx;
    (void)json_object_set_new(about, "judged", json_integer(c->judged));
    return SPX_OK;
}

static spx_status restore(void *ctx, const json_t *about)
{
    counter *c = ctx;
    c->judged = json_integer_value(json_object_get(about, "judged"));
    c->queued = c->read = c->run.session->state.step;
    return SPX_OK;
}

static spx_status init_from(void *ctx, const char *path)
{
    counter *c = ctx;
    assert_string_equal(path, "a file");
    c->begun++;
    return SPX_OK;
}

static const spx_run_kind counting = {.name = "counting",
                                      .queue = queue,
                                      .report = report,
                                      .evaluate = evaluate,
                                      .keep = keep,
                                      .describe = describe,
                                      .restore = restore,
                                      .init_from = init_from};

static spx_scratch scratch;

static int make_scratch(void **state)
{
    (void)state;
    return spx_scratch_make(&scratch) != 0 || setenv("XDG_CACHE_HOME", scratch.folder, 1) != 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    spx_scratch_remove(&scratch);
    return 0;
}

static counter fresh(void)
{
    return (counter){.top1 = {0.5, 0.5, 0.75, 0.25}, .loss = 2};
}

static spx_run_options options(void)
{
    return (spx_run_options){
        .schedule = {.kind = SPX_SCHEDULE_STEP, .lr = 0.5, .factor = 1, .epochs = EPOCHS},
        .log_every = 2};
}

/* One process's work on the run in the folder NAME. */
static spx_status go(counter *c, const char *name, const spx_run_options *o, int64_t eval_every)
{
    json_t *none = json_object();
    const spx_session_options so = {.path = spx_scratch_path(&scratch, name),
                                    .resume = true,
                                    .verb = "counting",
                                    .ini = "",
                                    .config = none,
                                    .typed = none,
                                    .inputs = none,
                                    .defaults = none,
                                    .stream = {.threads = 1}};
    spx_session s;
    spx_status st;
    CHECK_OK(spx_session_open(&s, &so));
    CHECK_OK(spx_step_queue_init(&c->queue, s.stream, 1));
    CHECK_OK(spx_run_init(&c->run, &s, o, &counting, c));
    c->run.epoch_steps = EPOCH_STEPS;
    c->run.eval_every = eval_every;
    c->run.queue = &c->queue;
    st = spx_run_all(&c->run);
    spx_step_queue_clear(&c->queue);
    spx_session_close(&s, st);
    json_decref(none);
    return st;
}

static const char *log_of(const char *name)
{
    char file[64];
    (void)snprintf(file, sizeof file, "%s/metrics.jsonl", name);
    return spx_scratch_path(&scratch, file);
}

#define STEP(n) "{\"step\":" #n ",\"half\":0.5,\"loss\":2.0}\n"
#define EPOCH(e, n, score)                                                                         \
    "{\"epoch\":" #e ",\"step\":" #n ",\"lr\":0.5,\"train_loss\":0.0,\"train_top1\":1.0,"          \
    "\"score\":" #score "}\n"

static const char whole_log[] = STEP(2) EPOCH(0, 3, 0.5) STEP(4) STEP(6) EPOCH(1, 6, 0.5) STEP(8)
    EPOCH(2, 9, 0.75) STEP(10) STEP(12) EPOCH(3, 12, 0.25);

SPX_TEST(a_log_has_the_steps_asked_for_and_every_judged_epoch)
{
    SPX_UNUSED;
    counter c = fresh();
    const spx_run_options o = options();
    CHECK_OK(go(&c, "every", &o, 1));
    spx_scratch_check_text(log_of("every"), whole_log);
    c = fresh();
    CHECK_OK(go(&c, "third", &o, 3)); /* and the last one */
    spx_scratch_check_text(log_of("third"), STEP(2) STEP(4) STEP(6) STEP(8) EPOCH(2, 9, 0.5)
                                                STEP(10) STEP(12) EPOCH(3, 12, 0.5));
}

SPX_TEST(the_best_epoch_is_kept_and_a_tie_goes_to_the_earlier)
{
    SPX_UNUSED;
    counter c = fresh();
    const spx_run_options o = options();
    CHECK_OK(go(&c, "best", &o, 1));
    assert_string_equal(c.kept, "0:0.5 2:0.75 ");
    assert_int_equal(c.run.best.epoch, 2);
    assert_true(c.run.best.top1 == 0.75);
}

/* Cut after each of its steps: best, log and what the kind described end as if it never was. */
SPX_TEST(a_run_that_goes_on_ends_as_one_that_was_not_cut)
{
    SPX_UNUSED;
    for (int64_t cut = 1; cut < EPOCHS * EPOCH_STEPS; cut++) {
        char name[32];
        counter c = fresh();
        spx_run_options o = options();
        (void)snprintf(name, sizeof name, "cut%d", (int)cut);
        o.max_steps = cut;
        CHECK_OK(go(&c, name, &o, 1));
        o.max_steps = 0;
        c = fresh();
        CHECK_OK(go(&c, name, &o, 1));
        spx_scratch_check_text(log_of(name), whole_log);
        assert_int_equal(c.run.best.epoch, 2);
        assert_true(c.run.best.top1 == 0.75);
    }
}

/* The part is better than the epoch before; the checkpoint, which is older, knows that alone. */
SPX_TEST(a_part_of_an_epoch_replaces_no_epoch_that_is_kept)
{
    SPX_UNUSED;
    for (int64_t cut = 1; cut <= EPOCH_STEPS + 1; cut++) { /* in both epochs, and between */
        char name[32];
        counter c = {.top1 = {0.25, 0.5}, .loss = 2};
        spx_run_options o = options();
        (void)snprintf(name, sizeof name, "part%d", (int)cut);
        o.max_steps = cut;
        CHECK_OK(go(&c, name, &o, 1));
        assert_string_equal(c.kept, "0:0.25 ");
    }
}

SPX_TEST(judging_that_was_interrupted_is_done_again)
{
    SPX_UNUSED;
    counter c = fresh();
    const spx_run_options o = options();
    c.interruptions = 1;
    CHECK_FAILS(SPX_EINTERRUPTED, go(&c, "asked", &o, 1));
    c = fresh();
    CHECK_OK(go(&c, "asked", &o, 1));
    spx_scratch_check_text(log_of("asked"), whole_log);
}

SPX_TEST(only_a_new_run_begins_with_a_file)
{
    SPX_UNUSED;
    counter c = fresh();
    spx_run_options o = options();
    o.init_from = "a file";
    o.max_steps = 5;
    CHECK_OK(go(&c, "begun", &o, 1));
    assert_int_equal(c.begun, 1);
    o.max_steps = 0;
    c = fresh();
    CHECK_OK(go(&c, "begun", &o, 1));
    assert_int_equal(c.begun, 0);
}

SPX_TEST(a_number_that_is_not_finite_is_no_line_of_a_log)
{
    SPX_UNUSED;
    counter c = fresh();
    spx_run_options o = options();
    c.loss = NAN;
    CHECK_FAILS(SPX_EINVAL, go(&c, "nan", &o, 1));
    o.schedule.lr = 0; /* no schedule: nothing begins */
    CHECK_FAILS(SPX_EINVAL, spx_run_init(&c.run, NULL, &o, &counting, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_log_has_the_steps_asked_for_and_every_judged_epoch),
        SPX_UNIT(the_best_epoch_is_kept_and_a_tie_goes_to_the_earlier),
        SPX_UNIT(a_run_that_goes_on_ends_as_one_that_was_not_cut),
        SPX_UNIT(a_part_of_an_epoch_replaces_no_epoch_that_is_kept),
        SPX_UNIT(judging_that_was_interrupted_is_done_again),
        SPX_UNIT(only_a_new_run_begins_with_a_file),
        SPX_UNIT(a_number_that_is_not_finite_is_no_line_of_a_log),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
