#ifndef SPX_PI_BATCH_PRIVATE_H
#define SPX_PI_BATCH_PRIVATE_H
/* What a party keeps from unit to unit while a batch is prepared. */
#include "host/secure/infer/pi_client_private.h"
#include "host/secure/infer/pi_server_private.h"

/* A client's; in memory for secrets. */
typedef struct spx_pi_garbling {
    spx_pi_client *p;
    spx_pool *pool;
    spx_seed seed; /* of all the client draws for the batch */
    spx_gc_key key;
    spx_ot_sender *ot;
    spx_he_key *he[SPX_HE_SETS];
    spx_prg encryption, coins; /* of the unit at work; of what is drawn once */
    spx_pi_shares shares;
    uint8_t *request, *response; /* one exchange's */
    uint64_t *words;             /* one exchange's shares */
    spx_block *zero;             /* one chunk's labels, then what answers for them */
    uint8_t *message;            /* one chunk's OT message, then its tables */
    spx_pi_layer *layer;
} spx_pi_garbling;

SPX_MUST_CHECK spx_status spx_pi_garbling_create(spx_pi_garbling **out, spx_pi_client *p,
                                                 spx_pool *pool, spx_pi_layer *layer);
void spx_pi_garbling_destroy(spx_pi_garbling *b); /* wipes; NULL is a no-op */

/* A server's. */
typedef struct spx_pi_evaluating {
    spx_pi_session_state *t;
    spx_ot_receiver *ot;
    spx_block start;
    spx_he_public *pk[SPX_HE_SETS];
    uint8_t *keys_message;
    uint8_t *request;
    uint8_t *responses; /* of a window */
    uint64_t *masks;    /* of a unit */
    uint8_t *choices;   /* of a unit */
    uint8_t *drawn;     /* one chunk's choices, with room for padding */
    spx_block *keys;    /* one chunk's */
    uint8_t *message;   /* one chunk's OT message, then its tables */
} spx_pi_evaluating;

/** Clear it also on failure. */
SPX_MUST_CHECK spx_status spx_pi_evaluating_init(spx_pi_evaluating *b, spx_pi_session_state *t);
void spx_pi_evaluating_clear(spx_pi_evaluating *b);

#endif
