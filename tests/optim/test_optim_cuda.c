/* The updates on CUDA against the CPU's, which test_optim holds against the textbook. */
#include "tests/support/spx_fixture.h"

#include "kernels/device/device_memory.h"
#include "kernels/optim/optim.h"

enum { MOST = 300007, ARRAYS = 4 };

/* One arena of each kind on both devices, the same numbers in them. */
typedef struct sides {
    pile p;
    spx_stream *stream[2];   /* CPU, CUDA */
    float *block[2][ARRAYS]; /* allocations; one float longer, to misalign */
    float *x[2][ARRAYS];
    spx_scalars *scalars[2];
    spx_guard *guard[2];
    double *norm[2];
    void *space[2];
    float *back;
} sides;

static void *memory(spx_stream *s, size_t bytes)
{
    void *p;
    CHECK_OK(spx_device_alloc(s, &p, bytes));
    return p;
}

static void open_sides(sides *t)
{
    const spx_scalars v = {.adam_t = 3, .lr = 0.1f, .xi = 0.025f, .ema = 0.9f};
    memset(t, 0, sizeof *t);
    assert_int_equal(setenv("SPHYNX_ISA", spx_isa_name((spx_isa)0), 1), 0); /* no fused adds */
    CHECK_OK(spx_stream_create(&t->stream[0], SPX_DEVICE_CPU, 2));
    CHECK_OK(spx_stream_create(&t->stream[1], SPX_DEVICE_CUDA, 1));
    for (int d = 0; d < 2; d++) {
        spx_stream *s = t->stream[d];
        for (int i = 0; i < ARRAYS; i++) {
            t->block[d][i] = memory(s, (MOST + 1) * sizeof(float));
        }
        t->scalars[d] = memory(s, sizeof v);
        t->guard[d] = memory(s, sizeof(spx_guard));
        t->norm[d] = memory(s, sizeof(double));
        t->space[d] = memory(s, spx_norm2_workspace(s, MOST));
        CHECK_OK(spx_device_zero(s, t->space[d], spx_norm2_workspace(s, MOST)));
        CHECK_OK(spx_upload(s, t->scalars[d], &v, sizeof v));
    }
    t->back = pile_bytes(&t->p, (MOST + 1) * sizeof(float));
}

static void close_sides(sides *t)
{
    for (int d = 0; d < 2; d++) {
        spx_stream *s = t->stream[d];
        for (int i = 0; i < ARRAYS; i++) {
            spx_device_free(s, t->block[d][i]);
        }
        spx_device_free(s, t->scalars[d]);
        spx_device_free(s, t->guard[d]);
        spx_device_free(s, t->norm[d]);
        spx_device_free(s, t->space[d]);
        spx_stream_destroy(s);
    }
    pile_clear(&t->p);
    assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
}

/* New numbers everywhere, off floats behind the blocks' starts; the last array is not below 0. */
static void fill(sides *t, int32_t ok, size_t off)
{
    const spx_guard guard = {.clip = 0.5f, .ok = ok};
    for (int i = 0; i < ARRAYS; i++) {
        float *x = pile_normal(&t->p, MOST + 1, 0, 1);
        for (size_t k = 0; i == ARRAYS - 1 && k <= MOST; k++) {
            x[k] = fabsf(x[k]);
        }
        for (int d = 0; d < 2; d++) {
            CHECK_OK(spx_upload(t->stream[d], t->block[d][i], x, (MOST + 1) * sizeof(float)));
            t->x[d][i] = t->block[d][i] + off;
        }
    }
    for (int d = 0; d < 2; d++) {
        CHECK_OK(spx_upload(t->stream[d], t->guard[d], &guard, sizeof guard));
    }
    while (t->p.count > 1) { /* all but `back`; uploads from plain memory are done */
        free(t->p.block[--t->p.count]);
    }
}

/*
 * The formulas are the same source. Emulated they are the same arithmetic, so bits are equal; a GPU
 * fuses products into sums, which saves at most 8 roundings of numbers of the results' size.
 */
static double tolerance(void)
{
    spx_device_info info;
    CHECK_OK(spx_device_describe(SPX_DEVICE_CUDA, 0, &info));
    return info.driver == 0 ? 0 : 8 * SPX_U;
}

static void compare(sides *t, int array)
{
    CHECK_OK(spx_download(t->stream[1], t->back, t->block[1][array], (MOST + 1) * sizeof(float)));
    CHECK_OK(spx_stream_sync(t->stream[1]));
    CHECK_CLOSE(t->back, t->block[0][array], MOST + 1, tolerance());
}

typedef spx_status (*update_fn)(sides *t, int d, size_t n);

static spx_status sgd(sides *t, int d, size_t n)
{
    float **x = t->x[d];
    return spx_sgd(t->stream[d], n, &t->scalars[d]->lr, 0.9f, 3e-4f, t->guard[d], x[0], x[1], x[2]);
}

static spx_status lookahead(sides *t, int d, size_t n)
{
    float **x = t->x[d];
    return spx_sgd_lookahead(t->stream[d], n, &t->scalars[d]->xi, 0.9f, 3e-4f, x[0], x[1], x[2],
                             x[3]);
}

