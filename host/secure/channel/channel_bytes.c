/* Bytes of a connection: how long to wait for them, and whether to go on at all. */
#define _GNU_SOURCE
#include "host/secure/channel/channel_private.h"
#include "kernels/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER_BYTES SPX_CHANNEL_BUFFER
#define LEAST_RATE 1024.0 /* bytes a second of a message, beside one timeout */
#define GRACE 1.0         /* seconds before that counts */
#define SLICE_MS 200      /* between looks at the stop flag */

/* How long a wait may last: `quiet` is renewed by bytes, `slow` is when too few have come. */
typedef struct pace {
    double quiet, slow;
    bool writing;
} pace;

static pace pace_of(const spx_channel *c, double began, double bytes)
{
    return (pace){.quiet = spx_seconds() + c->timeout,
                  .slow = began + c->timeout + GRACE + bytes / LEAST_RATE};
}

/* Whether to go on at all. */
spx_status spx_channel_look(const spx_channel *c)
{
    const char *cut = atomic_load(&c->cut);
    if (c->stop != NULL && atomic_load(c->stop) != 0) {
        return SPX_FAIL(SPX_EINTERRUPTED, "stopped");
    }
    if (cut != NULL) {
        return SPX_FAIL(SPX_EIO, "%s", cut);
    }
    if (c->open_until > 0 && spx_seconds() > c->open_until) {
        return SPX_FAIL(SPX_EIO, "no handshake and hello within %g s", c->opening);
    }
    return SPX_OK;
}

/* The same for a writer: what ends it waits for the end of what is being written, so that there is
 * a place to say why, but not for longer than a farewell takes. */
static spx_status look_writing(spx_channel *c)
{
    const spx_status st = spx_channel_look(c);
    if (st != SPX_OK && c->open_until == 0 && c->finish_until == 0) {
        c->finish_until = spx_seconds() + SPX_CHANNEL_FAREWELL;
    }
    return st != SPX_OK && spx_seconds() < c->finish_until ? SPX_OK : st;
}

/* Waits until the socket is ready, time is up, or a stop is wanted. */
static spx_status wait_ready(spx_channel *c, short events, pace p)
{
    const double until = p.quiet < p.slow ? p.quiet : p.slow;
    if (atomic_load(&c->quiet_since) == 0) {
        atomic_store(&c->quiet_since, spx_seconds());
    }
    for (;;) {
        struct pollfd f = {.fd = c->fd, .events = events};
        const double left = until - spx_seconds();
        int rc;
        SPX_RETURN_IF(p.writing ? look_writing(c) : spx_channel_look(c));
        if (left <= 0) {
            return p.slow < p.quiet
                       ? SPX_FAIL(SPX_EIO, "slow peer: less than 1 KB a second of a message")
                       : SPX_FAIL(SPX_EIO, "silent peer: nothing heard for %g s", c->timeout);
        }
        rc = poll(&f, 1, left * 1e3 < SLICE_MS ? (int)(left * 1e3) + 1 : SLICE_MS);
        if (rc > 0) {
            return SPX_OK;
        }
        if (rc < 0 && errno != EINTR) {
            return SPX_FAIL(SPX_EIO, "socket: %s", strerror(errno));
        }
    }
}

static spx_io plain_outcome(ssize_t rc, spx_io want, size_t *n)
{
    *n = rc > 0 ? (size_t)rc : 0;
    if (rc > 0) {
        return SPX_IO_DONE;
    }
    if (rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return want;
    }
    return SPX_IO_END;
}

static spx_io read_some(spx_channel *c, void *data, size_t n, size_t *got)
{
    return c->tls != NULL ? spx_tls_read(c->tls, data, n, got)
                          : plain_outcome(recv(c->fd, data, n, 0), SPX_IO_WANT_READ, got);
}

spx_io spx_channel_write_some(spx_channel *c, const void *data, size_t n, size_t *put)
{
    return c->tls != NULL
               ? spx_tls_write(c->tls, data, n, put)
               : plain_outcome(send(c->fd, data, n, MSG_NOSIGNAL), SPX_IO_WANT_WRITE, put);
}

/* What to do after an attempt that moved nothing. */
static spx_status not_done(spx_channel *c, spx_io io, short also, pace p)
{
    switch (io) {
    case SPX_IO_WANT_READ:
        return wait_ready(c, POLLIN, p);
    case SPX_IO_WANT_WRITE:
        return wait_ready(c, (short)(POLLOUT | also), p);
    case SPX_IO_END:
        c->mute = c->ended = true;
        return SPX_FAIL(SPX_EIO, "the other party closed the connection");
    default:
        c->mute = true;
        return SPX_FAIL(SPX_EIO, "TLS: %s", spx_tls_error(c->tls));
    }
}

/* Takes what the other party has sent into the buffer: a writer that is not read from learns that
 * the reader lives, and why it left. */
spx_io spx_channel_listen_in(spx_channel *c, size_t *got)
{
    *got = 0;
    if (c->in_begin == c->in_end) {
        c->in_begin = c->in_end = 0;
    }
    if (c->in_end == BUFFER_BYTES) {
        return SPX_IO_WANT_READ;
    }
    const spx_io io = read_some(c, c->in + c->in_end, BUFFER_BYTES - c->in_end, got);
    c->in_end += *got;
    return io;
}

