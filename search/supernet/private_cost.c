#include "search/supernet/private_cost.h"

#include <math.h>
#include <string.h>

/* ---- a primitive ---- */

static spx_status add_price(const spx_graph *g, int i, spx_link link, double *ms)
{
    const spx_node *nd = &g->node[i];
    const spx_tensor *x = &g->tensor[nd->in[0]], *y = &g->tensor[nd->out[0]];
    spx_pi_price p;
    if (nd->op == SPX_OP_CONV2D) {
        const spx_conv2d_attr a = spx_conv2d_attr_of(nd);
        const spx_conv2d_ring_shape shape = {.c = x->dim[1],
                                             .h = x->dim[2],
                                             .w = x->dim[3],
                                             .k = y->dim[1],
                                             .p = y->dim[2],
                                             .q = y->dim[3],
                                             .size = g->tensor[nd->in[1]].dim[2],
                                             .stride = a.stride,
                                             .dilation = a.dilation,
                                             .pad = a.pad_begin};
        SPX_RETURN_IF(spx_pi_conv_price(&p, &spx_pi_usual_rates, link, &shape));
        *ms += p.offline_ms + p.online_ms;
    } else if (nd->op == SPX_OP_RELU) {
        SPX_RETURN_IF(spx_pi_relu_price(&p, &spx_pi_usual_rates, link, spx_pi_usual_width));
        *ms += (p.offline_ms + p.online_ms) * (double)(y->dim[1] * y->dim[2] * y->dim[3]);
    }
    return SPX_OK;
}

spx_status spx_private_primitive(double *ms, spx_space space, spx_primitive p, int64_t channels,
                                 int64_t rows, int64_t columns, bool reduces, spx_link link)
{
    const int64_t dim[4] = {1, channels, rows, columns};
    spx_graph *g = NULL;
    spx_status st;
    *ms = 0;
    if (p == SPX_NONE) {
        return SPX_OK;
    }
    const int64_t stride = reduces ? 2 : 1;
    SPX_RETURN_IF(spx_graph_create(&g, false));
    spx_tid x = spx_g_input(g, "x", SPX_F32, 4, dim);
    x = spx_primitive_rectifies(space, p, stride) ? spx_g_relu(g, x, "relu") : x;
    (void)spx_build_primitive(g, x, space, p, stride, true, "");
    st = spx_graph_status(g);
    for (int i = 0; i < g->n_nodes && st == SPX_OK; i++) {
        st = add_price(g, i, link, ms);
    }
    spx_graph_destroy(g);
    return st;
}

/* ---- all ---- */

enum { KINDS = 2, STRIDES = 2 };

/* Milliseconds in all cells of a kind, by stride. */
typedef double price_table[KINDS][STRIDES][SPX_PRIMITIVE_COUNT];

static spx_status fill_prices(const spx_supernet_config *c, const spx_private_network *n,
                              price_table ms)
{
    int64_t channels = n->channels, rows = c->input.rows, columns = c->input.columns;
    memset(ms, 0, sizeof(price_table));
    for (int64_t i = 0; i < c->layers; i++) {
        const bool reduces = spx_supernet_reduces(c, i);
        channels *= reduces ? 4 : 1;
        for (int stride = 0; stride < (reduces ? STRIDES : 1); stride++) {
            const int64_t by = reduces && stride == 0 ? 2 : 1; /* nodes inside lie behind it */
            for (int p = 0; p < SPX_PRIMITIVE_COUNT; p++) {
                double one;
                SPX_RETURN_IF(spx_fail_context(
                    spx_private_primitive(&one, c->space, (spx_primitive)p, channels, rows / by,
                                          columns / by, stride == 1, n->link),
                    "--cost-channels %lld: cells.%lld, %s of %lld channels of %lldx%lld",
                    (long long)n->channels, (long long)i,
                    spx_primitive_name(c->space, (spx_primitive)p), (long long)channels,
                    (long long)(rows / by), (long long)(columns / by)));
                ms[reduces][stride][p] += one;
            }
        }
        rows /= reduces ? 2 : 1;
        columns /= reduces ? 2 : 1;
    }
    return SPX_OK;
}

static int stride_of(int kind, int from)
{
    return kind == 1 && from < 2;
}

/* What the dearest primitive on every edge comes to. */
static double dearest(price_table ms)
{
    double sum = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        for (int node = 0; node < SPX_CELL_NODES; node++) {
            for (int from = 0; from < 2 + node; from++) {
                const double *row = ms[kind][stride_of(kind, from)];
                double most = 0;
                for (int p = 0; p < SPX_PRIMITIVE_COUNT; p++) {
                    most = row[p] > most ? row[p] : most;
                }
                sum += most;
            }
        }
    }
    return sum;
}

spx_status spx_private_costs(const spx_supernet *s, const spx_private_network *n, double weight,
                             const spx_buffer *costs)
{
    float *cell[KINDS][SPX_CELL_NODES];
    price_table ms;
    SPX_RETURN_IF(spx_supernet_alphas(s, costs, cell[0], cell[1]));
    SPX_RETURN_IF(fill_prices(&s->config, n, ms));
    const double all = dearest(ms);
    for (int kind = 0; kind < KINDS; kind++) {
        for (int node = 0; node < SPX_CELL_NODES; node++) {
            for (int k = 0; k < (2 + node) * SPX_PRIMITIVE_COUNT; k++) {
                const int from = k / SPX_PRIMITIVE_COUNT, p = k % SPX_PRIMITIVE_COUNT;
                cell[kind][node][k] = (float)(weight * ms[kind][stride_of(kind, from)][p] / all);
            }
        }
    }
    return SPX_OK;
}

static double row_mean(const float alpha[SPX_PRIMITIVE_COUNT],
                       const float cost[SPX_PRIMITIVE_COUNT])
{
    double top = (double)alpha[0], sum = 0, mean = 0;
    for (int k = 1; k < SPX_PRIMITIVE_COUNT; k++) {
        top = (double)alpha[k] > top ? (double)alpha[k] : top;
    }
    for (int k = 0; k < SPX_PRIMITIVE_COUNT; k++) {
        const double w = exp((double)alpha[k] - top);
        sum += w;
        mean += w * (double)cost[k];
    }
    return mean / sum;
}

spx_status spx_private_expected(const spx_supernet *s, const spx_buffer *alphas,
                                const spx_buffer *costs, double *out)
{
    float *a[KINDS][SPX_CELL_NODES], *c[KINDS][SPX_CELL_NODES];
    SPX_RETURN_IF(spx_supernet_alphas(s, alphas, a[0], a[1]));
    SPX_RETURN_IF(spx_supernet_alphas(s, costs, c[0], c[1]));
    *out = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        for (int node = 0; node < SPX_CELL_NODES; node++) {
            for (int from = 0; from < 2 + node; from++) {
                const int at = from * SPX_PRIMITIVE_COUNT;
                *out += row_mean(a[kind][node] + at, c[kind][node] + at);
            }
        }
    }
    return SPX_OK;
}
