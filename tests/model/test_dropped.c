/* The choice between linear and clamped positions, against all choices there are. */
#include "tests/model/net_fixture.h"

#include "host/model/dropped.h"

#include <math.h>

enum { MAX_SITES = 12 };

/* Nodes that may be either: those that a choice with everything clamped clamps. */
static int find_sites(const spx_fold_input *s, bool *clamp, int *site)
{
    const spx_choose_options all = {.tried = SPX_CHOOSE_TRIES - 1};
    int n = 0;
    CHECK_OK(spx_fold_choose(clamp, NULL, s, &all));
    for (int i = 0; i < s->graph->n_nodes; i++) {
        if (clamp[i] && s->graph->node[i].op == SPX_OP_RELU) {
            assert_true(n < MAX_SITES);
            site[n++] = i;
        }
    }
    return n;
}

/* The least bytes of all choices that read no more bits than that of all clamped, or 37. */
static double least_bytes(spx_fold_input *s, bool *clamp, const int *site, int sites)
{
    const spx_choose_options o = {0};
    spx_choice_estimate e;
    double least = INFINITY, most = 37;
    s->clamp = clamp;
    for (int subset = (1 << sites) - 1; subset >= 0; subset--) {
        memset(clamp, 0, (size_t)s->graph->n_nodes);
        for (int i = 0; i < sites; i++) {
            clamp[site[i]] = (subset >> i & 1) != 0;
        }
        CHECK_OK(spx_fold_estimate(&e, s, &o));
        most = subset == (1 << sites) - 1 ? fmax(most, e.widest) : most;
        least = e.widest <= most ? fmin(least, e.bytes) : least;
    }
    return least;
}

SPX_TEST(the_choice_is_the_cheapest_of_all)
{
    SPX_UNUSED;
    static const char *const masks[] = {"n", "c", "an", "anc", "nca", "cna", "nnc", "acn", "e"};
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        const spx_final_config c = {.batch = 1,
                                    .input = {3, 8, 8},
                                    .classes = 7,
                                    .init_channels = 3 + (int64_t)i % 3,
                                    .masked = true};
        const spx_choose_options o = {0};
        spx_choice_estimate e;
        int site[MAX_SITES];
        pile mine = {.key = 1};
        net_fixture n;
        net_open_residual(&n, &c, i + 1);
        net_mask(&n, masks[i]);
        spx_fold_input s = net_source(&n);
        bool *clamp = pile_bytes(&mine, (size_t)s.graph->n_nodes),
             *chosen = pile_bytes(&mine, (size_t)s.graph->n_nodes);
        const int sites = find_sites(&s, clamp, site);
        CHECK_OK(spx_fold_choose(chosen, NULL, &s, &o));
        s.clamp = chosen;
        CHECK_OK(spx_fold_estimate(&e, &s, &o));
        const double least = least_bytes(&s, clamp, site, sites);
        assert_true(sites == 0 ? masks[i][0] == 'e' : e.bytes == least);
        net_close(&n);
        pile_clear(&mine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_choice_is_the_cheapest_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