static spx_status adam(sides *t, int d, size_t n)
{
    float **x = t->x[d];
    return spx_adam(t->stream[d], n, 3e-2f, 0.5f, 0.999f, 1e-3f, &t->scalars[d]->adam_t,
                    t->guard[d], x[0], x[1], x[3], x[2]);
}

static spx_status axpy(sides *t, int d, size_t n)
{
    float **x = t->x[d];
    return spx_axpy(t->stream[d], n, &t->scalars[d]->xi, -1, x[0], x[1], x[1]);
}

static spx_status difference(sides *t, int d, size_t n)
{
    float **x = t->x[d];
    return spx_central_difference(t->stream[d], n, &t->scalars[d]->lr, false, x[0], x[1], x[2]);
}

static spx_status ema(sides *t, int d, size_t n)
{
    float **x = t->x[d];
    return spx_ema(t->stream[d], n, &t->scalars[d]->ema, t->guard[d], x[0], x[1]);
}

static const update_fn updates[] = {sgd, lookahead, adam, axpy, difference, ema};

SPX_TEST(updates_give_what_the_cpu_gives_at_every_length_and_alignment)
{
    static const size_t lengths[] = {0, 1, 3, 4, 5, 1023, 1024, 1025, MOST};
    sides t;
    SPX_UNUSED;
    open_sides(&t);
    for (size_t u = 0; u < sizeof updates / sizeof updates[0]; u++) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            fill(&t, 1, i % 2);
            for (int d = 0; d < 2; d++) {
                CHECK_OK(updates[u](&t, d, lengths[i]));
            }
            for (int array = 0; array < ARRAYS; array++) {
                compare(&t, array);
            }
        }
    }
    close_sides(&t);
}

SPX_TEST(behind_a_shut_guard_nothing_changes)
{
    static const update_fn guarded[] = {sgd, adam, ema};
    sides t;
    SPX_UNUSED;
    open_sides(&t);
    fill(&t, 0, 0);
    for (int u = 0; u < 3; u++) {
        CHECK_OK(guarded[u](&t, 1, MOST));
    }
    for (int array = 0; array < ARRAYS; array++) {
        compare(&t, array); /* the CPU's were not touched at all */
    }
    close_sides(&t);
}

static double norm_of(sides *t, int d, size_t n, const float *x)
{
    double norm;
    CHECK_OK(spx_norm2(t->stream[d], n, x, t->norm[d], t->space[d]));
    CHECK_OK(spx_download(t->stream[d], &norm, t->norm[d], sizeof norm));
    CHECK_OK(spx_stream_sync(t->stream[d]));
    return norm;
}

SPX_TEST(the_norm_is_the_cpus_to_a_few_roundings_of_double_and_repeats)
{
    static const size_t lengths[] = {0, 1, 255, 256, 4096, 4097, MOST};
    sides t;
    SPX_UNUSED;
    open_sides(&t);
    fill(&t, 1, 1);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const size_t n = lengths[i];
        const double want = norm_of(&t, 0, n, t.x[0][0]), got = norm_of(&t, 1, n, t.x[1][0]);
        assert_true(fabs(got - want) <= want * (double)n * 0x1p-53);
        assert_true(norm_of(&t, 1, n, t.x[1][0]) == got);
    }
    close_sides(&t);
}

SPX_TEST(guard_and_step_are_the_cpus)
{
    static const double norms[] = {0, 0.5, 4.9, 50, NAN, INFINITY};
    sides t;
    SPX_UNUSED;
    open_sides(&t);
    for (size_t i = 0; i < sizeof norms / sizeof norms[0]; i++) {
        spx_guard guard[2];
        float eps[2];
        fill(&t, 1, 0);
        for (int d = 0; d < 2; d++) {
            spx_stream *s = t.stream[d];
            CHECK_OK(spx_upload(s, t.norm[d], &norms[i], sizeof norms[i]));
            CHECK_OK(spx_guard_update(s, t.norm[d], &t.scalars[d]->lr, 5, t.guard[d]));
            CHECK_OK(spx_difference_step(s, t.norm[d], t.x[d][0]));
            CHECK_OK(spx_download(s, &guard[d], t.guard[d], sizeof guard[d]));
            CHECK_OK(spx_download(s, &eps[d], t.x[d][0], sizeof eps[d]));
            CHECK_OK(spx_stream_sync(s));
        }
        assert_int_equal(guard[0].ok, guard[1].ok);
        assert_true(guard[0].ok == 0 || guard[0].clip == guard[1].clip);
        assert_true(eps[0] == eps[1]);
    }
    close_sides(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(updates_give_what_the_cpu_gives_at_every_length_and_alignment),
        SPX_UNIT(behind_a_shut_guard_nothing_changes),
        SPX_UNIT(the_norm_is_the_cpus_to_a_few_roundings_of_double_and_repeats),
        SPX_UNIT(guard_and_step_are_the_cpus),
    };
    return spx_device_count(SPX_DEVICE_CUDA) > 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
