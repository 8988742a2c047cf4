#ifndef SPX_PROGRAM_CASE_H
#define SPX_PROGRAM_CASE_H
/* A small network, and programs of it on any device, for tests. */
#include "host/graph/program.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

enum { N = 4, C = 4, HW = 8, CLASSES = 5 };

/*
 * A small network with everything the passes look for: convolutions that share an input, pools that
 * do, norms before convolutions, weighted sums of norms, a concatenation, masks, two losses.
 */
typedef struct net {
    spx_graph *g;
    spx_tid image, label, logits, loss, aux_loss; /* a third input may be a target (N, CLASSES) */
} net;

static const spx_conv_options conv3 = {
    .filters = C, .size = 3, .stride = 1, .dilation = 1, .pad_begin = 1, .pad_end = 1};
static const spx_conv_options dil3 = {
    .filters = C, .size = 3, .stride = 1, .dilation = 2, .pad_begin = 2, .pad_end = 2};
static const spx_conv_options one = {
    .filters = C, .size = 1, .stride = 1, .dilation = 1, .bias = true};
static const spx_conv_options half_a = {.filters = C / 2, .size = 1, .stride = 2, .dilation = 1};
static const spx_conv_options half_b = {
    .filters = C / 2, .size = 1, .stride = 2, .dilation = 1, .pad_begin = -1};

/* One mixed edge from x with coefficients w[row]; adds its terms. */
static inline int edge(spx_graph *g, int node, spx_tid x, spx_tid w, int row, spx_sum_term *term)
{
    spx_tid y[3];
    spx_g_scope(g, "node%d.edge%d.", node, row);
    y[0] = spx_g_batch_norm(g, spx_g_avg_pool(g, x, 3, 1, 1, "pool"), "pool_bn", false);
    y[1] = spx_g_batch_norm(g, spx_g_conv2d(g, x, "a", &conv3), "a_bn", false);
    y[1] = spx_g_batch_norm(g, spx_g_conv2d(g, y[1], "b", &conv3), "b_bn", true);
    y[2] = spx_g_batch_norm(g, spx_g_conv2d(g, x, "d", &dil3), "d_bn", false);
    for (int j = 0; j < 3; j++) {
        term[j] =
            (spx_sum_term){.x = y[j], .coef = w, .coef_index = row * 4 + j, .mask = SPX_NO_TENSOR};
    }
    term[3] = (spx_sum_term){.x = x, .coef = w, .coef_index = row * 4 + 3, .mask = SPX_NO_TENSOR};
    return 4;
}

/* What relu may be: none; ReLUs; ReLUs with masks of numbers from -2 to 2, which have gradients. */
enum { NO_RELU, WITH_RELUS, MASKED_RELUS, RELU_KINDS };

