#include "host/secure/infer/pi_ahead_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/ct.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One chunk in memory: keys, then tables. */
typedef struct piece {
    void *data;
    size_t bytes, keys;
} piece;

struct spx_pi_ahead {
    const spx_pi_plan *plan;
    spx_vault_reader *reader;
    piece *piece; /* of every chunk of the unit; data NULL: not read yet, or used */
    int n_pieces, read, used;
    size_t held, most; /* bytes in memory, and how many may be */
    bool started, stop, failed;
    spx_status st;
    char error[512];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static size_t room_for(const spx_pi_ahead *a)
{
    return a->held == 0 || (a->held <= a->most && a->piece[a->read].bytes <= a->most - a->held);
}

static spx_status read_piece(spx_pi_ahead *a, piece *p)
{
    SPX_RETURN_IF(spx_alloc(&p->data, p->bytes));
    SPX_RETURN_IF(spx_vault_read(a->reader, p->data, p->keys));
    return spx_vault_read(a->reader, (uint8_t *)p->data + p->keys, p->bytes - p->keys);
}

static void *read_on(void *arg)
{
    spx_pi_ahead *a = arg;
    (void)pthread_mutex_lock(&a->lock);
    while (!a->stop && !a->failed && a->read < a->n_pieces) {
        if (!room_for(a)) {
            (void)pthread_cond_wait(&a->changed, &a->lock);
            continue;
        }
        piece *p = &a->piece[a->read];
        (void)pthread_mutex_unlock(&a->lock);
        const spx_status st = read_piece(a, p);
        (void)pthread_mutex_lock(&a->lock);
        a->held += p->bytes;
        a->read++;
        if (st != SPX_OK) {
            a->failed = true;
            a->st = st;
            (void)snprintf(a->error, sizeof a->error, "%s", spx_error_message());
        }
        (void)pthread_cond_broadcast(&a->changed);
    }
    (void)pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void drop(spx_pi_ahead *a, piece *p)
{
    if (p->data != NULL) {
        spx_wipe(p->data, p->bytes);
        spx_free(p->data);
        p->data = NULL;
        a->held -= p->bytes;
    }
}

static spx_status list_pieces(spx_pi_ahead *a)
{
    for (int i = 0; i < a->plan->n_relus; i++) {
        a->n_pieces += a->plan->relu[i].chunks;
    }
    a->piece = calloc((size_t)a->n_pieces + 1, sizeof *a->piece);
    if (a->piece == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%d chunks of tables", a->n_pieces);
    }
    for (int i = 0, n = 0; i < a->plan->n_relus; i++) {
        for (int k = 0; k < a->plan->relu[i].chunks; k++, n++) {
            const spx_pi_chunk c = spx_pi_chunk_of(&a->plan->relu[i], k);
            a->piece[n].keys = c.wires * sizeof(spx_block);
            a->piece[n].bytes = a->piece[n].keys + c.table_bytes;
        }
    }
    return SPX_OK;
}

static spx_status start(spx_pi_ahead *a)
{
    if (pthread_create(&a->thread, NULL, read_on, a) != 0) {
        return SPX_FAIL(SPX_EDEVICE, "a thread to read material could not be started");
    }
    a->started = true;
    (void)pthread_mutex_lock(&a->lock);
    while (!a->failed && a->read < a->n_pieces && room_for(a)) {
        (void)pthread_cond_wait(&a->changed, &a->lock);
    }
    const spx_status st = a->failed ? SPX_FAIL(a->st, "%s", a->error) : SPX_OK;
    (void)pthread_mutex_unlock(&a->lock);
    return st;
}

/* The choices stand at the end, where their chunks have made them; online they come first. */
static spx_status read_choices(const spx_pi_ahead *a, spx_vault *v, const char *name,
                               uint8_t *choices)
{
    spx_pi_server_unit unit;
    spx_vault_reader *r;
    spx_status st;
    SPX_RETURN_IF(spx_vault_reader_open(&r, v, name));
    SPX_TRY(st, spx_vault_skip(r, spx_wire_size(spx_pi_server_unit_fields, &unit)), done);
    SPX_TRY(st, spx_vault_skip(r, a->plan->masks * sizeof(uint64_t)), done);
    for (int i = 0; i < a->n_pieces; i++) {
        SPX_TRY(st, spx_vault_skip(r, a->piece[i].keys), done);
        SPX_TRY(st, spx_vault_skip(r, a->piece[i].bytes - a->piece[i].keys), done);
    }
    st = spx_vault_read(r, choices, a->plan->choices);
done:
    spx_vault_reader_close(r);
    return st;
}

spx_status spx_pi_ahead_open(spx_pi_ahead **out, const spx_pi_plan *p, spx_vault *v,
                             const char *name, spx_pi_server_unit *unit, uint64_t *masks,
                             uint8_t *choices, size_t most)
{
    spx_status st;
    spx_pi_ahead *a = calloc(1, sizeof *a);
    *out = NULL;
    if (a == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "material");
    }
    a->plan = p;
    a->most = most;
    if (pthread_mutex_init(&a->lock, NULL) != 0 || pthread_cond_init(&a->changed, NULL) != 0) {
        free(a);
        return SPX_FAIL(SPX_ENOMEM, "a lock");
    }
    SPX_TRY(st, spx_vault_reader_open(&a->reader, v, name), fail);
    SPX_TRY(st, spx_pi_read(a->reader, spx_pi_server_unit_fields, unit), fail);
    SPX_TRY(st, spx_vault_read(a->reader, masks, p->masks * sizeof *masks), fail);
    SPX_TRY(st, list_pieces(a), fail);
    SPX_TRY(st, read_choices(a, v, name, choices), fail);
    SPX_TRY(st, start(a), fail);
    *out = a;
    return SPX_OK;
fail:
    spx_pi_ahead_close(a);
    return st;
}

spx_status spx_pi_ahead_next(spx_pi_ahead *a, const spx_block **keys, const uint8_t **tables)
{
    spx_status st = SPX_OK;
    (void)pthread_mutex_lock(&a->lock);
    if (a->used > 0) {
        drop(a, &a->piece[a->used - 1]);
        (void)pthread_cond_broadcast(&a->changed);
    }
    while (!a->failed && a->read <= a->used) {
        (void)pthread_cond_wait(&a->changed, &a->lock);
    }
    if (a->failed) {
        st = SPX_FAIL(a->st, "%s", a->error);
    } else {
        const piece *p = &a->piece[a->used++];
        *keys = p->data;
        *tables = (const uint8_t *)p->data + p->keys;
    }
    (void)pthread_mutex_unlock(&a->lock);
    return st;
}

void spx_pi_ahead_close(spx_pi_ahead *a)
{
    if (a == NULL) {
        return;
    }
    if (a->started) {
        (void)pthread_mutex_lock(&a->lock);
        a->stop = true;
        (void)pthread_cond_broadcast(&a->changed);
        (void)pthread_mutex_unlock(&a->lock);
        (void)pthread_join(a->thread, NULL);
    }
    for (int i = 0; a->piece != NULL && i < a->n_pieces; i++) {
        drop(a, &a->piece[i]);
    }
    free(a->piece);
    spx_vault_reader_close(a->reader);
    (void)pthread_mutex_destroy(&a->lock);
    (void)pthread_cond_destroy(&a->changed);
    free(a);
}
