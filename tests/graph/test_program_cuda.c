/*
 * Programs on CUDA, real or emulated: the CPU's results within rounding, recordings, and what
 * crosses to the device and back.
 */
#include "host/graph/graph_private.h"
#include "host/graph/passes_private.h"
#include "host/graph/tuning.h"
#include "tests/graph/program_case.h"

static spx_stream *open_stream(spx_device device, spx_precision precision)
{
    const spx_stream_options o = {
        .device = device, .threads = 1, .precision = precision, .deterministic = true};
    spx_stream *s;
    CHECK_OK(spx_stream_open(&s, &o));
    return s;
}

/* One training step's worth of the network, all outputs. */
typedef struct job {
    net t;
    spx_loss_seed loss[2];
    spx_tid output[3];
    spx_program_options o;
} job;

static void job_init(job *j, bool relu)
{
    *j = (job){.t = build(true, relu)};
    j->loss[0] = (spx_loss_seed){j->t.loss, 1.0f};
    j->loss[1] = (spx_loss_seed){j->t.aux_loss, 0.4f};
    j->output[0] = j->t.logits;
    j->output[1] = j->t.loss;
    j->output[2] = j->t.aux_loss;
    j->o = (spx_program_options){.loss = j->loss,
                                 .n_loss = 2,
                                 .grad_weights = true,
                                 .grad_arch = true,
                                 .output = j->output,
                                 .n_output = 3,
                                 .grad = &j->t.image,
                                 .n_grad = 1};
}

static double norm_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sqrt(sum);
}

/* ||a - b|| <= tol * ||b|| over a whole arena, both of one layout. */
static void check_whole(const run *a, const run *b, spx_role arena, double tol)
{
    const int64_t n = spx_program_layout(a->p)->floats[laid_out_like[arena]];
    double diff = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)a->host[arena][i] - (double)b->host[arena][i];
        diff += d * d;
    }
    if (!(sqrt(diff) <= tol * norm_of(b->host[arena], n))) {
        fail_msg("arena %d: relative error %.3g > %.3g", (int)arena,
                 sqrt(diff) / norm_of(b->host[arena], n), tol);
    }
}

static void check_image_gradient(const run *a, const run *b, double tol)
{
    static float x[N * 3 * HW * HW], y[N * 3 * HW * HW];
    CHECK_OK(spx_program_read_grad(a->p, &a->b, 0, x));
    CHECK_OK(spx_program_read_grad(b->p, &b->b, 0, y));
    CHECK_CLOSE(x, y, N * 3 * HW * HW, tol);
}

/* As between the CPU's own ways of computing: f32 sums of at most 4*64*36 products per element,
 * three layers deep, 1e-5; gradients 1e-4. */
SPX_TEST(f32_equals_the_cpu_but_for_rounding)
{
    SPX_UNUSED;
    spx_stream *cpu = open_stream(SPX_DEVICE_CPU, SPX_PRECISION_F32);
    spx_stream *cuda = open_stream(SPX_DEVICE_CUDA, SPX_PRECISION_F32);
    for (int kind = 0; kind < 4; kind++) {
        job j;
        run a, b;
        job_init(&j, kind % 2 != 0);
        run_init(&b, &j.t, cpu, &j.o);
        j.o.no_fusion = kind / 2 != 0;
        run_init(&a, &j.t, cuda, &j.o);
        run_go(&a);
        run_go(&b);
        for (int i = 0; i < 3; i++) {
            check_outputs(&a, &b, i, i == 0 ? N * CLASSES : 1, 1e-5);
        }
        check_image_gradient(&a, &b, 1e-4);
        check_arenas(&a, &b, SPX_ROLE_WEIGHT_GRAD, 1e-4);
        check_arenas(&a, &b, SPX_ROLE_ARCH_GRAD, 1e-4);
        check_arenas(&a, &b, SPX_ROLE_STATE, 1e-5);
        run_clear(&a);
        run_clear(&b);
        spx_graph_destroy(j.t.g);
    }
    spx_stream_destroy(cpu);
    spx_stream_destroy(cuda);
}

