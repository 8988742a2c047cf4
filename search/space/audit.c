#include "search/space/audit.h"

#include "kernels/base/alloc.h"

#include <stdio.h>
#include <string.h>

const char *spx_layer_kind_name(spx_layer_kind k)
{
    static const char *const name[SPX_LAYER_KIND_COUNT] = {
        [SPX_LAYER_STEM] = "stem",           [SPX_LAYER_NORMAL] = "normal",
        [SPX_LAYER_REDUCE] = "reduce",       [SPX_LAYER_STAGE] = "stage",
        [SPX_LAYER_AUXILIARY] = "auxiliary", [SPX_LAYER_CLASSIFIER] = "classifier"};
    return k >= 0 && k < SPX_LAYER_KIND_COUNT ? name[k] : "?";
}

static spx_status build(spx_network *n, const spx_final_spec *f, bool auxiliary)
{
    spx_final_config c = spx_spec_config(f, 1);
    c.auxiliary = auxiliary;
    return spx_build_spec(n, f, &c);
}

static void add(spx_counts *sum, const spx_counts *c)
{
    sum->relus += c->relus;
    sum->params += c->params;
    sum->params_aux += c->params_aux;
    sum->macs += c->macs;
    sum->arch += c->arch;
}

/* What layer a node belongs to; nodes outside cells are the stem's until the first cell. */
static spx_layer_audit layer_of(const spx_node *nd, const spx_final_spec *f, bool seen_cell)
{
    spx_layer_audit a = {.cell = nd->block,
                         .kind = f->reference[0] != '\0' ? SPX_LAYER_STAGE : SPX_LAYER_NORMAL};
    if (nd->auxiliary) {
        a.kind = SPX_LAYER_AUXILIARY;
    } else if (nd->block < 0) {
        a.kind = seen_cell ? SPX_LAYER_CLASSIFIER : SPX_LAYER_STEM;
    }
    for (int r = 0; r < f->n_reduce && nd->block >= 0; r++) {
        a.kind = f->reduce_at[r] == nd->block ? SPX_LAYER_REDUCE : a.kind;
    }
    return a;
}

/* Of a node's ReLUs, those that a new network begins with. */
static int64_t begun(const spx_graph *g, const spx_node *nd, int64_t relus)
{
    const spx_tid mask = nd->op == SPX_OP_RELU ? nd->in[SPX_RELU_MASK] : SPX_NO_TENSOR;
    return mask != SPX_NO_TENSOR && g->tensor[mask].init.value == 0.0f ? 0 : relus;
}

spx_status spx_audit_final(spx_audit *out, const spx_final_spec *f, bool auxiliary)
{
    const bool drops = (f->dropped.normal | f->dropped.reduce) != 0;
    spx_network n;
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(build(&n, f, auxiliary));
    bool seen_cell = false;
    for (int i = 0; i < n.graph->n_nodes; i++) {
        const spx_node *nd = &n.graph->node[i];
        seen_cell = seen_cell || nd->block >= 0;
        const spx_layer_audit now = layer_of(nd, f, seen_cell);
        spx_layer_audit *last = out->n > 0 ? &out->layer[out->n - 1] : NULL;
        if (last == NULL || last->kind != now.kind || last->cell != now.cell) {
            last = &out->layer[out->n++];
            *last = now;
        }
        const spx_tensor *y = &n.graph->tensor[nd->out[0]];
        if (y->rank > 1) { /* neither a loss nor running statistics */
            last->channels = y->dim[1];
            last->rows = y->dim[2];
            last->columns = y->dim[3];
        }
        spx_counts counts;
        spx_node_count(n.graph, i, &counts);
        add(&last->counts, &counts);
        last->relu_nodes += counts.relus > 0;
        last->relus.full = last->counts.relus;
        last->relus.kept += begun(n.graph, nd, counts.relus);
        last->relus.masked = drops;
        out->relus.kept += begun(n.graph, nd, counts.relus);
    }
    spx_graph_count(n.graph, &out->total);
    out->relus.full = out->total.relus;
    out->relus.masked = drops;
    spx_network_clear(&n);
    return SPX_OK;
}

spx_status spx_audit_relus(spx_relu_audit **out, int *n, const spx_final_spec *f)
{
    spx_network net;
    *n = 0;
    SPX_RETURN_IF(build(&net, f, false));
    spx_status st = SPX_NEW(*out, (size_t)net.graph->n_nodes);
    for (int i = 0; i < net.graph->n_nodes && st == SPX_OK; i++) {
        const spx_node *nd = &net.graph->node[i];
        if (nd->op == SPX_OP_RELU) {
            const int64_t *d = net.graph->tensor[nd->in[SPX_RELU_X]].dim;
            spx_relu_audit *r = &(*out)[(*n)++];
            *r = (spx_relu_audit){.channels = d[1],
                                  .rows = d[2],
                                  .columns = d[3],
                                  .kept = begun(net.graph, nd, d[1] * d[2] * d[3])};
            (void)snprintf(r->name, sizeof r->name, "%s", nd->name != NULL ? nd->name : "");
        }
    }
    spx_network_clear(&net);
    return st;
}

spx_status spx_final_count(const spx_final_spec *f, bool auxiliary, spx_counts *out)
{
    spx_network n;
    SPX_RETURN_IF(build(&n, f, auxiliary));
    spx_graph_count(n.graph, out);
    spx_network_clear(&n);
    return SPX_OK;
}

void spx_relu_count_json(json_t *j, const spx_relu_count *n)
{
    if (j != NULL) {
        (void)json_object_set_new(j, "relus", json_integer((json_int_t)n->kept));
    }
    if (j != NULL && n->masked) {
        (void)json_object_set_new(j, "relus_full", json_integer((json_int_t)n->full));
    }
    if (j != NULL && n->masked && n->counted) {
        (void)json_object_set_new(j, "interactive_positions",
                                  json_integer((json_int_t)n->interactive));
    }
}
