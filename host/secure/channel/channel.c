/* Messages of a connection: frames, farewells, signs of life. */
#define _GNU_SOURCE
#include "host/secure/channel/address_private.h"
#include "host/secure/channel/channel_private.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"
#include "kernels/base/wire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HEAD_BYTES SPX_CHANNEL_FRAME_BYTES
#define TYPE_GIVE_UP 0u
#define MAX_LINE SPX_CHANNEL_MAX_LINE
#define BUFFER_BYTES SPX_CHANNEL_BUFFER

/* Before each payload: type, its bytes, when it is due (channel.h). */
typedef struct frame {
    uint64_t type, bytes, due;
} frame;

static void frame_fields(spx_wire *w, void *message)
{
    frame *f = message;
    spx_wire_u64(w, &f->type);
    spx_wire_u64(w, &f->bytes);
    spx_wire_u64(w, &f->due);
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

/* After writing failed: the reason the other party gave, where it lies in what it sent. */
static spx_status last_words(spx_channel *c, spx_status st)
{
    size_t got, at = c->in_begin;
    while (c->in_end < BUFFER_BYTES && spx_channel_listen_in(c, &got) == SPX_IO_DONE) {
    }
    at = c->in_begin;
    while (c->recv_left == 0 && c->in_end - at >= HEAD_BYTES) {
        frame f;
        if (!spx_wire_get(frame_fields, &f, c->in + at, HEAD_BYTES) || f.bytes > MAX_LINE ||
            f.bytes > c->in_end - at - HEAD_BYTES ||
            (f.type != SPX_CHANNEL_ALIVE && f.type != TYPE_GIVE_UP)) {
            break;
        }
        if (f.type == TYPE_GIVE_UP) {
            char why[MAX_LINE + 1];
            memcpy(why, c->in + at + HEAD_BYTES, (size_t)f.bytes);
            printable(why, (size_t)f.bytes);
            c->ended = false;
            return SPX_FAIL(SPX_EIO, "the other party gave up: %s", why);
        }
        at += HEAD_BYTES + (size_t)f.bytes;
    }
    return st;
}

/* Writes, or says what the other party said before it left. */
static spx_status write_out(spx_channel *c, const unsigned char *p, size_t n)
{
    const spx_status st = spx_channel_write_all(c, p, n);
    return st == SPX_EIO ? last_words(c, st) : st;
}

static spx_status flush(spx_channel *c)
{
    const size_t n = c->out_size;
    c->out_size = 0;
    return n > 0 ? write_out(c, c->out, n) : SPX_OK;
}

spx_status spx_channel_flush(spx_channel *c)
{
    spx_channel_hold(c);
    return spx_channel_release(c, flush(c));
}

static spx_status put(spx_channel *c, const void *data, size_t n)
{
    c->traffic.sent += n;
    if (n > BUFFER_BYTES - c->out_size) {
        SPX_RETURN_IF(flush(c));
    }
    if (n >= BUFFER_BYTES) {
        return write_out(c, data, n);
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

static void make_head(unsigned char head[HEAD_BYTES], uint32_t type, uint64_t total, uint64_t due)
{
    frame f = {.type = type, .bytes = total, .due = due};
    const bool whole = spx_wire_put(frame_fields, &f, head, HEAD_BYTES);
    assert(whole);
    (void)whole;
}

void spx_channel_name_messages(spx_channel *c, const char *const name[], uint32_t n)
{
    c->message = name;
    c->messages = n;
}

/* Whence an accepted connection came, since a server has many; what passes and how long it is,
 * never what it says. */
#define TRACE(level, c, what, type, bytes)                                                         \
    SPX_LOG(PI, level, "%s%s%s %s of %llu bytes", spx_channel_address(c),                          \
            spx_channel_address(c)[0] != '\0' ? " " : "", what, name_of(c, type),                  \
            (unsigned long long)(bytes))

static const char *name_of(const spx_channel *c, uint32_t type)
{
    return type < c->messages && c->message[type] != NULL ? c->message[type] : "a message";
}

static spx_status put_head(spx_channel *c, uint32_t type, uint64_t total)
{
    unsigned char head[HEAD_BYTES];
    if (c->broken && type != TYPE_GIVE_UP) {
        return SPX_FAIL(SPX_EIO, "the connection is broken");
    }
    make_head(head, type, total, due_time(c, total));
    c->traffic.messages++;
    c->sent_since_recv = true;
    return put(c, head, sizeof head);
}

spx_status spx_channel_send_begin(spx_channel *c, uint32_t type, uint64_t total)
{
    spx_status st;
    assert(type != TYPE_GIVE_UP && type != SPX_CHANNEL_ALIVE && c->send_left == 0);
    spx_channel_hold(c);
    TRACE(INFO, c, "sends", type, total);
    st = spx_channel_look(c);
    c->broken = c->broken || st != SPX_OK;
    if (st == SPX_OK) {
        st = put_head(c, type, total);
    }
    c->send_left = st == SPX_OK ? total : 0;
    return spx_channel_release(c, st);
}

spx_status spx_channel_send_part(spx_channel *c, const void *data, size_t n)
{
    assert(n <= c->send_left);
    spx_channel_hold(c);
    c->send_left -= n;
    return spx_channel_release(c, put(c, data, n));
}

spx_status spx_channel_send(spx_channel *c, uint32_t type, const void *data, size_t n)
{
    SPX_RETURN_IF(spx_channel_send_begin(c, type, n));
    return spx_channel_send_part(c, data, n);
}

void spx_channel_beat(spx_channel *c)
{
    const size_t n = strlen(c->say);
    size_t some = 0;
    if (c->broken || c->mute || c->send_left > 0) {
        return;
    }
    if (c->out_size + HEAD_BYTES + n <= BUFFER_BYTES) {
        make_head(c->out + c->out_size, SPX_CHANNEL_ALIVE, n, 0);
        memcpy(c->out + c->out_size + HEAD_BYTES, c->say, n);
        c->out_size += HEAD_BYTES + n;
        c->say[0] = '\0';
    }
    while (c->out_size > 0 &&
           spx_channel_write_some(c, c->out, c->out_size, &some) == SPX_IO_DONE) {
        c->out_size -= some;
        memmove(c->out, c->out + some, c->out_size);
    }
    c->left_at = spx_seconds();
}

static spx_status gave_up(spx_channel *c, uint64_t n)
{
    char why[MAX_LINE + 1];
    const size_t k = n < MAX_LINE ? (size_t)n : MAX_LINE;
    SPX_RETURN_IF(spx_channel_read_all(c, (unsigned char *)why, k));
    printable(why, k);
    c->broken = c->mute = true;
    return SPX_FAIL(SPX_EIO, "the other party gave up: %s", why);
}

/* The other party is there, but not ready. */
static spx_status kept_waiting(spx_channel *c, uint64_t n, double since)
{
    char line[MAX_LINE + 1];
    if (n > MAX_LINE) {
        c->broken = true;
        return SPX_FAIL(SPX_EFORMAT,
                        "the other party sent a sign of life of %llu bytes, at most %d are allowed",
                        (unsigned long long)n, MAX_LINE);
    }
    SPX_RETURN_IF(spx_channel_read_all(c, (unsigned char *)line, (size_t)n));
    printable(line, (size_t)n);
    if (n > 0 && c->notice != NULL) {
        c->notice(c->notice_ctx, line);
    }
    if (spx_seconds() - since > c->patience) {
        c->broken = true;
        return SPX_FAIL(SPX_EIO, "busy peer: no answer within the deadline of %g s", c->patience);
    }
    return spx_channel_look(c);
}

/* Takes the rest of a message, or a part; all is there no sooner than the imitated link lets it.
 * Bytes on their way leave the sender's socket meanwhile, as they would a card. */
static spx_status take(spx_channel *c, void *data, size_t n)
{
    const uint64_t due = c->link.bytes_per_second > 0 && n == c->recv_left ? c->due : 0;
    c->recv_left -= n;
    SPX_RETURN_IF(spx_channel_read_all(c, data, n));
    const double left = (double)due * 1e-9 - spx_seconds();
    if (due != 0 && left > 0 && left < 3600) {
        const struct timespec t = {.tv_sec = (time_t)left,
                                   .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        (void)nanosleep(&t, NULL);
    }
    return SPX_OK;
}

/* The next head that is no sign of life. */
static spx_status read_head(spx_channel *c, frame *f)
{
    unsigned char head[HEAD_BYTES];
    const double since = spx_seconds();
    spx_status st;
    atomic_store(&c->waiting_since, since);
    do {
        c->message_from = spx_seconds();
        c->message_bytes = 0;
        st = spx_channel_read_all(c, head, HEAD_BYTES);
        if (st != SPX_OK || !spx_wire_get(frame_fields, f, head, HEAD_BYTES) ||
            f->type != SPX_CHANNEL_ALIVE) {
            break;
        }
        st = kept_waiting(c, f->bytes, since);
    } while (st == SPX_OK);
    atomic_store(&c->waiting_since, 0);
    return st;
}

static spx_status recv_begin(spx_channel *c, uint32_t type, uint64_t max, uint64_t *total)
{
    frame f;
    if (c->broken) {
        return SPX_FAIL(SPX_EIO, "the connection is broken");
    }
    TRACE(DEBUG, c, "waits for", type, max);
    SPX_RETURN_IF(flush(c));
    c->traffic.rounds += c->sent_since_recv;
    c->sent_since_recv = false;
    SPX_RETURN_IF(read_head(c, &f));
    *total = f.bytes;
    if (f.type == TYPE_GIVE_UP) {
        return gave_up(c, *total);
    }
    if (f.type != type || *total > max) {
        c->broken = true;
        return SPX_FAIL(
            SPX_EFORMAT, "the other party sent message %llu of %llu bytes, expected %u of %llu",
            (unsigned long long)f.type, (unsigned long long)*total, type, (unsigned long long)max);
    }
    c->due = f.due;
    TRACE(INFO, c, "receives", type, *total);
    c->traffic.messages++;
    c->traffic.received += HEAD_BYTES + *total;
    c->recv_left = *total;
    return SPX_OK;
}

spx_status spx_channel_recv_begin(spx_channel *c, uint32_t type, uint64_t max, uint64_t *total)
{
    assert(c->recv_left == 0 && c->send_left == 0);
    spx_channel_hold(c);
    return spx_channel_release(c, recv_begin(c, type, max, total));
}

spx_status spx_channel_recv_part(spx_channel *c, void *data, size_t n)
{
    assert(n <= c->recv_left);
    spx_channel_hold(c);
    return spx_channel_release(c, take(c, data, n));
}

spx_status spx_channel_recv(spx_channel *c, uint32_t type, void *data, size_t n)
{
    uint64_t total;
    spx_status st;
    assert(c->recv_left == 0 && c->send_left == 0);
    spx_channel_hold(c);
    st = recv_begin(c, type, n, &total);
    if (st == SPX_OK && total != n) {
        c->broken = true;
        st = SPX_FAIL(SPX_EFORMAT, "the other party sent %llu bytes of message %u, expected %zu",
                      (unsigned long long)total, type, n);
    }
    if (st == SPX_OK) {
        st = take(c, data, n);
    }
    return spx_channel_release(c, st);
}

void spx_channel_give_up(spx_channel *c, const char *why)
{
    const size_t n = strlen(why) < MAX_LINE ? strlen(why) : MAX_LINE;
    char cause[512];
    (void)snprintf(cause, sizeof cause, "%s", spx_error_message());
    spx_channel_hold(c);
    if (!c->mute && c->out != NULL && c->send_left == 0) { /* else: in the middle of a message */
        c->stop = NULL;                                    /* this much is said however it ends */
        c->open_until = 0;
        atomic_store(&c->cut, NULL);
        c->timeout = c->timeout < SPX_CHANNEL_FAREWELL ? c->timeout : SPX_CHANNEL_FAREWELL;
        c->patience = 0;
        c->told = put_head(c, TYPE_GIVE_UP, n) == SPX_OK && put(c, why, n) == SPX_OK &&
                  flush(c) == SPX_OK;
        if (!c->told) {
            (void)SPX_FAIL(SPX_EIO, "%s", cause); /* that the other is gone too tells less */
        }
    }
    c->broken = c->mute = true;
    (void)spx_channel_release(c, SPX_OK);
}

spx_traffic spx_channel_traffic(const spx_channel *c)
{
    return c->traffic;
}

bool spx_channel_broken(const spx_channel *c)
{
    return c->broken;
}

bool spx_channel_ended(const spx_channel *c)
{
    return c->ended;
}
