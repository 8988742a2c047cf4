#ifndef SPX_GATES_PRIVATE_H
#define SPX_GATES_PRIVATE_H
/* The formulas of gates.h, for every device, and what a device gives. */
#include "kernels/base/host_device.h"
#include "kernels/optim/gates.h"

#include <math.h>
#include <stdbool.h>

/* An edge's share of candidates that read the ReLU. */
static inline SPX_HOST_DEVICE double spx_gate_share(const spx_gate_site *s, int edge,
                                                    const float *p)
{
    double q = 0;
    for (int k = 0; s->rectify >> k != 0; k++) {
        q += (s->rectify >> k & 1) != 0 ? (double)p[s->edge[edge] + k] : 0.0;
    }
    return q;
}

/* Product over edges but `without` of what their other candidates share. */
static inline SPX_HOST_DEVICE double spx_gate_unread(const spx_gate_site *s, int without,
                                                     const float *p)
{
    double product = 1;
    for (int e = 0; e < s->edges; e++) {
        product *= e == without ? 1.0 : 1.0 - spx_gate_share(s, e, p);
    }
    return product;
}

/* What a site adds to E; its elements of price. */
static inline SPX_HOST_DEVICE double spx_gate_price(const spx_gate_site *s, const float *p,
                                                    float *price)
{
    const double kept = (double)p[s->gate];
    const double read = s->edges == 0 ? 1.0 : 1.0 - spx_gate_unread(s, -1, p);
    for (int e = 0; e < s->edges; e++) {
        const float of_share = (float)(s->cost * kept * spx_gate_unread(s, e, p));
        for (int k = 0; s->rectify >> k != 0; k++) {
            if ((s->rectify >> k & 1) != 0) {
                price[s->edge[e] + k] = of_share;
            }
        }
    }
    price[s->gate] = (float)(s->cost * read);
    return s->cost * kept * read;
}

static inline SPX_HOST_DEVICE void spx_gate_prices_all(int n, const spx_gate_site *site,
                                                       double fixed, const float *p, float *price,
                                                       spx_gate_state *state)
{
    double sum = fixed;
    for (int i = 0; i < n; i++) {
        sum += spx_gate_price(&site[i], p, price);
    }
    state->expected = sum;
    state->push = sum > 1 ? (float)state->lambda : 0.0f;
}

static inline SPX_HOST_DEVICE void spx_gate_ascend_one(double rate, const spx_guard *guard,
                                                       spx_gate_state *state)
{
    const double next = state->lambda + rate * (state->expected - 1);
    if (guard->ok != 0 && isfinite(next)) {
        state->lambda = next > 0 ? next : 0;
    }
}

typedef struct spx_gates_backend {
    spx_status (*prices)(spx_stream *s, int n, const spx_gate_site *site, double fixed,
                         const float *p, float *price, spx_gate_state *state);
    spx_status (*ascend)(spx_stream *s, double rate, const spx_guard *guard, spx_gate_state *state);
} spx_gates_backend;
extern const spx_gates_backend spx_gates_cuda; /* where SPX_HAVE_CUDA */

#endif
