/*
 * Reductions that end in their own launch (tickets and fences between blocks) on all lanes at once,
 * again and again: every result must have the bits of the first. No tool looks at that:
 * compute-sanitizer's racecheck sees shared memory only. SPX_STRESS says how many of each there
 * are; a GPU makes 100,000 in seconds.
 */
#include "tests/support/spx_devices.h"

#include "kernels/nn/norm_sum/norm_sum.h"
#include "tests/nn/norm_sum_problem.h"

#include <stdlib.h>

enum { C = 16, FIELDS = 7, RING = 32 }; /* results that a lane leaves before they are read */

static const norm_case sizes[] = {
    {64, C, 64, 1, 0, true, {BN | AFFINE | COEF}},  /* few rows a block */
    {8, C, 1024, 1, 0, true, {BN | AFFINE | COEF}}, /* many */
};

static long launches(void)
{
    const char *text = getenv("SPX_STRESS");
    const long n = text != NULL ? strtol(text, NULL, 10) : 0;
    return n > 0 ? n : spx_test_whole_tables() ? 16 : SPX_LANES_MAX;
}

typedef struct stress {
    problem q;
    spx_norm_term term;
    device_tensor y, dy;
    int lanes;
    float *result;                                      /* [lanes][RING][FIELDS][C] on the device */
    void *reduce[SPX_LANES_MAX], *stats[SPX_LANES_MAX]; /* scratch */
} stress;

static void stress_init(device_env *e, stress *t, const norm_case *k)
{
    problem *q = &t->q;
    problem_init(q, k, 0.5f);
    const spx_norm_term *from = &q->term[0];
    const float *const operands[] = {from->x.data, q->y, q->dy};
    device_tensor made[3];
    for (int i = 0; i < 3; i++) {
        float *x = pile_copy(&q->p, operands[i], q->all);
        round_to_type(e->type, x, q->all);
        made[i] = env_tensor(e, x, q->stride, k->n, k->c, k->hw, FORM_DENSE);
    }
    t->y = made[1];
    t->dy = made[2];
    t->term = (spx_norm_term){.x = made[0].x,
                              .mean = env_floats(e, from->mean, C),
                              .invstd = env_floats(e, from->invstd, C),
                              .gamma = env_floats(e, from->gamma, C),
                              .beta = env_floats(e, from->beta, C),
                              .coef = env_floats(e, from->coef, 1)};
    t->lanes = spx_stream_lanes(e->s);
    t->result = env_bytes(e, sizeof(float) * (size_t)t->lanes * RING * FIELDS * C);
    for (int lane = 0; lane < t->lanes; lane++) {
        t->reduce[lane] = env_bytes(e, spx_norm_sum_reduce_workspace(e->s, &q->d, 1));
        t->stats[lane] = env_bytes(e, spx_bn_stats_workspace(e->s, &q->d));
    }
    CHECK_OK(spx_stream_sync(e->s)); /* lanes do not wait for the uploads */
}

/* Both reductions on a lane, into its slot. */
static void queue(device_env *e, stress *t, int lane, int slot)
{
    float *out = t->result + ((size_t)lane * RING + (size_t)slot) * FIELDS * C;
    const spx_norm_grad g = {.sum_dy = out,
                             .sum_dy_xhat = out + C,
                             .dgamma = out + 2 * C,
                             .dbeta = out + 3 * C,
                             .dcoef = out + 4 * C};
    spx_stream_set_lane(e->s, lane);
    CHECK_OK(spx_norm_sum_backward_reduce(e->s, &t->q.d, 1, &t->term, t->q.relu, t->y.x, t->dy.x,
                                          &g, t->reduce[lane]));
    CHECK_OK(spx_bn_stats(e->s, &t->q.d, t->term.x, out + 5 * C, out + 6 * C, 0, NULL, NULL,
                          t->stats[lane]));
    spx_stream_set_lane(e->s, 0);
}

static void stress_body(device_env *e, void *ctx)
{
    static stress t;
    static float first[FIELDS * C];
    stress_init(e, &t, ctx);
    const size_t slots = (size_t)t.lanes * RING;
    float *got = pile_bytes(&e->p, slots * sizeof first);
    queue(e, &t, 0, 0);
    CHECK_OK(spx_stream_sync(e->s));
    env_fetch(e, first, t.result, sizeof first);
    assert_true(first[0] != 0 && first[5 * C] != 0);
    for (long left = launches(), done; left > 0; left -= done) {
        CHECK_OK(spx_device_zero(e->s, t.result, slots * sizeof first));
        CHECK_OK(spx_stream_sync(e->s));
        for (done = 0; done < left && done < (long)slots; done++) {
            queue(e, &t, (int)(done % t.lanes), (int)(done / t.lanes));
        }
        CHECK_OK(spx_stream_sync(e->s));
        CHECK_OK(spx_download(e->s, got, t.result, slots * sizeof first));
        CHECK_OK(spx_stream_sync(e->s));
        for (long i = 0; i < done; i++) {
            const size_t at = (size_t)(i % t.lanes * RING + i / t.lanes) * FIELDS * C;
            for (size_t j = 0; j < (size_t)FIELDS * C; j++) {
                if (memcmp(&got[at + j], &first[j], sizeof(float)) != 0 &&
                    (j <= 4 * C || j >= 5 * C)) {
                    fail_msg("%ld before the end, lane %ld: value %zu is %a, at first %a", left - i,
                             i % t.lanes, j, (double)got[at + j], (double)first[j]);
                }
            }
        }
    }
    env_clear(e);
    pile_clear(&t.q.p);
}

SPX_TEST(reductions_on_all_lanes_at_once_have_the_bits_of_one_alone)
{
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        norm_case k = sizes[i];
        on_each(stress_body, &k);
    }
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(reductions_on_all_lanes_at_once_have_the_bits_of_one_alone),
    };
    return cmocka_run_group_tests_name("reduction_stress_cuda", tests, NULL, NULL);
}

int main(void)
{
    return spx_run_cuda(all_tests);
}
