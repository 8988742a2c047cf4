#include "data/loader/device_source.h"

#include "data/augment/augment_cuda.h"
#include "data/loader/decoded_source_cuda_private.h"
#include "data/loader/loader_source_private.h"
#include "data/pack/pack_store.h"
#include "host/train/feed.h"
#include "kernels/base/alloc.h"
#include "kernels/base/pool.h"
#include "kernels/device/device_memory.h"

#include <string.h>

/* Uploads of indices that may be under way. */
#define RING 4
/* Bytes of a split that are uploaded at a time. */
#define CHUNK ((size_t)8 << 20)
/* Workers for pictures that are decoded or resized, at most. */
#define MAX_DECODERS 16

struct spx_device_split {
    spx_stream *stream;
    uint8_t *images;
    spx_normalise *normalise;
};

struct spx_device_source {
    spx_stream *stream;
    const spx_device_split *split; /* or NULL */
    const spx_pack *pack;
    spx_loader_options o; /* as the loader resolved them where it matters: sizes are not 0 */
    spx_augment augment;  /* what is applied */
    spx_augment_shape shape;
    spx_loader *loader;
    spx_feed *feed;              /* without a split, but */
    spx_decoded_source *decoded; /* where nvJPEG decodes */
    spx_normalise *normalise;    /* device memory; without a split, of bytes */
    /* With one: labels [batch], then indices [batch]. */
    uint32_t *choice;     /* device memory */
    uint32_t *sent[RING]; /* pinned */
    spx_event *used[RING];
    float *images; /* (batch, height, width, channels), device memory */
    uint64_t batches;
};

#ifdef SPX_HAVE_CUDA
#define ON_DEVICE(f) f
#else
#define ON_DEVICE(f) NULL
#endif

static spx_status (*const augment_batch)(spx_stream *, const spx_augment *,
                                         const spx_augment_shape *, int64_t,
                                         const spx_augment_from *,
                                         float *) = ON_DEVICE(spx_augment_batch_cuda);
static spx_status (*const normalise_batch)(spx_stream *, const spx_augment *,
                                           const spx_augment_shape *, int64_t, const uint8_t *,
                                           const int32_t *, const spx_normalise *,
                                           float *) = ON_DEVICE(spx_normalise_batch_cuda);

static spx_status (*const open_decoded)(spx_decoded_source **, spx_stream *,
                                        const spx_decoded_from *) =
    ON_DEVICE(spx_decoded_source_open);
static spx_status (*const get_decoded)(void *, int64_t, int64_t,
                                       spx_samples *) = ON_DEVICE(spx_decoded_source_get);
static void (*const close_decoded)(spx_decoded_source *) = ON_DEVICE(spx_decoded_source_close);

/* ---- the split ---- */

static bool fits(const spx_stream *s, size_t bytes, double share)
{
    spx_device_info info;
    return spx_stream_device(s) != SPX_DEVICE_CPU &&
           spx_device_describe(spx_stream_device(s), spx_stream_index(s), &info) == SPX_OK &&
           (double)bytes <= share * (double)info.memory_bytes;
}

/* The table of a pack in device memory. */
static spx_status upload_table(spx_stream *s, const spx_pack *pack, spx_normalise **out)
{
    spx_normalise table;
    void *p;
    memset(&table, 0, sizeof table);
    SPX_RETURN_IF(spx_normalise_init(&table, pack->channels, pack->mean, pack->std));
    SPX_RETURN_IF(spx_device_alloc(s, &p, sizeof table));
    *out = p;
    return spx_upload(s, p, &table, sizeof table);
}

