/* The CPU's reference convolution against truths. */
#include "tests/nn/conv2d_check.h"

static spx_conv2d_plan *reference_plan(spx_stream *s, const spx_conv2d_want *want)
{
    spx_conv2d_plan *p;
    CHECK_OK(spx_conv2d_plan_create(&p, s, want, NULL));
    assert_string_equal(spx_conv2d_plan_choice(p), "reference");
    return p;
}

static spx_stream *open_one(void)
{
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, 1));
    return s;
}

static double product(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static double length(const float *a, size_t n)
{
    return sqrt(product(a, a, n));
}

static void run_reference(spx_stream *s, const operands *o, spx_conv2d_pass pass, result *r)
{
    spx_conv2d_want want = want_of(s, o, pass);
    want.reference = true;
    spx_conv2d_plan *p = reference_plan(s, &want);
    run(s, p, o, pass, r);
    spx_conv2d_plan_destroy(p);
}

/*
 * The convolution is linear in x and in w, so <y, dy> = <dx, x> = <dw, w>. The reference sums in
 * double and rounds each result once, by at most U of itself: |error of <a, b>| <= U * |a| * |b|.
 */
SPX_TEST(reference_gradients_are_adjoint_to_its_forward)
{
    SPX_UNUSED;
    spx_stream *s = open_one();
    for (size_t i = 0; i < CONV2D_CASES; i++) {
        operands o;
        result y, dx, dw;
        operands_init(&o, s, &conv2d_cases[i], &variants[0]);
        run_reference(s, &o, SPX_CONV2D_FORWARD, &y);
        run_reference(s, &o, SPX_CONV2D_BACKWARD_DATA, &dx);
        run_reference(s, &o, SPX_CONV2D_BACKWARD_WEIGHTS, &dw);
        const double by_y = product(y.main, o.y, o.y_size), by_x = product(dx.main, o.x, o.x_size),
                     by_w = product(dw.main, o.w, o.w_size);
        const double y_bound = U_F32 * length(y.main, o.y_size) * length(o.y, o.y_size),
                     x_bound = U_F32 * length(dx.main, o.x_size) * length(o.x, o.x_size),
                     w_bound = U_F32 * length(dw.main, o.w_size) * length(o.w, o.w_size);
        assert_true(fabs(by_y - by_x) <= y_bound + x_bound);
        assert_true(fabs(by_y - by_w) <= y_bound + w_bound);
        result_clear(&y);
        result_clear(&dx);
        result_clear(&dw);
        operands_clear(&o);
    }
    spx_stream_destroy(s);
}

/* Where weight i of a grouped convolution stands among those of a dense one. */
static size_t dense_place(const spx_conv2d_shape *d, size_t i)
{
    const size_t taps = (size_t)(d->r * d->s), each = (size_t)(d->c / d->groups);
    const size_t k = i / taps / each, c = k / (size_t)(d->k / d->groups) * each + i / taps % each;
    return (k * (size_t)d->c + c) * taps + i % taps;
}

/* Terms of zeros between them leave sums in double as they are: exact. */
SPX_TEST(groups_are_a_dense_convolution_with_zeros_between_them)
{
    SPX_UNUSED;
    spx_stream *s = open_one();
    int grouped = 0;
    for (size_t i = 0; i < CONV2D_CASES * SPX_CONV2D_PASS_COUNT; i++) {
        const spx_conv2d_shape *shape = &conv2d_cases[i / SPX_CONV2D_PASS_COUNT];
        const spx_conv2d_pass pass = (spx_conv2d_pass)(i % SPX_CONV2D_PASS_COUNT);
        spx_conv2d_shape all = *shape;
        operands o, dense;
        result a, b;
        if (shape->groups <= 1) {
            continue;
        }
        all.groups = 0;
        operands_init(&o, s, shape, &variants[0]);
        operands_init(&dense, s, &all, &variants[0]);
        memset(dense.w, 0, dense.w_size * sizeof *dense.w);
        for (size_t j = 0; j < o.w_size; j++) {
            dense.w[dense_place(&o.d, j)] = o.w[j];
        }
        run_reference(s, &o, pass, &a);
        run_reference(s, &dense, pass, &b);
        for (size_t j = 0; j < a.size; j++) {
            const bool weights = pass == SPX_CONV2D_BACKWARD_WEIGHTS;
            assert_true(a.main[j] == b.main[weights ? dense_place(&o.d, j) : j]);
        }
        grouped++;
        result_clear(&a);
        result_clear(&b);
        operands_clear(&o);
        operands_clear(&dense);
    }
    assert_true(grouped >= 3 * 5);
    spx_stream_destroy(s);
}

/* y must be x moved by the tap, with zeros where it reaches outside; exact. */
SPX_TEST(filter_with_a_single_one_moves_the_image)
{
    SPX_UNUSED;
    spx_stream *s = open_one();
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
        result y;
        operands_init(&o, s, &shape, &variants[0]);
        for (int i = 0; i < 6; i++) {
            o.w[i] = i == tap ? 1.0F : 0.0F;
        }
        run_reference(s, &o, SPX_CONV2D_FORWARD, &y);
        assert_int_equal(o.d.p, 2); /* (9 + 2 - 1 - 6 - 1) / 2 + 1 */
        assert_int_equal(o.d.q, 4); /* (10 + 2 - 1 - 3 - 1) / 2 + 1 */
        for (int64_t i = 0; i < 8; i++) {
            const int64_t row = i / 4 * 2 + tap / 2 * 3 - 2, col = i % 4 * 2 + tap % 2 * 3 - 2;
            const bool in = row >= 0 && row < 9 && col >= 0 && col < 10;
            assert_true(y.main[i] == (in ? o.x[row * 10 + col] : 0.0F));
        }
        result_clear(&y);
        operands_clear(&o);
    }
    spx_stream_destroy(s);
}

