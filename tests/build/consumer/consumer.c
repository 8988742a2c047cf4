/* A program outside the tree: uses a low room and one that brings a third-party library. */
#include "host/control/build_info.h"
#include "host/control/jsonl.h"
#include "kernels/base/rng.h"

#include <stdio.h>

int main(void)
{
    spx_rng r;
    spx_jsonl *log;
    spx_rng_init(&r, 1, SPX_RNG_TEST, 0);
    if (spx_jsonl_open(&log, "consumer.jsonl", SPX_JSONL_KEEP_ALL) != SPX_OK ||
        spx_jsonl_append(log, json_pack("{s:I}", "draw", (json_int_t)spx_rng_u32(&r))) != SPX_OK) {
        (void)fprintf(stderr, "%s\n", spx_error_message());
        return 1;
    }
    spx_jsonl_close(log);
    return printf("%s\n", spx_build_version()) < 0;
}
