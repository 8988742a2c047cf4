/* Training with a teacher, on every device, beside the loss computed in double from the networks'
 * own activations. */
#define _POSIX_C_SOURCE 200809L
#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"
#include "tests/search/lesson.h"

/* ---- the loss in double ---- */

typedef struct seen {
    float logits[BATCH * CLASSES];
    float *cell[LAYERS];
    int64_t dim[LAYERS][4];
} seen;

/* Logits and cells of a network with those weights and states on those images. */
static void watch(const lesson *x, spx_network *net, const spx_buffer *weights,
                  const spx_buffer *state, seen *out)
{
    const void *const input[2] = {x->batch.images, x->batch.labels};
    spx_tid output[1 + LAYERS] = {net->logits};
    spx_program *p;
    spx_binding b = {.weights = *weights, .state = *state, .input = input};
    memcpy(output + 1, net->cell, sizeof *output * LAYERS);
    CHECK_OK(spx_program_create(&p, net->graph, stream,
                                &(spx_program_options){.output = output, .n_output = 1 + LAYERS}));
    CHECK_OK(spx_buffer_alloc(&b.workspace, stream, spx_program_workspace_bytes(p)));
    CHECK_OK(spx_program_run(p, &b));
    CHECK_OK(spx_program_read(p, &b, 0, out->logits));
    for (int i = 0; i < LAYERS; i++) {
        const spx_tensor *t = spx_program_output_tensor(p, 1 + i);
        memcpy(out->dim[i], t->dim, sizeof out->dim[i]);
        out->cell[i] = malloc((size_t)spx_tensor_count(t) * sizeof(float));
        assert_non_null(out->cell[i]);
        CHECK_OK(spx_program_read(p, &b, 1 + i, out->cell[i]));
    }
    spx_buffer_free(&b.workspace);
    spx_program_destroy(p);
    spx_network_clear(net);
}

static void watch_student(const lesson *x, seen *out)
{
    const spx_final_config c = {.batch = BATCH,
                                .input = x->student.input,
                                .classes = CLASSES,
                                .init_channels = x->student.init_channels,
                                .layers = LAYERS,
                                .n_reduce = 2,
                                .reduce_at = {0, 2},
                                .training = true};
    spx_network net;
    CHECK_OK(spx_build_final(&net, &x->student.genotype, &c));
    watch(x, &net, &x->trainer.weights, &x->trainer.state, out);
}

static void watch_teacher(const lesson *x, seen *out)
{
    spx_network net;
    spx_program *p;
    spx_model m;
    spx_buffer weights, state;
    CHECK_OK(spx_model_open(&m, x->o.teacher));
    CHECK_OK(spx_final_eval_program(&p, stream, &x->teaching, BATCH, false, NULL));
    CHECK_OK(spx_model_arenas(&m, spx_program_layout(p), stream, &weights, &state));
    CHECK_OK(spx_final_build(&net, &x->teaching, BATCH));
    watch(x, &net, &weights, &state, out);
    spx_program_destroy(p);
    spx_buffer_free(&weights);
    spx_buffer_free(&state);
    spx_model_close(&m);
}

static void seen_clear(seen *s)
{
    for (int i = 0; i < LAYERS; i++) {
        free(s->cell[i]);
    }
}

/* p[k] = softmax(x / t)[k] */
static void softmax(const float *x, double t, double *p)
{
    double sum = 0;
    for (int k = 0; k < CLASSES; k++) {
        sum += exp((double)x[k] / t);
    }
    for (int k = 0; k < CLASSES; k++) {
        p[k] = exp((double)x[k] / t) / sum;
    }
}

static double cross_entropy(const seen *s)
{
    double loss = 0, p[CLASSES];
    for (int n = 0; n < BATCH; n++) {
        softmax(s->logits + (ptrdiff_t)n * CLASSES, 1, p);
        for (int k = 0; k < CLASSES; k++) { /* smoothed by 0.1 */
            loss -= ((k == labels[n]) * 0.9 + 0.1 / CLASSES) * log(p[k]);
        }
    }
    return loss / BATCH;
}

