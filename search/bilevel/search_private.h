#ifndef SPX_SEARCH_PRIVATE_H
#define SPX_SEARCH_PRIVATE_H
/* A search under way: what search_run.c opens and search_kind.c runs. */
#include "data/loader/halves.h"
#include "search/bilevel/search_run.h"

typedef struct spx_search {
    spx_run run;
    const spx_search_options *o;
    spx_halves halves;
    spx_supernet net;
    spx_bilevel bilevel;
    spx_buffer costs;        /* host memory; no memory where they weigh nothing */
    spx_buffer alphas;       /* host memory, as of the last end of an epoch, save or finish */
    spx_genotype now, found; /* of those alphas; of the best epoch */
    spx_cell_masks now_masks, found_masks; /* likewise; none without a ReLU budget */
    spx_gate_state gates;                  /* as the alphas are */
} spx_search;

/** The functions of a search; ctx is a spx_search. */
extern const spx_run_kind spx_search_kind;

/** Brings x->alphas and x->now up to date, waiting for the steps queued. */
SPX_MUST_CHECK spx_status spx_search_look(spx_search *x);

#endif
