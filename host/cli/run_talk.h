#ifndef SPX_RUN_TALK_H
#define SPX_RUN_TALK_H
/* What the commands that run for hours share: opening their session, and talking on stderr. */
#include "data/pack/pack.h"
#include "host/cli/cli.h"
#include "host/cli/progress.h"
#include "host/train/run.h"
#include "search/space/network.h"

/** Options of every such command; a row each in its table. */
typedef struct spx_run_values {
    const char *out;
    bool resume, allow_changed;
    bool of_parts; /* no option: see spx_session_options */
    int64_t max_steps, save_every, log_every;
    double time_limit;
} spx_run_values;

#define SPX_RUN_OPTIONS(STRUCT)                                                                    \
    SPX_OPT(STRING, STRUCT, run.out, "out", "DIR", NULL, "folder of the run",                      \
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT),                       \
        SPX_OPT(FLAG, STRUCT, run.resume, "resume", NULL, "false",                                 \
                "go on with the run in that folder, if there is one", .flags = SPX_OPT_TRANSIENT), \
        SPX_OPT(FLAG, STRUCT, run.allow_changed, "allow-changed", NULL, "false",                   \
                "resume, or begin --init-from, although the contents of files differ",             \
                .flags = SPX_OPT_TRANSIENT),                                                       \
        SPX_OPT(INT, STRUCT, run.max_steps, "max-steps", "N", "0",                                 \
                "end after so many steps in all; 0: no limit", .min = 0, .max = 1e15),             \
        SPX_OPT(INT, STRUCT, run.save_every, "save-every", "N", "500",                             \
                "steps between checkpoints within an epoch; 0: none", .min = 0, .max = 1e15),      \
        SPX_OPT(INT, STRUCT, run.log_every, "log-every", "N", "50",                                \
                "steps between lines of the log; 0: one per epoch", .min = 0, .max = 1e15),        \
        SPX_OPT(TIME, STRUCT, run.time_limit, "time-limit", "TIME", "0",                           \
                "save and exit with 75 after so long (90, 15m, 01:30:00); 0: no limit", .min = 0,  \
                .max = 1e9)

/**
 * Opens the session of a command; options that resuming may change are those above.
 * @param inputs  contents of the files that options name (see session.h); released, NULL is
 *                SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_run_open(spx_cli *cli, const spx_run_values *v, json_t *inputs,
                                       spx_session *s);

/**
 * Adds the file that a new run begins with, or that of a run's folder, to inputs; path NULL adds
 * nothing, as does a file that is gone when a run is resumed, which has no need of it any more.
 */
SPX_MUST_CHECK spx_status spx_run_add_file(json_t *inputs, const char *name, const char *path,
                                           bool resume);

/** State of the talk; zeroed before use. */
typedef struct spx_run_talk {
    spx_progress progress;
    bool began;
} spx_run_talk;

/** What the command line says of a run of any kind, but for its schedule; it tells talk, which must
 * outlive it. */
spx_run_options spx_run_options_of(const spx_cli *cli, const spx_run_values *v,
                                   const char *init_from, spx_run_talk *talk);
void spx_run_warn(void *talk, const char *text); /* its callback */
void spx_run_talk_end(spx_run_talk *t);

#define SPX_RUN_INPUT_HELP "image shape; default: the pack's, 28x28 as 32x32"

/**
 * The shape of images for a network: --input where given, else the pack's; 28x28 (MNIST and its
 * relatives) becomes 32x32. Pictures of differing sizes have none: it decides which network it is.
 * @param resized  pictures may be resized: they may be of any size where there is an --input
 * @return SPX_OK, SPX_EINVAL (a usage error; or pictures that would have to be resized)
 */
SPX_MUST_CHECK spx_status spx_run_input(spx_cli *cli, const spx_int_list *given,
                                        const spx_pack *pack, bool resized, spx_input_shape *out);

#endif
