/* Convolution modulo 2^l against its definition. Integers: every comparison is exact. */
#include "tests/support/spx_fixture.h"

#include "kernels/base/alloc.h"
#include "kernels/nn/conv2d_ring/conv2d_ring.h"

/* c h w | k p q | size stride dilation pad */
static const spx_conv2d_ring_shape shapes[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0},    {3, 8, 8, 15, 8, 8, 3, 1, 1, 1},
    {5, 7, 9, 17, 7, 9, 5, 1, 2, 4},   {20, 8, 8, 20, 8, 8, 5, 1, 1, 2},
    {6, 8, 8, 33, 4, 4, 3, 2, 1, 1},   {7, 8, 6, 5, 4, 3, 5, 2, 2, 4},
    {4, 6, 6, 10, 3, 3, 1, 2, 1, -1},  {4, 6, 6, 10, 3, 3, 2, 2, 1, 0},
    {80, 1, 1, 100, 1, 1, 1, 1, 1, 0}, {2, 3, 3, 16, 3, 3, 5, 1, 2, 4}, /* taps beyond the map */
    {40, 5, 5, 16, 5, 5, 5, 1, 1, 2},  {3, 9, 9, 4, 3, 3, 3, 4, 1, 1},
    {1, 5, 5, 1, 2, 2, 2, 3, 1, -1},
};

static const spx_ring_range ranges[] = {{8, false}, {1, false},  {16, false}, {15, true},
                                        {22, true}, {37, false}, {38, true},  {52, false},
                                        {58, true}, {63, false}, {64, false}, {64, true}};

static const int32_t sizes[] = {1, 31, 127, 255, 32767, 40000, SPX_CONV2D_RING_MAX_WEIGHT};

static int64_t random_word(spx_rng *r)
{
    const uint64_t high = spx_rng_u32(r);
    return (int64_t)(high << 32 | spx_rng_u32(r));
}

/* An element of the range; one in four is an end of it. An unsigned one has noise
 * above its bits. */
static int64_t element(spx_rng *r, spx_ring_range range)
{
    const int64_t word = random_word(r);
    if (!range.is_signed) {
        return spx_rng_below(r, 4) == 0 ? -(word & 1) : word;
    }
    const int64_t least = INT64_MIN >> (64 - range.bits);
    switch (spx_rng_below(r, 8)) {
    case 0:
        return least;
    case 1:
        return -(least + 1);
    default:
        return word >> (64 - range.bits);
    }
}

static int64_t reduced(int64_t v, spx_ring_range range)
{
    return range.is_signed || range.bits == 64 ? v : v & (int64_t)(((uint64_t)1 << range.bits) - 1);
}

static void check(const spx_conv2d_ring_shape *d, spx_ring_range range, int32_t max, bool extreme,
                  spx_pool *pool)
{
    const size_t nx = (size_t)(d->c * d->h * d->w), ny = (size_t)(d->k * d->p * d->q);
    const size_t nw = (size_t)(d->k * d->c * d->size * d->size);
    pile mine = {.key = 1};
    int64_t *x = pile_bytes(&mine, nx * sizeof *x), *y = pile_bytes(&mine, ny * sizeof *y);
    int64_t *expected = pile_bytes(&mine, ny * sizeof *y);
    int32_t *w = pile_bytes(&mine, nw * sizeof *w);
    void *scratch = NULL;
    spx_conv2d_ring *f;
    spx_rng r;
    spx_rng_init(&r, 5, SPX_RNG_TEST, (uint64_t)max);
    for (size_t i = 0; i < nw; i++) {
        w[i] = extreme ? max : (int32_t)spx_rng_below(&r, 2 * (uint32_t)max + 1) - max;
    }
    for (size_t i = 0; i < nx; i++) {
        x[i] =
            extreme ? (range.is_signed ? INT64_MIN >> (64 - range.bits) : -1) : element(&r, range);
    }
    for (size_t i = 0; i < ny; i++) {
        y[i] = expected[i] = random_word(&r);
    }
    CHECK_OK(spx_conv2d_ring_create(&f, d, w));
    CHECK_OK(spx_alloc(&scratch, spx_conv2d_ring_scratch(f, range)));
    spx_conv2d_ring_run(f, x, range, y, scratch, pool);
    for (size_t i = 0; i < nx; i++) {
        x[i] = reduced(x[i], range);
    }
    spx_conv2d_ring_ref(d, w, x, expected);
    assert_memory_equal(y, expected, ny * sizeof *y);
    spx_free(scratch);
    spx_conv2d_ring_destroy(f);
    pile_clear(&mine);
}

