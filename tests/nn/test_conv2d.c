/* Every implementation of the convolution against the reference, and the
 * reference against truths. */
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "kernels/nn/conv2d/conv2d.h"
#include "tests/nn/conv2d_cases.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

#define GUARD 32               /* floats around every output */
#define POISON 12345.6789F     /* no result comes near it by chance */
#define U 5.960464477539063e-8 /* 2^-24, unit roundoff of f32 */

/* How the operands of a case are laid out and what its input carries. */
typedef struct variant {
    int64_t gap; /* floats between images */
    bool norm, affine, relu, bias, accumulate;
} variant;

static const variant variants[] = {
    {0, false, false, false, false, false},
    {5, true, true, true, true, true},
    {0, true, false, false, true, false},
    {3, false, false, true, false, true},
};
#define VARIANTS (sizeof variants / sizeof variants[0])

/* Operands of one case: blocks of exactly the size the contract allows to be touched. */
typedef struct operands {
    spx_conv2d_shape d;
    variant v;
    int64_t x_stride, y_stride;
    size_t x_size, y_size, w_size;
    float *x, *y, *w, *bias, *mean, *invstd, *gamma, *beta;
    spx_conv2d_input in;
} operands;

static float *random_block(size_t n, uint64_t key, float scale, float shift)
{
    float *p = malloc(n * sizeof *p);
    spx_rng r;
    assert_non_null(p);
    spx_rng_init(&r, 7, SPX_RNG_TEST, key);
    for (size_t i = 0; i < n; i++) {
        p[i] = shift + scale * spx_rng_normal(&r);
    }
    return p;
}

static void operands_init(operands *o, const spx_conv2d_shape *shape, const variant *v)
{
    *o = (operands){.d = *shape, .v = *v};
    CHECK_OK(spx_conv2d_shape_init(&o->d));
    const spx_conv2d_shape *d = &o->d;
    o->x_stride = d->c * d->h * d->w + v->gap;
    o->y_stride = d->k * d->p * d->q + v->gap;
    o->x_size = (size_t)(d->n * o->x_stride - v->gap);
    o->y_size = (size_t)(d->n * o->y_stride - v->gap);
    o->w_size = (size_t)(d->k * d->c * d->r * d->s);
    o->x = random_block(o->x_size, 1, 1, 0.1F);
    o->y = random_block(o->y_size, 2, 1, 0);
    o->w = random_block(o->w_size, 3, 1, 0);
    o->bias = random_block((size_t)d->k, 4, 1, 0);
    o->mean = random_block((size_t)d->c, 5, 0.3F, 0);
    o->invstd = random_block((size_t)d->c, 6, 0.1F, 1);
    o->gamma = random_block((size_t)d->c, 7, 0.3F, 1);
    o->beta = random_block((size_t)d->c, 8, 0.3F, 0);
    o->in = (spx_conv2d_input){.x = o->x, .stride_n = o->x_stride, .relu = v->relu};
    if (v->norm) {
        o->in.mean = o->mean;
        o->in.invstd = o->invstd;
    }
    if (v->affine) {
        o->in.gamma = o->gamma;
        o->in.beta = o->beta;
    }
}

static void operands_clear(operands *o)
{
    float *const blocks[] = {o->x, o->y, o->w, o->bias, o->mean, o->invstd, o->gamma, o->beta};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        free(blocks[i]);
    }
}

/* An output between guard zones, with the gaps between images poisoned too. */
typedef struct output {
    float *block, *p; /* p: the operand */
    size_t size;      /* floats from the first to the last that may be written */
    int64_t images, image, stride;
} output;

static void output_init(output *t, int64_t images, int64_t image, int64_t stride, bool accumulate)
{
    *t = (output){.images = images, .image = image, .stride = stride};
    t->size = (size_t)((images - 1) * stride + image);
    t->block = random_block(t->size + 2 * GUARD, 9, 1, 0);
    t->p = t->block + GUARD;
    for (size_t i = 0; i < t->size + 2 * GUARD; i++) {
        const int64_t at = (int64_t)i - GUARD;
        const bool inside = at >= 0 && i < t->size + GUARD && at % stride < image;
        if (!inside || !accumulate) {
            t->block[i] = POISON;
        }
    }
}

