#include "host/secure/infer/pi_batch_private.h"
#include "kernels/base/alloc.h"
#include "kernels/crypto/secret_memory.h"

/* ---- the client's ---- */

void spx_pi_garbling_destroy(spx_pi_garbling *b)
{
    if (b == NULL) {
        return;
    }
    const spx_pi_most *most = &b->p->plan->most;
    for (int set = 0; set < SPX_HE_SETS; set++) {
        spx_he_key_destroy(b->he[set]);
    }
    spx_ot_sender_destroy(b->ot);
    spx_pi_shares_clear(&b->shares);
    spx_free(b->request);
    spx_free(b->response);
    spx_pi_free_secret(b->words, most->words * sizeof *b->words);
    spx_pi_free_secret(b->zero, 2 * most->room * sizeof *b->zero);
    spx_free(b->message);
    spx_secret_free(b);
}

spx_status spx_pi_garbling_create(spx_pi_garbling **out, spx_pi_client *p, spx_pool *pool,
                                  spx_pi_layer *layer)
{
    const spx_pi_most *most = &p->plan->most;
    const size_t bytes[] = {most->request, most->response, most->words * sizeof(uint64_t),
                            2 * most->room * sizeof(spx_block), most->message};
    void *memory, *m[5] = {NULL};
    spx_pi_garbling *b;
    spx_status st = SPX_OK;
    *out = NULL;
    SPX_RETURN_IF(spx_secret_alloc(&memory, sizeof *b));
    b = memory;
    *b = (spx_pi_garbling){.p = p, .pool = pool, .layer = layer};
    for (int i = 0; i < 5 && st == SPX_OK; i++) {
        st = spx_alloc(&m[i], bytes[i]);
    }
    b->request = m[0];
    b->response = m[1];
    b->words = m[2];
    b->zero = m[3];
    b->message = m[4];
    if (st == SPX_OK) {
        st = spx_pi_shares_create(&b->shares, p->model, pool);
    }
    if (st != SPX_OK) {
        spx_pi_garbling_destroy(b);
        return st;
    }
    *out = b;
    return SPX_OK;
}

/* ---- the server's ---- */

/* Of a server's buffers, in the order of its pointers. */
enum { PUBLIC, REQUEST, RESPONSES, MASKS, CHOICES, DRAWN, KEYS, MESSAGE, BUFFERS };
static void buffer_sizes(const spx_pi_plan *p, size_t bytes[BUFFERS])
{
    bytes[PUBLIC] = p->public_bytes;
    bytes[REQUEST] = p->most.request;
    bytes[RESPONSES] = p->most.window;
    bytes[MASKS] = p->masks * sizeof(uint64_t);
    bytes[CHOICES] = p->choices;
    bytes[DRAWN] = p->most.room / 8;
    bytes[KEYS] = p->most.room * sizeof(spx_block);
    bytes[MESSAGE] = p->most.message;
}

/* Computing on a request takes about four times its size beside the buffers: ciphertexts unpacked,
 * and sums at both primes. */
size_t spx_pi_prepare_bytes(const spx_pi_plan *p)
{
    size_t bytes[BUFFERS], sum = 4 * p->most.request;
    buffer_sizes(p, bytes);
    for (int i = 0; i < BUFFERS; i++) {
        sum += bytes[i];
    }
    return sum;
}

void spx_pi_evaluating_clear(spx_pi_evaluating *b)
{
    size_t bytes[BUFFERS];
    buffer_sizes(b->t->s->plan, bytes);
    for (int set = 0; set < SPX_HE_SETS; set++) {
        spx_he_public_destroy(b->pk[set]);
    }
    spx_ot_receiver_destroy(b->ot);
    spx_pi_free_secret(b->masks, bytes[MASKS]);
    spx_pi_free_secret(b->choices, bytes[CHOICES]);
    spx_pi_free_secret(b->drawn, bytes[DRAWN]);
    spx_pi_free_secret(b->keys, bytes[KEYS]);
    spx_free(b->keys_message);
    spx_free(b->request);
    spx_free(b->responses);
    spx_free(b->message);
}

spx_status spx_pi_evaluating_init(spx_pi_evaluating *b, spx_pi_session_state *t)
{
    size_t bytes[BUFFERS];
    void *m[BUFFERS] = {NULL};
    spx_status st = SPX_OK;
    *b = (spx_pi_evaluating){.t = t};
    buffer_sizes(t->s->plan, bytes);
    for (int i = 0; i < BUFFERS && st == SPX_OK; i++) {
        st = spx_alloc(&m[i], bytes[i]);
    }
    b->keys_message = m[PUBLIC];
    b->request = m[REQUEST];
    b->responses = m[RESPONSES];
    b->masks = m[MASKS];
    b->choices = m[CHOICES];
    b->drawn = m[DRAWN];
    b->keys = m[KEYS];
    b->message = m[MESSAGE];
    return st;
}
