#ifndef SPX_PI_PRIVATE_H
#define SPX_PI_PRIVATE_H
/* What client and server share: the layout of the work, the messages, small helpers. */
#include "host/secure/gc/gc.h"
#include "host/secure/he/he.h"
#include "host/secure/infer/infer.h"
#include "host/secure/ot/ot.h"
#include "kernels/base/wire.h"

#define SPX_PI_MAGIC 0x68707378u /* "xsph" */
#define SPX_PI_VERSION 3         /* of the protocol and of what lies in vaults */
#define SPX_PI_ID SPX_VAULT_ID_BYTES
#define SPX_PI_HASH SPX_DEPLOY_HASH_BYTES
#define SPX_PI_NONCE 32
#define SPX_PI_MAX_NUMBER 999999999999u       /* of a unit: 12 digits in a file's name */
#define SPX_PI_MAX_MODEL ((uint64_t)64 << 20) /* bytes of a public model */
#define SPX_PI_CHUNK ((size_t)16384)          /* ReLUs garbled at a time: about 30 MB of tables */
#define SPX_PI_WINDOW ((size_t)64 << 20)      /* bytes of responses a server holds back */

/* Messages, in the order of the protocol. Every length follows from the public model. */
typedef enum spx_pi_message {
    SPX_PI_HELLO = 1, /* -> spx_pi_hello */
    SPX_PI_WELCOME,   /* <- spx_pi_welcome */
    SPX_PI_MODEL,     /* <- the public model */
    SPX_PI_STATE,     /* -> u64: first number this client has not spent */
    SPX_PI_COMMAND,   /* -> spx_pi_command */
    /* PREPARE */
    SPX_PI_ALLOW,     /* <- spx_pi_allow */
    SPX_PI_OT_HELLO,  /* <- */
    SPX_PI_OT_POINTS, /* -> */
    SPX_PI_OT_TREES,  /* <- */
    SPX_PI_START,     /* -> the garbler's public key->start */
    SPX_PI_KEYS,      /* -> public encryption keys, one per parameter set in use */
    SPX_PI_REQUEST,   /* -> encrypted shares of one exchange */
    SPX_PI_RESPONSE,  /* <- */
    SPX_PI_EXTEND,    /* <- OT extension for one chunk of a ReLU layer */
    SPX_PI_TABLES,    /* -> its garbled tables */
    SPX_PI_STORED,    /* <- u64: number of the unit the server has on disk */
    /* INFER */
    SPX_PI_READY,  /* <- u64: 1, or 0 where the server has no such unit */
    SPX_PI_SHARE,  /* -> image - mask */
    SPX_PI_CHOICE, /* <- choice corrections of one ReLU layer */
    SPX_PI_LABELS, /* -> answers for one chunk */
    SPX_PI_LOGITS  /* <- the server's share */
} spx_pi_message;

/** Lets the trace call a connection's messages by the names above. */
void spx_pi_name_messages(spx_channel *c);

typedef enum spx_pi_verb { SPX_PI_PREPARE = 1, SPX_PI_INFER, SPX_PI_BYE } spx_pi_verb;

/** Tells the trace what the messages from here on are for. */
void spx_pi_trace(const spx_channel *c, uint64_t verb, uint64_t arg);

typedef struct spx_pi_hello {
    uint32_t magic, version;
    uint8_t client[SPX_PI_ID];
    uint8_t model[SPX_PI_HASH]; /* zero: any */
} spx_pi_hello;

typedef struct spx_pi_welcome {
    uint32_t magic, version;
    uint8_t server[SPX_PI_ID];
    uint8_t model[SPX_PI_HASH];
    uint64_t model_bytes, spent; /* spent: first number the server has not spent */
} spx_pi_welcome;

typedef struct spx_pi_command {
    uint64_t verb, arg; /* PREPARE: queries; INFER: number of the unit */
    spx_block start;    /* INFER: of the unit's circuits, so that both mean the same unit */
} spx_pi_command;

typedef struct spx_pi_allow {
    uint64_t first; /* number of the batch's first unit */
    uint8_t nonce[SPX_PI_NONCE];
} spx_pi_allow;

/* The fields of the messages above, in their order on the wire; pointers are to the struct of the
 * name. */
