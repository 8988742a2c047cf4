#define _DEFAULT_SOURCE
#include "kernels/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_BYTES                                                                              \
    4608 /* a path and what is wrong with it: a cut line would lose the reason   \
                            */

static _Thread_local char message[MESSAGE_BYTES];
static _Thread_local char origin[64];

const char *spx_status_text(spx_status st)
{
    static const char *const texts[] = {
#define X(name, text) text,
        SPX_STATUS_TABLE(X)
#undef X
    };
    return (unsigned)st < (unsigned)SPX_STATUS_COUNT ? texts[st] : "unknown status";
}

const char *spx_error_message(void)
{
    return message;
}

const char *spx_error_origin(void)
{
    return origin;
}

spx_status spx_fail(spx_status code, const char *file, int line, const char *fmt, ...)
{
    char text[MESSAGE_BYTES]; /* the arguments may point into the old message */
    const char *base = strrchr(file, '/');
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(message, text, sizeof text);
    (void)snprintf(origin, sizeof origin, "%s:%d", base != NULL ? base + 1 : file, line);
    return code;
}

spx_status spx_fail_context(spx_status st, const char *fmt, ...)
{
    char text[MESSAGE_BYTES];
    int used;
    va_list ap;
    if (st == SPX_OK) {
        return st;
    }
    va_start(ap, fmt);
    used = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (used >= 0 && (size_t)used + 3 < sizeof text) {
        (void)memcpy(text + used, ": ", 2);
        (void)memccpy(text + used + 2, message, '\0', sizeof text - (size_t)used - 2);
        text[sizeof text - 1] = '\0';
    }
    memcpy(message, text, sizeof text);
    return st;
}
