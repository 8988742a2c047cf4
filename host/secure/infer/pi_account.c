/* What the server's clients may still have, counted by the name that authenticates. */
#include "host/secure/infer/pi_server_private.h"
#include "kernels/base/clock.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define RECORD "server"
#define STEP ((uint64_t)1 << 20) /* numbers that are reserved on disk at a time */
#define SAVE_MS 60000

void spx_pi_server_record_fields(spx_wire *w, void *record)
{
    spx_pi_server_record *r = record;
    spx_wire_u64(w, &r->reserved);
    spx_wire_u64(w, &r->floor);
    spx_wire_u64(w, &r->age_ms);
}

void spx_pi_tally_fields(spx_wire *w, void *tally)
{
    spx_pi_tally *y = tally;
    spx_wire_u64(w, &y->named);
    spx_wire_u64(w, &y->given);
    spx_wire_u64(w, &y->answered);
    spx_wire_u64(w, &y->n);
    for (int i = 0; i < SPX_PI_IDENTITIES; i++) {
        spx_wire_bytes(w, y->identity[i].client, SPX_PI_ID);
        spx_wire_u64(w, &y->identity[i].seen_ms);
    }
}

void spx_pi_account_key(const char *peer, const uint8_t client[SPX_PI_ID], uint8_t key[SPX_PI_ID])
{
    if (peer[0] == '\0') {
        memcpy(key, client, SPX_PI_ID);
    } else {
        (void)crypto_generichash(key, SPX_PI_ID, (const unsigned char *)peer, strlen(peer), NULL,
                                 0);
    }
}

/* ---- the server's own record ---- */

uint64_t spx_pi_server_age(const spx_pi_server *s)
{
    return s->age_before + (uint64_t)((spx_seconds() - s->started) * 1e3);
}

/* Durably; `floor` and `reserved` are never put back. */
static spx_status save(spx_pi_server *s, uint64_t reserved, uint64_t floor)
{
    spx_pi_server_record r = {.reserved = reserved, .floor = floor, .age_ms = spx_pi_server_age(s)};
    SPX_RETURN_IF(spx_pi_record_put(s->vault, RECORD, spx_pi_server_record_fields, &r));
    s->reserved = reserved;
    s->floor = floor;
    s->saved_ms = r.age_ms;
    return SPX_OK;
}

spx_status spx_pi_server_load(spx_pi_server *s, bool *fresh)
{
    spx_pi_server_record r = {0};
    uint64_t version;
    const spx_status st =
        spx_pi_record_get(s->vault, RECORD, spx_pi_server_record_fields, &r, &version);
    *fresh = st == SPX_ENOTFOUND;
    if (st != SPX_OK && !*fresh) {
        return st;
    }
    s->started = spx_seconds();
    s->age_before = r.age_ms;
    s->saved_ms = r.age_ms;
    s->reserved = r.reserved;
    s->given = r.reserved;
    s->floor = r.floor;
    return SPX_OK;
}

spx_status spx_pi_server_save(spx_pi_server *s)
{
    spx_status st;
    (void)pthread_mutex_lock(&s->record);
    st = save(s, s->reserved, s->floor);
    (void)pthread_mutex_unlock(&s->record);
    return st;
}

/* Counts n numbers of whomever; on disk in steps, and with them how old the server is. */
static spx_status count_numbers(spx_pi_server *s, uint64_t n)
{
    spx_status st = SPX_OK;
    (void)pthread_mutex_lock(&s->record);
    s->given += n;
    if (s->given > s->reserved) {
        st = save(s, (s->given / STEP + 1) * STEP, s->floor);
    } else if (spx_pi_server_age(s) - s->saved_ms > SAVE_MS) {
        st = save(s, s->reserved, s->floor);
    }
    (void)pthread_mutex_unlock(&s->record);
    return st;
}

/* From now on clients that the server does not know begin above every number ever given out. */
static spx_status raise_floor(spx_pi_server *s)
{
    spx_status st = SPX_OK;
    (void)pthread_mutex_lock(&s->record);
    if (s->floor < s->reserved) {
        st = save(s, s->reserved, s->reserved);
        s->given = s->reserved;
    }
    (void)pthread_mutex_unlock(&s->record);
    return st;
}