static void output_check_guards(const output *t)
{
    for (size_t i = 0; i < t->size + 2 * GUARD; i++) {
        const int64_t at = (int64_t)i - GUARD;
        const bool inside = at >= 0 && i < t->size + GUARD && at % t->stride < t->image;
        if (!inside && t->block[i] != POISON) {
            fail_msg("wrote outside the output, at %lld of %zu", (long long)at, t->size);
        }
    }
}

typedef struct outputs {
    output main, bias; /* y, dx or dw; bias only for dw */
} outputs;

static void outputs_init(outputs *t, const operands *o, spx_conv2d_pass pass)
{
    const spx_conv2d_shape *d = &o->d;
    const int64_t x = d->c * d->h * d->w, y = d->k * d->p * d->q;
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        output_init(&t->main, d->n, y, o->y_stride, false);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        output_init(&t->main, d->n, x, o->x_stride, o->v.accumulate);
        break;
    default:
        output_init(&t->main, 1, (int64_t)o->w_size, (int64_t)o->w_size, o->v.accumulate);
        break;
    }
    output_init(&t->bias, 1, d->k, d->k, o->v.accumulate);
}

static void outputs_clear(outputs *t)
{
    free(t->main.block);
    free(t->bias.block);
}

static void run(spx_stream *s, const operands *o, spx_conv2d_pass pass, spx_conv2d_algo algo,
                outputs *t)
{
    const spx_conv2d_shape *d = &o->d;
    const size_t bytes = spx_conv2d_workspace(s, d, pass, algo);
    void *workspace = NULL;
    outputs_init(t, o, pass);
    CHECK_OK(spx_alloc(&workspace, bytes));
    if (bytes > 0) {
        memset(workspace, 0xff, bytes); /* NaNs */
    }
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        CHECK_OK(spx_conv2d_forward(s, d, algo, &o->in, o->w, o->v.bias ? o->bias : NULL, t->main.p,
                                    o->y_stride, workspace));
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        CHECK_OK(spx_conv2d_backward_data(s, d, algo, o->y, o->y_stride, o->w, o->v.accumulate,
                                          t->main.p, o->x_stride, workspace));
        break;
    default:
        CHECK_OK(spx_conv2d_backward_weights(s, d, algo, &o->in, o->y, o->y_stride, o->v.accumulate,
                                             t->main.p, o->v.bias ? t->bias.p : NULL, workspace));
        break;
    }
    output_check_guards(&t->main);
    output_check_guards(&t->bias);
    spx_free(workspace);
}

/*
 * f32 sums of m products of zero-mean numbers: partial sum i is about sqrt(i) long and is rounded
 * by at most U of it, independently; the errors add up to U * sqrt(1 + .. + m) ~ U * m, the sum to
 * sqrt(m): relative error below U * sqrt(m). Four times that, and U each for a few roundings
 * outside the sum (the input's normalisation, an accumulated output), is never exceeded by a
 * correct kernel.
 */
static double direct_tolerance(const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    const int64_t terms[SPX_CONV2D_PASS_COUNT] = {
        [SPX_CONV2D_FORWARD] = d->c * d->r * d->s,
        [SPX_CONV2D_BACKWARD_DATA] = d->k * d->r * d->s,
        [SPX_CONV2D_BACKWARD_WEIGHTS] = d->n * d->p * d->q,
    };
    return U * (8 + 4 * sqrt((double)terms[pass]));
}

/* Pairs of outputs and taps along one axis that meet a pixel. */
static int64_t meetings(const spx_conv2d_shape *d, int64_t inputs, int64_t places)
{
    int64_t n = 0;
    for (int64_t i = 0; i < places * d->r; i++) {
        const int64_t at = i / d->r * d->stride + i % d->r * d->dilation - d->pad_begin;
        n += at >= 0 && at < inputs;
    }
    return n;
}

