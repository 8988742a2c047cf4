#include "host/train/evaluate.h"

#include <string.h>

spx_status spx_evaluate(spx_program *p, const spx_binding *b, const spx_source *src,
                        int64_t classes, int64_t limit, spx_stop_fn stop, void *ctx,
                        spx_metrics *out)
{
    const int64_t steps = limit > 0 && limit < src->steps ? limit : src->steps;
    spx_binding bind = *b;
    memset(out, 0, sizeof *out);
    bind.update_state = false;
    for (int64_t i = 0; i < steps; i++) {
        spx_samples s;
        const void *input[2];
        if (stop != NULL) {
            SPX_RETURN_IF(stop(ctx));
        }
        SPX_RETURN_IF(src->get(src->ctx, 0, i, &s));
        input[0] = s.images;
        input[1] = s.labels;
        bind.input = input;
        SPX_RETURN_IF(spx_program_run(p, &bind));
        spx_metrics_add(out, s.valid, classes, spx_program_output(p, &bind, 0), s.labels);
    }
    return SPX_OK;
}
