#ifndef SPX_AUDIT_H
#define SPX_AUDIT_H
/* Where a final network spends its ReLUs, parameters and multiply-adds: its graph, walked layer by
 * layer. */
#include "search/space/spec.h"

typedef enum spx_layer_kind {
    SPX_LAYER_STEM,
    SPX_LAYER_NORMAL,
    SPX_LAYER_REDUCE,
    SPX_LAYER_STAGE,
    SPX_LAYER_AUXILIARY,
    SPX_LAYER_CLASSIFIER,
    SPX_LAYER_KIND_COUNT
} spx_layer_kind;

const char *spx_layer_kind_name(spx_layer_kind k); /* "stem", "normal", ... */

/** ReLUs, and how many of them masks keep. */
typedef struct spx_relu_count {
    int64_t kept, full;
    bool masked;         /* else they are the same */
    bool counted;        /* of a masked network: */
    int64_t interactive; /* positions that circuits evaluate where it is deployed, the kept ones and
                            more (spx_export_relus) */
} spx_relu_count;

/** Sets "relus", those kept, and where masked "relus_full" and, where counted,
 * "interactive_positions" of an object, which may be NULL. */
void spx_relu_count_json(json_t *j, const spx_relu_count *n);

typedef struct spx_layer_audit {
    spx_layer_kind kind;
    int cell;                        /* index of the cell or stage; -1 for the others */
    int64_t channels, rows, columns; /* of the layer's output */
    spx_counts counts;
    int relu_nodes;       /* of those that counts has */
    spx_relu_count relus; /* of them, too, as the network begins; search/final/mask.h: a model's */
} spx_layer_audit;

#define SPX_MAX_AUDIT_LAYERS (SPX_MAX_LAYERS + 3)

typedef struct spx_audit {
    spx_layer_audit layer[SPX_MAX_AUDIT_LAYERS]; /* in the order data flows */
    int n;
    spx_counts total; /* of the whole graph; equals the sum over layers */
    spx_relu_count relus;
} spx_audit;

/**
 * Builds the network and walks it.
 * @param auxiliary  whether the head is built and listed
 * @return as spx_build_spec
 */
SPX_MUST_CHECK spx_status spx_audit_final(spx_audit *out, const spx_final_spec *f, bool auxiliary);

/** A ReLU of a final network, as shares of a linearization and masks are given. */
typedef struct spx_relu_audit {
    char name[128]; /* its node's, cut where it is longer */
    int64_t channels, rows, columns;
    int64_t kept; /* all, until masks are counted */
} spx_relu_audit;

/**
 * Lists those outside the auxiliary head, in the order data flow.
 * @param out  receives [n]; free with spx_free
 * @return as spx_build_spec
 */
SPX_MUST_CHECK spx_status spx_audit_relus(spx_relu_audit **out, int *n, const spx_final_spec *f);

/** Only the totals. */
SPX_MUST_CHECK spx_status spx_final_count(const spx_final_spec *f, bool auxiliary, spx_counts *out);

#endif
