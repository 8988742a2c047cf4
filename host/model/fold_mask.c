/* What a network's arenas hold of its nodes: parameters, and what masks keep. */
#include "host/model/fold_private.h"

spx_status spx_fold_parameter(const spx_fold_input *s, spx_tid t, double **out)
{
    *out = NULL;
    if (t == SPX_NO_TENSOR) {
        return SPX_OK;
    }
    const spx_tensor *p = &s->graph->tensor[t];
    const spx_layout_entry *e = p->name != NULL ? spx_layout_find(s->layout, p->name) : NULL;
    if (e == NULL || e->count != spx_tensor_count(p) || e->role == SPX_ROLE_ARCH) {
        return SPX_FAIL(SPX_EINVAL, "folding: no parameter %s", p->name != NULL ? p->name : "?");
    }
    const float *arena = (e->role == SPX_ROLE_STATE ? s->state : s->weights).data;
    const float *from = arena + e->offset;
    SPX_RETURN_IF(SPX_NEW(*out, (size_t)e->count));
    for (int64_t i = 0; i < e->count; i++) {
        (*out)[i] = (double)from[i];
    }
    return SPX_OK;
}

spx_status spx_fold_find_keeping(const spx_fold_input *s, int i, spx_keeping *out)
{
    const spx_node *nd = &s->graph->node[i];
    const spx_tensor *y = &s->graph->tensor[nd->out[0]];
    double *mask;
    *out = SPX_KEEPS_ALL;
    SPX_RETURN_IF(spx_fold_parameter(s, nd->in[SPX_RELU_MASK], &mask));
    if (mask == NULL) {
        return SPX_OK;
    }
    const int64_t map = y->dim[2] * y->dim[3], n = y->dim[1] * map;
    int64_t kept = 0;
    bool binary = true, whole = s->clamp == NULL || !s->clamp[i];
    for (int64_t j = 0; j < n; j++) {
        kept += mask[j] == 1;
        binary = binary && (mask[j] == 0 || mask[j] == 1);
        whole = whole && mask[j] == mask[j / map * map];
    }
    spx_free(mask);
    *out = kept == n   ? SPX_KEEPS_ALL
           : !whole    ? SPX_KEEPS_ELEMENTS
           : kept == 0 ? SPX_KEEPS_NONE
                       : SPX_KEEPS_CHANNELS;
    return binary ? SPX_OK
                  : SPX_FAIL(SPX_EUNSUPPORTED, "folding: %s: a mask of other numbers than 0 and 1",
                             nd->name != NULL ? nd->name : "a ReLU");
}

spx_status spx_fold_keep_elements(const double *mask, size_t n, spx_fold_op *op)
{
    uint8_t *keep;
    SPX_RETURN_IF(SPX_NEW(keep, (n + 7) / 8));
    for (size_t j = 0; j < n; j++) {
        const bool kept = mask != NULL && mask[j] == 1;
        keep[j / 8] |= (uint8_t)(kept << (j % 8));
        op->d.dropped += !kept;
    }
    op->d.keep = keep;
    return SPX_OK;
}
