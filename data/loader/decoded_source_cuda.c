#include "data/loader/decoded_source_cuda_private.h"

#include "data/augment/augment_cuda.h"
#include "data/image/decoder.h"
#include "data/loader/nvjpeg_cuda_private.h"
#include "data/pack/pack_store.h"
#include "kernels/base/alloc.h"
#include "kernels/base/pool.h"
#include "kernels/device/device_memory.h"

#include <stdio.h>
#include <string.h>

/* Pictures begin at multiples of it on the device. */
#define ALIGN ((size_t)256)

/* A picture of a batch: its file, or where the CPU decodes it, its pixels. */
typedef struct picture {
    uint8_t *bytes;
    size_t size, room;
    bool pixels;
} picture;

/* What a batch needs until the device has taken it in. */
typedef struct slot {
    picture *pictures; /* [batch] */
    void *sent;        /* pinned: places, labels, indices; [batch] each */
    spx_event *used;
} slot;

/* One thread's memory, and how it fared. */
typedef struct hand {
    uint8_t *stored;
    spx_decoder *decoder;
    spx_status st;
    char message[512];
} hand;

struct spx_decoded_source {
    spx_stream *stream;
    spx_decoded_from from;
    spx_pool *pool;
    hand *hands; /* [threads] */
    size_t room; /* of the largest file */
    spx_nvjpeg *nvjpeg;
    spx_nvjpeg_picture *queue; /* [batch] */
    uint32_t *queued;          /* [batch]: which row each of the queue is */
    slot slot[SPX_NVJPEG_SLOTS];
    uint64_t batches;
    /* Device memory. */
    void *choice; /* as slot.sent */
    uint8_t *pixels;
    size_t pixels_room;
    float *images; /* (batch, height, width, channels) */
};

static spx_augment_place *places_of(void *sent)
{
    return sent;
}

static uint32_t *labels_of(const spx_decoded_source *d, void *sent)
{
    return (uint32_t *)(void *)(places_of(sent) + d->from.batch);
}

static uint32_t *indices_of(const spx_decoded_source *d, void *sent)
{
    return labels_of(d, sent) + d->from.batch;
}

static size_t sent_bytes(const spx_decoded_source *d)
{
    return d->from.batch * (sizeof(spx_augment_place) + 2 * sizeof(uint32_t));
}

/* ---- reading ---- */

static spx_status make_room(picture *p, size_t size)
{
    void *more;
    p->size = size;
    if (size <= p->room) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_alloc(&more, size));
    spx_free(p->bytes);
    p->bytes = more;
    p->room = size;
    return SPX_OK;
}

/* Says what a picture is called, beside what is wrong with it. */
static spx_status named(const spx_decoded_source *d, uint32_t image, spx_status st)
{
    char told[256], *path;
    (void)snprintf(told, sizeof told, "%s", spx_error_message());
    if ((st == SPX_EFORMAT || st == SPX_EINVAL) &&
        spx_store_name(d->from.pack, d->from.split, image, &path) == SPX_OK) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: %s", path, told);
        spx_free(path);
    }
    return st;
}

/* p = the pixels of a file. */
static spx_status decode_here(const spx_decoded_source *d, spx_decoder *decoder, uint32_t image,
                              const uint8_t *bytes, size_t size, picture *p)
{
    const int channels = d->from.shape.channels;
    char name[64];
    int height, width;
    spx_status st;
    spx_store_size(d->from.pack, d->from.split, image, &height, &width);
    (void)snprintf(name, sizeof name, "image %u of %s", (unsigned)image,
                   spx_split_name(d->from.split));
    p->pixels = true;
    SPX_RETURN_IF(make_room(p, (size_t)height * (size_t)width * (size_t)channels));
    st = spx_decoder_sample(decoder, name, bytes, size, channels, NULL, false, height, width, false,
                            p->bytes);
    return st == SPX_OK ? SPX_OK : named(d, image, st);
}

static spx_status read_picture(const spx_decoded_source *d, hand *h, uint32_t image, picture *p)
{
    const spx_decoded_from *f = &d->from;
    spx_image_info info;
    int height, width;
    size_t size;
    spx_status st;
    SPX_RETURN_IF(spx_store_read(f->pack, f->split, image, h->stored, d->room, &size));
    spx_store_size(f->pack, f->split, image, &height, &width);
    st = spx_image_probe(&info, "picture", h->stored, size);
    if (st != SPX_OK) {
        return named(d, image, st);
    }
    if (!info.plain || (f->shape.channels == 1 && !info.grey) ||
        !spx_nvjpeg_takes(d->nvjpeg, h->stored, size, height, width)) {
        return decode_here(d, h->decoder, image, h->stored, size, p);
    }
    p->pixels = false;
    SPX_RETURN_IF(make_room(p, size));
    memcpy(p->bytes, h->stored, size);
    return SPX_OK;
}

