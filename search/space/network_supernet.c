/* The supernet: stem, search cells with shared alphas, classifier. Channels
 * double at reductions. */
#include "search/space/cell.h"

#include <string.h>

bool spx_supernet_reduces(const spx_supernet_config *c, int64_t layer)
{
    for (int r = 0; r < c->n_reduce; r++) {
        if (c->reduce_loc[r] * c->layers / 6 == layer) {
            return true;
        }
    }
    return false;
}

static spx_status check_config(const spx_supernet_config *c)
{
    SPX_RETURN_IF(
        spx_check_sizes(c->batch, &c->input, c->classes, c->init_channels, c->layers, c->n_reduce));
    if (c->gated && c->space != SPX_SPACE_RELU_OPS) {
        return SPX_FAIL(SPX_EINVAL, "supernet: gates are of space relu-ops, not %s",
                        spx_space_name(c->space));
    }
    for (int r = 0; r < c->n_reduce; r++) {
        if (c->reduce_loc[r] < 0 || c->reduce_loc[r] > 5) {
            return SPX_FAIL(SPX_EINVAL, "supernet: reduction location %d, must be 0 to 5 (sixths)",
                            c->reduce_loc[r]);
        }
    }
    return SPX_OK;
}

spx_status spx_build_supernet(spx_network *out, const spx_supernet_config *c)
{
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(check_config(c));
    SPX_RETURN_IF(spx_network_begin(out, c->training, c->batch, &c->input));
    spx_graph *g = out->graph;
    spx_alphas normal = spx_build_alphas(g, "alpha_normal");
    spx_alphas reduce = spx_build_alphas(g, "alpha_reduce");
    if (c->gated) {
        spx_build_gates(g, &normal, "gate_normal");
        spx_build_gates(g, &reduce, "gate_reduce");
    }
    memcpy(out->alpha_normal, normal.alpha, sizeof normal.alpha);
    memcpy(out->alpha_reduce, reduce.alpha, sizeof reduce.alpha);
    int64_t channels = c->init_channels;
    bool previous_reduces = false;
    spx_tid s0 = spx_build_stem(g, out->image, 3 * channels, "net.stem.");
    spx_tid s1 = s0;
    for (int64_t i = 0; i < c->layers; i++) {
        const bool reduces = spx_supernet_reduces(c, i);
        channels *= reduces ? 2 : 1;
        spx_g_section(g, (int)i, false);
        spx_g_scope(g, "net.cells.%lld.", (long long)i);
        const spx_tid y = spx_build_search_cell(g, c->space, s0, s1, channels, previous_reduces,
                                                reduces, reduces ? &reduce : &normal, "");
        s0 = s1;
        s1 = y;
        out->cell[out->n_cells++] = y;
        previous_reduces = reduces;
    }
    spx_network_classify(out, s1, c->classes, 0.0f, "net.");
    return spx_network_end(out);
}
