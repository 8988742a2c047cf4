/* The CPU as a device: work is done when the call returns, so there is nothing to wait for. */
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/base/cpu.h"
#include "kernels/device/stream_private.h"

#include <stdio.h>
#include <string.h>

static int cpu_count(void)
{
    return 1;
}

static spx_status cpu_describe(int index, spx_device_info *out)
{
    (void)index;
    (void)snprintf(out->name, sizeof out->name, "%s", spx_isa_name(spx_cpu_isa()));
    out->multiprocessors = spx_pool_processors();
    out->memory_bytes = spx_memory_physical();
    return SPX_OK;
}

static spx_status cpu_nothing(spx_stream *s)
{
    (void)s;
    return SPX_OK;
}

static void cpu_close(spx_stream *s)
{
    (void)s;
}

static spx_status cpu_alloc(spx_stream *s, void **out, size_t bytes)
{
    (void)s;
    return spx_calloc(out, bytes, 1);
}

static void cpu_free(spx_stream *s, void *p)
{
    (void)s;
    spx_free(p);
}

static spx_status cpu_copy(spx_stream *s, void *dst, const void *src, size_t bytes)
{
    (void)s;
    memcpy(dst, src, bytes);
    return SPX_OK;
}

static spx_status cpu_zero(spx_stream *s, void *dst, size_t bytes)
{
    (void)s;
    memset(dst, 0, bytes);
    return SPX_OK;
}

static spx_status cpu_event_mark(spx_event *e, spx_stream *s)
{
    (void)s;
    e->seconds = spx_seconds();
    return SPX_OK;
}

static void cpu_event_destroy(spx_event *e)
{
    (void)e;
}

static spx_status cpu_event_wait(const spx_event *e, spx_stream *s)
{
    (void)e;
    (void)s;
    return SPX_OK;
}

static spx_status cpu_event_sync(const spx_event *e)
{
    (void)e;
    return SPX_OK;
}

static spx_status cpu_event_seconds(const spx_event *from, const spx_event *to, double *seconds)
{
    *seconds = to->seconds - from->seconds;
    return SPX_OK;
}

const spx_device_ops spx_device_ops_cpu = {
    .count = cpu_count,
    .describe = cpu_describe,
    .open = cpu_nothing,
    .close = cpu_close,
    .sync = cpu_nothing,
    .lanes = 1,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .pinned_alloc = cpu_alloc,
    .pinned_free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .event_create = cpu_event_mark,
    .event_destroy = cpu_event_destroy,
    .event_record = cpu_event_mark,
    .event_wait = cpu_event_wait,
    .event_sync = cpu_event_sync,
    .event_seconds = cpu_event_seconds,
};
