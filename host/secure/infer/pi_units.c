#include "host/secure/infer/pi_units_private.h"
#include "kernels/base/alloc.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct spx_pi_units {
    spx_vault *vault;
    char kind;
    pthread_mutex_t lock; /* of what follows; never held over files */
    spx_pi_item *item;    /* in order */
    size_t n, room;
};

/* ---- what a file begins with ---- */

static void head_fields(spx_wire *w, spx_pi_unit_head *h)
{
    spx_wire_u64(w, &h->version);
    spx_wire_bytes(w, h->model, SPX_PI_HASH);
    spx_wire_bytes(w, h->other, SPX_PI_ID);
    spx_wire_u64(w, &h->number);
    spx_wire_u64(w, &h->query);
    spx_wire_u64(w, &h->made_ms);
}

void spx_pi_server_unit_fields(spx_wire *w, void *unit)
{
    spx_pi_server_unit *u = unit;
    head_fields(w, &u->head);
    spx_pi_block_fields(w, &u->start);
}

void spx_pi_unit_fields(spx_wire *w, void *unit)
{
    spx_pi_unit *u = unit;
    head_fields(w, &u->head);
    spx_pi_block_fields(w, &u->key.delta);
    spx_pi_block_fields(w, &u->key.start);
    spx_wire_bytes(w, u->seed.byte, SPX_SEED_BYTES);
}

spx_pi_unit_head spx_pi_unit_head_of(const uint8_t model[SPX_PI_HASH],
                                     const uint8_t other[SPX_PI_ID], uint64_t number,
                                     uint64_t query)
{
    spx_pi_unit_head h = {.version = SPX_PI_VERSION, .number = number, .query = query};
    memcpy(h.model, model, sizeof h.model);
    memcpy(h.other, other, sizeof h.other);
    return h;
}

bool spx_pi_unit_is(const spx_pi_unit_head *h, const uint8_t model[SPX_PI_HASH],
                    const uint8_t other[SPX_PI_ID], uint64_t number)
{
    return h->version == SPX_PI_VERSION && h->number == number &&
           memcmp(h->model, model, sizeof h->model) == 0 &&
           memcmp(h->other, other, sizeof h->other) == 0;
}

/* ---- which there are ---- */

static int order(const spx_pi_item *a, const spx_pi_item *b)
{
    int c = memcmp(a->owner, b->owner, sizeof a->owner);
    c = c != 0 ? c : memcmp(a->model, b->model, sizeof a->model);
    return c != 0 ? c : (a->number > b->number) - (a->number < b->number);
}

