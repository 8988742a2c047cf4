/* What a teacher adds to the loss, against the specification in double and finite differences. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/distill/distill.h"
#include "kernels/nn/distill/distill_private.h"

/* ---- distillation ---- */

typedef struct logits_case {
    size_t n, classes;
    float temperature, spread;
} logits_case;

static const logits_case cases[] = {
    {1, 1, 4, 1},    {1, 2, 1, 1},     {7, 10, 4, 3},    {64, 100, 4, 5},
    {33, 10, 20, 5}, {3, 257, 0.5, 3}, {4, 10, 2, 1e4f},
};
#define CASES (sizeof cases / sizeof cases[0])

/* Logits, a teacher's, and both on the device. */
typedef struct problem {
    size_t all;
    spx_distillation_args host;
    float *x, *t, *dev_x, *dev_t;
} problem;

static void logits_init(device_env *e, problem *q, const logits_case *k)
{
    q->all = k->n * k->classes;
    q->x = pile_normal(&e->p, q->all, 0, k->spread);
    q->t = pile_normal(&e->p, q->all, 1, k->spread);
    q->dev_x = env_floats(e, q->x, q->all);
    q->dev_t = env_floats(e, q->t, q->all);
    q->host = (spx_distillation_args){.n = (int64_t)k->n,
                                      .classes = (int64_t)k->classes,
                                      .logits = q->x,
                                      .target = q->t,
                                      .temperature = k->temperature,
                                      .weight = 1};
}

static float distillation(device_env *e, const problem *q, const float *target)
{
    const float zero = 0;
    float loss, *out = env_floats(e, &zero, 1);
    const spx_distillation_args *a = &q->host;
    CHECK_OK(
        spx_distillation_forward(e->s, a->n, a->classes, q->dev_x, target, a->temperature, out));
    env_fetch(e, &loss, out, sizeof loss);
    return loss;
}

/* The gradient, added to old where that is not NULL. */
static float *distillation_bwd(device_env *e, const problem *q, float weight, const float *old)
{
    float *dx = pile_bytes(&e->p, q->all * sizeof *dx);
    float *out = env_floats(e, old != NULL ? old : dx, q->all);
    const spx_distillation_args *a = &q->host;
    CHECK_OK(spx_distillation_backward(e->s, a->n, a->classes, q->dev_x, q->dev_t, a->temperature,
                                       weight, old != NULL, out));
    env_fetch(e, dx, out, q->all * sizeof *dx);
    return dx;
}

/*
 * The exponent z = (x - max)/T is a rounded difference times a rounded 1/T: 3 u of |z|, and only z
 * within 20 of 0 count; expf is off by 1 ulp = 2 u on the CPU, 2 ulp = 4 u on CUDA: 64 u. A lane of
 * CUDA adds up to classes/32 of them in f32.
 */
static double exponential(const device_env *e, const problem *q)
{
    return (64 + (e->cuda ? (double)q->host.classes / 32 + 1 : 0)) * SPX_U;
}

/* What a row's KL is off by: of p, and of both logarithms; p weighs differences of at most
 * `largest`, the rest is in double. */
static double divergence(const device_env *e, const problem *q, double largest)
{
    return exponential(e, q) * (2 + 2 * largest);
}

static double largest_of(const problem *q)
{
    double largest = 0;
    for (size_t i = 0; i < q->all; i++) {
        largest = fmax(largest, fmax(fabs((double)q->x[i]), fabs((double)q->t[i])));
    }
    return 4 * largest / (double)q->host.temperature; /* of a difference of two differences */
}