uint64_t spx_pi_server_floor(spx_pi_server *s)
{
    uint64_t floor;
    (void)pthread_mutex_lock(&s->record);
    floor = s->floor;
    (void)pthread_mutex_unlock(&s->record);
    return floor;
}

/* ---- accounts in use ---- */

static spx_status tally_put(spx_pi_server *s, spx_pi_account *a)
{
    char name[SPX_PI_NAME];
    spx_pi_name(name, 'a', a->key, s->model->hash, -1);
    return spx_pi_record_put(s->vault, name, spx_pi_tally_fields, &a->tally);
}

/* The account of this key, which is not let go of before release(); also on failure, where *out is
 * not NULL. */
static spx_status acquire(spx_pi_server *s, const uint8_t key[SPX_PI_ID], spx_pi_account **out)
{
    spx_pi_account *a;
    char name[SPX_PI_NAME];
    uint64_t version;
    spx_status st = SPX_OK;
    (void)pthread_mutex_lock(&s->lock);
    for (a = s->accounts; a != NULL && memcmp(a->key, key, SPX_PI_ID) != 0; a = a->next) {
    }
    if (a == NULL && (a = calloc(1, sizeof *a)) != NULL) {
        memcpy(a->key, key, SPX_PI_ID);
        (void)pthread_mutex_init(&a->lock, NULL);
        a->next = s->accounts;
        s->accounts = a;
    }
    if (a == NULL) {
        st = SPX_FAIL(SPX_ENOMEM, "an account");
    } else {
        a->uses++;
    }
    (void)pthread_mutex_unlock(&s->lock);
    SPX_RETURN_IF(st);
    *out = a;
    (void)pthread_mutex_lock(&a->lock); /* reading waits for nobody but this account's own */
    if (!a->loaded) {
        spx_pi_name(name, 'a', key, s->model->hash, -1);
        st = spx_pi_record_get(s->vault, name, spx_pi_tally_fields, &a->tally, &version);
        if (st == SPX_ENOTFOUND) {
            memset(&a->tally, 0, sizeof a->tally);
            st = SPX_OK;
        }
        a->loaded = st == SPX_OK;
    }
    (void)pthread_mutex_unlock(&a->lock);
    return st;
}

