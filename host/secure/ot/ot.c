/*
 * SoftSpoken's extension. Tree t serves bits 4 t .. 4 t + 3 of delta. Its receiver-side leaves x
 * are numbered by the path, most significant bit first; the sender, who lacks leaf a = delta's
 * nibble, keeps leaf x at y = x ^ a, so that the missing one is y = 0 and no index is secret.
 * With s_x a leaf's stream, both in GF(2)^4 per OT:
 *     receiver: u_t = sum s_x, v_t = sum x s_x;  sender: w_t = sum (x ^ a) s_x = v_t + a u_t.
 * The receiver tells u_t ^ u_0 of each other tree, so that all count u_0 = b.
 */
#include "host/secure/ot/ot.h"

#include "host/secure/ot/base_ot_private.h"
#include "kernels/crypto/crypto_kernels.h"
#include "kernels/crypto/ct.h"
#include "kernels/crypto/secret_memory.h"
#include "kernels/crypto/transpose.h"

#include <stdbool.h>
#include <string.h>

#define TREES 32
#define LEVELS 4
#define UNIT_BYTES (SPX_OT_UNIT / 8)
#define UNIT_BLOCKS (SPX_OT_UNIT / 128)
#define SLICE_UNITS (SPX_LEAVES_BLOCKS / UNIT_BLOCKS)
#define ROW_BYTES (SPX_LEAVES_BLOCKS * sizeof(spx_block))

typedef spx_block tree_rows[LEVELS * SPX_LEAVES_BLOCKS];

/* What both sides have once set up. */
typedef struct forest {
    spx_aes_key leaf[TREES][SPX_LEAVES];
    tree_rows rows[TREES]; /* 128 rows of a slice */
    spx_block salt;        /* the session's */
    uint64_t used;         /* where each leaf's stream goes on */
    bool ready;
} forest;

struct spx_ot_receiver {
    forest f;
    base_sender base;
};

struct spx_ot_sender {
    forest f;
    spx_block delta, keys[BASE_OTS];
};

size_t spx_ot_room(size_t n)
{
    return (n + SPX_OT_UNIT - 1) / SPX_OT_UNIT * SPX_OT_UNIT;
}

size_t spx_ot_bytes(size_t n)
{
    return spx_ot_room(n) / 8 * (TREES - 1);
}

static void forest_begin(forest *f, const uint8_t *hello)
{
    base_ot_salt(hello, &f->salt);
    f->used = f->salt.w[0];
}

/*
 * The two children of each of n nodes, in place: child b of node i at 2 i + b. The sender learns
 * one child of each node on its path, 96 a session, so their inputs are the session's, tree's and
 * level's own: a guessed node can be held against one of them only.
 */
static void grow(const forest *f, int tree, spx_block *node, size_t n)
{
    const uint64_t place = (uint64_t)tree << 8 | n << 1;
    const spx_block number[2] = {{{f->salt.w[0], f->salt.w[1] ^ place}},
                                 {{f->salt.w[0], f->salt.w[1] ^ (place | 1)}}};
    spx_aes_key key;
    for (size_t i = n; i-- > 0;) {
        spx_aes_expand(&key, &node[i], 1);
        spx_aes_encrypt(&key, number, &node[2 * i], 2);
    }
    spx_wipe(&key, sizeof key);
}

static spx_block sum_of_every_second(const spx_block *node, size_t begin, size_t end)
{
    spx_block sum = {{0, 0}};
    for (size_t i = begin; i < end; i += 2) {
        sum = spx_block_xor(sum, node[i]);
    }
    return sum;
}

spx_status spx_ot_receiver_create(spx_ot_receiver **out,
                                  const uint8_t session[SPX_OT_SESSION_BYTES], spx_prg *prg,
                                  uint8_t *hello)
{
    void *r;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(spx_secret_alloc(&r, sizeof(spx_ot_receiver)));
    st = base_ot_begin(&((spx_ot_receiver *)r)->base, session, prg);
    if (st != SPX_OK) {
        spx_ot_receiver_destroy(r);
        return st;
    }
    memcpy(hello, ((spx_ot_receiver *)r)->base.hello, SPX_OT_HELLO_BYTES);
    forest_begin(&((spx_ot_receiver *)r)->f, hello);
    *out = r;
    return SPX_OK;
}

/* A tree's first level is the two keys of a base OT, random themselves. Below, it tells the
 * sums of left and of right children on each level below the first, each under its key. */
static void plant(forest *f, spx_block keys[BASE_OTS][2], uint8_t *trees)
{
    for (int t = 0; t < TREES; t++) {
        spx_block node[SPX_LEAVES];
        memcpy(node, keys[LEVELS * t + LEVELS - 1], 2 * sizeof *node);
        for (int bit = LEVELS - 2; bit >= 0; bit--) {
            const size_t n = (size_t)SPX_LEAVES >> (bit + 1);
            grow(f, t, node, n);
            for (size_t side = 0; side < 2; side++) {
                const spx_block sum = sum_of_every_second(node, side, 2 * n);
                const spx_block sealed = spx_block_xor(sum, keys[LEVELS * t + bit][side]);
                memcpy(trees, &sealed, sizeof sealed);
                trees += sizeof sealed;
            }
        }
        spx_aes_expand(f->leaf[t], node, SPX_LEAVES);
        spx_wipe(node, sizeof node);
    }
    f->ready = true;
}

