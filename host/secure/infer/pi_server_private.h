#ifndef SPX_PI_SERVER_PRIVATE_H
#define SPX_PI_SERVER_PRIVATE_H
#include "host/secure/infer/pi_units_private.h"

#include <pthread.h>

/* What a server remembers of a client and a model, a record in its vault. */
typedef struct spx_pi_ledger {
    uint64_t spent;    /* first number not spent */
    uint64_t next;     /* first number never given out */
    uint64_t answered; /* queries, ever */
    char peer[128];    /* the authenticated name the client came with */
} spx_pi_ledger;
void spx_pi_ledger_fields(spx_wire *w, void *ledger);

#define SPX_PI_IDENTITIES 64

/* A client that has prepared, and when it last came (of the server's age). */
typedef struct spx_pi_identity {
    uint8_t client[SPX_PI_ID];
    uint64_t seen_ms;
} spx_pi_identity;

/* What a server remembers of who authenticates (of a client, where nobody does) and a model, a
 * record in its vault. It is written when numbers are given out, never because somebody came. */
typedef struct spx_pi_tally {
    uint64_t named;    /* somebody authenticated: kept for good */
    uint64_t given;    /* numbers, ever; of a batch that broke off, those that were begun */
    uint64_t answered; /* queries, ever */
    uint64_t n;
    spx_pi_identity identity[SPX_PI_IDENTITIES];
} spx_pi_tally;
void spx_pi_tally_fields(spx_wire *w, void *tally);

/* What the vault keeps of the server itself. */
typedef struct spx_pi_server_record {
    uint64_t reserved; /* no number from here on was given out */
    uint64_t floor;    /* where clients that the server does not know begin */
    uint64_t age_ms;
} spx_pi_server_record;
void spx_pi_server_record_fields(spx_wire *w, void *record);

/* A tally while somebody of it is here. */
typedef struct spx_pi_account {
    struct spx_pi_account *next;
    uint8_t key[SPX_PI_ID];
    int uses;             /* under the server's lock */
    pthread_mutex_t lock; /* of what follows; held while the tally is written, others are not */
    bool loaded, dirty;
    spx_pi_tally tally;
    uint64_t being_made; /* bytes of preparations going on */
} spx_pi_account;

/* Connections that said HELLO, in order of arrival, the evaluations that run, and the memory that
 * all of them share (pi_queue.c). */
typedef struct spx_pi_queue {
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool made;
    int places, turns, busy; /* clients served at a time; evaluations at a time, and now */
    size_t memory, left;     /* bytes; memory 0: no limit */
    uint64_t tickets;
    struct spx_pi_session_state *first;
} spx_pi_queue;

struct spx_pi_server {
    const spx_deploy *model;
    spx_pi_plan *plan;
    spx_vault *vault;
    spx_pi_units *units; /* that lie in it, of all clients and models */
    spx_pi_server_options options;
    void *public_data; /* the public model */
    size_t public_bytes;
    spx_pi_others others;
    size_t prepare_bytes, query_bytes, piece_bytes; /* what a phase takes; the largest chunk */

    pthread_mutex_t record; /* of what follows; no session waits for it but to prepare */
    uint64_t given;         /* numbers, to all clients together */
    uint64_t reserved, floor, age_before, saved_ms; /* see pi_account.c */
    double started;

    pthread_mutex_t sweep; /* held while what is old is looked for */
    double swept_units, swept_accounts;

    pthread_mutex_t lock; /* of `accounts`; never held over files */
    spx_pi_account *accounts;
    spx_pi_queue queue;
};

/* One connection. */
typedef struct spx_pi_session_state {
    spx_pi_server *s;
    spx_channel *channel;
    uint8_t said[SPX_PI_ID]; /* the id that the client states */
    uint8_t
        client[SPX_PI_ID]; /* and it with the name that authenticates: whose material is whose */
    spx_pi_account *account;
    spx_pi_ledger ledger;
    spx_prg *prg; /* in memory for secrets */
    bool known;   /* the ledger is in the vault */
    spx_pi_served *served;
    /* under the queue's lock */
    struct spx_pi_session_state *next;
    bool inside, held_up; /* has a place; cannot have one, even if there is one */
    bool online;
    uint64_t ticket, memory_ticket; /* waits for a turn, for memory; 0: does not */
    size_t memory;                  /* bytes taken */
} spx_pi_session_state;

SPX_MUST_CHECK spx_status spx_pi_queue_init(spx_pi_queue *q, const spx_pi_server_options *o);
void spx_pi_queue_clear(spx_pi_queue *q);
/** Waits for a place; an older connection of the same client loses its own. @return SPX_OK (leave
 * afterwards), SPX_EINVAL (the client is told why), what spx_channel_check gives */
SPX_MUST_CHECK spx_status spx_pi_enter(spx_pi_session_state *t);
void spx_pi_leave(spx_pi_session_state *t);
/** Waits for a turn to compute, first come, first served, but online phases first. Nothing may be
 * received while one has it. @return SPX_OK (end it afterwards), what spx_channel_check gives */