static double divergence(const seen *student, const seen *teacher, double t)
{
    double loss = 0, p[CLASSES], q[CLASSES];
    for (int n = 0; n < BATCH; n++) {
        softmax(teacher->logits + (ptrdiff_t)n * CLASSES, t, p);
        softmax(student->logits + (ptrdiff_t)n * CLASSES, t, q);
        for (int k = 0; k < CLASSES; k++) {
            loss += p[k] * log(p[k] / q[k]);
        }
    }
    return t * t * loss / BATCH;
}

/* Where image n of cell i is large: [hw], of norm 1. */
static void attention_map(const seen *s, int i, int n, double *map)
{
    const int64_t c = s->dim[i][1], hw = s->dim[i][2] * s->dim[i][3];
    double square = 0;
    for (int64_t at = 0; at < hw; at++) {
        map[at] = 0;
        for (int64_t k = 0; k < c; k++) {
            const double x = (double)s->cell[i][(n * c + k) * hw + at];
            map[at] += x * x;
        }
        square += map[at] * map[at];
    }
    for (int64_t at = 0; at < hw; at++) {
        map[at] /= sqrt(square);
    }
}

static double maps_apart(const seen *student, int i, const seen *teacher, int j)
{
    static double a[SIDE * SIDE], b[SIDE * SIDE];
    const int64_t hw = student->dim[i][2] * student->dim[i][3];
    double sum = 0;
    assert_int_equal(hw, teacher->dim[j][2] * teacher->dim[j][3]);
    for (int n = 0; n < BATCH; n++) {
        attention_map(student, i, n, a);
        attention_map(teacher, j, n, b);
        for (int64_t at = 0; at < hw; at++) {
            sum += (a[at] - b[at]) * (a[at] - b[at]);
        }
    }
    return sum / (double)(BATCH * hw);
}

static spx_step_report step_of(lesson *x, float lr, uint64_t step)
{
    const spx_step_args a = {.lr = lr, .step = step};
    spx_step_report r;
    CHECK_OK(spx_trainer_step(&x->trainer, &x->batch, &a, &r));
    return r;
}

static void check_near(float got, double want)
{
    if (!(fabs((double)got - want) <= 1e-4 * want)) { /* a dozen layers of f32 sums */
        fail_msg("%.8g, by the formula %.8g", (double)got, want);
    }
}

SPX_TEST(losses_of_a_step_equal_the_formula_in_double)
{
    lesson x = usual(50);
    seen student, teacher;
    double maps = 0;
    SPX_UNUSED;
    begin(&x, 0);
    watch_student(&x, &student);
    watch_teacher(&x, &teacher);
    const spx_step_report r = step_of(&x, 0, 0);
    for (int i = 0; i < LAYERS; i++) {
        maps += maps_apart(&student, i, &teacher, i);
    }
    check_near(r.loss, cross_entropy(&student));
    check_near(r.guide[0], divergence(&student, &teacher, 3));
    check_near(r.guide[1], maps);
    end(&x);

    /* Other places, and a teacher of more cells. */
    x.o.attention_at = "cells.1=cells.0,cells.2";
    begin(&x, 0);
    check_near(step_of(&x, 0, 0).guide[1],
               maps_apart(&student, 1, &teacher, 0) + maps_apart(&student, 2, &teacher, 2));
    end(&x);
    seen_clear(&student);
    seen_clear(&teacher);
}

/* ---- the gradient ---- */

static double whole_loss(lesson *x)
{
    const spx_step_report r = step_of(x, 0, 0);
    return (1 - (double)x->o.weight) * (double)r.loss + (double)x->o.weight * (double)r.guide[0] +
           (double)x->o.attention * (double)r.guide[1];
}

