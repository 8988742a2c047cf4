#define _POSIX_C_SOURCE 200809L
#include "host/cli/graphviz.h"

#include "kernels/base/file.h"

#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ; /* POSIX has no header for it */

/* dot reads one temporary file and writes another: no pipe that either side could wait
 * on for ever. */
static spx_status run_dot(FILE *in, FILE *out)
{
    char *const argv[] = {"dot", "-Tsvg", NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = 0;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return SPX_FAIL(SPX_ENOMEM, "dot: no memory to start it");
    }
    int err = posix_spawn_file_actions_adddup2(&actions, fileno(in), STDIN_FILENO);
    err = err != 0 ? err : posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
    err = err != 0 ? err : posix_spawnp(&child, "dot", &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (err == ENOENT) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "pictures need Graphviz: no program 'dot' is installed");
    }
    if (err != 0) {
        return SPX_FAIL(SPX_EDEVICE, "dot: cannot be started: %s", strerror(err));
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return SPX_FAIL(SPX_EDEVICE, "dot: %s", strerror(errno));
        }
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return SPX_FAIL(SPX_EDEVICE, "dot: it failed (status %d)", status);
    }
    return SPX_OK;
}

static spx_status save(FILE *out, const char *path)
{
    const long size = fseek(out, 0, SEEK_END) == 0 ? ftell(out) : -1;
    char *svg = size > 0 ? malloc((size_t)size) : NULL;
    if (svg == NULL) {
        return SPX_FAIL(SPX_EIO, "dot: no picture came back");
    }
    rewind(out);
    spx_status st = SPX_OK;
    if (fread(svg, 1, (size_t)size, out) != (size_t)size) {
        st = SPX_FAIL(SPX_EIO, "dot: its picture cannot be read");
    } else {
        const spx_span part = {svg, (size_t)size};
        st = spx_file_replace(path, &part, 1);
    }
    free(svg);
    return st;
}

spx_status spx_graphviz_svg(const char *text, const char *path)
{
    FILE *in = tmpfile(), *out = tmpfile();
    spx_status st;
    if (in == NULL || out == NULL || fputs(text, in) < 0 || fflush(in) != 0) {
        st = SPX_FAIL(SPX_EIO, "dot: no temporary file: %s", strerror(errno));
    } else {
        rewind(in);
        st = run_dot(in, out);
    }
    if (st == SPX_OK) {
        st = save(out, path);
    }
    if (in != NULL) {
        (void)fclose(in);
    }
    if (out != NULL) {
        (void)fclose(out);
    }
    return st;
}