spx_status spx_ot_receiver_setup(spx_ot_receiver *r, const uint8_t *points, size_t n_points,
                                 uint8_t *trees)
{
    spx_block keys[BASE_OTS][2];
    spx_status st;
    if (r->f.ready) {
        return SPX_FAIL(SPX_EINVAL, "oblivious transfer: set up already");
    }
    if (n_points != SPX_OT_POINTS_BYTES) {
        return SPX_FAIL(SPX_EFORMAT, "oblivious transfer: %zu bytes of choices, expected %d",
                        n_points, SPX_OT_POINTS_BYTES);
    }
    st = base_ot_send(&r->base, points, keys);
    if (st == SPX_OK) {
        plant(&r->f, keys, trees);
        spx_wipe(&r->base, sizeof r->base);
    }
    spx_wipe(keys, sizeof keys);
    return st;
}

spx_status spx_ot_sender_create(spx_ot_sender **out, const uint8_t session[SPX_OT_SESSION_BYTES],
                                spx_block delta, spx_prg *prg, const uint8_t *hello, size_t n_hello,
                                uint8_t *points)
{
    const spx_block choices = {{~delta.w[0], ~delta.w[1]}}; /* the sides that are not punctured */
    spx_ot_sender *s;
    void *memory;
    spx_status st;
    *out = NULL;
    if ((delta.w[0] & 1) == 0) {
        return SPX_FAIL(SPX_EINVAL, "oblivious transfer: delta's lowest bit must be 1");
    }
    if (n_hello != SPX_OT_HELLO_BYTES) {
        return SPX_FAIL(SPX_EFORMAT, "oblivious transfer: %zu bytes of hello, expected %d", n_hello,
                        SPX_OT_HELLO_BYTES);
    }
    SPX_RETURN_IF(spx_secret_alloc(&memory, sizeof *s));
    s = memory;
    s->delta = delta;
    forest_begin(&s->f, hello);
    st = base_ot_choose(session, hello, choices, prg, points, s->keys);
    if (st != SPX_OK) {
        spx_ot_sender_destroy(s);
        return st;
    }
    *out = s;
    return SPX_OK;
}

/* A block of either side, by a secret bit. */
static spx_block choose(spx_block zero, spx_block one, uint64_t mask)
{
    return (spx_block){
        {spx_ct_select(mask, one.w[0], zero.w[0]), spx_ct_select(mask, one.w[1], zero.w[1])}};
}

/* All leaves but the punctured one, each at its number ^ the punctured one's. */
static void regrow(spx_ot_sender *s, int t, const uint8_t *sums)
{
    spx_block node[SPX_LEAVES] = {0};
    node[1] = s->keys[LEVELS * t + LEVELS - 1];
    for (int bit = LEVELS - 2; bit >= 0; bit--) {
        const int number = LEVELS * t + bit;
        const uint64_t mask = spx_ct_mask(s->delta.w[number / 64] >> (number % 64));
        const size_t n = (size_t)SPX_LEAVES >> (bit + 1);
        spx_block sealed[2];
        grow(&s->f, t, node, n);
        for (size_t i = 0; i < n; i++) { /* children change places where the path goes right */
            const spx_block left = node[2 * i], right = node[2 * i + 1];
            node[2 * i] = choose(left, right, mask);
            node[2 * i + 1] = choose(right, left, mask);
        }
        memcpy(sealed, sums, sizeof sealed);
        sums += sizeof sealed;
        /* The sum off the path, less the other nodes there, is the path's sibling. */
        node[1] = spx_block_xor(spx_block_xor(choose(sealed[1], sealed[0], mask), s->keys[number]),
                                sum_of_every_second(node, 3, 2 * n));
        node[0] = (spx_block){{0, 0}};
    }
    spx_aes_expand(s->f.leaf[t], node, SPX_LEAVES);
    spx_wipe(node, sizeof node);
}

spx_status spx_ot_sender_setup(spx_ot_sender *s, const uint8_t *trees, size_t n_trees)
{
    if (s->f.ready) {
        return SPX_FAIL(SPX_EINVAL, "oblivious transfer: set up already");
    }
    if (n_trees != SPX_OT_TREES_BYTES) {
        return SPX_FAIL(SPX_EFORMAT, "oblivious transfer: %zu bytes of trees, expected %d", n_trees,
                        SPX_OT_TREES_BYTES);
    }
    for (int t = 0; t < TREES; t++) {
        regrow(s, t, trees + (size_t)t * (SPX_OT_TREES_BYTES / TREES));
    }
    spx_wipe(s->keys, sizeof s->keys);
    s->f.ready = true;
    return SPX_OK;
}

