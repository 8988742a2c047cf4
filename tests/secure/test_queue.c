/* Who of a server's clients waits, for memory or for a turn to compute, and in what order. */
#define _DEFAULT_SOURCE
#include "host/secure/infer/pi_server_private.h"
#include "tests/support/spx_test.h"

#include <time.h>

static void pause_ms(long ms)
{
    const struct timespec t = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&t, NULL);
}

/* ---- memory ---- */

/* Sessions of a queue, all of one connection. */
typedef struct line {
    spx_pi_server s;
    spx_channel *near, *far;
    spx_pi_session_state t[40];
    spx_status st;
} line;

static void line_begin(line *l, size_t memory, int evaluations)
{
    const spx_channel_options co = {.timeout = 20};
    const spx_pi_server_options o = {.memory_bytes = memory, .evaluations = evaluations};
    memset(l, 0, sizeof *l);
    CHECK_OK(spx_channel_pair(&l->near, &l->far, &co));
    CHECK_OK(spx_pi_queue_init(&l->s.queue, &o));
    for (int i = 0; i < 40; i++) {
        l->t[i] = (spx_pi_session_state){.s = &l->s, .channel = l->near, .inside = true};
        l->t[i].next = i < 39 ? &l->t[i + 1] : NULL;
    }
    l->s.queue.first = l->t;
}

static void line_end(line *l)
{
    spx_pi_queue_clear(&l->s.queue);
    spx_channel_close(l->near);
    spx_channel_close(l->far);
}

SPX_TEST(memory_is_given_less_the_less_there_is)
{
    SPX_UNUSED;
    line l;
    size_t sum = 0;
    int n = 0;
    line_begin(&l, 1000, 0);
    for (; l.s.queue.left >= 50; n++) {
        CHECK_OK(spx_pi_memory_take(&l.t[n], 50, 400));
        assert_in_range(l.t[n].memory, 50, 250);
        assert_true(n == 0 || l.t[n].memory <= l.t[n - 1].memory);
        sum += l.t[n].memory;
    }
    assert_in_range(n, 6, 20);
    assert_in_range(sum, 951, 1000);
    for (int i = 0; i < n; i++) {
        spx_pi_memory_give(&l.t[i]);
    }
    assert_int_equal(l.s.queue.left, 1000);
    line_end(&l);
}

static void *take_memory(void *arg)
{
    line *l = arg;
    l->st = spx_pi_memory_take(&l->t[1], 800, 800);
    return NULL;
}

/* Whoever waits does so until there is some, or its client has left. */
SPX_TEST(who_waits_for_memory_gets_it_or_leaves)
{
    SPX_UNUSED;
    for (int leaves = 0; leaves < 2; leaves++) {
        pthread_t thread;
        line l;
        line_begin(&l, 1000, 0);
        CHECK_OK(spx_pi_memory_take(&l.t[0], 500, 500));
        assert_int_equal(pthread_create(&thread, NULL, take_memory, &l), 0);
        pause_ms(50);
        if (leaves) {
            spx_channel_close(l.far);
            l.far = NULL;
        } else {
            spx_pi_memory_give(&l.t[0]);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(l.st, leaves ? SPX_EIO : SPX_OK);
        assert_int_equal(l.t[1].memory, leaves ? 0 : 800);
        assert_int_equal(l.t[1].memory_ticket, 0);
        line_end(&l);
    }
}

/* ---- turns ---- */

typedef struct turn {
    spx_pi_session_state *t;
    bool online;
    atomic_int *now, *most, *done;
    int place; /* among those done */
    pthread_t thread;
} turn;

static void *run_turn(void *arg)
{
    turn *u = arg;
    if (spx_pi_turn(u->t, u->online) == SPX_OK) {
        const int n = atomic_fetch_add(u->now, 1) + 1;
        int most = atomic_load(u->most);
        while (n > most && !atomic_compare_exchange_weak(u->most, &most, n)) {
        }
        u->place = atomic_fetch_add(u->done, 1);
        pause_ms(2);
        (void)atomic_fetch_sub(u->now, 1);
        (void)spx_pi_turn_end(u->t, SPX_OK);
    }
    return NULL;
}

/* Whether all of the line wait but its first. */
static bool all_wait(line *l, int n)
{
    int waiting = 0;
    (void)pthread_mutex_lock(&l->s.queue.lock);
    for (int i = 1; i < n; i++) {
        waiting += l->t[i].ticket != 0;
    }
    (void)pthread_mutex_unlock(&l->s.queue.lock);
    return waiting == n - 1;
}

SPX_TEST(so_many_evaluate_at_a_time_and_online_phases_come_first)
{
    SPX_UNUSED;
    enum { N = 12 };
    for (int turns = 1; turns < 4; turns++) {
        atomic_int now = 0, most = 0, done = 0;
        turn u[N];
        line l;
        line_begin(&l, 0, turns);
        for (int i = 0; i < turns; i++) { /* the first holds all of them */
            CHECK_OK(spx_pi_turn(&l.t[0], false));
        }
        for (int i = 1; i < N; i++) {
            u[i] = (turn){
                .t = &l.t[i], .online = i >= N / 2, .now = &now, .most = &most, .done = &done};
            assert_int_equal(pthread_create(&u[i].thread, NULL, run_turn, &u[i]), 0);
        }
        while (!all_wait(&l, N)) {
            pause_ms(1);
        }
        assert_int_equal(now, 0);
        for (int i = 0; i < turns; i++) {
            CHECK_OK(spx_pi_turn_end(&l.t[0], SPX_OK));
        }
        for (int i = 1; i < N; i++) {
            assert_int_equal(pthread_join(u[i].thread, NULL), 0);
            assert_true(turns > 1 || (u[i].place < N / 2) == u[i].online);
        }
        assert_int_equal(done, N - 1);
        assert_in_range(most, 1, turns);
        line_end(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(memory_is_given_less_the_less_there_is),
        SPX_UNIT(who_waits_for_memory_gets_it_or_leaves),
        SPX_UNIT(so_many_evaluate_at_a_time_and_online_phases_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
