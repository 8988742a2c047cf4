#ifndef SPX_PI_SERVER_PRIVATE_H
#define SPX_PI_SERVER_PRIVATE_H
#include "host/secure/infer/pi_unit_private.h"

#include <pthread.h>

/* What a server remembers of a client and a model, a record in its vault. */
typedef struct spx_pi_ledger {
    uint64_t spent;    /* first number not spent */
    uint64_t next;     /* first number never given out */
    uint64_t answered; /* queries, ever */
    char peer[128];    /* the authenticated name the client first came with */
} spx_pi_ledger;

#define SPX_PI_MAX_ACTIVE 256

struct spx_pi_server {
    const spx_deploy *model;
    spx_pi_plan *plan;
    spx_vault *vault;
    spx_pi_server_options options;
    void *public_data; /* the public model */
    size_t public_bytes;
    pthread_mutex_t lock;                         /* of `active` */
    uint8_t active[SPX_PI_MAX_ACTIVE][SPX_PI_ID]; /* clients being served */
    int n_active;
};

/* One connection. */
typedef struct spx_pi_session_state {
    spx_pi_server *s;
    spx_channel *channel;
    uint8_t client[SPX_PI_ID];
    spx_pi_ledger ledger;
    spx_prg *prg; /* in memory for secrets */
    spx_pi_served *served;
} spx_pi_session_state;

SPX_MUST_CHECK spx_status spx_pi_ledger_put(spx_pi_session_state *t);
/** PREPARE and INFER, after their command. */
SPX_MUST_CHECK spx_status spx_pi_serve_prepare(spx_pi_session_state *t, uint64_t n);
SPX_MUST_CHECK spx_status spx_pi_serve_infer(spx_pi_session_state *t, uint64_t number,
                                             spx_block start);

#endif
