#ifndef SPX_LINEARIZER_PRIVATE_H
#define SPX_LINEARIZER_PRIVATE_H
/* What linearizer.c and linearizer_snl.c share. */
#include "search/final/linearizer.h"

#define SPX_SCORE_NAME_BYTES 256

/* What a method adds up in every step, for each layer: by the first of its maps it chooses. */
typedef struct spx_linearizer_method {
    const char *map[4]; /* NULL ends them */
    const char *table;  /* of all layers, beside them: of rows numbers a layer */
    int rows;
    spx_status (*watch)(void *linearizer, const spx_binding *b, const spx_guard *guard);
} spx_linearizer_method;

struct spx_linearizer {
    const spx_linearize_options *o; /* borrowed, as are the next two */
    spx_stream *stream;
    const spx_program *program;
    const spx_linearizer_method *method;
    int maps;                  /* of the method */
    const spx_layout *network; /* the program's */
    spx_linear_schedule schedule;
    spx_buffer twin;   /* host twin of the arena that masks are in: states, or snl's scores */
    spx_masks masks;   /* in it */
    int first;         /* site that is the first to be chosen from: 1 behind a linear stem */
    int64_t second;    /* epoch that the second stage begins with; snl: far off until it is known */
    int64_t *keep;     /* senet: of each layer */
    spx_snl snl;       /* snl */
    spx_layout layout; /* the network's entries, borrowed, then those of scores */
    char (*name)[SPX_SCORE_NAME_BYTES];
    spx_buffer scores;
    spx_buffer gradient; /* snl: of the masks */
    spx_watch watch;
};

/* snl's arena of scores, its twin and its gradient: masks as the network has them, then as much of
 * their first and of their second moments, then the penalty. */
SPX_MUST_CHECK spx_status spx_snl_open(spx_linearizer *z);
/* Trains the masks; see spx_watch. */
SPX_MUST_CHECK spx_status spx_snl_step(void *linearizer, const spx_binding *b,
                                       const spx_guard *guard);
void spx_snl_begin(spx_linearizer *z); /* what a new run begins with, into the twin */
/* Judges the epoch before, as one begins; where it was the last with trained masks, sets them.
 * Waits for the stream. */
SPX_MUST_CHECK spx_status spx_snl_turn(spx_linearizer *z, int64_t epoch);
int64_t spx_snl_above(const spx_linearizer *z); /* of the twin's masks, above the threshold */

#endif
