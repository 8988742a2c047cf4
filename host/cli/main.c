#define _POSIX_C_SOURCE 200809L
#include "host/cli/commands.h"

#include <sys/resource.h>

/* A pack is a file a shard, all open at once; the usual limit of 1024 is for programs that select()
 * among descriptors, which nothing here does. */
static void open_as_many_as_may_be(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv)
{
    static const spx_command *const commands[] = {
#define X(name) &spx_cmd_##name,
        SPX_COMMANDS(X)
#undef X
            NULL};
    open_as_many_as_may_be();
    return spx_cli_main(argc, argv, commands);
}