typedef struct reading {
    spx_decoded_source *d;
    slot *slot;
} reading;

static void read_range(void *ctx, int worker, size_t begin, size_t end)
{
    const reading *r = ctx;
    hand *h = &r->d->hands[worker];
    const uint32_t *indices = indices_of(r->d, r->slot->sent);
    for (size_t i = begin; i < end && h->st == SPX_OK; i++) {
        h->st = read_picture(r->d, h, indices[i], &r->slot->pictures[i]);
    }
    if (h->st != SPX_OK) {
        (void)snprintf(h->message, sizeof h->message, "%s", spx_error_message());
    }
}

/* Reads a slot's pictures; of those that fail the first is told. */
static spx_status read_all(spx_decoded_source *d, slot *t)
{
    reading r = {d, t};
    for (int i = 0; i < d->from.threads; i++) {
        d->hands[i].st = SPX_OK;
    }
    spx_pool_run(d->pool, d->from.batch, read_range, &r);
    for (int i = 0; i < d->from.threads; i++) { /* ranges are in order */
        if (d->hands[i].st != SPX_OK) {
            return SPX_FAIL(d->hands[i].st, "%s", d->hands[i].message);
        }
    }
    return SPX_OK;
}

/* ---- onto the device ---- */

/* Sets the places of a batch, and makes room for it. */
static spx_status place_all(spx_decoded_source *d, slot *t)
{
    const spx_decoded_from *f = &d->from;
    spx_augment_place *place = places_of(t->sent);
    size_t total = 0;
    void *p;
    for (size_t i = 0; i < f->batch; i++) {
        int height, width;
        spx_store_size(f->pack, f->split, indices_of(d, t->sent)[i], &height, &width);
        place[i] = (spx_augment_place){total, height, width};
        total += ((size_t)height * (size_t)width * (size_t)f->shape.channels + ALIGN - 1) / ALIGN *
                 ALIGN;
    }
    if (total <= d->pixels_room) {
        return SPX_OK;
    }
    spx_device_free(d->stream, d->pixels);
    d->pixels = NULL;
    d->pixels_room = 0;
    total += total / 4; /* sizes vary: most batches then need no more */
    SPX_RETURN_IF(spx_device_alloc(d->stream, &p, total));
    d->pixels = p;
    d->pixels_room = total;
    return SPX_OK;
}

static spx_status upload_pixels(const spx_decoded_source *d, const slot *t, size_t i)
{
    return spx_upload(d->stream, d->pixels + places_of(t->sent)[i].offset, t->pictures[i].bytes,
                      t->pictures[i].size);
}

/* What nvJPEG left after all. */
static spx_status decode_left(const spx_decoded_source *d, const slot *t, size_t i)
{
    picture made = {0};
    spx_status st;
    st = decode_here(d, d->hands[0].decoder, indices_of(d, t->sent)[i], t->pictures[i].bytes,
                     t->pictures[i].size, &made);
    if (st == SPX_OK) { /* of plain memory: taken in before the call returns */
        st = spx_upload(d->stream, d->pixels + places_of(t->sent)[i].offset, made.bytes, made.size);
    }
    spx_free(made.bytes);
    return st;
}

static spx_status decode_all(spx_decoded_source *d, int which)
{
    slot *t = &d->slot[which];
    const spx_augment_place *place = places_of(t->sent);
    const size_t channels = (size_t)d->from.shape.channels;
    size_t n = 0;
    for (size_t i = 0; i < d->from.batch; i++) {
        const picture *p = &t->pictures[i];
        if (p->pixels) {
            SPX_RETURN_IF(upload_pixels(d, t, i));
            continue;
        }
        d->queued[n] = (uint32_t)i;
        d->queue[n++] = (spx_nvjpeg_picture){.bytes = p->bytes,
                                             .size = p->size,
                                             .to = d->pixels + place[i].offset,
                                             .row = (size_t)place[i].width * channels};
    }
    SPX_RETURN_IF(spx_nvjpeg_decode(d->nvjpeg, which, d->queue, n));
    for (size_t k = 0; k < n; k++) {
        if (d->queue[k].left) {
            SPX_RETURN_IF(decode_left(d, t, d->queued[k]));
        }
    }
    return SPX_OK;
}

