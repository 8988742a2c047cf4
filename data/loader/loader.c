/*
 * Batches are numbered by ticket = epoch * steps + step. The slots hold a window of tickets that
 * begins at the one lent to the caller (`base`). Each ticket is made in pieces of some images:
 * workers claim the pieces of the window in order, fill them without the lock, and who fills the
 * last one marks the slot ready. Slot and ticket are tied (ticket % slots), so a slot is reused
 * only after the window, hence the caller, has moved past its old ticket.
 *
 * Two shuffled orders are kept, for even and odd epochs. The window is at most steps + 1 tickets
 * long and so touches at most two epochs; an order is replaced only when its epoch has left the
 * window.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/loader/loader.h"

#include "data/loader/sample_maker_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"
#include "kernels/device/device_memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MAX_BATCH 65536
#define MAX_THREADS 64
#define MAX_PREFETCH 64
#define DEFAULT_PREFETCH 2
#define MAX_SIDE 4096
#define MAX_WORLD 65536
/* Images of a piece: a lock for each costs nothing beside them. */
#define PIECE 64
#define STORED_PIECE 8

typedef struct slot {
    void *samples;
    int32_t *labels, *cut; /* cut: in the block of the samples; NULL of floats */
    uint32_t *indices;
    /* Of the window's ticket for this slot, once its first piece is claimed. */
    const uint32_t *order;
    size_t missing; /* pieces not filled */
    bool ready;     /* none is missing */
    spx_status st;  /* of the first row that failed, and what was said of it */
    size_t failed;
    char message[512];
} slot;

/* A thread that makes samples. */
typedef struct hand {
    spx_loader *l;
    spx_sample_maker *maker;
    pthread_t thread;
} hand;

struct spx_loader {
    const spx_pack *pack;
    spx_loader_options o; /* subset is not used after opening */
    spx_sampling sampling;
    size_t sample_bytes;  /* of one sample */
    size_t piece, pieces; /* images of a piece; pieces of a batch */
    size_t count, steps;  /* images and steps per epoch */
    uint32_t *list;       /* [count] image indices in split order */
    uint32_t *order[2];   /* [count] shuffled, of epoch order_epoch[e % 2]; NULL in evaluation */
    uint64_t order_epoch[2];
    bool order_valid[2];
    slot *slots;
    size_t slot_count;

    pthread_mutex_t lock; /* guards all below, the orders' replacement and slot.ready */
    pthread_cond_t work, done;
    hand *hands; /* [threads], or one for the caller */
    int started;
    uint64_t base, next; /* first ticket of the window; first with an unclaimed piece */
    size_t next_piece;   /* of next */
    size_t in_flight;    /* pieces claimed and not filled */
    bool running;        /* workers may claim; false before the first get and while seeking */
    bool stop;
};

/* ---- contents: pure functions of (options, ticket) ---- */

