#ifndef SPX_TEST_OS_SEEDED_H
#define SPX_TEST_OS_SEEDED_H
/* The operating system's randomness replaced by a sequence, by libsodium's own means: whole parties
 * become reproducible without a seed that could reach what is shipped. */
#include <sodium.h>
#include <stdint.h>
#include <string.h>

/* Each thread has a sequence of its own, from its start: this number tells them apart. */
static _Thread_local uint64_t os_party, os_drawn;

static inline const char *os_name(void)
{
    return "a test's sequence";
}

static inline void os_buf(void *const out, const size_t n)
{
    unsigned char key[crypto_stream_chacha20_KEYBYTES] = {0};
    unsigned char nonce[crypto_stream_chacha20_NONCEBYTES];
    memcpy(key, &os_party, sizeof os_party);
    memcpy(nonce, &os_drawn, sizeof nonce);
    os_drawn++;
    (void)crypto_stream_chacha20(out, n, nonce, key);
}

static inline uint32_t os_word(void)
{
    uint32_t x;
    os_buf(&x, sizeof x);
    return x;
}

/** From here on; after sodium_init. */
static inline void os_seed(void)
{
    static randombytes_implementation sequence = {
        .implementation_name = os_name, .random = os_word, .buf = os_buf};
    (void)randombytes_set_implementation(&sequence);
}

/** Begins the calling thread's sequence. */
static inline void os_begin(uint64_t party)
{
    os_party = party;
    os_drawn = 0;
}

#endif
