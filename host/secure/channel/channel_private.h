#ifndef SPX_CHANNEL_PRIVATE_H
#define SPX_CHANNEL_PRIVATE_H
#include "host/secure/channel/channel.h"

#include <pthread.h>

typedef struct spx_tls spx_tls;                 /* one side's keys; shared by its connections */
typedef struct spx_tls_session spx_tls_session; /* one connection */

#define SPX_CHANNEL_BUFFER ((size_t)1 << 18)
#define SPX_CHANNEL_MAX_LINE 400 /* bytes of a line of text for the other party's user */
#define SPX_CHANNEL_FAREWELL 1.0 /* seconds to say why */

struct spx_channel {
    int fd;
    char address[SPX_CHANNEL_ADDRESS];
    spx_tls_session *tls;
    spx_tls *owned_tls; /* of a client */
    double timeout, patience;
    double opening, open_until; /* spx_channel_deadline: seconds given, and when they are over */
    double finish_until;        /* what is being written may be finished; 0: nothing ends it */
    spx_link link;
    const atomic_int *stop;
    void (*notice)(void *ctx, const char *line);
    void *notice_ctx;
    _Atomic(const char *) cut;    /* why another thread wants this ended; NULL: it does not */
    _Atomic double quiet_since;   /* 0: not waiting for the other party */
    _Atomic double waiting_since; /* for a message that has not begun; 0: not */
    double link_free;             /* when the imitated link has sent everything */
    double message_from;          /* when the message being received was begun to be waited for */
    uint64_t message_bytes;       /* of it so far */
    uint64_t send_left, recv_left;
    uint64_t due; /* of the message being received, over the imitated link */
    bool sent_since_recv, broken, mute, told; /* mute: nothing more can be written */
    bool ended;                               /* spx_channel_ended */
    spx_traffic traffic;
    const char *const *message; /* names by type, borrowed; NULL: none */
    uint32_t messages;          /* types that have one are below it */
    size_t out_size, in_begin, in_end;
    unsigned char *out, *in; /* SPX_CHANNEL_BUFFER each, once the handshake is done */

    /* A thread that says "still here" while the owner computes; lock: all that writing changes. */
    pthread_mutex_t lock;
    pthread_cond_t change;
    pthread_t pulse;
    bool has_lock, pulsing, alive, ending;
    double left_at; /* when the owner last came out of a function of the channel */
    char say[SPX_CHANNEL_MAX_LINE + 1];
};

/** Takes fd, also on failure. @param buffers  false: spx_channel_handshake makes them */
SPX_MUST_CHECK spx_status spx_channel_make(spx_channel **out, int fd, const spx_channel_options *o,
                                           bool buffers);
SPX_MUST_CHECK spx_status spx_channel_buffers(spx_channel *c);
/** Between them the pulse keeps still. */
void spx_channel_hold(spx_channel *c);
spx_status spx_channel_release(spx_channel *c, spx_status st);
/** For the pulse, which holds the lock: a frame that says "still here", as far as it goes out at
 * once. */
void spx_channel_beat(spx_channel *c);
void spx_channel_pulse_end(spx_channel *c);
/** Does one attempt of the handshake's after the other. */
SPX_MUST_CHECK spx_status spx_channel_shake(spx_channel *c);

/** What a non-blocking call came to. */
typedef enum spx_io {
    SPX_IO_DONE,
    SPX_IO_WANT_READ,
    SPX_IO_WANT_WRITE,
    SPX_IO_END,
    SPX_IO_FAILED
} spx_io;

/* ---- channel_bytes.c; the owner holds the channel (spx_channel_hold) ---- */

/** Whether to go on at all: not stopped, not cut, not late.
 * @return SPX_OK, SPX_EINTERRUPTED, SPX_EIO */
SPX_MUST_CHECK spx_status spx_channel_look(const spx_channel *c);
/** Writes n bytes. On failure the connection is broken, perhaps in the middle of a frame.
 * @return SPX_OK, SPX_EIO, SPX_EINTERRUPTED */
SPX_MUST_CHECK spx_status spx_channel_write_all(spx_channel *c, const unsigned char *p, size_t n);
/** Reads n bytes, buffered ones first. @return as spx_channel_write_all */
SPX_MUST_CHECK spx_status spx_channel_read_all(spx_channel *c, unsigned char *p, size_t n);
/** One attempt, which does not wait. @param put  bytes that went out */
spx_io spx_channel_write_some(spx_channel *c, const void *data, size_t n, size_t *put);
/** One attempt to take what has come into the buffer: a writer that is not read from learns that
 * the reader lives, and why it left. @param got  bytes that came */
spx_io spx_channel_listen_in(spx_channel *c, size_t *got);

/** Whether o asks for any security. */
bool spx_tls_wanted(const spx_channel_security *o);
/** Whether what it names goes together, files unseen. @return SPX_OK, SPX_EINVAL */
SPX_MUST_CHECK spx_status spx_tls_check(const spx_channel_security *o, bool server);
/** *out is NULL where o asks for no security. @return SPX_OK, SPX_EINVAL, SPX_EIO, SPX_EFORMAT */
SPX_MUST_CHECK spx_status spx_tls_create(spx_tls **out, const spx_channel_security *o, bool server);
void spx_tls_destroy(spx_tls *t); /* its sessions may live on */
SPX_MUST_CHECK spx_status spx_tls_session_create(spx_tls_session **out, spx_tls *t, int fd,
                                                 const char *host);
void spx_tls_session_destroy(spx_tls_session *s);

spx_io spx_tls_handshake(spx_tls_session *s);
spx_io spx_tls_read(spx_tls_session *s, void *data, size_t n, size_t *got);
spx_io spx_tls_write(spx_tls_session *s, const void *data, size_t n, size_t *put);
bool spx_tls_is_up(const spx_tls_session *s); /* the handshake itself is through */
const char *spx_tls_peer(const spx_tls_session *s);
/** After SPX_IO_FAILED: what went wrong, one line. */
const char *spx_tls_error(spx_tls_session *s);

/* ---- key files ---- */

#define SPX_TLS_MAX_FILE ((size_t)64 << 20)
#define SPX_TLS_KEY_BYTES 32
#define SPX_TLS_NAME 128

typedef struct spx_psk {
    char name[SPX_TLS_NAME];
    unsigned char key[SPX_TLS_KEY_BYTES];
    size_t line;
} spx_psk;

/**
 * Reads a file of keys; one that group or others can read is refused, as ssh does. Pipes may be
 * read, too (--key <(...)).
 * @param data  *size bytes and a 0, wipe and free with spx_key_file_free(data, *size)
 * @return SPX_OK, SPX_EINVAL (its mode), SPX_ENOTFOUND, SPX_EIO, SPX_EFORMAT (over max bytes),
 * SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_key_file_read(const char *path, size_t max, void **data,
                                            size_t *size);
void spx_key_file_free(void *data, size_t bytes); /* NULL is a no-op */

/** Reads lines "identity:KEY". @param keys  *n of them, wiped and freed by spx_psk_free. @return
 * SPX_OK, SPX_EFORMAT (the message names the line), what reading the file gives */
SPX_MUST_CHECK spx_status spx_psk_read(spx_psk **keys, size_t *n, const char *path);
void spx_psk_free(spx_psk *keys); /* NULL is a no-op */
/** Reads names, one a line. @param names  *n of them, as one block for free */
SPX_MUST_CHECK spx_status spx_names_read(char (**names)[SPX_TLS_NAME], size_t *n, const char *path);

#endif
