/* One value everywhere; differentiation's zeros. */
#include "host/graph/exec_private.h"
#include "kernels/nn/copy/copy_cuda.h"

static spx_status run(const spx_exec *e, int i)
{
    const spx_node *nd = &e->g->node[i];
    const spx_tensor *t = &e->g->tensor[nd->out[0]];
    const int64_t count = spx_tensor_count(t);
    const spx_operand to = spx_exec_operand(e, nd->out[0]);
    const bool pixels = t->role == SPX_ROLE_ACTIVATION && t->rank == 4;
    const int64_t channels = pixels ? t->dim[1] : count;
    const spx_nhwc nhwc = {to.data, pixels ? to.stride : count, to.type};
    const float value = nd->attr.value;
    SPX_ON_CUDA(e, spx_fill_cuda(e->stream, count / channels, channels, value, nhwc));
    const bool images = t->parent != SPX_NO_TENSOR;
    const int64_t rows = images ? t->dim[0] : 1, row = count / rows;
    float *y = to.data;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < row; k++) {
            y[r * (images ? to.stride : row) + k] = value;
        }
    }
    return SPX_OK;
}

const spx_op_record spx_op_fill = {
    .name = "fill",
    .out = {{"y", 0}},
    .run = run,
};
