#ifndef SPX_INFER_H
#define SPX_INFER_H
/*
 * Private inference of a deployed model between a client, who owns an image and learns the logits,
 * and a server, who owns the weights and learns nothing. Semi-honest parties; see
 * host/secure/messages.md for every message and why it leaks nothing.
 *
 * OFFLINE, before the image is known, the parties make single-use MATERIAL; ONLINE they spend one
 * unit of it on one image. The server numbers material. It is bound to the model's hash and both
 * identities, lies in both parties' vaults, and is spent at most once. Each party records it as
 * spent, durably, before the first byte that depends on the secret leaves it. Whenever the parties
 * meet, they exchange what they think is spent.
 */
#include "host/model/deploy.h"
#include "host/secure/channel/channel.h"
#include "host/secure/vault/vault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What a phase cost this party. */
typedef struct spx_pi_cost {
    double seconds;
    uint64_t sent, received, rounds;
} spx_pi_cost;

/** Where one ReLU layer's share of the costs lies; [n_segments] entries, the last for the logits'
 * segment (no ReLUs). Offline: its exchanges and its garbled circuits. */
typedef struct spx_pi_layer {
    spx_pi_cost linear, relu, online;
} spx_pi_layer;

/** Shown during long work; done of total units. */
typedef void (*spx_pi_progress)(void *ctx, const char *what, uint64_t done, uint64_t total);

/* ---- what both parties compute from the public model ---- */

#define SPX_PI_RATE_SETS 4 /* at least as many as there are encryption parameter sets */

typedef struct spx_pi_plan spx_pi_plan;

/** Layouts of all messages. @param m  borrowed while the plan lives. @return SPX_OK,
 * SPX_EUNSUPPORTED (a layer too wide for the encryption's noise; a query that outlives a key; over
 * 2^30 pairs of channels in all convolutions together), SPX_EINVAL, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_pi_plan_create(spx_pi_plan **out, const spx_deploy *m);
void spx_pi_plan_destroy(spx_pi_plan *p); /* NULL is a no-op */

/** Sizes that are known before anything runs: per query; keys are sent once a batch. */
typedef struct spx_pi_sizes {
    uint64_t relus, interactive; /* kept elements; those and the dropped ones that are clamped */
    uint64_t ands, wires;
    uint64_t batch_to_server, batch_to_client; /* once a batch (and its first encryption keys) */
    uint64_t offline_to_server, offline_to_client; /* per query, frames included */
    uint64_t online_to_server, online_to_client;
    uint64_t offline_rounds, online_rounds;
    uint64_t server_bytes, client_bytes; /* material at rest */
    uint64_t table_bytes;                /* of server_bytes: garbled tables */
    uint64_t weight_transforms;          /* polynomials of weights */
} spx_pi_sizes;
const spx_pi_sizes *spx_pi_plan_sizes(const spx_pi_plan *p);
/** The same of one segment alone (message frames and handshakes left out). */
spx_pi_sizes spx_pi_plan_segment(const spx_pi_plan *p, int segment);

/** Seconds of the building blocks on one thread of this machine. */
typedef struct spx_pi_rates {
    double garble, evaluate;           /* an AND gate; its tables not in a cache */
    double transfer;                   /* an oblivious transfer, both parties together */
    double request[SPX_PI_RATE_SETS];  /* encrypting a ciphertext */
    double response[SPX_PI_RATE_SETS]; /* making one, without products, and decrypting it */
    double product[SPX_PI_RATE_SETS];  /* a polynomial of weights: its transforms and product */
    double choose, answer, unmask;     /* a wire online: the server's bit, the client's label for
                                          it, the server's label from that */
    double step, sum, pack;            /* a convolution on a share (spx_conv2d_ring_work) */
    double element;                    /* an element that another public op adds */
    double seal, open;                 /* a byte of material, to disk and back */
    double drop;                       /* a byte of material that is used, wiped and given back */
    double touch;                      /* a byte of memory when it is used first */
    double pass;                       /* a byte between two processes of this machine */
    double turn;                       /* a message and its answer, however short */
} spx_pi_rates;

/** Measures them, in about a second: processor time, but for what passes between processes. */
SPX_MUST_CHECK spx_status spx_pi_rates_measure(spx_pi_rates *out, spx_vault *v);