spx_status spx_decoded_source_get(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    spx_decoded_source *d = ctx;
    const spx_decoded_from *f = &d->from;
    const int which = (int)(d->batches % SPX_NVJPEG_SLOTS);
    slot *t = &d->slot[which];
    const uint32_t *indices = indices_of(d, t->sent);
    spx_augment_from from = {.place = places_of(d->choice),
                             .index = indices_of(d, d->choice),
                             .normalise = f->normalise,
                             .seed = f->seed,
                             .epoch = (uint64_t)epoch};
    size_t valid;
    SPX_RETURN_IF(spx_event_sync(t->used));
    SPX_RETURN_IF(spx_loader_indices(f->loader, (uint64_t)epoch, (size_t)step,
                                     indices_of(d, t->sent), &valid));
    for (size_t i = 0; i < f->batch; i++) {
        labels_of(d, t->sent)[i] = f->pack->split[f->split].labels[indices[i]];
    }
    SPX_RETURN_IF(read_all(d, t));
    SPX_RETURN_IF(place_all(d, t));
    SPX_RETURN_IF(decode_all(d, which));
    SPX_RETURN_IF(spx_upload(d->stream, d->choice, t->sent, sent_bytes(d)));
    SPX_RETURN_IF(spx_event_record(t->used, d->stream));
    from.images = d->pixels;
    SPX_RETURN_IF(spx_augment_batch_cuda(d->stream, &f->augment, &f->shape, (int64_t)f->batch,
                                         &from, d->images));
    d->batches++;
    *out = (spx_samples){.images = d->images,
                         .labels = (const int32_t *)(const void *)labels_of(d, d->choice),
                         .valid = (int64_t)valid};
    return SPX_OK;
}

/* ---- opening ---- */

static spx_status open_hands(spx_decoded_source *d)
{
    const int threads = d->from.threads;
    void *p;
    d->room = spx_store_max_bytes(d->from.pack, d->from.split);
    SPX_RETURN_IF(spx_pool_create(&d->pool, threads));
    SPX_RETURN_IF(SPX_NEW(d->hands, (size_t)threads));
    for (int i = 0; i < threads; i++) {
        SPX_RETURN_IF(spx_alloc(&p, d->room));
        d->hands[i].stored = p;
        SPX_RETURN_IF(spx_decoder_create(&d->hands[i].decoder));
    }
    return SPX_OK;
}

static spx_status open_all(spx_decoded_source *d)
{
    const spx_decoded_from *f = &d->from;
    const spx_augment_shape *a = &f->shape;
    const size_t pixels = (size_t)a->channels * (size_t)a->height * (size_t)a->width;
    void *p;
    SPX_RETURN_IF(spx_nvjpeg_create(&d->nvjpeg, d->stream, a->channels, f->batch, f->threads));
    SPX_RETURN_IF(open_hands(d));
    SPX_RETURN_IF(SPX_NEW(d->queue, f->batch));
    SPX_RETURN_IF(SPX_NEW(d->queued, f->batch));
    SPX_RETURN_IF(spx_device_alloc(d->stream, &d->choice, sent_bytes(d)));
    SPX_RETURN_IF(spx_device_alloc(d->stream, &p, f->batch * pixels * sizeof(float)));
    d->images = p;
    for (int i = 0; i < SPX_NVJPEG_SLOTS; i++) {
        slot *t = &d->slot[i];
        SPX_RETURN_IF(SPX_NEW(t->pictures, f->batch));
        SPX_RETURN_IF(spx_pinned_alloc(d->stream, &t->sent, sent_bytes(d)));
        SPX_RETURN_IF(spx_event_create(&t->used, d->stream));
        SPX_RETURN_IF(spx_event_record(t->used, d->stream)); /* nobody uses it yet */
    }
    return SPX_OK;
}

spx_status spx_decoded_source_open(spx_decoded_source **out, spx_stream *s,
                                   const spx_decoded_from *from)
{
    spx_decoded_source *d;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(SPX_NEW(d, 1));
    d->stream = s;
    d->from = *from;
    st = open_all(d);
    if (st != SPX_OK) {
        spx_decoded_source_close(d);
        return st;
    }
    *out = d;
    return SPX_OK;
}

void spx_decoded_source_close(spx_decoded_source *d)
{
    if (d == NULL) {
        return;
    }
    spx_nvjpeg_destroy(d->nvjpeg); /* waits for what reads the pictures below */
    spx_device_free(d->stream, d->images);
    spx_device_free(d->stream, d->choice);
    spx_device_free(d->stream, d->pixels);
    for (int i = 0; i < SPX_NVJPEG_SLOTS; i++) {
        slot *t = &d->slot[i];
        for (size_t k = 0; t->pictures != NULL && k < d->from.batch; k++) {
            spx_free(t->pictures[k].bytes);
        }
        spx_free(t->pictures);
        spx_pinned_free(d->stream, t->sent);
        spx_event_destroy(t->used);
    }
    spx_free(d->queue);
    spx_free(d->queued);
    spx_pool_destroy(d->pool);
    for (int i = 0; d->hands != NULL && i < d->from.threads; i++) {
        spx_decoder_destroy(d->hands[i].decoder);
        spx_free(d->hands[i].stored);
    }
    spx_free(d->hands);
    spx_free(d);
}
