/* Muon against its formula in double, and that against another program's numbers. */
#include "tests/support/spx_devices.h"

#include "kernels/optim/muon.h"

#include <stdlib.h>

/* A step by hand (Python, lists of floats), momentum 0.5, clip 0.5, lr 0.25. */
SPX_TEST(the_reference_gives_what_another_program_gives_for_a_matrix_and_its_transpose)
{
    static const float w[6] = {0.5f, -1, 2, 1.5f, 0.25f, -0.75f},
                       g[6] = {1, 2, -0.5f, 0.25f, -1.5f, 3};
    static const float buf[6] = {0.5f, 0, 1, -1, 2, 0.25f};
    static const float moved[6] = {0.75f, 1, 0.25f, -0.375f, 0.25f, 1.625f};
    static const float wide[6] = {0.14644908f, -0.66610350f, 0.98792629f,
                                  0.74325316f, 0.17386777f,  -0.60092315f};
    static const float high[6] = {0.20220142f, 0.91051018f,  -0.77760819f,
                                  0.20174394f, 1.210935650f, -0.68455166f};
    const spx_muon_matrix m = {.rows = 2, .columns = 3}, t = {.rows = 3, .columns = 2};
    float w2[6], g2[6], buf2[6], moved2[6], w1[6], buf1[6];
    SPX_UNUSED;
    for (int i = 0; i < 6; i++) {
        const int at = i % 3 * 2 + i / 3;
        w1[i] = w[i];
        buf1[i] = buf[i];
        w2[at] = w[i];
        g2[at] = g[i];
        buf2[at] = buf[i];
        moved2[at] = moved[i];
    }
    CHECK_OK(spx_muon_ref(&m, 0.25, 0.5, 0.5, g, buf1, w1));
    CHECK_CLOSE(buf1, moved, 6, 0); /* binary fractions */
    CHECK_CLOSE(w1, wide, 6, 1e-7); /* of so many digits, and one rounding */
    CHECK_OK(spx_muon_ref(&t, 0.25, 0.5, 0.5, g2, buf2, w2));
    CHECK_CLOSE(buf2, moved2, 6, 0);
    CHECK_CLOSE(w2, high, 6, 1e-7);
}

enum { MATRICES = 8, GAP = 5 };
static const int size[MATRICES][2] = {{1, 1},   {1, 9},   {5, 25},   {20, 45},
                                      {45, 20}, {65, 70}, {70, 130}, {3, 6000}};
#define LR 0.5f
#define MOMENTUM 0.6f
#define CLIP 0.5f

/* The arrays of a network on the host. */
typedef struct net {
    spx_muon_matrix matrix[MATRICES];
    size_t floats;
    float *g, *buf, *w;
} net;

static void make_net(device_env *e, net *n)
{
    n->floats = GAP;
    for (int i = 0; i < MATRICES; i++) {
        n->matrix[i] =
            (spx_muon_matrix){.offset = n->floats, .rows = size[i][0], .columns = size[i][1]};
        n->floats += (size_t)(size[i][0] * size[i][1]) + GAP;
    }
    n->g = pile_normal(&e->p, n->floats, 0, 1);
    n->buf = pile_normal(&e->p, n->floats, 0, 1);
    n->w = pile_normal(&e->p, n->floats, 0, 1);
}

static float *copy_of(device_env *e, const float *x, size_t n)
{
    float *c = pile_bytes(&e->p, n * sizeof *c);
    memcpy(c, x, n * sizeof *c);
    return c;
}

static void step(device_env *e, const net *n, int32_t ok, float *buf, float *w)
{
    const spx_guard guard = {.clip = CLIP, .ok = ok};
    const float rate = LR / 2;
    const float *g_dev = env_floats(e, n->g, n->floats);
    float *buf_dev = env_floats(e, n->buf, n->floats), *w_dev = env_floats(e, n->w, n->floats);
    spx_muon *m;
    CHECK_OK(spx_muon_create(&m, e->s, n->matrix, MATRICES));
    CHECK_OK(spx_muon_step(m, env_floats(e, &rate, 1), 2, MOMENTUM,
                           env_copy(e, &guard, sizeof guard), g_dev, buf_dev, w_dev));
    env_queue_fetch(e, buf, buf_dev, n->floats * sizeof *buf);
    env_fetch(e, w, w_dev, n->floats * sizeof *w);
    spx_muon_destroy(m);
}

/*
 * Roundings taken as independent, in Frobenius norms. X X' of r rows is off by sqrt(r c) units
 * relative to itself. A step's map of singular values has slopes of -1.6 to 3.9 where they lie,
 * below 1.2, so what three steps add grows by at most 1 + 4 + 16; each adds three such errors.
 */
