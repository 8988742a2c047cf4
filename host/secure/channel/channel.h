#ifndef SPX_CHANNEL_H
#define SPX_CHANNEL_H
/*
 * One connection between two parties: messages of known type and bounded length, over TCP (TLS 1.3
 * with mutual authentication, or plain on the loopback interface) or a pair of sockets.
 *
 * Frame: type u32, zero u32, payload bytes u64, due time u64 (nanoseconds of the monotonic clock; 0
 * without link emulation), little-endian, then the payload. Type 0 ends the conversation and
 * carries a line of text for the other party's user. SPX_CHANNEL_ALIVE says that the sender still
 * computes, or that the receiver waits in a queue; it may carry such a line, too.
 *
 * No peer can make a call hang: it ends with a status and one line of text. That covers a peer that
 * vanishes, is silent for longer than the timeout, or sends less than 1 KB a second. It covers one
 * that only says that it is alive for longer than the deadline, or sends another type or length
 * than expected. One thread at a time, but for spx_channel_cut and spx_channel_silence.
 */
#include "kernels/base/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A link to imitate on the loopback interface; zeros: none. */
typedef struct spx_link {
    double bytes_per_second, rtt_seconds;
} spx_link;

/** "loopback" (none), "lan" (3 Gbit/s, 0.3 ms), "wan" (400 Mbit/s, 40 ms) or "RATE,RTT" such as
 * "100Mbps,20ms" (kbps, Mbps, Gbps; us, ms, s). @return SPX_OK, SPX_EINVAL */
SPX_MUST_CHECK spx_status spx_link_parse(const char *text, spx_link *out);

/** Who we are and whom we believe; all NULL: plain, allowed on the loopback interface only. Files
 * of keys (psk_path, key) that group or others can read are refused: SPX_EINVAL. */
typedef struct spx_channel_security {
    const char
        *psk_path; /* lines "identity:hex" of 32-byte keys, comments after #; a client's first */
    const char *cert, *key, *ca; /* PEM files; the peer's certificate must be signed by ca */
    const char *allow; /* a server's: names, one a line, that a client's certificate must carry one
                          of; NULL: any that ca signed */
} spx_channel_security;

typedef struct spx_channel_options {
    spx_channel_security security;
    double timeout;         /* seconds without progress; 0: 60 */
    double deadline;        /* seconds to wait for a message of one that is alive; 0: 3600 */
    double wait;            /* seconds to try connecting again where nobody listens yet */
    spx_link link;          /* both parties on this machine only */
    const atomic_int *stop; /* not 0: waiting ends with SPX_EINTERRUPTED; may be NULL */
    const atomic_int
        *reload; /* a listener reads its key files again when it changed; may be NULL */
    /* Told one line: to a client, what the other party says of its queue; to a listener's owner,
     * that keys were read again. By the thread that receives or accepts. May be NULL. */
    void (*notice)(void *ctx, const char *line);
    void *notice_ctx;
} spx_channel_options;

#define SPX_CHANNEL_FRAME_BYTES 24 /* before each payload */
#define SPX_CHANNEL_ALIVE 0xffffffffu
#define SPX_CHANNEL_ADDRESS 72 /* bytes of "[v6%zone]:port" */

typedef struct spx_channel spx_channel;
typedef struct spx_listener spx_listener;

/** Whether that is "HOST:PORT", whoever is there. @return SPX_OK, SPX_EINVAL */
SPX_MUST_CHECK spx_status spx_channel_address_check(const char *address);
/** Whether these options go together, before any file is read; and, where the address is a number,
 * with it: what a name stands for is known only when it is used. @return SPX_OK, SPX_EINVAL */
SPX_MUST_CHECK spx_status spx_channel_options_check(const spx_channel_options *o,
                                                    const char *address, bool server);

/**
 * Listens at "HOST:PORT" ("[::1]:4000", "127.0.0.1:0": any free port).
 * @return SPX_OK; SPX_EINVAL (malformed address; plain off the loopback interface); SPX_EIO
 * (also for a name that nobody knows)
 */
SPX_MUST_CHECK spx_status spx_listener_open(spx_listener **out, const char *address,
                                            const spx_channel_options *o);
void spx_listener_close(spx_listener *l); /* NULL is a no-op */
int spx_listener_port(const spx_listener *l);
/**
 * Waits for a client and makes the channel; the security handshake is left to
 * spx_channel_handshake, so that a slow client holds up only its own thread.
 * @return SPX_OK, SPX_EINTERRUPTED (stop), SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_listener_accept(spx_listener *l, spx_channel **out);
/** The accepted side's part of TLS, and its buffers. */
SPX_MUST_CHECK spx_status spx_channel_handshake(spx_channel *c);
/** From now on all must be over in so many seconds, however many bytes come; 0: no such end. */
void spx_channel_deadline(spx_channel *c, double seconds);