/** Rates of one thread of a two-core AMD EPYC with AVX2 and VAES, both cores busy (`sphynx cost`).
 * They are for what must not depend on the machine it is computed on: which network is chosen, what
 * a checkpoint goes on from. */
extern const spx_pi_rates spx_pi_usual_rates;

/** Work of a query online, seconds by part; one segment's, or all. */
typedef struct spx_pi_parts {
    double linear;   /* convolutions, biases, sums on the server's shares */
    double labels;   /* choices, answers, and what they make */
    double circuits; /* evaluating */
    double material; /* what is used is wiped and given back; first use of memory */
    double pass;     /* bytes and turns between the processes, no link counted */
    double link;     /* its bytes and round trips */
} spx_pi_parts;

/** What the phases of one query take over a link, seconds. */
typedef struct spx_pi_forecast {
    double offline;    /* each party's work and the wire one after another */
    double load;       /* reading material before the image is used */
    double online;     /* parts overlap as far as the protocol lets them: within a layer the client
                       answers a chunk while the server evaluates the one before; what was not read
                       ahead is read meanwhile */
    spx_pi_parts part; /* of online; their sum is at least it, but for waiting for the disk */
} spx_pi_forecast;
/** @param segment  -1: the whole query. @param link  zeros: none */
spx_pi_forecast spx_pi_predict(const spx_pi_plan *p, const spx_pi_rates *r, spx_link link,
                               int segment);

/** Bits of a ReLU: l of its accumulator, f dropped, a kept (spx_gc_params). */
typedef struct spx_pi_width {
    int l, f, a;
} spx_pi_width;
/** 37, 20, 8: about the mean of cells of this space, for networks that have no integers yet. */
extern const spx_pi_width spx_pi_usual_width;

/** What one ReLU more costs, and what a layer of them costs beside. Layers cost differently only by
 * their widths; the convolutions are no part of it. */
typedef struct spx_pi_price {
    double offline_bytes, online_bytes; /* a ReLU, both ways, without frames and padding */
    double offline_ms, online_ms;       /* a ReLU */
    double layer_ms;                    /* a layer, online, however many its ReLUs: its round */
} spx_pi_price;
/** @param link  zeros: none (spx_link_parse: "loopback", "lan", "wan", "RATE,RTT")
 * @return SPX_OK, SPX_EINVAL (a width that cannot be garbled: the message names it) */
SPX_MUST_CHECK spx_status spx_pi_relu_price(spx_pi_price *out, const spx_pi_rates *r, spx_link link,
                                            spx_pi_width w);

/** What a secret convolution costs, on its own: one exchange for it alone. layer_ms: the exchange's
 * round, offline.
 * @return SPX_OK, SPX_EINVAL (a shape out of range), SPX_EUNSUPPORTED (no encryption for it),
 * SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_pi_conv_price(spx_pi_price *out, const spx_pi_rates *r, spx_link link,
                                            const spx_conv2d_ring_shape *shape);

/* ---- the server ---- */

typedef struct spx_pi_server_options {
    /* Of one name that authenticates, of one client where none does: */
    uint64_t quota_bytes; /* material of this model, at rest or being made; 0: no limit */
    uint64_t query_limit; /* queries prepared, ever, of this model; 0: no limit */
    uint64_t identities;  /* state folders that prepare; 0: 64, which is the most */

    uint64_t batch_limit;  /* queries of one preparation; 0: 1000 */
    double expire_seconds; /* material that is older, by the time for which the server has run, is
                              removed when one prepares, whosever it is; 0: never */
    size_t memory_bytes;   /* what all clients' work may take together; 0: no limit */
    size_t beside_bytes; /* what the program takes beside that, for the message of what is wanted */
    bool remove_others;  /* remove material of other models at the start */
    int clients;         /* served at a time, the others wait; 0: 256 */
    int evaluations; /* computing at a time, the others wait; 0: as many as there are processors */
} spx_pi_server_options;

typedef struct spx_pi_server spx_pi_server;

/** @param m, v  borrowed while the server lives
 * @return SPX_OK; SPX_EINVAL (m is a public part; memory_bytes is too little for one client: the
 * message says how much is wanted); SPX_EUNSUPPORTED; SPX_ENOMEM; what the vault gives */
