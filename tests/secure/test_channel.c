/* Messages, signs of life and imitated links, over pairs. Who may connect: test_channel_tls.c. */
#define _DEFAULT_SOURCE
#include "host/secure/channel/channel.h"
#include "kernels/base/clock.h"
#include "tests/support/spx_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static const spx_channel_options quick = {.timeout = 5};

/* ---- messages, over a pair ---- */

typedef struct pair {
    spx_channel *a, *b;
} pair;

static pair make_pair(const spx_channel_options *o)
{
    pair p;
    CHECK_OK(spx_channel_pair(&p.a, &p.b, o));
    return p;
}

static void close_pair(pair *p)
{
    spx_channel_close(p->a);
    spx_channel_close(p->b);
}

SPX_TEST(messages_arrive_whole_and_in_order)
{
    SPX_UNUSED;
    pair p = make_pair(&quick);
    unsigned char got[3];
    uint64_t total;
    CHECK_OK(spx_channel_send(p.a, 7, "abc", 3));
    CHECK_OK(spx_channel_send(p.a, 8, NULL, 0));
    CHECK_OK(spx_channel_send_begin(p.a, 9, 5));
    CHECK_OK(spx_channel_send_part(p.a, "de", 2));
    CHECK_OK(spx_channel_send_part(p.a, "fgh", 3));
    CHECK_OK(spx_channel_flush(p.a));
    CHECK_OK(spx_channel_recv(p.b, 7, got, 3));
    assert_memory_equal(got, "abc", 3);
    CHECK_OK(spx_channel_recv(p.b, 8, NULL, 0));
    CHECK_OK(spx_channel_recv_begin(p.b, 9, 10, &total));
    assert_int_equal(total, 5);
    CHECK_OK(spx_channel_recv_part(p.b, got, 3));
    assert_memory_equal(got, "def", 3);
    CHECK_OK(spx_channel_recv_part(p.b, got, 2));
    assert_memory_equal(got, "gh", 2);
    close_pair(&p);
}

static void *send_large(void *channel)
{
    enum { SIZE = 3000000 };
    unsigned char *data = malloc(SIZE);
    for (size_t i = 0; data != NULL && i < SIZE; i++) {
        data[i] = (unsigned char)(i * 31 >> 3);
    }
    const spx_status st = data != NULL ? spx_channel_send(channel, 1, data, SIZE) : SPX_ENOMEM;
    const bool ok = st == SPX_OK && spx_channel_flush(channel) == SPX_OK;
    free(data);
    return ok ? channel : NULL;
}

SPX_TEST(a_message_larger_than_every_buffer_arrives)
{
    SPX_UNUSED;
    enum { SIZE = 3000000, FIRST = 100001 };
    pair p = make_pair(&quick);
    unsigned char *got = malloc(SIZE);
    pthread_t thread;
    void *sent;
    uint64_t total;
    assert_non_null(got);
    assert_int_equal(pthread_create(&thread, NULL, send_large, p.a), 0);
    CHECK_OK(spx_channel_recv_begin(p.b, 1, SIZE, &total));
    assert_int_equal(total, SIZE);
    CHECK_OK(spx_channel_recv_part(p.b, got, FIRST));
    CHECK_OK(spx_channel_recv_part(p.b, got + FIRST, SIZE - FIRST));
    assert_int_equal(pthread_join(thread, &sent), 0);
    assert_ptr_equal(sent, p.a);
    for (size_t i = 0; i < SIZE; i++) {
        assert_int_equal(got[i], (unsigned char)(i * 31 >> 3));
    }
    free(got);
    close_pair(&p);
}

