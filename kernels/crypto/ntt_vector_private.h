/*
 * The transform over vectors, included once per arithmetic by a file that defines before:
 *   V, LANES           a vector of 64-bit lanes
 *   K, k_make(t)       constants in registers
 *   v_load, v_store    values between levels
 *   v_in, v_out        residues from memory; any value to residues in memory
 *   v_set(bits)        a root broadcast
 *   v_add(u, v)
 *   v_sub(u, v, c, k)  u - v + c q, where values must not go below zero
 *   v_mul(x, w, ratio, k)  x w mod q, within (-q, 2q)
 *   v_reduce(x, k)     into (-q, 2q)
 *   tail_forward, tail_inverse   the levels within two vectors
 *   TABLES(t)          the roots in this arithmetic
 *
 * Bounds in units of q, for arithmetic that keeps values in [0, ..): a forward butterfly adds 2 to
 * its larger input, so 13 levels end below 1 + 26 = 27, within 2^52 for q < 2^46. Inverse levels
 * take inputs below 4: two levels' plain sums reach 16, which are reduced.
 */

typedef struct roots {
    V w, ratio;
} roots;

static inline roots root_at(const ntt_roots *r, size_t i)
{
    const roots x = {v_set(r->w[i]), v_set(r->ratio[i])};
    return x;
}

static inline void down(V *u, V *v, roots r, K k)
{
    const V p = v_mul(*v, r.w, r.ratio, k);
    *v = v_sub(*u, p, 2, k);
    *u = v_add(*u, p);
}

/* One level with m groups, the first of an odd number. */
static inline void level_forward(const spx_ntt *t, uint64_t *x, size_t m, K k)
{
    const size_t half = t->n / (2 * m);
    for (size_t i = 0; i < m; i++) {
        const roots r = root_at(&TABLES(t).forward, m + i);
        uint64_t *a = x + 2 * i * half, *b = a + half;
        for (size_t j = 0; j < half; j += LANES) {
            V u = v_in(a + j), v = v_in(b + j);
            down(&u, &v, r, k);
            v_store(a + j, u);
            v_store(b + j, v);
        }
    }
}

static inline void down4(V y[4], roots r1, roots r2, roots r3, K k)
{
    down(&y[0], &y[2], r1, k);
    down(&y[1], &y[3], r1, k);
    down(&y[0], &y[1], r2, k);
    down(&y[2], &y[3], r3, k);
}

/* The levels with m and 2m groups at once; `first` reads residues. */
static inline void levels_forward(const spx_ntt *t, uint64_t *x, size_t m, int first, K k)
{
    const ntt_roots *f = &TABLES(t).forward;
    const size_t q = t->n / (4 * m);
    for (size_t i = 0; i < m; i++) {
        const roots r1 = root_at(f, m + i), r2 = root_at(f, 2 * (m + i)),
                    r3 = root_at(f, 2 * (m + i) + 1);
        uint64_t *a = x + 4 * i * q;
        for (size_t j = 0; j < q; j += LANES) {
            V y[4];
            for (size_t l = 0; l < 4; l++) {
                y[l] = first ? v_in(a + l * q + j) : v_load(a + l * q + j);
            }
            down4(y, r1, r2, r3, k);
            for (size_t l = 0; l < 4; l++) {
                v_store(a + l * q + j, y[l]);
            }
        }
    }
}

/* The last levels: four vectors at a time, then within two. */
static inline void finish_forward(const spx_ntt *t, uint64_t *x, K k)
{
    const ntt_roots *f = &TABLES(t).forward;
    const size_t m = t->n / (4 * LANES);
    for (size_t i = 0; i < m; i++) {
        uint64_t *a = x + 4 * i * LANES;
        V y[4];
        for (size_t l = 0; l < 4; l++) {
            y[l] = v_load(a + l * LANES);
        }
        down4(y, root_at(f, m + i), root_at(f, 2 * (m + i)), root_at(f, 2 * (m + i) + 1), k);
        tail_forward(f, t->n, 2 * i, &y[0], &y[1], k);
        tail_forward(f, t->n, 2 * i + 1, &y[2], &y[3], k);
        for (size_t l = 0; l < 4; l++) {
            v_out(a + l * LANES, y[l], k);
        }
    }
}

