#include "host/train/device_arenas.h"

#include "kernels/base/alloc.h"

#include <assert.h>

static bool is_host(const spx_stream *s)
{
    return spx_stream_device(s) == SPX_DEVICE_CPU;
}

spx_status spx_device_arenas_init(const spx_layout *l, spx_stream *s, uint64_t seed, float *weights,
                                  float *arch, float *state)
{
    const spx_ckpt_arena device[3] = {{NULL, SPX_ROLE_WEIGHT, weights},
                                      {NULL, SPX_ROLE_ARCH, arch},
                                      {NULL, SPX_ROLE_STATE, state}};
    spx_ckpt_arena host[3];
    spx_status st;
    SPX_RETURN_IF(spx_host_twins(l, s, device, 3, false, host));
    spx_layout_init(l, seed, host[0].data, host[1].data, host[2].data);
    st = spx_host_twins_upload(l, s, host, 3, device);
    spx_host_twins_free(s, host, 3);
    return st;
}

spx_status spx_host_twins(const spx_layout *l, spx_stream *s, const spx_ckpt_arena *device,
                          size_t n, bool read, spx_ckpt_arena *host)
{
    spx_status st;
    for (size_t i = 0; i < n; i++) {
        host[i] = device[i];
        if (!is_host(s)) {
            host[i].data = NULL;
        }
    }
    for (size_t i = 0; i < n && !is_host(s); i++) {
        if (device[i].data != NULL) {
            SPX_TRY(st, spx_layout_arena(l, device[i].role, &host[i].data), fail);
            if (read) {
                SPX_TRY(st, spx_layout_download(l, s, device[i].role, device[i].data, host[i].data),
                        fail);
            }
        }
    }
    return SPX_OK;
fail:
    spx_host_twins_free(s, host, n);
    return st;
}

spx_status spx_host_twins_upload(const spx_layout *l, spx_stream *s, const spx_ckpt_arena *host,
                                 size_t n, const spx_ckpt_arena *device)
{
    for (size_t i = 0; i < n && !is_host(s); i++) {
        if (device[i].data != NULL) {
            SPX_RETURN_IF(spx_layout_upload(l, s, device[i].role, host[i].data, device[i].data));
        }
    }
    return SPX_OK;
}

void spx_host_twins_free(spx_stream *s, spx_ckpt_arena *host, size_t n)
{
    for (size_t i = 0; i < n && !is_host(s); i++) {
        spx_free(host[i].data);
        host[i].data = NULL;
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
    spx_host_twins_free(s, host, n);
    return st;
}
