#ifndef SPX_LESSON_H
#define SPX_LESSON_H
/* A small student, its teacher, and what a step of them takes. */
#include "search/final/teacher.h"

#include "host/train/device_arenas.h"
#include "host/train/feed.h"
#include "kernels/base/rng.h"
#include "search/bilevel/search_run.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

enum { BATCH = 4, CLASSES = 5, SIDE = 16, LAYERS = 3, PIXELS = BATCH * SIDE * SIDE };

static spx_scratch scratch;
static spx_stream *stream;

static inline spx_final_spec network(int64_t channels)
{
    return (spx_final_spec){.genotype = spx_genotype_published,
                            .input = {1, SIDE, SIDE},
                            .classes = CLASSES,
                            .init_channels = channels,
                            .layers = LAYERS,
                            .n_reduce = 2,
                            .reduce_at = {0, 2},
                            .mean = {0.1},
                            .std = {0.2}};
}

/* What a network with an auxiliary head asks for. */
static inline spx_final_spec large(int64_t channels)
{
    spx_final_spec f = network(channels);
    f.input.rows = f.input.columns = 32;
    return f;
}

static inline spx_preprocess shown(const spx_final_spec *f)
{
    return (spx_preprocess){.channels = 1,
                            .height = (int)f->input.rows,
                            .width = (int)f->input.columns,
                            .normalised = true,
                            .mean = {0.1},
                            .std = {0.2},
                            .classes = (int)f->classes,
                            .dataset = "spots"};
}

/* A teacher that is sure of its answers, so that its distance counts beside labels. */
static inline void make_sure(const spx_layout *l, float *weights)
{
    const spx_layout_entry *e = spx_layout_find(l, "linear.weight");
    for (int64_t k = 0; k < e->count; k++) {
        weights[e->offset + k] *= 10;
    }
}

/* Statistics that no batch has, so that a teacher which looks at the batch's shows. */
static inline void draw_state(const spx_layout *l, float *state)
{
    spx_rng rng;
    spx_rng_init(&rng, 4, SPX_RNG_TEST, 0);
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        const bool variance = strstr(e->name, "running_var") != NULL;
        for (int64_t k = 0; e->role == SPX_ROLE_STATE && k < e->count; k++) {
            const float z = spx_rng_normal(&rng);
            state[e->offset + k] = variance ? 0.5f + z * z : 0.3f * z;
        }
    }
}

static inline const char *write_model(const char *name, const spx_final_spec *f)
{
    const char *path = spx_scratch_path(&scratch, name);
    const spx_preprocess images = shown(f);
    spx_buffer weights, state;
    spx_program *p;
    CHECK_OK(spx_final_eval_program(&p, stream, f, BATCH, false, NULL));
    const spx_layout *l = spx_program_layout(p);
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &weights));
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_STATE, &state));
    CHECK_OK(spx_layout_init(l, 11, &weights, NULL, &state));
    draw_state(l, state.data);
    make_sure(l, weights.data);
    CHECK_OK(spx_model_save(path, f, &images, NULL, l, &weights, &state));
    spx_buffer_free(&weights);
    spx_buffer_free(&state);
    spx_program_destroy(p);
    return path;
}

/* Images of one channel lie alike on every device. */
static float images[4 * PIXELS];
static const int32_t labels[BATCH] = {0, 3, 1, 4};

static inline spx_status get_batch(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    (void)ctx;
    (void)epoch;
    (void)step;
    *out = (spx_samples){.images = images, .labels = labels, .valid = BATCH};
    return SPX_OK;
}

/* A student, its teacher, and what a step of it takes. */
typedef struct lesson {
    spx_final_spec student, teaching;
    spx_distill_options o;
    spx_teacher *teacher;
    spx_program *program;
    spx_trainer trainer;
    spx_feed *feed;
    spx_samples batch;
} lesson;

static inline spx_status open_teacher(lesson *x)
{
    const spx_preprocess data = shown(&x->student);
    const spx_preprocess_rules rules = {0};
    return spx_teacher_open(&x->teacher, stream, &x->o, &x->student, &data, &rules, 0, BATCH, NULL);
}

static inline spx_status make_program(lesson *x, float aux_weight)
{
    const spx_final_losses losses = {
        .aux_weight = aux_weight, .smoothing = 0.1f, .teacher = x->teacher};
    return spx_final_train_program(&x->program, stream, &x->student, BATCH, &losses, NULL);
}

static inline void begin(lesson *x, float aux_weight)
{
    const spx_sgd_options sgd = {.momentum = 0.9f, .decay = 1e-3f};
    const int64_t side = x->student.input.rows;
    const spx_batch_shape shape = {BATCH, 1, side, side};
    const spx_source host = {.get = get_batch, .steps = 1};
    CHECK_OK(open_teacher(x));
    CHECK_OK(make_program(x, aux_weight));
    CHECK_OK(spx_trainer_init(&x->trainer, stream, x->program, &sgd, 7,
                              spx_teacher_workspace_bytes(x->teacher)));
    x->trainer.guide = spx_teacher_guide(x->teacher);
    CHECK_OK(spx_feed_open(&x->feed, stream, &host, &shape));
    const spx_source source = spx_feed_source(x->feed);
    CHECK_OK(source.get(source.ctx, 0, 0, &x->batch));
}

static inline void end(lesson *x)
{
    spx_trainer_clear(&x->trainer);
    spx_program_destroy(x->program);
    spx_teacher_close(x->teacher);
    spx_feed_close(x->feed);
}

static inline lesson usual(float attention)
{
    lesson x = {.student = network(1), .teaching = network(2)};
    spx_genotype_random(5, &x.teaching.genotype);
    x.o = (spx_distill_options){.teacher = write_model("teacher.h5", &x.teaching),
                                .weight = 0.3f,
                                .temperature = 3,
                                .attention = attention};
    return x;
}

#endif