/* The order of an epoch, made if it is not there. Under the lock. */
static const uint32_t *order_of(spx_loader *l, uint64_t epoch)
{
    const size_t which = epoch % 2;
    uint32_t *order = l->order[which];
    spx_rng rng;
    if (!l->o.train) {
        return l->list;
    }
    if (l->order_valid[which] && l->order_epoch[which] == epoch) {
        return order;
    }
    memcpy(order, l->list, l->count * sizeof *order);
    spx_rng_init(&rng, l->o.seed, SPX_RNG_ORDER, epoch);
    for (size_t i = l->count - 1; i > 0; i--) { /* Fisher-Yates */
        const size_t j = spx_rng_below(&rng, (uint32_t)i + 1);
        const uint32_t swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
    assert(l->started == 0 || !l->order_valid[which] || l->order_epoch[which] > epoch ||
           l->order_epoch[which] < l->base / l->steps); /* it has left the window */
    l->order_epoch[which] = epoch;
    l->order_valid[which] = true;
    return order;
}

/* Row i of a step: its image; what lies beyond the epoch's end repeats the first. */
static uint32_t image_of(const spx_loader *l, const uint32_t *order, size_t step, size_t i,
                         bool *real)
{
    const size_t at = (step * (size_t)l->o.world + (size_t)l->o.rank) * l->o.batch + i;
    *real = at < l->count;
    return order[*real ? at : 0];
}

static size_t valid_rows(const spx_loader *l, size_t step)
{
    const size_t first = (step * (size_t)l->o.world + (size_t)l->o.rank) * l->o.batch;
    const size_t left = first < l->count ? l->count - first : 0;
    return left < l->o.batch ? left : l->o.batch;
}

/* Fills the rows of a piece; *row is the one that failed. */
static spx_status fill(const spx_loader *l, spx_sample_maker *maker, const slot *s, uint64_t ticket,
                       size_t piece, size_t *row)
{
    const uint64_t epoch = ticket / l->steps;
    const size_t step = (size_t)(ticket % l->steps);
    const uint16_t *label = l->pack->split[l->o.split].labels;
    const size_t end = (piece + 1) * l->piece < l->o.batch ? (piece + 1) * l->piece : l->o.batch;
    for (size_t i = piece * l->piece; i < end; i++) {
        bool real;
        const uint32_t image = image_of(l, s->order, step, i, &real);
        int32_t cut[2];
        *row = i;
        SPX_RETURN_IF(spx_sample_maker_make(maker, epoch, image,
                                            (uint8_t *)s->samples + i * l->sample_bytes,
                                            s->cut != NULL ? s->cut + 2 * i : cut));
        s->labels[i] = label[image];
        s->indices[i] = image;
    }
    return SPX_OK;
}

/* ---- workers ---- */

/* Makes one piece of the window, the lock given up meanwhile where it may be. */
static void make_piece(spx_loader *l, spx_sample_maker *maker, bool unlock)
{
    const uint64_t ticket = l->next;
    const size_t piece = l->next_piece++;
    slot *s = &l->slots[ticket % l->slot_count];
    size_t row = 0;
    spx_status st;
    if (piece == 0) {
        assert(!s->ready);
        s->order = order_of(l, ticket / l->steps);
        s->missing = l->pieces;
        s->st = SPX_OK;
    }
    if (l->next_piece == l->pieces) {
        l->next++;
        l->next_piece = 0;
    }
    l->in_flight++;
    if (unlock) {
        (void)pthread_mutex_unlock(&l->lock);
    }
    st = fill(l, maker, s, ticket, piece, &row);
    if (unlock) {
        (void)pthread_mutex_lock(&l->lock);
    }
    if (st != SPX_OK && (s->st == SPX_OK || row < s->failed)) {
        s->st = st;
        s->failed = row;
        (void)snprintf(s->message, sizeof s->message, "%s", spx_error_message());
    }
    l->in_flight--;
    s->ready = --s->missing == 0;
}

static void *worker(void *argument)
{
    const hand *h = argument;
    spx_loader *l = h->l;
    (void)pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        if (!l->running || l->next >= l->base + l->slot_count) {
            (void)pthread_cond_wait(&l->work, &l->lock);
        } else {
            make_piece(l, h->maker, true);
            (void)pthread_cond_signal(&l->done); /* only the caller waits for it */
        }
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Empties the window and starts it at ticket. Under the lock. */
static void seek(spx_loader *l, uint64_t ticket)
{
    l->running = false;
    while (l->in_flight > 0) {
        (void)pthread_cond_wait(&l->done, &l->lock);
    }
    for (size_t i = 0; i < l->slot_count; i++) {
        l->slots[i].ready = false;
    }
    l->base = l->next = ticket;
    l->next_piece = 0;
    l->running = true;
}

static spx_status check_step(const spx_loader *l, uint64_t epoch, size_t step)
{
    return epoch <= UINT32_MAX && step < l->steps
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "loader: epoch %llu, step %zu of %zu",
                          (unsigned long long)epoch, step, l->steps);
}

spx_status spx_loader_indices(spx_loader *l, uint64_t epoch, size_t step, uint32_t *indices,
                              size_t *valid)
{
    const uint32_t *order;
    SPX_RETURN_IF(check_step(l, epoch, step));
    if (l->started > 0) {
        return SPX_FAIL(SPX_EINVAL, "loader: its workers are making the batches");
    }
    order = order_of(l, epoch);
    *valid = 0;
    for (size_t i = 0; i < l->o.batch; i++) {
        bool real;
        indices[i] = image_of(l, order, step, i, &real);
        *valid += real;
    }
    return SPX_OK;
}

spx_status spx_loader_get(spx_loader *l, uint64_t epoch, size_t step, spx_batch *batch)
{
    uint64_t ticket = epoch * l->steps + step;
    slot *s;
    SPX_RETURN_IF(check_step(l, epoch, step));
    (void)pthread_mutex_lock(&l->lock);
    if (!l->o.train && l->running) { /* its epochs are the same */
        const size_t ahead = (step + l->steps - (size_t)(l->base % l->steps)) % l->steps;
        ticket = ahead <= 1 ? l->base + ahead : ticket;
    }
    s = &l->slots[ticket % l->slot_count];
    if (!l->running || (ticket != l->base && ticket != l->base + 1)) {
        seek(l, ticket);
    } else if (ticket == l->base + 1) {
        l->slots[l->base % l->slot_count].ready =
            false; /* lent before, now free for a new ticket */
        l->base = ticket;
    }
    while (l->started == 0 && !s->ready) {
        make_piece(l, l->hands[0].maker, false);
    }
    (void)pthread_cond_broadcast(&l->work);
    while (!s->ready) {
        (void)pthread_cond_wait(&l->done, &l->lock);
    }
    (void)pthread_mutex_unlock(&l->lock);
    if (s->st != SPX_OK) {
        return SPX_FAIL(s->st, "%s", s->message);
    }
    *batch = (spx_batch){.images = l->o.bytes ? NULL : s->samples,
                         .bytes = l->o.bytes ? s->samples : NULL,
                         .cut = s->cut,
                         .labels = s->labels,
                         .indices = s->indices,
                         .count = l->o.batch,
                         .valid = valid_rows(l, step)};
    return SPX_OK;
}

/* ---- opening ---- */

static spx_status check_range(const char *what, int64_t value, int64_t low, int64_t high)
{
    if (value < low || value > high) {
        return SPX_FAIL(SPX_EINVAL, "loader: %s is %lld, expected %lld to %lld", what,
                        (long long)value, (long long)low, (long long)high);
    }
    return SPX_OK;
}

/* Without a box that is resized, pictures must fit into the sample as they are. */
static spx_status check_size(const spx_pack *p, const spx_loader_options *o)
{
    if (o->augment.resized_crop != SPX_RESIZED_CROP_NONE) {
        return SPX_OK;
    }
    if (p->height == 0) {
        return SPX_FAIL(SPX_EINVAL,
                        "the pictures of the %s pack differ in size: they need resized crops "
                        "(--resized-crop 0.08,1, of which test images get the centre), or a pack "
                        "of one size (data pack --store raw:SIDE)",
                        p->dataset);
    }
    return o->height >= p->height && o->width >= p->width
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL,
                          "loader: height and width are %d and %d, images are of %dx%d: smaller "
                          "samples need a resized crop (--resized-crop 0.08,1)",
                          o->height, o->width, p->height, p->width);
}