static inline net build(bool training, int relu)
{
    net t;
    spx_graph *g;
    spx_sum_term term[8];
    CHECK_OK(spx_graph_create(&g, training));
    t.g = g;
    if (relu == MASKED_RELUS) {
        spx_graph_mask_relus(g, SPX_ROLE_ARCH);
    }
    t.image = spx_g_input(g, "image", SPX_F32, 4, (int64_t[]){N, 3, HW, HW});
    t.label = spx_g_input(g, "label", SPX_I32, 1, (int64_t[]){N});
    const spx_tid alpha = spx_g_param(g, SPX_ROLE_ARCH, "alpha", 2, (int64_t[]){2, 4},
                                      (spx_init){SPX_INIT_NORMAL, 0.5f});
    const spx_tid w = spx_g_softmax(g, alpha, "softmax");
    spx_tid s0 = spx_g_batch_norm(g, spx_g_conv2d(g, t.image, "stem", &conv3), "stem_bn", true);
    int k = edge(g, 0, s0, w, 0, term);
    const spx_tid s1 = spx_g_sum(g, k, term, "node0");
    k = edge(g, 1, s0, w, 0, term);
    k += edge(g, 1, s1, w, 1, term + k);
    const spx_tid s2 = spx_g_sum(g, k, term, "node1");
    spx_g_scope(g, "%s", "");
    spx_tid cat = spx_g_concat(g, 2, (spx_tid[]){s1, s2}, "cat");
    cat = relu ? spx_g_relu(g, cat, "cat_relu") : cat;
    spx_tid y = spx_g_batch_norm(g, spx_g_conv2d(g, cat, "out", &one), "out_bn", false);
    y = relu ? spx_g_relu(g, y, "out_relu") : y;
    const spx_tid masked = spx_g_sum(
        g, 2,
        (spx_sum_term[]){{.x = spx_g_batch_norm(g, spx_g_conv2d(g, y, "c", &conv3), "c_bn", true),
                          .coef = SPX_NO_TENSOR,
                          .mask = training ? spx_g_drop_mask(g, N, 1, "mask") : SPX_NO_TENSOR},
                         {.x = y, .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR}},
        "residual");
    const spx_tid halves[2] = {spx_g_conv2d(g, masked, "half_a", &half_a),
                               spx_g_conv2d(g, masked, "half_b", &half_b)};
    y = spx_g_batch_norm(g, spx_g_concat(g, 2, halves, "halves"), "half_bn", true);
    t.logits = spx_g_linear(g, spx_g_global_avg_pool(g, y, "gap"), "classifier", CLASSES);
    t.loss = spx_g_cross_entropy(g, t.logits, t.label, 0.1f, "loss");
    spx_g_section(g, -1, true);
    const spx_tid aux =
        spx_g_linear(g, spx_g_global_avg_pool(g, masked, "aux_gap"), "aux", CLASSES);
    t.aux_loss = spx_g_cross_entropy(g, aux, t.label, 0.0f, "aux_loss");
    CHECK_OK(spx_graph_status(g));
    for (int i = 0; i < g->n_tensors; i++) {
        if (g->tensor[i].role == SPX_ROLE_ARCH && g->tensor[i].rank == 3) {
            g->tensor[i].init = (spx_init){SPX_INIT_UNIFORM, 2};
        }
    }
    return t;
}

/* Which arena of a layout one is laid out like. */
static const spx_role laid_out_like[SPX_ROLE_COUNT] = {
    [SPX_ROLE_WEIGHT] = SPX_ROLE_WEIGHT,    [SPX_ROLE_ARCH] = SPX_ROLE_ARCH,
    [SPX_ROLE_STATE] = SPX_ROLE_STATE,      [SPX_ROLE_WEIGHT_GRAD] = SPX_ROLE_WEIGHT,
    [SPX_ROLE_ARCH_GRAD] = SPX_ROLE_ARCH,   [SPX_ROLE_INPUT] = SPX_ROLE_COUNT,
    [SPX_ROLE_ACTIVATION] = SPX_ROLE_COUNT,
};

/* One compiled program with its own arenas: on the device, and as the host sees them. */
typedef struct run {
    spx_stream *s;
    spx_program *p;
    spx_binding b;
    spx_buffer device[SPX_ROLE_COUNT], on_host[SPX_ROLE_COUNT];
    float *host[SPX_ROLE_COUNT]; /* of on_host */
    spx_buffer workspace;
    void *scalars;
    float image[N * 3 * HW * HW];
    int32_t label[N];
    float target[N * CLASSES];
    void *input[3];
} run;

/* (n, c, hw) as the device of s wants it. */
static inline void put_image(spx_stream *s, void *device, const float *x, int64_t n, int64_t c,
                             int64_t hw)
{
    const size_t bytes = (size_t)(n * c * hw) * sizeof(float);
    float *y = malloc(bytes);
    assert_non_null(y);
    for (int64_t i = 0; i < n * c * hw; i++) {
        const int64_t image = i / (c * hw), k = i / hw % c, at = i % hw;
        y[spx_stream_device(s) == SPX_DEVICE_CPU ? i : (image * hw + at) * c + k] = x[i];
    }
    CHECK_OK(spx_upload(s, device, y, bytes));
    free(y);
}

static inline void run_upload(run *r, spx_role role)
{
    const spx_layout *l = spx_program_layout(r->p);
    CHECK_OK(spx_layout_upload(l, r->s, laid_out_like[role], &r->on_host[role], &r->device[role]));
}

static inline void run_upload_inputs(run *r)
{
    const spx_scalars scalars = {.seed = 5, .step = 2, .drop_prob = 0.4f};
    put_image(r->s, r->input[0], r->image, N, 3, HW * HW);
    CHECK_OK(spx_upload(r->s, r->input[1], r->label, sizeof r->label));
    CHECK_OK(spx_upload(r->s, r->input[2], r->target, sizeof r->target));
    CHECK_OK(spx_upload(r->s, r->scalars, &scalars, sizeof scalars));
}