static spx_status write_fails(spx_channel *c, spx_status st)
{
    atomic_store(&c->quiet_since, 0);
    c->broken = c->mute = true; /* perhaps in the middle of a frame */
    return st;
}

/* Whether a writer may hear what the other party sends: there is room for it, and no end of its own
 * is in sight, which may have shut the socket's reading side. */
static bool listens(const spx_channel *c)
{
    return c->in_end < BUFFER_BYTES && c->finish_until == 0;
}

spx_status spx_channel_write_all(spx_channel *c, const unsigned char *p, size_t n)
{
    double began = spx_seconds();
    pace until = pace_of(c, began, 0);
    size_t done = 0;
    bool lives = false;
    while (done < n) {
        size_t some = 0, heard = 0;
        spx_status st = look_writing(c);
        spx_io io =
            st == SPX_OK ? spx_channel_write_some(c, p + done, n - done, &some) : SPX_IO_DONE;
        if (st == SPX_OK && io == SPX_IO_WANT_WRITE) {
            const spx_io in = listens(c) ? spx_channel_listen_in(c, &heard) : SPX_IO_WANT_READ;
            io = in == SPX_IO_END || in == SPX_IO_FAILED ? in : io;
        }
        if (st == SPX_OK && (some > 0 || heard > 0)) {
            done += some;
            if (heard > 0 && !lives) { /* one that is there, but takes nothing, has the deadline */
                lives = true;
                began += c->patience;
            }
            until = pace_of(c, began, (double)done);
            atomic_store(&c->quiet_since, 0);
        } else if (st == SPX_OK) {
            until.writing = true;
            st = not_done(c, io, listens(c) ? POLLIN : 0, until);
        }
        if (st != SPX_OK) {
            return write_fails(c, st);
        }
    }
    return SPX_OK;
}

/* Fills at least `least` of n bytes. */
static spx_status read_least(spx_channel *c, unsigned char *p, size_t least, size_t n, size_t *got)
{
    pace until = pace_of(c, c->message_from, (double)c->message_bytes);
    *got = 0;
    while (*got < least) {
        size_t some = 0;
        spx_status st = spx_channel_look(c);
        if (st == SPX_OK) {
            const spx_io io = read_some(c, p + *got, n - *got, &some);
            st = io != SPX_IO_DONE ? not_done(c, io, 0, until) : SPX_OK;
        }
        if (st != SPX_OK) {
            atomic_store(&c->quiet_since, 0);
            c->broken = true;
            return st;
        }
        if (some > 0) {
            *got += some;
            c->message_bytes += some;
            until = pace_of(c, c->message_from, (double)c->message_bytes);
            atomic_store(&c->quiet_since, 0);
        }
    }
    return SPX_OK;
}

spx_status spx_channel_read_all(spx_channel *c, unsigned char *p, size_t n)
{
    while (n > 0) {
        const size_t have = c->in_end - c->in_begin;
        size_t got;
        if (have > 0) {
            const size_t k = have < n ? have : n;
            memcpy(p, c->in + c->in_begin, k);
            c->in_begin += k;
            p += k;
            n -= k;
        } else if (n >= BUFFER_BYTES) {
            SPX_RETURN_IF(read_least(c, p, n, n, &got));
            n = 0;
        } else {
            c->in_begin = c->in_end = 0;
            SPX_RETURN_IF(read_least(c, c->in, 1, BUFFER_BYTES, &got));
            c->in_end = got;
        }
    }
    return SPX_OK;
}

spx_status spx_channel_shake(spx_channel *c)
{
    const pace until = pace_of(c, spx_seconds(), 0);
    while (c->tls != NULL) {
        spx_status st = spx_channel_look(c);
        const spx_io io = st == SPX_OK ? spx_tls_handshake(c->tls) : SPX_IO_WANT_READ;
        if (io == SPX_IO_DONE) {
            break;
        }
        st = st == SPX_OK ? not_done(c, io, 0, until) : st;
        if (st != SPX_OK) {
            atomic_store(&c->quiet_since, 0);
            c->broken = c->mute = true;
            return st;
        }
    }
    atomic_store(&c->quiet_since, 0);
    return SPX_OK;
}

spx_status spx_channel_check(spx_channel *c)
{
    struct pollfd f = {.fd = c->fd, .events = POLLRDHUP};
    spx_status st = spx_channel_look(c);
    if (st == SPX_OK && poll(&f, 1, 0) > 0) {
        st = SPX_FAIL(SPX_EIO, "the other party closed the connection");
    }
    if (st != SPX_OK) {
        spx_channel_hold(c); /* the pulse reads it */
        c->broken = true;
        (void)spx_channel_release(c, st);
    }
    return st;
}

void spx_channel_cut(spx_channel *c, const char *why)
{
    atomic_store(&c->cut, why);
    (void)shutdown(c->fd, SHUT_RD); /* wakes a reader; the owner may still say why */
}

double spx_channel_silence(const spx_channel *c)
{
    const double since = atomic_load(&c->quiet_since);
    return since > 0 ? spx_seconds() - since : 0;
}

double spx_channel_waited(const spx_channel *c)
{
    const double since = atomic_load(&c->waiting_since);
    return since > 0 ? spx_seconds() - since : 0;
}