/*
 * WINOGRAD makes the same sums of transformed numbers, whose rounding errors come back larger: for
 * independent numbers by the mean over outputs of the squares of sum over points f of |A_f|^2
 * |G_f|^2 |B_f|^2 (rows of the three transforms), which for both dimensions together is 6.94 at
 * the points for 3 taps and 19.1 at those for 5. All taps contribute errors, but to the result only
 * those that meet a pixel.
 */
static double tolerance(const spx_conv2d_shape *d, spx_conv2d_pass pass, spx_conv2d_algo algo)
{
    if (algo != SPX_CONV2D_WINOGRAD) {
        return direct_tolerance(d, pass);
    }
    const int64_t pixels = pass == SPX_CONV2D_BACKWARD_DATA ? d->h * d->w : d->p * d->q;
    const int64_t products = meetings(d, d->h, d->p) * meetings(d, d->w, d->q);
    const double padding = sqrt((double)(pixels * d->r * d->s) / (double)products);
    return (d->r == 3 ? 6.95 : 19.1) * padding * direct_tolerance(d, pass);
}

static void check_same(const char *algo, size_t at, spx_conv2d_pass pass, const output *a,
                       const output *b, double tol)
{
    for (int64_t n = 0; n < a->images; n++) {
        const double e =
            spx_relative_error(a->p + n * a->stride, b->p + n * b->stride, (size_t)a->image);
        if (!(e <= tol)) {
            fail_msg("%s, case %zu, pass %d, image %lld: relative error %.3g > %.3g", algo, at,
                     (int)pass, (long long)n, e, tol);
        }
    }
}

/* Every pass through every algorithm; without oneDNN where asked: building its primitives takes
 * long. */
static void check_algos(spx_stream *s, const operands *o, size_t at, bool onednn)
{
    for (int p = 0; p < SPX_CONV2D_PASS_COUNT; p++) {
        const spx_conv2d_pass pass = (spx_conv2d_pass)p;
        outputs expected;
        run(s, o, pass, SPX_CONV2D_REFERENCE, &expected);
        for (int a = 1; a < SPX_CONV2D_ALGO_COUNT; a++) {
            const spx_conv2d_algo algo = (spx_conv2d_algo)a;
            outputs got;
            if ((algo == SPX_CONV2D_ONEDNN && !onednn) ||
                !spx_conv2d_supports(s, &o->d, pass, algo)) {
                continue;
            }
            run(s, o, pass, algo, &got);
            check_same(spx_conv2d_algo_name(algo), at, pass, &got.main, &expected.main,
                       tolerance(&o->d, pass, algo));
            check_same(spx_conv2d_algo_name(algo), at, pass, &got.bias, &expected.bias,
                       direct_tolerance(&o->d, pass));
            outputs_clear(&got);
        }
        outputs_clear(&expected);
    }
}

SPX_TEST(every_algorithm_agrees_with_the_reference_on_every_case)
{
    SPX_UNUSED;
    for (int threads = 1; threads <= 3; threads++) {
        spx_stream *s;
        CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, threads));
        for (size_t i = 0; i < CONV2D_CASES * VARIANTS; i++) {
            operands o;
            if (!spx_test_whole_tables() &&
                (threads != 2 || i % VARIANTS != i / VARIANTS % VARIANTS)) {
                continue;
            }
            if (threads != 2 && i % VARIANTS != (i / VARIANTS + (size_t)threads) % VARIANTS) {
                continue; /* every variant with two threads, one of them with one and three */
            }
            operands_init(&o, &conv2d_cases[i / VARIANTS], &variants[i % VARIANTS]);
            check_algos(s, &o, i / VARIANTS, threads == 2);
            operands_clear(&o);
        }
        spx_stream_destroy(s);
    }
}

