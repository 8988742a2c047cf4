/*
 * The location search: one whole step against PyTorch's (tests/golden/make_location.py made
 * location_golden.h), and what a step may touch. Usage: test_location cpu|cuda.
 */
#define _POSIX_C_SOURCE 200809L
#include "search/location/location_file.h"

#include "host/train/device_arenas.h"
#include "host/train/feed.h"
#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"
#include "tests/search/location_golden.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

enum { LAYERS = 3, CLASSES = 5, BATCH = 4, SIDE = 16, PIXELS = BATCH * 3 * SIDE * SIDE };

static spx_device device;
static spx_scratch scratch;

/* A location search at the golden file's starting point. */
typedef struct fixture {
    spx_stream *stream;
    spx_location x;
    float images[2][PIXELS];
    int32_t labels[2][BATCH];
    spx_samples host[2];
    spx_feed *feed[2];
    spx_location_args args;
} fixture;

/* Number i of those drawn for a name, in [0, 1); make_location.py has the same. */
static double drawn(const char *name, int64_t i)
{
    uint64_t z = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++) {
        z = (z ^ (unsigned char)*name) * 0x100000001b3u;
    }
    z += (uint64_t)(i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)((z ^ (z >> 31)) >> 40) / 16777216.0;
}

static bool ends(const char *name, const char *with)
{
    const size_t n = strlen(name), m = strlen(with);
    return n >= m && strcmp(name + n - m, with) == 0;
}

static float value_of(const spx_layout_entry *e, int64_t i)
{
    const double u = drawn(e->name, i);
    const double x = e->role == SPX_ROLE_ARCH        ? u - 0.5
                     : ends(e->name, "running_var")  ? 0.6 + 0.9 * u
                     : ends(e->name, "running_mean") ? u - 0.5
                     : e->rank > 1             ? (2 * u - 1) / sqrt((double)(e->count / e->dim[0]))
                     : ends(e->name, "weight") ? 0.6 + 0.9 * u
                                               : 0.6 * u - 0.3;
    return (float)x;
}

static void fill(const spx_location *x, const spx_buffer *device_arena, spx_role role)
{
    const spx_ckpt_arena arena = {"", role, *device_arena};
    spx_ckpt_arena host;
    CHECK_OK(spx_host_twins(&x->layout, x->stream, &arena, 1, true, &host));
    for (int i = 0; i < x->layout.n; i++) {
        const spx_layout_entry *e = &x->layout.entry[i];
        for (int64_t k = 0; e->role == role && k < e->count; k++) {
            ((float *)host.data.data)[e->offset + k] = value_of(e, k);
        }
    }
    CHECK_OK(spx_host_twins_upload(&x->layout, x->stream, &host, 1, &arena));
    spx_host_twins_free(&arena, &host, 1);
}

static spx_status get_host(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    (void)epoch;
    (void)step;
    *out = *(const spx_samples *)ctx;
    return SPX_OK;
}

static const double noise[3] = {0.3, -0.4, 0.9};
static const int others[2] = {1, 2};

static void setup(fixture *f, int subsampling)
{
    static const char *const name[2] = {"train", "val"};
    const spx_batch_shape shape = {BATCH, 3, SIDE, SIDE};
    const spx_final_spec spec = {.genotype = spx_genotype_published,
                                 .input = {3, SIDE, SIDE},
                                 .classes = CLASSES,
                                 .init_channels = 1,
                                 .layers = LAYERS};
    spx_location_options o = spx_location_defaults;
    memset(f, 0, sizeof *f);
    o.clip = 0.5;
    o.subsampling = subsampling;
    CHECK_OK(spx_stream_open(
        &f->stream,
        &(spx_stream_options){.device = device, .threads = 2, .precision = SPX_PRECISION_F32}));
    CHECK_OK(spx_location_init(&f->x, f->stream, &spec, BATCH, &o, 1, NULL));
    fill(&f->x, &f->x.weights, SPX_ROLE_WEIGHT);
    fill(&f->x, &f->x.state, SPX_ROLE_STATE);
    fill(&f->x, &f->x.beta, SPX_ROLE_ARCH);
    for (int b = 0; b < 2; b++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%s.images", name[b]);
        for (int i = 0; i < PIXELS; i++) {
            f->images[b][i] = (float)(3.4 * drawn(key, i) - 1.7);
        }
        for (int i = 0; i < BATCH; i++) {
            f->labels[b][i] = (7 * i + (int)strlen(name[b])) % CLASSES;
        }
        f->host[b] = (spx_samples){.images = f->images[b], .labels = f->labels[b], .valid = BATCH};
        const spx_source host = {.get = get_host, .ctx = &f->host[b], .steps = 1};
        CHECK_OK(spx_feed_open(&f->feed[b], f->stream, &host, &shape));
        const spx_source source = spx_feed_source(f->feed[b]);
        CHECK_OK(source.get(source.ctx, 0, 0, b == 0 ? &f->args.train : &f->args.val));
    }
    f->args.lr = 0.025f;
    f->args.tau = 2.5;
    f->args.noise = noise;
    f->args.others = others;
}