SPX_MUST_CHECK spx_status spx_pi_server_create(spx_pi_server **out, const spx_deploy *m,
                                               spx_vault *v, const spx_pi_server_options *o);
void spx_pi_server_destroy(spx_pi_server *s); /* NULL is a no-op; no connection may be left */

/** Material of other models that lay in the vault at the start (remove_others: removed now). */
typedef struct spx_pi_others {
    uint64_t units, bytes;
} spx_pi_others;
spx_pi_others spx_pi_server_others(const spx_pi_server *s);

/** What one connection came to. */
typedef struct spx_pi_served {
    uint64_t prepared, answered;
    uint64_t ever_prepared, ever_answered;   /* of all that is counted with this client; prepared:
                                              begun. Far more prepared than answered is what a
                                              client does that reads weights out of preparation */
    char client[2 * SPX_VAULT_ID_BYTES + 1]; /* hexadecimal; "" before it said */
    uint8_t id[SPX_VAULT_ID_BYTES];          /* the same */
} spx_pi_served;

/**
 * Waits for the client's HELLO; from then on it is a client, and spx_channel_deadline's end is
 * lifted. On failure it has been told as far as it listens.
 */
SPX_MUST_CHECK spx_status spx_pi_hear(spx_pi_server *s, spx_channel *c, spx_pi_served *out);
/**
 * Serves a client that said HELLO, until it leaves; waits for a place first. While others wait for
 * a place or for memory, a connection that is silent for a second or begins no message for ten may
 * lose its own. The older of two connections of one client does. Any number of threads, a channel
 * each. On failure the client has been told as far as it listens, and what was begun is cleaned up.
 * @param out  as spx_pi_hear left it
 */
SPX_MUST_CHECK spx_status spx_pi_serve_heard(spx_pi_server *s, spx_channel *c, spx_pi_served *out);
/** Both. */
SPX_MUST_CHECK spx_status spx_pi_serve(spx_pi_server *s, spx_channel *c, spx_pi_served *out);

/* ---- the client ---- */

typedef struct spx_pi_client spx_pi_client;

/**
 * Says hello, receives the public model, agrees on what is spent. From then on the server keeps
 * this client's place, and hears that it is there, until it is closed: do not keep one idle.
 * @param c, v  borrowed while the client lives
 * @param hash  the model that is wanted; NULL: whichever is served
 * @return SPX_OK; SPX_EINVAL (another model is served); what the channel gives; SPX_EFORMAT
 */
SPX_MUST_CHECK spx_status spx_pi_client_open(spx_pi_client **out, spx_channel *c, spx_vault *v,
                                             const unsigned char *hash);
/** Takes leave, as far as the channel allows; NULL is a no-op. */
void spx_pi_client_close(spx_pi_client *p);

const spx_deploy *spx_pi_client_model(const spx_pi_client *p); /* public; borrowed */
const spx_pi_plan *spx_pi_client_plan(const spx_pi_client *p); /* borrowed */
/** Units of an earlier version of the program that were removed when p was opened. */
uint64_t spx_pi_client_removed(const spx_pi_client *p);
/** Queries for which material is ready. */
uint64_t spx_pi_client_ready(const spx_pi_client *p);

/**
 * The offline phase of n queries. What is finished when it fails stays.
 * @param cost   of all n together; may be NULL
 * @param layer  [n_segments], added to; may be NULL
 */
SPX_MUST_CHECK spx_status spx_pi_client_prepare(spx_pi_client *p, uint64_t n, spx_pool *pool,
                                                spx_pi_progress progress, void *ctx,
                                                spx_pi_cost *cost, spx_pi_layer *layer);

/**
 * The online phase: spends one unit of material.
 * @param image   u8, value 0's shape
 * @param logits  [classes]
 * @param load    getting the material ready at both sides, before the image is used; may be NULL
 * @param online  from the image to the logits; may be NULL
 * @param layer   [n_segments], added to; may be NULL
 * @return SPX_OK; SPX_ENOTFOUND (no material: prepare first); what the channel gives
 */
SPX_MUST_CHECK spx_status spx_pi_client_infer(spx_pi_client *p, const uint8_t *image,
                                              int64_t *logits, spx_pi_cost *load,
                                              spx_pi_cost *online, spx_pi_layer *layer);

#endif