/* max(0, 2 * (x - 1) * 0.5 + 0.25) of 0.5, 3, -4 is 0, 2.25, 0; the padding stays 0, bias comes
 * last. */
SPX_TEST(input_is_normalised_and_rectified_before_zero_padding)
{
    SPX_UNUSED;
    spx_stream *s = open_one();
    spx_conv2d_want want = {.shape = {.n = 1,
                                      .c = 1,
                                      .h = 1,
                                      .w = 3,
                                      .k = 1,
                                      .r = 1,
                                      .s = 1,
                                      .stride = 1,
                                      .dilation = 1,
                                      .pad_begin = 1,
                                      .pad_end = 1},
                            .bias = true,
                            .fused = true,
                            .reference = true,
                            .x_stride = 3,
                            .y_stride = 15};
    float x[] = {0.5F, 3, -4}, y[15];
    const float mean = 1, invstd = 0.5F, gamma = 2, beta = 0.25F, w = 1, bias = 10;
    const spx_conv2d_input in = {{x, 3, SPX_TYPE_F32}, &mean, &invstd, &gamma, &beta, true};
    CHECK_OK(spx_conv2d_shape_init(&want.shape));
    spx_conv2d_plan *p = reference_plan(s, &want);
    CHECK_OK(spx_conv2d_forward(p, s, &in, &w, &bias, (spx_operand){y, 15, SPX_TYPE_F32}, NULL));
    for (int i = 0; i < 15; i++) {
        assert_true(y[i] == (i == 7 ? 12.25F : 10.0F));
    }
    spx_conv2d_plan_destroy(p);
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        SPX_UNIT(reference_gradients_are_adjoint_to_its_forward),
        SPX_UNIT(groups_are_a_dense_convolution_with_zeros_between_them),
        SPX_UNIT(filter_with_a_single_one_moves_the_image),
        SPX_UNIT(input_is_normalised_and_rectified_before_zero_padding),
    };
    return cmocka_run_group_tests_name("conv2d, reference", all, NULL, NULL);
}
