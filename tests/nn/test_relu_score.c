/* relu_score against the formulas in double. */
#include "tests/support/spx_devices.h"

#include "kernels/nn/relu_score/relu_score.h"
#include "kernels/nn/relu_score/relu_score_private.h"

typedef struct sizes {
    size_t n, c, hw;
} sizes;

/* Around a part of the CPU's and a block of CUDA's; one image, many, channels alone. */
static const sizes cases[] = {{1, 1, 1},   {2, 3, 7},  {5, 1, 1023}, {3, 4, 256},
                              {2, 257, 4}, {7, 5, 49}, {3, 1025, 1}, {64, 8, 16}};
#define CASES (sizeof cases / sizeof cases[0])

static float *floats(device_env *e, size_t n)
{
    return pile_bytes(&e->p, n * sizeof(float));
}

/* Sums of k products that are not negative, in f32 in any order. */
static void check_sums(const float *got, const float *want, size_t n, double k)
{
    for (size_t i = 0; i < n; i++) {
        assert_true(fabs((double)got[i] - (double)want[i]) <= (k + 2) * SPX_U * (double)want[i]);
    }
}

static void score_body(device_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < CASES * FORMS; i++) {
        const sizes *k = &cases[i / FORMS];
        const size_t chw = k->c * k->hw, all = k->n * chw;
        const int64_t n = (int64_t)k->n, c = (int64_t)k->c, hw = (int64_t)k->hw;
        float *x = env_normal(e, all, 0), *g = env_normal(e, all, 0);
        const device_tensor tx = env_tensor(e, x, chw, k->n, k->c, k->hw, (tensor_form)(i % FORMS));
        const device_tensor tg =
            env_tensor(e, g, chw, k->n, k->c, k->hw, (tensor_form)((i + 1) % FORMS));
        float *map = env_scratch(e, SPX_SCORE_MAPS * chw * sizeof *map);
        float *square = env_scratch(e, k->n * sizeof *square);
        float *got = floats(e, SPX_SCORE_MAPS * chw), *got_square = floats(e, k->n);
        const spx_score_args a = {.n = n,
                                  .c = c,
                                  .hw = hw,
                                  .x = {x, (int64_t)chw, SPX_TYPE_F32},
                                  .g = {g, (int64_t)chw, SPX_TYPE_F32},
                                  .map = floats(e, SPX_SCORE_MAPS * chw),
                                  .square = floats(e, k->n)};
        CHECK_OK(spx_relu_score(e->s, n, c, hw, tx.x, tg.x, map, square));
        env_fetch(e, got, map, SPX_SCORE_MAPS * chw * sizeof *got);
        env_fetch(e, got_square, square, k->n * sizeof *got);
        spx_relu_score_ref(&a);
        check_sums(got, a.map, SPX_SCORE_MAPS * chw, (double)k->n);
        check_sums(got_square, a.square, k->n, (double)SPX_SCORE_PART);
        env_clear(e);
    }
}

SPX_TEST(maps_and_squares_of_a_batch_equal_the_formula_however_operands_lie)
{
    SPX_UNUSED;
    on_each(score_body, NULL);
}

/* Batches added to a network of layers, and the same by the formula. */
enum { LAYERS = 3, IMAGES = 6, POSITIONS = 300, BATCHES = 13 };

typedef struct sums {
    float *map[LAYERS][3], *table, *seen;
} sums;

static void sums_init(device_env *e, sums *on_device, sums *on_host)
{
    const float zero[SPX_SCORE_ROWS * LAYERS] = {0};
    for (int l = 0; l < LAYERS; l++) {
        for (int k = 0; k < 3; k++) {
            on_host->map[l][k] = floats(e, POSITIONS);
            memset(on_host->map[l][k], 0, POSITIONS * sizeof(float));
            on_device->map[l][k] = env_floats(e, on_host->map[l][k], POSITIONS);
        }
    }
    on_host->table = pile_copy(&e->p, zero, SPX_SCORE_ROWS * LAYERS);
    on_host->seen = pile_copy(&e->p, zero, 1);
    on_device->table = env_floats(e, zero, SPX_SCORE_ROWS * LAYERS);
    on_device->seen = env_floats(e, zero, 1);
}

static void add_batch(device_env *e, const sums *on_device, const sums *on_host)
{
    const spx_score_maps none = {0};
    for (int l = 0; l < LAYERS; l++) {
        float *map = pile_normal(&e->p, SPX_SCORE_MAPS * POSITIONS, 0, (float)(l + 1));
        float *square = pile_normal(&e->p, IMAGES, 0, (float)(l + 1));
        for (int i = 0; i < SPX_SCORE_MAPS * POSITIONS; i++) {
            map[i] =
                i / POSITIONS == SPX_SCORE_NEGATIVE ? (float)(i % (IMAGES + 1)) : fabsf(map[i]);
        }
        for (int i = 0; i < IMAGES; i++) {
            square[i] = fabsf(square[i]);
        }
        const spx_score_maps m = {on_device->map[l][0], on_device->map[l][1], on_device->map[l][2]};
        spx_score_add_args a = {IMAGES, POSITIONS,      map,           square, l,
                                LAYERS, on_host->table, on_host->seen, none};
        a.out = (spx_score_maps){on_host->map[l][0], on_host->map[l][1], on_host->map[l][2]};
        spx_relu_score_add_ref(&a);
        CHECK_OK(spx_relu_score_add(
            e->s, IMAGES, POSITIONS, env_floats(e, map, SPX_SCORE_MAPS * POSITIONS),
            env_floats(e, square, IMAGES), l, LAYERS, on_device->table, on_device->seen, &m));
    }
    CHECK_OK(spx_relu_score_weigh(e->s, LAYERS, on_device->table, on_device->seen));
    spx_relu_score_weigh_ref(LAYERS, on_host->table, on_host->seen);
}