static void distillation_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < CASES; i++) {
        problem q;
        logits_init(e, &q, &cases[i]);
        spx_distillation_args *a = &q.host;
        const double t = (double)a->temperature;
        const double want = spx_distillation_forward_ref(a);
        const float loss = distillation(e, &q, q.dev_t);
        const double bound = t * t * divergence(e, &q, largest_of(&q)) + SPX_U * fabs(want);
        assert_true(loss == distillation(e, &q, q.dev_t));
        assert_true(fabs((double)loss - want) <= bound);
        assert_true(fabs((double)distillation(e, &q, q.dev_x)) <= bound); /* beside itself */
        const float *old = pile_normal(&e->p, q.all, 0, 1);
        for (int add = 0; add < 2; add++) {
            const float *dx = distillation_bwd(e, &q, 0.4f, add ? old : NULL);
            a->out = pile_copy(&e->p, old, q.all);
            a->weight = 0.4f;
            a->accumulate = add;
            spx_distillation_backward_ref(a);
            const double unit = 0.4 * t / (double)a->n; /* of a probability, of two beside 1 */
            for (size_t k = 0; k < q.all; k++) {
                assert_true(fabs((double)dx[k] - (double)a->out[k]) <=
                            unit * (4 * exponential(e, &q) + 8 * SPX_U) +
                                2 * SPX_U * (fabs((double)old[k]) + unit));
            }
        }
        env_clear(e);
    }
}

SPX_TEST(distillation_and_its_gradient_equal_the_formula)
{
    SPX_UNUSED;
    on_each(distillation_body, NULL);
}

/* Worked by hand: two classes at odds of 3 to 1 and 1 to 1. KL(p || q) = 3/4 ln(3/2) + 1/4 ln(1/2)
 * check-figure: round(0.75 * log(1.5) + 0.25 * log(0.5), 12) == 0.130812035941
 * and q - p = (-1/4, 1/4). The logits are T times the logarithms of the odds. */
static void by_hand_body(device_env *e, void *ctx)
{
    const float t = 4, three = 4 * 1.0986122886681098f;
    const float x[2] = {5, 5}, target[2] = {three, 0};
    float loss, dx[2], *out = env_floats(e, x, 2);
    const float *logits = env_floats(e, x, 2), *teacher = env_floats(e, target, 2);
    (void)ctx;
    CHECK_OK(spx_distillation_forward(e->s, 1, 2, logits, teacher, t, out));
    env_fetch(e, &loss, out, sizeof loss);
    assert_true(fabs((double)loss - 16 * 0.13081203594113697) <= 16 * 64 * SPX_U);
    CHECK_OK(spx_distillation_backward(e->s, 1, 2, logits, teacher, t, 0.5f, false, out));
    env_fetch(e, dx, out, sizeof dx);
    assert_true(fabs((double)dx[0] + 0.5) <= 128 * SPX_U); /* weight * T * 1/4 */
    assert_true(fabs((double)dx[1] - 0.5) <= 128 * SPX_U);
}

SPX_TEST(distillation_of_two_classes_is_what_one_computes_by_hand)
{
    SPX_UNUSED;
    on_few(by_hand_body, NULL);
}

static void distillation_slope_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < CASES && cases[i].spread <= 5; i++) {
        const float h = 0x1p-12f; /* truncation h^2; the reference is in double, its input in f32 */
        double product = 0, size = 0, side[2];
        problem q;
        logits_init(e, &q, &cases[i]);
        const float *dx = distillation_bwd(e, &q, 1, NULL);
        float *moved = pile_bytes(&e->p, q.all * sizeof *moved);
        float *step = pile_bytes(&e->p, q.all * sizeof *step);
        for (int k = 0; k < 2; k++) {
            q.host.logits = moved;
            for (size_t j = 0; j < q.all; j++) {
                const float d = j % 3 == 0 ? 1.0f : -0.5f;
                moved[j] = q.x[j] + (k == 0 ? h : -h) * d;
                step[j] = k == 0 ? moved[j] : step[j] - moved[j]; /* what was really taken */
            }
            side[k] = spx_distillation_forward_ref(&q.host);
        }
        for (size_t j = 0; j < q.all; j++) {
            product += (double)dx[j] * (double)step[j];
            size += fabs((double)dx[j] * (double)step[j]);
        }
        const double unit = (double)q.host.temperature * 4 * exponential(e, &q);
        assert_true(fabs(side[0] - side[1] - product) <=
                    2 * (double)h * unit * (double)q.host.classes + 1e-6 * size + 1e-12);
        env_clear(e);
    }
}

SPX_TEST(distillations_gradient_equals_finite_differences)
{
    SPX_UNUSED;
    on_few(distillation_slope_body, NULL);
}

/* ---- attention maps ---- */

typedef struct map_case {
    size_t n, c, hw;
} map_case;

