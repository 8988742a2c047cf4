#ifndef SPX_PI_AHEAD_PRIVATE_H
#define SPX_PI_AHEAD_PRIVATE_H
/*
 * A server's unit of material on disk, written chunk by chunk and read ahead by a thread of its
 * own, so that neither its size nor the disk is felt online. Sections: head, masks, then for every
 * chunk of every ReLU layer its transfer keys and its tables, then all choices.
 */
#include "host/secure/infer/pi_units_private.h"

/** Bytes read ahead at most, where there is memory. */
#define SPX_PI_AHEAD ((size_t)256 << 20)

typedef struct spx_pi_ahead spx_pi_ahead;

/**
 * Opens a unit and begins to read; returns once head, masks and choices are there and either all is
 * read or `most` bytes are. The file may be removed at once.
 * @param most    bytes held at a time; a chunk that is larger is held alone
 * @param masks   [plan->masks]; @param choices [plan->choices]
 */
SPX_MUST_CHECK spx_status spx_pi_ahead_open(spx_pi_ahead **out, const spx_pi_plan *p, spx_vault *v,
                                            const char *name, spx_pi_server_unit *unit,
                                            uint64_t *masks, uint8_t *choices, size_t most);
/** The next chunk, in order; the pointers hold until the next call. */
SPX_MUST_CHECK spx_status spx_pi_ahead_next(spx_pi_ahead *a, const spx_block **keys,
                                            const uint8_t **tables);
void spx_pi_ahead_close(spx_pi_ahead *a); /* NULL is a no-op */

#endif