static void check_all(spx_pool *pool)
{
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (size_t g = 0; g < sizeof ranges / sizeof ranges[0]; g++) {
            for (size_t m = 0; m < sizeof sizes / sizeof sizes[0]; m++) {
                check(&shapes[s], ranges[g], sizes[m], false, pool);
                check(&shapes[s], ranges[g], sizes[m], true, pool);
            }
        }
    }
}

SPX_TEST(every_shape_width_and_weight_gives_the_definitions_bits)
{
    SPX_UNUSED;
    for (int isa = 0; isa <= (int)SPX_ISA_AVX2; isa++) {
        assert_int_equal(setenv("SPHYNX_ISA", spx_isa_name((spx_isa)isa), 1), 0);
        if ((int)spx_cpu_isa() == isa) {
            check_all(NULL);
        }
    }
    assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
}

SPX_TEST(threads_change_nothing)
{
    SPX_UNUSED;
    spx_pool *pool;
    CHECK_OK(spx_pool_create(&pool, 3));
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        check(&shapes[s], ranges[5], 127, false, pool);
    }
    spx_pool_destroy(pool);
}

/* By hand: 6 pixels and 16 filters are worked on together, two channels a step, limbs of at most 15
 * bits; 128 is the least power of two above the weights. */
SPX_TEST(loops_turn_as_often_as_counted)
{
    SPX_UNUSED;
    const spx_conv2d_ring_shape d = {5, 8, 8, 20, 8, 8, 3, 1, 1, 1};
    const spx_conv2d_ring_work w = spx_conv2d_ring_count(&d, (spx_ring_range){.bits = 40}, 8);
    const double dots = 2 * 11 * 3; /* blocks of filters, groups of 64 pixels, limbs of 14 bits */
    assert_true(w.steps == dots * 3 * 9);
    assert_true(w.sums == dots); /* 27 steps of at most 2 * 16383 * 128 fit 31 bits */
    assert_true(w.packed == 3 * 6 * 100);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (size_t g = 0; g < sizeof ranges / sizeof *ranges; g++) {
            pile mine = {.key = 1};
            int32_t *ones = pile_bytes(
                &mine, (size_t)(shapes[s].k * shapes[s].c * shapes[s].size * shapes[s].size) *
                           sizeof *ones);
            spx_conv2d_ring *f;
            ones[0] = 127;
            CHECK_OK(spx_conv2d_ring_create(&f, &shapes[s], ones));
            const spx_conv2d_ring_work n = spx_conv2d_ring_count(&shapes[s], ranges[g], 8);
            assert_true(n.packed * sizeof(int16_t) ==
                        (double)spx_conv2d_ring_scratch(f, ranges[g]));
            spx_conv2d_ring_destroy(f);
            pile_clear(&mine);
        }
    }
}

SPX_TEST(bad_shapes_and_weights_are_refused)
{
    SPX_UNUSED;
    spx_conv2d_ring *f;
    const int32_t w[9] = {SPX_CONV2D_RING_MAX_WEIGHT + 1};
    const spx_conv2d_ring_shape good = {1, 4, 4, 1, 4, 4, 3, 1, 1, 1};
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_ring_create(&f, &good, w));
    assert_null(f);
    for (int i = 0; i < 9; i++) {
        spx_conv2d_ring_shape d = good;
        int64_t *field[] = {&d.c, &d.h, &d.w, &d.k, &d.p, &d.q, &d.size, &d.stride, &d.dilation};
        *field[i] = 0;
        CHECK_FAILS(SPX_EINVAL, spx_conv2d_ring_create(&f, &d, w));
        *field[i] = INT64_MAX;
        CHECK_FAILS(SPX_EINVAL, spx_conv2d_ring_create(&f, &d, w));
    }
    spx_conv2d_ring_shape d = good;
    d.pad = INT64_MIN;
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_ring_create(&f, &d, w));
    d = good;
    d.c = d.h = d.w = 65536; /* each in range, together too many */
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_ring_create(&f, &d, w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_shape_width_and_weight_gives_the_definitions_bits),
        SPX_UNIT(threads_change_nothing),
        SPX_UNIT(loops_turn_as_often_as_counted),
        SPX_UNIT(bad_shapes_and_weights_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