void spx_pi_hello_fields(spx_wire *w, void *hello);
void spx_pi_welcome_fields(spx_wire *w, void *welcome);
void spx_pi_command_fields(spx_wire *w, void *command);
void spx_pi_allow_fields(spx_wire *w, void *allow);
void spx_pi_block_fields(spx_wire *w, void *block);   /* spx_block */
void spx_pi_number_fields(spx_wire *w, void *number); /* u64 */

/** One element of a list: the low n bytes of x, n of 1..8. */
void spx_pi_put_word(uint64_t x, uint8_t *out, size_t n);
uint64_t spx_pi_get_word(const uint8_t *in, size_t n);

/** A message of fixed form. @return what the channel gives */
SPX_MUST_CHECK spx_status spx_pi_send(spx_channel *c, uint32_t type, spx_wire_fields *fields,
                                      void *m);
SPX_MUST_CHECK spx_status spx_pi_recv(spx_channel *c, uint32_t type, spx_wire_fields *fields,
                                      void *m);
/** A section of a file in a vault, at most 4096 bytes. @return what the vault gives */
SPX_MUST_CHECK spx_status spx_pi_write(spx_vault_writer *w, spx_wire_fields *fields, void *m);
SPX_MUST_CHECK spx_status spx_pi_read(spx_vault_reader *r, spx_wire_fields *fields, void *m);

/* One offline exchange of encrypted shares: a connected part of one of the model's. */
typedef struct spx_pi_exchange {
    spx_he_plan *he;
    const spx_he_facts *facts;
    int segment, depth, n_in, n_out, n_conv;
    int *in, *out, *conv; /* values, values, ops */
    size_t mask;          /* where its masks begin among a unit's */
} spx_pi_exchange;

/* The elements of a ReLU layer that one circuit evaluates: all, or those that its mask keeps, or
 * those that it drops. A dropped one's signed clamp is the circuit of a ReLU of one bit more: the
 * server adds `add` to its share of what goes in, and takes `take` from what comes out. */
typedef struct spx_pi_relu {
    int op, in, out, segment;
    spx_gc_params gc;
    uint64_t add, take;
    bool dropped;
    size_t n, wires, table_bytes; /* of all chunks together */
    int chunks;
    size_t *begin; /* [chunks]: where in the layer to look for a chunk's elements; NULL: all */
    size_t choice; /* where its choices begin among a unit's, bytes */
} spx_pi_relu;

/* The most that anything takes of its kind: what parties make their buffers by. */
typedef struct spx_pi_most {
    size_t request, response, window; /* bytes of an exchange's; of a window of responses */
    size_t words;                     /* elements of an exchange's shares, in or out; twice those
                                         of a chunk that do not lie together */
    size_t apart;                     /* elements of such a chunk */
    size_t wires, room;               /* of a chunk, and for so many transfers (spx_ot_room) */
    size_t message;                   /* bytes of a chunk's transfers or tables */
    size_t piece;                     /* bytes of a chunk's keys and tables */
    size_t choices;                   /* bytes of a ReLU layer's, of all its circuits */
} spx_pi_most;

struct spx_pi_plan {
    const spx_deploy *model;
    spx_pi_exchange *exchange; /* by depth, then as in the model */
    int n_exchanges;
    spx_pi_relu *relu; /* in the order of their layers, one or two a layer */
    int n_relus;
    size_t masks;       /* words of a unit */
    size_t choices;     /* bytes of a unit */
    size_t share_bytes; /* of the image's share on the wire, an element */
    bool set_used[SPX_HE_SETS];
    uint64_t returned[SPX_HE_SETS]; /* coefficients a query takes of a key's life */
    size_t public_bytes;            /* of the keys in use */
    spx_pi_most most;
    spx_pi_sizes sizes;
};

/** The end of the window of exchanges that begins at `first`: one depth, bounded responses. */
int spx_pi_window_end(const spx_pi_plan *p, int first);

/* ReLUs, wires and table bytes of chunk k of a layer. */
typedef struct spx_pi_chunk {
    size_t first, n, wires, table_bytes; /* first: among those that the circuit evaluates */
    size_t begin;                        /* where in the layer they begin */
} spx_pi_chunk;
spx_pi_chunk spx_pi_chunk_of(const spx_pi_relu *r, int k);

