/*
 * Batches are numbered by ticket = epoch * steps + step. The slots hold a window of tickets that
 * begins at the one lent to the caller (`base`); workers claim the tickets of the window in order,
 * fill them without the lock, and mark them ready. Slot and ticket are tied (ticket % slots), so a
 * slot is reused only after the window, hence the caller, has moved past its old ticket.
 *
 * Two shuffled orders are kept, for even and odd epochs. The window is at most steps + 1 tickets
 * long and so touches at most two epochs; an order is replaced only when its epoch has left the
 * window.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/loader/loader.h"

#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define MAX_BATCH 65536
#define MAX_THREADS 64
#define MAX_PREFETCH 64
#define DEFAULT_PREFETCH 2
#define MAX_SIDE 4096
#define MAX_WORLD 65536

typedef struct slot {
    float *images;
    int32_t *labels;
    uint32_t *indices;
    size_t valid;
    bool ready; /* holds the window's ticket for this slot */
} slot;

struct spx_loader {
    const spx_pack *pack;
    spx_loader_options o; /* subset is not used after opening */
    spx_normalise normalise;
    spx_augment_shape shape;
    size_t count, steps; /* images and steps per epoch */
    uint32_t *list;      /* [count] image indices in split order */
    uint32_t *order[2];  /* [count] shuffled, of epoch order_epoch[e % 2]; NULL in evaluation */
    uint64_t order_epoch[2];
    bool order_valid[2];
    slot *slots;
    size_t slot_count;