spx_augment spx_loader_augment(const spx_loader_options *o)
{
    const spx_augment *a = &o->augment;
    return o->train ? *a
           : a->resized_crop == SPX_RESIZED_CROP_NONE
               ? (spx_augment){0}
               : (spx_augment){.resized_crop = SPX_RESIZED_CROP_CENTRE,
                               .centre_crop = a->centre_crop,
                               .centre_resize = a->centre_resize};
}

/* Fills in defaults and checks every option against the pack. */
static spx_status check_options(const spx_pack *pack, spx_loader_options *o)
{
    o->height = o->height == 0 ? pack->height : o->height;
    o->width = o->width == 0 ? pack->width : o->width;
    o->world = o->world == 0 ? 1 : o->world;
    o->prefetch = o->prefetch == 0 ? DEFAULT_PREFETCH : o->prefetch;
    SPX_RETURN_IF(check_range("split", (int64_t)o->split, 0, SPX_SPLIT_COUNT - 1));
    SPX_RETURN_IF(
        check_range("batch", o->batch > MAX_BATCH ? -1 : (int64_t)o->batch, 1, MAX_BATCH));
    SPX_RETURN_IF(check_range("height", o->height, 1, MAX_SIDE));
    SPX_RETURN_IF(check_range("width", o->width, 1, MAX_SIDE));
    SPX_RETURN_IF(check_size(pack, o));
    SPX_RETURN_IF(check_range("world", o->world, 1, MAX_WORLD));
    SPX_RETURN_IF(check_range("rank", o->rank, 0, o->world - 1));
    SPX_RETURN_IF(check_range("threads", o->threads, 0, MAX_THREADS));
    SPX_RETURN_IF(check_range("prefetch", o->prefetch, 1, MAX_PREFETCH));
    if (o->train) {
        SPX_RETURN_IF(spx_augment_check(&o->augment, o->height, o->width));
    }
    o->augment = spx_loader_augment(o);
    if (!spx_pack_has(pack, o->split)) {
        return SPX_FAIL(SPX_ENOTFOUND, "loader: the %s pack has no %s split loaded", pack->dataset,
                        spx_split_name(o->split));
    }
    return SPX_OK;
}

