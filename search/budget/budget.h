#ifndef SPX_BUDGET_H
#define SPX_BUDGET_H
/*
 * The controller: the best final network of a genotype whose counted ReLUs stay within a hard
 * budget. README.md beside this file gives the score and its reasons.
 */
#include "search/space/audit.h"
#include "search/space/cell_masks.h"

#define SPX_PLAN_MAX_LAYERS 20     /* default bound on depth; twice the deepest published network */
#define SPX_PLAN_MAX_CHANNELS 4096 /* initial ones: what builders take */

typedef struct spx_plan_bounds {
    int64_t relus;                  /* never exceeded; >= 1 */
    int64_t max_params, max_macs;   /* without the auxiliary head, per image; 0: no bound */
    int64_t min_layers, max_layers; /* 2 <= min <= max <= SPX_MAX_LAYERS */
    const int *reduce_at;           /* [2], the only placement allowed; NULL: any */
} spx_plan_bounds;

typedef struct spx_plan_choice {
    int64_t init_channels, layers;
    int reduce_at[2];
    spx_counts counts; /* of the network, built and walked; ReLUs: those that its mask keeps */
    double score;
    bool masked;         /* by one of the planner's masks; else all ReLUs are kept */
    spx_cell_sites keep; /* what it keeps */
} spx_plan_choice;

/** Remembers what the networks of one genotype and task cost, so that many budgets are cheap. */
typedef struct spx_planner spx_planner;

/** @return SPX_OK; SPX_EINVAL for a genotype or an input no network exists for; SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_planner_create(spx_planner **out, const spx_genotype *g,
                                             const spx_input_shape *input, int64_t classes);
void spx_planner_destroy(spx_planner *p); /* NULL is a no-op */

/**
 * From now on every network has one of these masks in all its cells. The choice chooses it, too:
 * SPX_PLAN_MASK_WEIGHT * ln(value) joins the score.
 * @param m  of the genotype; copied; of none nothing changes
 */
void spx_planner_set_masks(spx_planner *p, const spx_cell_masks *m);
#define SPX_PLAN_MASK_WEIGHT 1.0

/**
 * The network of the largest score within bounds (ties: more multiply-adds, then fewer sites,
 * then fewer layers, then the earlier placement).
 * @return SPX_OK; SPX_EINVAL (bounds); SPX_ENOTFOUND when nothing fits, naming the smallest
 * possible number of what does not; SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_planner_best(spx_planner *p, const spx_plan_bounds *b,
                                           spx_plan_choice *out);

/** The documented score of a shape; larger is better, 0 at 5 channels, 5 layers, reductions at
 * 0, 1. */
double spx_plan_score(int64_t init_channels, int64_t layers, const int reduce_at[2]);

/** The network of a choice; mean and std are zero. */
spx_final_spec spx_plan_spec(const spx_plan_choice *c, const spx_genotype *g,
                             const spx_input_shape *input, int64_t classes);

#endif
