/* Streams of any device: validation, then the device's own table. */
#include "kernels/device/stream_private.h"

#include <assert.h>
#include <stdlib.h>

static const spx_device_ops *const devices[SPX_DEVICE_COUNT] = {
    [SPX_DEVICE_CPU] = &spx_device_ops_cpu,
#ifdef SPX_HAVE_CUDA
    [SPX_DEVICE_CUDA] = &spx_device_ops_cuda,
#endif
};

static const spx_device_ops *ops_of(spx_device d)
{
    return (unsigned)d < (unsigned)SPX_DEVICE_COUNT ? devices[d] : NULL;
}

const char *spx_device_name(spx_device d)
{
    static const char *const names[SPX_DEVICE_COUNT] = {"cpu", "cuda"};
    return (unsigned)d < (unsigned)SPX_DEVICE_COUNT ? names[d] : "unknown";
}

const char *spx_precision_name(spx_precision p)
{
    static const char *const names[SPX_PRECISION_COUNT] = {"tf32", "f32", "bf16"};
    return (unsigned)p < (unsigned)SPX_PRECISION_COUNT ? names[p] : "unknown";
}

int spx_device_count(spx_device d)
{
    const spx_device_ops *ops = ops_of(d);
    return ops != NULL ? ops->count() : 0;
}

spx_status spx_device_describe(spx_device d, int index, spx_device_info *out)
{
    *out = (spx_device_info){0};
    if (index < 0 || index >= spx_device_count(d)) {
        return SPX_FAIL(SPX_EINVAL, "there is no device %s:%d", spx_device_name(d), index);
    }
    return devices[d]->describe(index, out);
}

static int default_threads(void)
{
    const int processors = spx_pool_processors();
    return processors < SPX_POOL_MAX_THREADS ? processors : SPX_POOL_MAX_THREADS;
}

spx_status spx_stream_check(const spx_stream_options *o)
{
    const spx_device_ops *ops = ops_of(o->device);
    int count;
    if ((unsigned)o->device >= (unsigned)SPX_DEVICE_COUNT || o->index < 0 ||
        (unsigned)o->precision >= (unsigned)SPX_PRECISION_COUNT) {
        return SPX_FAIL(SPX_EINVAL, "stream: device %d:%d, precision %d", (int)o->device, o->index,
                        (int)o->precision);
    }
    if (ops == NULL) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "device %s is not built in (cmake --preset cuda)",
                        spx_device_name(o->device));
    }
    count = ops->count();
    if (o->index >= count) {
        return SPX_FAIL(SPX_EDEVICE, "there is no device %s:%d here, but %d of that kind",
                        spx_device_name(o->device), o->index, count);
    }
    return SPX_OK;
}

/* All lanes of a device; fewer where SPX_LANES says so, to see what they are worth. */
static int lanes_of(const spx_device_ops *ops)
{
    const char *text = getenv("SPX_LANES");
    const long n = text != NULL ? strtol(text, NULL, 10) : 0;
    return n >= 1 && n < ops->lanes ? (int)n : ops->lanes;
}

spx_status spx_stream_open(spx_stream **out, const spx_stream_options *o)
{
    spx_status st;
    spx_stream *s;
    *out = NULL;
    SPX_RETURN_IF(spx_stream_check(o));
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "stream");
    }
    s->ops = devices[o->device];
    s->lanes = lanes_of(s->ops);
    s->options = *o;
    if (o->device == SPX_DEVICE_CPU) {
        s->options.precision = SPX_PRECISION_F32;
        s->options.deterministic = true;
    }
    SPX_TRY(st, spx_pool_create(&s->pool, o->threads == 0 ? default_threads() : o->threads), fail);
    SPX_TRY(st, s->ops->open(s), fail);
    *out = s;
    return SPX_OK;
fail:
    spx_stream_destroy(s);
    return st;
}

spx_status spx_stream_create(spx_stream **out, spx_device device, int threads)
{
    return spx_stream_open(out, &(spx_stream_options){.device = device, .threads = threads});
}

