#define _POSIX_C_SOURCE 200809L
#include "host/cli/progress.h"

#include "kernels/base/clock.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define BAR_CELLS 24
#define BAR_SECONDS 0.1
#define LINE_SECONDS 30.0

void spx_progress_begin(spx_progress *p, FILE *out, const char *unit, uint64_t first,
                        uint64_t total)
{
    const double t = spx_seconds();
    *p = (spx_progress){.out = out,
                        .bar = isatty(fileno(out)) == 1,
                        .unit = unit,
                        .first = first,
                        .total = total,
                        .began = t,
                        .shown = t};
}

/* 75 -> "1:15", 3700 -> "1:01:40" */
static void format_time(double seconds, char *text, size_t room)
{
    const unsigned long s = seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 999999999ul;
    if (s >= 3600) {
        (void)snprintf(text, room, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    } else {
        (void)snprintf(text, room, "%lu:%02lu", s / 60, s % 60);
    }
}

void spx_progress_format(const spx_progress *p, uint64_t done, double seconds, const char *note,
                         char *text, size_t room)
{
    char left[32] = "?", bar[BAR_CELLS + 1];
    const double rate = seconds > 0 && done > p->first ? (double)(done - p->first) / seconds : 0;
    const double share = p->total > 0 && done < p->total ? (double)done / (double)p->total : 1;
    const size_t cells = (size_t)(share * BAR_CELLS);
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', cells);
    bar[BAR_CELLS] = '\0';
    if (rate > 0) {
        format_time(done < p->total ? (double)(p->total - done) / rate : 0, left, sizeof left);
    }
    (void)snprintf(text, room, "%s%s%s%llu/%llu %s, %.3g/s, %s left%s%s", p->bar ? "[" : "",
                   p->bar ? bar : "", p->bar ? "] " : "", (unsigned long long)done,
                   (unsigned long long)p->total, p->unit, rate, left, note[0] != '\0' ? ", " : "",
                   note);
}

void spx_progress_show(spx_progress *p, uint64_t done, const char *fmt, ...)
{
    char text[200], note[96];
    const double t = spx_seconds();
    va_list ap;
    if (t - p->shown < (p->bar ? BAR_SECONDS : LINE_SECONDS)) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(note, sizeof note, fmt, ap);
    va_end(ap);
    p->shown = t;
    spx_progress_format(p, done, t - p->began, note, text, sizeof text);
    /* \033[K clears what a longer frame left behind */
    (void)fprintf(p->out, p->bar ? "\r%s\033[K" : "%s\n", text);
    (void)fflush(p->out);
}

void spx_progress_end(spx_progress *p)
{
    if (p->bar && p->shown > p->began) {
        (void)fputc('\n', p->out);
        (void)fflush(p->out);
    }
}
