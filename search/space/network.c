/* What supernets and final networks share: sizes, inputs, classifier. */
#include "search/space/cell.h"

#include <string.h>

static spx_status in_range(const char *what, int64_t v, int64_t min, int64_t max)
{
    return v >= min && v <= max ? SPX_OK
                                : SPX_FAIL(SPX_EINVAL, "network: %s is %lld, must be %lld to %lld",
                                           what, (long long)v, (long long)min, (long long)max);
}

spx_status spx_check_sizes(int64_t batch, const spx_input_shape *in, int64_t classes,
                           int64_t init_channels, int64_t layers, int n_reduce)
{
    SPX_RETURN_IF(in_range("batch", batch, 1, 65536));
    SPX_RETURN_IF(in_range("input channels", in->channels, 1, 1024));
    SPX_RETURN_IF(in_range("input rows", in->rows, 1, 4096));
    SPX_RETURN_IF(in_range("input columns", in->columns, 1, 4096));
    SPX_RETURN_IF(in_range("number of classes", classes, 1, 1000000));
    SPX_RETURN_IF(in_range("initial channels", init_channels, 1, 4096));
    SPX_RETURN_IF(in_range("number of layers", layers, 1, SPX_MAX_LAYERS));
    return in_range("number of reduction cells", n_reduce, 0, SPX_MAX_REDUCE);
}

spx_status spx_network_begin(spx_network *n, bool training, int64_t batch,
                             const spx_input_shape *in)
{
    memset(n, 0, sizeof *n);
    n->logits = n->loss = n->aux_logits = n->aux_loss = SPX_NO_TENSOR;
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        n->alpha_normal[i] = n->alpha_reduce[i] = SPX_NO_TENSOR;
    }
    for (int i = 0; i < SPX_MAX_LAYERS; i++) {
        n->cell[i] = SPX_NO_TENSOR;
    }
    for (int i = 0; i < SPX_MAX_STAGES; i++) {
        n->stage[i] = SPX_NO_TENSOR;
    }
    SPX_RETURN_IF(spx_graph_create(&n->graph, training));
    const int64_t dim[4] = {batch, in->channels, in->rows, in->columns};
    n->image = spx_g_input(n->graph, "image", SPX_F32, 4, dim);
    n->label = spx_g_input(n->graph, "label", SPX_I32, 1, &batch);
    return SPX_OK;
}

spx_status spx_network_begin_final(spx_network *n, const spx_final_config *c)
{
    SPX_RETURN_IF(spx_network_begin(n, c->training, c->batch, &c->input));
    if (c->masked) {
        spx_graph_mask_relus(n->graph, c->masks_trained ? SPX_ROLE_ARCH : SPX_ROLE_STATE);
    }
    return SPX_OK;
}

void spx_network_classify(spx_network *n, spx_tid x, int64_t classes, float smoothing,
                          const char *prefix)
{
    spx_graph *g = n->graph;
    spx_g_section(g, -1, false);
    spx_g_scope(g, "%s", prefix);
    x = spx_g_global_avg_pool(g, x, "gap");
    n->logits = spx_g_linear(g, x, "linear", classes);
    n->loss = spx_g_cross_entropy(g, n->logits, n->label, smoothing, "loss");
}

spx_status spx_network_end(spx_network *n)
{
    const spx_status st = spx_graph_status(n->graph);
    if (st != SPX_OK) {
        spx_network_clear(n);
    }
    return st;
}

void spx_network_clear(spx_network *n)
{
    spx_graph_destroy(n->graph);
    memset(n, 0, sizeof *n);
}

bool spx_is_imagenet(const spx_input_shape *in)
{
    return in->rows == 224 && in->columns == 224;
}
