#ifndef SPX_BOUND_H
#define SPX_BOUND_H
/*
 * Proven bounds of a deployed model's linear values.
 *
 * A segment's output is a linear map of the values in front of it (image, activations), each
 * element of which may be anything in [0, 2^bits - 1] whatever the others are. In channels of which
 * a mask drops elements it begins at -2^bits. So the output's largest value is that of its bias
 * plus, for every positive coefficient of the COMPOSED map, the coefficient times 2^bits - 1; its
 * least value likewise. The coefficients of one output element
 * are found by running the ops backwards from it. Elements whose maps are cut alike by borders of
 * values in between share their coefficients, so one element of each kind is enough. Inputs outside
 * their map count as if they could be anything: that can only widen the bound.
 *
 * Where composing would take too long, and for values that are no segment's output, intervals go
 * through the ops one by one, which is wider by some bits.
 */
#include "host/model/deploy_build.h"
#include "kernels/base/pool.h"

typedef struct spx_bound {
    double low, high; /* of every element; rounded outwards */
    bool composed;    /* by composed coefficients; else by intervals */
} spx_bound;

/** Signed bits that hold every integer of the bound. 64 at most: more does not fit anything. */
int spx_bound_bits(const spx_bound *b);

/**
 * Intervals of all values, and composed bounds of those asked for.
 * @param d          a draft with weights; RELU widths and bits of linear values are not read
 * @param most_macs  multiply-adds to spend on one value's composed map; beyond, its interval stays
 * @param estimate   compose one element in the middle of the map only: about what the bound will
 * be, but no bound
 * @param asked      [n_values] which linear values to compose
 * @param out        [n_values]
 * @param show       told after each value composed; may be NULL
 * @return SPX_OK, SPX_ENOMEM; SPX_EUNSUPPORTED naming an op whose sum is too long or too deep for
 *         the rounding that bounds allow for
 */
SPX_MUST_CHECK spx_status spx_bound_all(const spx_deploy_draft *d, spx_pool *pool, double most_macs,
                                        bool estimate, const bool *asked, spx_bound *out,
                                        void (*show)(void *ctx), void *ctx);

#endif
