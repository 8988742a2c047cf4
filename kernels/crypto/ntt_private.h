#ifndef SPX_CRYPTO_NTT_PRIVATE_H
#define SPX_CRYPTO_NTT_PRIVATE_H
/*
 * What the variants of the transform share. Every table is indexed alike: root m + i belongs to
 * group i of the level with m groups, psi^bitrev(m + i) (its inverse in the inverse tables).
 */
#include "kernels/crypto/ntt.h"

/* Roots in one arithmetic: the root, and what turns a product's reduction into a product. */
typedef struct ntt_roots {
    uint64_t *w;     /* [n] */
    uint64_t *ratio; /* [n] floor(w * 2^64 / q), floor(w * 2^52 / q), or doubles: w / q */
} ntt_roots;

/* Roots of one variant; the doubles' bits lie in the same words. */
typedef struct ntt_tables {
    ntt_roots forward, inverse;
    uint64_t n_inverse, n_ratio; /* 1 / n in the same form */
} ntt_tables;

struct spx_ntt {
    spx_modq m;
    size_t n;
    int log_n;
    ntt_tables word, ifma, real; /* 64-bit, 52-bit, double */
    void *block;                 /* all tables */
};

typedef struct ntt_ops {
    const char *name;
    void (*forward)(const spx_ntt *t, uint64_t *x);
    void (*inverse)(const spx_ntt *t, uint64_t *x);
    void (*dot)(const spx_ntt *t, uint64_t *sum, size_t terms, const uint64_t *const x[],
                const uint64_t *const w[]);
} ntt_ops;

extern const ntt_ops ntt_ops_ref, ntt_ops_avx2, ntt_ops_ifma;

#endif