/** Fills p->relu and p->choices. */
SPX_MUST_CHECK spx_status spx_pi_plan_relus(spx_pi_plan *p);

/** The circuit behind relu that no longer belongs to its layer. */
int spx_pi_layer_end(const spx_pi_plan *p, int relu);

/**
 * A chunk's elements of a value of the layer's shape, plus r->add where `add`.
 * @param room  [SPX_PI_CHUNK] where they are put if they do not lie together unchanged
 * @return where they are: [k->n]
 */
const uint64_t *spx_pi_gather(const spx_deploy *m, const spx_pi_relu *r, const spx_pi_chunk *k,
                              bool add, const int64_t *from, uint64_t *room);
/** The way back, less r->take. @param from  may be `to + k->first` of elements that lie together */
void spx_pi_scatter(const spx_deploy *m, const spx_pi_relu *r, const spx_pi_chunk *k,
                    const uint64_t *from, int64_t *to);

/** Queries that one set of encryption keys serves; at least 1. */
uint64_t spx_pi_key_queries(const spx_pi_plan *p);

/** The batch of gates of a chunk. @param query  number within the batch of material */
spx_gc_batch spx_pi_gc_batch(const spx_pi_plan *p, int relu, const spx_pi_chunk *k, uint64_t query,
                             spx_pool *pool);

/** What both sides bind their transfers to: hash of both ids, the model and the server's nonce. */
void spx_pi_session(const uint8_t client[SPX_PI_ID], const uint8_t server[SPX_PI_ID],
                    const uint8_t model[SPX_PI_HASH], const uint8_t nonce[SPX_PI_NONCE],
                    uint8_t out[SPX_OT_SESSION_BYTES]);

/** A party's shares of all values of one query: words + spx_deploy_begin(v). */
typedef struct spx_pi_shares {
    const spx_deploy *model;
    int64_t *word;
    void *scratch;
    spx_pool *pool;
} spx_pi_shares;
SPX_MUST_CHECK spx_status spx_pi_shares_create(spx_pi_shares *s, const spx_deploy *m,
                                               spx_pool *pool);
void spx_pi_shares_clear(spx_pi_shares *s); /* wipes */
int64_t *spx_pi_share(const spx_pi_shares *s, int value);

/** Wipes and frees a block of spx_alloc; NULL is a no-op. */
void spx_pi_free_secret(void *p, size_t bytes);

/** The low `bits` bits of x as a signed number. */
int64_t spx_pi_signed(uint64_t x, int bits);

/** "prefix-CLIENT-MODEL" or "prefix-CLIENT-MODEL-NUMBER" (number >= 0): names in vaults. */
#define SPX_PI_NAME 101
void spx_pi_name(char name[SPX_PI_NAME], char prefix, const uint8_t id[SPX_PI_ID],
                 const uint8_t model[SPX_PI_HASH], int64_t number);
/** Whose material is whose: an id together with the name that authenticates; the id alone where
 * that is "". So material made under one name is never another's. */
void spx_pi_owner(const uint8_t id[SPX_PI_ID], const char *peer, uint8_t out[SPX_PI_ID]);
/** The number at the end of a unit's name, -1 where there is none. */
int64_t spx_pi_name_number(const char *name);

/**
 * Small records, at most 4096 bytes, with the version of the protocol that wrote them.
 * @param version  SPX_PI_VERSION, or that of an earlier program
 * @return what spx_vault_put and spx_vault_get do
 */
SPX_MUST_CHECK spx_status spx_pi_record_put(spx_vault *v, const char *name, spx_wire_fields *fields,
                                            void *m);
SPX_MUST_CHECK spx_status spx_pi_record_get(spx_vault *v, const char *name, spx_wire_fields *fields,
                                            void *m, uint64_t *version);

/** Adds what happened on c since *at (traffic and seconds) to cost, and moves *at on. */
typedef struct spx_pi_mark {
    double seconds;
    spx_traffic traffic;
} spx_pi_mark;
spx_pi_mark spx_pi_mark_now(const spx_channel *c);
void spx_pi_mark_add(const spx_channel *c, spx_pi_mark *at, spx_pi_cost *cost);

#endif
