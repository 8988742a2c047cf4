#ifndef SPX_DROPPED_H
#define SPX_DROPPED_H
/*
 * Linear or clamped: what becomes of whole channels that a mask drops. Linear ones cost nothing
 * themselves, but lengthen the chain of convolutions that the next ReLUs read: some ten bits each,
 * which every interactive position behind pays for. Clamped ones cost about what a ReLU does.
 *
 * Both are compared by estimates of widths, which proofs follow later. Of a first convolution:
 * a + b + log2(n) - 2.9 bits for n weights an output, of each further one b - 2.4 + log2(n) / 2:
 * weights of a normal distribution that use b bits, of random signs.
 */
#include "host/model/fold.h"

typedef struct spx_choose_options {
    int weight_bits, activation_bits; /* as quantisation takes them; 0: 8 */
    int most_bits; /* what no ReLU shall read more of, unless one does with all clamped; 0: 37, the
                      most that the smallest encryption parameters allow */
} spx_choose_options;

/**
 * ReLUs in the order of the graph: each stays linear where that makes all together cheaper.
 * @param s      its clamp is not read
 * @param clamp  [nodes of the graph] receives what spx_fold_input takes
 * @param any    receives whether some dropped channels stay linear; may be NULL
 * @return SPX_OK, what spx_fold_create does
 */
SPX_MUST_CHECK spx_status spx_fold_choose(bool *clamp, bool *any, const spx_fold_input *s,
                                          const spx_choose_options *o);

#endif
