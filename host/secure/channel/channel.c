#define _DEFAULT_SOURCE
#include "host/secure/channel/channel.h"

#include "host/secure/channel/address_private.h"
#include "host/secure/channel/channel_private.h"
#include "kernels/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES SPX_CHANNEL_FRAME_BYTES
#define TYPE_GIVE_UP 0u
#define MAX_REASON 400
#define BUFFER_BYTES ((size_t)1 << 18)
#define DEFAULT_TIMEOUT 60.0
#define SLICE_MS 200 /* between looks at the stop flag */

struct spx_channel {
    int fd;
    spx_tls_session *tls;
    spx_tls *owned_tls; /* of a client */
    double timeout;
    spx_link link;
    const atomic_int *stop;
    double link_free; /* when the imitated link has sent everything */
    uint64_t send_left, recv_left;
    bool sent_since_recv, broken;
    spx_traffic traffic;
    size_t out_size, in_begin, in_end;
    unsigned char *out, *in; /* BUFFER_BYTES each */
};

struct spx_listener {
    int fd, port;
    spx_tls *tls;
    spx_channel_options options;
};

static void put_u64(unsigned char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (unsigned char)(v >> (8 * i));
    }
}

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) {
        v = v << 8 | p[i];
    }
    return v;
}

/* ---- bytes ---- */

/* Waits until the socket is ready, `until` passes, or a stop is wanted. */
static spx_status wait_ready(const spx_channel *c, short events, double until)
{
    for (;;) {
        struct pollfd p = {.fd = c->fd, .events = events};
        const double left = until - spx_seconds();
        int rc;
        if (c->stop != NULL && atomic_load(c->stop) != 0) {
            return SPX_FAIL(SPX_EINTERRUPTED, "stopped while talking to the other party");
        }
        if (left <= 0) {
            return SPX_FAIL(SPX_EIO, "the other party was silent for %g s", c->timeout);
        }
        rc = poll(&p, 1, left * 1e3 < SLICE_MS ? (int)(left * 1e3) + 1 : SLICE_MS);
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

static spx_io write_some(spx_channel *c, const void *data, size_t n, size_t *put)
{
    return c->tls != NULL
               ? spx_tls_write(c->tls, data, n, put)
               : plain_outcome(send(c->fd, data, n, MSG_NOSIGNAL), SPX_IO_WANT_WRITE, put);
}

/* What to do after an attempt that moved nothing. */
static spx_status not_done(spx_channel *c, spx_io io, double until)
{
    switch (io) {
    case SPX_IO_WANT_READ:
        return wait_ready(c, POLLIN, until);
    case SPX_IO_WANT_WRITE:
        return wait_ready(c, POLLOUT, until);
    case SPX_IO_END:
        return SPX_FAIL(SPX_EIO, "the other party closed the connection");
    default:
        return SPX_FAIL(SPX_EIO, "TLS: %s", spx_tls_error(c->tls));
    }
}

static spx_status write_all(spx_channel *c, const unsigned char *p, size_t n)
{
    double until = spx_seconds() + c->timeout;
    while (n > 0) {
        size_t put = 0;
        const spx_io io = write_some(c, p, n, &put);
        if (io == SPX_IO_DONE) {
            p += put;
            n -= put;
            until = spx_seconds() + c->timeout;
        } else {
            const spx_status st = not_done(c, io, until);
            if (st != SPX_OK) {
                c->broken = true;
                return st;
            }
        }
    }
    return SPX_OK;
}

/* Fills at least `least` of n bytes. */
static spx_status read_least(spx_channel *c, unsigned char *p, size_t least, size_t n, size_t *got)
{
    double until = spx_seconds() + c->timeout;
    *got = 0;
    while (*got < least) {
        size_t some = 0;
        const spx_io io = read_some(c, p + *got, n - *got, &some);
        if (io == SPX_IO_DONE) {
            *got += some;
            until = spx_seconds() + c->timeout;
        } else {
            const spx_status st = not_done(c, io, until);
            if (st != SPX_OK) {
                c->broken = true;
                return st;
            }
        }
    }
    return SPX_OK;
}

static spx_status read_all(spx_channel *c, unsigned char *p, size_t n)
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

/* ---- messages ---- */

spx_status spx_channel_flush(spx_channel *c)
{
    const size_t n = c->out_size;
    c->out_size = 0;
    return n > 0 ? write_all(c, c->out, n) : SPX_OK;
}

static spx_status put(spx_channel *c, const void *data, size_t n)
{
    c->traffic.sent += n;
    if (n > BUFFER_BYTES - c->out_size) {
        SPX_RETURN_IF(spx_channel_flush(c));
    }
    if (n >= BUFFER_BYTES) {
        return write_all(c, data, n);
    }
    if (n > 0) {
        memcpy(c->out + c->out_size, data, n);
        c->out_size += n;
    }
    return SPX_OK;
}

/* When a frame sent now has arrived over the imitated link, in ns; 0 without one. */
static uint64_t due_time(spx_channel *c, uint64_t bytes)
{
    const double now = spx_seconds();
    if (c->link.bytes_per_second <= 0) {
        return 0;
    }
    c->link_free = (c->link_free > now ? c->link_free : now) +
                   (double)(bytes + HEAD_BYTES) / c->link.bytes_per_second;
    return (uint64_t)((c->link_free + c->link.rtt_seconds / 2) * 1e9);
}

static spx_status put_head(spx_channel *c, uint32_t type, uint64_t total)
{
    unsigned char head[HEAD_BYTES];
    if (c->broken) {
        return SPX_FAIL(SPX_EIO, "the connection is broken");
    }
    put_u64(head, type);
    put_u64(head + 8, total);
    put_u64(head + 16, due_time(c, total));
    c->traffic.messages++;
    c->sent_since_recv = true;
    return put(c, head, sizeof head);
}

spx_status spx_channel_send_begin(spx_channel *c, uint32_t type, uint64_t total)
{
    assert(type != TYPE_GIVE_UP && c->send_left == 0);
    SPX_RETURN_IF(put_head(c, type, total));
    c->send_left = total;
    return SPX_OK;
}

spx_status spx_channel_send_part(spx_channel *c, const void *data, size_t n)
{
    assert(n <= c->send_left);
    c->send_left -= n;
    return put(c, data, n);
}

spx_status spx_channel_send(spx_channel *c, uint32_t type, const void *data, size_t n)
{
    SPX_RETURN_IF(spx_channel_send_begin(c, type, n));
    return spx_channel_send_part(c, data, n);
}

/* A line of the peer's, fit for a terminal. */
static void printable(char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            text[i] = '?';
        }
    }
    text[n] = '\0';
}

