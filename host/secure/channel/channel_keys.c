/* Files of pre-shared keys and of names. What is wrong is refused with its line: a key that never
 * works, or one that everybody guesses, is worse than none. */
#include "host/secure/channel/channel_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/text.h"
#include "kernels/crypto/secret_memory.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS (2 * (size_t)SPX_TLS_KEY_BYTES)

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is wrong with an identity; NULL: nothing. */
static const char *bad_identity(const char *name, size_t n)
{
    if (n == 0 || n >= SPX_TLS_NAME) {
        return n == 0 ? "the identity is empty" : "the identity has more than 127 bytes";
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f) {
            return "the identity holds a space or a control character";
        }
    }
    return NULL;
}

/* Takes a line as entry i; what is wrong with it or NULL. */
typedef const char *(*take_line)(void *list, size_t i, const char *line, size_t n, size_t number);

/* "identity:KEY" */
static const char *take_key(void *list, size_t i, const char *line, size_t n, size_t number)
{
    spx_psk *out = (spx_psk *)list + i;
    const char *colon = memchr(line, ':', n);
    const size_t name = colon != NULL ? (size_t)(colon - line) : 0;
    const char *wrong = colon != NULL ? bad_identity(line, name) : "expected identity:KEY";
    unsigned char any = 0;
    if (wrong != NULL) {
        return wrong;
    }
    memcpy(out->name, line, name);
    out->line = number;
    for (size_t k = 0; k < SPX_TLS_KEY_BYTES && n == name + 1 + DIGITS; k++) {
        const int high = hex_digit(colon[1 + 2 * k]), low = hex_digit(colon[2 + 2 * k]);
        if (high < 0 || low < 0) {
            n = 0;
            break;
        }
        out->key[k] = (unsigned char)(high << 4 | low);
        any |= out->key[k];
    }
    if (n != name + 1 + DIGITS) {
        return "a key has 64 digits 0-9a-f, and nothing else on its line (openssl rand -hex 32)";
    }
    return any == 0 ? "the key is all zeros: take one of openssl rand -hex 32" : NULL;
}

static const char *take_name(void *list, size_t i, const char *line, size_t n, size_t number)
{
    char(*names)[SPX_TLS_NAME] = list;
    (void)number;
    if (n >= SPX_TLS_NAME) {
        return "the name has more than 127 bytes";
    }
    if (line[0] == ' ' || line[n - 1] == ' ') { /* between its words a common name may have some */
        return "a space before or after the name";
    }
    memcpy(names[i], line, n);
    return NULL;
}

/* @param data  *size bytes of the file at path and a 0 */
static spx_status take_lines(void **list, size_t *n, size_t entry, take_line take, const char *path,
                             char *data, size_t *size)
{
    size_t number = 1, most = 1;
    *n = 0;
    *list = NULL;
    SPX_RETURN_IF(spx_text_tidy(path, data, size));
    for (const char *p = data; *p != '\0'; p++) {
        most += *p == '\n';
    }
    *list = calloc(most, entry);
    if (*list == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s: %zu lines", path, most);
    }
    for (const char *p = data, *end = p + *size; p < end; number++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        const size_t length = (size_t)((stop != NULL ? stop : end) - p);
        const bool said = length > 0 && p[0] != '#'; /* neither blank nor a comment */
        const char *wrong = said ? take(*list, *n, p, length, number) : NULL;
        *n += said;
        if (wrong != NULL) {
            return SPX_FAIL(SPX_EFORMAT, "%s: line %zu: %s", path, number, wrong);
        }
        p += length + 1;
    }
    return SPX_OK;
}

static int by_name(const void *a, const void *b)
{
    const spx_psk *x = *(const spx_psk *const *)a, *y = *(const spx_psk *const *)b;
    const int order = strcmp(x->name, y->name);
    return order != 0 ? order : x->line < y->line ? -1 : 1;
}

/* A second key of an identity would never work. */
static spx_status check_doubles(const spx_psk *keys, size_t n, const char *path)
{
    const spx_psk **sorted = malloc((n + 1) * sizeof *sorted);
    spx_status st = SPX_OK;
    if (sorted == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s: %zu keys", path, n);
    }
    for (size_t i = 0; i < n; i++) {
        sorted[i] = &keys[i];
    }
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 1; i < n && st == SPX_OK; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: line %zu: identity %s has a key in line %zu already",
                          path, sorted[i]->line, sorted[i]->name, sorted[i - 1]->line);
        }
    }
    free(sorted);
    return st;
}

spx_status spx_psk_read(spx_psk **keys, size_t *n, const char *path)
{
    void *data, *list, *kept = NULL;
    size_t size;
    spx_status st;
    *keys = NULL;
    SPX_RETURN_IF(spx_key_file_read(path, SPX_TLS_MAX_FILE, &data, &size));
    st = take_lines(&list, n, sizeof **keys, take_key, path, data, &size);
    spx_key_file_free(data, size);
    if (st == SPX_OK && *n == 0) {
        st = SPX_FAIL(SPX_EFORMAT,
                      "%s: no key; write one with: echo \"me:$(openssl rand -hex 32)\"", path);
    }
    if (st == SPX_OK) {
        st = check_doubles(list, *n, path);
    }
    if (st == SPX_OK) {
        st = spx_secret_alloc(&kept, *n * sizeof **keys);
    }
    if (st == SPX_OK) {
        memcpy(kept, list, *n * sizeof **keys);
    }
    if (list != NULL) {
        OPENSSL_cleanse(list, *n * sizeof **keys);
    }
    free(list);
    *keys = kept;
    return st;
}

void spx_psk_free(spx_psk *keys)
{
    spx_secret_free(keys);
}

spx_status spx_names_read(char (**names)[SPX_TLS_NAME], size_t *n, const char *path)
{
    void *data, *list;
    size_t size;
    spx_status st;
    *names = NULL;
    SPX_RETURN_IF(spx_file_read(path, SPX_TLS_MAX_FILE, &data, &size));
    st = take_lines(&list, n, sizeof **names, take_name, path, data, &size);
    spx_free(data);
    if (st != SPX_OK) {
        free(list);
        return st;
    }
    *names = list;
    return SPX_OK;
}
