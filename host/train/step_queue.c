#include "host/train/step_queue.h"

#include "kernels/device/device_memory.h"
#include "kernels/optim/optim.h"

#include <assert.h>
#include <string.h>

/* Steps queued behind the one that is read: enough that the device never waits for the host. */
#define LATE 4

spx_status spx_step_queue_init(spx_step_queue *q, spx_stream *s, size_t norm_floats)
{
    const spx_guard open = {.clip = 1, .ok = 1};
    void *p;
    spx_status st;
    memset(q, 0, sizeof *q);
    q->stream = s;
    SPX_TRY(st, spx_device_alloc(s, &p, sizeof *q->scalars), fail);
    q->scalars = p;
    SPX_TRY(st, spx_device_alloc(s, &p, sizeof *q->numbers), fail);
    q->numbers = p;
    SPX_TRY(st, spx_buffer_alloc(&q->norm_workspace, s, spx_norm2_workspace(s, norm_floats)), fail);
    SPX_TRY(st, spx_pinned_alloc(s, &p, SPX_STEP_RING * sizeof *q->sent), fail);
    q->sent = p;
    SPX_TRY(st, spx_pinned_alloc(s, &p, SPX_STEP_RING * sizeof *q->received), fail);
    q->received = p;
    for (int i = 0; i < SPX_STEP_RING; i++) {
        SPX_TRY(st, spx_event_create(&q->done[i], s), fail);
    }
    SPX_TRY(st, spx_upload(s, &q->numbers->guard, &open, sizeof open), fail);
    return SPX_OK;
fail:
    spx_step_queue_clear(q);
    return st;
}

void spx_step_queue_clear(spx_step_queue *q)
{
    if (q->stream != NULL) {
        spx_device_free(q->stream, q->scalars); /* waits: nothing uses what goes next */
        spx_device_free(q->stream, q->numbers);
        spx_buffer_free(&q->norm_workspace);
        spx_pinned_free(q->stream, q->sent);
        spx_pinned_free(q->stream, q->received);
    }
    for (int i = 0; i < SPX_STEP_RING; i++) {
        spx_event_destroy(q->done[i]);
    }
    spx_recording_clear(&q->recording);
    memset(q, 0, sizeof *q);
}

spx_status spx_step_queue_count_from(spx_step_queue *q, const spx_metrics *m)
{
    return spx_upload(q->stream, &q->numbers->metrics, m, sizeof *m);
}

spx_status spx_step_queue_set(spx_step_queue *q, const spx_scalars *v)
{
    return spx_upload(q->stream, q->scalars, v, sizeof *v);
}

spx_status spx_step_queue_run(spx_step_queue *q, const spx_scalars *v,
                              const void *const key[SPX_RECORDING_KEYS],
                              spx_status (*fn)(void *ctx), void *ctx)
{
    const size_t slot = q->queued % SPX_STEP_RING;
    if (q->queued - q->read >= SPX_STEP_RING) {
        return SPX_FAIL(SPX_EINVAL, "%d steps are queued and not read", SPX_STEP_RING);
    }
    q->sent[slot] = *v;
    SPX_RETURN_IF(spx_upload(q->stream, q->scalars, &q->sent[slot], sizeof *v));
    SPX_RETURN_IF(q->eager ? fn(ctx) : spx_recording_run(&q->recording, q->stream, key, fn, ctx));
    SPX_RETURN_IF(
        spx_download(q->stream, &q->received[slot], q->numbers, sizeof q->received[slot]));
    SPX_RETURN_IF(spx_event_record(q->done[slot], q->stream));
    q->queued++;
    return SPX_OK;
}

spx_status spx_step_queue_read(spx_step_queue *q, bool wait, spx_step_result *out, bool *any)
{
    const uint64_t late = wait || !spx_stream_can_record(q->stream) ? 0 : LATE;
    const size_t slot = q->read % SPX_STEP_RING;
    assert(q->read <= q->queued && q->queued - q->read <= SPX_STEP_RING);
    *any = q->queued - q->read > late;
    if (!*any) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_event_sync(q->done[slot]));
    *out = (spx_step_result){q->sent[slot], q->received[slot]};
    q->read++;
    return SPX_OK;
}

spx_status spx_step_queue_look(spx_step_queue *q, spx_step_numbers *out)
{
    SPX_RETURN_IF(spx_download(q->stream, out, q->numbers, sizeof *out));
    return spx_stream_sync(q->stream);
}
