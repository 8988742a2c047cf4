#include "kernels/crypto/modq.h"

#include <stdbool.h>

void spx_modq_init(spx_modq *m, uint64_t q)
{
    m->q = q;
    m->inverse = UINT64_MAX / q; /* floor(2^64 / q): q is no power of two */
    m->wrap = (UINT64_MAX % q + 1) % q;
    m->wrap_shoup = spx_modq_shoup(m->wrap, q);
}

uint64_t spx_modq_shoup(uint64_t w, uint64_t q)
{
    uint64_t result = 0;
    for (int i = 0; i < 4; i++) { /* 16 bits at a time: w < 2^46 stays within 64 */
        w <<= 16;
        result = result << 16 | w / q;
        w %= q;
    }
    return result;
}

uint64_t spx_modq_pow(uint64_t a, uint64_t e, const spx_modq *m)
{
    uint64_t r = 1;
    for (; e != 0; e >>= 1) {
        if (e & 1) {
            r = spx_modq_mul(r, a, m);
        }
        a = spx_modq_mul(a, a, m);
    }
    return r;
}

uint64_t spx_modq_inverse(uint64_t a, const spx_modq *m)
{
    return spx_modq_pow(a, m->q - 2, m);
}

/* Miller-Rabin; these bases decide every p < 3.4e14 > 2^46 (Jaeschke, 1993). */
static bool is_prime(uint64_t p)
{
    static const uint64_t bases[] = {2, 3, 5, 7, 11, 13, 17};
    uint64_t odd = p - 1;
    int twos = 0;
    spx_modq m;
    spx_modq_init(&m, p);
    while (odd % 2 == 0) {
        odd /= 2;
        twos++;
    }
    for (int b = 0; b < 7; b++) {
        uint64_t x = spx_modq_pow(bases[b], odd, &m);
        bool witness = x != 1 && x != p - 1;
        for (int i = 1; witness && i < twos; i++) {
            x = spx_modq_mul(x, x, &m);
            witness = x != p - 1;
        }
        if (witness) {
            return false;
        }
    }
    return true;
}

uint64_t spx_modq_prime(int bits, uint64_t n, int index)
{
    const uint64_t step = 2 * n;
    for (uint64_t p = ((uint64_t)1 << bits) - step + 1; p >> (bits - 1) != 0; p -= step) {
        if (is_prime(p) && index-- == 0) {
            return p;
        }
    }
    return 0;
}