SPX_TEST(traffic_counts_frames_bytes_and_rounds)
{
    SPX_UNUSED;
    pair p = make_pair(&quick);
    unsigned char got[4];
    for (int i = 0; i < 3; i++) {
        CHECK_OK(spx_channel_send(p.a, 1, "ask!", 4));
        CHECK_OK(spx_channel_send(p.a, 1, "more", 4));
        CHECK_OK(spx_channel_flush(p.a));
        CHECK_OK(spx_channel_recv(p.b, 1, got, 4));
        CHECK_OK(spx_channel_recv(p.b, 1, got, 4));
        CHECK_OK(spx_channel_send(p.b, 2, "yes", 3));
        CHECK_OK(spx_channel_flush(p.b));
        CHECK_OK(spx_channel_recv(p.a, 2, got, 3));
    }
    const spx_traffic a = spx_channel_traffic(p.a), b = spx_channel_traffic(p.b);
    assert_int_equal(a.sent, 3 * 2 * (24 + 4));
    assert_int_equal(a.received, 3 * (24 + 3));
    assert_int_equal(a.sent, b.received);
    assert_int_equal(a.received, b.sent);
    assert_int_equal(a.rounds, 3);
    assert_int_equal(b.rounds, 2); /* its last answer was not answered */
    assert_int_equal(a.messages, 9);
    close_pair(&p);
}

SPX_TEST(another_type_or_length_is_refused_and_breaks_the_channel)
{
    SPX_UNUSED;
    for (int i = 0; i < 3; i++) {
        pair p = make_pair(&quick);
        unsigned char got[4];
        uint64_t total;
        CHECK_OK(spx_channel_send(p.a, 5, "abcd", 4));
        CHECK_OK(spx_channel_flush(p.a));
        switch (i) {
        case 0:
            CHECK_FAILS(SPX_EFORMAT, spx_channel_recv(p.b, 6, got, 4));
            break;
        case 1:
            CHECK_FAILS(SPX_EFORMAT, spx_channel_recv(p.b, 5, got, 3));
            break;
        default:
            CHECK_FAILS(SPX_EFORMAT, spx_channel_recv_begin(p.b, 5, 3, &total));
        }
        CHECK_FAILS(SPX_EIO, spx_channel_recv(p.b, 5, got, 4));
        CHECK_FAILS(SPX_EIO, spx_channel_send(p.b, 5, got, 4));
        close_pair(&p);
    }
}

SPX_TEST(a_shorter_message_than_expected_is_refused)
{
    SPX_UNUSED;
    pair p = make_pair(&quick);
    unsigned char got[4];
    CHECK_OK(spx_channel_send(p.a, 5, "abc", 3));
    CHECK_OK(spx_channel_flush(p.a));
    CHECK_FAILS(SPX_EFORMAT, spx_channel_recv(p.b, 5, got, 4));
    close_pair(&p);
}

SPX_TEST(a_peer_that_closes_or_stays_silent_is_reported)
{
    SPX_UNUSED;
    const spx_channel_options brief = {.timeout = 0.05};
    pair p = make_pair(&brief);
    unsigned char got[4];
    CHECK_FAILS(SPX_EIO, spx_channel_recv(p.b, 5, got, 4));
    assert_non_null(strstr(spx_error_message(), "silent"));
    close_pair(&p);
    p = make_pair(&quick);
    CHECK_OK(spx_channel_send_begin(p.a, 5, 4));
    CHECK_OK(spx_channel_send_part(p.a, "ab", 2));
    spx_channel_close(p.a);
    p.a = NULL;
    CHECK_FAILS(SPX_EIO, spx_channel_recv(p.b, 5, got, 4));
    assert_non_null(strstr(spx_error_message(), "closed"));
    close_pair(&p);
}

SPX_TEST(a_stop_ends_the_wait)
{
    SPX_UNUSED;
    atomic_int stop = 1;
    const spx_channel_options o = {.timeout = 5, .stop = &stop};
    pair p = make_pair(&o);
    unsigned char got[4];
    CHECK_FAILS(SPX_EINTERRUPTED, spx_channel_recv(p.b, 5, got, 4));
    close_pair(&p);
}

SPX_TEST(giving_up_is_quoted_to_the_other_party_without_its_control_characters)
{
    SPX_UNUSED;
    pair p = make_pair(&quick);
    unsigned char got[4];
    spx_channel_give_up(p.a, "out of \x1b[31mmaterial");
    CHECK_FAILS(SPX_EIO, spx_channel_recv(p.b, 5, got, 4));
    assert_non_null(strstr(spx_error_message(), "out of ?[31mmaterial"));
    CHECK_FAILS(SPX_EIO, spx_channel_send(p.a, 5, got, 4));
    close_pair(&p);
}

