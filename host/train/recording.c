#include "host/train/recording.h"

#include <stdio.h>
#include <string.h>

static spx_status record(spx_recording *r, spx_stream *s, spx_status (*fn)(void *ctx), void *ctx)
{
    char why[256];
    spx_status st, ended;
    SPX_RETURN_IF(spx_replay_begin(s));
    st = fn(ctx);
    (void)snprintf(why, sizeof why, "%s", st != SPX_OK ? spx_error_message() : "");
    ended = spx_replay_end(s, &r->replay);
    if (st == SPX_OK) {
        return ended;
    }
    spx_replay_destroy(r->replay); /* of part of the work */
    r->replay = NULL;
    return SPX_FAIL(st, "%s", why);
}

spx_status spx_recording_run(spx_recording *r, spx_stream *s,
                             const void *const key[SPX_RECORDING_KEYS], spx_status (*fn)(void *ctx),
                             void *ctx)
{
    if (!spx_stream_can_record(s)) {
        return fn(ctx);
    }
    if (!r->warm || memcmp(r->key, key, sizeof r->key) != 0) {
        if (r->replay != NULL) {
            SPX_RETURN_IF(spx_stream_sync(s)); /* it may be running */
        }
        spx_recording_clear(r);
        SPX_RETURN_IF(fn(ctx));
        memcpy(r->key, key, sizeof r->key);
        r->warm = true;
        return SPX_OK;
    }
    if (r->replay == NULL) {
        SPX_RETURN_IF(record(r, s, fn, ctx));
    }
    return spx_replay_run(r->replay, s);
}

void spx_recording_clear(spx_recording *r)
{
    spx_replay_destroy(r->replay);
    memset(r, 0, sizeof *r);
}