/* As in program_case.h: a step of 0.01 both ways along the gradient, in f32. */
static void check_gradient(lesson *x)
{
    spx_buffer w, g;
    double square = 0, side[2];
    begin(x, 0);
    const spx_layout *l = spx_program_layout(x->program);
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &w));
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &g));
    (void)whole_loss(x);
    CHECK_OK(spx_layout_download(l, stream, SPX_ROLE_WEIGHT, &x->trainer.grad, &g));
    const float *slope = g.data;
    for (int64_t i = 0; i < l->floats[SPX_ROLE_WEIGHT]; i++) {
        square += (double)slope[i] * (double)slope[i];
    }
    assert_true(square > 1e-8);
    const double h = 1e-2 / sqrt(square);
    for (int k = 0; k < 2; k++) {
        CHECK_OK(spx_layout_init(l, 7, &w, NULL, NULL)); /* as the trainer began */
        for (int64_t i = 0; i < l->floats[SPX_ROLE_WEIGHT]; i++) {
            ((float *)w.data)[i] += (float)((k == 0 ? h : -h) * (double)slope[i]);
        }
        CHECK_OK(spx_layout_upload(l, stream, SPX_ROLE_WEIGHT, &w, &x->trainer.weights));
        side[k] = whole_loss(x);
    }
    const double measured = (side[0] - side[1]) / (2 * h);
    if (!(fabs(measured - square) <= 2e-2 * square)) {
        fail_msg("difference quotient %.8g, gradient %.8g", measured, square);
    }
    spx_buffer_free(&w);
    spx_buffer_free(&g);
    end(x);
}

SPX_TEST(the_gradient_is_of_all_losses_with_their_weights)
{
    static const float weights[][2] = {{0.3f, 50}, {1, 0}, {0.5f, 0}, {0, 2000}, {1, 500}};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        lesson x = usual(weights[i][1]);
        x.o.weight = weights[i][0];
        check_gradient(&x);
    }
}

/* Nodes' outputs lie in a concatenation, and fusion would have one go away. */
SPX_TEST(attention_reaches_activations_inside_a_cell)
{
    static const char *const at[] = {"cells.0.dag.1,cells.0.dag.3=cells.1.dag.0", "stem.0,stem.1",
                                     "cells.1.proproc.net.0,cells.2"};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        lesson x = usual(500);
        x.o.attention_at = at[i];
        x.o.weight = 1;
        check_gradient(&x);
    }
}

/* What the auxiliary head learns, at a weight of the teacher's. */
static spx_buffer auxiliary_gradient(lesson *x, float weight)
{
    spx_buffer g;
    x->o.weight = weight;
    begin(x, 0.5f);
    (void)step_of(x, 0, 0);
    const spx_layout *l = spx_program_layout(x->program);
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &g));
    CHECK_OK(spx_layout_download(l, stream, SPX_ROLE_WEIGHT, &x->trainer.grad, &g));
    for (int i = 0; i < l->n; i++) { /* of the others: nothing */
        const spx_layout_entry *e = &l->entry[i];
        if (strncmp(e->name, "aux_head.", 9) != 0 && e->role == SPX_ROLE_WEIGHT) {
            memset((float *)g.data + e->offset, 0, (size_t)e->count * sizeof(float));
        }
    }
    end(x);
    return g;
}

SPX_TEST(the_auxiliary_loss_counts_as_the_labels_do)
{
    lesson x = {.student = large(1), .teaching = large(1)};
    SPX_UNUSED;
    x.o = (spx_distill_options){.teacher = write_model("large.h5", &x.teaching), .temperature = 4};
    spx_buffer whole = auxiliary_gradient(&x, 0), half = auxiliary_gradient(&x, 0.5f);
    spx_buffer none = auxiliary_gradient(&x, 1);
    const size_t n = whole.bytes / sizeof(float);
    double sum = 0;
    for (size_t i = 0; i < n; i++) { /* powers of two are exact */
        sum += fabs((double)((float *)whole.data)[i]);
        assert_true(((float *)half.data)[i] == ((float *)whole.data)[i] / 2);
        assert_true(((float *)none.data)[i] == 0);
    }
    assert_true(sum > 0);
    spx_buffer_free(&whole);
    spx_buffer_free(&half);
    spx_buffer_free(&none);
}

/* ---- the step ---- */

/* Weights after some steps, and what the last one said. */
static spx_step_report train(lesson *x, bool eager, spx_buffer *weights)
{
    const spx_layout *l;
    spx_step_report r = {0};
    begin(x, 0);
    l = spx_program_layout(x->program);
    x->trainer.queue.eager = eager;
    for (uint64_t s = 0; s < 5; s++) {
        r = step_of(x, 0.05f, s);
    }
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, weights));
    CHECK_OK(spx_layout_download(l, stream, SPX_ROLE_WEIGHT, &x->trainer.weights, weights));
    end(x);
    return r;
}

