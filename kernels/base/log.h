#ifndef SPX_LOG_H
#define SPX_LOG_H
/*
 * A trace of what the program decides, for who looks into a stuck protocol or an odd plan. Off
 * unless asked for; a line that is off costs one comparison. Lines name sizes, types and choices,
 * never data: nothing that is secret may be an argument.
 */
#include "kernels/base/status.h"

#include <stdio.h>

typedef enum spx_log_part {
    SPX_LOG_GRAPH, /* programs, choices of algorithms */
    SPX_LOG_PI,    /* private inference: messages, turns */
    SPX_LOG_PARTS
} spx_log_part;

typedef enum spx_log_level { SPX_LOG_OFF, SPX_LOG_INFO, SPX_LOG_DEBUG } spx_log_level;

/** What is traced; read only, but for spx_log_setup. */
extern spx_log_level spx_log_levels[SPX_LOG_PARTS];

/**
 * Turns parts on. Once, before other threads exist.
 * @param spec  "PART:LEVEL" by commas, as "graph:debug,pi:info"; "json": lines of JSON; NULL: off
 * @param to    where lines go, one write each; borrowed
 * @return SPX_OK, SPX_EINVAL (a word that is none; nothing is turned on)
 */
SPX_MUST_CHECK spx_status spx_log_setup(const char *spec, FILE *to);

/** Use SPX_LOG. Lines longer than 511 bytes are cut. */
void spx_log_line(spx_log_part part, spx_log_level level, const char *fmt, ...) SPX_PRINTF(3, 4);

/** SPX_LOG(GRAPH, DEBUG, "%d nodes", n): arguments are not evaluated where it is off. */
#define SPX_LOG(part, level, ...)                                                                  \
    ((void)(spx_log_levels[SPX_LOG_##part] >= SPX_LOG_##level                                      \
                ? (spx_log_line(SPX_LOG_##part, SPX_LOG_##level, __VA_ARGS__), 0)                  \
                : 0))

#endif