SPX_TEST(every_algorithm_agrees_with_the_reference_at_the_networks_sizes)
{
    SPX_UNUSED;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 2));
    for (size_t i = 0; i < CONV2D_NETWORK_CASES; i++) {
        spx_conv2d_shape d = conv2d_network_cases[i].d;
        operands o;
        if (!spx_test_whole_tables() && !conv2d_network_case_is_first(i)) {
            continue;
        }
        d.n = 1;
        operands_init(&o, &d, &variants[i % VARIANTS]);
        check_algos(s, &o, i, false);
        operands_clear(&o);
    }
    spx_stream_destroy(s);
}

/* Outputs and input gradients are the same bits for any thread count, weight gradients for the
 * same. */
static void check_threads(spx_stream *const s[3], const operands *o, spx_conv2d_pass pass,
                          spx_conv2d_algo algo)
{
    const bool weights = pass == SPX_CONV2D_BACKWARD_WEIGHTS;
    for (int t = 0; t < 3 && spx_conv2d_supports(s[0], &o->d, pass, algo); t++) {
        outputs a, b;
        run(s[weights ? t : 0], o, pass, algo, &a);
        run(s[t], o, pass, algo, &b);
        assert_memory_equal(a.main.p, b.main.p, a.main.size * sizeof(float));
        assert_memory_equal(a.bias.p, b.bias.p, a.bias.size * sizeof(float));
        outputs_clear(&a);
        outputs_clear(&b);
    }
}

SPX_TEST(own_results_do_not_depend_on_threads_or_the_run)
{
    SPX_UNUSED;
    spx_stream *s[3];
    for (int i = 0; i < 3; i++) {
        CHECK_OK(spx_stream_create(&s[i], SPX_DEVICE_CPU, i + 1));
    }
    for (size_t i = 0; i < CONV2D_CASES; i += spx_test_whole_tables() ? 1 : 5) {
        operands o;
        operands_init(&o, &conv2d_cases[i], &variants[1]);
        for (int pass = 0; pass < SPX_CONV2D_PASS_COUNT; pass++) {
            check_threads(s, &o, (spx_conv2d_pass)pass, SPX_CONV2D_PLANAR);
            check_threads(s, &o, (spx_conv2d_pass)pass, SPX_CONV2D_WINOGRAD);
        }
        operands_clear(&o);
    }
    for (int i = 0; i < 3; i++) {
        spx_stream_destroy(s[i]);
    }
}

