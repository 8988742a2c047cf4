#ifndef SPX_TEST_FRESH_SEED_H
#define SPX_TEST_FRESH_SEED_H
/*
 * A seed that is another in every run: printed, and SPX_FUZZ_SEED repeats it. Needs
 * _DEFAULT_SOURCE, for getentropy.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline uint64_t spx_fresh_seed(void)
{
    const char *text = getenv("SPX_FUZZ_SEED");
    uint64_t seed = 0;
    if (text != NULL) {
        seed = strtoull(text, NULL, 10);
    } else if (getentropy(&seed, sizeof seed) != 0) {
        abort();
    }
    (void)fprintf(stderr, "SPX_FUZZ_SEED=%llu repeats this run\n", (unsigned long long)seed);
    return seed;
}

#endif
