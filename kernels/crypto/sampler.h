#ifndef SPX_CRYPTO_SAMPLER_H
#define SPX_CRYPTO_SAMPLER_H
/*
 * The distributions of lattice encryption, as functions of random words: 64-bit words in, samples
 * out, so a test sees the whole map and the generator is the caller's. Constant time in the words,
 * but for spx_sample_uniform, whose result is public.
 */
#include <stddef.h>
#include <stdint.h>

/** Centred binomial: difference of two sums of this many bits. */
#define SPX_CBD_ETA 21
/** Its variance, eta / 2: sigma 3.24, the tables' 3.2 from above. No sample exceeds eta.
 * check-figure: SPX_CBD_VARIANCE == SPX_CBD_ETA / 2
 * check-figure: round(sqrt(SPX_CBD_VARIANCE), 2) == 3.24 */
#define SPX_CBD_VARIANCE 10.5

/**
 * Secrets: uniform on {-1, 0, 1}, floor(3 word / 2^64) - 1. Off uniform by less than 2^-62 a
 * sample (statistical distance).
 * @param words  [n], secret
 * @param out    [n]
 */
void spx_sample_ternary(int8_t *out, const uint64_t *words, size_t n);

/** Errors: centred binomial with eta = SPX_CBD_ETA from the low 42 bits of each word. */
void spx_sample_cbd(int8_t *out, const uint64_t *words, size_t n);

/**
 * Public polynomials: residues uniform in [0, q), by rejection of the low `bits` bits of each
 * word, in order. Not constant time.
 * @param bits  least with q <= 2^bits
 * @param used  receives the words consumed, <= words_n
 * @return samples written, n unless the words ran out
 */
size_t spx_sample_uniform(uint64_t *out, size_t n, uint64_t q, int bits, const uint64_t *words,
                          size_t words_n, size_t *used);

/** Random words one flood sample takes. */
#define SPX_FLOOD_WORDS 6

/** A signed 128-bit integer, two's complement. */
typedef struct spx_i128 {
    uint64_t hi, lo;
} spx_i128;

/**
 * Floods: the sum of three integers uniform in [0, 2^width), less 3 * 2^(width-1): a smooth bell
 * within +-1.5 * 2^width of standard deviation 2^width / 2. Its Fisher information for location is
 * I = 2 sqrt(3) ln(2 + sqrt(3)) / 4^width < 4.563 / 4^width (of the continuous law, from which the
 * integers' differs by parts in 2^width). So n samples shifted by v_1..v_n are within
 * sqrt(I sum v_i^2) / 2 of n unshifted ones in statistical distance. The reason: the squared
 * Hellinger distance of one is at most v^2 I / 8, these add up over n, and TV <= sqrt(2) H. A
 * uniform flood would cost the sum of |v_i| instead of the root of the sum of squares: 12 bits more
 * at n = 2^24.
 * check-figure: 2 * sqrt(3) * log(2 + sqrt(3)) < 4.563
 * check-figure: log2(2^24 / sqrt(2^24)) == 12
 * @param width  1..120
 * @param words  [n * SPX_FLOOD_WORDS], secret
 */
void spx_sample_flood(spx_i128 *out, size_t n, int width, const uint64_t *words);

#endif
