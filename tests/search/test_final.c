#define _POSIX_C_SOURCE 200809L
#include "search/final/model.h"

#include "host/train/device_arenas.h"
#include "host/train/feed.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

static spx_scratch scratch;
static spx_stream *stream;

static spx_final_spec small(void)
{
    return (spx_final_spec){.genotype = spx_genotype_published,
                            .input = {3, 32, 32},
                            .classes = 5,
                            .init_channels = 1,
                            .layers = 3,
                            .n_reduce = 2,
                            .reduce_at = {0, 2},
                            .mean = {0.1, 1.0 / 3, 0.5},
                            .std = {0.2, 0.25, 0.7}};
}

SPX_TEST(a_description_comes_back_from_json_as_it_was)
{
    const spx_final_spec f = small();
    spx_final_spec back;
    json_t *j = spx_final_spec_json(&f);
    SPX_UNUSED;
    assert_non_null(j);
    CHECK_OK(spx_final_spec_parse(&back, j));
    assert_memory_equal(&back.genotype, &f.genotype, sizeof f.genotype);
    assert_memory_equal(&back.input, &f.input, sizeof f.input);
    assert_true(back.classes == 5 && back.init_channels == 1 && back.layers == 3);
    assert_true(back.n_reduce == 2 && back.reduce_at[0] == 0 && back.reduce_at[1] == 2);
    assert_memory_equal(back.mean, f.mean, sizeof f.mean); /* 17 digits keep a double */
    assert_memory_equal(back.std, f.std, sizeof f.std);
    json_decref(j);
}

SPX_TEST(a_reference_and_masks_are_described_only_where_they_are)
{
    spx_final_spec f = small(), back;
    json_t *j = spx_final_spec_json(&f);
    SPX_UNUSED;
    assert_null(json_object_get(j, "reference")); /* bytes of older files stay */
    assert_null(json_object_get(j, "masked"));
    json_decref(j);
    f.masked = true;
    strcpy(f.reference, "resnet18,form=32");
    j = spx_final_spec_json(&f);
    assert_null(json_object_get(j, "layers")); /* which older readers miss */
    CHECK_OK(spx_final_spec_parse(&back, j));
    assert_string_equal(back.reference, f.reference);
    assert_true(back.masked);
    static const char *const wrong[] = {"\"\"", "7", "null"};
    for (int i = 0; i < 3; i++) {
        json_object_set_new(j, "reference", json_loads(wrong[i], JSON_DECODE_ANY, NULL));
        CHECK_FAILS(SPX_EFORMAT, spx_final_spec_parse(&back, j));
    }
    json_decref(j);
}

SPX_TEST(malformed_descriptions_are_refused)
{
    static const char *const changes[][2] = {
        {"input", "[3, 32]"},        {"input", "[9, 32, 32]"}, {"input", "7"},
        {"classes", "\"x\""},        {"layers", "null"},       {"reduce_at", "[0, 1, 2, 3, 4]"},
        {"reduce_at", "[-1]"},       {"reduce_at", "[1.5]"},   {"reduce_at", "3"},
        {"genotype", "[]"},          {"genotype", "null"},     {"mean", "[0.1]"},
        {"std", "[0.1, 0.2, \"\"]"}, {"std", "[0.1, 0, 0.2]"}, {"std", "[0.1, -1, 0.2]"},
        {"std", "[1e-40, 1, 1]"},    {"std", "[1, 1e30, 1]"},  {"mean", "[1e30, 0, 0]"}};
    const spx_final_spec f = small();
    spx_final_spec back;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        json_t *j = spx_final_spec_json(&f);
        json_object_set_new(j, changes[i][0], json_loads(changes[i][1], JSON_DECODE_ANY, NULL));
        CHECK_FAILS(SPX_EFORMAT, spx_final_spec_parse(&back, j));
        json_object_del(j, changes[i][0]);
        CHECK_FAILS(SPX_EFORMAT, spx_final_spec_parse(&back, j));
        json_decref(j);
    }
}

