#include "kernels/base/text.h"

#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

spx_status spx_text_tidy(const char *name, char *text, size_t *size)
{
    const size_t n = *size, mark = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    size_t to = 0;
    if (n >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: UTF-16 text; save it as UTF-8", name);
    }
    if (memchr(text, '\0', n) != NULL) {
        return SPX_FAIL(SPX_EFORMAT, "%s: not a text file", name);
    }
    for (size_t i = mark; i < n; i++) {
        if (text[i] != '\r' || text[i + 1] != '\n') { /* text[n] is 0 */
            text[to++] = text[i];
        }
    }
    memset(text + to, 0, n - to); /* the text may be a key */
    *size = to;
    return SPX_OK;
}

spx_status spx_text_read(const char *path, size_t max_bytes, char **text, size_t *size)
{
    void *data;
    spx_status st;
    *text = NULL;
    SPX_RETURN_IF(spx_file_read(path, max_bytes, &data, size));
    st = spx_text_tidy(path, data, size);
    if (st != SPX_OK) {
        spx_free(data);
        return st;
    }
    *text = data;
    return SPX_OK;
}

const char *spx_real_text(double v, char out[SPX_REAL_CHARS])
{
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(out, SPX_REAL_CHARS, "%.*g", digits, v);
        if (strtod(out, NULL) == v) { /* always so at 17, but for NaN */
            break;
        }
    }
    return out;
}
