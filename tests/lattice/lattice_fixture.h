#ifndef SPX_LATTICE_FIXTURE_H
#define SPX_LATTICE_FIXTURE_H
/* Random residues and every variant of the transform in turn. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "tests/support/spx_test.h"

#include <stdlib.h>

#include "kernels/base/alloc.h"
#include "kernels/base/cpu.h"
#include "kernels/base/rng.h"
#include "kernels/crypto/ntt.h"

static inline uint64_t lattice_u64(spx_rng *r)
{
    const uint64_t hi = spx_rng_u32(r);
    return hi << 32 | spx_rng_u32(r);
}

static inline uint64_t *lattice_words(spx_rng *r, size_t n)
{
    void *p;
    uint64_t *x;
    CHECK_OK(spx_alloc(&p, n * sizeof *x));
    x = p;
    for (size_t i = 0; i < n; i++) {
        x[i] = lattice_u64(r);
    }
    return x;
}

static inline uint64_t *lattice_residues(spx_rng *r, size_t n, uint64_t q)
{
    uint64_t *x = lattice_words(r, n);
    for (size_t i = 0; i < n; i++) {
        x[i] %= q;
    }
    return x;
}

/* body(ctx) under every level of SPHYNX_ISA this machine has */
static inline void lattice_on_every_isa(void (*body)(void *ctx), void *ctx)
{
    for (int isa = 0; isa < (int)SPX_ISA_COUNT; isa++) {
        assert_int_equal(setenv("SPHYNX_ISA", spx_isa_name((spx_isa)isa), 1), 0);
        if ((int)spx_cpu_isa() == isa) {
            body(ctx);
        }
    }
    assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
}

#endif
