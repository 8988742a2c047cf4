/* Published networks against PyTorch's: logits, loss and the gradient of every parameter, called as
 * there. golden/references.json holds results alone: weights and images are drawn here as
 * make_references.py draws them. */
#include "search/space/reference.h"
#include "tests/support/spx_test.h"

#include "host/graph/program.h"
#include "kernels/base/alloc.h"

#include <jansson.h>
#include <stdlib.h>

/* Number i of those drawn from a name, in [-1, 1). */
static double drawn(const char *name, const char *more, uint32_t i)
{
    uint32_t x = 2166136261U;
    for (const char *part = name; part != NULL; part = part == name ? more : NULL) {
        for (const char *c = part; *c != '\0'; c++) { /* FNV-1a */
            x = (x ^ (unsigned char)*c) * 16777619U;
        }
    }
    x += i * 2654435761U;
    x = (x ^ (x >> 16)) * 0x7FEB352DU;
    x = (x ^ (x >> 15)) * 0x846CA68BU;
    x ^= x >> 16;
    return (double)(x >> 8) / 8388608.0 - 1;
}

static bool ends(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static void fill(const spx_layout *l, const spx_buffer *weights, const spx_buffer *state)
{
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        float *x = (float *)(e->role == SPX_ROLE_STATE ? state : weights)->data + e->offset;
        const bool about_zero = ends(e->name, "running_mean") || ends(e->name, "bias");
        const double bound = sqrt(6.0 / (double)(e->count / e->dim[0]));
        for (int64_t k = 0; k < e->count; k++) {
            const double u = drawn(e->name, "", (uint32_t)k);
            x[k] = (float)(e->rank > 1 ? u * bound : about_zero ? 0.1 * u : 1 + 0.25 * u);
        }
    }
}

/* One case: the network, and a program with its arenas. */
typedef struct golden {
    const json_t *j;
    spx_final_spec f;
    int64_t batch;
    spx_stream *stream;
    spx_program *program;
    spx_buffer weights, state, grad, workspace;
} golden;

/* Runs the evaluation or a training pass; output 0: logits, 1: loss. */
static spx_binding start(golden *t, bool training)
{
    spx_final_config c = spx_spec_config(&t->f, t->batch);
    const int64_t side = t->f.input.rows, n = t->batch * 3 * side * side;
    spx_network net;
    spx_binding b;
    c.training = training;
    CHECK_OK(spx_build_spec(&net, &t->f, &c));
    const spx_loss_seed seed = {net.loss, 1};
    const spx_tid output[2] = {net.logits, net.loss};
    const spx_program_options o = {.loss = &seed,
                                   .n_loss = training,
                                   .grad_weights = training,
                                   .output = output,
                                   .n_output = 2};
    CHECK_OK(spx_program_create(&t->program, net.graph, t->stream, &o));
    spx_network_clear(&net);
    const spx_layout *l = spx_program_layout(t->program);
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &t->weights));
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &t->grad));
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_STATE, &t->state));
    CHECK_OK(spx_buffer_alloc(&t->workspace, NULL, spx_program_workspace_bytes(t->program)));
    fill(l, &t->weights, &t->state);
    float *image;
    int32_t *label;
    CHECK_OK(SPX_NEW(image, (size_t)n));
    CHECK_OK(SPX_NEW(label, (size_t)t->batch));
    for (int64_t i = 0; i < n; i++) {
        image[i] = (float)drawn("image", "", (uint32_t)i);
    }
    for (int64_t i = 0; i < t->batch; i++) {
        label[i] = (int32_t)(i % t->f.classes);
    }
    const void *const input[2] = {image, label};
    b = (spx_binding){.weights = t->weights,
                      .state = t->state,
                      .weight_grad = t->grad,
                      .workspace = t->workspace,
                      .input = input};
    CHECK_OK(spx_program_run(t->program, &b));
    spx_free(image);
    spx_free(label);
    return b;
}

static void stop(golden *t)
{
    spx_program_destroy(t->program);
    spx_buffer_free(&t->weights);
    spx_buffer_free(&t->grad);
    spx_buffer_free(&t->state);
    spx_buffer_free(&t->workspace);
}

