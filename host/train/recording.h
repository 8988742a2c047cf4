#ifndef SPX_RECORDING_H
#define SPX_RECORDING_H
/*
 * Work that is queued again and again with the same pointers: run as it is the first time (which
 * warms libraries up), recorded the second time, replayed from then on. Where a device cannot
 * record, it is run each time.
 */
#include "kernels/device/stream.h"

#define SPX_RECORDING_KEYS 4

/** Zeroed before use. */
typedef struct spx_recording {
    const void *key[SPX_RECORDING_KEYS];
    bool warm;          /* the work of this key has run once */
    spx_replay *replay; /* owned; of this key */
} spx_recording;

/**
 * Queues the work.
 * @param key   the pointers that may differ from call to call; unused ones NULL. Other ones than
 *              the last time's begin again with a warm-up
 * @param fn    queues the work: for equal keys, the same each time
 * @return what fn, recording or replaying return
 */
SPX_MUST_CHECK spx_status spx_recording_run(spx_recording *r, spx_stream *s,
                                            const void *const key[SPX_RECORDING_KEYS],
                                            spx_status (*fn)(void *ctx), void *ctx);
void spx_recording_clear(spx_recording *r);

#endif
