#include "host/train/evaluate.h"

#include "host/train/recording.h"
#include "kernels/device/device_memory.h"

#include <math.h>
#include <string.h>

typedef struct evaluation {
    spx_program *program;
    spx_binding bind;
    const void *input[2];
} evaluation;

static spx_status run_program(void *ctx)
{
    evaluation *e = ctx;
    e->bind.input = e->input;
    return spx_program_run(e->program, &e->bind);
}

static spx_status count_batches(evaluation *e, spx_stream *s, spx_recording *recording,
                                const spx_source *src, int64_t steps, spx_stop_fn stop, void *ctx,
                                spx_metrics *m)
{
    const int64_t *dim = spx_program_output_tensor(e->program, 0)->dim;
    for (int64_t i = 0; i < steps; i++) {
        spx_samples batch;
        if (stop != NULL) {
            SPX_RETURN_IF(stop(ctx));
        }
        SPX_RETURN_IF(src->get(src->ctx, 0, i, &batch));
        e->input[0] = batch.images;
        e->input[1] = batch.labels;
        const void *const key[SPX_RECORDING_KEYS] = {batch.images, batch.labels};
        SPX_RETURN_IF(spx_recording_run(recording, s, key, run_program, e));
        SPX_RETURN_IF(spx_count_hits(s, dim[0], batch.valid, dim[1],
                                     spx_program_output(e->program, &e->bind, 0).data, batch.labels,
                                     m));
    }
    return SPX_OK;
}

spx_status spx_evaluate(spx_stream *s, spx_program *p, const spx_binding *b, const spx_source *src,
                        int64_t limit, spx_stop_fn stop, void *ctx, spx_metrics *out)
{
    const int64_t steps = limit > 0 && limit < src->steps ? limit : src->steps;
    evaluation e = {.program = p, .bind = *b};
    spx_recording recording = {0};
    void *metrics;
    spx_status st, waited;
    e.bind.update_state = false;
    SPX_RETURN_IF(spx_device_alloc(s, &metrics, sizeof *out));
    SPX_TRY(st, count_batches(&e, s, &recording, src, steps, stop, ctx, metrics), end);
    st = spx_download(s, out, metrics, sizeof *out);
end:
    waited = spx_stream_sync(s); /* before what is queued loses its memory */
    spx_recording_clear(&recording);
    spx_device_free(s, metrics);
    SPX_RETURN_IF(st != SPX_OK ? st : waited);
    return isfinite(out->loss) ? SPX_OK
                               : SPX_FAIL(SPX_ENUMERIC, "evaluation: a loss of %g over %lld images",
                                          out->loss, (long long)out->images);
}
