#include "data/pack/pack_list.h"
#include "data/pack/pack_private.h"

#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character at s, its code in *code; 0: none (overlong, surrogate, cut). */
static size_t utf8(const uint8_t *s, size_t n, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t length = s[0] < 0x80                   ? 1
                          : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                          : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                          : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                        : 0;
    if (length == 0 || length > n) {
        return 0;
    }
    *code = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (s[i] & 0x3f);
    }
    return *code < least[length] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000)
               ? 0
               : length;
}

/* Neither a control nor what moves other characters of a line about (Unicode's line separators and
 * bidirectional controls). */
static bool is_printable(uint32_t code)
{
    return code >= 0x20 && !(code >= 0x7f && code < 0xa0) && !(code >= 0x2028 && code <= 0x202e) &&
           !(code >= 0x2066 && code <= 0x2069) && code != '\\';
}

size_t spx_pack_escape(char *to, size_t room, const void *bytes, size_t n)
{
    const uint8_t *s = bytes;
    size_t length = 0, kept = 0;
    for (size_t i = 0, step; i < n; i += step) {
        char text[8];
        uint32_t code = 0;
        size_t m;
        step = utf8(s + i, n - i, &code);
        if (step > 0 && is_printable(code)) {
            m = step;
            memcpy(text, s + i, step);
        } else {
            step =
                1; /* the other bytes of a character that is not printable come as invalid ones */
            m = (size_t)snprintf(text, sizeof text, "\\x%02x", s[i]);
        }
        if (kept == length && length + m < room) {
            memcpy(to + length, text, m);
            kept += m;
        }
        length += m;
    }
    to[kept] = '\0';
    return length;
}

void spx_pack_plain(char *text, size_t n)
{
    for (size_t i = 0, step; i < n; i += step) {
        uint32_t code = 0;
        step = utf8((const uint8_t *)text + i, n - i, &code);
        if (step > 0 && !is_printable(code) && code != '\\' && code != '\n' && code != 0) {
            memset(text + i, '?', step);
        }
        step = step > 0 ? step : 1; /* bytes of no character are left for who reads UTF-8 */
    }
}
