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

#define X(name) extern const spx_command spx_cmd_##name;
SPX_COMMANDS(X)
#undef X

#endif
