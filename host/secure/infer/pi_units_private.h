#ifndef SPX_PI_UNITS_PRIVATE_H
#define SPX_PI_UNITS_PRIVATE_H
/*
 * The units of material that lie in a party's vault. The folder is listed once; from then on what
 * comes and goes is kept in memory, in order, so that no query and no preparation takes longer the
 * more files of others there are. Any number of threads.
 */
#include "host/secure/infer/pi_private.h"

/* How the file of a unit begins, at either party. */
typedef struct spx_pi_unit_head {
    uint64_t version; /* SPX_PI_VERSION */
    uint8_t model[SPX_PI_HASH];
    uint8_t other[SPX_PI_ID]; /* at a server: whose it is (spx_pi_owner); at a client: the server */
    uint64_t number, query;   /* query: number within its batch */
    uint64_t made_ms;         /* of the server's age; at a client 0 */
} spx_pi_unit_head;

/* A server's, before masks, chunks and choices (pi_ahead_private.h). */
typedef struct spx_pi_server_unit {
    spx_pi_unit_head head;
    spx_block start; /* of the circuits' keys */
} spx_pi_server_unit;

/* A client's, before its share of the logits. */
typedef struct spx_pi_unit {
    spx_pi_unit_head head;
    spx_gc_key key; /* its batch's */
    spx_seed seed;  /* of its masks and labels */
} spx_pi_unit;

void spx_pi_server_unit_fields(spx_wire *w, void *unit);
void spx_pi_unit_fields(spx_wire *w, void *unit);
/** The head of a unit made now. */
spx_pi_unit_head spx_pi_unit_head_of(const uint8_t model[SPX_PI_HASH],
                                     const uint8_t other[SPX_PI_ID], uint64_t number,
                                     uint64_t query);
/** Whether it is that unit's, of this version of the protocol. */
bool spx_pi_unit_is(const spx_pi_unit_head *h, const uint8_t model[SPX_PI_HASH],
                    const uint8_t other[SPX_PI_ID], uint64_t number);

#define SPX_PI_MODEL_PART 8 /* bytes of a model's hash in a file's name */

/* A unit, as its file's name tells it; ordered by owner, model, number. */
typedef struct spx_pi_item {
    uint8_t owner[SPX_PI_ID]; /* whose it is: spx_pi_owner of the other party's id */
    uint8_t model[SPX_PI_MODEL_PART];
    uint64_t number;
    uint64_t bytes;   /* of the file */
    uint64_t made_ms; /* of the server's age; 0: nobody asked */
} spx_pi_item;

typedef struct spx_pi_units spx_pi_units;

/**
 * Lists the folder.
 * @param v  borrowed
 * @param kind  't' at a server, 'u' at a client: how files' names begin
 * @return SPX_OK, SPX_ENOMEM, what the vault gives
 */
SPX_MUST_CHECK spx_status spx_pi_units_open(spx_pi_units **out, spx_vault *v, char kind);
void spx_pi_units_close(spx_pi_units *u); /* NULL is a no-op */

/** Where the units of an owner and a model begin that are numbered from `number` on. */
spx_pi_item spx_pi_item_at(const uint8_t owner[SPX_PI_ID], const uint8_t model[SPX_PI_HASH],
                           uint64_t number);
/** Makes *at the first unit that does not lie before it; false: there is none. Add 1 to its number
 * to go on. */
bool spx_pi_units_next(spx_pi_units *u, spx_pi_item *at);
/** The same among the units of at's owner and model alone. */
bool spx_pi_units_next_own(spx_pi_units *u, spx_pi_item *at);

/** A unit whose file has just been written. @return SPX_OK, SPX_ENOMEM, SPX_EIO */
SPX_MUST_CHECK spx_status spx_pi_units_add(spx_pi_units *u, spx_pi_item x);
/** Removes a unit with its file, listed or not; one that is not there is no error.
 * @return SPX_OK (the file is gone, whoever removed it), SPX_EIO (what was listed still is) */
SPX_MUST_CHECK spx_status spx_pi_units_remove(spx_pi_units *u, const spx_pi_item *x);
/** Removes this unit, listed or not, and those of its owner and model before it. */
SPX_MUST_CHECK spx_status spx_pi_units_remove_to(spx_pi_units *u, spx_pi_item last);
/** Removes the units of at's owner and model that are numbered below at's number. */
SPX_MUST_CHECK spx_status spx_pi_units_remove_below(spx_pi_units *u, spx_pi_item at);
/** Says when a unit was made. */
void spx_pi_units_date(spx_pi_units *u, const spx_pi_item *x);
void spx_pi_units_name(const spx_pi_units *u, const spx_pi_item *x, char name[SPX_PI_NAME]);

#endif
