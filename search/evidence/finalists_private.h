#ifndef SPX_FINALISTS_PRIVATE_H
#define SPX_FINALISTS_PRIVATE_H
/* A selection under way: finalists.c orders what happens, the other files do it. */
#include "search/evidence/finalists.h"
#include "search/evidence/stats.h"

typedef enum spx_cell_kind {
    SPX_CELL_SEARCHED,
    SPX_CELL_RANDOM,
    SPX_CELL_PUBLISHED,
    SPX_CELL_KINDS
} spx_cell_kind;

typedef struct spx_finalist {
    spx_cell_kind kind;
    char name[24]; /* "searched-1" */
    uint64_t seed; /* of its search, or its drawing; 0: published */
    spx_genotype genotype;
    int64_t macs;
    bool in; /* still in the running */
} spx_finalist;

typedef struct spx_finalists {
    const spx_finalists_options *o;
    uint32_t *aside, *rest; /* images of the training split, ascending */
    size_t n_aside, n_rest;
    spx_final_spec spec; /* of all networks but for the genotype */
    int64_t relus;       /* it has */
    int64_t full_steps;  /* of an epoch */
    spx_finalist cell[SPX_FINALISTS_MAX];
    int n;
    json_t *rungs;
    int64_t evaluations; /* of the test split */
} spx_finalists;

const char *spx_cell_kind_name(spx_cell_kind k);

/** Searches and draws the cells; spec's shape is set before. */
SPX_MUST_CHECK spx_status spx_finalists_pool(spx_finalists *x);

/** Multiply-adds of a step of the searches' and of a training of `macs`. */
SPX_MUST_CHECK spx_status spx_finalists_search_macs(const spx_finalists *x, double *per_search);
double spx_finalists_train_macs(const spx_finalists *x, int64_t macs, double share);

/** Whether the run in that folder has its result. */
bool spx_finalists_done(const spx_finalists *x, const char *name);

/** SPX_ENUMERIC where the run in that folder diverged before: it would again, as all is a function
 * of options and seeds. */
SPX_MUST_CHECK spx_status spx_finalists_diverged(const spx_finalists *x, const char *name);
/** Notes in its folder that a run has diverged, as the message says.
 * @return SPX_ENUMERIC with that message; what writing returns */
SPX_MUST_CHECK spx_status spx_finalists_note(const spx_session *s);
/** Tells that something is counted as lost, and why. */
void spx_finalists_lost(const spx_finalists *x, const char *why);

/**
 * Trains a cell for a share of the steps in the folder NAME, where that is not done.
 * @return SPX_OK; SPX_ENUMERIC: it diverged, now or before; what the training returns
 */
SPX_MUST_CHECK spx_status spx_finalists_train(const spx_finalists *x, const spx_finalist *c,
                                              const char *name, uint64_t seed, int part);

/**
 * Evaluates NAME's model image by image.
 * @param subset  of the split, [n]; NULL: all of it
 * @param loss    [n] cross-entropies, or NULL
 * @param hit     [n] 1 where right, 0 where wrong, or NULL
 */
SPX_MUST_CHECK spx_status spx_finalists_measure(const spx_finalists *x, const char *name,
                                                const spx_pack *pack, spx_split split,
                                                const uint32_t *subset, size_t n, double *loss,
                                                double *hit);

/** Seconds of a step of a training of that cell. */
SPX_MUST_CHECK spx_status spx_finalists_probe(const spx_finalists *x, const spx_finalist *c,
                                              double *seconds);

/** The last trainings, the test split and what follows from it, into *result. */
SPX_MUST_CHECK spx_status spx_finalists_final(spx_finalists *x, json_t **result);

#endif