static void release(spx_pi_server *s, spx_pi_account *a)
{
    (void)pthread_mutex_lock(&s->lock);
    if (--a->uses == 0) {
        spx_pi_account **at = &s->accounts;
        while (*at != a) {
            at = &(*at)->next;
        }
        *at = a->next;
        (void)pthread_mutex_destroy(&a->lock);
        free(a);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

static spx_pi_identity *identity_of(spx_pi_tally *y, const uint8_t client[SPX_PI_ID])
{
    for (uint64_t i = 0; i < y->n && i < SPX_PI_IDENTITIES; i++) {
        if (memcmp(y->identity[i].client, client, SPX_PI_ID) == 0) {
            return &y->identity[i];
        }
    }
    return NULL;
}

spx_status spx_pi_account_enter(spx_pi_session_state *t)
{
    const char *peer = spx_channel_peer(t->channel);
    uint8_t key[SPX_PI_ID];
    spx_pi_account *a = NULL;
    spx_status st;
    spx_pi_account_key(peer, t->client, key);
    st = acquire(t->s, key, &a);
    if (st != SPX_OK) {
        if (a != NULL) {
            release(t->s, a);
        }
        return st;
    }
    (void)pthread_mutex_lock(&a->lock);
    a->tally.named = peer[0] != '\0';
    spx_pi_identity *mine = identity_of(&a->tally, t->client);
    if (mine != NULL) {
        mine->seen_ms = spx_pi_server_age(t->s);
    }
    (void)pthread_mutex_unlock(&a->lock);
    t->account = a;
    return SPX_OK;
}

void spx_pi_account_leave(spx_pi_session_state *t)
{
    spx_pi_account *a = t->account;
    if (a == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&a->lock);
    spx_pi_identity *mine = identity_of(&a->tally, t->client);
    t->served->ever_prepared = a->tally.given;
    t->served->ever_answered = a->tally.answered;
    if (mine != NULL) {
        mine->seen_ms = spx_pi_server_age(t->s);
        a->dirty = a->dirty || t->served->prepared > 0; /* which may have taken long */
    }
    if (a->dirty && mine != NULL && tally_put(t->s, a) == SPX_OK) {
        a->dirty = false;
    }
    (void)pthread_mutex_unlock(&a->lock);
    release(t->s, a);
    t->account = NULL;
}

/* ---- what a preparation may have ---- */

/* Of n units, with room for what their files have beside what the plan counts. */
static uint64_t bytes_of(const spx_pi_server *s, uint64_t n)
{
    return n * (s->plan->sizes.server_bytes + 65536);
}

static spx_status check_disk(const spx_pi_session_state *t, uint64_t n)
{
    const spx_pi_server_options *o = &t->s->options;
    const uint64_t limit = o->batch_limit > 0 ? o->batch_limit : 1000;
    uint64_t left;
    if (n < 1 || n > limit) {
        return SPX_FAIL(SPX_EINVAL, "%llu queries at a time: 1 to %llu are allowed",
                        (unsigned long long)n, (unsigned long long)limit);
    }
    if (t->ledger.next > SPX_PI_MAX_NUMBER - n) {
        return SPX_FAIL(SPX_EINVAL, "this client has used up its numbers");
    }
    SPX_RETURN_IF(spx_vault_free_bytes(t->s->vault, &left));
    if (bytes_of(t->s, n) > left) {
        return SPX_FAIL(SPX_EINVAL,
                        "material for %llu queries takes %llu MB, the server's disk has less",
                        (unsigned long long)n, (unsigned long long)(bytes_of(t->s, n) >> 20));
    }
    return SPX_OK;
}

/* Bytes of units at rest. */
static uint64_t held(const spx_pi_server *s, const spx_pi_tally *y)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < y->n && i < SPX_PI_IDENTITIES; i++) {
        for (spx_pi_item x = spx_pi_item_at(y->identity[i].client, s->model->hash, 0);
             spx_pi_units_next_own(s->units, &x); x.number++) {
            sum += x.bytes;
        }
    }
    return sum;
}

static spx_status check_quota(const spx_pi_session_state *t, uint64_t n, uint64_t bytes)
{
    const spx_pi_account *a = t->account;
    const uint64_t quota = t->s->options.quota_bytes,
                   has = quota > 0 ? held(t->s, &a->tally) + a->being_made : 0;
    return quota == 0 || has + bytes <= quota
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL,
                          "material for %llu queries takes %llu MB, this client may hold %llu MB "
                          "and holds %llu",
                          (unsigned long long)n, (unsigned long long)(bytes >> 20),
                          (unsigned long long)(quota >> 20), (unsigned long long)(has >> 20));
}

/* A number counts from the moment it is given out: it is while a unit is made that a client which
 * deviates can learn weights, whether or not it ever asks. */
static spx_status check_limit(const spx_pi_session_state *t, uint64_t n)
{
    const spx_pi_tally *y = &t->account->tally;
    const uint64_t limit = t->s->options.query_limit,
                   used = y->given > y->answered ? y->given : y->answered,
                   left = used < limit ? limit - used : 0;
    return limit == 0 || n <= left
               ? SPX_OK
               : SPX_FAIL(
                     SPX_EINVAL, "this client may prepare %llu more of its %llu queries, not %llu",
                     (unsigned long long)left, (unsigned long long)limit, (unsigned long long)n);
}

static spx_status enlist(spx_pi_session_state *t)
{
    spx_pi_tally *y = &t->account->tally;
    const uint64_t o = t->s->options.identities,
                   most = o > 0 && o < SPX_PI_IDENTITIES ? o : SPX_PI_IDENTITIES;
    if (identity_of(y, t->client) != NULL) {
        return SPX_OK;
    }
    if (y->n >= most) {
        return SPX_FAIL(SPX_EINVAL,
                        "this name has prepared with %llu state folders already, which is all it "
                        "may: use one of them",
                        (unsigned long long)most);
    }
    memcpy(y->identity[y->n].client, t->client, SPX_PI_ID);
    y->n++;
    return SPX_OK;
}

