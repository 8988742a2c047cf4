/* Gates on CUDA: a dozen sites, so one thread. */
#include "kernels/device/launch_cuda.h"

extern "C" {
#include "kernels/optim/gates_private.h"
}

namespace {

__global__ void prices(int n, const spx_gate_site *site, double fixed, const float *p, float *price,
                       spx_gate_state *state)
{
    spx_gate_prices_all(n, site, fixed, p, price, state);
}

spx_status prices_cuda(spx_stream *s, int n, const spx_gate_site *site, double fixed,
                       const float *p, float *price, spx_gate_state *state)
{
    return SPX_LAUNCH(s, prices, 1, 1, 0, n, site, fixed, p, price, state);
}

__global__ void ascend(double rate, const spx_guard *guard, spx_gate_state *state)
{
    spx_gate_ascend_one(rate, guard, state);
}

spx_status ascend_cuda(spx_stream *s, double rate, const spx_guard *guard, spx_gate_state *state)
{
    return SPX_LAUNCH(s, ascend, 1, 1, 0, rate, guard, state);
}

} // namespace

const spx_gates_backend spx_gates_cuda = {prices_cuda, ascend_cuda};
