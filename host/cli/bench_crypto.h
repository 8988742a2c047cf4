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

#endif