static void forward(const spx_ntt *t, uint64_t *x)
{
    const K k = k_make(t);
    const size_t end = t->n / (4 * LANES);
    size_t m = 1;
    int first = 1;
    for (size_t i = end; i > 1; i /= 2) {
        first = !first; /* odd number of levels above: one goes alone */
    }
    if (!first) {
        level_forward(t, x, 1, k);
        m = 2;
    } else {
        levels_forward(t, x, 1, 1, k);
        m = 4;
    }
    for (; m < end; m *= 4) {
        levels_forward(t, x, m, 0, k);
    }
    finish_forward(t, x, k);
}

static inline void up(V *u, V *v, int c, V w, V ratio, K k)
{
    const V d = v_sub(*u, *v, c, k);
    *u = v_add(*u, *v);
    *v = v_mul(d, w, ratio, k);
}

/* y below 4 q each; afterwards y[0] below 16 q, y[1] below 4 q, the others below 2 q. */
static inline void up4(V y[4], roots r1, roots r2, roots r3, K k)
{
    up(&y[0], &y[1], 4, r2.w, r2.ratio, k);
    up(&y[2], &y[3], 4, r3.w, r3.ratio, k);
    up(&y[0], &y[2], 8, r1.w, r1.ratio, k);
    up(&y[1], &y[3], 2, r1.w, r1.ratio, k);
}

static inline void start_inverse(const spx_ntt *t, uint64_t *x, K k)
{
    const ntt_roots *f = &TABLES(t).inverse;
    const size_t m = t->n / (4 * LANES);
    for (size_t i = 0; i < m; i++) {
        uint64_t *a = x + 4 * i * LANES;
        V y[4];
        for (size_t l = 0; l < 4; l++) {
            y[l] = v_in(a + l * LANES);
        }
        tail_inverse(f, t->n, 2 * i, &y[0], &y[1], k);
        tail_inverse(f, t->n, 2 * i + 1, &y[2], &y[3], k);
        up4(y, root_at(f, m + i), root_at(f, 2 * (m + i)), root_at(f, 2 * (m + i) + 1), k);
        y[0] = v_reduce(y[0], k);
        for (size_t l = 0; l < 4; l++) {
            v_store(a + l * LANES, y[l]);
        }
    }
}

/* The levels with 2m and m groups; `last` divides by n and writes residues. */
static inline void levels_inverse(const spx_ntt *t, uint64_t *x, size_t m, int last, K k)
{
    const ntt_roots *f = &TABLES(t).inverse;
    const V scale = v_set(TABLES(t).n_inverse), ratio = v_set(TABLES(t).n_ratio);
    const size_t q = t->n / (4 * m);
    for (size_t i = 0; i < m; i++) {
        const roots r1 = root_at(f, m + i), r2 = root_at(f, 2 * (m + i)),
                    r3 = root_at(f, 2 * (m + i) + 1);
        uint64_t *a = x + 4 * i * q;
        for (size_t j = 0; j < q; j += LANES) {
            V y[4];
            for (size_t l = 0; l < 4; l++) {
                y[l] = v_load(a + l * q + j);
            }
            up4(y, r1, r2, r3, k);
            y[0] = last ? y[0] : v_reduce(y[0], k);
            for (size_t l = 0; l < 4; l++) {
                if (last) {
                    v_out(a + l * q + j, v_mul(y[l], scale, ratio, k), k);
                } else {
                    v_store(a + l * q + j, y[l]);
                }
            }
        }
    }
}

static inline void level_inverse(const spx_ntt *t, uint64_t *x, K k)
{
    const roots r = root_at(&TABLES(t).inverse, 1);
    const V scale = v_set(TABLES(t).n_inverse), ratio = v_set(TABLES(t).n_ratio);
    const size_t half = t->n / 2;
    for (size_t j = 0; j < half; j += LANES) {
        V u = v_load(x + j), v = v_load(x + half + j);
        up(&u, &v, 4, r.w, r.ratio, k);
        v_out(x + j, v_mul(u, scale, ratio, k), k);
        v_out(x + half + j, v_mul(v, scale, ratio, k), k);
    }
}

static void inverse(const spx_ntt *t, uint64_t *x)
{
    const K k = k_make(t);
    size_t m = t->n / (4 * LANES); /* groups of the level done last */
    start_inverse(t, x, k);
    for (; m > 4; m /= 4) {
        levels_inverse(t, x, m / 4, 0, k);
    }
    if (m == 4) {
        levels_inverse(t, x, 1, 1, k);
    } else {
        level_inverse(t, x, k);
    }
}
