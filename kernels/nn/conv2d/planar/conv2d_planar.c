/* The planar convolution: what it offers to the dispatch. */
#include "kernels/nn/conv2d/planar/conv2d_planar_block_private.h"

#include <assert.h>

static bool supports(const spx_conv2d_shape *d)
{
    (void)d;
    return spx_planar_isa_now() != NULL;
}

static size_t workspace(const spx_conv2d_shape *d, spx_conv2d_pass pass, int threads)
{
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        return spx_planar_forward_bytes(d, threads);
    case SPX_CONV2D_BACKWARD_DATA:
        return spx_planar_backward_data_bytes(d, threads);
    default:
        return spx_planar_backward_weights_bytes(d, threads);
    }
}

static void run(spx_stream *s, const spx_conv2d_call *call)
{
    assert(supports(call->d));
    switch (call->pass) {
    case SPX_CONV2D_FORWARD:
        spx_planar_forward(s, call);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        spx_planar_backward_data(s, call);
        break;
    default:
        spx_planar_backward_weights(s, call);
        break;
    }
}

const spx_conv2d_algorithm spx_conv2d_planar = {
    .name = "planar", .supports = supports, .workspace = workspace, .run = run};