/* Uploads the planes of stored pictures through a buffer of bounded size. */
static spx_status upload_stored(const spx_device_split *d, const spx_pack *pack, spx_split split,
                                size_t image)
{
    const size_t count = pack->split[split].count, most = CHUNK / image > 1 ? CHUNK / image : 1;
    void *chunk;
    spx_status st;
    SPX_TRY(st, spx_pinned_alloc(d->stream, &chunk, most * image), end);
    for (size_t i = 0; i < count; i += most) {
        const size_t n = count - i < most ? count - i : most;
        for (size_t k = 0; k < n; k++) {
            size_t size;
            SPX_TRY(st,
                    spx_store_read(pack, split, (uint32_t)(i + k), (uint8_t *)chunk + k * image,
                                   image, &size),
                    end);
        }
        SPX_TRY(st, spx_upload(d->stream, d->images + i * image, chunk, n * image), end);
        SPX_TRY(st, spx_stream_sync(d->stream), end);
    }
end:
    spx_pinned_free(d->stream, chunk);
    return st;
}

static spx_status fill_split(spx_device_split *d, const spx_pack *pack, spx_split split,
                             size_t image)
{
    const spx_pack_split *from = &pack->split[split];
    const size_t bytes = from->count * image;
    void *p;
    SPX_RETURN_IF(spx_device_alloc(d->stream, &p, bytes));
    d->images = p;
    SPX_RETURN_IF(upload_table(d->stream, pack, &d->normalise));
    return from->images != NULL ? spx_upload(d->stream, d->images, from->images, bytes)
                                : upload_stored(d, pack, split, image);
}

spx_status spx_device_split_open(spx_device_split **out, spx_stream *s, const spx_pack *pack,
                                 spx_split split, double share)
{
    const size_t image = (size_t)pack->channels * (size_t)pack->height * (size_t)pack->width;
    spx_device_split *d;
    spx_status st;
    *out = NULL;
    if (!spx_pack_has(pack, split)) {
        return SPX_FAIL(SPX_ENOTFOUND, "the %s pack has no %s split loaded", pack->dataset,
                        spx_split_name(split));
    }
    if (spx_store_encoded(pack) || !fits(s, pack->split[split].count * image, share)) {
        return SPX_OK;
    }
    SPX_RETURN_IF(SPX_NEW(d, 1));
    d->stream = s;
    st = fill_split(d, pack, split, image);
    if (st != SPX_OK) {
        spx_device_split_close(d);
        return st == SPX_ENOMEM ? SPX_OK : st; /* others have the memory: batches are uploaded */
    }
    *out = d;
    return SPX_OK;
}

void spx_device_split_close(spx_device_split *d)
{
    if (d != NULL) {
        spx_device_free(d->stream, d->images);
        spx_device_free(d->stream, d->normalise);
        spx_free(d);
    }
}

/* ---- batches out of a split on the device ---- */

static spx_status get_resident(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    spx_device_source *d = ctx;
    const size_t n = d->o.batch, slot = d->batches % RING;
    uint32_t *labels = d->sent[slot], *indices = labels + n;
    const uint16_t *label = d->pack->split[d->o.split].labels;
    const spx_augment_from from = {.images = d->split->images,
                                   .index = d->choice + n,
                                   .normalise = d->split->normalise,
                                   .seed = d->o.seed,
                                   .epoch = (uint64_t)epoch};
    size_t valid;
    SPX_RETURN_IF(spx_event_sync(d->used[slot]));
    SPX_RETURN_IF(spx_loader_indices(d->loader, (uint64_t)epoch, (size_t)step, indices, &valid));
    for (size_t i = 0; i < n; i++) {
        labels[i] = label[indices[i]];
    }
    SPX_RETURN_IF(spx_upload(d->stream, d->choice, labels, 2 * n * sizeof *labels));
    SPX_RETURN_IF(spx_event_record(d->used[slot], d->stream));
    SPX_RETURN_IF(augment_batch(d->stream, &d->augment, &d->shape, (int64_t)n, &from, d->images));
    d->batches++;
    *out = (spx_samples){.images = d->images,
                         .labels = (const int32_t *)(const void *)d->choice,
                         .valid = (int64_t)valid};
    return SPX_OK;
}

