#include "kernels/optim/gates.h"

#include "kernels/device/backend.h"
#include "kernels/optim/gates_private.h"

static spx_status prices_cpu(spx_stream *s, int n, const spx_gate_site *site, double fixed,
                             const float *p, float *price, spx_gate_state *state)
{
    (void)s;
    spx_gate_prices_all(n, site, fixed, p, price, state);
    return SPX_OK;
}

static spx_status ascend_cpu(spx_stream *s, double rate, const spx_guard *guard,
                             spx_gate_state *state)
{
    (void)s;
    spx_gate_ascend_one(rate, guard, state);
    return SPX_OK;
}

static const spx_gates_backend cpu = {.prices = prices_cpu, .ascend = ascend_cpu};

spx_status spx_gate_prices(spx_stream *s, int n, const spx_gate_site *site, double fixed,
                           const float *p, float *price, spx_gate_state *state)
{
    if (n < 0 || n > SPX_GATE_SITES || state == NULL ||
        (n > 0 && (site == NULL || p == NULL || price == NULL))) {
        return SPX_FAIL(SPX_EINVAL, "gates: %d sites of at most %d, or an array is missing", n,
                        SPX_GATE_SITES);
    }
    return SPX_BACKEND(s, cpu, spx_gates_cuda)->prices(s, n, site, fixed, p, price, state);
}

spx_status spx_gate_ascend(spx_stream *s, double rate, const spx_guard *guard,
                           spx_gate_state *state)
{
    if (guard == NULL || state == NULL) {
        return SPX_FAIL(SPX_EINVAL, "gates: a number is missing");
    }
    return SPX_BACKEND(s, cpu, spx_gates_cuda)->ascend(s, rate, guard, state);
}
