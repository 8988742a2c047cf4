/* The max pool against its specification, a reference of its own and values computed by hand: all
 * exact, for values are chosen and added in one order. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/max_pool/max_pool.h"
#include "kernels/nn/max_pool/max_pool_private.h"
#include "tests/nn/network_sizes.h"

static const spx_max_pool_shape cases[] = {
    /* n, c, h, w, size, stride, pad, ceil_mode */
    {2, 3, 32, 32, {3, 3}, {1, 1}, {1, 1}, false, 0, 0},
    {2, 3, 32, 31, {3, 3}, {2, 2}, {1, 1}, false, 0, 0},
    {1, 2, 7, 9, {2, 2}, {2, 2}, {0, 0}, true, 0, 0},
    {3, 1, 9, 7, {3, 2}, {2, 3}, {1, 1}, true, 0, 0},
    {1, 2, 1, 1, {3, 3}, {1, 1}, {1, 1}, false, 0, 0},
    {2, 1, 2, 3, {1, 3}, {1, 2}, {0, 1}, false, 0, 0},
    {2, 2, 8, 8, {5, 4}, {3, 1}, {2, 0}, false, 0, 0},
    {3, 4, 8, 8, {8, 8}, {1, 1}, {0, 0}, false, 0, 0},
    {1, 2, 9, 9, {2, 2}, {4, 5}, {1, 0}, false, 0, 0},
    {1, 1, 3, 300, {3, 7}, {1, 1}, {1, 3}, false, 0, 0},
    {1, 1, 103, 4, {64, 2}, {30, 1}, {32, 1}, true, 0, 0},
    {1, 1, 5, 5, {1, 1}, {1, 1}, {0, 0}, false, 0, 0},
    {1, 1, 2, 2, {3, 3}, {2, 2}, {0, 0}, true, 0, 0}, /* a window larger than its input */
};
#define CASES (sizeof cases / sizeof cases[0])

/* Operands of one shape, on the host and on the device. */
typedef struct problem {
    spx_max_pool_shape d;
    size_t n, c, in, out;
    float *x, *dy, *y, *dx;
    device_tensor tx, tdy, ty, tdx;
} problem;

/* Equal values are common: multiples of a quarter. */
static float *stepped(device_env *e, size_t n)
{
    float *x = pile_normal(&e->p, n, 0, 1);
    for (size_t i = 0; i < n; i++) {
        x[i] = roundf(4 * x[i]) / 4;
    }
    return x;
}

static void place(device_env *e, problem *q, tensor_form fx, tensor_form fy)
{
    q->y = pile_copy(&e->p, q->dy, q->n * q->c * q->out);
    q->dx = pile_copy(&e->p, q->x, q->n * q->c * q->in);
    q->tx = env_tensor(e, q->x, q->c * q->in, q->n, q->c, q->in, fx);
    q->ty = env_tensor(e, q->y, q->c * q->out, q->n, q->c, q->out, fy);
    q->tdy = env_tensor(e, q->dy, q->c * q->out, q->n, q->c, q->out, fy);
    q->tdx = env_tensor(e, q->dx, q->c * q->in, q->n, q->c, q->in, fx);
}

static void problem_init(device_env *e, problem *q, const spx_max_pool_shape *d)
{
    *q = (problem){.d = *d, .n = (size_t)d->n, .c = (size_t)d->c};
    CHECK_OK(spx_max_pool_shape_init(&q->d));
    q->in = (size_t)(q->d.h * q->d.w);
    q->out = (size_t)(q->d.p * q->d.q);
    q->x = stepped(e, q->n * q->c * q->in);
    q->dy = env_normal(e, q->n * q->c * q->out, 0);
}

static void run(device_env *e, problem *q, bool accumulate)
{
    CHECK_OK(spx_max_pool_forward(e->s, &q->d, q->tx.x, q->ty.x));
    CHECK_OK(spx_max_pool_backward(e->s, &q->d, q->tx.x, q->tdy.x, accumulate, q->tdx.x));
    env_read(e, &q->ty, q->y, q->c * q->out);
    env_read(e, &q->tdx, q->dx, q->c * q->in);
}

static spx_operand on_host(float *x, size_t image)
{
    return (spx_operand){x, (int64_t)image, SPX_TYPE_F32};
}

