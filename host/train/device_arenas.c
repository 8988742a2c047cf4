#include "host/train/device_arenas.h"

#include <assert.h>

/* A host's arena is its own twin; it is borrowed. */
static bool is_host(const spx_buffer *b)
{
    return b->device == SPX_DEVICE_CPU;
}

spx_status spx_device_arenas_init(const spx_layout *l, spx_stream *s, uint64_t seed,
                                  const spx_buffer *weights, const spx_buffer *arch,
                                  const spx_buffer *state)
{
    const spx_buffer none = {0};
    const spx_ckpt_arena device[3] = {{"", SPX_ROLE_WEIGHT, weights != NULL ? *weights : none},
                                      {"", SPX_ROLE_ARCH, arch != NULL ? *arch : none},
                                      {"", SPX_ROLE_STATE, state != NULL ? *state : none}};
    spx_ckpt_arena host[3];
    spx_status st;
    SPX_RETURN_IF(spx_host_twins(l, s, device, 3, false, host));
    st = spx_layout_init(l, seed, &host[0].data, &host[1].data, &host[2].data);
    if (st == SPX_OK) {
        st = spx_host_twins_upload(l, s, host, 3, device);
    }
    spx_host_twins_free(device, host, 3);
    return st;
}

spx_status spx_host_twins(const spx_layout *l, spx_stream *s, const spx_ckpt_arena *device,
                          size_t n, bool read, spx_ckpt_arena *host)
{
    spx_status st;
    for (size_t i = 0; i < n; i++) {
        host[i] = device[i];
        if (!is_host(&device[i].data)) {
            host[i].data = (spx_buffer){0};
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_host(&device[i].data)) {
            SPX_TRY(st, spx_layout_arena(l, NULL, device[i].role, &host[i].data), fail);
            if (read) {
                SPX_TRY(st,
                        spx_layout_download(l, s, device[i].role, &device[i].data, &host[i].data),
                        fail);
            }
        }
    }
    return SPX_OK;
fail:
    spx_host_twins_free(device, host, n);
    return st;
}

spx_status spx_host_twins_upload(const spx_layout *l, spx_stream *s, const spx_ckpt_arena *host,
                                 size_t n, const spx_ckpt_arena *device)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_host(&device[i].data)) {
            SPX_RETURN_IF(spx_layout_upload(l, s, device[i].role, &host[i].data, &device[i].data));
        }
    }
    return SPX_OK;
}

void spx_host_twins_free(const spx_ckpt_arena *device, spx_ckpt_arena *host, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_host(&device[i].data)) {
            spx_buffer_free(&host[i].data);
        }
    }
}

spx_status spx_device_arenas_load(const spx_ckpt *c, const spx_layout *l, spx_stream *s,
                                  const spx_ckpt_arena *arena, size_t n)
{
    spx_ckpt_arena host[SPX_DEVICE_ARENAS_MAX];
    spx_status st;
    assert(n <= SPX_DEVICE_ARENAS_MAX);
    SPX_RETURN_IF(spx_host_twins(l, s, arena, n, false, host));
    st = spx_ckpt_load(c, l, host, n);
    if (st == SPX_OK) {
        st = spx_host_twins_upload(l, s, host, n, arena);
    }
    spx_host_twins_free(arena, host, n);
    return st;
}
