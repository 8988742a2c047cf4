#ifndef SPX_CRYPTO_ISA_H
#define SPX_CRYPTO_ISA_H

/** Instruction sets the AES side has code for, in rising order; each includes those before. */
typedef enum spx_crypto_isa {
    SPX_CRYPTO_PORTABLE, /* plain C, bitsliced */
    SPX_CRYPTO_AESNI,    /* AES-NI, SSE4.1: one block an instruction */
    SPX_CRYPTO_VAES256,  /* VAES, AVX2: two */
    SPX_CRYPTO_VAES512,  /* VAES, AVX-512F/VL/DQ/BW, GFNI: four */
    SPX_CRYPTO_ISA_COUNT
} spx_crypto_isa;

/**
 * Best set this processor and build offer. SPHYNX_ISA, which the other kernels obey too, lowers it:
 * portable | aesni | vaes256 | vaes512, and avx2 means vaes256 here.
 */
spx_crypto_isa spx_crypto_isa_used(void);

/** "portable", "aesni", "vaes256", "vaes512". */
const char *spx_crypto_isa_name(spx_crypto_isa isa);

#endif
