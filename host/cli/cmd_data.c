/* sphynx data: turn data sets into packs, and look into packs. */
#include "host/cli/commands.h"
#include "host/cli/data_talk.h"

static const spx_command *const subcommands[] = {
    &spx_data_pack, &spx_data_check, &spx_data_info, &spx_data_preview, &spx_data_batches, NULL};

const spx_command spx_cmd_data = {
    .name = "data",
    .summary = "Packs data sets and inspects packs.",
    .sub = subcommands,
};