    pthread_mutex_t lock; /* guards all below, the orders' replacement and slot.ready */
    pthread_cond_t work, done;
    pthread_t *workers;
    int started;
    uint64_t base, next; /* first ticket of the window; first unclaimed one */
    size_t in_flight;    /* tickets claimed and not ready */
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

static void fill(const spx_loader *l, slot *s, uint64_t ticket, const uint32_t *order)
{
    static const spx_augment none = {0};
    const spx_augment *augment = l->o.train ? &l->o.augment : &none;
    const uint64_t epoch = ticket / l->steps;
    const size_t step = (size_t)(ticket % l->steps);
    const spx_augment_shape *shape = &l->shape;
    const size_t from =
        (size_t)shape->channels * (size_t)shape->from_height * (size_t)shape->from_width;
    const size_t to = (size_t)shape->channels * (size_t)shape->height * (size_t)shape->width;
    const spx_pack_split *split = &l->pack->split[l->o.split];
    s->valid = 0;
    for (size_t i = 0; i < l->o.batch; i++) {
        bool real;
        const uint32_t image = image_of(l, order, step, i, &real);
        assert(image < split->count);
        spx_augment_draw draw;
        spx_rng rng;
        spx_augment_rng(&rng, l->o.seed, epoch, image);
        spx_augment_choose(augment, shape, &rng, &draw);
        spx_augment_apply(augment, &draw, &l->normalise, shape, split->images + image * from,
                          s->images + i * to);
        s->labels[i] = split->labels[image];
        s->indices[i] = image;
        s->valid += real;
    }
}

/* ---- workers ---- */

static void *worker(void *argument)
{
    spx_loader *l = argument;
    (void)pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        if (!l->running || l->next >= l->base + l->slot_count) {
            (void)pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        {
            const uint64_t ticket = l->next++;
            slot *s = &l->slots[ticket % l->slot_count];
            const uint32_t *order = order_of(l, ticket / l->steps);
            assert(!s->ready);
            l->in_flight++;
            (void)pthread_mutex_unlock(&l->lock);
            fill(l, s, ticket, order);
            (void)pthread_mutex_lock(&l->lock);
            s->ready = true;
            l->in_flight--;
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
    const uint64_t ticket = epoch * l->steps + step;
    slot *s = &l->slots[ticket % l->slot_count];
    SPX_RETURN_IF(check_step(l, epoch, step));
    (void)pthread_mutex_lock(&l->lock);
    if (!l->running || (ticket != l->base && ticket != l->base + 1)) {
        seek(l, ticket);
    } else if (ticket == l->base + 1) {
        l->slots[l->base % l->slot_count].ready =
            false; /* lent before, now free for a new ticket */
        l->base = ticket;
    }
    if (l->started == 0 && !s->ready) {
        fill(l, s, ticket, order_of(l, epoch));
        s->ready = true;
    }
    (void)pthread_cond_broadcast(&l->work);
    while (!s->ready) {
        (void)pthread_cond_wait(&l->done, &l->lock);
    }
    (void)pthread_mutex_unlock(&l->lock);
    *batch = (spx_batch){s->images, s->labels, s->indices, l->o.batch, s->valid};
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
    SPX_RETURN_IF(check_range("height", o->height, pack->height, MAX_SIDE));
    SPX_RETURN_IF(check_range("width", o->width, pack->width, MAX_SIDE));
    SPX_RETURN_IF(check_range("world", o->world, 1, MAX_WORLD));
    SPX_RETURN_IF(check_range("rank", o->rank, 0, o->world - 1));
    SPX_RETURN_IF(check_range("threads", o->threads, 0, MAX_THREADS));
    SPX_RETURN_IF(check_range("prefetch", o->prefetch, 1, MAX_PREFETCH));
    if (o->train) {
        SPX_RETURN_IF(spx_augment_check(&o->augment, o->height, o->width));
    }
    if (pack->split[o->split].images == NULL) {
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
    if (l->count == 0 || l->count > UINT32_MAX || (l->o.train && l->count < round)) {
        return SPX_FAIL(SPX_EINVAL,
                        "loader: %zu images of the %s split fill no batch of %zu on %d rank(s)",
                        l->count, spx_split_name(l->o.split), l->o.batch, l->o.world);
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
    const size_t image =
        (size_t)l->shape.channels * (size_t)l->shape.height * (size_t)l->shape.width;
    void *p;
    for (int i = 0; i < 2 && l->o.train; i++) {
        SPX_RETURN_IF(SPX_NEW(l->order[i], l->count));
    }
    l->slot_count = 1 + (ahead < l->steps ? ahead : l->steps);
    assert(l->slot_count <= l->steps + 1); /* two epochs at most are under way */
    SPX_RETURN_IF(SPX_NEW(l->slots, l->slot_count));
    for (size_t i = 0; i < l->slot_count; i++) {
        /* At most 65536 * 4 * 4096^2 * 4 bytes: no overflow. */
        SPX_RETURN_IF(alloc_block(l, &p, l->o.batch * image * sizeof(float)));
        l->slots[i].images = p;
        SPX_RETURN_IF(alloc_block(l, &p, l->o.batch * sizeof(int32_t)));
        l->slots[i].labels = p;
        SPX_RETURN_IF(spx_alloc(&p, l->o.batch * sizeof(uint32_t)));
        l->slots[i].indices = p;
    }
    return SPX_OK;
}

static spx_status start_workers(spx_loader *l)
{
    SPX_RETURN_IF(SPX_NEW(l->workers, (size_t)l->o.threads));
    for (; l->started < l->o.threads; l->started++) {
        if (pthread_create(&l->workers[l->started], NULL, worker, l) != 0) {
            return SPX_FAIL(SPX_EDEVICE, "loader: could not start thread %d of %d", l->started + 1,
                            l->o.threads);
        }
    }
    return SPX_OK;
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
    l->shape =
        (spx_augment_shape){pack->channels, pack->height, pack->width, o.height, o.width, false};
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->work, NULL);
    (void)pthread_cond_init(&l->done, NULL);
    SPX_TRY(st, spx_normalise_init(&l->normalise, pack->channels, pack->mean, pack->std), fail);
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
        (void)pthread_join(l->workers[i], NULL);
    }
    (void)pthread_cond_destroy(&l->done);
    (void)pthread_cond_destroy(&l->work);
    (void)pthread_mutex_destroy(&l->lock);
    for (size_t i = 0; l->slots != NULL && i < l->slot_count; i++) {
        free_block(l, l->slots[i].images);
        free_block(l, l->slots[i].labels);
        spx_free(l->slots[i].indices);
    }
    spx_free(l->slots);
    spx_free(l->workers);
    spx_free(l->order[0]);
    spx_free(l->order[1]);
    spx_free(l->list);
    spx_free(l);
}

size_t spx_loader_steps(const spx_loader *l)
{
    return l->steps;
}
