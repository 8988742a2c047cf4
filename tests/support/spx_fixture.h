#ifndef SPX_FIXTURE_H
#define SPX_FIXTURE_H
/*
 * For tests of kernels: random operands that free themselves, and every instruction set and thread
 * count in turn. Include first: it asks for POSIX's setenv.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <stdlib.h>

#include "kernels/base/cpu.h"
#include "kernels/base/rng.h"
#include "kernels/device/stream.h"
#include "tests/support/spx_test.h"

/* Half a unit in the last place of 1.0f: the largest relative error of one rounding. */
#define SPX_U 0x1p-24

/* Blocks freed together. */
typedef struct pile {
    void *block[2048];
    size_t count;
    uint64_t key; /* of the next random block */
} pile;

static inline void *pile_bytes(pile *p, size_t bytes)
{
    void *b = calloc(bytes > 0 ? bytes : 1, 1); /* exact size, so ASan sees every overrun */
    assert_non_null(b);
    assert_true(p->count < sizeof p->block / sizeof p->block[0]);
    p->block[p->count++] = b;
    return b;
}

/* n floats of mean + std * standard normal */
static inline float *pile_normal(pile *p, size_t n, float mean, float std)
{
    float *x = pile_bytes(p, n * sizeof *x);
    spx_rng r;
    spx_rng_init(&r, 1, SPX_RNG_TEST, p->key++);
    for (size_t i = 0; i < n; i++) {
        x[i] = mean + std * spx_rng_normal(&r);
    }
    return x;
}

static inline float *pile_copy(pile *p, const float *from, size_t n)
{
    float *x = pile_bytes(p, n * sizeof *x);
    memcpy(x, from, n * sizeof *x);
    return x;
}

static inline void pile_clear(pile *p)
{
    while (p->count > 0) {
        free(p->block[--p->count]);
    }
}

/* body(stream) under every instruction set this machine has, with 1, 2 and 3 threads */
static inline void spx_on_every_stream(void (*body)(spx_stream *s, void *ctx), void *ctx)
{
    for (int isa = 0; isa <= (int)SPX_ISA_AVX2; isa++) {
        assert_int_equal(setenv("SPHYNX_ISA", spx_isa_name((spx_isa)isa), 1), 0);
        for (int threads = 1; threads <= 3 && (int)spx_cpu_isa() == isa; threads++) {
            spx_stream *s;
            CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, threads));
            body(s, ctx);
            spx_stream_destroy(s);
        }
    }
    assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
}

/* |a[i] - b[i]| <= bound[i] for all i; bounds are derived where they are made */
static inline void spx_check_bounded(const char *what, const float *a, const float *b,
                                     const double *bound, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)a[i] - (double)b[i]) <= bound[i])) {
            fail_msg("%s[%zu]: %.9g, expected %.9g within %.3g", what, i, (double)a[i],
                     (double)b[i], bound[i]);
        }
    }
}

#endif
