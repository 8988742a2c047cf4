#ifndef SPX_EVALUATE_H
#define SPX_EVALUATE_H

#include "host/graph/program.h"
#include "host/train/metrics.h"
#include "host/train/source.h"

/** Asked between batches; a failure (SPX_EINTERRUPTED) ends the evaluation. NULL: never asked. */
typedef spx_status (*spx_stop_fn)(void *ctx);

/**
 * Classification metrics of a network over a whole source (epoch 0). The host waits for the device
 * at the end only.
 * @param s     the program's stream
 * @param p     a forward program whose output 0 is the logits (batch, classes) and whose input 0 is
 *              the image; it may not read labels
 * @param b     arenas and workspace; input is set here
 * @param src   batches in the memory of the stream's device
 * @param limit at most so many batches; 0: all
 * @return SPX_OK, SPX_ENUMERIC (the loss is not finite), or what stop, the source or the program
 * returns; then *out is unspecified
 */
SPX_MUST_CHECK spx_status spx_evaluate(spx_stream *s, spx_program *p, const spx_binding *b,
                                       const spx_source *src, int64_t limit, spx_stop_fn stop,
                                       void *ctx, spx_metrics *out);

#endif