static spx_status open_resident(spx_device_source *d)
{
    const spx_augment_shape *a = &d->shape;
    const size_t choice = 2 * d->o.batch * sizeof(uint32_t);
    const size_t pixels = (size_t)a->channels * (size_t)a->height * (size_t)a->width;
    void *p;
    SPX_RETURN_IF(spx_device_alloc(d->stream, &p, choice));
    d->choice = p;
    SPX_RETURN_IF(spx_device_alloc(d->stream, &p, d->o.batch * pixels * sizeof(float)));
    d->images = p;
    for (int i = 0; i < RING; i++) {
        SPX_RETURN_IF(spx_pinned_alloc(d->stream, &p, choice));
        d->sent[i] = p;
        SPX_RETURN_IF(spx_event_create(&d->used[i], d->stream));
        SPX_RETURN_IF(spx_event_record(d->used[i], d->stream)); /* nobody uses it yet */
    }
    return SPX_OK;
}

/* ---- batches of a loader ---- */

static size_t batch_bytes(const spx_device_source *d)
{
    const spx_augment_shape *a = &d->shape;
    return spx_loader_cut_offset(d->o.batch,
                                 (size_t)a->channels * (size_t)a->height * (size_t)a->width);
}

/* Bytes and centres, as the loader has them in one block. */
static spx_status get_bytes(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    const spx_device_source *d = ctx;
    spx_batch b;
    SPX_RETURN_IF(spx_loader_get(d->loader, (uint64_t)epoch, (size_t)step, &b));
    *out = (spx_samples){.images = (const float *)(const void *)b.bytes,
                         .labels = b.labels,
                         .valid = (int64_t)b.valid};
    return SPX_OK;
}

static spx_status normalise(void *ctx, spx_stream *s, const void *from, float *images)
{
    const spx_device_source *d = ctx;
    const uint8_t *bytes = from;
    return normalise_batch(s, &d->augment, &d->shape, (int64_t)d->o.batch, bytes,
                           (const int32_t *)(const void *)(bytes + batch_bytes(d)), d->normalise,
                           images);
}

static spx_status open_feed(spx_device_source *d)
{
    const spx_augment_shape *a = &d->shape;
    const spx_batch_shape shape = {(int64_t)d->o.batch, a->channels, a->height, a->width};
    const spx_source floats = spx_loader_source(d->loader);
    const spx_source bytes = {get_bytes, d, floats.steps};
    const spx_feed_form form = {batch_bytes(d) + d->o.batch * 2 * sizeof(int32_t), normalise, d};
    if (!d->o.bytes) {
        return spx_feed_open(&d->feed, d->stream, &floats, &shape);
    }
    SPX_RETURN_IF(upload_table(d->stream, d->pack, &d->normalise));
    return spx_feed_open_form(&d->feed, d->stream, &bytes, &shape, &form);
}

/* ---- batches that nvJPEG decodes ---- */

static spx_status check_nvjpeg(const spx_stream *s, const spx_pack *pack,
                               const spx_loader_options *o)
{
    if (open_decoded == NULL || spx_stream_device(s) == SPX_DEVICE_CPU) {
        return SPX_FAIL(SPX_EUNSUPPORTED,
                        "nvJPEG decodes on a GPU only: use --device cuda, or --decoder cpu");
    }
    if (!spx_store_encoded(pack)) {
        return SPX_FAIL(SPX_EINVAL,
                        "the %s pack stores no JPEGs that nvJPEG could decode: use --decoder cpu",
                        pack->dataset);
    }
    if (o->augment.resized_crop == SPX_RESIZED_CROP_NONE) {
        return SPX_FAIL(SPX_EINVAL, "what nvJPEG decodes needs a resized crop (train "
                                    "--resized-crop 0.08,1): add it, or use --decoder cpu");
    }
    return o->train && spx_augment_jitters(&o->augment)
               ? SPX_FAIL(SPX_EUNSUPPORTED, "there is no colour jitter of what nvJPEG decodes: "
                                            "use --decoder cpu, or no jitter")
               : SPX_OK;
}

