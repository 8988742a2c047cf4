#ifndef SPX_RELU_BUDGET_H
#define SPX_RELU_BUDGET_H
/*
 * What the ReLUs of a gated supernet's choices would cost in a final network of as many cells,
 * reducing where it does, but of `channels` initial ones and four times as many after each
 * reduction. A state's ReLU costs its positions in all cells of its kind; outputs' and the stem's
 * are paid in any case. Counts are walked in a network that has them all.
 */
#include "kernels/optim/gates.h"
#include "search/budget/cell_choice.h"
#include "search/supernet/supernet.h"

typedef struct spx_relu_budget {
    int64_t relus;    /* of the final network; 0: none is set */
    int64_t channels; /* that it begins with */
    int max_depth;    /* convolutions between ReLUs that masks may leave (cell_choice.h) */
} spx_relu_budget;

typedef struct spx_relu_prices {
    spx_gate_site site[2 * SPX_CELL_SITES]; /* places in an arena like the alphas' */
    double fixed;                           /* all in units of the budget */
    int64_t least, most;                    /* ReLUs with no state's kept, and with all */
} spx_relu_prices;

/**
 * @param s  gated
 * @return SPX_OK; SPX_EINVAL (a budget below the least or above the most, named; a final network
 *         that cannot be); SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_relu_prices_of(spx_relu_prices *out, const spx_supernet *s,
                                             const spx_relu_budget *b);

/** The probabilities that gates keep ReLUs. @param alphas  host memory */
SPX_MUST_CHECK spx_status spx_gate_values(const spx_supernet *s, const spx_buffer *alphas,
                                          spx_cell_values out);

#endif