static spx_status check_extend(const forest *f, size_t n)
{
    if (!f->ready) {
        return SPX_FAIL(SPX_EINVAL, "oblivious transfer: not set up");
    }
    if (n == 0 || n > SPX_OT_MAX) {
        return SPX_FAIL(SPX_EINVAL, "oblivious transfer: %zu transfers, 1 to 2^32 are possible", n);
    }
    return SPX_OK;
}

static size_t units_of(size_t left)
{
    const size_t units = (left + SPX_OT_UNIT - 1) / SPX_OT_UNIT;
    return units < SLICE_UNITS ? units : SLICE_UNITS;
}

spx_status spx_ot_receiver_extend(spx_ot_receiver *r, size_t n, uint8_t *choices, spx_block *keys,
                                  uint8_t *message)
{
    const spx_crypto_kernels *k = spx_crypto_table();
    forest *f = &r->f;
    spx_block u[2][SPX_LEAVES_BLOCKS];
    SPX_RETURN_IF(check_extend(f, n));
    for (size_t done = 0; done < n;) {
        const size_t units = units_of(n - done), bytes = units * UNIT_BYTES;
        for (size_t t = 0; t < TREES; t++) {
            spx_block *own = u[t == 0 ? 0 : 1];
            k->leaves(f->leaf[t], 0, f->used, units * UNIT_BLOCKS, own, f->rows[t]);
            if (t != 0) {
                spx_ot_xor(units * UNIT_BLOCKS, own, u[0], own);
                memcpy(message, own, bytes);
                message += bytes;
            }
        }
        memcpy(choices, u[0], bytes);
        k->transpose_128((const uint8_t *)f->rows, ROW_BYTES, units * SPX_OT_UNIT, keys);
        f->used += units * UNIT_BLOCKS;
        choices += bytes;
        keys += units * SPX_OT_UNIT;
        done += units * SPX_OT_UNIT;
    }
    spx_wipe(u, sizeof u);
    spx_wipe(f->rows, sizeof f->rows);
    return SPX_OK;
}

/* rows += nibble * told, bit by bit. */
static void correct(tree_rows rows, const spx_block *told, size_t blocks, uint64_t nibble)
{
    for (int bit = 0; bit < LEVELS; bit++) {
        const uint64_t mask = spx_ct_mask(nibble >> bit);
        spx_block *row = rows + bit * SPX_LEAVES_BLOCKS;
        for (size_t i = 0; i < blocks; i++) {
            row[i] = spx_block_xor(row[i], spx_block_and(told[i], mask));
        }
    }
}

spx_status spx_ot_sender_extend(spx_ot_sender *s, size_t n, const uint8_t *message,
                                size_t n_message, spx_block *keys)
{
    const spx_crypto_kernels *k = spx_crypto_table();
    forest *f = &s->f;
    spx_block u[SPX_LEAVES_BLOCKS], told[SPX_LEAVES_BLOCKS];
    SPX_RETURN_IF(check_extend(f, n));
    if (n_message != spx_ot_bytes(n)) {
        return SPX_FAIL(SPX_EFORMAT,
                        "oblivious transfer: %zu bytes for %zu transfers, expected %zu", n_message,
                        n, spx_ot_bytes(n));
    }
    for (size_t done = 0; done < n;) {
        const size_t units = units_of(n - done), bytes = units * UNIT_BYTES;
        for (size_t t = 0; t < TREES; t++) {
            k->leaves(f->leaf[t], 1, f->used, units * UNIT_BLOCKS, u, f->rows[t]);
            if (t != 0) {
                memcpy(told, message, bytes);
                message += bytes;
                correct(f->rows[t], told, units * UNIT_BLOCKS,
                        s->delta.w[t / 16] >> (LEVELS * t % 64));
            }
        }
        k->transpose_128((const uint8_t *)f->rows, ROW_BYTES, units * SPX_OT_UNIT, keys);
        f->used += units * UNIT_BLOCKS;
        keys += units * SPX_OT_UNIT;
        done += units * SPX_OT_UNIT;
    }
    spx_wipe(u, sizeof u);
    spx_wipe(f->rows, sizeof f->rows);
    return SPX_OK;
}

void spx_ot_answer(size_t n, const spx_block *k, const uint8_t *d, spx_block delta,
                   spx_block *answer)
{
    spx_crypto_table()->flip(k, d, delta, answer, n);
}

void spx_ot_xor(size_t n, const spx_block *a, const spx_block *b, spx_block *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = spx_block_xor(a[i], b[i]);
    }
}

void spx_ot_sender_destroy(spx_ot_sender *s)
{
    spx_secret_free(s);
}

void spx_ot_receiver_destroy(spx_ot_receiver *r)
{
    spx_secret_free(r);
}