static spx_status open_nvjpeg(spx_device_source *d, int threads)
{
    spx_decoded_from from = {.pack = d->pack,
                             .loader = d->loader,
                             .split = d->o.split,
                             .batch = d->o.batch,
                             .augment = d->augment,
                             .shape = d->shape,
                             .seed = d->o.seed,
                             .threads = threads < 1 ? 1 : threads};
    SPX_RETURN_IF(upload_table(d->stream, d->pack, &d->normalise));
    from.normalise = d->normalise;
    from.shape.interleaved = true;
    return open_decoded(&d->decoded, d->stream, &from);
}

/* ---- any source ---- */

static int threads_for(const spx_stream *s, const spx_device_split *split, const spx_pack *pack,
                       const spx_loader_options *o)
{
    const bool cpu = spx_stream_device(s) == SPX_DEVICE_CPU;
    const int all = spx_pool_processors(), half = all / 2;
    if (split != NULL) {
        return 0;
    }
    if (o->threads != 0) {
        return o->threads;
    }
    if (pack->store != NULL &&
        (spx_store_encoded(pack) || o->augment.resized_crop != SPX_RESIZED_CROP_NONE)) {
        /* On the CPU, too: where decoding is the slower part, computing threads wait for it; where
         * it is not, the batches ahead are soon there and workers sleep. */
        return all < MAX_DECODERS ? all : MAX_DECODERS;
    }
    /* While another device computes, processors are free, and it must not wait for them. */
    return cpu || half < 1 ? 1 : half < 4 ? half : 4;
}

spx_status spx_device_source_open(spx_device_source **out, spx_stream *s,
                                  const spx_device_split *split, const spx_pack *pack,
                                  const spx_loader_options *o)
{
    spx_device_source *d;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(o->nvjpeg ? check_nvjpeg(s, pack, o) : SPX_OK);
    SPX_RETURN_IF(SPX_NEW(d, 1));
    d->stream = s;
    /* the kernel does no colour jitter: workers do, and batches are uploaded */
    split = o->train && spx_augment_jitters(&o->augment) ? NULL : split;
    d->split = split;
    d->pack = pack;
    d->o = *o;
    d->o.threads = o->nvjpeg ? 0 : threads_for(s, split, pack, o);
    d->o.upload = split != NULL || o->nvjpeg ? NULL : s;
    d->o.bytes = split == NULL && spx_stream_device(s) != SPX_DEVICE_CPU;
    d->augment = spx_loader_augment(o);
    d->shape = (spx_augment_shape){pack->channels,
                                   pack->height,
                                   pack->width,
                                   o->height == 0 ? pack->height : o->height,
                                   o->width == 0 ? pack->width : o->width,
                                   false};
    st = spx_loader_open(&d->loader, pack, &d->o);
    if (st == SPX_OK) {
        st = o->nvjpeg       ? open_nvjpeg(d, threads_for(s, NULL, pack, o))
             : split != NULL ? open_resident(d)
                             : open_feed(d);
    }
    if (st != SPX_OK) {
        spx_device_source_close(d);
        return st;
    }
    *out = d;
    return SPX_OK;
}

void spx_device_source_close(spx_device_source *d)
{
    if (d == NULL) {
        return;
    }
    spx_feed_close(d->feed); /* before what it uploads from */
    if (d->decoded != NULL) {
        close_decoded(d->decoded);
    }
    spx_device_free(d->stream, d->normalise);
    spx_device_free(d->stream, d->choice);
    spx_device_free(d->stream, d->images);
    for (int i = 0; i < RING; i++) {
        spx_pinned_free(d->stream, d->sent[i]);
        spx_event_destroy(d->used[i]);
    }
    spx_loader_close(d->loader);
    spx_free(d);
}

spx_source spx_device_source_of(spx_device_source *d)
{
    const int64_t steps = (int64_t)spx_loader_steps(d->loader);
    return d->decoded != NULL ? (spx_source){.get = get_decoded, .ctx = d->decoded, .steps = steps}
           : d->split != NULL ? (spx_source){.get = get_resident, .ctx = d, .steps = steps}
                              : spx_feed_source(d->feed);
}