/* Fills the list of images to serve and counts the steps. */
static spx_status set_list(spx_loader *l)
{
    const size_t stored = l->pack->split[l->o.split].count, round = l->o.batch * (size_t)l->o.world;
    l->count = l->o.subset != NULL ? l->o.subset_count : stored;
    if (l->count == 0 || l->count > UINT32_MAX) {
        return SPX_FAIL(SPX_EINVAL, "loader: %zu images of the %s split, expected 1 to %u",
                        l->count, spx_split_name(l->o.split), (unsigned)UINT32_MAX);
    }
    if (l->o.train && l->count < round) {
        return SPX_FAIL(SPX_EINVAL,
                        "loader: %zu images of the %s split, and a step takes %zu on %d %s: give a "
                        "smaller --batch",
                        l->count, spx_split_name(l->o.split), round, l->o.world,
                        SPX_PLURAL(l->o.world, "rank", "ranks"));
    }
    SPX_RETURN_IF(SPX_NEW(l->list, l->count));
    for (size_t i = 0; i < l->count; i++) {
        l->list[i] = l->o.subset != NULL ? l->o.subset[i] : (uint32_t)i;
        if (l->list[i] >= stored) {
            return SPX_FAIL(SPX_EINVAL, "loader: subset entry %zu is image %u of %zu", i,
                            (unsigned)l->list[i], stored);
        }
    }
    l->steps = l->o.train ? l->count / round : (l->count + round - 1) / round;
    return SPX_OK;
}

static spx_status alloc_block(const spx_loader *l, void **out, size_t bytes)
{
    return l->o.upload != NULL ? spx_pinned_alloc(l->o.upload, out, bytes) : spx_alloc(out, bytes);
}

static void free_block(const spx_loader *l, void *p)
{
    if (l->o.upload != NULL) {
        spx_pinned_free(l->o.upload, p);
    } else {
        spx_free(p);
    }
}

static spx_status set_slots(spx_loader *l)
{
    const size_t ahead = l->o.threads > 0 ? (size_t)l->o.prefetch : 0;
    const size_t samples = spx_loader_cut_offset(l->o.batch, l->sample_bytes);
    const size_t cut = l->o.bytes ? l->o.batch * 2 * sizeof(int32_t) : 0;
    void *p;
    for (int i = 0; i < 2 && l->o.train; i++) {
        SPX_RETURN_IF(SPX_NEW(l->order[i], l->count));
    }
    l->slot_count = 1 + (ahead < l->steps ? ahead : l->steps);
    assert(l->slot_count <= l->steps + 1); /* two epochs at most are under way */
    SPX_RETURN_IF(SPX_NEW(l->slots, l->slot_count));
    for (size_t i = 0; i < l->slot_count; i++) {
        /* At most 65536 * 4 * 4096^2 * 4 bytes: no overflow. */
        SPX_RETURN_IF(alloc_block(l, &p, samples + cut));
        l->slots[i].samples = p;
        l->slots[i].cut = cut > 0 ? (int32_t *)(void *)((uint8_t *)p + samples) : NULL;
        SPX_RETURN_IF(alloc_block(l, &p, l->o.batch * sizeof(int32_t)));
        l->slots[i].labels = p;
        SPX_RETURN_IF(spx_alloc(&p, l->o.batch * sizeof(uint32_t)));
        l->slots[i].indices = p;
    }
    return SPX_OK;
}