#define BATCH 2
#define CLASSES 5

/* A batch of random images, on the host and on the device. */
typedef struct images {
    float host[BATCH * 3 * 32 * 32];
    int32_t labels[BATCH];
    spx_feed *feed;
    const void *input[2];
} images;

static spx_status get_images(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    const images *x = ctx;
    (void)epoch;
    (void)step;
    *out = (spx_samples){.images = x->host, .labels = x->labels, .valid = BATCH};
    return SPX_OK;
}

static void make_images(images *x)
{
    const spx_batch_shape shape = {BATCH, 3, 32, 32};
    const spx_source host = {.get = get_images, .ctx = x, .steps = 1};
    spx_source source;
    spx_samples s;
    spx_rng rng;
    memset(x, 0, sizeof *x);
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < sizeof x->host / sizeof x->host[0]; i++) {
        x->host[i] = spx_rng_normal(&rng);
    }
    CHECK_OK(spx_feed_open(&x->feed, stream, &host, &shape));
    source = spx_feed_source(x->feed);
    CHECK_OK(source.get(source.ctx, 0, 0, &s));
    x->input[0] = s.images;
}

/* Writes a model with an auxiliary head and drawn weights; its logits for `x` go to logits. */
static void write_model(const char *path, const images *x, float *logits)
{
    const spx_final_spec f = small();
    const spx_layout *l;
    spx_program *p;
    spx_binding b = {.input = x->input};
    spx_ckpt_arena device[2] = {{"", SPX_ROLE_WEIGHT, {0}}, {"", SPX_ROLE_STATE, {0}}};
    spx_ckpt_arena host[2];
    json_t *about = json_pack("{s:f}", "top1", 0.5);
    char ant[] = "ant", bee[] = "bee", *names[CLASSES] = {ant, bee, ant, bee, ant};
    const spx_preprocess shown = {.height = 28, .width = 30, .name = names, .dataset = "animals"};
    CHECK_OK(spx_final_eval_program(&p, stream, &f, BATCH, true, NULL));
    l = spx_program_layout(p);
    CHECK_OK(spx_layout_arena(l, stream, SPX_ROLE_WEIGHT, &b.weights));
    CHECK_OK(spx_layout_arena(l, stream, SPX_ROLE_STATE, &b.state));
    CHECK_OK(spx_buffer_alloc(&b.workspace, stream, spx_program_workspace_bytes(p)));
    CHECK_OK(spx_device_arenas_init(l, stream, 3, &b.weights, NULL, &b.state));
    device[0].data = b.weights;
    device[1].data = b.state;
    if (spx_stream_device(stream) != SPX_DEVICE_CPU) { /* the host may not read them */
        CHECK_FAILS(SPX_EINVAL, spx_model_save(path, &f, &shown, about, l, &b.weights, &b.state));
        assert_non_null(strstr(spx_error_message(), "memory of cuda"));
    }
    CHECK_OK(spx_host_twins(l, stream, device, 2, true, host));
    CHECK_OK(spx_model_save(path, &f, &shown, about, l, &host[0].data, &host[1].data));
    spx_host_twins_free(device, host, 2);
    CHECK_OK(spx_program_run(p, &b));
    CHECK_OK(spx_program_read(p, &b, 0, logits));
    json_decref(about);
    spx_buffer_free(&b.weights);
    spx_buffer_free(&b.state);
    spx_buffer_free(&b.workspace);
    spx_program_destroy(p);
}

