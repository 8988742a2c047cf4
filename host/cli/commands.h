#ifndef SPX_CLI_COMMANDS_H
#define SPX_CLI_COMMANDS_H
#include "host/cli/cli.h"

/* The commands in the order in which help lists them: spx_cmd_NAME, defined in cmd_NAME.c. */
/* clang-format off: one a line */
#define SPX_COMMANDS(X)                                                                            \
    X(data)                                                                                        \
    X(doctor)                                                                                      \
    X(bench)                                                                                       \
    X(search)                                                                                      \
    X(locate)                                                                                      \
    X(plan)                                                                                        \
    X(inspect)                                                                                     \
    X(import)                                                                                      \
    X(train)                                                                                       \
    X(prune)                                                                                       \
    X(export)                                                                                      \
    X(eval)                                                                                        \
    X(predict)                                                                                     \
    X(serve)                                                                                       \
    X(query)                                                                                       \
    X(cost)
/* clang-format on */

struct spx_pack;
struct spx_train_options;

/** The options of a training as train's options describe them, but for its run: for commands that
 * train, too (spx_cli_inner). They borrow from values and pack. */
SPX_MUST_CHECK spx_status spx_train_options_of(spx_cli *cli, const void *values,
                                               const struct spx_pack *pack,
                                               struct spx_train_options *o);

#define X(name) extern const spx_command spx_cmd_##name;
SPX_COMMANDS(X)
#undef X

#endif