static const map_case maps[] = {{1, 1, 1}, {3, 5, 7},    {2, 20, 64}, {2, 8, 300},
                                {1, 3, 3}, {1, 320, 33}, {4, 1, 100}};
#define MAPS (sizeof maps / sizeof maps[0])

static void check_map(device_env *e, const map_case *k, tensor_form fx, tensor_form fd, bool add)
{
    const size_t chw = k->c * k->hw, all = k->n * chw, pixels = k->n * k->hw;
    const int64_t n = (int64_t)k->n, c = (int64_t)k->c, hw = (int64_t)k->hw;
    float *x = env_normal(e, all, 0.5f), *old = env_normal(e, all, 0);
    memset(x + (k->n - 1) * chw, 0, k->n > 2 ? chw * sizeof *x : 0); /* an image that is off */
    const float *dmap = pile_normal(&e->p, pixels, 0, 1);
    float *map = pile_bytes(&e->p, pixels * sizeof *map),
          *got = pile_bytes(&e->p, all * sizeof *got);
    float *inverse = pile_bytes(&e->p, k->n * sizeof *inverse);
    const device_tensor tx = env_tensor(e, x, chw, k->n, k->c, k->hw, fx);
    const device_tensor tdx = env_tensor(e, old, chw, k->n, k->c, k->hw, fd);
    float *dev_map = env_floats(e, dmap, pixels), *dev_inverse = env_floats(e, dmap, k->n);
    const float *dev_dmap = env_floats(e, dmap, pixels);
    spx_attention_args a = {.n = n,
                            .c = c,
                            .hw = hw,
                            .x = {x, (int64_t)chw, SPX_TYPE_F32},
                            .map = pile_bytes(&e->p, pixels * sizeof *map),
                            .inverse = pile_bytes(&e->p, k->n * sizeof *inverse),
                            .dmap = dmap,
                            .accumulate = add,
                            .dx = {pile_copy(&e->p, old, all), (int64_t)chw, SPX_TYPE_F32}};
    CHECK_OK(spx_attention_map_forward(e->s, n, c, hw, tx.x, dev_map, dev_inverse));
    CHECK_OK(spx_attention_map_backward(e->s, n, c, hw, tx.x, dev_map, dev_inverse, dev_dmap, add,
                                        tdx.x));
    env_queue_fetch(e, map, dev_map, pixels * sizeof *map);
    env_queue_fetch(e, inverse, dev_inverse, k->n * sizeof *inverse);
    env_read(e, &tdx, got, chw);
    spx_attention_map_forward_ref(&a);
    /* c rounded squares, added in f32: c + 1 u of each pixel and of the norm, which is rounded */
    const double off = (2 * (double)k->c + 4) * SPX_U;
    for (size_t i = 0; i < pixels; i++) {
        assert_true(fabs((double)map[i] - (double)a.map[i]) <= off * (double)a.map[i]);
    }
    for (size_t i = 0; i < k->n; i++) {
        assert_true(fabs((double)inverse[i] - (double)a.inverse[i]) <= off * (double)a.inverse[i]);
    }
    spx_attention_map_backward_ref(&a);
    for (size_t i = 0; i < all; i++) {
        const size_t image = i / chw, at = image * k->hw + i % k->hw;
        const double twice = 2 * fabs((double)x[i]) * (double)a.inverse[image];
        double largest = fabs((double)dmap[at]); /* of the two that are subtracted; |map . dmap| is
                                                    at most |dmap| */
        double norm = 0;
        for (size_t j = 0; j < k->hw; j++) {
            norm += (double)dmap[image * k->hw + j] * (double)dmap[image * k->hw + j];
        }
        largest += (double)a.map[at] * sqrt(norm);
        const double want = (double)((float *)a.dx.data)[i];
        const double bound =
            twice * largest * (4 * off + 6 * SPX_U) + 2 * SPX_U * (add ? fabs((double)old[i]) : 0);
        assert_true(fabs((double)got[i] - want) <= env_stored(e, bound, want) + 1e-37);
    }
    env_clear(e);
}

