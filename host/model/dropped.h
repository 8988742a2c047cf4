#ifndef SPX_DROPPED_H
#define SPX_DROPPED_H
/*
 * Linear or clamped: what becomes of whole channels that a mask drops, and of ReLUs that a network
 * never had where others have one. Linear ones cost nothing themselves, but lengthen the chain of
 * convolutions that the next ReLUs read: some ten bits each, which every interactive position
 * behind pays for, and beyond some length no weights fit. Clamped ones cost about what a ReLU does.
 *
 * Both are compared by estimates of widths, which proofs follow later. Of a first convolution:
 * a + b + log2(n) - 2.9 bits for n weights an output, of each further one b - 2.4 + log2(n) / 2:
 * weights of a normal distribution that use b bits, of random signs.
 *
 * A network whose chains leave their weights SPX_CHOOSE_WEIGHT_BITS or more, by these estimates, is
 * clamped in what masks drop alone. In another, whatever a convolution reads may be, too.
 */
#include "host/model/fold.h"

#define SPX_CHOOSE_WEIGHT_BITS 4
/* Estimates to try until one is followed by a proof: they are some bits too low where many paths
 * meet. */
#define SPX_CHOOSE_TRIES 4

typedef struct spx_choose_options {
    int weight_bits, activation_bits; /* as quantisation takes them; 0: 8 */
    int most_bits; /* what no ReLU of a masked network shall read more of, unless one does with all
                      clamped; 0: 37, the most that the smallest encryption parameters allow */
    int limit;     /* what none can read more of: quantisation's most_bits; 0: 58 */
    int tried;     /* 0..SPX_CHOOSE_TRIES - 1: choices for which there was no proof. The last clamps
                      all that can be clamped */
} spx_choose_options;

/** What a choice comes to, by estimates. */
typedef struct spx_choice_estimate {
    double bytes;  /* of all interactive positions, prepared and answered */
    double widest; /* bits that a ReLU or the logits read at most */
    bool lacking;  /* whether a chain leaves its weights fewer bits than wanted */
} spx_choice_estimate;

/** @param s  with a clamp. @return what spx_fold_create does */
SPX_MUST_CHECK spx_status spx_fold_estimate(spx_choice_estimate *out, const spx_fold_input *s,
                                            const spx_choose_options *o);

/**
 * From all clamped, what is cheapest in bytes: sites change one after another, then together with
 * near ones, until no change is cheaper (a large network ends after some estimates). On networks
 * small enough to try all choices that is the best of them (tests/model/test_dropped.c).
 * @param s      its clamp is not read
 * @param clamp  [nodes of the graph] receives what spx_fold_input takes
 * @param any    receives whether something that could be clamped stays linear; may be NULL
 * @return SPX_OK, what spx_fold_create does
 */
SPX_MUST_CHECK spx_status spx_fold_choose(bool *clamp, bool *any, const spx_fold_input *s,
                                          const spx_choose_options *o);

#endif