/* A party that sends, and says why when it ends in the middle. */
typedef struct sender {
    spx_channel *c;
    size_t bytes;
    pthread_t thread;
} sender;

static void *run_sender(void *arg)
{
    sender *s = arg;
    unsigned char *data = calloc(s->bytes, 1), answer;
    spx_status st = data != NULL ? spx_channel_send(s->c, 1, data, s->bytes) : SPX_ENOMEM;
    if (st == SPX_OK) {
        st = spx_channel_recv(s->c, 2, &answer, 1);
    }
    if (st != SPX_OK) {
        spx_channel_give_up(s->c, spx_error_message());
    }
    free(data);
    return NULL;
}

/* Two ends of a connection that is plain and ours; only the accepting one heeds the flag. */
static pair make_link(spx_listener **l, const atomic_int *stop)
{
    spx_channel_options o = quick;
    char address[64];
    pair p;
    o.stop = stop;
    CHECK_OK(spx_listener_open(l, "127.0.0.1:0", &o));
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", spx_listener_port(*l));
    CHECK_OK(spx_channel_connect(&p.b, address, &quick));
    CHECK_OK(spx_listener_accept(*l, &p.a));
    CHECK_OK(spx_channel_handshake(p.a));
    return p;
}

static void pause_ms(long ms);

SPX_TEST(who_is_stopped_in_the_middle_of_a_message_finishes_it_and_says_why)
{
    SPX_UNUSED;
    enum { SIZE = 20000000 }; /* more than a loopback connection holds */
    unsigned char *got = malloc(SIZE);
    assert_non_null(got);
    for (int i = 0; i < 2; i++) {
        atomic_int stop = 0;
        spx_listener *l;
        pair p = make_link(&l, &stop);
        sender s = {.c = p.a, .bytes = SIZE};
        assert_int_equal(pthread_create(&s.thread, NULL, run_sender, &s), 0);
        while (spx_channel_silence(p.a) < 0.1) { /* until nothing more goes out */
            pause_ms(10);
        }
        if (i == 0) {
            atomic_store(&stop, 1);
        } else {
            spx_channel_cut(p.a, "another wants its place");
        }
        CHECK_OK(spx_channel_recv(p.b, 1, got, SIZE));
        CHECK_FAILS(SPX_EIO, spx_channel_recv(p.b, 3, got, 1));
        assert_non_null(strstr(spx_error_message(),
                               i == 0 ? "gave up: stopped" : "gave up: another wants its place"));
        assert_int_equal(pthread_join(s.thread, NULL), 0);
        close_pair(&p);
        spx_listener_close(l);
    }
    free(got);
}

/* ---- who keeps the other waiting ---- */

typedef struct waiter {
    spx_channel *c;
    spx_status st;
    char message[512], word[4];
} waiter;

static void *run_waiter(void *arg)
{
    waiter *w = arg;
    w->st = spx_channel_recv(w->c, 5, w->word, sizeof w->word);
    (void)snprintf(w->message, sizeof w->message, "%s", spx_error_message());
    return NULL;
}

static void pause_ms(long ms)
{
    const struct timespec t = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&t, NULL);
}

SPX_TEST(signs_of_life_end_a_silence_but_are_no_message)
{
    SPX_UNUSED;
    pair p = make_pair(&quick);
    waiter w = {.c = p.b};
    pthread_t thread;
    const double begin = spx_seconds();
    assert_true(spx_channel_waited(p.b) == 0);
    assert_int_equal(pthread_create(&thread, NULL, run_waiter, &w), 0);
    spx_channel_alive(p.a, true);
    while (spx_channel_waited(p.b) < 0.3 || /* a sign has come since */
           spx_channel_silence(p.b) > spx_channel_waited(p.b) - 0.1) {
        assert_true(spx_seconds() - begin < 60);
        pause_ms(10);
    }
    CHECK_OK(spx_channel_send(p.a, 5, "word", 4));
    CHECK_OK(spx_channel_flush(p.a));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.st, SPX_OK);
    assert_true(spx_channel_waited(p.b) == 0);
    close_pair(&p);
}