/*
 * bf16 has 8 significant bits: storing a tensor, or a weight, moves it by up to 2^-9 of its norm.
 * The longest way from image to logits stores 13 tensors and reads 6 filters, each followed by a
 * norm, which keeps relative errors what they are; a worst case adds them up: 19 * 2^-9 = 0.037.
 * The gradient goes the way twice: 0.074. (Without ReLUs: a flipped one is no rounding.)
 */
SPX_TEST(bf16_equals_the_cpu_but_for_its_rounding)
{
    SPX_UNUSED;
    spx_stream *cpu = open_stream(SPX_DEVICE_CPU, SPX_PRECISION_F32);
    spx_stream *cuda = open_stream(SPX_DEVICE_CUDA, SPX_PRECISION_BF16);
    job j;
    run a, b;
    job_init(&j, false);
    run_init(&b, &j.t, cpu, &j.o);
    run_init(&a, &j.t, cuda, &j.o);
    run_go(&a);
    run_go(&b);
    for (int i = 0; i < 3; i++) {
        check_outputs(&a, &b, i, i == 0 ? N * CLASSES : 1, 0.037);
    }
    check_image_gradient(&a, &b, 0.074);
    check_whole(&a, &b, SPX_ROLE_WEIGHT_GRAD, 0.074);
    check_whole(&a, &b, SPX_ROLE_ARCH_GRAD, 0.074);
    check_whole(&a, &b, SPX_ROLE_STATE, 0.037);
    run_clear(&a);
    run_clear(&b);
    spx_graph_destroy(j.t.g);
    spx_stream_destroy(cpu);
    spx_stream_destroy(cuda);
}

SPX_TEST(a_recorded_run_replays_to_the_same_bits)
{
    SPX_UNUSED;
    static const spx_precision precisions[] = {SPX_PRECISION_F32, SPX_PRECISION_TF32,
                                               SPX_PRECISION_BF16};
    for (size_t k = 0; k < 3; k++) {
        spx_stream *s = open_stream(SPX_DEVICE_CUDA, precisions[k]);
        spx_replay *replay;
        spx_tuning *table; /* one: plans measured for each would add in other orders */
        job j;
        run eager, again;
        job_init(&j, true);
        CHECK_OK(spx_tuning_create(&table));
        j.o.tuning = table;
        run_init(&eager, &j.t, s, &j.o);
        run_init(&again, &j.t, s, &j.o);
        assert_true(spx_stream_can_record(s));
        run_go(&eager); /* what is recorded has run before: its code is loaded */
        run_go(&again);
        CHECK_OK(spx_replay_begin(s));
        CHECK_OK(spx_program_run(again.p, &again.b));
        CHECK_OK(spx_replay_end(s, &replay));
        for (int n = 0; n < 2; n++) { /* the second run begins from the first's statistics */
            CHECK_OK(spx_replay_run(replay, s));
            run_fetch(&again);
            run_go(&eager);
            check_outputs(&again, &eager, 0, N * CLASSES, 0.0);
            check_arenas(&again, &eager, SPX_ROLE_WEIGHT_GRAD, 0.0);
            check_arenas(&again, &eager, SPX_ROLE_ARCH_GRAD, 0.0);
            check_arenas(&again, &eager, SPX_ROLE_STATE, 0.0);
        }
        spx_replay_destroy(replay);
        spx_tuning_destroy(table);
        run_clear(&eager);
        run_clear(&again);
        spx_graph_destroy(j.t.g);
        spx_stream_destroy(s);
    }
}