static void teardown(fixture *f)
{
    spx_feed_close(f->feed[0]);
    spx_feed_close(f->feed[1]);
    spx_location_clear(&f->x);
    spx_stream_destroy(f->stream);
}

static void step(fixture *f, spx_location_report *r)
{
    bool any;
    CHECK_OK(spx_location_queue(&f->x, &f->args));
    CHECK_OK(spx_location_report_next(&f->x, true, r, &any));
    assert_true(any);
}

/* An arena in host memory; spx_free. */
static float *host_copy(const fixture *f, const spx_buffer *arena, spx_role role)
{
    const size_t bytes = spx_layout_bytes(&f->x.layout, role);
    void *copy;
    CHECK_OK(spx_calloc(&copy, bytes, 1));
    CHECK_OK(spx_layout_download(&f->x.layout, f->stream, role, arena,
                                 &(spx_buffer){.data = copy, .bytes = bytes}));
    return copy;
}

static const float *find(const fixture *f, const float *arena, const char *name, size_t *n)
{
    const spx_layout_entry *e = spx_layout_find(&f->x.layout, name);
    if (e == NULL) {
        char own[160]; /* of the network drawn */
        (void)snprintf(own, sizeof own, "1-2.%s", name);
        e = spx_layout_find(&f->x.layout, own);
    }
    assert_non_null(e);
    *n = (size_t)e->count;
    return arena + e->offset;
}

#define CHECK_ARRAY(arena, name, want, tolerance)                                                  \
    do {                                                                                           \
        size_t n_;                                                                                 \
        const float *got_ = find(f, arena, name, &n_);                                             \
        assert_int_equal(n_, sizeof(want) / sizeof(want)[0]);                                      \
        CHECK_CLOSE(got_, want, n_, tolerance);                                                    \
    } while (0)

/*
 * float32 against float64: 1e-4 for what no gradient enters undivided. A gradient of a network in
 * training mode is moved by up to 6e-3 where one ReLU's input is within rounding of zero
 * (tests/golden/README.md): 1e-2.
 */
static void check_weights(const fixture *f)
{
    float *w = host_copy(f, &f->x.weights, SPX_ROLE_WEIGHT);
    float *m = host_copy(f, &f->x.momentum, SPX_ROLE_WEIGHT);
    float *s = host_copy(f, &f->x.state, SPX_ROLE_STATE);
    CHECK_ARRAY(w, "stem.0.weight", golden_stem_0_weight, 1e-4);
    CHECK_ARRAY(w, "stem.1.weight", golden_stem_1_weight, 1e-4);
    CHECK_ARRAY(w, "stem.1.bias", golden_stem_1_bias, 1e-4);
    CHECK_ARRAY(w, "linear.bias", golden_linear_bias, 1e-4);
    CHECK_ARRAY(w, "cells.2.preproc1.net.0.weight", golden_cells_2_preproc1_net_0_weight, 1e-4);
    CHECK_ARRAY(m, "stem.0.weight", golden_momentum_stem_0_weight, 1e-2);
    CHECK_ARRAY(m, "linear.bias", golden_momentum_linear_bias, 1e-2);
    CHECK_ARRAY(m, "cells.2.preproc1.net.0.weight", golden_momentum_cells_2_preproc1_net_0_weight,
                1e-2);
    CHECK_ARRAY(s, "stem.1.running_mean", golden_stem_1_running_mean, 1e-5);
    CHECK_ARRAY(s, "stem.1.running_var", golden_stem_1_running_var, 1e-5);
    for (size_t i = 0; i < sizeof golden_norms / sizeof golden_norms[0]; i++) {
        double norm[2] = {0, 0};
        size_t n;
        const float *weight = find(f, w, golden_norms[i].name, &n);
        const float *momentum = find(f, m, golden_norms[i].name, &n);
        for (size_t k = 0; k < n; k++) {
            norm[0] += (double)weight[k] * (double)weight[k];
            norm[1] += (double)momentum[k] * (double)momentum[k];
        }
        const double want[2] = {golden_norms[i].weight, golden_norms[i].momentum};
        if (fabs(sqrt(norm[0]) - want[0]) > 1e-4 * want[0] ||
            fabs(sqrt(norm[1]) - want[1]) > 2e-2 * want[1] + 1e-6) {
            fail_msg("%s: norms %g, %g, expected %g, %g", golden_norms[i].name, sqrt(norm[0]),
                     sqrt(norm[1]), want[0], want[1]);
        }
    }
    spx_free(w);
    spx_free(m);
    spx_free(s);
}

