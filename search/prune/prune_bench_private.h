#ifndef SPX_PRUNE_BENCH_PRIVATE_H
#define SPX_PRUNE_BENCH_PRIVATE_H
/*
 * A model on a device whose masks change from measurement to measurement: its loss with running
 * statistics estimated anew, and what a first-order score says of its positions.
 */
#include "data/loader/device_source.h"
#include "search/final/mask.h"
#include "search/prune/prune.h"

typedef struct spx_prune_bench {
    spx_stream *stream; /* borrowed, as are the model, pack and options */
    const spx_model *model;
    const spx_prune_options *o;
    const spx_pack *pack; /* as given */
    spx_pack as_model;    /* the pack, normalised as the model is */
    spx_final_spec spec;  /* the model's, masked */
    bool auxiliary;       /* the file has an auxiliary head, which stays */
    int64_t batch;
    spx_program *estimate, *evaluate;
    const spx_layout *layout;                /* of both */
    spx_buffer weights, state;               /* in host memory */
    spx_buffer device_weights, device_state; /* copies, on the stream's device */
    spx_buffer workspace;                    /* of both programs */
    spx_device_source *shown, *held;         /* for statistics; for losses */
    spx_masks masks;                         /* of state: change them freely */
} spx_prune_bench;

/** Opens it. @return as spx_prune; closes itself on failure */
SPX_MUST_CHECK spx_status spx_prune_bench_open(spx_prune_bench *b, spx_stream *stream,
                                               const spx_model *m, const spx_pack *pack,
                                               const spx_prune_options *o);
void spx_prune_bench_close(spx_prune_bench *b); /* zeroed or open */

/** Metrics of the held-out images with the masks as they are. State then holds statistics that were
 * estimated with them. */
SPX_MUST_CHECK spx_status spx_prune_bench_measure(spx_prune_bench *b, spx_metrics *out);

/**
 * First-order scores of the positions, in batch statistics: with g = d loss / d output and x the
 * operand, a batch's sum of g * min(x, 0) says by how much the loss rises when the position becomes
 * linear.
 * @param size    [masks.n] arrays [c*h*w]: the mean over batches of that sum's magnitude
 * @param change  likewise: the mean of the sum itself
 * @param channel [masks.n] arrays [c]: the mean over batches of the magnitude of a channel's sum
 */
SPX_MUST_CHECK spx_status spx_prune_bench_score(spx_prune_bench *b, float *const *size,
                                                float *const *change, float *const *channel);

#endif
