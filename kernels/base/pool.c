#define _GNU_SOURCE
#include "kernels/base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define relax() _mm_pause()
#else
#define relax() ((void)0)
#endif

/* Workers spin this many turns (tens of microseconds) before they sleep: a step is thousands of
 * short parallel regions, and waking a sleeper costs as much as one of them. */
#define SPIN_TURNS 4000

/* Where a woken worker came too late to take anything, processors are busy: the next 1, 3, 7, ...
 * runs wake nobody (those awake still help), for waking mostly takes the processor from the caller.
 */
#define MOST_QUIET_RUNS 255

typedef struct worker {
    spx_pool *pool;
    pthread_t thread;
    int index;
    bool started;
    atomic_uint taken; /* the last run whose range `index` was taken by some thread */
} worker;

struct spx_pool {
    int threads;
    bool spin; /* false where workers outnumber processors */
    worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    atomic_uint epoch;     /* counts runs; workers wait for it to move */
    int quiet, quiet_left; /* runs without a wake-up: after the last late one, and still to come */
    atomic_int pending;    /* ranges of this run not finished */
    atomic_bool stop;
    size_t n;
    spx_pool_fn fn;
    void *ctx;
};

static void run_range(const spx_pool *p, int index)
{
    const size_t t = (size_t)p->threads, i = (size_t)index;
    const size_t q = p->n / t, r = p->n % t; /* the first r ranges get one more */
    const size_t begin = i * q + (i < r ? i : r), end = begin + q + (i < r ? 1 : 0);
    if (begin < end) {
        p->fn(p->ctx, index, begin, end);
    }
}

/*
 * Runs the calling thread's own range, then any other that nobody has taken yet: where processors
 * are busy with other work, a run does not wait for a worker that has not been scheduled. Which
 * thread runs a range changes nothing: ranges and their worker numbers are fixed.
 */
static int take_ranges(spx_pool *p, int own, unsigned epoch)
{
    int done = 0;
    for (int k = 0; k < p->threads; k++) {
        const int i = (own + k) % p->threads;
        unsigned before = epoch - 1;
        if (atomic_compare_exchange_strong_explicit(&p->workers[i].taken, &before, epoch,
                                                    memory_order_acq_rel, memory_order_relaxed)) {
            run_range(p, i);
            done++;
        }
    }
    if (done > 0 && atomic_fetch_sub_explicit(&p->pending, done, memory_order_acq_rel) == done) {
        (void)pthread_mutex_lock(&p->lock);
        (void)pthread_cond_signal(&p->done);
        (void)pthread_mutex_unlock(&p->lock);
    }
    return done;
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    spx_pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        for (int i = 0; p->spin && i < SPIN_TURNS; i++) {
            if (atomic_load_explicit(&p->epoch, memory_order_acquire) != seen) {
                break;
            }
            relax();
        }
        if (atomic_load_explicit(&p->epoch, memory_order_acquire) == seen) {
            (void)pthread_mutex_lock(&p->lock);
            while (atomic_load_explicit(&p->epoch, memory_order_acquire) == seen) {
                (void)pthread_cond_wait(&p->wake, &p->lock);
            }
            (void)pthread_mutex_unlock(&p->lock);
        }
        seen = atomic_load_explicit(&p->epoch, memory_order_acquire); /* runs may have gone by */
        if (atomic_load_explicit(&p->stop, memory_order_acquire)) {
            return NULL;
        }
        (void)take_ranges(p, w->index, seen);
    }
}

int spx_pool_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

static void publish(spx_pool *p, bool wake)
{
    (void)pthread_mutex_lock(&p->lock);
    (void)atomic_fetch_add_explicit(&p->epoch, 1, memory_order_acq_rel);
    if (wake) {
        (void)pthread_cond_broadcast(&p->wake);
    }
    (void)pthread_mutex_unlock(&p->lock);
}

spx_status spx_pool_create(spx_pool **out, int threads)
{
    spx_pool *p;
    *out = NULL;
    if (threads < 1 || threads > SPX_POOL_MAX_THREADS) {
        return SPX_FAIL(SPX_EINVAL, "threads must be 1..%d, not %d", SPX_POOL_MAX_THREADS, threads);
    }
    p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "thread pool");
    }
    p->threads = threads;
    p->spin = threads <= spx_pool_processors();
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->wake, NULL);
    (void)pthread_cond_init(&p->done, NULL);
    p->workers = calloc((size_t)threads, sizeof *p->workers);
    if (p->workers == NULL) {
        spx_pool_destroy(p);
        return SPX_FAIL(SPX_ENOMEM, "thread pool of %d", threads);
    }
    for (int i = 1; i < threads; i++) {
        p->workers[i].pool = p;
        p->workers[i].index = i;
        if (pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]) != 0) {
            spx_pool_destroy(p);
            return SPX_FAIL(SPX_EDEVICE, "could not start thread %d of %d", i, threads);
        }
        p->workers[i].started = true;
    }
    *out = p;
    return SPX_OK;
}

void spx_pool_destroy(spx_pool *p)
{
    if (p == NULL) {
        return;
    }
    atomic_store_explicit(&p->stop, true, memory_order_release);
    publish(p, true);
    for (int i = 1; p->workers != NULL && i < p->threads; i++) {
        if (p->workers[i].started) {
            (void)pthread_join(p->workers[i].thread, NULL);
        }
    }
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_cond_destroy(&p->wake);
    (void)pthread_cond_destroy(&p->done);
    free(p->workers);
    free(p);
}

int spx_pool_threads(const spx_pool *p)
{
    return p->threads;
}

void spx_pool_run(spx_pool *p, size_t n, spx_pool_fn fn, void *ctx)
{
    bool wake;
    int taken;
    p->n = n;
    p->fn = fn;
    p->ctx = ctx;
    if (p->threads == 1 || n <= 1) {
        if (n > 0) {
            fn(ctx, 0, 0, n);
        }
        return;
    }
    atomic_store_explicit(&p->pending, p->threads, memory_order_release);
    wake = p->quiet_left == 0;
    publish(p, wake);
    taken = take_ranges(p, 0, atomic_load_explicit(&p->epoch, memory_order_relaxed));
    if (!wake) {
        p->quiet_left--;
    } else {
        const bool late = taken == p->threads;
        p->quiet = !late ? 0 : p->quiet < MOST_QUIET_RUNS ? 2 * p->quiet + 1 : MOST_QUIET_RUNS;
        p->quiet_left = p->quiet;
    }
    for (int i = 0; p->spin && i < SPIN_TURNS; i++) {
        if (atomic_load_explicit(&p->pending, memory_order_acquire) == 0) {
            return;
        }
        relax();
    }
    (void)pthread_mutex_lock(&p->lock);
    while (atomic_load_explicit(&p->pending, memory_order_acquire) != 0) {
        (void)pthread_cond_wait(&p->done, &p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
}