static void check(device_env *e, const spx_max_pool_shape *d, tensor_form fx, tensor_form fy,
                  bool accumulate)
{
    problem q;
    problem_init(e, &q, d);
    place(e, &q, fx, fy);
    const size_t in = q.c * q.in, out = q.c * q.out;
    float *y = pile_copy(&e->p, q.y, q.n * out), *dx = pile_copy(&e->p, q.dx, q.n * in);
    spx_max_pool_args a = {.d = &q.d, .x = on_host(q.x, in), .out = on_host(y, out)};
    run(e, &q, accumulate);
    spx_max_pool_forward_ref(&a);
    CHECK_CLOSE(q.y, y, q.n * out, 0);
    a.dy = on_host(q.dy, out);
    a.out = on_host(dx, in);
    a.accumulate = accumulate;
    spx_max_pool_backward_ref(&a);
    round_to_type(e->type, dx, q.n * in);
    CHECK_CLOSE(q.dx, dx, q.n * in, 0);
    env_clear(e);
}

static void cases_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 4 * CASES; i++) { /* channels that fill vectors, too */
        spx_max_pool_shape d = cases[i / 4];
        d.c = i % 4 == 3 ? 8 : i % 4 == 2 ? 12 : d.c;
        if (e->cuda || i % 4 < 2) {
            check(e, &d, (tensor_form)(i % FORMS), (tensor_form)(i / 4 % FORMS), i % 2 == 1);
        }
    }
    for (size_t i = 0; i < NETWORK_SIZES; i++) {
        const network_size *k = &network_sizes[i];
        const spx_max_pool_shape d = {2,      k->c,   k->side, k->side, {3, 3},
                                      {2, 2}, {1, 1}, false,   0,       0};
        check(e, &d, FORM_DENSE, FORM_DENSE, i % 2 == 0);
    }
}

SPX_TEST(both_passes_equal_the_formula_however_operands_lie)
{
    SPX_UNUSED;
    on_each(cases_body, NULL);
}

/* ---- a reference of its own: a plane with its padding, as PyTorch's documentation has it ---- */

enum { PLANE = 32 };

/* The windows along an axis, as PyTorch's documentation says: with ceil_mode the division is
 * rounded up, but the last window has to begin inside the input or the padding before it. */
static int64_t windows_of(int64_t in, int64_t size, int64_t stride, int64_t pad, bool ceil_mode)
{
    const double steps = (double)(in + 2 * pad - size) / (double)stride;
    int64_t out = (int64_t)(ceil_mode ? ceil(steps) : floor(steps)) + 1;
    if (ceil_mode && (out - 1) * stride >= in + pad) {
        out--;
    }
    return out;
}

/* y and dx of one plane x, windows row by row over the plane padded with minus infinity. */
static void golden(const spx_max_pool_shape *d, const float *x, const float *dy, float *y,
                   float *dx)
{
    static float padded[PLANE][PLANE];
    for (int64_t i = 0; i < PLANE * PLANE; i++) {
        const int64_t r = i / PLANE - d->pad[0], c = i % PLANE - d->pad[1];
        const bool inside = r >= 0 && r < d->h && c >= 0 && c < d->w;
        padded[i / PLANE][i % PLANE] = inside ? x[r * d->w + c] : -INFINITY;
    }
    for (int64_t i = 0; i < d->h * d->w; i++) {
        dx[i] = 0;
    }
    for (int64_t o = 0; o < d->p * d->q; o++) {
        const int64_t top = o / d->q * d->stride[0], left = o % d->q * d->stride[1];
        int64_t row = -1, column = -1;
        for (int64_t i = top; i < top + d->size[0] && i < d->h + d->pad[0]; i++) {
            for (int64_t j = left; j < left + d->size[1] && j < d->w + d->pad[1]; j++) {
                const bool real = i >= d->pad[0] && j >= d->pad[1];
                if (real && (row < 0 || padded[i][j] > padded[row][column])) {
                    row = i;
                    column = j;
                }
            }
        }
        y[o] = padded[row][column];
        dx[(row - d->pad[0]) * d->w + column - d->pad[1]] += dy[o];
    }
}

static void check_golden(device_env *e, const spx_max_pool_shape *d)
{
    float y[PLANE * PLANE], dx[PLANE * PLANE];
    problem q;
    problem_init(e, &q, d);
    assert_int_equal(q.d.p, windows_of(d->h, d->size[0], d->stride[0], d->pad[0], d->ceil_mode));
    assert_int_equal(q.d.q, windows_of(d->w, d->size[1], d->stride[1], d->pad[1], d->ceil_mode));
    for (size_t i = 0; i < q.out; i++) { /* sums of whole numbers are exact in any type */
        q.dy[i] = (float)(i % 5) - 2;
    }
    place(e, &q, FORM_DENSE, FORM_DENSE);
    run(e, &q, false);
    golden(&q.d, q.x, q.dy, y, dx);
    CHECK_CLOSE(q.y, y, q.out, 0);
    CHECK_CLOSE(q.dx, dx, q.in, 0);
    env_clear(e);
}

