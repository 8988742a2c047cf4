#ifndef SPX_PI_TALK_H
#define SPX_PI_TALK_H
/* What the commands of private inference share: the options of a connection, and its report. */
#include "host/cli/cli.h"
#include "host/secure/infer/infer.h"

typedef struct spx_pi_values {
    const char *psk, *cert, *key, *ca, *link;
    double timeout, deadline;
} spx_pi_values;

#define SPX_PI_OPTIONS(STRUCT, FIELD)                                                              \
    SPX_OPT(STRING, STRUCT, FIELD.psk, "psk", "FILE", NULL,                                        \
            "lines identity:KEY (openssl rand -hex 32); a client uses the first"),                 \
        SPX_OPT(STRING, STRUCT, FIELD.cert, "cert", "FILE", NULL, "own certificate, PEM"),         \
        SPX_OPT(STRING, STRUCT, FIELD.key, "key", "FILE", NULL, "its private key, PEM"),           \
        SPX_OPT(STRING, STRUCT, FIELD.ca, "ca", "FILE", NULL,                                      \
                "who must have signed the other party's certificate, PEM"),                        \
        SPX_OPT(TIME, STRUCT, FIELD.timeout, "timeout", "TIME", "60",                              \
                "give up when the other party is silent for so long", .min = 0.001, .max = 86400), \
        SPX_OPT(TIME, STRUCT, FIELD.deadline, "deadline", "TIME", "1h",                            \
                "give up when the other party only says for so long that it is busy",              \
                .min = 0.001, .max = 1e7),                                                         \
        SPX_OPT(STRING, STRUCT, FIELD.link, "link", "L", NULL,                                     \
                "imitate lan, wan or RATE,RTT (100Mbps,20ms); loopback only, both parties")

/** The channel's options as given. @return SPX_OK, or a usage error */
SPX_MUST_CHECK spx_status spx_pi_channel_options(spx_cli *cli, const spx_pi_values *v,
                                                 spx_channel_options *out);

/** Whether that option's value is written as an address, and goes with the channel's options.
 * @return SPX_OK, or a usage error */
SPX_MUST_CHECK spx_status spx_pi_address(spx_cli *cli, const char *option, const char *address,
                                         const spx_channel_options *o, bool server);

/** A word on stderr where nothing keeps a second process out of the vault. */
void spx_pi_warn_unlocked(const spx_vault *v, const char *folder);

/** {"seconds", "bytes_sent", "bytes_received", "rounds"} of 1/n of a cost; NULL: no memory. */
json_t *spx_pi_cost_json(const spx_pi_cost *c, uint64_t n);

/** {"seconds"}: what one answer keeps its user waiting for once the parties are connected and have
 * material, of n answers that cost load and online together; NULL: no memory. */
json_t *spx_pi_answer_json(const spx_pi_cost *load, const spx_pi_cost *online, uint64_t n);

/** Predicted seconds by part; NULL: no memory. */
json_t *spx_pi_parts_json(const spx_pi_parts *p);

/** {"linear", "relu", "online"} per segment; NULL: no memory. */
json_t *spx_pi_layers_json(const spx_pi_layer *layer, int n, uint64_t queries);

#endif
