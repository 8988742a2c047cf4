#ifndef SPX_DEVICE_STREAM_PRIVATE_H
#define SPX_DEVICE_STREAM_PRIVATE_H
/* What a device gives: one table of calls. stream.c validates and dispatches. */
#include "kernels/device/device_memory.h"
#include "kernels/device/stream.h"

typedef struct spx_device_ops {
    int (*count)(void);
    spx_status (*describe)(int index, spx_device_info *out);
    spx_status (*open)(spx_stream *s); /* makes s->own; close takes it half-built */
    void (*close)(spx_stream *s);
    spx_status (*sync)(spx_stream *s);
    void (*label)(spx_stream *s, const char *name); /* may be NULL */
    int lanes;

    spx_status (*alloc)(spx_stream *s, void **out, size_t bytes); /* bytes > 0 in all of these */
    void (*free)(spx_stream *s, void *p);
    spx_status (*pinned_alloc)(spx_stream *s, void **out, size_t bytes);
    void (*pinned_free)(spx_stream *s, void *p);
    spx_status (*upload)(spx_stream *s, void *dst, const void *src, size_t bytes);
    spx_status (*download)(spx_stream *s, void *dst, const void *src, size_t bytes);
    spx_status (*copy)(spx_stream *s, void *dst, const void *src, size_t bytes);
    spx_status (*zero)(spx_stream *s, void *dst, size_t bytes);

    spx_status (*event_create)(spx_event *e, spx_stream *s); /* makes e->own */
    void (*event_destroy)(spx_event *e);
    spx_status (*event_record)(spx_event *e, spx_stream *s);
    spx_status (*event_wait)(const spx_event *e, spx_stream *s);
    spx_status (*event_sync)(const spx_event *e);
    spx_status (*event_seconds)(const spx_event *from, const spx_event *to, double *seconds);

    /* NULL where nothing can be recorded */
    spx_status (*replay_begin)(spx_stream *s);
    spx_status (*replay_end)(spx_stream *s, void **own);
    spx_status (*replay_run)(void *own, spx_stream *s);
    void (*replay_destroy)(void *own);
} spx_device_ops;

extern const spx_device_ops spx_device_ops_cpu;
extern const spx_device_ops spx_device_ops_cuda; /* where SPX_HAVE_CUDA */

/* A block of device memory that is held. */
typedef struct spx_block {
    struct spx_block *next;
    const void *at;
    size_t bytes;
} spx_block;

struct spx_stream {
    const spx_device_ops *ops;
    spx_stream_options options; /* as asked, precision and threads resolved */
    spx_pool *pool;
    int lane, lanes;
    bool recording;
    const char *label; /* NULL: none */
    spx_block *held;   /* by spx_device_alloc; few, and never asked for inside a step */
    void *own;         /* the device's part */
    struct {
        void *handle;
        void (*close)(void *handle);
    } library[SPX_STREAM_PARTS];
};

struct spx_event {
    const spx_device_ops *ops;
    int index;      /* of the device */
    double seconds; /* CPU: when it was marked */
    void *own;
};

#endif
