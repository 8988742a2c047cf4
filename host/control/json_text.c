#include "host/control/json_text.h"

#include "kernels/base/alloc.h"
#include "kernels/base/text.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the text or number at `at`; 1 for all else. */
static size_t token(const char *at)
{
    size_t n = strspn(at, "+-.0123456789eE");
    if (*at == '"') {
        for (n = 1; at[n] != '"'; n++) {
            n += at[n] == '\\';
        }
        return n + 1;
    }
    return n > 0 ? n : 1;
}

char *spx_json_text(const json_t *j, size_t flags)
{
    char *text = json_dumps(j, flags), *to = text;
    for (const char *at = text; at != NULL && *at != '\0';) {
        char real[SPX_REAL_CHARS];
        const size_t n = token(at);
        size_t used = n;
        if (strchr("-0123456789", *at) != NULL && memchr(at, '.', n) != NULL) {
            used = strlen(spx_real_text(strtod(at, NULL), real));
            /* "1.0" must not become the integer "1", nor anything longer than it was */
            used = used < n && strpbrk(real, ".e") != NULL ? used : n;
        }
        memmove(to, used < n ? real : at, used);
        to += used;
        at += n;
    }
    if (to != NULL) {
        *to = '\0';
    }
    return text;
}

spx_status spx_json_read(json_t **out, const char *path, size_t most)
{
    json_error_t err;
    char *text;
    size_t size;
    *out = NULL;
    SPX_RETURN_IF(spx_text_read(path, most, &text, &size));
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &err);
    spx_free(text);
    return *out != NULL ? SPX_OK
                        : SPX_FAIL(SPX_EFORMAT, "%s: line %d: %s", path, err.line, err.text);
}
