/* The planar convolution: what it offers to the dispatch. */
#include "kernels/nn/conv2d/planar/conv2d_planar_block_private.h"

#include <assert.h>

static bool planar_supports(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    (void)d;
    (void)pass;
    return spx_stream_device(s) == SPX_DEVICE_CPU && spx_planar_isa_now() != NULL;
}

static size_t planar_workspace(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    const int threads = spx_stream_threads(s);
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        return spx_planar_forward_bytes(d, threads);
    case SPX_CONV2D_BACKWARD_DATA:
        return spx_planar_backward_data_bytes(d, threads);
    default:
        return spx_planar_backward_weights_bytes(d, threads);
    }
}

static spx_status planar_run(spx_stream *s, const spx_conv2d_call *call)
{
    assert(spx_planar_isa_now() != NULL);
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
    return SPX_OK;
}

const spx_conv2d_impl spx_conv2d_planar = {planar_supports, planar_workspace, planar_run};