SPX_MUST_CHECK spx_status spx_pi_turn(spx_pi_session_state *t, bool online);
spx_status spx_pi_turn_end(spx_pi_session_state *t, spx_status st); /* returns st */
/**
 * Takes between least and most bytes of memory, t->memory: less the less there is left, so that one
 * does not leave the others without. Waits in line; for who is first in it, clients that hold some
 * and keep the server waiting lose their connections.
 * @param least  at most q->memory. @return SPX_OK (give afterwards), what spx_channel_check gives
 */
SPX_MUST_CHECK spx_status spx_pi_memory_take(spx_pi_session_state *t, size_t least, size_t most);
void spx_pi_memory_give(spx_pi_session_state *t); /* what it has, if any */
/* What expr comes to, within a turn of t's. */
#define IN_TURN(t, online, expr)                                                                   \
    (spx_pi_turn((t), (online)) != SPX_OK ? SPX_EIO : spx_pi_turn_end((t), (expr)))

/** Reads the client's ledger; who is not known begins above all that was given out. @return SPX_OK,
 * SPX_EINVAL (of another name), what the vault gives */
SPX_MUST_CHECK spx_status spx_pi_ledger_get(spx_pi_session_state *t);
SPX_MUST_CHECK spx_status spx_pi_ledger_put(spx_pi_session_state *t);
/** Takes over what the client holds for spent, if that is more, and removes what is. */
SPX_MUST_CHECK spx_status spx_pi_ledger_agree(spx_pi_session_state *t, uint64_t theirs);
/** Records all up to `number` as spent, durably, and removes their files. */
SPX_MUST_CHECK spx_status spx_pi_ledger_spend(spx_pi_session_state *t, uint64_t number);

/** The server's own record: numbers given out, and its age. @param fresh  there is none */
SPX_MUST_CHECK spx_status spx_pi_server_load(spx_pi_server *s, bool *fresh);
SPX_MUST_CHECK spx_status spx_pi_server_save(spx_pi_server *s);
/** Milliseconds for which it has run, in all its lives: no clock that somebody sets. */
uint64_t spx_pi_server_age(const spx_pi_server *s);
/** Where a client that it does not know begins: above whatever it may have had once. */
uint64_t spx_pi_server_floor(spx_pi_server *s);
/** Removes material that is too old; one thread at a time, the others go on. */
SPX_MUST_CHECK spx_status spx_pi_server_expire_units(spx_pi_server *s);
/** The same of clients. It lists the folder: not while a client waits. */
SPX_MUST_CHECK spx_status spx_pi_server_expire_accounts(spx_pi_server *s);
/** At the start: loads the record, takes over an earlier program's, counts other models' units. */
SPX_MUST_CHECK spx_status spx_pi_server_survey(spx_pi_server *s);

/** Who is counted together: all of one name; a client alone where nobody has one ("" ). */
void spx_pi_account_key(const char *peer, const uint8_t client[SPX_PI_ID], uint8_t key[SPX_PI_ID]);
/** Opens the session's account. */
SPX_MUST_CHECK spx_status spx_pi_account_enter(spx_pi_session_state *t);
void spx_pi_account_leave(spx_pi_session_state *t);
/** Whether n units at a time are allowed, have numbers, find room on the disk, and limit,
 * identities and quota allow them now. Nothing is taken. */
SPX_MUST_CHECK spx_status spx_pi_account_room(spx_pi_session_state *t, uint64_t n);
/** n numbers and material for them, if limit, identities and quota still allow; recorded. */
SPX_MUST_CHECK spx_status spx_pi_account_allow(spx_pi_session_state *t, uint64_t n);
/** The end of a batch of n, of which so many units were not begun. */
void spx_pi_account_settle(spx_pi_session_state *t, uint64_t n, uint64_t unused);
/** Counts an answer, if the limit allows. */
SPX_MUST_CHECK spx_status spx_pi_account_answer(spx_pi_session_state *t);
/** What a phase takes of a server's memory. */
size_t spx_pi_prepare_bytes(const spx_pi_plan *p);
size_t spx_pi_query_bytes(const spx_pi_plan *p);
/** What an earlier program counted. */
SPX_MUST_CHECK spx_status spx_pi_account_adopt(spx_pi_server *s, const uint8_t key[SPX_PI_ID],
                                               const uint8_t model[SPX_PI_HASH],
                                               const uint8_t client[SPX_PI_ID],
                                               const spx_pi_ledger *old);
/** HELLO, from whomever. */
SPX_MUST_CHECK spx_status spx_pi_recv_hello(const spx_pi_server *s, spx_channel *c,
                                            spx_pi_served *out);
/** What follows it, until both parties agree on what is spent. */
SPX_MUST_CHECK spx_status spx_pi_open_server(spx_pi_session_state *t);
SPX_MUST_CHECK spx_status spx_pi_recv_command(spx_channel *c, spx_pi_command *m);
/** PREPARE and INFER, after their command. */
SPX_MUST_CHECK spx_status spx_pi_serve_prepare(spx_pi_session_state *t, uint64_t n);
SPX_MUST_CHECK spx_status spx_pi_serve_infer(spx_pi_session_state *t, uint64_t number,
                                             spx_block start);

#endif
