/* Parameter sets, and arithmetic of residues modulo all their primes. */
#include "host/secure/he/he_private.h"

#include <pthread.h>

/* 106 bits is the bound for n = 4096 (he.h); 120 and 138 are far below 214 for n = 8192. */
const he_set he_sets[SPX_HE_SETS] = {
    {4096, {36, 35, 35}},
    {8192, {40, 40, 40}},
    {8192, {46, 46, 46}},
};

int he_set_bits(const he_set *s)
{
    return s->bits[0] + s->bits[1] + s->bits[2];
}

/* floor(2^128 / q) by long division, 16 bits at a time: q < 2^46. */
static spx_u128 reciprocal(uint64_t q)
{
    spx_u128 r = {0, 0};
    uint64_t rest = 1;
    for (int i = 0; i < 8; i++) {
        rest <<= 16;
        r.hi = r.hi << 16 | r.lo >> 48;
        r.lo = r.lo << 16 | rest / q;
        rest %= q;
    }
    return r;
}

static void fill_basis(he_params *p, int primes)
{
    he_basis *b = &p->basis[primes];
    b->modulus = (spx_u128){0, 1};
    for (int i = 0; i < primes; i++) {
        uint64_t rest = 1;
        b->modulus = spx_u128_scale(b->modulus, p->modq[i]->q);
        b->rest[i] = (spx_u128){0, 1};
        for (int j = 0; j < primes; j++) {
            if (j != i) {
                b->rest[i] = spx_u128_scale(b->rest[i], p->modq[j]->q);
                rest = spx_modq_mul(rest, spx_modq_reduce(p->modq[j]->q, p->modq[i]), p->modq[i]);
            }
        }
        b->inverse[i] = spx_modq_inverse(rest, p->modq[i]);
        b->inverse_shoup[i] = spx_modq_shoup(b->inverse[i], p->modq[i]->q);
    }
}

static he_params params[SPX_HE_SETS];
static spx_status params_status[SPX_HE_SETS];

static spx_status fill(int set)
{
    const he_set *s = &he_sets[set];
    he_params *p = &params[set];
    p->set = s;
    for (int i = 0; i < HE_PRIMES; i++) {
        int index = 0; /* among primes of the same width */
        for (int j = 0; j < i; j++) {
            index += s->bits[j] == s->bits[i];
        }
        SPX_RETURN_IF(spx_ntt_create(&p->ntt[i], s->n, spx_modq_prime(s->bits[i], s->n, index)));
        p->modq[i] = spx_ntt_modulus(p->ntt[i]);
        p->reciprocal[i] = reciprocal(p->modq[i]->q);
        p->wrap[i] = spx_modq_mul(p->modq[i]->wrap, p->modq[i]->wrap, p->modq[i]);
    }
    for (int primes = 1; primes <= HE_PRIMES; primes++) {
        fill_basis(p, primes);
    }
    return SPX_OK;
}

static void fill_0(void)
{
    params_status[0] = fill(0);
}

static void fill_1(void)
{
    params_status[1] = fill(1);
}

static void fill_2(void)
{
    params_status[2] = fill(2);
}

spx_status he_params_get(const he_params **out, int set)
{
    static pthread_once_t once[SPX_HE_SETS] = {PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT,
                                               PTHREAD_ONCE_INIT};
    static void (*const fills[SPX_HE_SETS])(void) = {fill_0, fill_1, fill_2};
    *out = NULL;
    if (set < 0 || set >= SPX_HE_SETS) {
        return SPX_FAIL(SPX_EINVAL, "no parameter set %d of encryption", set);
    }
    (void)pthread_once(&once[set], fills[set]);
    if (params_status[set] != SPX_OK) {
        return SPX_FAIL(params_status[set], "parameter set %d of encryption has no tables", set);
    }
    *out = &params[set];
    return SPX_OK;
}

spx_u128 he_lift(const he_params *p, int primes, const uint64_t x[HE_PRIMES])
{
    const he_basis *b = &p->basis[primes];
    spx_u128 sum = {0, 0}, ratio = {0, 0}; /* ratio: sum of y_i / q_i in units of 2^-64 */
    spx_u128 whole;
    for (int i = 0; i < primes; i++) {
        const uint64_t y =
            spx_modq_mul_shoup(x[i], b->inverse[i], b->inverse_shoup[i], p->modq[i]->q);
        sum = spx_u128_add(sum, spx_u128_scale(b->rest[i], y));
        ratio = spx_u128_add(ratio, (spx_u128){0, spx_u128_scale(p->reciprocal[i], y).hi});
    }
    ratio = spx_u128_add(ratio, (spx_u128){0, (uint64_t)1 << 63}); /* to the nearest */
    whole = spx_u128_scale(b->modulus, ratio.hi);
    return spx_u128_add(sum, he_negate(whole));
}
