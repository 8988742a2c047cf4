#ifndef SPX_DEVICE_ARENAS_H
#define SPX_DEVICE_ARENAS_H
/*
 * Arenas of a device as files and initial values see them: in host memory and the layout's own
 * order. Where the device is the CPU, they are the same arenas.
 */
#include "host/ckpt/ckpt.h"

/** spx_layout_init into arenas of s's device; any may be NULL or empty. */
SPX_MUST_CHECK spx_status spx_device_arenas_init(const spx_layout *l, spx_stream *s, uint64_t seed,
                                                 const spx_buffer *weights, const spx_buffer *arch,
                                                 const spx_buffer *state);

/**
 * Host twins of arenas: host[i] = device[i] but for data. What is in host memory, or empty, is its
 * own twin.
 * @param read  whether to fill them with what the device has; else they are zero (but for own
 * twins)
 * @return SPX_OK, SPX_ENOMEM, SPX_EDEVICE; on failure there is nothing to free
 */
SPX_MUST_CHECK spx_status spx_host_twins(const spx_layout *l, spx_stream *s,
                                         const spx_ckpt_arena *device, size_t n, bool read,
                                         spx_ckpt_arena *host);
/** Copies the twins to the device. */
SPX_MUST_CHECK spx_status spx_host_twins_upload(const spx_layout *l, spx_stream *s,
                                                const spx_ckpt_arena *host, size_t n,
                                                const spx_ckpt_arena *device);
void spx_host_twins_free(const spx_ckpt_arena *device, spx_ckpt_arena *host, size_t n);

/** spx_ckpt_load into arenas in device memory; their gaps become 0. At most 8. */
SPX_MUST_CHECK spx_status spx_device_arenas_load(const spx_ckpt *c, const spx_layout *l,
                                                 spx_stream *s, const spx_ckpt_arena *arena,
                                                 size_t n);
#define SPX_DEVICE_ARENAS_MAX 8

#endif