SPX_TEST(a_recorded_step_is_the_step)
{
    lesson x = usual(50);
    spx_buffer a, b;
    SPX_UNUSED;
    const spx_step_report r = train(&x, true, &a), q = train(&x, false, &b);
    assert_memory_equal(a.data, b.data, a.bytes);
    assert_true(r.loss == q.loss && r.guide[0] == q.guide[0] && r.guide[1] == q.guide[1]);
    spx_buffer_free(&a);
    spx_buffer_free(&b);
}

/* On CUDA another program may have measured other algorithms: in bf16 roundings at 2^-8 of a dozen
 * layers differ then. */
SPX_TEST(the_teacher_answers_as_it_does_when_it_is_evaluated_however_long_it_teaches)
{
    lesson x = usual(50);
    float got[2][BATCH * CLASSES], want[BATCH * CLASSES];
    spx_model_runner *runner;
    spx_model m;
    SPX_UNUSED;
    begin(&x, 0);
    for (int k = 0; k < 2; k++) {
        for (uint64_t s = 0; s < 3; s++) {
            (void)step_of(&x, 0.05f, s);
        }
        CHECK_OK(
            spx_download(stream, got[k], spx_teacher_guide(x.teacher)->input[0], sizeof got[k]));
        CHECK_OK(spx_stream_sync(stream));
    }
    CHECK_OK(spx_model_open(&m, x.o.teacher));
    CHECK_OK(spx_model_runner_create(&runner, stream, &m, BATCH, NULL));
    CHECK_OK(spx_model_runner_logits(runner, x.batch.images, want));
    CHECK_CLOSE(got[0], want, BATCH * CLASSES,
                spx_stream_device(stream) == SPX_DEVICE_CPU          ? 0.0
                : spx_stream_precision(stream) == SPX_PRECISION_BF16 ? 0.05
                                                                     : 1e-5);
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    spx_model_runner_destroy(runner);
    spx_model_close(&m);
    end(&x);
}

SPX_TEST(a_student_of_nothing_but_its_teacher_comes_to_answer_like_it)
{
    lesson x = usual(0);
    SPX_UNUSED;
    x.o.weight = 1;
    begin(&x, 0);
    const float first = step_of(&x, 0.05f, 0).guide[0];
    float last = first;
    for (uint64_t s = 1; s < 11; s++) {
        last = step_of(&x, 0.05f, s).guide[0];
    }
    assert_true(last < first / 2);
    end(&x);
}

/* ---- networks of all kinds ---- */

SPX_TEST(a_teacher_changes_no_layout_whatever_the_networks)
{
    SPX_UNUSED;
    for (uint64_t seed = 0; seed < 4; seed++) {
        lesson x = {.student = large(1), .teaching = large(2)};
        spx_program *eval;
        spx_genotype_random(seed, &x.student.genotype);
        spx_genotype_random(seed + 10, &x.teaching.genotype);
        x.o = (spx_distill_options){.teacher = write_model("kind.h5", &x.teaching),
                                    .weight = 0.5f,
                                    .temperature = 4,
                                    .attention = 1,
                                    .attention_at = seed % 2 == 0 ? NULL : "cells.0.dag.1,stem.1"};
        CHECK_OK(open_teacher(&x));
        CHECK_OK(make_program(&x, 0.4f));
        CHECK_OK(spx_final_eval_program(&eval, stream, &x.student, BATCH, true, NULL));
        assert_true(spx_layout_equal(spx_program_layout(x.program), spx_program_layout(eval)));
        assert_int_equal(spx_tensor_count(spx_program_output_tensor(x.program, 3)), 1);
        spx_program_destroy(eval);
        end(&x);
    }
}

/* ---- refusals ---- */

static void refused(lesson *x, const char *why)
{
    const spx_status st = open_teacher(x);
    assert_int_equal(st == SPX_OK ? make_program(x, 0) : st, SPX_EINVAL);
    if (strstr(spx_error_message(), why) == NULL) {
        fail_msg("\"%s\" does not say %s", spx_error_message(), why);
    }
    assert_null(x->program);
    spx_teacher_close(x->teacher);
    x->teacher = NULL;
}

