#include "kernels/base/log.h"

#include "kernels/base/clock.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

static const char *const part_name[SPX_LOG_PARTS] = {"graph", "pi"};
static const char *const level_name[] = {"off", "info", "debug"};

/* Written once, by spx_log_setup. */
spx_log_level spx_log_levels[SPX_LOG_PARTS];
static FILE *sink;
static bool as_json;

/* Index of the text [s, s + n) in names, or -1. */
static int index_of(const char *s, size_t n, const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        if (strlen(names[i]) == n && memcmp(names[i], s, n) == 0) {
            return i;
        }
    }
    return -1;
}

spx_status spx_log_setup(const char *spec, FILE *to)
{
    spx_log_level level[SPX_LOG_PARTS] = {SPX_LOG_OFF};
    bool json = false;
    for (const char *s = spec; s != NULL && *s != '\0';) {
        const size_t n = strcspn(s, ","), name = strcspn(s, ":,");
        if (n == 4 && memcmp(s, "json", n) == 0) {
            json = true;
        } else {
            const int part = index_of(s, name, part_name, SPX_LOG_PARTS);
            const int l = name < n ? index_of(s + name + 1, n - name - 1, level_name, 3) : -1;
            if (part < 0 || l < 0) {
                return SPX_FAIL(SPX_EINVAL,
                                "SPHYNX_LOG: '%.*s' is not PART:LEVEL (graph, pi; off, info, "
                                "debug) or json",
                                (int)(n < 40 ? n : 40), s);
            }
            level[part] = (spx_log_level)l;
        }
        s += n + (s[n] == ',');
    }
    memcpy(spx_log_levels, level, sizeof level);
    as_json = json;
    sink = to;
    return SPX_OK;
}

/* text as the inside of a JSON string; what does not fit is cut. */
static void escape(char *out, size_t room, const char *text)
{
    size_t n = 0;
    for (; *text != '\0' && n + 7 < room; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20) {
            n += (size_t)snprintf(out + n, room - n, "\\u%04x", c);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
}

void spx_log_line(spx_log_part part, spx_log_level level, const char *fmt, ...)
{
    char text[512], escaped[1100];
    va_list args;
    if (sink == NULL) {
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (as_json) {
        escape(escaped, sizeof escaped, text);
        (void)fprintf(
            sink, "{\"part\": \"%s\", \"level\": \"%s\", \"seconds\": %.6f, \"text\": \"%s\"}\n",
            part_name[part], level_name[level], spx_seconds(), escaped);
    } else {
        (void)fprintf(sink, "%s %s: %s\n", part_name[part], level_name[level], text);
    }
}
