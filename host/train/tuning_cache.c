#define _POSIX_C_SOURCE 200809L /* mkdir */
#include "host/train/tuning_cache.h"

#include "host/control/build_info.h"
#include "kernels/base/alloc.h"
#include "kernels/base/cpu.h"
#include "kernels/base/file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096
#define CACHE_BYTES ((size_t)8 << 20)

/* The cache's path; with make, its folders are made. */
static bool cache_path(char out[PATH_BYTES], bool make)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (base != NULL && base[0] == '/') {
        n = snprintf(out, PATH_BYTES, "%s", base);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(out, PATH_BYTES, "%s/.cache", home);
    } else {
        return false;
    }
    if (n < 0 || n > PATH_BYTES - 128) {
        return false;
    }
    if (make) {
        (void)mkdir(out, 0700);
    }
    n += snprintf(out + n, PATH_BYTES - (size_t)n, "/sphynx");
    if (make) {
        (void)mkdir(out, 0700);
    }
    (void)snprintf(out + n, PATH_BYTES - (size_t)n, "/tuning-%s-%.12s-%s.txt", spx_build_version(),
                   spx_build_commit(), spx_isa_name(spx_cpu_isa()));
    return true;
}

void spx_tuning_cache_load(spx_tuning *t)
{
    char path[PATH_BYTES];
    void *text = NULL;
    size_t size = 0;
    if (cache_path(path, false) && spx_file_read(path, CACHE_BYTES, &text, &size) == SPX_OK) {
        /* Lines before a malformed one are good; what is missing is measured. */
        const spx_status ignored = spx_tuning_parse(t, text, size);
        (void)ignored;
        spx_free(text);
    }
}

/* The file as it is now, then our lines: other programs may have added theirs meanwhile. */
static void store(const char *path, const char *ours)
{
    spx_tuning *all = NULL;
    char *text = NULL;
    if (spx_tuning_create(&all) == SPX_OK) {
        spx_tuning_cache_load(all);
        if (spx_tuning_parse(all, ours, strlen(ours)) == SPX_OK) {
            text = spx_tuning_text(all);
        }
    }
    if (text != NULL) {
        const spx_span whole = {text, strlen(text)};
        const spx_status ignored = spx_file_replace(path, &whole, 1);
        (void)ignored;
    }
    free(text);
    spx_tuning_destroy(all);
}

void spx_tuning_cache_store(const spx_tuning *t)
{
    char path[PATH_BYTES];
    char *ours = NULL;
    if (spx_tuning_measured(t) > 0 && cache_path(path, true)) {
        ours = spx_tuning_text(t);
    }
    if (ours != NULL) {
        store(path, ours);
    }
    free(ours);
}