static spx_status gave_up(spx_channel *c, uint64_t n)
{
    char why[MAX_REASON + 1];
    const size_t k = n < MAX_REASON ? (size_t)n : MAX_REASON;
    SPX_RETURN_IF(read_all(c, (unsigned char *)why, k));
    printable(why, k);
    c->broken = true;
    return SPX_FAIL(SPX_EIO, "the other party gave up: %s", why);
}

static void wait_due(uint64_t due)
{
    const double left = (double)due * 1e-9 - spx_seconds();
    if (due != 0 && left > 0 && left < 3600) {
        const struct timespec t = {.tv_sec = (time_t)left,
                                   .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        (void)nanosleep(&t, NULL);
    }
}

spx_status spx_channel_recv_begin(spx_channel *c, uint32_t type, uint64_t max, uint64_t *total)
{
    unsigned char head[HEAD_BYTES];
    uint64_t got;
    assert(c->recv_left == 0 && c->send_left == 0);
    if (c->broken) {
        return SPX_FAIL(SPX_EIO, "the connection is broken");
    }
    SPX_RETURN_IF(spx_channel_flush(c));
    c->traffic.rounds += c->sent_since_recv;
    c->sent_since_recv = false;
    SPX_RETURN_IF(read_all(c, head, sizeof head));
    got = get_u64(head);
    *total = get_u64(head + 8);
    if (got == TYPE_GIVE_UP) {
        return gave_up(c, *total);
    }
    if (got != type || *total > max) {
        c->broken = true;
        return SPX_FAIL(
            SPX_EFORMAT, "the other party sent message %llu of %llu bytes, expected %u of %llu",
            (unsigned long long)got, (unsigned long long)*total, type, (unsigned long long)max);
    }
    if (c->link.bytes_per_second > 0) {
        wait_due(get_u64(head + 16));
    }
    c->traffic.messages++;
    c->traffic.received += HEAD_BYTES + *total;
    c->recv_left = *total;
    return SPX_OK;
}

spx_status spx_channel_recv_part(spx_channel *c, void *data, size_t n)
{
    assert(n <= c->recv_left);
    c->recv_left -= n;
    return read_all(c, data, n);
}

spx_status spx_channel_recv(spx_channel *c, uint32_t type, void *data, size_t n)
{
    uint64_t total;
    SPX_RETURN_IF(spx_channel_recv_begin(c, type, n, &total));
    if (total != n) {
        c->broken = true;
        return SPX_FAIL(SPX_EFORMAT, "the other party sent %llu bytes of message %u, expected %zu",
                        (unsigned long long)total, type, n);
    }
    return spx_channel_recv_part(c, data, n);
}

void spx_channel_give_up(spx_channel *c, const char *why)
{
    const size_t n = strlen(why) < MAX_REASON ? strlen(why) : MAX_REASON;
    char cause[512];
    if (c->broken || c->send_left > 0) {
        return; /* nobody listens, or in the middle of a message */
    }
    (void)snprintf(cause, sizeof cause, "%s", spx_error_message());
    if (put_head(c, TYPE_GIVE_UP, n) != SPX_OK || put(c, why, n) != SPX_OK ||
        spx_channel_flush(c) != SPX_OK) {
        (void)SPX_FAIL(SPX_EIO, "%s", cause); /* that the other is gone too tells less */
    }
    c->broken = true;
}

spx_traffic spx_channel_traffic(const spx_channel *c)
{
    return c->traffic;
}

bool spx_channel_broken(const spx_channel *c)
{
    return c->broken;
}

const char *spx_channel_peer(const spx_channel *c)
{
    return c->tls != NULL ? spx_tls_peer(c->tls) : "";
}

/* ---- opening ---- */

void spx_channel_close(spx_channel *c)
{
    if (c == NULL) {
        return;
    }
    if (c->fd >= 0 && !c->broken) {
        (void)!spx_channel_flush(c);
    }
    spx_tls_session_destroy(c->tls);
    spx_tls_destroy(c->owned_tls);
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    free(c->out);
    free(c->in);
    free(c);
}

/* Takes fd, also on failure. */
static spx_status channel_create(spx_channel **out, int fd, const spx_channel_options *o)
{
    spx_channel *c = calloc(1, sizeof *c);
    *out = NULL;
    if (c == NULL) {
        (void)close(fd);
        return SPX_FAIL(SPX_ENOMEM, "channel");
    }
    c->fd = fd;
    c->timeout = o->timeout > 0 ? o->timeout : DEFAULT_TIMEOUT;
    c->link = o->link;
    c->stop = o->stop;
    c->out = malloc(BUFFER_BYTES);
    c->in = malloc(BUFFER_BYTES);
    if (c->out == NULL || c->in == NULL) {
        spx_channel_close(c);
        return SPX_FAIL(SPX_ENOMEM, "channel buffers");
    }
    *out = c;
    return SPX_OK;
}

static spx_status check_exposure(const char *address, bool loopback, const spx_tls *tls,
                                 const spx_channel_options *o)
{
    if (!loopback && tls == NULL) {
        return SPX_FAIL(
            SPX_EINVAL,
            "%s is not on the loopback interface: give --psk, or --cert, --key and --ca", address);
    }
    if (!loopback && o->link.bytes_per_second > 0) {
        return SPX_FAIL(SPX_EINVAL,
                        "%s is a real link: --link imitates one on the loopback interface",
                        address);
    }
    return SPX_OK;
}

void spx_listener_close(spx_listener *l)
{
    if (l != NULL) {
        if (l->fd >= 0) {
            (void)close(l->fd);
        }
        spx_tls_destroy(l->tls);
        free(l);
    }
}

spx_status spx_listener_open(spx_listener **out, const char *address, const spx_channel_options *o)
{
    spx_status st;
    bool loopback = false;
    spx_listener *l = calloc(1, sizeof *l);
    *out = NULL;
    if (l == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "listener");
    }
    l->fd = -1;
    l->options = *o;
    SPX_TRY(st, spx_tls_create(&l->tls, &o->security, true), fail);
    SPX_TRY(st, spx_socket_listen(address, &l->fd, &l->port, &loopback), fail);
    SPX_TRY(st, check_exposure(address, loopback, l->tls, o), fail);
    *out = l;
    return SPX_OK;
fail:
    spx_listener_close(l);
    return st;
}