/* NaN everywhere: nothing may be assumed. */
static inline void spoil_workspace(run *r)
{
    const size_t bytes = spx_program_workspace_bytes(r->p);
    void *nan = malloc(bytes);
    assert_non_null(nan);
    memset(nan, 0xff, bytes);
    CHECK_OK(spx_upload(r->s, r->workspace.data, nan, bytes));
    free(nan);
}

static inline void run_init(run *r, const net *t, spx_stream *s, const spx_program_options *o)
{
    spx_rng rng;
    memset(r, 0, sizeof *r);
    r->s = s;
    CHECK_OK(spx_program_create(&r->p, t->g, s, o));
    const spx_layout *l = spx_program_layout(r->p);
    for (int role = 0; role < SPX_ROLE_COUNT; role++) {
        if (laid_out_like[role] != SPX_ROLE_COUNT) {
            CHECK_OK(spx_layout_arena(l, NULL, laid_out_like[role], &r->on_host[role]));
            CHECK_OK(spx_layout_arena(l, s, laid_out_like[role], &r->device[role]));
            r->host[role] = r->on_host[role].data;
        }
    }
    CHECK_OK(spx_buffer_alloc(&r->workspace, s, spx_program_workspace_bytes(r->p)));
    CHECK_OK(spx_device_alloc(s, &r->input[0], sizeof r->image));
    CHECK_OK(spx_device_alloc(s, &r->input[1], sizeof r->label));
    CHECK_OK(spx_device_alloc(s, &r->input[2], sizeof r->target));
    CHECK_OK(spx_device_alloc(s, &r->scalars, sizeof(spx_scalars)));
    CHECK_OK(spx_layout_init(l, 7, &r->on_host[SPX_ROLE_WEIGHT], &r->on_host[SPX_ROLE_ARCH],
                             &r->on_host[SPX_ROLE_STATE]));
    spx_rng_init(&rng, 3, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < sizeof r->image / sizeof r->image[0]; i++) {
        r->image[i] = spx_rng_normal(&rng);
    }
    for (int i = 0; i < N; i++) {
        r->label[i] = i % CLASSES;
    }
    for (int i = 0; i < N * CLASSES; i++) {
        r->target[i] = spx_rng_normal(&rng);
    }
    for (int role = 0; role < SPX_ROLE_COUNT; role++) {
        if (laid_out_like[role] != SPX_ROLE_COUNT) {
            run_upload(r, (spx_role)role);
        }
    }
    run_upload_inputs(r);
    spoil_workspace(r);
    r->b = (spx_binding){.weights = r->device[SPX_ROLE_WEIGHT],
                         .arch = r->device[SPX_ROLE_ARCH],
                         .state = r->device[SPX_ROLE_STATE],
                         .weight_grad = r->device[SPX_ROLE_WEIGHT_GRAD],
                         .arch_grad = r->device[SPX_ROLE_ARCH_GRAD],
                         .workspace = r->workspace,
                         .input = (const void *const *)r->input,
                         .update_state = true,
                         .scalars = r->scalars};
}

static inline void run_clear(run *r)
{
    spx_program_destroy(r->p);
    for (int role = 0; role < SPX_ROLE_COUNT; role++) {
        spx_buffer_free(&r->on_host[role]);
        spx_buffer_free(&r->device[role]);
    }
    spx_buffer_free(&r->workspace);
    spx_device_free(r->s, r->input[0]);
    spx_device_free(r->s, r->input[1]);
    spx_device_free(r->s, r->input[2]);
    spx_device_free(r->s, r->scalars);
}

/* What a run wrote, to the host's copies. */
static inline void run_fetch(run *r)
{
    static const spx_role written[] = {SPX_ROLE_WEIGHT_GRAD, SPX_ROLE_ARCH_GRAD, SPX_ROLE_STATE};
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        CHECK_OK(spx_layout_download(spx_program_layout(r->p), r->s, laid_out_like[written[i]],
                                     &r->device[written[i]], &r->on_host[written[i]]));
    }
}

static inline void run_go(run *r)
{
    CHECK_OK(spx_program_run(r->p, &r->b));
    run_fetch(r);
}

