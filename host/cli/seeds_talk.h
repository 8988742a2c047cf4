#ifndef SPX_SEEDS_TALK_H
#define SPX_SEEDS_TALK_H
/* --seeds: the same run with several seeds, in folders of their own, their mean and deviation. */
#include "host/cli/run_talk.h"

#define SPX_SEEDS_OPTION(STRUCT, FIELD)                                                            \
    SPX_OPT(INT, STRUCT, FIELD, "seeds", "N", "1",                                                 \
            "runs with the seeds --seed, --seed + 1, ..., each in DIR/seed-S, and their mean and " \
            "deviation",                                                                           \
            .min = 1, .max = 1000, .flags = SPX_OPT_TRANSIENT)

/** What is run again and again. */
typedef struct spx_seeded {
    int64_t n;           /* seeds */
    const char *measure; /* a number of each result, of which mean and deviation are taken; NULL:
                            there is none */
    const char *name;    /* of it, for people; it is told in percent */
    /**
     * One run, with cli->seed set; it may be told apart by nothing but run.
     * @param result  what its result.json holds; the caller's
     */
    spx_status (*one)(spx_cli *cli, const void *ctx, const spx_run_values *run, json_t **result);
    const void *ctx;
} spx_seeded;

/**
 * Runs, or goes on with, the seeds one after another and writes DIR/result.json at the end:
 * {"seeds": [...], "runs": [results]} and, with a measure, "MEASURE_mean" and "MEASURE_std", which
 * --json prints, too. The deviation has n - 1 below. --time-limit is that of all.
 * @return what the first run that fails returns; SPX_EINVAL (the folder holds a run of its own);
 *         SPX_EINTERRUPTED, SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_seeds_run(spx_cli *cli, const spx_run_values *run,
                                        const spx_seeded *s);

#endif
