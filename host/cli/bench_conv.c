/* One encrypted convolution, both sides here: the messages are made and read, not sent. */
#include "host/cli/bench_crypto.h"
#include "host/secure/he/he.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"

#include <math.h>
#include <string.h>

#define CHANNELS ((size_t)64)
#define SIZE ((size_t)32)
#define PIXELS (SIZE * SIZE)
#define BITS 37
#define WEIGHT_BITS 8

/* 3x3, 64 to 64 channels, padded by 1. */
static const spx_he_value value = {(int64_t)CHANNELS, (int64_t)SIZE, (int64_t)SIZE};
static const spx_he_conv conv = {.c = (int64_t)CHANNELS,
                                 .k = (int64_t)CHANNELS,
                                 .r = 3,
                                 .s = 3,
                                 .stride = 1,
                                 .dilation = 1,
                                 .pad_top = 1,
                                 .pad_left = 1};

typedef struct parties {
    spx_he_plan *plan;
    spx_he_key *key;
    spx_he_public *pk;
    spx_prg prg;
    int32_t *weights;               /* (64, 64, 3, 3) */
    uint64_t *shares, *masks, *got; /* (64, 32, 32) */
    uint8_t *request, *response, *pk_bytes;
} parties;

static spx_status create(parties *p)
{
    const spx_he_geometry g = {.l = BITS,
                               .weight_bits = WEIGHT_BITS,
                               .set = SPX_HE_ANY_SET,
                               .inputs = 1,
                               .outputs = 1,
                               .convs = 1,
                               .input = &value,
                               .output = &value,
                               .conv = &conv};
    const spx_he_facts *f;
    SPX_RETURN_IF(spx_prg_init(&p->prg));
    SPX_RETURN_IF(spx_he_plan_create(&p->plan, &g));
    f = spx_he_plan_facts(p->plan);
    SPX_RETURN_IF(SPX_NEW(p->weights, CHANNELS * CHANNELS * 9));
    SPX_RETURN_IF(SPX_NEW(p->shares, 3 * CHANNELS * PIXELS));
    p->masks = p->shares + CHANNELS * PIXELS;
    p->got = p->masks + CHANNELS * PIXELS;
    SPX_RETURN_IF(SPX_NEW(p->request, f->request_bytes));
    SPX_RETURN_IF(SPX_NEW(p->response, f->response_bytes));
    SPX_RETURN_IF(SPX_NEW(p->pk_bytes, spx_he_public_bytes(f->set)));
    spx_prg_bytes(&p->prg, p->shares, CHANNELS * PIXELS * sizeof *p->shares);
    for (size_t i = 0; i < CHANNELS * CHANNELS * 9; i++) {
        p->weights[i] = (int32_t)(spx_prg_u64(&p->prg) % 256) - 128;
    }
    SPX_RETURN_IF(spx_he_key_create(&p->key, f->set, &p->prg));
    spx_he_key_public(p->key, p->pk_bytes);
    return spx_he_public_create(&p->pk, f->set, p->pk_bytes, spx_he_public_bytes(f->set), 0);
}

static void clear(parties *p)
{
    spx_he_plan_destroy(p->plan);
    spx_he_key_destroy(p->key);
    spx_he_public_destroy(p->pk);
    spx_prg_clear(&p->prg);
    spx_free(p->weights);
    spx_free(p->shares);
    spx_free(p->request);
    spx_free(p->response);
    spx_free(p->pk_bytes);
}

/* Output (k, y, x) of the plain convolution. */
static uint64_t plain(const parties *p, size_t k, size_t y, size_t x)
{
    uint64_t sum = 0;
    for (size_t t = 0; t < CHANNELS * 9; t++) {
        const size_t iy = y + t / 3 % 3, ix = x + t % 3; /* one further than meant: padding */
        if (iy >= 1 && iy <= SIZE && ix >= 1 && ix <= SIZE) {
            sum += (uint64_t)(int64_t)p->weights[k * CHANNELS * 9 + t] *
                   p->shares[t / 9 * PIXELS + (iy - 1) * SIZE + ix - 1];
        }
    }
    return sum;
}

static spx_status check(const parties *p)
{
    for (size_t i = 0; i < CHANNELS * PIXELS; i++) {
        const uint64_t want = plain(p, i / PIXELS, i / SIZE % SIZE, i % SIZE);
        if ((p->got[i] + p->masks[i] - want) << (64 - BITS) != 0) {
            return SPX_FAIL(SPX_ENUMERIC, "bench: output %zu of the convolution is wrong", i);
        }
    }
    return SPX_OK;
}

static spx_status measure(parties *p, int64_t repeats, spx_conv_times *best)
{
    const spx_he_facts *f = spx_he_plan_facts(p->plan);
    const int32_t *const weights[] = {p->weights};
    best->seconds = INFINITY;
    best->bytes = f->request_bytes + f->response_bytes;
    for (int64_t i = 0; i < repeats; i++) {
        const double began = spx_seconds();
        double encrypted, evaluated, decrypted;
        SPX_RETURN_IF(spx_he_encrypt(p->plan, p->key, &p->prg, 1, p->shares, p->request, NULL));
        encrypted = spx_seconds();
        SPX_RETURN_IF(spx_he_evaluate(p->plan, p->pk, weights, &p->prg, 1, p->request,
                                      f->request_bytes, p->response, p->masks, NULL));
        evaluated = spx_seconds();
        SPX_RETURN_IF(
            spx_he_decrypt(p->plan, p->key, 1, p->response, f->response_bytes, p->got, NULL));
        decrypted = spx_seconds();
        if (decrypted - began < best->seconds) {
            best->seconds = decrypted - began;
            best->encrypt_seconds = encrypted - began;
            best->evaluate_seconds = evaluated - encrypted;
            best->decrypt_seconds = decrypted - evaluated;
        }
    }
    return check(p);
}

spx_status spx_bench_conv(int64_t repeats, spx_conv_times *out)
{
    parties p = {0};
    spx_status st = create(&p);
    if (st == SPX_OK) {
        st = measure(&p, repeats, out);
    }
    clear(&p);
    return st;
}