SPX_TEST(a_whole_step_is_pytorchs)
{
    fixture one, *f = &one;
    spx_location_report r;
    SPX_UNUSED;
    setup(f, 3);
    step(f, &r);
    assert_int_equal(f->x.drawn, 2);
    CHECK_CLOSE(&r.val_loss, &golden_losses[0], 1, 1e-5);
    CHECK_CLOSE(&r.train_loss, &golden_losses[1], 1, 1e-5);
    assert_true(fabs(r.weight_norm / (double)golden_norm[0] - 1) < 1e-2);
    float *grad = host_copy(f, &f->x.beta_grad, SPX_ROLE_ARCH);
    float *beta = host_copy(f, &f->x.beta, SPX_ROLE_ARCH);
    CHECK_CLOSE(grad, &golden_beta_grads[6], 3, 1e-4);
    CHECK_CLOSE(beta, golden_beta, 3, 1e-6);
    check_weights(f);
    spx_free(grad);
    spx_free(beta);
    teardown(f);
}

SPX_TEST(networks_that_are_not_run_count_as_nothing_in_betas_gradient)
{
    static const int subsampling[3] = {0, 1, 2};
    SPX_UNUSED;
    for (int i = 0; i < 3; i++) {
        const int run = subsampling[i] < 1 ? 1 : subsampling[i];
        fixture one, *f = &one;
        spx_location_report r;
        setup(f, subsampling[i]);
        step(f, &r);
        float *grad = host_copy(f, &f->x.beta_grad, SPX_ROLE_ARCH);
        CHECK_CLOSE(grad, &golden_beta_grads[3 * (run - 1)], 3, 1e-4);
        spx_free(grad);
        teardown(f);
    }
}

/* Which arrays of an arena differ, by the network they are of: bit 0 the stem, bit 1 + k pair k. */
static unsigned changed(const fixture *f, const float *a, const float *b, spx_role role)
{
    unsigned bits = 0;
    for (int i = 0; i < f->x.layout.n; i++) {
        const spx_layout_entry *e = &f->x.layout.entry[i];
        int first, second, owner = 0;
        if (sscanf(e->name, "%d-%d.", &first, &second) == 2) {
            owner = 1 + second * (second - 1) / 2 + first;
        }
        if (e->role == role &&
            memcmp(a + e->offset, b + e->offset, (size_t)e->count * sizeof *a) != 0) {
            bits |= 1u << owner;
        }
    }
    return bits;
}

SPX_TEST(only_the_stem_and_the_network_drawn_are_touched)
{
    fixture one, *f = &one;
    spx_location_report r;
    float *before[3], *after[3];
    SPX_UNUSED;
    setup(f, 3);
    const spx_buffer *const arena[3] = {&f->x.weights, &f->x.momentum, &f->x.state};
    const spx_role role[3] = {SPX_ROLE_WEIGHT, SPX_ROLE_WEIGHT, SPX_ROLE_STATE};
    for (int i = 0; i < 3; i++) {
        before[i] = host_copy(f, arena[i], role[i]);
    }
    step(f, &r);
    for (int i = 0; i < 3; i++) {
        after[i] = host_copy(f, arena[i], role[i]);
        assert_int_equal(changed(f, before[i], after[i], role[i]), 1u | 1u << 3);
        spx_free(before[i]);
        spx_free(after[i]);
    }
    teardown(f);
}

SPX_TEST(a_loss_that_is_not_finite_changes_neither_beta_nor_weights)
{
    fixture one, *f = &one;
    spx_location_report r;
    bool any;
    SPX_UNUSED;
    setup(f, 3);
    f->images[1][0] = NAN;
    const spx_source source = spx_feed_source(f->feed[1]);
    CHECK_OK(source.get(source.ctx, 0, 0, &f->args.val));
    float *w = host_copy(f, &f->x.weights, SPX_ROLE_WEIGHT);
    float *b = host_copy(f, &f->x.beta, SPX_ROLE_ARCH);
    CHECK_OK(spx_location_queue(&f->x, &f->args));
    CHECK_FAILS(SPX_ENUMERIC, spx_location_report_next(&f->x, true, &r, &any));
    float *w2 = host_copy(f, &f->x.weights, SPX_ROLE_WEIGHT);
    float *b2 = host_copy(f, &f->x.beta, SPX_ROLE_ARCH);
    assert_int_equal(changed(f, w, w2, SPX_ROLE_WEIGHT) | changed(f, b, b2, SPX_ROLE_ARCH), 0);
    spx_free(w);
    spx_free(b);
    spx_free(w2);
    spx_free(b2);
    teardown(f);
}

