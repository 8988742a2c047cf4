#ifndef SPX_SEARCH_DATA_PRIVATE_H
#define SPX_SEARCH_DATA_PRIVATE_H
/* The training split as a search takes it: halved, on its way to the device. */
#include "data/loader/device_source.h"
#include "search/bilevel/search_run.h"

/* Uses of the halves, each with batches of its own. */
typedef enum spx_search_half {
    SPX_HALF_WEIGHTS, /* the first half, augmented */
    SPX_HALF_ALPHAS,  /* the second, augmented */
    SPX_HALF_CHECK,   /* the second as validation reads it */
    SPX_HALF_COUNT
} spx_search_half;

typedef struct spx_search_data {
    spx_device_split *split; /* the whole of it on the device; or NULL */
    spx_device_source *batches[SPX_HALF_COUNT];
    spx_source source[SPX_HALF_COUNT];
} spx_search_data;

/** @return what spx_split_halves and spx_device_source_open return; close what comes back */
SPX_MUST_CHECK spx_status spx_search_data_open(spx_search_data *d, spx_stream *s,
                                               const spx_search_options *o);
void spx_search_data_close(spx_search_data *d); /* zeroed or opened */

#endif
