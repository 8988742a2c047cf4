#ifndef SPX_MASK_H
#define SPX_MASK_H
/*
 * The masks of a masked network's ReLUs (spx_graph_mask_relus), as a host reads and sets them: 1
 * keeps the ReLU of a position, 0 makes it linear. They are states, so that models and checkpoints
 * hold them as "buffer" arrays NAME.mask. While they are trained they are architecture parameters,
 * and any numbers of 0..1.
 */
#include "host/graph/layout.h"
#include "search/space/audit.h"

/** The mask of one ReLU. */
typedef struct spx_mask_site {
    const char *relu; /* its node's name; borrowed of the list */
    int block;        /* the cell or block it belongs to; -1: none */
    int64_t c, h, w;  /* of its input */
    float *keep;      /* [c*h*w], in their arena: 0 or 1, or where trained between */
} spx_mask_site;

/** In graph order: the order data flows. */
typedef struct spx_masks {
    spx_mask_site *site;
    int n; /* 0: the network is not masked */
    spx_graph *graph;
    spx_buffer own; /* states that go with the list (spx_model_masks) */
} spx_masks;

/**
 * @param l      of a program of the network, with or without auxiliary head
 * @param state  its arena of states, or of architecture parameters where f says that masks are
 *               trained, in host memory, which outlives out
 * @return SPX_OK, SPX_EINVAL (not the network's layout, memory of another device), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_masks_of(spx_masks *out, const spx_final_spec *f, const spx_layout *l,
                                       const spx_buffer *state);
void spx_masks_clear(spx_masks *m); /* zeroed or made by spx_masks_of */

int64_t spx_mask_site_positions(const spx_mask_site *s); /* all: c * h * w */
int64_t spx_mask_site_relus(const spx_mask_site *s);     /* kept ones */
int64_t spx_masks_relus(const spx_masks *m);
/** Puts what the masks keep into an audit of their network; without masks it stays as it is. */
void spx_masks_audit(const spx_masks *m, spx_audit *a);

#endif
