/* Networks from the graph to private logits: what public ops save, what masks leave interactive. */
#define _DEFAULT_SOURCE
#include "tests/model/quantise_fixture.h"
#include "tests/secure/pi_fixture.h"

enum { MAX_CLASSES = 16 };

/* One query of m: the integer executor's logits, and the bytes that were known beforehand. */
static void ask_privately(const spx_deploy *m, const uint8_t *image)
{
    const spx_pi_server_options none = {0};
    pi_world w = {.channel.timeout = 20};
    pi_link link;
    spx_pi_client *client;
    spx_pi_cost offline = {0}, online = {0};
    int64_t got[MAX_CLASSES], want[MAX_CLASSES];
    assert_int_equal(spx_scratch_make(&w.scratch), 0);
    w.server_vault = pi_vault(&w, "server");
    spx_vault *vault = pi_vault(&w, "client");
    CHECK_OK(spx_pi_server_create(&w.server, m, w.server_vault, &none));
    pi_dial(&link, &w);
    CHECK_OK(spx_pi_client_open(&client, link.client, vault, NULL));
    CHECK_OK(spx_pi_client_prepare(client, 1, NULL, NULL, NULL, &offline, NULL));
    CHECK_OK(spx_pi_client_infer(client, image, got, NULL, &online, NULL));
    CHECK_OK(spx_deploy_run_integer(m, NULL, 1, image, want));
    assert_memory_equal(got, want, spx_deploy_count(m, m->logits) * sizeof *got);
    const spx_pi_sizes *z = spx_pi_plan_sizes(spx_pi_client_plan(client));
    assert_int_equal(offline.sent, z->batch_to_server + z->offline_to_server);
    assert_int_equal(offline.received, z->batch_to_client + z->offline_to_client);
    assert_int_equal(online.sent, z->online_to_server);
    assert_int_equal(online.received, z->online_to_client);
    spx_pi_client_close(client);
    pi_hang_up(&link);
    assert_int_equal(link.st, SPX_OK);
    spx_vault_close(vault);
    pi_end(&w);
}

static spx_pi_sizes sizes_of(const spx_deploy *m)
{
    spx_pi_plan *p;
    CHECK_OK(spx_pi_plan_create(&p, m));
    const spx_pi_sizes z = *spx_pi_plan_sizes(p);
    spx_pi_plan_destroy(p);
    return z;
}

/* The same model whose additions of activations are secret 1x1 convolutions. */
static spx_deploy *with_secret_copies(made *t)
{
    const spx_deploy *m = t->m;
    spx_deploy_op *op = pile_bytes(&t->pile, (size_t)m->n_ops * sizeof *op);
    spx_deploy *out;
    memcpy(op, m->op, (size_t)m->n_ops * sizeof *op);
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op d = op[i];
        const int64_t in = m->value[d.in < 0 ? 0 : d.in].c, rows = m->value[d.out].c;
        if (d.kind == SPX_DEPLOY_PICK) {
            int32_t *w = pile_bytes(&t->pile, (size_t)(in * rows) * sizeof *w);
            for (int64_t k = 0; k < d.channels; k++) {
                w[(d.out_first + k) * in + d.in_first + k] = (int32_t)1 << d.shift;
            }
            op[i] = (spx_deploy_op){.kind = SPX_DEPLOY_CONV,
                                    .in = d.in,
                                    .out = d.out,
                                    .size = 1,
                                    .stride = 1,
                                    .dilation = 1,
                                    .width = d.shift + 2,
                                    .weights = w};
        }
    }
    const spx_deploy_draft draft = {.value = m->value,
                                    .op = op,
                                    .n_values = m->n_values,
                                    .n_ops = m->n_ops,
                                    .logits = m->logits,
                                    .logit_scale = m->logit_scale};
    CHECK_OK(spx_deploy_create(&out, &draft, NULL));
    return out;
}

SPX_TEST(additions_of_activations_cost_nothing_and_change_nothing)
{
    SPX_UNUSED;
    const spx_quantise_options o = {0};
    spx_final_config c = made_small;
    int64_t free_logits[MADE_BATCH * MAX_CLASSES], secret_logits[MADE_BATCH * MAX_CLASSES];
    made t;
    c.init_channels = 8;
    made_open(&t, NULL, &c, 1, &o);
    spx_deploy *secret = with_secret_copies(&t);
    CHECK_OK(spx_deploy_run_integer(t.m, NULL, MADE_BATCH, t.pixels, free_logits));
    CHECK_OK(spx_deploy_run_integer(secret, NULL, MADE_BATCH, t.pixels, secret_logits));
    const size_t n = MADE_BATCH * (size_t)c.classes;
    assert_memory_equal(free_logits, secret_logits, n * sizeof *free_logits);
    const spx_pi_sizes a = sizes_of(t.m), b = sizes_of(secret);
    assert_true(a.offline_to_server < b.offline_to_server);
    assert_true(a.weight_transforms < b.weight_transforms);
    assert_int_equal(a.online_to_server, b.online_to_server);
    assert_int_equal(a.table_bytes, b.table_bytes);
    ask_privately(t.m, t.pixels);
    spx_deploy_destroy(secret);
    made_drop(&t);
}