static spx_status start_workers(spx_loader *l)
{
    const int hands = l->o.threads > 0 ? l->o.threads : 1;
    SPX_RETURN_IF(SPX_NEW(l->hands, (size_t)hands));
    for (int i = 0; i < hands; i++) {
        l->hands[i].l = l;
        SPX_RETURN_IF(spx_sample_maker_create(&l->hands[i].maker, &l->sampling));
    }
    for (; l->started < l->o.threads; l->started++) {
        hand *h = &l->hands[l->started];
        if (pthread_create(&h->thread, NULL, worker, h) != 0) {
            return SPX_FAIL(SPX_EDEVICE, "loader: could not start thread %d of %d", l->started + 1,
                            l->o.threads);
        }
    }
    return SPX_OK;
}

static spx_status set_sampling(spx_loader *l)
{
    const spx_pack *p = l->pack;
    const spx_loader_options *o = &l->o;
    l->sampling =
        (spx_sampling){.pack = p,
                       .split = o->split,
                       .augment = o->augment,
                       .shape = {p->channels, p->height, p->width, o->height, o->width, false},
                       .seed = o->seed,
                       .bytes = o->bytes};
    l->sample_bytes =
        (size_t)p->channels * (size_t)o->height * (size_t)o->width * (o->bytes ? 1 : sizeof(float));
    l->piece = p->store != NULL ? STORED_PIECE : PIECE;
    l->pieces = (o->batch + l->piece - 1) / l->piece;
    return spx_normalise_init(&l->sampling.normalise, p->channels, p->mean, p->std);
}

spx_status spx_loader_open(spx_loader **out, const spx_pack *pack,
                           const spx_loader_options *options)
{
    spx_loader_options o = *options;
    spx_loader *l;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(check_options(pack, &o));
    SPX_RETURN_IF(SPX_NEW(l, 1));
    l->pack = pack;
    l->o = o;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->work, NULL);
    (void)pthread_cond_init(&l->done, NULL);
    SPX_TRY(st, set_sampling(l), fail);
    SPX_TRY(st, set_list(l), fail);
    SPX_TRY(st, set_slots(l), fail);
    SPX_TRY(st, start_workers(l), fail);
    *out = l;
    return SPX_OK;
fail:
    spx_loader_close(l);
    return st;
}

void spx_loader_close(spx_loader *l)
{
    if (l == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&l->lock);
    l->stop = true;
    (void)pthread_cond_broadcast(&l->work);
    (void)pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++) {
        (void)pthread_join(l->hands[i].thread, NULL);
    }
    (void)pthread_cond_destroy(&l->done);
    (void)pthread_cond_destroy(&l->work);
    (void)pthread_mutex_destroy(&l->lock);
    for (size_t i = 0; l->slots != NULL && i < l->slot_count; i++) {
        free_block(l, l->slots[i].samples);
        free_block(l, l->slots[i].labels);
        spx_free(l->slots[i].indices);
    }
    spx_free(l->slots);
    for (int i = 0; l->hands != NULL && i < (l->o.threads > 0 ? l->o.threads : 1); i++) {
        spx_sample_maker_destroy(l->hands[i].maker);
    }
    spx_free(l->hands);
    spx_free(l->order[0]);
    spx_free(l->order[1]);
    spx_free(l->list);
    spx_free(l);
}

size_t spx_loader_steps(const spx_loader *l)
{
    return l->steps;
}