/* Whether the account may have n units; the client is one of its identities then. */
static spx_status check_account(spx_pi_session_state *t, uint64_t n, uint64_t bytes)
{
    SPX_RETURN_IF(check_limit(t, n));
    SPX_RETURN_IF(enlist(t));
    return check_quota(t, n, bytes);
}

spx_status spx_pi_account_room(spx_pi_session_state *t, uint64_t n)
{
    spx_pi_account *a = t->account;
    spx_status st;
    SPX_RETURN_IF(check_disk(t, n));
    (void)pthread_mutex_lock(&a->lock);
    const spx_pi_tally before = a->tally;
    st = check_account(t, n, bytes_of(t->s, n));
    a->tally = before;
    (void)pthread_mutex_unlock(&a->lock);
    return st;
}

static spx_status allow(spx_pi_session_state *t, uint64_t n, uint64_t bytes)
{
    spx_pi_account *a = t->account;
    const spx_pi_tally before = a->tally;
    spx_status st;
    SPX_TRY(st, check_account(t, n, bytes), fail);
    a->tally.given += n;
    identity_of(&a->tally, t->client)->seen_ms = spx_pi_server_age(t->s);
    SPX_TRY(st, tally_put(t->s, a), fail);
    a->being_made += bytes;
    return SPX_OK;
fail:
    a->tally = before;
    return st;
}

spx_status spx_pi_account_allow(spx_pi_session_state *t, uint64_t n)
{
    spx_status st;
    SPX_RETURN_IF(count_numbers(t->s, n));
    (void)pthread_mutex_lock(&t->account->lock);
    st = allow(t, n, bytes_of(t->s, n));
    (void)pthread_mutex_unlock(&t->account->lock);
    return st;
}

void spx_pi_account_settle(spx_pi_session_state *t, uint64_t n, uint64_t unused)
{
    spx_pi_account *a = t->account;
    (void)pthread_mutex_lock(&a->lock);
    a->being_made -= bytes_of(t->s, n);
    a->tally.given -= unused;
    a->dirty = a->dirty || unused > 0;
    (void)pthread_mutex_unlock(&a->lock);
}

spx_status spx_pi_account_answer(spx_pi_session_state *t)
{
    spx_pi_account *a = t->account;
    const uint64_t limit = t->s->options.query_limit;
    spx_status st = SPX_OK;
    (void)pthread_mutex_lock(&a->lock);
    if (limit > 0 && a->tally.answered >= limit) {
        st =
            SPX_FAIL(SPX_EINVAL, "this client has had its %llu queries", (unsigned long long)limit);
    } else {
        a->tally.answered++;
        a->dirty = true;
    }
    (void)pthread_mutex_unlock(&a->lock);
    return st;
}

spx_status spx_pi_account_adopt(spx_pi_server *s, const uint8_t key[SPX_PI_ID],
                                const uint8_t model[SPX_PI_HASH], const uint8_t client[SPX_PI_ID],
                                const spx_pi_ledger *old)
{
    spx_pi_tally y = {0};
    char name[SPX_PI_NAME];
    uint64_t version;
    spx_status st;
    spx_pi_name(name, 'a', key, model, -1);
    st = spx_pi_record_get(s->vault, name, spx_pi_tally_fields, &y, &version);
    if (st != SPX_OK && st != SPX_ENOTFOUND) {
        return st;
    }
    y.named = old->peer[0] != '\0';
    y.given += old->next;
    y.answered += old->answered;
    if (!y.named && y.n == 0) {
        memcpy(y.identity[y.n++].client, client, SPX_PI_ID);
    }
    s->given = old->next > s->given ? old->next : s->given;
    s->reserved = (s->given / STEP + 1) * STEP;
    s->floor = s->given = s->reserved;
    return spx_pi_record_put(s->vault, name, spx_pi_tally_fields, &y);
}

/* ---- what is old ---- */

