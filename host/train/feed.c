#include "host/train/feed.h"

#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"
#include "kernels/nn/copy/copy.h"

/* A batch as it was on the host, in device memory. */
typedef struct stage {
    void *images;
    int32_t *labels;
    spx_event *filled, *used;
} stage;

struct spx_feed {
    spx_stream *stream;
    spx_source host;
    spx_batch_shape shape;
    spx_feed_form form;
    stage stage[2];
    uint64_t batches; /* got so far */
    float *images;    /* (n, rows, columns, channels) */
    int32_t *labels;
};

static spx_status pass_through(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    const spx_feed *f = ctx;
    return f->host.get(f->host.ctx, epoch, step, out);
}

/* Queues the upload of a batch on the lane for it. */
static spx_status fill(spx_feed *f, stage *t, const spx_samples *from)
{
    const size_t n = (size_t)f->shape.n;
    SPX_RETURN_IF(spx_event_wait(t->used, f->stream));
    SPX_RETURN_IF(spx_upload(f->stream, t->images, from->images, f->form.bytes));
    SPX_RETURN_IF(spx_upload(f->stream, t->labels, from->labels, n * sizeof(int32_t)));
    return spx_event_record(t->filled, f->stream);
}

/* Of floats as a source on the host gives them. */
static spx_status make_of_planes(void *ctx, spx_stream *s, const void *from, float *to)
{
    const spx_feed *f = ctx;
    const spx_batch_shape *d = &f->shape;
    const spx_operand images = {to, d->channels, SPX_TYPE_F32};
    return spx_from_nchw(s, d->n, d->channels, d->rows * d->columns, from, false, images);
}

/* Queues what turns the uploaded batch into the one that programs read. */
static spx_status use(spx_feed *f, stage *t)
{
    const size_t n = (size_t)f->shape.n;
    SPX_RETURN_IF(spx_event_wait(t->filled, f->stream));
    SPX_RETURN_IF(f->form.make(f->form.ctx, f->stream, t->images, f->images));
    SPX_RETURN_IF(spx_device_copy(f->stream, f->labels, t->labels, n * sizeof(int32_t)));
    return spx_event_record(t->used, f->stream);
}

static spx_status get(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    spx_feed *f = ctx;
    stage *t = &f->stage[f->batches % 2];
    const int lane = spx_stream_lane(f->stream);
    spx_samples from;
    spx_status st;
    if (f->batches > 0) { /* the host's batch is borrowed until it is asked for the next */
        SPX_RETURN_IF(spx_event_sync(f->stage[(f->batches - 1) % 2].filled));
    }
    SPX_RETURN_IF(f->host.get(f->host.ctx, epoch, step, &from));
    spx_stream_set_lane(f->stream, spx_stream_lanes(f->stream) - 1);
    st = fill(f, t, &from);
    spx_stream_set_lane(f->stream, lane);
    SPX_RETURN_IF(st);
    SPX_RETURN_IF(use(f, t));
    f->batches++;
    *out = (spx_samples){.images = f->images, .labels = f->labels, .valid = from.valid};
    return SPX_OK;
}

static spx_status alloc_batch(const spx_feed *f, size_t bytes, void **images, int32_t **labels)
{
    void *p;
    SPX_RETURN_IF(spx_device_alloc(f->stream, images, bytes));
    SPX_RETURN_IF(spx_device_alloc(f->stream, &p, (size_t)f->shape.n * sizeof(int32_t)));
    *labels = p;
    return SPX_OK;
}

static spx_status alloc_all(spx_feed *f, size_t floats)
{
    void *p = NULL;
    const spx_status st = alloc_batch(f, floats, &p, &f->labels);
    f->images = p;
    SPX_RETURN_IF(st);
    for (int i = 0; i < 2; i++) {
        stage *t = &f->stage[i];
        SPX_RETURN_IF(alloc_batch(f, f->form.bytes, &t->images, &t->labels));
        SPX_RETURN_IF(spx_event_create(&t->filled, f->stream));
        SPX_RETURN_IF(spx_event_create(&t->used, f->stream));
        SPX_RETURN_IF(spx_event_record(t->used, f->stream)); /* nobody uses it yet */
    }
    return SPX_OK;
}

spx_status spx_feed_open(spx_feed **out, spx_stream *s, const spx_source *src,
                         const spx_batch_shape *shape)
{
    return spx_feed_open_form(out, s, src, shape, NULL);
}

spx_status spx_feed_open_form(spx_feed **out, spx_stream *s, const spx_source *src,
                              const spx_batch_shape *shape, const spx_feed_form *form)
{
    const size_t floats =
        (size_t)(shape->n * shape->channels * shape->rows * shape->columns) * sizeof(float);
    spx_feed *f;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(SPX_NEW(f, 1));
    f->stream = s;
    f->host = *src;
    f->shape = *shape;
    f->form = form != NULL ? *form : (spx_feed_form){floats, make_of_planes, f};
    st = spx_stream_device(s) == SPX_DEVICE_CPU ? SPX_OK : alloc_all(f, floats);
    if (st != SPX_OK) {
        spx_feed_close(f);
        return st;
    }
    *out = f;
    return SPX_OK;
}

void spx_feed_close(spx_feed *f)
{
    if (f == NULL) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        spx_device_free(f->stream, f->stage[i].images);
        spx_device_free(f->stream, f->stage[i].labels);
        spx_event_destroy(f->stage[i].filled);
        spx_event_destroy(f->stage[i].used);
    }
    spx_device_free(f->stream, f->images);
    spx_device_free(f->stream, f->labels);
    spx_free(f);
}

spx_source spx_feed_source(spx_feed *f)
{
    const bool host = spx_stream_device(f->stream) == SPX_DEVICE_CPU;
    return (spx_source){.get = host ? pass_through : get, .ctx = f, .steps = f->host.steps};
}