SPX_TEST(arenas_come_back_as_they_went)
{
    SPX_UNUSED;
    spx_stream *s = open_stream(SPX_DEVICE_CUDA, SPX_PRECISION_F32);
    job j;
    run r;
    job_init(&j, true);
    run_init(&r, &j.t, s, &j.o);
    const spx_layout *l = spx_program_layout(r.p);
    const size_t bytes = (size_t)l->floats[SPX_ROLE_WEIGHT] * sizeof(float);
    float *raw = malloc(bytes);
    const float *host = r.host[SPX_ROLE_WEIGHT];
    spx_buffer back;
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &back));
    CHECK_OK(spx_layout_download(l, s, SPX_ROLE_WEIGHT, &r.device[SPX_ROLE_WEIGHT], &back));
    assert_memory_equal(back.data, host, bytes);
    /* on the device the channels of a filter lie side by side */
    CHECK_OK(spx_download(s, raw, r.device[SPX_ROLE_WEIGHT].data, bytes));
    CHECK_OK(spx_stream_sync(s));
    const spx_layout_entry *e = spx_layout_find(l, "stem.weight"); /* (4, 3, 3, 3) */
    assert_non_null(e);
    for (int64_t k = 0; k < C; k++) {
        for (int64_t c = 0; c < 3; c++) {
            for (int64_t i = 0; i < 9; i++) {
                assert_true(raw[e->offset + (k * 9 + i) * 3 + c] ==
                            host[e->offset + (k * 3 + c) * 9 + i]);
            }
        }
    }
    free(raw);
    spx_buffer_free(&back);
    run_clear(&r);
    spx_graph_destroy(j.t.g);
    spx_stream_destroy(s);
}

/* A linear layer on a map of several pixels: its weights cross in the map's order. */
SPX_TEST(linear_layers_flatten_maps_as_on_the_cpu)
{
    SPX_UNUSED;
    spx_stream *cpu = open_stream(SPX_DEVICE_CPU, SPX_PRECISION_F32);
    spx_stream *cuda = open_stream(SPX_DEVICE_CUDA, SPX_PRECISION_F32);
    net t = {0};
    run a, b;
    CHECK_OK(spx_graph_create(&t.g, true));
    t.image = spx_g_input(t.g, "image", SPX_F32, 4, (int64_t[]){N, 3, HW, HW});
    t.label = spx_g_input(t.g, "label", SPX_I32, 1, (int64_t[]){N});
    t.logits = spx_g_linear(t.g, spx_g_avg_pool(t.g, t.image, 2, 2, 0, "pool"), "fc", CLASSES);
    t.loss = spx_g_cross_entropy(t.g, t.logits, t.label, 0.0f, "loss");
    const spx_loss_seed loss = {t.loss, 1.0f};
    const spx_program_options o = {.loss = &loss,
                                   .n_loss = 1,
                                   .grad_weights = true,
                                   .output = &t.logits,
                                   .n_output = 1,
                                   .grad = &t.image,
                                   .n_grad = 1};
    run_init(&a, &t, cuda, &o);
    run_init(&b, &t, cpu, &o);
    run_go(&a);
    run_go(&b);
    check_outputs(&a, &b, 0, N * CLASSES, 1e-6); /* 48 products a sum */
    check_image_gradient(&a, &b, 1e-6);
    check_arenas(&a, &b, SPX_ROLE_WEIGHT_GRAD, 1e-6);
    run_clear(&a);
    run_clear(&b);
    spx_graph_destroy(t.g);
    spx_stream_destroy(cpu);
    spx_stream_destroy(cuda);
}

