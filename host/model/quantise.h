#ifndef SPX_QUANTISE_H
#define SPX_QUANTISE_H
/*
 * From a folded network to a deployed one: integer weights, scales, proven widths.
 *
 * Every channel of a value has a scale, integer units per real unit. An activation's is (2^a - 1)
 * over the largest real value it shall hold (its clip). The scale of what a ReLU reads is 2^f times
 * as large, with the smallest f that leaves the deepest path's weights their bits. Paths that only
 * copy activations become public: clips along them are made powers of two apart. Shallower paths
 * align by wider weights, up to SPX_QUANTISE_WIDE bits, beyond that by a value of their own that is
 * shifted in public. Linear values in between have no nonlinearity to serve: each of their channels
 * is scaled so that its weights use all their bits.
 */
#include "host/model/deploy.h"
#include "host/model/fold.h"

#define SPX_QUANTISE_WIDE 16 /* bits of a weight that aligns a shallow path */

typedef struct spx_quantise_options {
    int weight_bits;     /* of the deepest path's weights, 2..12; 0: 8 */
    int activation_bits; /* a, 2..12; 0: 8 */
    int most_bits;       /* l of no ReLU or logit exceeds this, 16..62; 0: 58. Where it would, that
                            segment's weights lose bits, */
    int least_bits;      /* but none fewer than these, 2..weight_bits; 0: 2 */
    double most_macs;    /* multiply-adds for proving one value's width; 0: 5e11 */
    const char *preprocessing; /* JSON object, public, kept in the model; NULL: "" */
    const char *about;         /* JSON object kept in the model; NULL: "{}" */
    /** Told after each step of proving; may be NULL. */
    void (*show)(void *ctx, int64_t done, int64_t total, const char *note);
    void *ctx;
} spx_quantise_options;

/** What became of a segment. */
typedef struct spx_quantise_segment {
    double weight_bits; /* its deepest weights', after lowering: log2 of their range */
    bool composed;      /* its width is proven by composed coefficients, not intervals */
} spx_quantise_segment;

/**
 * @param clip  per RELU op of the fold, in order: [channels] largest real values to hold, each > 0
 * @param segments  receives one entry per RELU and one for the logits; may be NULL
 * @return SPX_OK; SPX_ENUMERIC (a weight that is no number; no width keeps a segment in bounds);
 *         SPX_EINVAL (options); SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_quantise(spx_deploy **out, const spx_fold *f,
                                       const double *const *clip, const spx_quantise_options *o,
                                       spx_pool *pool, spx_quantise_segment *segments);

#endif
