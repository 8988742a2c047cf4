#ifndef SPX_PRIVATE_COST_H
#define SPX_PRIVATE_COST_H
/*
 * What the supernet's choices would cost privately in the network that is made of them:
 *
 *     C(alpha) = sum over cell kinds, edges and primitives of softmax(alpha)[p] * cost[p],
 *
 * each cost the milliseconds, offline and online together, that the primitive takes in every cell
 * of its kind of the final network, over what the dearest primitive on every edge would come to. So
 * C lies in [0, 1]; `none`, and skipping in place, are free. Costs are sums of spx_pi_conv_price
 * and spx_pi_relu_price over the primitive's own graph, at constant rates (spx_pi_usual_rates), so
 * that they are the same on every machine. What edges share counts with each: a state's encryption,
 * or its ReLU, with every primitive that reads it.
 */
#include "host/secure/infer/infer.h"
#include "search/supernet/supernet.h"

/** The final network: as many cells as the supernet, reducing where it does, but of `channels`
 * initial ones and four times as many after each reduction. */
typedef struct spx_private_network {
    int64_t channels; /* published: 5 to 20; not 0 */
    spx_link link;
} spx_private_network;

/** Milliseconds of one primitive alone on a map, with the ReLU that it reads its state through.
 * @param reduces  stride 2; rows and columns are even
 * @return SPX_OK, SPX_EINVAL (sizes), SPX_EUNSUPPORTED (too wide for the encryption), SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_private_primitive(double *ms, spx_space space, spx_primitive p,
                                                int64_t channels, int64_t rows, int64_t columns,
                                                bool reduces, spx_link link);

/**
 * The costs as an arena like the alphas', times `weight`.
 * @param costs  host memory, of the layout's size; gaps are not touched
 * @return as spx_private_primitive; SPX_EINVAL (memory of another device)
 */
SPX_MUST_CHECK spx_status spx_private_costs(const spx_supernet *s, const spx_private_network *n,
                                            double weight, const spx_buffer *costs);

/** C, or weight times it, as costs are. Both are host memory. @return SPX_OK, SPX_EINVAL */
SPX_MUST_CHECK spx_status spx_private_expected(const spx_supernet *s, const spx_buffer *alphas,
                                               const spx_buffer *costs, double *out);

#endif