/* Each axis of its own: rows and columns take their numbers from different digits of i. */
static void golden_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (int64_t i = 0; i < 600; i++) {
        const int64_t size[2] = {1 + i % 4, 1 + i / 2 % 5};
        const spx_max_pool_shape d = {1,
                                      1,
                                      1 + i / 3 % 9,
                                      1 + i / 5 % 10,
                                      {size[0], size[1]},
                                      {1 + i / 7 % 3, 1 + i / 11 % 4},
                                      {i / 13 % (size[0] / 2 + 1), i / 17 % (size[1] / 2 + 1)},
                                      i / 19 % 2 == 1,
                                      0,
                                      0};
        if (windows_of(d.h, size[0], d.stride[0], d.pad[0], d.ceil_mode) >= 1 &&
            windows_of(d.w, size[1], d.stride[1], d.pad[1], d.ceil_mode) >= 1) {
            check_golden(e, &d);
        }
    }
}

SPX_TEST(windows_strides_padding_and_ceil_mode_mean_what_pytorch_says)
{
    SPX_UNUSED;
    on_few(golden_body, NULL);
}

/* ---- values by hand ---- */

#define NONE -INFINITY

typedef struct by_hand {
    spx_max_pool_shape d; /* of one plane of 3 x 3 */
    float x[9], y[9], dx[9];
    int outputs; /* dy is 1, 2, 3 ... */
} by_hand;

#define SHAPE(size, stride, pad, ceil_mode)                                                        \
    {                                                                                              \
        1, 1, 3, 3, {size, size}, {stride, stride}, {pad, pad}, ceil_mode, 0, 0                    \
    }

static const by_hand hands[] = {
    {SHAPE(2, 2, 0, false), {1, 2, 3, 4, 5, 6, 7, 8, 9}, {5}, {0, 0, 0, 0, 1}, 1},
    {SHAPE(2, 2, 0, true),
     {1, 2, 3, 4, 5, 6, 7, 8, 9},
     {5, 6, 8, 9},
     {0, 0, 0, 0, 1, 2, 0, 3, 4},
     4},
    /* equal: the first */
    {SHAPE(2, 1, 0, false), {0}, {0, 0, 0, 0}, {1, 2, 0, 3, 4, 0, 0, 0, 0}, 4},
    /* padding is no zero */
    {SHAPE(3, 2, 1, false),
     {-5, -5, -5, -5, -5, -5, -5, -5, -4},
     {-5, -5, -5, -4},
     {1, 2, 0, 3, 0, 0, 0, 0, 4},
     4},
    /* minus infinity everywhere is a value, too */
    {SHAPE(3, 2, 1, false),
     {NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE},
     {NONE, NONE, NONE, NONE},
     {1, 2, 0, 3, 4, 0, 0, 0, 0},
     4},
    /* a NaN is the largest, the last of several */
    {SHAPE(2, 1, 0, false),
     {1, NAN, 3, 4, 5, 6, 7, 8, 9},
     {NAN, NAN, 8, 9},
     {0, 3, 0, 0, 0, 0, 0, 3, 4},
     4},
    {SHAPE(3, 1, 0, false), {1, NAN, 3, NAN, 5, 6, 7, 8, 9}, {NAN}, {0, 0, 0, 1, 0, 0, 0, 0, 0}, 1},
};

static bool same(float a, float b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void hands_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < sizeof hands / sizeof hands[0]; i++) {
        const by_hand *h = &hands[i];
        problem q;
        problem_init(e, &q, &h->d);
        assert_int_equal(q.out, h->outputs);
        memcpy(q.x, h->x, sizeof h->x);
        for (int k = 0; k < h->outputs; k++) {
            q.dy[k] = (float)(k + 1);
        }
        place(e, &q, FORM_ODD, FORM_SLICE);
        run(e, &q, false);
        for (int k = 0; k < h->outputs; k++) {
            if (!same(q.y[k], h->y[k])) {
                fail_msg("hand %zu: y[%d] is %g", i, k, (double)q.y[k]);
            }
        }
        for (int k = 0; k < 9; k++) {
            if (q.dx[k] != h->dx[k]) {
                fail_msg("hand %zu: dx[%d] is %g", i, k, (double)q.dx[k]);
            }
        }
        env_clear(e);
    }
}

SPX_TEST(ties_padding_infinities_and_nans_are_as_computed_by_hand)
{
    SPX_UNUSED;
    on_each(hands_body, NULL);
}

/* ---- differences ---- */