void spx_stream_destroy(spx_stream *s)
{
    if (s != NULL) {
        for (int i = 0; i < SPX_STREAM_PARTS; i++) {
            if (s->library[i].handle != NULL) {
                (void)s->ops->sync(s); /* makes its device the thread's, too */
                s->library[i].close(s->library[i].handle);
            }
        }
        s->ops->close(s);
        spx_pool_destroy(s->pool);
        while (s->held != NULL) { /* what was never given back */
            spx_block *block = s->held;
            s->held = block->next;
            free(block);
        }
        free(s);
    }
}

spx_device spx_stream_device(const spx_stream *s)
{
    return s->options.device;
}

int spx_stream_index(const spx_stream *s)
{
    return s->options.index;
}

spx_precision spx_stream_precision(const spx_stream *s)
{
    return s->options.precision;
}

bool spx_stream_deterministic(const spx_stream *s)
{
    return s->options.deterministic;
}

spx_pool *spx_stream_pool(spx_stream *s)
{
    return s->pool;
}

int spx_stream_threads(const spx_stream *s)
{
    return spx_pool_threads(s->pool);
}

/* SPX_EINVAL for what cannot be recorded: it would spoil the recording. */
static spx_status not_recording(const spx_stream *s, const char *what)
{
    return s->recording ? SPX_FAIL(SPX_EINVAL, "%s while recording", what) : SPX_OK;
}

spx_status spx_stream_library(spx_stream *s, spx_stream_part part,
                              spx_status (*open)(spx_stream *s, void **out),
                              void (*close)(void *library), void **out)
{
    *out = s->library[part].handle;
    if (*out == NULL) {
        SPX_RETURN_IF(not_recording(s, "opening a library"));
        SPX_RETURN_IF(open(s, &s->library[part].handle));
        s->library[part].close = close;
        *out = s->library[part].handle;
    }
    return SPX_OK;
}

spx_status spx_stream_sync(spx_stream *s)
{
    SPX_RETURN_IF(not_recording(s, "waiting for the stream"));
    return s->ops->sync(s);
}

void spx_stream_label(spx_stream *s, const char *name)
{
    if (s->ops->label != NULL) {
        s->ops->label(s, name);
    }
    s->label = name;
}

int spx_stream_lanes(const spx_stream *s)
{
    return s->lanes;
}

void spx_stream_set_lane(spx_stream *s, int lane)
{
    assert(lane >= 0 && lane < s->lanes);
    s->lane = lane;
}

int spx_stream_lane(const spx_stream *s)
{
    return s->lane;
}

/* -- memory -- */

spx_status spx_device_alloc(spx_stream *s, void **out, size_t bytes)
{
    spx_block *block;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(not_recording(s, "allocating"));
    if (bytes == 0) {
        return SPX_OK;
    }
    block = malloc(sizeof *block);
    if (block == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "device memory");
    }
    st = s->ops->alloc(s, out, bytes);
    if (st != SPX_OK) {
        free(block);
        return st;
    }
    *block = (spx_block){.next = s->held, .at = *out, .bytes = bytes};
    s->held = block;
    return SPX_OK;
}

void spx_device_free(spx_stream *s, void *p)
{
    if (p == NULL) {
        return;
    }
    assert(!s->recording);
    for (spx_block **at = &s->held; *at != NULL; at = &(*at)->next) {
        if ((*at)->at == p) {
            spx_block *block = *at;
            *at = block->next;
            free(block);
            break;
        }
    }
    s->ops->free(s, p);
}

size_t spx_device_bytes(const spx_stream *s)
{
    size_t bytes = 0;
    for (const spx_block *b = s->held; b != NULL; b = b->next) {
        bytes += b->bytes;
    }
    return bytes;
}

spx_status spx_pinned_alloc(spx_stream *s, void **out, size_t bytes)
{
    *out = NULL;
    SPX_RETURN_IF(not_recording(s, "allocating"));
    return bytes > 0 ? s->ops->pinned_alloc(s, out, bytes) : SPX_OK;
}

void spx_pinned_free(spx_stream *s, void *p)
{
    if (p != NULL) {
        assert(!s->recording);
        s->ops->pinned_free(s, p);
    }
}

spx_status spx_upload(spx_stream *s, void *dst, const void *src, size_t bytes)
{
    return bytes > 0 ? s->ops->upload(s, dst, src, bytes) : SPX_OK;
}

