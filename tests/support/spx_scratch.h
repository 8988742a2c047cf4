#ifndef SPX_SCRATCH_H
#define SPX_SCRATCH_H
/* A folder of the test's own, and what it takes to write awkward files into it. POSIX. */
#include "tests/support/spx_test.h"

#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct spx_scratch {
    char folder[256];
    char path[4][512]; /* spx_scratch_path's answers, in turn */
    unsigned next;
} spx_scratch;

static inline int spx_scratch_make(spx_scratch *s)
{
    const char *tmp = getenv("TMPDIR");
    memset(s, 0, sizeof *s);
    (void)snprintf(s->folder, sizeof s->folder, "%.200s/spx-test-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(s->folder) != NULL ? 0 : -1;
}

/* folder/name; good until the fourth call after this one. */
static inline const char *spx_scratch_path(spx_scratch *s, const char *name)
{
    char *p = s->path[s->next++ % 4];
    const size_t n = strlen(s->folder);
    memcpy(p, s->folder, n);
    p[n] = '/';
    (void)snprintf(p + n + 1, sizeof s->path[0] - n - 1, "%s", name);
    return p;
}

/* Files in the folder. */
static inline int spx_scratch_files(const spx_scratch *s)
{
    int n = 0;
    DIR *d = opendir(s->folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        n += e->d_name[0] != '.';
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return n;
}

/* Removes a folder with all that is in it. */
static inline void spx_scratch_remove_folder(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            char path[1024];
            (void)snprintf(path, sizeof path, "%.600s/%s", folder, e->d_name);
            if (remove(path) != 0) {
                spx_scratch_remove_folder(path);
            }
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    (void)rmdir(folder);
}

static inline void spx_scratch_remove(const spx_scratch *s)
{
    spx_scratch_remove_folder(s->folder);
}

static inline int spx_scratch_write(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    const int ok = f != NULL && fwrite(data, 1, n, f) == n;
    return f != NULL && fclose(f) == 0 && ok ? 0 : -1;
}

static inline void spx_scratch_write_text(const char *path, const char *text)
{
    assert_int_equal(spx_scratch_write(path, text, strlen(text)), 0);
}

/* Compares the whole file (at most 8191 bytes) with text. */
static inline void spx_scratch_check_text(const char *path, const char *text)
{
    char got[8192];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = '\0';
    (void)fclose(f);
    assert_string_equal(got, text);
}

/* Writes beyond this many bytes of a file fail from now on, as on a full disk; RLIM_INFINITY ends
 * it. */
static inline int spx_scratch_limit(rlim_t bytes)
{
    struct rlimit r;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_FSIZE, &r) != 0) {
        return -1;
    }
    r.rlim_cur = bytes == RLIM_INFINITY ? r.rlim_max : bytes;
    return setrlimit(RLIMIT_FSIZE, &r);
}

#endif