/* Drops an account's identities that were not seen for twice as long as material is kept, so that
 * none of theirs is left. What a client of them holds still is below the floor: spent. */
static spx_status prune(spx_pi_server *s, spx_pi_account *a)
{
    const uint64_t now = spx_pi_server_age(s), keep = (uint64_t)(2e3 * s->options.expire_seconds);
    spx_pi_tally *y = &a->tally;
    char name[SPX_PI_NAME];
    const uint64_t before = y->n;
    for (uint64_t i = y->n; i-- > 0;) {
        const spx_pi_identity it = y->identity[i];
        if (now < it.seen_ms || now - it.seen_ms <= keep) {
            continue;
        }
        SPX_RETURN_IF(raise_floor(s));
        spx_pi_name(name, 'l', it.client, s->model->hash, -1);
        SPX_RETURN_IF(spx_vault_remove(s->vault, name));
        y->identity[i] = y->identity[--y->n];
    }
    if (y->n == before) {
        return SPX_OK;
    }
    spx_pi_name(name, 'a', a->key, s->model->hash, -1);
    return y->n == 0 && !y->named ? spx_vault_remove(s->vault, name) : tally_put(s, a);
}

static spx_status look_at_account(void *ctx, const char *name, uint64_t bytes)
{
    spx_pi_server *s = ctx;
    char own[SPX_PI_NAME];
    uint8_t key[SPX_PI_ID];
    spx_pi_account *a = NULL;
    bool alone;
    size_t n;
    spx_status st;
    (void)bytes;
    if (sodium_hex2bin(key, sizeof key, name + 2, 2 * sizeof key, NULL, &n, NULL) != 0 ||
        n != sizeof key) {
        return SPX_OK;
    }
    spx_pi_name(own, 'a', key, s->model->hash, -1);
    if (strcmp(own, name) != 0) {
        return SPX_OK; /* of another model */
    }
    st = acquire(s, key, &a);
    if (st == SPX_OK) {
        (void)pthread_mutex_lock(&s->lock);
        alone = a->uses == 1; /* else somebody of it is here, and uses its ledger */
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_mutex_lock(&a->lock);
        st = alone ? prune(s, a) : SPX_OK;
        (void)pthread_mutex_unlock(&a->lock);
    }
    if (a != NULL) {
        release(s, a);
    }
    return st;
}

/* Whoever it belongs to: a client may never come back. */
static spx_status remove_old_units(spx_pi_server *s)
{
    const uint64_t now = spx_pi_server_age(s), keep = (uint64_t)(1e3 * s->options.expire_seconds);
    spx_status st = SPX_OK;
    for (spx_pi_item x = {0}; spx_pi_units_next(s->units, &x); x.number++) {
        if (now > x.made_ms && now - x.made_ms > keep) {
            const spx_status one = spx_pi_units_remove(s->units, &x);
            st = st == SPX_OK ? one : st; /* those behind one that cannot go do go */
        }
    }
    return st;
}

/* Whether it is time, now and then in an --expire; then s->sweep is held. */
static bool sweeps(spx_pi_server *s, double *swept)
{
    if (s->options.expire_seconds <= 0 || pthread_mutex_trylock(&s->sweep) != 0) {
        return false; /* somebody is at it */
    }
    if (*swept > 0 && spx_seconds() - *swept <= s->options.expire_seconds / 16) {
        (void)pthread_mutex_unlock(&s->sweep);
        return false;
    }
    *swept = spx_seconds();
    return true;
}

spx_status spx_pi_server_expire_units(spx_pi_server *s)
{
    spx_status st = SPX_OK;
    if (sweeps(s, &s->swept_units)) {
        st = remove_old_units(s);
        (void)pthread_mutex_unlock(&s->sweep);
    }
    return st;
}

spx_status spx_pi_server_expire_accounts(spx_pi_server *s)
{
    spx_status st = SPX_OK;
    if (sweeps(s, &s->swept_accounts)) {
        st = spx_vault_list(s->vault, "a-", look_at_account, s);
        (void)pthread_mutex_unlock(&s->sweep);
    }
    return st;
}