/** Connects to "HOST:PORT" and does the handshake; for o->wait seconds again and again where nobody
 * listens, or nobody knows the name. */
SPX_MUST_CHECK spx_status spx_channel_connect(spx_channel **out, const char *address,
                                              const spx_channel_options *o);
/** Two connected plain channels, for two threads or processes of one program. */
SPX_MUST_CHECK spx_status spx_channel_pair(spx_channel **a, spx_channel **b,
                                           const spx_channel_options *o);
void spx_channel_close(spx_channel *c); /* NULL is a no-op */

/** Whether it has failed or been given up: nothing more can pass. */
bool spx_channel_broken(const spx_channel *c);
/** Whether the other party closed it without a word. */
bool spx_channel_ended(const spx_channel *c);

/** Names of messages for the trace (SPHYNX_LOG=pi:info), by their types, below n; borrowed. */
void spx_channel_name_messages(spx_channel *c, const char *const name[], uint32_t n);

/** The authenticated name of the other party (PSK identity, certificate's common
 * name); "" plain. */
const char *spx_channel_peer(const spx_channel *c);
/** Whence an accepted connection came, "127.0.0.1:4000"; "" otherwise. */
const char *spx_channel_address(const spx_channel *c);

/** Sends a message, or its beginning: `total` payload bytes are promised, the rest follows by
 * spx_channel_send_part. type >= 1. @return SPX_OK, SPX_EIO, SPX_EINTERRUPTED */
SPX_MUST_CHECK spx_status spx_channel_send_begin(spx_channel *c, uint32_t type, uint64_t total);
SPX_MUST_CHECK spx_status spx_channel_send_part(spx_channel *c, const void *data, size_t n);
SPX_MUST_CHECK spx_status spx_channel_send(spx_channel *c, uint32_t type, const void *data,
                                           size_t n);
/** Small messages are held back until a flush; receiving flushes. */
SPX_MUST_CHECK spx_status spx_channel_flush(spx_channel *c);

/** Receives a message of exactly n bytes. @return SPX_OK, SPX_EFORMAT (another type or length),
 * SPX_EIO (gone, silent, or it gave up: the message quotes it), SPX_EINTERRUPTED */
SPX_MUST_CHECK spx_status spx_channel_recv(spx_channel *c, uint32_t type, void *data, size_t n);
/** Receives the head of a message of at most max bytes; its payload by spx_channel_recv_part. */
SPX_MUST_CHECK spx_status spx_channel_recv_begin(spx_channel *c, uint32_t type, uint64_t max,
                                                 uint64_t *total);
SPX_MUST_CHECK spx_status spx_channel_recv_part(spx_channel *c, void *data, size_t n);

/** Tells the other party why this one ends, as far as it still listens, for a second at most. */
void spx_channel_give_up(spx_channel *c, const char *why);

/** While on, the other party hears every quarter of a second (of the timeout, where that is less)
 * that this one is there, whatever this thread computes. Where no thread can be had, it does not.
 */
void spx_channel_alive(spx_channel *c, bool on);
/** A line for the other party's user, with the next sign of life. */
void spx_channel_say(spx_channel *c, const char *line);
/** Whether it is worth going on: SPX_OK; SPX_EIO (the other party closed, or spx_channel_cut),
 * SPX_EINTERRUPTED; not so: it is broken. Without waiting. */
SPX_MUST_CHECK spx_status spx_channel_check(spx_channel *c);

/** Ends what another thread does with c, soon and with this reason; the caller sees to it that c
 * is not closed meanwhile. @param why  lives as long as the program */
void spx_channel_cut(spx_channel *c, const char *why);
/** Seconds for which c has been waiting for the other party without a byte; 0: it is not. From any
 * thread, while c is not closed. */
double spx_channel_silence(const spx_channel *c);
/** Seconds for which c has waited for a message to begin, signs of life or not; 0: it does not. */
double spx_channel_waited(const spx_channel *c);

typedef struct spx_traffic {
    uint64_t sent, received; /* bytes of frames, without TLS's own */
    uint64_t rounds;         /* times this party waited for an answer to something it sent */
    uint64_t messages;       /* frames in both directions */
} spx_traffic;
spx_traffic spx_channel_traffic(const spx_channel *c); /* so far */

#endif
