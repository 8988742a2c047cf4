#ifndef SPX_TESTS_PACK_BYTES_H
#define SPX_TESTS_PACK_BYTES_H
/* Files put together byte by byte in a folder of the test's, and sources that must be refused. */
#include "data/pack/pack_build.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <sys/stat.h>

#define BYTES(text) text, sizeof text - 1 /* of a literal, zeros and all */

static spx_scratch scratch;

static inline void empty_folder(void)
{
    spx_scratch_remove(&scratch);
    assert_int_equal(spx_scratch_make(&scratch), 0);
}

/* scratch/name, its folders made. */
static inline const char *place(const char *name)
{
    const char *path = spx_scratch_path(&scratch, name);
    char folder[600];
    for (const char *slash = strchr(path + strlen(scratch.folder) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        (void)mkdir(folder, 0777);
    }
    return path;
}

/* Bytes being put together. */
typedef struct buffer {
    uint8_t *bytes;
    size_t n, room;
} buffer;

static inline void put(buffer *b, const void *data, size_t n)
{
    if (n == 0) {
        return;
    }
    if (b->n + n > b->room) {
        b->room = 2 * (b->n + n);
        b->bytes = realloc(b->bytes, b->room);
        assert_non_null(b->bytes);
    }
    memcpy(b->bytes + b->n, data, n);
    b->n += n;
}

static inline void put_number(buffer *b, uint64_t v, size_t n, bool big)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t byte = (uint8_t)(v >> 8 * (big ? n - 1 - i : i));
        put(b, &byte, 1);
    }
}

static inline void put_text(buffer *b, const char *text)
{
    put(b, text, strlen(text));
}

static inline void save(buffer *b, const char *name)
{
    assert_int_equal(spx_scratch_write(place(name), b->n > 0 ? (const void *)b->bytes : "", b->n),
                     0);
    free(b->bytes);
    *b = (buffer){0};
}

static inline void check_refused(const char *kind, const char *src, const char *expect)
{
    spx_pack *p;
    const spx_status st = spx_pack_build(&p, kind, src, NULL);
    assert_null(p);
    if (st == SPX_OK || strstr(spx_error_message(), expect) == NULL) {
        fail_msg("%s: %s: '%s', expected '%s'", kind, spx_status_text(st), spx_error_message(),
                 expect);
    }
}

#endif