/* Whatever a table says of the right key, the program runs. */
SPX_TEST(choices_are_kept_found_again_and_never_trusted)
{
    SPX_UNUSED;
    spx_stream *s = open_stream(SPX_DEVICE_CUDA, SPX_PRECISION_F32);
    spx_tuning *table, *copy, *bad;
    spx_program *p, *q;
    job j;
    job_init(&j, true);
    CHECK_OK(spx_tuning_create(&table));
    j.o.tuning = table;
    CHECK_OK(spx_program_create(&p, j.t.g, s, &j.o));
    const int measured = spx_tuning_measured(table);
    assert_true(measured > 0);
    CHECK_OK(spx_program_create(&q, j.t.g, s, &j.o)); /* shares the first's plans */
    assert_int_equal(spx_tuning_measured(table), measured);
    spx_program_destroy(p);
    spx_program_destroy(q);

    char *text = spx_tuning_text(table);
    spx_tuning_destroy(table);
    CHECK_OK(spx_tuning_create(&copy));
    CHECK_OK(spx_tuning_parse(copy, text, strlen(text)));
    j.o.tuning = copy;
    CHECK_OK(spx_program_create(&p, j.t.g, s, &j.o));
    assert_int_equal(spx_tuning_measured(copy), 0);
    spx_tuning_destroy(copy); /* the program keeps its plans */

    for (char *c = text; *c != '\0'; c++) { /* every choice turned to nonsense of its length */
        char *end = strchr(c, '\n');
        for (c = end; c[-1] != ' '; c--) {
            c[-1] = '?';
        }
        c = end;
    }
    CHECK_OK(spx_tuning_create(&bad));
    CHECK_OK(spx_tuning_parse(bad, text, strlen(text)));
    j.o.tuning = bad;
    CHECK_OK(spx_program_create(&q, j.t.g, s, &j.o));
    assert_true(spx_tuning_measured(bad) > 0);
    spx_tuning_destroy(bad);
    free(text);
    spx_program_destroy(p);
    spx_program_destroy(q);
    spx_graph_destroy(j.t.g);
    spx_stream_destroy(s);
}

/* Convolutions that normalise or rectify their input while they read it. */
static int fused_convs(const spx_graph *g)
{
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const spx_node *nd = &g->node[i];
        n += nd->op == SPX_OP_CONV2D && (nd->relu || nd->in[SPX_CONV2D_MEAN] != SPX_NO_TENSOR);
    }
    return n;
}

/* Kernels on CUDA read their input as it lies: no pass fuses a norm there, and a graph in which one
 * has is refused by the name of its node. */
SPX_TEST(convolutions_that_normalise_their_input_are_not_built_and_refused)
{
    SPX_UNUSED;
    spx_stream *cpu = open_stream(SPX_DEVICE_CPU, SPX_PRECISION_F32),
               *s = open_stream(SPX_DEVICE_CUDA, SPX_PRECISION_F32);
    job j;
    spx_program *p;
    job_init(&j, false);
    CHECK_OK(spx_program_create(&p, j.t.g, cpu, &j.o));
    assert_true(fused_convs(spx_program_graph(p)) > 0);
    spx_program_destroy(p);
    CHECK_OK(spx_program_create(&p, j.t.g, s, &j.o));
    assert_int_equal(fused_convs(spx_program_graph(p)), 0);
    spx_program_destroy(p);
    CHECK_OK(spx_pass_fuse_conv_inputs(j.t.g, j.output, 3));
    j.o.no_fusion = true;
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_program_create(&p, j.t.g, s, &j.o));
    assert_non_null(strstr(spx_error_message(), "(conv2d)"));
    spx_graph_destroy(j.t.g);
    spx_stream_destroy(cpu);
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(f32_equals_the_cpu_but_for_rounding),
        SPX_UNIT(bf16_equals_the_cpu_but_for_its_rounding),
        SPX_UNIT(a_recorded_run_replays_to_the_same_bits),
        SPX_UNIT(arenas_come_back_as_they_went),
        SPX_UNIT(linear_layers_flatten_maps_as_on_the_cpu),
        SPX_UNIT(choices_are_kept_found_again_and_never_trusted),
        SPX_UNIT(convolutions_that_normalise_their_input_are_not_built_and_refused),
    };
    if (spx_device_count(SPX_DEVICE_CUDA) == 0) {
        return 77;
    }
    return cmocka_run_group_tests_name("program_cuda", tests, NULL, NULL);
}
