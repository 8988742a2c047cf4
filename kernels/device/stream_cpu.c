#include "kernels/device/stream.h"

#include <stdlib.h>

struct spx_stream {
    spx_pool *pool;
};

static int default_threads(void)
{
    const int processors = spx_pool_processors();
    return processors < SPX_POOL_MAX_THREADS ? processors : SPX_POOL_MAX_THREADS;
}

spx_status spx_stream_create(spx_stream **out, spx_device device, int threads)
{
    spx_status st;
    spx_stream *s;
    *out = NULL;
    if (device != SPX_DEVICE_CPU) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "device %d is not built in", (int)device);
    }
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "stream");
    }
    SPX_TRY(st, spx_pool_create(&s->pool, threads == 0 ? default_threads() : threads), fail);
    *out = s;
    return SPX_OK;
fail:
    spx_stream_destroy(s);
    return st;
}

void spx_stream_destroy(spx_stream *s)
{
    if (s != NULL) {
        spx_pool_destroy(s->pool);
        free(s);
    }
}

spx_device spx_stream_device(const spx_stream *s)
{
    (void)s;
    return SPX_DEVICE_CPU;
}

spx_pool *spx_stream_pool(spx_stream *s)
{
    return s->pool;
}

int spx_stream_threads(const spx_stream *s)
{
    return spx_pool_threads(s->pool);
}

spx_status spx_stream_sync(spx_stream *s)
{
    (void)s;
    return SPX_OK;
}
