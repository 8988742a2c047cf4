#ifndef SPX_GATES_H
#define SPX_GATES_H
/*
 * The price of ReLUs in a search: what gates on them cost together, and the multiplier that makes
 * this a budget (dual ascent). In units of the budget, with p the softmaxed rows of gates and
 * candidates,
 *
 *     E = fixed + sum over sites of cost * p[gate] * (1 - product over edges of (1 - q)),
 *
 * q an edge's share of candidates that read the ReLU: a state's ReLU is paid once, if the gate
 * keeps it and some edge reads it. A site without edges is paid if the gate keeps it. The penalty
 * is lambda * max(0, E - 1), whose gradient is `push` times E's.
 *
 * Pointers are memory of the stream's device; sums are in double, in the order of the sites.
 */
#include "kernels/base/status.h"
#include "kernels/device/scalars.h"
#include "kernels/device/stream.h"

#define SPX_GATE_EDGES 4
#define SPX_GATE_SITES 16

/** A state of all cells of a kind, and who reads it. */
typedef struct spx_gate_site {
    double cost;                  /* of keeping its ReLU, in units of the budget; >= 0 */
    int64_t gate;                 /* where its probability is in p */
    int64_t edge[SPX_GATE_EDGES]; /* where each edge's row begins in p */
    int32_t edges;                /* 0..SPX_GATE_EDGES */
    uint32_t rectify;             /* bit k: element k of a row reads the ReLU */
} spx_gate_site;

typedef struct spx_gate_state {
    double lambda;   /* >= 0; 0 at first */
    double expected; /* E of the last spx_gate_prices */
    float push;      /* lambda where that is above 1, else 0 */
} spx_gate_state;

/**
 * Fills price with dE/dp: elements that gates and edges of a site name; others are left alone.
 * @param n      sites, 0..SPX_GATE_SITES, of which no two share an element of p
 * @param fixed  what is paid in any case
 * @param price  as large as p
 * @param state  expected and push are written
 * @return SPX_OK; SPX_EINVAL (too many sites, an array missing); SPX_EDEVICE
 */
SPX_MUST_CHECK spx_status spx_gate_prices(spx_stream *s, int n, const spx_gate_site *site,
                                          double fixed, const float *p, float *price,
                                          spx_gate_state *state);

/** lambda = max(0, lambda + rate * (E - 1)); nothing changes where guard->ok is 0 or E is not
 * finite. */
SPX_MUST_CHECK spx_status spx_gate_ascend(spx_stream *s, double rate, const spx_guard *guard,
                                          spx_gate_state *state);

#endif
