/* Who is served now and who waits: clients for a place and for memory, evaluations for a processor.
 * Whoever waits is told so by its channel's signs of life, and forgotten when it leaves. */
#define _POSIX_C_SOURCE 200809L
#include "host/secure/infer/pi_server_private.h"
#include "kernels/base/pool.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SLICE 100000000L /* ns between looks at whether a waiting client is still there */
/* Seconds after which a client that is waited for may lose its place: one that is silent, and one
 * that says it is there, but does not go on. */
#define SILENCE 1.0
#define STANDSTILL 10.0
#define MAX_WAITING 256

spx_status spx_pi_queue_init(spx_pi_queue *q, const spx_pi_server_options *o)
{
    pthread_condattr_t a;
    bool ok;
    memset(q, 0, sizeof *q);
    q->places = o->clients > 0 ? o->clients : MAX_WAITING;
    q->turns = o->evaluations > 0 ? o->evaluations : spx_pool_processors();
    if (pthread_mutex_init(&q->lock, NULL) != 0) {
        return SPX_FAIL(SPX_ENOMEM, "a lock");
    }
    ok = pthread_condattr_init(&a) == 0 && pthread_condattr_setclock(&a, CLOCK_MONOTONIC) == 0;
    if (!ok || pthread_cond_init(&q->change, &a) != 0) {
        (void)pthread_mutex_destroy(&q->lock);
        return SPX_FAIL(SPX_ENOMEM, "a lock");
    }
    q->memory = q->left = o->memory_bytes;
    q->made = true;
    return SPX_OK;
}

void spx_pi_queue_clear(spx_pi_queue *q)
{
    if (q->made) {
        (void)pthread_cond_destroy(&q->change);
        (void)pthread_mutex_destroy(&q->lock);
    }
}

static void wait_a_little(spx_pi_queue *q)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += SLICE;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&q->change, &q->lock, &t);
}

/* ---- places ---- */

/* Places of one name that authenticates: never all, so that one key cannot shut out the others. */
static int share(const spx_pi_queue *q)
{
    return q->places > 1 ? q->places - (q->places + 3) / 4 : 1;
}

/* What stands in the way of t; places and names are counted over those inside. */
typedef struct obstacle {
    int inside, of_name, waiting, before;
    bool twin; /* an older connection of the same client */
} obstacle;

static bool same_name(const spx_pi_session_state *a, const spx_pi_session_state *b)
{
    return strcmp(spx_channel_peer(a->channel), spx_channel_peer(b->channel)) == 0;
}

static bool has_name(const spx_pi_session_state *t)
{
    return spx_channel_peer(t->channel)[0] != '\0';
}

/* The list is in order of arrival. */
static obstacle look(const spx_pi_queue *q, const spx_pi_session_state *t)
{
    obstacle o = {0};
    bool before = true;
    for (const spx_pi_session_state *x = q->first; x != NULL; x = x->next) {
        if (x == t) {
            before = false;
            continue;
        }
        o.twin = o.twin || (before && memcmp(x->client, t->client, SPX_PI_ID) == 0);
        o.inside += x->inside;
        o.of_name += x->inside && has_name(t) && same_name(x, t);
        o.waiting += !x->inside;
        o.before += before && !x->inside && !x->held_up;
    }
    return o;
}

/* Ends the connection of who has kept the server waiting longest of those that have what t waits
 * for. */
static void displace_quiet(const spx_pi_queue *q, const spx_pi_session_state *t)
{
    const spx_pi_session_state *quiet = NULL;
    double most = 1;
    for (const spx_pi_session_state *x = q->first; x != NULL; x = x->next) {
        const double silence = fmax(spx_channel_silence(x->channel) / SILENCE,
                                    spx_channel_waited(x->channel) / STANDSTILL);
        if (x != t && (t->inside ? x->memory > 0 : x->inside) && silence > most) {
            most = silence;
            quiet = x;
        }
    }
    if (quiet != NULL) {
        spx_channel_cut(quiet->channel,
                        "it kept the server waiting while others waited for its place");
    }
}

/* A newer connection of a client takes the place of its older one, whose line may be dead; but only
 * of who authenticates as the same. */
static spx_status displace_twin(const spx_pi_queue *q, const spx_pi_session_state *t)
{
    int of_name = 0, waiting = 0;
    for (const spx_pi_session_state *x = q->first; x != NULL; x = x->next) {
        if (memcmp(x->client, t->client, SPX_PI_ID) == 0) {
            if (!same_name(x, t)) {
                return SPX_FAIL(SPX_EINVAL, "this client's material belongs to another identity");
            }
            spx_channel_cut(x->channel, "a newer connection of this client has taken its place");
        }
        waiting += !x->inside;
        of_name += !x->inside && has_name(t) && same_name(x, t);
    }
    if (waiting >= MAX_WAITING || of_name >= MAX_WAITING / 4) {
        return SPX_FAIL(SPX_EINVAL, "the server is full and %d clients wait: try again later",
                        waiting);
    }
    return SPX_OK;
}

static void tell(spx_pi_session_state *t, const obstacle *o, int *told)
{
    char line[80];
    const int now = o->twin ? -2 : t->held_up ? -3 : o->before;
    if (now == *told) {
        return;
    }
    *told = now;
    (void)snprintf(line, sizeof line, "server full, %d before you", o->before);
    spx_channel_say(t->channel, o->twin      ? "waiting for this client's older connection to end"
                                : t->held_up ? "this name has all the connections that it may have"
                                             : line);
}

