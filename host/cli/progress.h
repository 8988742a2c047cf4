#ifndef SPX_CLI_PROGRESS_H
#define SPX_CLI_PROGRESS_H

#include "kernels/base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/**
 * Progress of a long command: a bar with rate and time left that redraws on a terminal, a plain
 * line every 30 seconds elsewhere. Plain data, no clean-up needed.
 */
typedef struct spx_progress {
    FILE *out;
    bool bar;         /* redraw in place */
    const char *unit; /* "steps" */
    uint64_t first, total;
    double began, shown; /* seconds */
} spx_progress;

/**
 * @param out    stderr; a bar is drawn only if it is a terminal
 * @param unit   plural noun, borrowed
 * @param first  items done before this process began (a resumed run), so that the rate is honest
 */
void spx_progress_begin(spx_progress *p, FILE *out, const char *unit, uint64_t first,
                        uint64_t total);

/**
 * Shows done of total items, at most ten times a second.
 * @param fmt  a short note such as "loss 1.234", printf format
 */
void spx_progress_show(spx_progress *p, uint64_t done, const char *fmt, ...) SPX_PRINTF(3, 4);

/** Ends the bar's line, so that other output can follow; also before printing a message. */
void spx_progress_end(spx_progress *p);

/** One frame of text without line ends, for a given time since the beginning; always terminated. */
void spx_progress_format(const spx_progress *p, uint64_t done, double seconds, const char *note,
                         char *text, size_t room);

#endif
