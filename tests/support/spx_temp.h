#ifndef SPX_TEMP_H
#define SPX_TEMP_H
/* A private folder for one test. The including file defines _XOPEN_SOURCE 700 first. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/spx_test.h"

typedef struct spx_temp {
    char dir[128];
    char path[256]; /* what spx_temp_path returned last */
} spx_temp;

static inline void spx_temp_make(spx_temp *t)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(t->dir, sizeof t->dir, "%.100s/spx-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(t->dir));
}

static inline const char *spx_temp_path(spx_temp *t, const char *name)
{
    (void)snprintf(t->path, sizeof t->path, "%s/%s", t->dir, name);
    return t->path;
}

static inline int spx_temp_remove_one(const char *path, const struct stat *info, int kind,
                                      struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline void spx_temp_remove(spx_temp *t)
{
    assert_int_equal(nftw(t->dir, spx_temp_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void spx_temp_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* Compares the whole file (at most 8191 bytes) with text. */
static inline void spx_temp_check_text(const char *path, const char *text)
{
    char got[8192];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = '\0';
    (void)fclose(f);
    assert_string_equal(got, text);
}

#endif
