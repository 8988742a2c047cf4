#include "host/cli/commands.h"

int main(int argc, char **argv)
{
    static const spx_command *const commands[] = {
#define X(name) &spx_cmd_##name,
        SPX_COMMANDS(X)
#undef X
            NULL};
    return spx_cli_main(argc, argv, commands);
}