SPX_TEST(a_model_read_back_without_its_auxiliary_head_computes_the_same)
{
    const char *path = spx_scratch_path(&scratch, "model.h5");
    spx_model_runner *r;
    spx_model m;
    float want[BATCH * CLASSES], got[BATCH * CLASSES];
    images x;
    SPX_UNUSED;
    make_images(&x);
    write_model(path, &x, want);
    CHECK_OK(spx_model_open(&m, path));
    assert_string_equal(spx_preprocess_class(&m.images, 1), "bee");
    assert_string_equal(spx_preprocess_class(&m.images, CLASSES), "");
    assert_string_equal(spx_preprocess_class(&m.images, -1), "");
    assert_true(m.images.height == 28 && m.images.width == 30 && m.images.rows == 32);
    assert_string_equal(m.images.dataset, "animals");
    assert_memory_equal(m.images.std, m.spec.std, 3 * sizeof(double));
    CHECK_OK(spx_model_runner_create(&r, stream, &m, BATCH, NULL));
    CHECK_OK(spx_model_runner_logits(r, x.input[0], got));
    /* Elsewhere each program measures which algorithms it takes, and these add in other orders: a
     * dozen layers of f32 sums leave five digits alone. */
    CHECK_CLOSE(got, want, BATCH * CLASSES,
                spx_stream_device(stream) == SPX_DEVICE_CPU ? 0.0 : 1e-5);
    spx_model_runner_destroy(r);
    spx_model_close(&m);
    spx_feed_close(x.feed);
}

SPX_TEST(a_description_that_does_not_fit_the_arrays_is_refused)
{
    const char *path = spx_scratch_path(&scratch, "wrong.h5");
    spx_final_spec f = small();
    spx_program *p;
    spx_model_runner *r;
    spx_model m;
    spx_buffer weights, state;
    SPX_UNUSED;
    CHECK_OK(spx_final_eval_program(&p, stream, &f, 1, false, NULL));
    CHECK_OK(spx_layout_arena(spx_program_layout(p), NULL, SPX_ROLE_WEIGHT, &weights));
    CHECK_OK(spx_layout_arena(spx_program_layout(p), NULL, SPX_ROLE_STATE, &state));
    f.layers = 4; /* one cell more than there are arrays for */
    CHECK_OK(spx_model_save(path, &f, &(spx_preprocess){0}, NULL, spx_program_layout(p), &weights,
                            &state));
    CHECK_OK(spx_model_open(&m, path));
    CHECK_FAILS(SPX_EFORMAT, spx_model_runner_create(&r, stream, &m, 1, NULL));
    assert_non_null(strstr(spx_error_message(), "param/"));
    spx_model_close(&m);
    spx_buffer_free(&weights);
    spx_buffer_free(&state);
    spx_program_destroy(p);
}

SPX_TEST(networks_beyond_the_machine_are_refused_before_anything_is_allocated)
{
    spx_final_spec f = small();
    spx_program *p = NULL;
    SPX_UNUSED;
    const spx_final_losses losses = {0};
    f.init_channels = 4096;
    CHECK_FAILS(SPX_ENOMEM, spx_final_train_program(&p, stream, &f, 65536, &losses, NULL));
    assert_null(p);
    CHECK_FAILS(SPX_ENOMEM, spx_final_eval_program(&p, stream, &f, 65536, false, NULL));
    assert_null(p);
}

static int run_on(spx_device device)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_description_comes_back_from_json_as_it_was),
        SPX_UNIT(a_reference_and_masks_are_described_only_where_they_are),
        SPX_UNIT(malformed_descriptions_are_refused),
        SPX_UNIT(a_model_read_back_without_its_auxiliary_head_computes_the_same),
        SPX_UNIT(a_description_that_does_not_fit_the_arrays_is_refused),
        SPX_UNIT(networks_beyond_the_machine_are_refused_before_anything_is_allocated),
    };
    const spx_stream_options o = {.device = device, .threads = 1, .precision = SPX_PRECISION_F32};
    int failed;
    if (spx_stream_open(&stream, &o) != SPX_OK) {
        (void)fprintf(stderr, "%s\n", spx_error_message());
        return 1;
    }
    failed = cmocka_run_group_tests_name(spx_device_name(device), tests, NULL, NULL);
    spx_stream_destroy(stream);
    return failed;
}

int main(void)
{
    int failed = 0;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        failed += spx_device_count((spx_device)d) > 0 ? run_on((spx_device)d) : 0;
    }
    spx_scratch_remove(&scratch);
    return failed;
}
