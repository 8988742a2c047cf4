/* How channels come to be and end: listening, connecting, pairs, closing. */
#define _GNU_SOURCE
#include "host/secure/channel/address_private.h"
#include "host/secure/channel/channel_private.h"
#include "kernels/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT 60.0
#define DEFAULT_DEADLINE 3600.0
#define SLICE_MS 200
#define LINGER 0.5 /* seconds for a farewell to be read */
#define FILES 5    /* that security can name */

/* A file as it was when it was read. */
typedef struct stamp {
    const char *path;
    struct stat was; /* zeros: not there, or no regular file, which cannot be read twice */
} stamp;

struct spx_listener {
    int fd, port, reloads;
    spx_tls *tls;
    spx_channel_options options;
    stamp file[FILES];
};

/* ---- a channel ---- */

/* Closing a socket with bytes unread takes back what was sent last: they are read first. */
static void linger(spx_channel *c)
{
    const double until = spx_seconds() + (c->told ? LINGER : 0);
    unsigned char rest[4096];
    (void)shutdown(c->fd, SHUT_WR);
    for (;;) {
        const ssize_t n = recv(c->fd, rest, sizeof rest, MSG_DONTWAIT);
        struct pollfd f = {.fd = c->fd, .events = POLLIN};
        const double left = until - spx_seconds();
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || left <= 0) {
            return;
        }
        if (n < 0) {
            (void)poll(&f, 1, (int)(left * 1e3) + 1);
        }
    }
}

void spx_channel_close(spx_channel *c)
{
    if (c == NULL) {
        return;
    }
    spx_channel_pulse_end(c);
    if (c->fd >= 0 && c->out != NULL) {
        if (!c->broken) {
            (void)!spx_channel_flush(c);
        }
        linger(c);
    }
    spx_tls_session_destroy(c->tls);
    spx_tls_destroy(c->owned_tls);
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    if (c->has_lock) {
        (void)pthread_mutex_destroy(&c->lock);
        (void)pthread_cond_destroy(&c->change);
    }
    free(c->out);
    free(c->in);
    free(c);
}

spx_status spx_channel_buffers(spx_channel *c)
{
    c->out = malloc(SPX_CHANNEL_BUFFER);
    c->in = malloc(SPX_CHANNEL_BUFFER);
    return c->out != NULL && c->in != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "channel buffers");
}

static bool make_lock(spx_channel *c)
{
    pthread_condattr_t a;
    if (pthread_mutex_init(&c->lock, NULL) != 0) {
        return false;
    }
    c->has_lock = pthread_condattr_init(&a) == 0 &&
                  pthread_condattr_setclock(&a, CLOCK_MONOTONIC) == 0 &&
                  pthread_cond_init(&c->change, &a) == 0;
    return c->has_lock;
}

spx_status spx_channel_make(spx_channel **out, int fd, const spx_channel_options *o, bool buffers)
{
    spx_channel *c = calloc(1, sizeof *c);
    spx_status st = SPX_OK;
    *out = NULL;
    if (c == NULL) {
        (void)close(fd);
        return SPX_FAIL(SPX_ENOMEM, "channel");
    }
    c->fd = fd;
    c->timeout = o->timeout > 0 ? o->timeout : DEFAULT_TIMEOUT;
    c->patience = o->deadline > 0 ? o->deadline : DEFAULT_DEADLINE;
    c->link = o->link;
    c->stop = o->stop;
    c->notice = o->notice;
    c->notice_ctx = o->notice_ctx;
    if (!make_lock(c)) {
        st = SPX_FAIL(SPX_ENOMEM, "a lock");
    } else if (buffers) {
        st = spx_channel_buffers(c);
    }
    if (st != SPX_OK) {
        spx_channel_close(c);
        return st;
    }
    *out = c;
    return SPX_OK;
}

const char *spx_channel_peer(const spx_channel *c)
{
    return c->tls != NULL ? spx_tls_peer(c->tls) : "";
}

const char *spx_channel_address(const spx_channel *c)
{
    return c->address;
}

void spx_channel_deadline(spx_channel *c, double seconds)
{
    c->opening = seconds;
    c->open_until = seconds > 0 ? spx_seconds() + seconds : 0;
}