/* Whole ReLUs, channels and elements dropped, linear and clamped positions in one network. */
SPX_TEST(masked_networks_are_bit_exact_in_private)
{
    SPX_UNUSED;
    static const char *const masks[] = {"n", "e", "c", "aecn"};
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        const spx_quantise_options o = {0};
        spx_final_config c = made_small;
        made t;
        made_open_masked(&t, NULL, &c, i + 1, &o, masks[i]);
        const spx_pi_sizes z = sizes_of(t.m);
        assert_int_equal(z.relus, t.net.kept);
        assert_int_equal(z.interactive, spx_deploy_interactive(t.m));
        ask_privately(t.m, t.pixels);
        made_drop(&t);
    }
}

/* The residual network has 5,376 ReLUs; what masks drop stays linear where that is cheaper, and is
 * clamped where the ReLUs behind would read too many bits. Either alone costs more. */
SPX_TEST(dropped_channels_are_linear_or_clamped_whichever_is_cheaper)
{
    SPX_UNUSED;
    const spx_quantise_options o = {0};
    spx_final_config c = made_small;
    made t;
    made_open_masked(&t, NULL, &c, 3, &o, "aecn");
    const spx_pi_sizes chosen = sizes_of(t.m);
    assert_true(chosen.interactive > chosen.relus && chosen.interactive < 5376);
    bool *clamp = pile_bytes(&t.pile, (size_t)t.net.net.graph->n_nodes * sizeof *clamp);
    for (int i = 0; i < t.net.net.graph->n_nodes; i++) {
        clamp[i] = t.net.net.graph->node[i].op == SPX_OP_RELU;
    }
    made_deploy(&t, clamp, &o);
    const spx_pi_sizes clamped = sizes_of(t.m);
    assert_int_equal(clamped.relus, chosen.relus);
    assert_int_equal(clamped.interactive, 5376);
    assert_true(chosen.table_bytes + chosen.online_to_server <
                clamped.table_bytes + clamped.online_to_server);
    ask_privately(t.m, t.pixels);
    made_drop(&t);
}

/* ReLUs that a network never had: whole stages, after additions, along chains of skips; with none
 * at all, and with masks besides. Chains that no weights would fit are cut by clamps. */
SPX_TEST(networks_without_some_relus_are_bit_exact_in_private)
{
    SPX_UNUSED;
    static const struct {
        const char *network, *masks;
        int64_t side;
    } cases[] = {{"deepreduce,cull=1,thin=1,alpha=0.078125,blocks=2+1+1+1", NULL, 32},
                 {"deepreduce,cull=1+4,alpha=0.0625,blocks=2+1+1+2", NULL, 16},
                 {"deepreduce,cull=1+2+3+4,alpha=0.03125", NULL, 16},
                 {"deepreduce,cull=2,thin=1,alpha=0.03125", "nc", 16},
                 {"cnet1,width=2", NULL, 16},
                 {"cnet2,width=1", NULL, 16}};
    int clamped = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const spx_quantise_options o = {.least_bits = SPX_CHOOSE_WEIGHT_BITS};
        spx_final_config c = made_small;
        spx_counts counts;
        made t;
        c.input = (spx_input_shape){1, cases[i].side, cases[i].side};
        c.classes = 10;
        made_open_reference(&t, cases[i].network, &c, i + 1, &o, cases[i].masks);
        const spx_pi_sizes z = sizes_of(t.m);
        spx_graph_count(t.net.net.graph, &counts);
        assert_int_equal(z.relus, cases[i].masks != NULL ? t.net.kept : counts.relus);
        assert_true(z.interactive >= z.relus);
        clamped += z.interactive > z.relus;
        ask_privately(t.m, t.pixels);
        made_drop(&t);
    }
    assert_true(clamped >= 3);
}

/* A cut of MobileNetV2: depthwise convolutions as dense ones, ReLU6 as the clamp. */
SPX_TEST(inverted_residuals_are_bit_exact_in_private)
{
    SPX_UNUSED;
    const spx_quantise_options o = {0};
    spx_final_config c = made_small;
    made t;
    memset(&t, 0, sizeof t);
    c.batch = MADE_BATCH;
    net_open_mobile(&t.net, &c, 5);
    made_start(&t, &o);
    assert_true(made_distance(&t) < 0.1);
    assert_int_equal(spx_deploy_interactive(t.m), spx_deploy_relus(t.m));
    ask_privately(t.m, t.pixels);
    made_drop(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(masked_networks_are_bit_exact_in_private),
        SPX_UNIT(dropped_channels_are_linear_or_clamped_whichever_is_cheaper),
        SPX_UNIT(inverted_residuals_are_bit_exact_in_private),
        SPX_UNIT(networks_without_some_relus_are_bit_exact_in_private),
        SPX_UNIT(additions_of_activations_cost_nothing_and_change_nothing),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