static void unlink_session(spx_pi_queue *q, spx_pi_session_state *t)
{
    spx_pi_session_state **at = &q->first;
    while (*at != t) {
        at = &(*at)->next;
    }
    *at = t->next;
    (void)pthread_cond_broadcast(&q->change);
}

spx_status spx_pi_enter(spx_pi_session_state *t)
{
    spx_pi_queue *q = &t->s->queue;
    spx_pi_session_state **end = &q->first;
    int told = -1;
    spx_status st;
    (void)pthread_mutex_lock(&q->lock);
    st = displace_twin(q, t);
    if (st != SPX_OK) {
        (void)pthread_mutex_unlock(&q->lock);
        return st;
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = t;
    for (;;) {
        const obstacle o = look(q, t);
        t->held_up = o.twin || (has_name(t) && o.of_name >= share(q));
        if (!t->held_up && o.before == 0 && o.inside < q->places) {
            t->inside = true;
            (void)pthread_cond_broadcast(&q->change); /* the next may find a place, too */
            break;
        }
        if (!t->held_up && o.before == 0) {
            displace_quiet(q, t);
        }
        tell(t, &o, &told);
        wait_a_little(q);
        st = spx_channel_check(t->channel);
        if (st != SPX_OK) {
            unlink_session(q, t);
            break;
        }
    }
    (void)pthread_mutex_unlock(&q->lock);
    return st;
}

void spx_pi_leave(spx_pi_session_state *t)
{
    spx_pi_queue *q = &t->s->queue;
    (void)pthread_mutex_lock(&q->lock);
    unlink_session(q, t);
    (void)pthread_mutex_unlock(&q->lock);
}

/* ---- turns ---- */

/* Whether somebody comes before t: who waits for an online phase, then who came first. */
static bool others_first(const spx_pi_queue *q, const spx_pi_session_state *t)
{
    for (const spx_pi_session_state *x = q->first; x != NULL; x = x->next) {
        if (x != t && x->ticket != 0 &&
            (x->online != t->online ? x->online : x->ticket < t->ticket)) {
            return true;
        }
    }
    return false;
}

spx_status spx_pi_turn(spx_pi_session_state *t, bool online)
{
    spx_pi_queue *q = &t->s->queue;
    spx_status st = spx_channel_check(t->channel); /* nothing is computed for who has left */
    SPX_RETURN_IF(st);
    (void)pthread_mutex_lock(&q->lock);
    t->online = online;
    t->ticket = ++q->tickets;
    while (st == SPX_OK && (q->busy >= q->turns || others_first(q, t))) {
        wait_a_little(q);
        st = spx_channel_check(t->channel);
    }
    t->ticket = 0;
    q->busy += st == SPX_OK;
    (void)pthread_cond_broadcast(&q->change);
    (void)pthread_mutex_unlock(&q->lock);
    return st;
}

spx_status spx_pi_turn_end(spx_pi_session_state *t, spx_status st)
{
    spx_pi_queue *q = &t->s->queue;
    (void)pthread_mutex_lock(&q->lock);
    q->busy--;
    (void)pthread_cond_broadcast(&q->change);
    (void)pthread_mutex_unlock(&q->lock);
    return st;
}

/* ---- memory ---- */

static int before_in_line(const spx_pi_queue *q, const spx_pi_session_state *t)
{
    int n = 0;
    for (const spx_pi_session_state *x = q->first; x != NULL; x = x->next) {
        n += x->memory_ticket != 0 && x->memory_ticket < t->memory_ticket;
    }
    return n;
}

static spx_status wait_for_memory(spx_pi_queue *q, spx_pi_session_state *t, size_t least)
{
    int told = -1;
    for (;;) {
        const int before = before_in_line(q, t);
        if (before == 0 && q->left >= least) {
            return SPX_OK;
        }
        if (before == 0) {
            displace_quiet(q, t);
        }
        if (before != told) {
            char line[80];
            (void)snprintf(line, sizeof line, "the server's memory is in use, %d before you",
                           before);
            spx_channel_say(t->channel, line);
            told = before;
        }
        wait_a_little(q);
        SPX_RETURN_IF(spx_channel_check(t->channel));
    }
}

spx_status spx_pi_memory_take(spx_pi_session_state *t, size_t least, size_t most)
{
    spx_pi_queue *q = &t->s->queue;
    spx_status st;
    if (q->memory == 0) { /* no limit */
        t->memory = most;
        return SPX_OK;
    }
    (void)pthread_mutex_lock(&q->lock);
    t->memory_ticket = ++q->tickets;
    st = wait_for_memory(q, t, least);
    t->memory_ticket = 0;
    if (st == SPX_OK) {
        const size_t share = most < q->left / 4 ? most : q->left / 4;
        t->memory = share < least ? least : share;
        q->left -= t->memory;
    }
    (void)pthread_cond_broadcast(&q->change); /* the next may find enough, too */
    (void)pthread_mutex_unlock(&q->lock);
    return st;
}

void spx_pi_memory_give(spx_pi_session_state *t)
{
    spx_pi_queue *q = &t->s->queue;
    (void)pthread_mutex_lock(&q->lock);
    q->left += q->memory > 0 ? t->memory : 0;
    t->memory = 0;
    (void)pthread_cond_broadcast(&q->change);
    (void)pthread_mutex_unlock(&q->lock);
}
