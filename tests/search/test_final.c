#define _POSIX_C_SOURCE 200809L
#include "search/final/model.h"

#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
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

SPX_TEST(malformed_descriptions_are_refused)
{
    static const char *const changes[][2] = {
        {"input", "[3, 32]"},       {"input", "[9, 32, 32]"}, {"input", "7"},
        {"classes", "\"x\""},       {"layers", "null"},       {"reduce_at", "[0, 1, 2, 3, 4]"},
        {"reduce_at", "[-1]"},      {"reduce_at", "[1.5]"},   {"reduce_at", "3"},
        {"genotype", "[]"},         {"genotype", "null"},     {"mean", "[0.1]"},
        {"std", "[0.1, 0.2, \"\"]"}};
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

/* Writes a model with an auxiliary head and drawn weights; its logits for `image` go to logits. */
static void write_model(const char *path, const float *image, float *logits)
{
    const spx_final_spec f = small();
    const void *input[2] = {image, NULL};
    const spx_layout *l;
    spx_model_runner r = {0};
    spx_binding b;
    void *p;
    json_t *about = json_pack("{s:[s, s]}", "classes", "ant", "bee");
    CHECK_OK(spx_final_eval_program(&r.program, stream, &f, 2, true, NULL));
    l = spx_program_layout(r.program);
    CHECK_OK(spx_calloc(&p, (size_t)l->floats[SPX_ROLE_WEIGHT], sizeof(float)));
    r.weights = p;
    CHECK_OK(spx_calloc(&p, (size_t)l->floats[SPX_ROLE_STATE], sizeof(float)));
    r.state = p;
    CHECK_OK(spx_alloc(&r.workspace, spx_program_workspace_bytes(r.program)));
    spx_layout_init(l, 3, r.weights, NULL, r.state);
    CHECK_OK(spx_model_save(path, &f, about, l, r.weights, r.state));
    b = spx_model_runner_binding(&r);
    b.input = input;
    CHECK_OK(spx_program_run(r.program, &b));
    memcpy(logits, spx_program_output(r.program, &b, 0), 10 * sizeof(float));
    json_decref(about);
    spx_model_runner_clear(&r);
}

SPX_TEST(a_model_read_back_without_its_auxiliary_head_computes_the_same)
{
    const char *path = spx_scratch_path(&scratch, "model.h5");
    const size_t pixels = 2 * 3 * 32 * 32;
    spx_model_runner r;
    spx_model m;
    spx_binding b;
    spx_rng rng;
    float want[10];
    void *image;
    const void *input[2];
    SPX_UNUSED;
    CHECK_OK(spx_alloc(&image, pixels * sizeof(float)));
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < pixels; i++) {
        ((float *)image)[i] = spx_rng_normal(&rng);
    }
    write_model(path, image, want);
    CHECK_OK(spx_model_open(&m, path));
    assert_string_equal(spx_model_class(&m, 1), "bee");
    assert_null(spx_model_class(&m, 2));
    assert_null(spx_model_class(&m, -1));
    CHECK_OK(spx_model_runner_init(&r, stream, &m, 2, NULL));
    b = spx_model_runner_binding(&r);
    input[0] = image;
    input[1] = NULL;
    b.input = input;
    CHECK_OK(spx_program_run(r.program, &b));
    CHECK_CLOSE(spx_program_output(r.program, &b, 0), want, 10, 0.0);
    spx_model_runner_clear(&r);
    spx_model_close(&m);
    spx_free(image);
}

SPX_TEST(a_description_that_does_not_fit_the_arrays_is_refused)
{
    const char *path = spx_scratch_path(&scratch, "wrong.h5");
    spx_final_spec f = small();
    spx_program *p;
    spx_model_runner r;
    spx_model m;
    void *weights, *state;
    SPX_UNUSED;
    CHECK_OK(spx_final_eval_program(&p, stream, &f, 1, false, NULL));
    CHECK_OK(spx_calloc(&weights, (size_t)spx_program_layout(p)->floats[SPX_ROLE_WEIGHT], 4));
    CHECK_OK(spx_calloc(&state, (size_t)spx_program_layout(p)->floats[SPX_ROLE_STATE], 4));
    f.layers = 4; /* one cell more than there are arrays for */
    CHECK_OK(spx_model_save(path, &f, NULL, spx_program_layout(p), weights, state));
    CHECK_OK(spx_model_open(&m, path));
    CHECK_FAILS(SPX_EFORMAT, spx_model_runner_init(&r, stream, &m, 1, NULL));
    assert_non_null(strstr(spx_error_message(), "param/"));
    spx_model_close(&m);
    spx_free(weights);
    spx_free(state);
    spx_program_destroy(p);
}

SPX_TEST(networks_beyond_the_machine_are_refused_before_anything_is_allocated)
{
    spx_final_spec f = small();
    spx_program *p = NULL;
    SPX_UNUSED;
    f.init_channels = 4096;
    CHECK_FAILS(SPX_ENOMEM, spx_final_train_program(&p, stream, &f, 65536, 0, 0, false, NULL));
    assert_null(p);
    CHECK_FAILS(SPX_ENOMEM, spx_final_eval_program(&p, stream, &f, 65536, false, NULL));
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_description_comes_back_from_json_as_it_was),
        SPX_UNIT(malformed_descriptions_are_refused),
        SPX_UNIT(a_model_read_back_without_its_auxiliary_head_computes_the_same),
        SPX_UNIT(a_description_that_does_not_fit_the_arrays_is_refused),
        SPX_UNIT(networks_beyond_the_machine_are_refused_before_anything_is_allocated),
    };
    int failed;
    if (spx_scratch_make(&scratch) != 0 ||
        spx_stream_create(&stream, SPX_DEVICE_CPU, 1) != SPX_OK) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_stream_destroy(stream);
    spx_scratch_remove(&scratch);
    return failed;
}