static double product(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

/*
 * The convolution is linear in x and in w, so <y, dy> = <dx, x> = <dw, w>. The reference sums in
 * double and rounds each result once, by at most U of itself: |error of <a, b>| <= U * |a| * |b|.
 */
SPX_TEST(reference_gradients_are_adjoint_to_its_forward)
{
    SPX_UNUSED;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    for (size_t i = 0; i < CONV2D_CASES; i++) {
        operands o;
        outputs y, dx, dw;
        operands_init(&o, &conv2d_cases[i], &variants[0]);
        run(s, &o, SPX_CONV2D_FORWARD, SPX_CONV2D_REFERENCE, &y);
        run(s, &o, SPX_CONV2D_BACKWARD_DATA, SPX_CONV2D_REFERENCE, &dx);
        run(s, &o, SPX_CONV2D_BACKWARD_WEIGHTS, SPX_CONV2D_REFERENCE, &dw);
        const double by_y = product(y.main.p, o.y, o.y_size);
        const double by_x = product(dx.main.p, o.x, o.x_size);
        const double by_w = product(dw.main.p, o.w, o.w_size);
        const double y_bound =
            U * sqrt(product(y.main.p, y.main.p, o.y_size) * product(o.y, o.y, o.y_size));
        const double x_bound =
            U * sqrt(product(dx.main.p, dx.main.p, o.x_size) * product(o.x, o.x, o.x_size));
        const double w_bound =
            U * sqrt(product(dw.main.p, dw.main.p, o.w_size) * product(o.w, o.w, o.w_size));
        assert_true(fabs(by_y - by_x) <= y_bound + x_bound);
        assert_true(fabs(by_y - by_w) <= y_bound + w_bound);
        outputs_clear(&y);
        outputs_clear(&dx);
        outputs_clear(&dw);
        operands_clear(&o);
    }
    spx_stream_destroy(s);
}

/* y must be x moved by the tap, with zeros where it reaches outside; exact. */
SPX_TEST(filter_with_a_single_one_moves_the_image)
{
    SPX_UNUSED;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    const spx_conv2d_shape shape = {.n = 1,
                                    .c = 1,
                                    .h = 9,
                                    .w = 10,
                                    .k = 1,
                                    .r = 3,
                                    .s = 2,
                                    .stride = 2,
                                    .dilation = 3,
                                    .pad_begin = 2,
                                    .pad_end = -1};
    for (int tap = 0; tap < 6; tap++) {
        operands o;
        outputs y;
        operands_init(&o, &shape, &variants[0]);
        for (int i = 0; i < 6; i++) {
            o.w[i] = i == tap ? 1.0F : 0.0F;
        }
        run(s, &o, SPX_CONV2D_FORWARD, SPX_CONV2D_REFERENCE, &y);
        assert_int_equal(o.d.p, 2); /* (9 + 2 - 1 - 6 - 1) / 2 + 1 */
        assert_int_equal(o.d.q, 4); /* (10 + 2 - 1 - 3 - 1) / 2 + 1 */
        for (int64_t i = 0; i < 8; i++) {
            const int64_t row = i / 4 * 2 + tap / 2 * 3 - 2, col = i % 4 * 2 + tap % 2 * 3 - 2;
            const bool in = row >= 0 && row < 9 && col >= 0 && col < 10;
            assert_true(y.main.p[i] == (in ? o.x[row * 10 + col] : 0.0F));
        }
        outputs_clear(&y);
        operands_clear(&o);
    }
    spx_stream_destroy(s);
}

/* max(0, 2 * (x - 1) * 0.5 + 0.25) of 0.5, 3, -4 is 0, 2.25, 0; the padding stays 0, bias comes
 * last. */
SPX_TEST(input_is_normalised_and_rectified_before_zero_padding)
{
    SPX_UNUSED;
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    spx_conv2d_shape d = {.n = 1,
                          .c = 1,
                          .h = 1,
                          .w = 3,
                          .k = 1,
                          .r = 1,
                          .s = 1,
                          .stride = 1,
                          .dilation = 1,
                          .pad_begin = 1,
                          .pad_end = 1};
    const float x[] = {0.5F, 3, -4}, mean = 1, invstd = 0.5F, gamma = 2, beta = 0.25F, w = 1;
    const float bias = 10;
    const spx_conv2d_input in = {x, 3, &mean, &invstd, &gamma, &beta, true};
    float y[15];
    CHECK_OK(spx_conv2d_shape_init(&d));
    CHECK_OK(spx_conv2d_forward(s, &d, SPX_CONV2D_REFERENCE, &in, &w, &bias, y, 15, NULL));
    for (int i = 0; i < 15; i++) {
        assert_true(y[i] == (i == 7 ? 12.25F : 10.0F));
    }
    spx_stream_destroy(s);
}

SPX_TEST(impossible_shapes_are_refused)
{
    SPX_UNUSED;
    const spx_conv2d_shape good = {
        .n = 1, .c = 1, .h = 8, .w = 8, .k = 1, .r = 3, .s = 3, .stride = 1, .dilation = 1};
    spx_conv2d_shape d = good;
    CHECK_OK(spx_conv2d_shape_init(&d));
    assert_int_equal(d.p, 6);
    const struct {
        size_t field;
        int64_t value;
    } bad[] = {
        {offsetof(spx_conv2d_shape, n), 0},
        {offsetof(spx_conv2d_shape, n), -1},
        {offsetof(spx_conv2d_shape, c), 0},
        {offsetof(spx_conv2d_shape, k), 0},
        {offsetof(spx_conv2d_shape, h), 0},
        {offsetof(spx_conv2d_shape, h), 2},
        {offsetof(spx_conv2d_shape, w), 2},
        {offsetof(spx_conv2d_shape, r), 0},
        {offsetof(spx_conv2d_shape, r), 12},
        {offsetof(spx_conv2d_shape, s), 9},
        {offsetof(spx_conv2d_shape, stride), 0},
        {offsetof(spx_conv2d_shape, stride), 5},
        {offsetof(spx_conv2d_shape, dilation), 0},
        {offsetof(spx_conv2d_shape, dilation), 9},
        {offsetof(spx_conv2d_shape, dilation), 4},
        {offsetof(spx_conv2d_shape, pad_begin), -5},
        {offsetof(spx_conv2d_shape, pad_end), -5},
        {offsetof(spx_conv2d_shape, n), INT64_MAX},
        {offsetof(spx_conv2d_shape, c), INT64_MAX},
        {offsetof(spx_conv2d_shape, h), INT64_MAX},
        {offsetof(spx_conv2d_shape, k), (int64_t)1 << 39},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d = good;
        memcpy((char *)&d + bad[i].field, &bad[i].value, sizeof bad[i].value);
        CHECK_FAILS(SPX_EINVAL, spx_conv2d_shape_init(&d));
    }
}

SPX_TEST(bad_operands_are_refused)
{
    SPX_UNUSED;
    spx_stream *s;
    operands o;
    outputs t;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    operands_init(&o, &conv2d_cases[5], &variants[1]);
    outputs_init(&t, &o, SPX_CONV2D_FORWARD);
    const spx_conv2d_algo ref = SPX_CONV2D_REFERENCE;
    float *y = t.main.p;
    spx_conv2d_shape wrong = o.d;
    wrong.p++;
    CHECK_FAILS(SPX_EINVAL,
                spx_conv2d_forward(s, &wrong, ref, &o.in, o.w, NULL, y, o.y_stride, NULL));
    CHECK_FAILS(SPX_EINVAL,
                spx_conv2d_forward(s, &o.d, ref, &o.in, NULL, NULL, y, o.y_stride, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward(s, &o.d, ref, &o.in, o.w, NULL, y, 7, NULL));
    CHECK_FAILS(SPX_EINVAL,
                spx_conv2d_backward_data(s, &o.d, ref, o.y, o.y_stride, o.w, false, y, 7, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_backward_weights(s, &o.d, ref, &o.in, o.y, o.y_stride, false,
                                                        NULL, NULL, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward(s, &o.d, SPX_CONV2D_ALGO_COUNT, &o.in, o.w, NULL, y,
                                               o.y_stride, NULL));
    o.in.invstd = NULL;
    CHECK_FAILS(SPX_EINVAL,
                spx_conv2d_forward(s, &o.d, ref, &o.in, o.w, NULL, y, o.y_stride, NULL));
    assert_false(spx_conv2d_supports(s, &wrong, SPX_CONV2D_FORWARD, ref));
    assert_true(spx_conv2d_supports(s, &o.d, SPX_CONV2D_FORWARD, ref));
    outputs_clear(&t);
    operands_clear(&o);
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_algorithm_agrees_with_the_reference_on_every_case),
        SPX_UNIT(every_algorithm_agrees_with_the_reference_at_the_networks_sizes),
        SPX_UNIT(own_results_do_not_depend_on_threads_or_the_run),
        SPX_UNIT(reference_gradients_are_adjoint_to_its_forward),
        SPX_UNIT(filter_with_a_single_one_moves_the_image),
        SPX_UNIT(input_is_normalised_and_rectified_before_zero_padding),
        SPX_UNIT(impossible_shapes_are_refused),
        SPX_UNIT(bad_operands_are_refused),
    };
    return cmocka_run_group_tests_name("conv2d", tests, NULL, NULL);
}