typedef struct drip {
    spx_channel *c;
    atomic_bool stop;
} drip;

static void *run_drip(void *arg)
{
    drip *d = arg;
    while (!atomic_load(&d->stop)) {
        (void)!spx_channel_send_part(d->c, "drip", 4);
        (void)!spx_channel_flush(d->c);
        pause_ms(50);
    }
    return NULL;
}

/* Bytes renew the timeout, but a message must not take for ever. */
SPX_TEST(a_peer_that_drips_is_ended)
{
    SPX_UNUSED;
    enum { BYTES = 4, PIECES = 1000 };
    const spx_channel_options o = {.timeout = 1};
    pair p = make_pair(&o);
    char *got = malloc(BYTES * PIECES);
    drip d = {.c = p.a};
    pthread_t thread;
    assert_non_null(got);
    CHECK_OK(spx_channel_send_begin(p.a, 5, BYTES * PIECES));
    assert_int_equal(pthread_create(&thread, NULL, run_drip, &d), 0);
    CHECK_FAILS(SPX_EIO, spx_channel_recv(p.b, 5, got, BYTES * PIECES));
    assert_non_null(strstr(spx_error_message(), "less than 1 KB a second"));
    atomic_store(&d.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    free(got);
    close_pair(&p);
}

/* ---- links ---- */

SPX_TEST(links_are_read_and_bad_ones_refused)
{
    SPX_UNUSED;
    static const char *const bad[] = {
        "",          "man",        "100,20ms",   "100Mbps",     "100Mbps,20",
        "0Mbps,1ms", "-1Mbps,1ms", "1Mbps,1msx", "nanMbps,1ms", "1Mbps,1e9s"};
    spx_link l;
    CHECK_OK(spx_link_parse("wan", &l));
    assert_true(l.bytes_per_second == 50e6 && l.rtt_seconds == 0.04);
    CHECK_OK(spx_link_parse("loopback", &l));
    assert_true(l.bytes_per_second == 0 && l.rtt_seconds == 0);
    CHECK_OK(spx_link_parse("8kbps,1.5s", &l));
    assert_true(l.bytes_per_second == 1000 && l.rtt_seconds == 1.5);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_link_parse(bad[i], &l));
    }
}

SPX_TEST(an_imitated_link_takes_at_least_its_time)
{
    SPX_UNUSED;
    /* 1000 bytes at 20 kB/s and half a round trip of 100 ms: nothing may arrive sooner. */
    const spx_channel_options o = {.timeout = 5, .link = {20e3, 0.1}};
    pair p = make_pair(&o);
    unsigned char data[1000] = {0};
    const double begin = spx_seconds();
    CHECK_OK(spx_channel_send(p.a, 1, data, sizeof data));
    CHECK_OK(spx_channel_flush(p.a));
    CHECK_OK(spx_channel_recv(p.b, 1, data, sizeof data));
    assert_true(spx_seconds() - begin >= 0.05 + 0.05);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(messages_arrive_whole_and_in_order),
        SPX_UNIT(a_message_larger_than_every_buffer_arrives),
        SPX_UNIT(traffic_counts_frames_bytes_and_rounds),
        SPX_UNIT(another_type_or_length_is_refused_and_breaks_the_channel),
        SPX_UNIT(a_shorter_message_than_expected_is_refused),
        SPX_UNIT(a_peer_that_closes_or_stays_silent_is_reported),
        SPX_UNIT(a_stop_ends_the_wait),
        SPX_UNIT(giving_up_is_quoted_to_the_other_party_without_its_control_characters),
        SPX_UNIT(who_is_stopped_in_the_middle_of_a_message_finishes_it_and_says_why),
        SPX_UNIT(signs_of_life_end_a_silence_but_are_no_message),
        SPX_UNIT(a_peer_that_drips_is_ended),
        SPX_UNIT(links_are_read_and_bad_ones_refused),
        SPX_UNIT(an_imitated_link_takes_at_least_its_time),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
