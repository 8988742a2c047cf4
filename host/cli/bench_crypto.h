#ifndef SPX_BENCH_CRYPTO_H
#define SPX_BENCH_CRYPTO_H
/* sphynx bench crypto: its parts. */
#include "host/cli/cli.h"
#include "host/secure/gc/gc.h"

extern const spx_command spx_bench_crypto;

/* One layer of ReLUs between two threads over the loopback interface. */
typedef struct spx_relu_times {
    double setup_seconds; /* base OTs */
    double offline_seconds, online_seconds;
    uint64_t offline_bytes, online_bytes;    /* both ways, frames included */
    uint64_t evaluator_bytes, garbler_bytes; /* kept from the offline phase to the online one */
} spx_relu_times;

/**
 * Transfers, tables, answers and outputs of n ReLUs on random shares; every output is checked.
 * @return SPX_OK; SPX_ENUMERIC (a wrong output); what channels and memory give
 */
SPX_MUST_CHECK spx_status spx_bench_relu(const spx_gc_params *p, size_t n, spx_relu_times *out);

/* A 3x3 convolution of 64 to 64 channels at 32x32 modulo 2^37 on encrypted shares, one thread. */
typedef struct spx_conv_times {
    double seconds; /* of the next three together: the fastest round */
    double encrypt_seconds, evaluate_seconds, decrypt_seconds; /* weights are encoded in the call */
    uint64_t bytes;                                            /* of both messages */
} spx_conv_times;

/**
 * The convolution of random shares and weights, `repeats` rounds; every output of the last is
 * checked.
 * @return SPX_OK, SPX_ENUMERIC (a wrong output), SPX_ENOMEM, SPX_EUNSUPPORTED (no randomness)
 */
SPX_MUST_CHECK spx_status spx_bench_conv(int64_t repeats, spx_conv_times *out);

#endif
