/* Finding a data set's files, and saying what was looked for and found where they are not. */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_private.h"
#include "kernels/base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN 6 /* names in a message */

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void spx_names_free(char **names, size_t n)
{
    for (size_t i = 0; names != NULL && i < n; i++) {
        free(names[i]);
    }
    free(names);
}

spx_status spx_names_of_folder(const char *folder, char ***names, size_t *n)
{
    size_t room = 0;
    char **list = NULL;
    DIR *d = opendir(folder);
    *names = NULL;
    *n = 0;
    if (d == NULL) {
        return SPX_FAIL(errno == ENOENT ? SPX_ENOTFOUND : SPX_EIO, "%s: %s", folder,
                        strerror(errno));
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.') {
            continue;
        }
        if (SPX_GROW(list, *n, room) != SPX_OK || (list[*n] = strdup(e->d_name)) == NULL) {
            spx_names_free(list, *n);
            (void)closedir(d);
            *n = 0;
            return SPX_FAIL(SPX_ENOMEM, "%s: names", folder);
        }
        (*n)++;
    }
    (void)closedir(d);
    if (*n > 0) {
        qsort(list, *n, sizeof *list, by_bytes); /* the same order in every locale */
    }
    *names = list;
    return SPX_OK;
}

spx_status spx_pack_not_found(const char *src, const char *wanted)
{
    char found[SHOWN * 64] = "", **names = NULL;
    size_t n = 0, used = 0;
    if (spx_names_of_folder(src, &names, &n) != SPX_OK) {
        return SPX_FAIL(SPX_ENOTFOUND, "%s: looked for %s; found %s", src, wanted,
                        access(src, F_OK) == 0 ? "a file" : "no such folder");
    }
    for (size_t i = 0; i < n && i < SHOWN && used < sizeof found; i++) {
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%.50s", i > 0 ? ", " : "",
                                 names[i]);
    }
    spx_names_free(names, n);
    if (n == 0) {
        return SPX_FAIL(SPX_ENOTFOUND, "%s: looked for %s; found an empty folder", src, wanted);
    }
    if (n > SHOWN) {
        return SPX_FAIL(SPX_ENOTFOUND, "%s: looked for %s; found %s and %zu more", src, wanted,
                        found, n - SHOWN);
    }
    return SPX_FAIL(SPX_ENOTFOUND, "%s: looked for %s; found %s", src, wanted, found);
}

bool spx_path_join(char *path, const char *folder, const char *name)
{
    const bool here = strcmp(name, ".") == 0;
    const int n = snprintf(path, PATH_MAX, "%s%s%s", folder, here ? "" : "/", here ? "" : name);
    return n > 0 && n < PATH_MAX;
}
