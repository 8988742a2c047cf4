#ifndef SPX_CHANNEL_H
#define SPX_CHANNEL_H
/*
 * One connection between two parties: messages of known type and bounded length, over TCP (TLS 1.3
 * with mutual authentication, or plain on the loopback interface) or a pair of sockets.
 *
 * Frame: type u32, zero u32, payload bytes u64, due time u64 (nanoseconds of the monotonic clock; 0
 * without link emulation), little-endian, then the payload. Type 0 ends the conversation and
 * carries a line of text for the other party's user.
 *
 * A peer that vanishes, stays silent for longer than the timeout, or sends another type or length
 * than expected gives a status and one line of text, never a hang. One thread at a time.
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

/** "lan" (3 Gbit/s, 0.3 ms), "wan" (400 Mbit/s, 40 ms) or "RATE,RTT" such as "100Mbps,20ms" (kbps,
 * Mbps, Gbps; us, ms, s). @return SPX_OK, SPX_EINVAL */
SPX_MUST_CHECK spx_status spx_link_parse(const char *text, spx_link *out);

/** Who we are and whom we believe; all NULL: plain, allowed on the loopback interface only. Files
 * of keys (psk_path, key) that group or others can read are refused: SPX_EINVAL. */
typedef struct spx_channel_security {
    const char *psk_path;        /* lines "identity:hex" of 32-byte keys; a client's first line */
    const char *cert, *key, *ca; /* PEM files; the peer's certificate must be signed by ca */
} spx_channel_security;

typedef struct spx_channel_options {
    spx_channel_security security;
    double timeout;         /* seconds without progress; 0: 60 */
    spx_link link;          /* both parties on this machine only */
    const atomic_int *stop; /* not 0: waiting ends with SPX_EINTERRUPTED; may be NULL */
} spx_channel_options;

#define SPX_CHANNEL_FRAME_BYTES 24 /* before each payload */

typedef struct spx_channel spx_channel;
typedef struct spx_listener spx_listener;

/**
 * Listens at "HOST:PORT" ("[::1]:4000", "127.0.0.1:0": any free port).
 * @return SPX_OK; SPX_EINVAL (malformed address; plain off the loopback interface); SPX_EIO
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
/** The accepted side's part of TLS; nothing where plain. */
SPX_MUST_CHECK spx_status spx_channel_handshake(spx_channel *c);

/** Connects to "HOST:PORT" and does the handshake. */
SPX_MUST_CHECK spx_status spx_channel_connect(spx_channel **out, const char *address,
                                              const spx_channel_options *o);
/** Two connected plain channels, for two threads or processes of one program. */
SPX_MUST_CHECK spx_status spx_channel_pair(spx_channel **a, spx_channel **b,
                                           const spx_channel_options *o);
void spx_channel_close(spx_channel *c); /* NULL is a no-op */

/** Whether it has failed or been given up: nothing more can pass. */
bool spx_channel_broken(const spx_channel *c);

/** The authenticated name of the other party (PSK identity, certificate's common
 * name); "" plain. */
const char *spx_channel_peer(const spx_channel *c);

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

/** Tells the other party why this one ends, as far as it still listens. */
void spx_channel_give_up(spx_channel *c, const char *why);

typedef struct spx_traffic {
    uint64_t sent, received; /* bytes of frames, without TLS's own */
    uint64_t rounds;         /* times this party waited for an answer to something it sent */
    uint64_t messages;       /* frames in both directions */
} spx_traffic;
spx_traffic spx_channel_traffic(const spx_channel *c); /* so far */

#endif