int spx_listener_port(const spx_listener *l)
{
    return l->port;
}

spx_status spx_listener_accept(spx_listener *l, spx_channel **out)
{
    *out = NULL;
    for (;;) {
        struct pollfd p = {.fd = l->fd, .events = POLLIN};
        int fd;
        spx_status st;
        if (l->options.stop != NULL && atomic_load(l->options.stop) != 0) {
            return SPX_FAIL(SPX_EINTERRUPTED, "stopped while waiting for clients");
        }
        if (poll(&p, 1, SLICE_MS) <= 0) {
            continue;
        }
        fd = accept(l->fd, NULL, NULL);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                return SPX_FAIL(SPX_EIO, "accepting a client: %s", strerror(errno));
            }
            continue; /* it went away again */
        }
        st = spx_socket_prepare(fd);
        if (st != SPX_OK) {
            (void)close(fd);
            return st;
        }
        SPX_RETURN_IF(channel_create(out, fd, &l->options));
        if (l->tls != NULL) {
            st = spx_tls_session_create(&(*out)->tls, l->tls, fd, "");
            if (st != SPX_OK) {
                spx_channel_close(*out);
                *out = NULL;
            }
        }
        return st;
    }
}

spx_status spx_channel_handshake(spx_channel *c)
{
    const double until = spx_seconds() + c->timeout;
    while (c->tls != NULL) {
        const spx_io io = spx_tls_handshake(c->tls);
        spx_status st;
        if (io == SPX_IO_DONE) {
            break;
        }
        st = not_done(c, io, until);
        if (st != SPX_OK) {
            c->broken = true;
            return spx_fail_context(st,
                                    "handshake (do both parties give --psk with the same key, or "
                                    "certificates?)");
        }
    }
    return SPX_OK;
}

