#include "search/supernet/relu_budget.h"

#include "search/space/spec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Convolutions read each of the states. */
static const spx_cell_genes all_sites = {{{{SPX_VAN_CONV_3X3, 0}, {SPX_VAN_CONV_3X3, 1}},
                                          {{SPX_VAN_CONV_3X3, 1}, {SPX_VAN_CONV_3X3, 2}},
                                          {{SPX_VAN_CONV_3X3, 2}, {SPX_VAN_CONV_3X3, 3}},
                                          {{SPX_VAN_CONV_3X3, 3}, {SPX_VAN_CONV_3X3, 4}}}};

static spx_final_spec final_of(const spx_supernet_config *c, int64_t channels)
{
    spx_final_spec f = {.genotype = {c->space, all_sites, all_sites},
                        .input = c->input,
                        .classes = c->classes,
                        .init_channels = channels,
                        .layers = c->layers};
    for (int i = 0; i < (int)c->layers && f.n_reduce < SPX_MAX_REDUCE; i++) {
        if (spx_supernet_reduces(c, i)) {
            f.reduce_at[f.n_reduce++] = i;
        }
    }
    return f;
}

/* ReLUs of each state by cell kind, and all others. */
static spx_status count(const spx_supernet_config *c, int64_t channels,
                        int64_t relus[2][SPX_CELL_SITES], int64_t *others)
{
    const spx_final_spec f = final_of(c, channels);
    const spx_final_config config = spx_spec_config(&f, 1);
    spx_network n;
    memset(relus, 0, 2 * sizeof *relus);
    *others = 0;
    SPX_RETURN_IF(spx_fail_context(spx_build_spec(&n, &f, &config), "--cost-channels %lld",
                                   (long long)channels));
    for (int i = 0; i < n.graph->n_nodes; i++) {
        const spx_node *nd = &n.graph->node[i];
        const int state = spx_cell_site_of(nd);
        spx_counts own;
        spx_node_count(n.graph, i, &own);
        *(state < 0 ? others : &relus[spx_supernet_reduces(c, nd->block)][state]) += own.relus;
    }
    spx_network_clear(&n);
    return SPX_OK;
}

static spx_gate_site site_of(const spx_supernet *s, bool reduces, int state)
{
    const spx_layout *l = s->layout;
    spx_gate_site site = {
        .gate = spx_layout_find(l, reduces ? "gate_reduce" : "gate_normal")->offset + 2 * state};
    for (int node = state > 1 ? state - 1 : 0; node < SPX_CELL_NODES; node++) {
        char name[32];
        (void)snprintf(name, sizeof name, "alpha_%s.%d", reduces ? "reduce" : "normal", node);
        site.edge[site.edges++] = spx_layout_find(l, name)->offset + state * SPX_PRIMITIVE_COUNT;
    }
    for (int p = 0; p < SPX_PRIMITIVE_COUNT; p++) {
        const int64_t stride = reduces && state < 2 ? 2 : 1;
        site.rectify |= (uint32_t)spx_primitive_rectifies(s->config.space, (spx_primitive)p, stride)
                        << p;
    }
    return site;
}

static spx_status check(const spx_relu_prices *p, const spx_relu_budget *b)
{
    const int64_t least = p->least / b->channels, most = p->most / b->channels; /* of a channel */
    const int64_t fit = b->relus < p->least ? b->relus / least : (b->relus + most - 1) / most;
    char hint[60] = "";
    if (b->relus >= p->least && b->relus <= p->most) {
        return SPX_OK;
    }
    if (fit >= 1) {
        (void)snprintf(hint, sizeof hint, "; --cost-channels %lld fits", (long long)fit);
    }
    return SPX_FAIL(SPX_EINVAL,
                    "--relu-budget %lld: with %lld initial channels (--cost-channels) the networks "
                    "searched for have %lld to %lld ReLUs%s",
                    (long long)b->relus, (long long)b->channels, (long long)p->least,
                    (long long)p->most, hint);
}

spx_status spx_relu_prices_of(spx_relu_prices *out, const spx_supernet *s, const spx_relu_budget *b)
{
    int64_t relus[2][SPX_CELL_SITES];
    memset(out, 0, sizeof *out);
    if (!s->config.gated) {
        return SPX_FAIL(SPX_EINVAL, "supernet: a ReLU budget needs gates");
    }
    SPX_RETURN_IF(count(&s->config, b->channels, relus, &out->least));
    out->most = out->least;
    for (int i = 0; i < 2 * SPX_CELL_SITES; i++) {
        const int kind = i / SPX_CELL_SITES, state = i % SPX_CELL_SITES;
        out->site[i] = site_of(s, kind == 1, state);
        out->site[i].cost = (double)relus[kind][state] / (double)b->relus;
        out->most += relus[kind][state];
    }
    out->fixed = (double)out->least / (double)b->relus;
    return check(out, b);
}

spx_status spx_gate_values(const spx_supernet *s, const spx_buffer *alphas, spx_cell_values out)
{
    float *gate[2];
    SPX_RETURN_IF(spx_supernet_gates(s, alphas, gate));
    for (int i = 0; i < 2 * SPX_CELL_SITES; i++) {
        const float *g = gate[i / SPX_CELL_SITES] + 2 * (i % SPX_CELL_SITES);
        out[i / SPX_CELL_SITES][i % SPX_CELL_SITES] = 1 / (1 + exp((double)g[1] - (double)g[0]));
    }
    return SPX_OK;
}
