/* Finding a data set's files, and saying what was looked for and found where they are not. */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_list_private.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHOWN 6 /* names in a message */

spx_status spx_pack_not_found(const char *src, const char *wanted)
{
    char found[SHOWN * 64] = "", name[52];
    spx_folder_entry *entries;
    size_t n = 0, used = 0;
    if (spx_folder_read(src, &entries, &n, NULL) != SPX_OK) {
        return SPX_FAIL(SPX_ENOTFOUND, "%s: looked for %s; found %s", src, wanted,
                        access(src, F_OK) == 0 ? "a file" : "no such folder");
    }
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        (void)spx_pack_escape(name, sizeof name, entries[i].name, strlen(entries[i].name));
        used +=
            (size_t)snprintf(found + used, sizeof found - used, "%s%s", i > 0 ? ", " : "", name);
    }
    spx_folder_free(entries, n);
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