/* sum of dy * pool(x + h * direction) */
static double moved(device_env *e, problem *q, const float *x, const float *direction, float h)
{
    double sum = 0;
    for (size_t i = 0; i < q->n * q->c * q->in; i++) {
        q->x[i] = x[i] + h * direction[i];
    }
    place(e, q, FORM_DENSE, FORM_DENSE);
    run(e, q, false);
    for (size_t i = 0; i < q->n * q->c * q->out; i++) {
        sum += (double)q->dy[i] * (double)q->y[i];
    }
    return sum;
}

/* Values are different whole numbers and steps a quarter, so that no maximum moves: then the pool
 * is linear, and all numbers are exact. */
static void differences_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < CASES && e->type == SPX_TYPE_F32; i++) {
        problem q;
        problem_init(e, &q, &cases[i]);
        const size_t all = q.n * q.c * q.in;
        float *x = pile_bytes(&e->p, all * sizeof *x), *direction = pile_bytes(&e->p, all * 4);
        double product = 0, slope;
        for (size_t k = 0; k < all; k++) {
            x[k] = (float)(k * 7919 % 65537); /* a prime: no two are equal */
            direction[k] = (float)(k * 31 % 3) - 1;
        }
        for (size_t k = 0; k < q.n * q.c * q.out; k++) {
            q.dy[k] = (float)(k % 7) - 3;
        }
        slope = moved(e, &q, x, direction, 0.25f) - moved(e, &q, x, direction, -0.25f);
        (void)moved(e, &q, x, direction, 0);
        for (size_t k = 0; k < all; k++) {
            product += (double)q.dx[k] * (double)direction[k];
        }
        assert_true(slope == product / 2);
        env_clear(e);
    }
}

SPX_TEST(gradient_equals_finite_differences)
{
    SPX_UNUSED;
    on_each(differences_body, NULL);
}

/* ---- what is refused ---- */

static void bad_body(device_env *e, void *ctx)
{
    const float x[16] = {0};
    const device_tensor t = env_tensor(e, x, 16, 1, 1, 16, FORM_DENSE);
    const spx_operand none = {NULL, 16, e->type}, narrow = {t.x.data, 0, e->type};
    spx_max_pool_shape d = {1, 1, 4, 4, {3, 3}, {1, 1}, {1, 1}, false, 0, 0};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_max_pool_forward(e->s, NULL, t.x, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_max_pool_forward(e->s, &d, t.x, t.x)); /* not initialised */
    CHECK_OK(spx_max_pool_shape_init(&d));
    CHECK_FAILS(SPX_EINVAL, spx_max_pool_forward(e->s, &d, none, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_max_pool_forward(e->s, &d, t.x, narrow));
    CHECK_FAILS(SPX_EINVAL, spx_max_pool_backward(e->s, &d, none, t.x, false, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_max_pool_backward(e->s, &d, t.x, none, false, t.x));
    CHECK_FAILS(SPX_EINVAL, spx_max_pool_backward(e->s, &d, t.x, t.x, false, narrow));
}

SPX_TEST(bad_operands_are_refused)
{
    SPX_UNUSED;
    on_each(bad_body, NULL);
}

SPX_TEST(bad_shapes_are_refused)
{
    static const spx_max_pool_shape bad[] = {
        {0, 1, 8, 8, {3, 3}, {1, 1}, {1, 1}, false, 0, 0},
        {1, 1, 8, 8, {0, 3}, {1, 1}, {0, 1}, false, 0, 0},
        {1, 1, 8, 8, {3, 1025}, {1, 1}, {0, 0}, false, 0, 0},
        {1, 1, 8, 8, {3, 3}, {1, 0}, {1, 1}, false, 0, 0},
        {1, 1, 8, 8, {3, 3}, {1, 1}, {2, 1}, false, 0, 0},
        {1, 1, 8, 8, {3, 3}, {1, 1}, {1, -1}, false, 0, 0},
        {1, 1, 4, 8, {5, 5}, {1, 1}, {0, 0}, false, 0, 0},
        {1, 1, 2, 8, {5, 5}, {2, 1}, {0, 0}, true, 0, 0},
        {1, 1, -1, 8, {3, 3}, {1, 1}, {1, 1}, false, 0, 0},
        {INT64_MAX, 3, 8, 8, {3, 3}, {1, 1}, {1, 1}, false, 0, 0},
    };
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        spx_max_pool_shape d = bad[i];
        CHECK_FAILS(SPX_EINVAL, spx_max_pool_shape_init(&d));
    }
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(both_passes_equal_the_formula_however_operands_lie),
        SPX_UNIT(windows_strides_padding_and_ceil_mode_mean_what_pytorch_says),
        SPX_UNIT(ties_padding_infinities_and_nans_are_as_computed_by_hand),
        SPX_UNIT(gradient_equals_finite_differences),
        SPX_UNIT(bad_operands_are_refused),
        SPX_UNIT(bad_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