static spx_status check_exposure(const char *address, bool loopback, const spx_channel_options *o)
{
    if (!loopback && !spx_tls_wanted(&o->security)) {
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

spx_status spx_channel_options_check(const spx_channel_options *o, const char *address, bool server)
{
    SPX_RETURN_IF(spx_tls_check(&o->security, server));
    return check_exposure(address, !spx_socket_off_loopback(address), o);
}

/* ---- keys that change while a server runs ---- */

static void take_stamps(spx_listener *l, stamp file[FILES])
{
    const spx_channel_security *s = &l->options.security;
    const char *const path[FILES] = {s->psk_path, s->cert, s->key, s->ca, s->allow};
    for (int i = 0; i < FILES; i++) {
        struct stat now;
        memset(&file[i], 0, sizeof file[i]);
        file[i].path = path[i];
        if (path[i] != NULL && stat(path[i], &now) == 0 && S_ISREG(now.st_mode)) {
            file[i].was = now;
        }
    }
}

static bool same_stamp(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Keys are read again when a file of theirs changed, or when asked to; where that fails, those that
 * were read last stay. */
static void refresh(spx_listener *l)
{
    const int asked = l->options.reload != NULL ? atomic_load(l->options.reload) : 0;
    bool wanted = asked != l->reloads;
    stamp now[FILES];
    spx_tls *tls;
    char line[600];
    if (l->tls == NULL) {
        return;
    }
    l->reloads = asked;
    take_stamps(l, now);
    for (int i = 0; i < FILES; i++) {
        wanted = wanted || !same_stamp(&now[i].was, &l->file[i].was);
    }
    if (!wanted) {
        return;
    }
    memcpy(l->file, now, sizeof now);
    if (spx_tls_create(&tls, &l->options.security, true) == SPX_OK) {
        spx_tls_destroy(l->tls);
        l->tls = tls;
        (void)snprintf(line, sizeof line, "keys were read again");
    } else {
        (void)snprintf(line, sizeof line, "keys stay as they were: %s", spx_error_message());
    }
    if (l->options.notice != NULL) {
        l->options.notice(l->options.notice_ctx, line);
    }
}

/* ---- listening ---- */

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
    l->reloads = o->reload != NULL ? atomic_load(o->reload) : 0;
    take_stamps(l, l->file); /* before they are read: what changes meanwhile is read again */
    SPX_TRY(st, spx_tls_create(&l->tls, &o->security, true), fail);
    SPX_TRY(st, spx_socket_listen(address, &l->fd, &l->port, &loopback), fail);
    SPX_TRY(st, check_exposure(address, loopback, o), fail);
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

/* Takes fd. */
static spx_status take_in(spx_listener *l, int fd, const struct sockaddr *from, socklen_t size,
                          spx_channel **out)
{
    spx_channel_options o = l->options;
    spx_status st = spx_socket_prepare(fd);
    if (st != SPX_OK) {
        (void)close(fd);
        return st;
    }
    o.notice = NULL; /* a client has nothing to tell the server's user */
    SPX_RETURN_IF(spx_channel_make(out, fd, &o, false));
    spx_socket_name(from, size, (*out)->address);
    st = l->tls != NULL ? spx_tls_session_create(&(*out)->tls, l->tls, fd, "")
                        : spx_channel_buffers(*out);
    if (st != SPX_OK) {
        spx_channel_close(*out);
        *out = NULL;
    }
    return st;
}

spx_status spx_listener_accept(spx_listener *l, spx_channel **out)
{
    *out = NULL;
    for (;;) {
        struct pollfd p = {.fd = l->fd, .events = POLLIN};
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        int fd;
        if (l->options.stop != NULL && atomic_load(l->options.stop) != 0) {
            return SPX_FAIL(SPX_EINTERRUPTED, "stopped while waiting for clients");
        }
        const int ready = poll(&p, 1, SLICE_MS);
        refresh(l);
        if (ready <= 0) {
            continue;
        }
        fd = accept(l->fd, (struct sockaddr *)&from, &size);
        if (fd >= 0) {
            return take_in(l, fd, (const struct sockaddr *)&from, size, out);
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            return SPX_FAIL(SPX_EIO, "accepting a client: %s", strerror(errno));
        } /* else it went away again */
    }
}

spx_status spx_channel_handshake(spx_channel *c)
{
    const spx_status st = spx_channel_shake(c);
    if (st != SPX_OK) {
        if (c->tls != NULL && spx_tls_is_up(c->tls) && c->out == NULL &&
            spx_channel_buffers(c) == SPX_OK) { /* the peer believes that all is well: it is told */
            c->mute = false;
            spx_channel_give_up(c, "this name is not served here");
            return st;
        }
        return spx_fail_context(st, "handshake (do both parties give --psk with the same key, or "
                                    "certificates?)");
    }
    return c->out != NULL ? SPX_OK : spx_channel_buffers(c);
}

/* ---- connecting ---- */

/* Where nobody listens (yet), again and again for as long as was asked for. */
static spx_status reach(const char *address, const spx_channel_options *o, int *fd, char *host,
                        bool *loopback)
{
    const double until = spx_seconds() + o->wait;
    const struct timespec pause = {.tv_nsec = 250000000};
    for (;;) {
        const double timeout = o->timeout > 0 ? o->timeout : DEFAULT_TIMEOUT;
        const spx_status st = spx_socket_connect(address, timeout, o->wait > 0, fd, host, loopback);
        if (st == SPX_EIO && o->stop != NULL && atomic_load(o->stop) != 0) {
            return SPX_FAIL(SPX_EINTERRUPTED, "stopped");
        }
        if (st != SPX_EIO || spx_seconds() >= until) {
            return st;
        }
        (void)nanosleep(&pause, NULL);
    }
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
    st = reach(address, o, &fd, host, &loopback);
    if (st == SPX_OK) {
        st = spx_channel_make(&c, fd, o, true);
    }
    if (st != SPX_OK) {
        spx_tls_destroy(tls);
        return st;
    }
    c->owned_tls = tls;
    SPX_TRY(st, check_exposure(address, loopback, o), fail);
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
    st = spx_channel_make(a, fd[0], o, true);
    if (st != SPX_OK) {
        (void)close(fd[1]);
        return st;
    }
    st = spx_channel_make(b, fd[1], o, true);
    if (st != SPX_OK) {
        spx_channel_close(*a);
        *a = NULL;
    }
    return st;
}
