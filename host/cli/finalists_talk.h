#ifndef SPX_FINALISTS_TALK_H
#define SPX_FINALISTS_TALK_H
/* search --finalists: a selection by evidence (search/evidence/finalists.h) as one command. */
#include "host/cli/run_talk.h"
#include "search/bilevel/search_run.h"

typedef struct spx_finalists_values {
    int64_t pool, relus, batch, epochs, seeds, set_aside, extra;
    const char *recipe;
} spx_finalists_values;

#define SPX_FINALISTS_OPTIONS(STRUCT, FIELD)                                                       \
    SPX_OPT(INT, STRUCT, FIELD.pool, "finalists", "K", "0",                                        \
            "choose by evidence among K cells: the published one, half of the rest searched, the " \
            "others random; 0: search once",                                                       \
            .min = 0, .max = 64),                                                                  \
        SPX_OPT(                                                                                   \
            INT, STRUCT, FIELD.relus, "relu-budget", "N", NULL,                                    \
            "ReLUs of the finalists' networks; with --space relu-ops, what gates on ReLUs are "    \
            "to keep, searched beside the primitives",                                             \
            .min = 1, .max = 1e15),                                                                \
        SPX_OPT(STRING, STRUCT, FIELD.recipe, "final-recipe", "published|fast|FILE", "fast",       \
                "how finalists are trained, as train --recipe takes it", .flags = SPX_OPT_PATH),   \
        SPX_OPT(INT, STRUCT, FIELD.batch, "final-batch", "N", "0",                                 \
                "images per step of it; 0: the recipe's. --batch is the searches'", .min = 0,      \
                .max = 65536),                                                                     \
        SPX_OPT(INT, STRUCT, FIELD.epochs, "final-epochs", "N", "0",                               \
                "epochs of it; 0: the recipe's", .min = 0, .max = 1e6),                            \
        SPX_OPT(INT, STRUCT, FIELD.seeds, "final-seeds", "N", "5",                                 \
                "trainings of each of the last three", .min = 2, .max = 64),                       \
        SPX_OPT(INT, STRUCT, FIELD.set_aside, "set-aside", "N", "0",                               \
                "training images that only rank finalists; 0: 10000, or a sixth where that is "    \
                "less",                                                                            \
                .min = 0, .max = 1e9),                                                             \
        SPX_OPT(INT, STRUCT, FIELD.extra, "extra-random", "N", "-1",                               \
                "further random cells; -1: as many as the searches' multiply-adds buy", .min = -1, \
                .max = 64)

#define SPX_FINALISTS_NEEDS                                                                        \
    {"relu-budget", "finalists|space=relu-ops"},                                                   \
        {"final-recipe final-batch final-epochs final-seeds set-aside extra-random", "finalists"}, \
        {"finalists", "seeds=1"}, {"finalists", "space=sphynx"},                                   \
    {                                                                                              \
        "init-from max-steps", "!finalists"                                                        \
    }

/**
 * Runs, or goes on with, the selection, writes finalists.json, result.json, which has the answers
 * alone, and the winner's genotype.json into the folder, and prints.
 * @param s  of the searches; its pack holds the training split alone
 */
SPX_MUST_CHECK spx_status spx_finalists_command(spx_cli *cli, const spx_finalists_values *v,
                                                const spx_run_values *run, const char *data,
                                                const spx_search_options *s, spx_run_talk *talk);

#endif
