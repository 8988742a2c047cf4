#ifndef SPX_BASE_OT_PRIVATE_H
#define SPX_BASE_OT_PRIVATE_H
/* Chou and Orlandi's OTs of random keys (eprint 2015/267), 128 at once; see ot.h. */
#include "host/secure/ot/ot.h"

#define BASE_OTS 128
#define POINT_BYTES 32

/* The side with two keys: scalar a and point A = a G, the hello. */
typedef struct base_sender {
    uint8_t session[SPX_OT_SESSION_BYTES], scalar[32], hello[POINT_BYTES];
} base_sender;

/* Where the counters of a session's trees and leaves begin: public, a hash of the fresh hello. */
void base_ot_salt(const uint8_t *hello, spx_block *salt);

spx_status base_ot_begin(base_sender *s, const uint8_t *session, spx_prg *prg);

/* keys[i][c] for both c; refuses what is no point. */
spx_status base_ot_send(const base_sender *s, const uint8_t *points, spx_block keys[BASE_OTS][2]);

/* The side with choices, bit i of the block: keys[i] is the other's keys[i][choice]. */
spx_status base_ot_choose(const uint8_t *session, const uint8_t *hello, spx_block choices,
                          spx_prg *prg, uint8_t *points, spx_block keys[BASE_OTS]);

#endif