spx_status spx_download(spx_stream *s, void *dst, const void *src, size_t bytes)
{
    return bytes > 0 ? s->ops->download(s, dst, src, bytes) : SPX_OK;
}

spx_status spx_device_copy(spx_stream *s, void *dst, const void *src, size_t bytes)
{
    return bytes > 0 ? s->ops->copy(s, dst, src, bytes) : SPX_OK;
}

spx_status spx_device_zero(spx_stream *s, void *dst, size_t bytes)
{
    return bytes > 0 ? s->ops->zero(s, dst, bytes) : SPX_OK;
}

/* -- events -- */

spx_status spx_event_create(spx_event **out, spx_stream *s)
{
    spx_event *e = calloc(1, sizeof *e);
    *out = NULL;
    if (e == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "event");
    }
    e->ops = s->ops;
    e->index = s->options.index;
    const spx_status st = s->ops->event_create(e, s);
    if (st != SPX_OK) {
        spx_event_destroy(e);
        return st;
    }
    *out = e;
    return SPX_OK;
}

void spx_event_destroy(spx_event *e)
{
    if (e != NULL) {
        e->ops->event_destroy(e);
        free(e);
    }
}

static spx_status same_device(const spx_event *e, const spx_stream *s)
{
    if (e->ops != s->ops || e->index != s->options.index) {
        return SPX_FAIL(SPX_EINVAL, "an event of another device");
    }
    return SPX_OK;
}

spx_status spx_event_record(spx_event *e, spx_stream *s)
{
    SPX_RETURN_IF(same_device(e, s));
    return s->ops->event_record(e, s);
}

spx_status spx_event_wait(const spx_event *e, spx_stream *s)
{
    SPX_RETURN_IF(same_device(e, s));
    return s->ops->event_wait(e, s);
}

spx_status spx_event_sync(const spx_event *e)
{
    return e->ops->event_sync(e);
}

spx_status spx_event_seconds(const spx_event *from, const spx_event *to, double *seconds)
{
    *seconds = 0;
    if (from->ops != to->ops) {
        return SPX_FAIL(SPX_EINVAL, "events of different devices");
    }
    return from->ops->event_seconds(from, to, seconds);
}

/* -- replay -- */

struct spx_replay {
    const spx_device_ops *ops;
    const spx_stream *stream; /* that recorded it */
    void *own;
};

bool spx_stream_can_record(const spx_stream *s)
{
    return s->ops->replay_begin != NULL;
}

spx_status spx_replay_begin(spx_stream *s)
{
    if (!spx_stream_can_record(s)) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "device %s records nothing",
                        spx_device_name(s->options.device));
    }
    SPX_RETURN_IF(not_recording(s, "starting to record"));
    s->lane = 0;
    SPX_RETURN_IF(s->ops->replay_begin(s));
    s->recording = true;
    return SPX_OK;
}

spx_status spx_replay_end(spx_stream *s, spx_replay **out)
{
    spx_status st;
    spx_replay *r;
    *out = NULL;
    if (!s->recording) {
        return SPX_FAIL(SPX_EINVAL, "ending a recording that was not begun");
    }
    r = calloc(1, sizeof *r);
    s->recording = false;
    s->lane = 0;
    st = s->ops->replay_end(s, r != NULL ? &r->own : NULL);
    if (r == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "recording");
    }
    r->ops = s->ops;
    r->stream = s;
    if (st != SPX_OK) {
        spx_replay_destroy(r);
        return st;
    }
    *out = r;
    return SPX_OK;
}

spx_status spx_replay_run(spx_replay *r, spx_stream *s)
{
    if (r->stream != s || s->lane != 0) { /* its lanes' counters are in the recording */
        return SPX_FAIL(SPX_EINVAL, "a recording is replayed on its own stream's lane 0");
    }
    SPX_RETURN_IF(not_recording(s, "replaying"));
    return s->ops->replay_run(r->own, s);
}

void spx_replay_destroy(spx_replay *r)
{
    if (r != NULL) {
        r->ops->replay_destroy(r->own);
        free(r);
    }
}