SPX_TEST(what_does_not_fit_is_refused_by_name)
{
    static const struct {
        const char *at, *why;
    } places[] = {{"cells.1,cells.9", "no activation cells.9"},
                  {"cells.1=cells.0,cells.0=cells.2", "at cells.0"},
                  {"cells.9=cells.1", "the student has no such activation"},
                  {"cells.1,", "\"\""},
                  {"=cells.1", "\"=cells.1\""},
                  {"cells.1=", "\"cells.1=\""},
                  {"linear", "no activation linear"},
                  {"teacher.cells.1", "no activation teacher.cells.1"}};
    lesson x = usual(1);
    char many[66 * 8] = "";
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        x.o.attention_at = places[i].at;
        refused(&x, places[i].why);
    }
    for (int i = 0; i < 65; i++) {
        strcat(many, i == 0 ? "cells.0" : ",cells.0");
    }
    x.o.attention_at = many;
    refused(&x, "more than 64");
    x.o.attention_at = NULL;
    x.student.layers = 4;
    refused(&x, "no activation cells.3");
    x.student = network(1);
    x.student.reduce_at[0] = 1;
    refused(&x, "cells.0: the student's is 16x16, cells.0 of teacher");

    x = usual(0);
    x.student.classes = 4;
    refused(&x, "4 classes");
    x.student = network(1);
    x.student.input.rows = x.student.input.columns = 20;
    refused(&x, "teacher");
    x.student = network(1);
    x.o.weight = 1.5f;
    refused(&x, "weight 1.5");
    x.o.weight = 0.5f;
    x.o.temperature = 0;
    refused(&x, "temperature 0");
    x.o.temperature = 4;
    x.o.attention = -1;
    refused(&x, "weight -1");
}

static int run_on(spx_device device, spx_precision precision)
{
    const bool whole = precision == SPX_PRECISION_F32;
    const struct CMUnitTest tests[] = {
        SPX_UNIT(losses_of_a_step_equal_the_formula_in_double),
        SPX_UNIT(the_gradient_is_of_all_losses_with_their_weights),
        SPX_UNIT(attention_reaches_activations_inside_a_cell),
        SPX_UNIT(the_auxiliary_loss_counts_as_the_labels_do),
        SPX_UNIT(a_recorded_step_is_the_step),
        SPX_UNIT(the_teacher_answers_as_it_does_when_it_is_evaluated_however_long_it_teaches),
        SPX_UNIT(a_student_of_nothing_but_its_teacher_comes_to_answer_like_it),
        SPX_UNIT(a_teacher_changes_no_layout_whatever_the_networks),
        SPX_UNIT(what_does_not_fit_is_refused_by_name),
    };
    const struct CMUnitTest few[] = {
        SPX_UNIT(a_recorded_step_is_the_step),
        SPX_UNIT(the_teacher_answers_as_it_does_when_it_is_evaluated_however_long_it_teaches),
        SPX_UNIT(a_student_of_nothing_but_its_teacher_comes_to_answer_like_it),
    };
    const spx_stream_options o = {
        .device = device, .threads = 2, .precision = precision, .deterministic = true};
    int failed;
    if (spx_stream_open(&stream, &o) != SPX_OK) {
        (void)fprintf(stderr, "%s\n", spx_error_message());
        return 1;
    }
    failed = whole ? cmocka_run_group_tests_name(spx_device_name(device), tests, NULL, NULL)
                   : cmocka_run_group_tests_name("bf16", few, NULL, NULL);
    spx_stream_destroy(stream);
    return failed;
}

int main(void)
{
    int failed = 0;
    spx_rng rng;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++) {
        images[i] = spx_rng_normal(&rng);
    }
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        const bool here = spx_device_count((spx_device)d) > 0;
        failed += here ? run_on((spx_device)d, SPX_PRECISION_F32) : 0;
    }
    if (spx_device_count(SPX_DEVICE_CUDA) > 0) {
        failed += run_on(SPX_DEVICE_CUDA, SPX_PRECISION_BF16);
    }
    spx_scratch_remove(&scratch);
    return failed;
}
