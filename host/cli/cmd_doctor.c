/* sphynx doctor: what this machine offers and what it lacks. */
#include "host/cli/commands.h"
#include "host/control/build_info.h"
#include "kernels/base/cpu.h"
#include "kernels/base/pool.h"

#include <stdio.h>

static spx_status run(spx_cli *cli, const void *values)
{
    (void)values;
    if (cli->json) {
        return spx_cli_print_json(json_pack(
            "{s:s, s:s, s:s, s:i}", "version", spx_build_version(), "commit", spx_build_commit(),
            "isa", spx_isa_name(spx_cpu_isa()), "processors", spx_pool_processors()));
    }
    (void)printf("sphynx %s, commit %s\ninstruction set %s, %d processors\n", spx_build_version(),
                 spx_build_commit(), spx_isa_name(spx_cpu_isa()), spx_pool_processors());
    return SPX_OK;
}

const spx_command spx_cmd_doctor = {
    .name = "doctor",
    .summary = "Says what this machine offers and what it lacks.",
    .example = "sphynx doctor --json",
    .run = run,
};