spx_status spx_channel_connect(spx_channel **out, const char *address, const spx_channel_options *o)
{
    char host[256];
    spx_status st;
    spx_tls *tls;
    spx_channel *c = NULL;
    bool loopback = false;
    int fd;
    *out = NULL;
    SPX_RETURN_IF(spx_tls_create(&tls, &o->security, false));
    st = spx_socket_connect(address, o->timeout > 0 ? o->timeout : DEFAULT_TIMEOUT, &fd, host,
                            &loopback);
    if (st == SPX_OK) {
        st = channel_create(&c, fd, o);
    }
    if (st != SPX_OK) {
        spx_tls_destroy(tls);
        return st;
    }
    c->owned_tls = tls;
    SPX_TRY(st, check_exposure(address, loopback, tls, o), fail);
    if (tls != NULL) {
        SPX_TRY(st, spx_tls_session_create(&c->tls, tls, fd, host), fail);
    }
    SPX_TRY(st, spx_channel_handshake(c), fail);
    *out = c;
    return SPX_OK;
fail:
    c->broken = true;
    spx_channel_close(c);
    return st;
}

spx_status spx_channel_pair(spx_channel **a, spx_channel **b, const spx_channel_options *o)
{
    int fd[2];
    spx_status st;
    *a = *b = NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0) {
        return SPX_FAIL(SPX_EIO, "socket pair: %s", strerror(errno));
    }
    st = spx_socket_prepare(fd[0]);
    if (st == SPX_OK) {
        st = spx_socket_prepare(fd[1]);
    }
    if (st != SPX_OK) {
        (void)close(fd[0]);
        (void)close(fd[1]);
        return st;
    }
    st = channel_create(a, fd[0], o);
    if (st != SPX_OK) {
        (void)close(fd[1]);
        return st;
    }
    st = channel_create(b, fd[1], o);
    if (st != SPX_OK) {
        spx_channel_close(*a);
        *a = NULL;
    }
    return st;
}