static void maps_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < MAPS * FORMS; i++) {
        const int form = (int)(i % FORMS);
        check_map(e, &maps[i / FORMS], (tensor_form)form,
                  (tensor_form)((form + (int)(i / FORMS)) % FORMS), i % 2 == 1);
    }
}

SPX_TEST(maps_and_their_gradients_equal_the_formula_however_operands_lie)
{
    SPX_UNUSED;
    on_each(maps_body, NULL);
}

/* Worked by hand: one channel of (1, 2), squares (1, 4), norm sqrt(17). */
static void map_by_hand_body(device_env *e, void *ctx)
{
    const float x[2] = {1, -2}, dmap[2] = {1, 0}, root = 4.123105625617661f;
    const float want[2] = {1 / root, 4 / root};
    const device_tensor t = env_tensor(e, x, 2, 1, 1, 2, FORM_DENSE);
    const device_tensor d = env_tensor(e, x, 2, 1, 1, 2, FORM_DENSE);
    float map[2], dx[2], *dev_map = env_floats(e, x, 2), *inverse = env_floats(e, x, 1);
    (void)ctx;
    CHECK_OK(spx_attention_map_forward(e->s, 1, 1, 2, t.x, dev_map, inverse));
    env_fetch(e, map, dev_map, sizeof map);
    CHECK_CLOSE(map, want, 2, 1e-6);
    CHECK_OK(spx_attention_map_backward(e->s, 1, 1, 2, t.x, dev_map, inverse,
                                        env_floats(e, dmap, 2), false, d.x));
    env_read(e, &d, dx, 2);
    /* d(1/sqrt(1 + x^4/..)): 2*x/root * (dmap - map * map[0]) = 2/root * 16/17, 4/root * 4/17 */
    const float slope[2] = {2 / root * 16 / 17, 4 / root * 4 / 17};
    CHECK_CLOSE(dx, slope, 2, 1e-6 + 2 * env_rounding(e));
}

SPX_TEST(a_map_of_two_pixels_is_what_one_computes_by_hand)
{
    SPX_UNUSED;
    on_few(map_by_hand_body, NULL);
}

static void nan_body(device_env *e, void *ctx)
{
    const float fine[4] = {1, 2, 3, 4}, nan[4] = {1, NAN, 2, 3}, huge[4] = {1, INFINITY, 2, 3};
    const float *bad[2] = {nan, huge};
    (void)ctx;
    for (int k = 0; k < 2; k++) {
        const device_tensor t = env_tensor(e, bad[k], 4, 1, 1, 4, FORM_DENSE);
        float map[4], loss, *dev_map = env_floats(e, fine, 4), *out = env_floats(e, fine, 1);
        const float *logits = env_floats(e, bad[k], 4), *target = env_floats(e, fine, 4);
        CHECK_OK(spx_attention_map_forward(e->s, 1, 1, 4, t.x, dev_map, out));
        env_fetch(e, map, dev_map, sizeof map);
        assert_true(isnan(map[1]));
        CHECK_OK(spx_distillation_forward(e->s, 1, 4, logits, target, 4, out));
        env_fetch(e, &loss, out, sizeof loss);
        assert_true(isnan(loss));
        CHECK_OK(spx_distillation_forward(e->s, 1, 4, target, logits, 4, out));
        env_fetch(e, &loss, out, sizeof loss);
        assert_true(isnan(loss));
    }
}

SPX_TEST(what_is_not_finite_shows) /* or divergence would hide */
{
    SPX_UNUSED;
    on_few(nan_body, NULL);
}

/* ---- squared differences ---- */