SPX_TEST(pairs_are_in_the_published_order_and_draws_are_distinct)
{
    spx_location_pair p[21];
    spx_location x = {.n = 21, .options = {.subsampling = 5}};
    double g[21], sum = 0;
    int times[21] = {0};
    SPX_UNUSED;
    assert_int_equal(spx_location_pairs(10, NULL), 21);
    assert_int_equal(spx_location_pairs(10, p), 21);
    assert_true(p[2].at[0] == 1 && p[2].at[1] == 2 && p[3].at[0] == 0 && p[3].at[1] == 3);
    assert_true(p[20].at[0] == 5 && p[20].at[1] == 6);
    for (uint64_t s = 0; s < 2000; s++) {
        int other[SPX_LOCATION_RUN_MAX];
        spx_location_draw(&x, 3, s, g, other);
        for (int i = 0; i < 4; i++) {
            assert_true(other[i] >= 1 && other[i] <= 20 && (i == 0 || other[i] > other[i - 1]));
            times[other[i]]++;
        }
        for (int i = 0; i < 21; i++) {
            sum += g[i] / (2000 * 21);
        }
    }
    /* Euler's constant is the mean; the mean of 42,000 deviates by 1.28/sqrt(42000) = 0.006 */
    assert_true(fabs(sum - 0.5772) < 0.03);
    for (int i = 1; i <= 20; i++) { /* 400 each, deviation 18 */
        assert_true(times[i] > 300 && times[i] < 500);
    }
}

SPX_TEST(a_location_reads_back_and_others_are_refused)
{
    static const struct {
        const char *text;
        spx_status st;
    } bad[] = {{"[]", SPX_EFORMAT},
               {"{", SPX_EFORMAT},
               {"{\"layers\": 3, \"reduce_at\": [0, 1]}", SPX_EFORMAT},
               {"{\"layers\": 65, \"reduce_at\": [0, 1], \"genotype\": {}}", SPX_EFORMAT},
               {"{\"layers\": 3, \"reduce_at\": [1, 0], \"genotype\": {}}", SPX_EFORMAT}};
    const spx_final_spec f = {.genotype = spx_genotype_published, .layers = 3};
    const float beta[3] = {0.5f, 0.25f, 1};
    const char *path = spx_scratch_path(&scratch, "location.json");
    spx_location_pair pair[3], got;
    spx_genotype other = spx_genotype_published;
    int64_t layers;
    json_t *history = json_array();
    SPX_UNUSED;
    (void)spx_location_pairs(3, pair);
    json_t *j = spx_location_json(&f, pair, 3, beta, 2, history);
    assert_int_equal(json_dump_file(j, path, 0), 0);
    CHECK_OK(spx_location_load(path, &f.genotype, &layers, &got));
    assert_true(layers == 3 && got.at[0] == 1 && got.at[1] == 2);
    other.normal.edge[0][0].primitive = SPX_AVG_POOL_3X3;
    CHECK_FAILS(SPX_EINVAL, spx_location_load(path, &other, &layers, &got));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(bad[i].text, file) >= 0 && fclose(file) == 0);
        CHECK_FAILS(bad[i].st, spx_location_load(path, &f.genotype, &layers, &got));
    }
    json_decref(j);
    json_decref(history);
}

SPX_TEST(what_cannot_be_searched_is_refused)
{
    spx_final_spec spec = {.genotype = spx_genotype_published,
                           .input = {3, SIDE, SIDE},
                           .classes = CLASSES,
                           .init_channels = 1,
                           .layers = 2};
    spx_location_options o = spx_location_defaults;
    spx_location x;
    spx_stream *s;
    SPX_UNUSED;
    CHECK_OK(spx_stream_create(&s, device, 1));
    CHECK_FAILS(SPX_EINVAL, spx_location_init(&x, s, &spec, BATCH, &o, 1, NULL));
    spec.layers = 3;
    o.decay = -1;
    CHECK_FAILS(SPX_EINVAL, spx_location_init(&x, s, &spec, BATCH, &o, 1, NULL));
    spx_stream_destroy(s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_whole_step_is_pytorchs),
        SPX_UNIT(networks_that_are_not_run_count_as_nothing_in_betas_gradient),
        SPX_UNIT(only_the_stem_and_the_network_drawn_are_touched),
        SPX_UNIT(a_loss_that_is_not_finite_changes_neither_beta_nor_weights),
        SPX_UNIT(pairs_are_in_the_published_order_and_draws_are_distinct),
        SPX_UNIT(a_location_reads_back_and_others_are_refused),
        SPX_UNIT(what_cannot_be_searched_is_refused),
    };
    device = argc > 1 && strcmp(argv[1], "cuda") == 0 ? SPX_DEVICE_CUDA : SPX_DEVICE_CPU;
    if (spx_device_count(device) == 0) {
        return 77;
    }
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    spx_scratch_remove(&scratch);
    return failed;
}