static double number(const golden *t, const char *key)
{
    return json_number_value(json_object_get(t->j, key));
}

/* The logits are within 1e-5 of the stored ones, as tests/golden/README.md has it. */
static void check_logits(golden *t)
{
    const json_t *want = json_object_get(t->j, "logits");
    const spx_binding b = start(t, false);
    const float *got = spx_program_output(t->program, &b, 0).data;
    double off = 0, all = 0;
    for (size_t i = 0; i < json_array_size(want); i++) {
        const double w = json_number_value(json_array_get(want, i));
        off += ((double)got[i] - w) * ((double)got[i] - w);
        all += w * w;
    }
    if (!(sqrt(off) <= 1e-5 * sqrt(all))) {
        fail_msg("%s: logits are off by %.2g", t->f.reference, sqrt(off / all));
    }
    stop(t);
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* How far gradient e is off, by its norm and by its product with drawn numbers. */
static double gradient_off(const golden *t, const spx_layout_entry *e, double norm, double product)
{
    const float *g = (const float *)t->grad.data + e->offset;
    const double size = norm > number(t, "floor") ? norm : number(t, "floor");
    double square = 0, sum = 0;
    for (int64_t k = 0; k < e->count; k++) {
        square += (double)g[k] * (double)g[k];
        sum += (double)g[k] * drawn(e->name, "#", (uint32_t)k);
    }
    const double a = fabs(sqrt(square) - norm) / size, b = fabs(sum - product) / size;
    return a > b ? a : b;
}

static void check_gradients(golden *t)
{
    const json_t *rows = json_object_get(t->j, "gradients");
    const spx_binding b = start(t, true);
    const spx_layout *l = spx_program_layout(t->program);
    const double loss = (double)*(const float *)spx_program_output(t->program, &b, 1).data;
    size_t n = json_array_size(rows), weights = 0;
    double *off = calloc(n, sizeof *off);
    assert_non_null(off);
    for (size_t i = 0; i < n; i++) {
        const char *name;
        double norm, product;
        assert_int_equal(json_unpack(json_array_get(rows, i), "[s,F,F]", &name, &norm, &product),
                         0);
        const spx_layout_entry *e = spx_layout_find(l, name);
        if (e == NULL) {
            fail_msg("%s: no parameter %s", t->f.reference, name);
        }
        off[i] = gradient_off(t, e, norm, product);
    }
    for (int i = 0; i < l->n; i++) {
        weights += l->entry[i].role == SPX_ROLE_WEIGHT;
    }
    assert_int_equal(weights, n); /* of the same names: all of them */
    qsort(off, n, sizeof *off, ascending);
    if (!(fabs(loss - number(t, "loss")) <= 1e-4 * number(t, "loss")) ||
        !(off[n / 2] <= number(t, "median")) || !(off[n - 1] <= number(t, "most"))) {
        fail_msg("%s: loss %.7g, gradients off by %.2g, at most %.2g", t->f.reference, loss,
                 off[n / 2], off[n - 1]);
    }
    free(off);
    stop(t);
}

SPX_TEST(networks_compute_what_pytorchs_do)
{
    json_t *all = json_load_file(GOLDEN_DIR "/references.json", 0, NULL);
    SPX_UNUSED;
    assert_true(json_array_size(all) > 0);
    for (size_t i = 0; i < json_array_size(all); i++) {
        golden t = {.j = json_array_get(all, i)};
        const int64_t side = (int64_t)number(&t, "side");
        t.f = (spx_final_spec){.input = {3, side, side}, .classes = (int64_t)number(&t, "classes")};
        t.batch = (int64_t)number(&t, "batch");
        CHECK_OK(spx_reference_parse(
            t.f.reference, json_string_value(json_object_get(t.j, "network")), &t.f.input));
        CHECK_OK(spx_stream_create(&t.stream, SPX_DEVICE_CPU, 1));
        check_logits(&t);
        check_gradients(&t);
        spx_stream_destroy(t.stream);
    }
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {SPX_UNIT(networks_compute_what_pytorchs_do)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