/* Output i of two runs, n floats. */
static inline void check_outputs(const run *a, const run *b, int i, size_t n, double tol)
{
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    assert_true(x != NULL && y != NULL);
    CHECK_OK(spx_program_read(a->p, &a->b, i, x));
    CHECK_OK(spx_program_read(b->p, &b->b, i, y));
    CHECK_CLOSE(x, y, n, tol);
    free(x);
    free(y);
}

/* Compares an arena of two runs entry by entry; layouts may differ. */
static inline void check_arenas(const run *a, const run *b, spx_role arena, double tol)
{
    const spx_layout *la = spx_program_layout(a->p), *lb = spx_program_layout(b->p);
    const float *xa = a->host[arena], *xb = b->host[arena];
    const spx_role role = laid_out_like[arena];
    double norm = 0; /* entries with an exactly zero gradient are rounding: measure against all */
    for (int64_t i = 0; i < lb->floats[role]; i++) {
        norm += (double)xb[i] * (double)xb[i];
    }
    for (int i = 0; i < la->n; i++) {
        const spx_layout_entry *e = &la->entry[i];
        const spx_layout_entry *f = spx_layout_find(lb, e->name);
        double diff = 0, own = 0;
        assert_non_null(f);
        if (e->role != role) {
            continue;
        }
        for (int64_t k = 0; k < e->count; k++) {
            const double d = (double)xa[e->offset + k] - (double)xb[f->offset + k];
            diff += d * d;
            own += (double)xb[f->offset + k] * (double)xb[f->offset + k];
        }
        if (!(sqrt(diff) <= tol * (sqrt(own) + 1e-2 * sqrt(norm)))) {
            fail_msg("%s: relative error %.3g > %.3g", e->name, sqrt(diff / own), tol);
        }
    }
}

/*
 * The loss's difference quotient along the gradient of an arena, against the gradient's square. A
 * step of length 0.01 both ways: truncation is of order 0.01^2, and of order 0.01 where a maximum
 * or a ReLU changes sides; the loss, of size 2 in float, is noisy by about 2e-7 against a change of
 * at least 3e-4. 1 % covers all.
 */
static inline void check_difference(run *r, double (*loss)(run *r), spx_role arena,
                                    spx_role gradient)
{
    const size_t n = (size_t)spx_program_layout(r->p)->floats[arena];
    float *const w = r->host[arena];
    float *const save = malloc(n * sizeof *save), *const dir = malloc(n * sizeof *dir);
    double square = 0, side[2];
    (void)loss(r);
    memcpy(save, w, n * sizeof *save);
    memcpy(dir, r->host[gradient], n * sizeof *dir);
    for (size_t i = 0; i < n; i++) {
        square += (double)dir[i] * (double)dir[i];
    }
    assert_true(square > 1e-8);
    const double h = 1e-2 / sqrt(square);
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < n; i++) {
            w[i] = (float)((double)save[i] + (k == 0 ? h : -h) * (double)dir[i]);
        }
        run_upload(r, arena);
        side[k] = loss(r);
    }
    memcpy(w, save, n * sizeof *save);
    run_upload(r, arena);
    const double measured = (side[0] - side[1]) / (2 * h);
    if (!(fabs(measured - square) <= 1e-2 * square)) {
        fail_msg("%s: difference quotient %.8g, gradient %.8g",
                 arena == SPX_ROLE_WEIGHT ? "weights" : "alphas", measured, square);
    }
    free(save);
    free(dir);
}

/* Streams of every device here, one after the other; tests whose results must not depend on what
 * else runs ask for determinism. */
static inline bool next_stream(int *i, spx_stream **s)
{
    static const spx_stream_options list[] = {
        {.device = SPX_DEVICE_CPU, .threads = 2, .precision = SPX_PRECISION_F32},
        {.device = SPX_DEVICE_CUDA,
         .threads = 1,
         .precision = SPX_PRECISION_F32,
         .deterministic = true},
    };
    if (*i > 0) {
        spx_stream_destroy(*s);
    }
    if (*i == 2 || spx_device_count(list[*i].device) == 0) {
        return false;
    }
    CHECK_OK(spx_stream_open(s, &list[(*i)++]));
    return true;
}

#define FOR_EACH_STREAM(s)                                                                         \
    spx_stream *s = NULL;                                                                          \
    for (int stream_ = 0; next_stream(&stream_, &s);)

#endif