static double tolerance(const spx_muon_matrix *m)
{
    return 3 * 21 * sqrt((double)m->rows * m->columns) * SPX_U;
}

static void step_body(device_env *e, void *ctx)
{
    net n;
    (void)ctx;
    make_net(e, &n);
    float *buf = copy_of(e, n.buf, n.floats), *w = copy_of(e, n.w, n.floats);
    float *buf2 = copy_of(e, n.buf, n.floats), *w2 = copy_of(e, n.w, n.floats);
    step(e, &n, 1, buf, w);
    for (int i = 0; i < MATRICES; i++) {
        const spx_muon_matrix *m = &n.matrix[i];
        const size_t floats = (size_t)(m->rows * m->columns);
        CHECK_OK(spx_muon_ref(m, (double)LR, (double)MOMENTUM, (double)CLIP, n.g, buf2, w2));
        CHECK_CLOSE(buf + m->offset, buf2 + m->offset, floats, 4 * SPX_U);
        CHECK_CLOSE(w + m->offset, w2 + m->offset, floats, tolerance(m));
    }
    for (int i = 0; i <= MATRICES; i++) { /* what lies between them */
        const size_t at = i < MATRICES ? n.matrix[i].offset - GAP : n.floats - GAP;
        assert_memory_equal(buf + at, n.buf + at, GAP * sizeof *buf);
        assert_memory_equal(w + at, n.w + at, GAP * sizeof *w);
    }
}

SPX_TEST(a_step_is_the_references_for_every_shape_and_leaves_what_lies_between)
{
    SPX_UNUSED;
    on_each(step_body, NULL);
}

static void shut_body(device_env *e, void *ctx)
{
    net n;
    (void)ctx;
    make_net(e, &n);
    float *buf = copy_of(e, n.buf, n.floats), *w = copy_of(e, n.w, n.floats);
    step(e, &n, 0, buf, w);
    assert_memory_equal(buf, n.buf, n.floats * sizeof *buf);
    assert_memory_equal(w, n.w, n.floats * sizeof *w);
}

SPX_TEST(behind_a_shut_guard_nothing_changes)
{
    SPX_UNUSED;
    on_few(shut_body, NULL);
}

static void threads_body(device_env *e, void *ctx)
{
    float **first = ctx;
    net n;
    make_net(e, &n);
    float *buf = copy_of(e, n.buf, n.floats), *w = copy_of(e, n.w, n.floats);
    step(e, &n, 1, buf, w);
    if (*first == NULL) {
        *first = malloc(n.floats * sizeof **first);
        assert_non_null(*first);
        memcpy(*first, w, n.floats * sizeof *w);
    }
    assert_memory_equal(w, *first, n.floats * sizeof *w);
}

SPX_TEST(the_bits_do_not_depend_on_the_threads)
{
    float *first = NULL;
    SPX_UNUSED;
    for (int threads = 1; threads <= 5 && env_device == SPX_DEVICE_CPU; threads += 2) {
        const spx_stream_options o = {.device = SPX_DEVICE_CPU, .threads = threads};
        run_body(&o, threads_body, &first);
    }
    free(first);
}

static void bad_body(device_env *e, void *ctx)
{
    static const spx_muon_matrix empty = {.rows = 0, .columns = 3};
    const spx_guard guard = {.clip = 1, .ok = 1};
    float *x = env_floats(e, &(float){0}, 1);
    spx_guard *g = env_copy(e, &guard, sizeof guard);
    spx_muon *m;
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_muon_create(&m, e->s, &empty, 1));
    CHECK_OK(spx_muon_create(&m, e->s, NULL, 0));
    CHECK_OK(spx_muon_step(m, x, 1, 0.5f, g, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_muon_step(m, NULL, 1, 0.5f, g, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_muon_step(m, x, 1, 0.5f, NULL, x, x, x));
    CHECK_FAILS(SPX_EINVAL, spx_muon_step(m, x, 1, 0.5f, g, NULL, x, x));
    spx_muon_destroy(m);
    spx_muon_destroy(NULL);
}

SPX_TEST(bad_arguments_are_refused_and_no_matrices_are_no_work)
{
    SPX_UNUSED;
    on_few(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_reference_gives_what_another_program_gives_for_a_matrix_and_its_transpose),
        SPX_UNIT(a_step_is_the_references_for_every_shape_and_leaves_what_lies_between),
        SPX_UNIT(behind_a_shut_guard_nothing_changes),
        SPX_UNIT(the_bits_do_not_depend_on_the_threads),
        SPX_UNIT(bad_arguments_are_refused_and_no_matrices_are_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(all_tests);
}
