#ifndef SPX_PI_CLIENT_PRIVATE_H
#define SPX_PI_CLIENT_PRIVATE_H
#include "host/secure/infer/pi_units_private.h"

struct spx_pi_client {
    spx_channel *channel;
    spx_vault *vault;
    spx_pi_units *units; /* that lie in it, of all servers and models */
    spx_deploy *model;
    spx_pi_plan *plan;
    uint8_t server[SPX_PI_ID];
    uint8_t home[SPX_PI_ID]; /* and it with the name that authenticates: whose material is whose */
    uint64_t spent;          /* first number not spent, as both parties agreed */
    uint64_t removed;        /* units of an earlier version, when this connection was opened */
    spx_prg prg;
    spx_pi_unit unit; /* that is being made or spent */
};

/* The client's share of an image or an activation, drawn from its unit's seed. */
void spx_pi_draw_masks(const spx_pi_unit *u, int value, size_t n, int64_t *out);
/* K = L0 ^ M0 of a chunk's input wires: what answers for them are made of. */
void spx_pi_draw_answers(const spx_pi_unit *u, int relu, int chunk, size_t n, spx_block *out);

/** HELLO to STATE: fills in server, home, model, plan, spent and removed. */
SPX_MUST_CHECK spx_status spx_pi_open_client(spx_pi_client *p, const unsigned char *hash);
/** @param start  INFER: of the unit that is meant; else NULL */
SPX_MUST_CHECK spx_status spx_pi_send_command(spx_channel *c, spx_pi_verb verb, uint64_t arg,
                                              const spx_block *start);

/** Where this server's and model's units begin that are numbered from `number` on. */
spx_pi_item spx_pi_client_units(const spx_pi_client *p, uint64_t number);
/** Reads what is spent; units of an earlier version are, and counted in p->removed. */
SPX_MUST_CHECK spx_status spx_pi_spent_get(spx_pi_client *p);
/** Takes over what the server holds for spent, if that is more, and removes what is. */
SPX_MUST_CHECK spx_status spx_pi_spent_agree(spx_pi_client *p, uint64_t theirs);
/** Records all up to `number` as spent, durably, and removes their files. */
SPX_MUST_CHECK spx_status spx_pi_spent_spend(spx_pi_client *p, uint64_t number);

#endif
