#ifndef SPX_CRYPTO_PRIVATE_H
#define SPX_CRYPTO_PRIVATE_H
#include "kernels/crypto/crypto_kernels.h"

/* Those that this build has: SPX_HAVE_AESNI, SPX_HAVE_VAES. */
extern const spx_crypto_kernels spx_crypto_portable, spx_crypto_aesni, spx_crypto_vaes256,
    spx_crypto_vaes512;

#endif
