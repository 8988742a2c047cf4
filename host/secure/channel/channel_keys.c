/* Files of pre-shared keys and of names. What is wrong is refused with its line: a key that never
 * works, or one that everybody guesses, is worse than none. */
#include "host/secure/channel/channel_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/text.h"
#include "kernels/crypto/secret_memory.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
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

/* An entry to be held against the others: its identity, or a digest of its key, by which keys are
 * put in order without a branch on one. */
typedef struct entry {
    const spx_psk *psk;
    unsigned char digest[SHA256_DIGEST_LENGTH];
} entry;

static int by_line(const entry *x, const entry *y)
{
    return x->psk->line < y->psk->line ? -1 : 1;
}

static int by_name(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const int order = strcmp(x->psk->name, y->psk->name);
    return order != 0 ? order : by_line(x, y);
}

static int by_digest(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const int order = memcmp(x->digest, y->digest, sizeof x->digest);
    return order != 0 ? order : by_line(x, y);
}

/* A second key of an identity would never work; a key of two identities tells nobody who came. */
static spx_status check_doubles(const spx_psk *keys, size_t n, const char *path)
{
    entry *e = malloc((n + 1) * sizeof *e);
    spx_status st = SPX_OK;
    if (e == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "%s: %zu keys", path, n);
    }
    for (size_t i = 0; i < n; i++) {
        e[i].psk = &keys[i];
        (void)SHA256(keys[i].key, sizeof keys[i].key, e[i].digest);
    }
    qsort(e, n, sizeof *e, by_name);
    for (size_t i = 1; i < n && st == SPX_OK; i++) {
        const spx_psk *first = e[i - 1].psk, *second = e[i].psk;
        if (strcmp(first->name, second->name) == 0) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: line %zu: identity %s has a key in line %zu already",
                          path, second->line, second->name, first->line);
        }
    }
    qsort(e, n, sizeof *e, by_digest);
    for (size_t i = 1; i < n && st == SPX_OK; i++) {
        const spx_psk *first = e[i - 1].psk, *second = e[i].psk;
        if (memcmp(e[i - 1].digest, e[i].digest, sizeof e[i].digest) == 0) {
            st = SPX_FAIL(SPX_EFORMAT,
                          "%s: line %zu: identity %s has the key of line %zu, identity %s: give "
                          "each its own",
                          path, second->line, second->name, first->line, first->name);
        }
    }
    OPENSSL_cleanse(e, n * sizeof *e);
    free(e);
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