/* A batch is a dozen roundings of sums of what is not negative; averages forget them as they forget
 * batches. A weight is a difference of strengths over the largest one. */
static void add_body(device_env *e, void *ctx)
{
    const double unit = 64 * SPX_U;
    float got[POSITIONS];
    sums on_device, on_host;
    (void)ctx;
    sums_init(e, &on_device, &on_host);
    for (int b = 0; b < BATCHES; b++) {
        add_batch(e, &on_device, &on_host);
    }
    for (int l = 0; l < LAYERS; l++) {
        for (int k = 0; k < 3; k++) {
            env_fetch(e, got, on_device.map[l][k], sizeof got);
            for (int i = 0; i < POSITIONS; i++) {
                const double want = (double)on_host.map[l][k][i];
                assert_true(fabs((double)got[i] - want) <= 8 * unit * fmax(want, 1));
            }
        }
    }
    env_fetch(e, got, on_device.table, SPX_SCORE_ROWS * LAYERS * sizeof *got);
    for (int i = 0; i < SPX_SCORE_ROWS * LAYERS; i++) {
        assert_true(fabs((double)got[i] - (double)on_host.table[i]) <=
                    unit * fmax((double)on_host.table[i], 1));
    }
    env_fetch(e, got, on_device.seen, sizeof *got);
    assert_true(got[0] == BATCHES);
    env_clear(e);
}

SPX_TEST(batches_add_up_as_the_formula_has_it)
{
    SPX_UNUSED;
    on_each(add_body, NULL);
}

static void equal_body(device_env *e, void *ctx)
{
    const float table[6] = {2, 2, 0, 0, 7, 7}; /* the second layer stands 1.2 times as deep */
    float got[6], one = 1;
    float *t = env_floats(e, table, 6), *seen = env_floats(e, &one, 1);
    (void)ctx;
    CHECK_OK(spx_relu_score_weigh(e->s, 2, t, seen));
    env_fetch(e, got, t, sizeof got);
    assert_true(fabsf(got[4] - 0.1f) < 1e-6f && fabsf(got[5] - 1.1f) < 1e-6f);
    CHECK_OK(spx_relu_score_weigh(e->s, 1, t, seen));
    env_fetch(e, got, t, sizeof got);
    assert_true(got[2] == 1); /* none is larger than another */
}

SPX_TEST(weights_go_from_a_tenth_to_that_and_one_and_are_one_where_all_are_alike)
{
    SPX_UNUSED;
    on_few(equal_body, NULL);
}

static void bad_body(device_env *e, void *ctx)
{
    const float x[4] = {0};
    const device_tensor t = env_tensor(e, x, 4, 1, 4, 1, FORM_DENSE);
    const spx_operand none = {NULL, 4, t.x.type}, narrow = {t.x.data, 3, t.x.type};
    float *f = env_scratch(e, 64);
    const spx_score_maps m = {f, f, f}, no = {f, NULL, f};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_relu_score(e->s, 0, 4, 1, t.x, t.x, f, f));
    CHECK_FAILS(SPX_EINVAL, spx_relu_score(e->s, 1, 4, 1, none, t.x, f, f));
    CHECK_FAILS(SPX_EINVAL, spx_relu_score(e->s, 1, 4, 1, t.x, narrow, f, f));
    CHECK_FAILS(SPX_EINVAL, spx_relu_score(e->s, 1, 4, 1, t.x, t.x, NULL, f));
    CHECK_FAILS(SPX_EINVAL, spx_relu_score_add(e->s, 1, 4, f, f, 2, 2, f, f, &m));
    CHECK_FAILS(SPX_EINVAL, spx_relu_score_add(e->s, 1, 4, f, f, 0, 2, f, f, &no));
    CHECK_FAILS(SPX_EINVAL, spx_relu_score_weigh(e->s, 0, f, f));
    CHECK_FAILS(SPX_EINVAL, spx_relu_score_weigh(e->s, 2, NULL, f));
}

SPX_TEST(bad_operands_are_refused)
{
    SPX_UNUSED;
    on_few(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(maps_and_squares_of_a_batch_equal_the_formula_however_operands_lie),
        SPX_UNIT(batches_add_up_as_the_formula_has_it),
        SPX_UNIT(weights_go_from_a_tenth_to_that_and_one_and_are_one_where_all_are_alike),
        SPX_UNIT(bad_operands_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