static void difference_body(device_env *e, void *ctx)
{
    static const size_t counts[] = {1, 31, 1024, 1025, 70001};
    (void)ctx;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const size_t count = counts[i];
        const int64_t n = (int64_t)count;
        const float *x = pile_normal(&e->p, count, 0, 1), *y = pile_normal(&e->p, count, 0, 1);
        const float *old = pile_normal(&e->p, count, 0, 1);
        const float *dev_x = env_floats(e, x, count), *dev_y = env_floats(e, y, count);
        for (int add = 0; add < 2; add++) {
            float *got = pile_bytes(&e->p, count * sizeof *got);
            float loss, *out = env_floats(e, old, count), *dev_loss = env_floats(e, old, 1);
            spx_difference_args a = {.count = n,
                                     .x = x,
                                     .y = y,
                                     .weight = 0.7f,
                                     .accumulate = add,
                                     .out = pile_copy(&e->p, old, count)};
            CHECK_OK(spx_squared_difference_forward(e->s, n, dev_x, dev_y, add, dev_loss));
            CHECK_OK(spx_squared_difference_backward(e->s, n, dev_x, dev_y, 0.7f, add, out));
            env_queue_fetch(e, &loss, dev_loss, sizeof loss);
            env_fetch(e, got, out, count * sizeof *got);
            const double want = spx_squared_difference_forward_ref(&a);
            assert_true(fabs((double)loss - want) <= 2 * SPX_U * fabs(want));
            spx_squared_difference_backward_ref(&a);
            for (size_t k = 0; k < count; k++) { /* a difference, a factor, a product, a sum */
                const double term = 1.4 / (double)count * fabs((double)x[k] - (double)y[k]);
                assert_true(fabs((double)got[k] - (double)a.out[k]) <=
                            SPX_U * (4 * term + (add ? 2 * fabs((double)old[k]) : 0)));
            }
        }
        env_clear(e);
    }
}

SPX_TEST(squared_differences_equal_the_formula)
{
    SPX_UNUSED;
    on_each(difference_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    const float x[4] = {0};
    const device_tensor t = env_tensor(e, x, 4, 1, 4, 1, FORM_DENSE);
    const spx_operand narrow = {t.x.data, 3, t.x.type}, none = {NULL, 4, t.x.type};
    float *f = env_bytes(e, 64);
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_distillation_forward(e->s, 0, 2, f, f, 4, f));
    CHECK_FAILS(SPX_EINVAL, spx_distillation_forward(e->s, 2, 2, f, NULL, 4, f));
    CHECK_FAILS(SPX_EINVAL, spx_distillation_forward(e->s, 2, 2, f, f, 0, f));
    CHECK_FAILS(SPX_EINVAL, spx_distillation_forward(e->s, 2, 2, f, f, -1, f));
    CHECK_FAILS(SPX_EINVAL, spx_distillation_forward(e->s, 2, 2, f, f, NAN, f));
    CHECK_FAILS(SPX_EINVAL, spx_distillation_forward(e->s, 2, 2, f, f, INFINITY, f));
    CHECK_FAILS(SPX_EINVAL, spx_distillation_backward(e->s, 2, 2, NULL, f, 4, 1, false, f));
    CHECK_FAILS(SPX_EINVAL, spx_distillation_backward(e->s, 2, 2, f, f, 4, 1, false, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_attention_map_forward(e->s, 0, 4, 1, t.x, f, f));
    CHECK_FAILS(SPX_EINVAL, spx_attention_map_forward(e->s, 1, 4, 1, narrow, f, f));
    CHECK_FAILS(SPX_EINVAL, spx_attention_map_forward(e->s, 1, 4, 1, t.x, NULL, f));
    CHECK_FAILS(SPX_EINVAL, spx_attention_map_forward(e->s, 1, 4, 1, t.x, f, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_attention_map_backward(e->s, 1, 4, 1, t.x, f, f, f, false, none));
    CHECK_FAILS(SPX_EINVAL, spx_attention_map_backward(e->s, 1, 4, 1, t.x, f, f, NULL, false, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_squared_difference_forward(e->s, 0, f, f, false, f));
    CHECK_FAILS(SPX_EINVAL, spx_squared_difference_forward(e->s, 4, f, NULL, false, f));
    CHECK_FAILS(SPX_EINVAL, spx_squared_difference_backward(e->s, 4, NULL, f, 1, false, f));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    on_few(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(distillation_and_its_gradient_equal_the_formula),
        SPX_UNIT(distillation_of_two_classes_is_what_one_computes_by_hand),
        SPX_UNIT(distillations_gradient_equals_finite_differences),
        SPX_UNIT(maps_and_their_gradients_equal_the_formula_however_operands_lie),
        SPX_UNIT(a_map_of_two_pixels_is_what_one_computes_by_hand),
        SPX_UNIT(what_is_not_finite_shows),
        SPX_UNIT(squared_differences_equal_the_formula),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