/* How many lie before x. The lock is held. */
static size_t place(const spx_pi_units *u, const spx_pi_item *x)
{
    size_t from = 0, to = u->n;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (order(&u->item[middle], x) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static bool is_at(const spx_pi_units *u, size_t i, const spx_pi_item *x)
{
    return i < u->n && order(&u->item[i], x) == 0;
}

spx_pi_item spx_pi_item_at(const uint8_t owner[SPX_PI_ID], const uint8_t model[SPX_PI_HASH],
                           uint64_t number)
{
    spx_pi_item x = {.number = number};
    memcpy(x.owner, owner, sizeof x.owner);
    memcpy(x.model, model, sizeof x.model);
    return x;
}

void spx_pi_units_name(const spx_pi_units *u, const spx_pi_item *x, char name[SPX_PI_NAME])
{
    uint8_t model[SPX_PI_HASH] = {0};
    memcpy(model, x->model, sizeof x->model);
    spx_pi_name(name, u->kind, x->owner, model, (int64_t)x->number);
}

bool spx_pi_units_next(spx_pi_units *u, spx_pi_item *at)
{
    (void)pthread_mutex_lock(&u->lock);
    const size_t i = place(u, at);
    const bool any = i < u->n;
    if (any) {
        *at = u->item[i];
    }
    (void)pthread_mutex_unlock(&u->lock);
    return any;
}

bool spx_pi_units_next_own(spx_pi_units *u, spx_pi_item *at)
{
    spx_pi_item x = *at;
    if (!spx_pi_units_next(u, &x) || memcmp(x.owner, at->owner, sizeof x.owner) != 0 ||
        memcmp(x.model, at->model, sizeof x.model) != 0) {
        return false;
    }
    *at = x;
    return true;
}

static spx_status insert(spx_pi_units *u, const spx_pi_item *x)
{
    const size_t i = place(u, x);
    if (is_at(u, i, x)) {
        u->item[i] = *x;
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_GROW(u->item, u->n, u->room));
    memmove(u->item + i + 1, u->item + i, (u->n - i) * sizeof *u->item);
    u->item[i] = *x;
    u->n++;
    return SPX_OK;
}

spx_status spx_pi_units_add(spx_pi_units *u, spx_pi_item x)
{
    char name[SPX_PI_NAME];
    spx_status st;
    spx_pi_units_name(u, &x, name);
    SPX_RETURN_IF(spx_vault_size(u->vault, name, &x.bytes));
    (void)pthread_mutex_lock(&u->lock);
    st = insert(u, &x);
    (void)pthread_mutex_unlock(&u->lock);
    return st;
}

void spx_pi_units_date(spx_pi_units *u, const spx_pi_item *x)
{
    (void)pthread_mutex_lock(&u->lock);
    const size_t i = place(u, x);
    if (is_at(u, i, x)) {
        u->item[i].made_ms = x->made_ms;
    }
    (void)pthread_mutex_unlock(&u->lock);
}

/* The file first, listed or not: one that cannot go is counted on and tried again, and where
 * several threads remove a unit, none of them goes on before its file is gone. */
spx_status spx_pi_units_remove(spx_pi_units *u, const spx_pi_item *x)
{
    char name[SPX_PI_NAME];
    spx_pi_units_name(u, x, name);
    SPX_RETURN_IF(spx_vault_remove(u->vault, name));
    (void)pthread_mutex_lock(&u->lock);
    const size_t i = place(u, x);
    if (is_at(u, i, x)) {
        u->n--;
        memmove(u->item + i, u->item + i + 1, (u->n - i) * sizeof *u->item);
    }
    (void)pthread_mutex_unlock(&u->lock);
    return SPX_OK;
}

spx_status spx_pi_units_remove_to(spx_pi_units *u, spx_pi_item last)
{
    SPX_RETURN_IF(spx_pi_units_remove(u, &last));
    return spx_pi_units_remove_below(u, last);
}

spx_status spx_pi_units_remove_below(spx_pi_units *u, spx_pi_item at)
{
    spx_pi_item x = at;
    for (x.number = 0; spx_pi_units_next_own(u, &x) && x.number < at.number; x.number++) {
        SPX_RETURN_IF(spx_pi_units_remove(u, &x));
    }
    return SPX_OK;
}

/* A unit by its file's name; other files are passed over. */
static spx_status list_one(void *ctx, const char *name, uint64_t bytes)
{
    spx_pi_units *u = ctx;
    const int64_t number = spx_pi_name_number(name);
    const char *owner = name + 2, *model = owner + 2 * SPX_PI_ID + 1;
    spx_pi_item x = {.number = (uint64_t)number, .bytes = bytes};
    if (number < 0 ||
        sodium_hex2bin(x.owner, sizeof x.owner, owner, 2 * sizeof x.owner, NULL, NULL, NULL) != 0 ||
        sodium_hex2bin(x.model, sizeof x.model, model, 2 * sizeof x.model, NULL, NULL, NULL) != 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_GROW(u->item, u->n, u->room));
    u->item[u->n++] = x;
    return SPX_OK;
}

static int by_order(const void *a, const void *b)
{
    return order(a, b);
}

spx_status spx_pi_units_open(spx_pi_units **out, spx_vault *v, char kind)
{
    const char prefix[] = {kind, '-', '\0'};
    spx_pi_units *u;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(SPX_NEW(u, 1));
    if (pthread_mutex_init(&u->lock, NULL) != 0) {
        spx_free(u);
        return SPX_FAIL(SPX_ENOMEM, "a list of units");
    }
    u->vault = v;
    u->kind = kind;
    st = spx_vault_list(v, prefix, list_one, u);
    if (st != SPX_OK) {
        spx_pi_units_close(u);
        return st;
    }
    if (u->n > 0) {
        qsort(u->item, u->n, sizeof *u->item, by_order);
    }
    *out = u;
    return SPX_OK;
}

void spx_pi_units_close(spx_pi_units *u)
{
    if (u != NULL) {
        (void)pthread_mutex_destroy(&u->lock);
        spx_free(u->item);
        spx_free(u);
    }
}
