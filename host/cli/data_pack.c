/* sphynx data pack: a published data set, or own pictures or arrays, become one file. */
#include "data/pack/pack_build.h"
#include "host/cli/data_talk.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *output;
    double test_fraction;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, output, "output", "FILE", NULL, "the pack to write (.h5)",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT, .letter = 'o'),
    SPX_OPT(FLOAT, values, test_fraction, "test-fraction", "SHARE", "0.1",
            "of each class's pictures, to test on where there is no folder test; --seed draws them",
            .min = 0, .max = 0.9, .old = "held-out"),
    {0}};

static const spx_need needs[] = {{"test-fraction", "operands=folder"}, {0}};

/* "mnist, fashion-mnist, ..." */
static void list_known(char *text, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; spx_pack_known(i) != NULL && used < room; i++) {
        used += (size_t)snprintf(text + used, room - used, "%s%s", i > 0 ? ", " : "",
                                 spx_pack_known(i));
    }
}

static spx_status run(spx_cli *cli, const void *given)
{
    const values *v = given;
    const spx_pack_build_options o = {.held_out = v->test_fraction, .seed = (uint64_t)cli->seed};
    char expected[512];
    spx_pack *p = NULL;
    size_t known = 0;
    spx_status st;
    while (spx_pack_known(known) != NULL && strcmp(spx_pack_known(known), cli->args[0]) != 0) {
        known++;
    }
    if (spx_pack_known(known) == NULL) {
        list_known(expected, sizeof expected);
        return spx_cli_usage(cli, "unknown data set '%.64s', expected one of %s", cli->args[0],
                             expected);
    }
    SPX_RETURN_IF(spx_cli_distinct(cli, v->output, cli->args[1]));
    SPX_TRY(st, spx_pack_build(&p, cli->args[0], cli->args[1], &o), done);
    SPX_TRY(st, spx_pack_write(p, v->output), done);
    if (cli->json) {
        st = spx_pack_print_json(p);
    } else {
        spx_pack_print_summary(p, v->output);
    }
done:
    spx_pack_close(p);
    return st;
}

const spx_command spx_data_pack = {
    .name = "pack",
    .args = "KIND SRC",
    .summary = "Packs a data set into one file. KIND: " SPX_PACK_KINDS_TEXT ".",
    .example = "sphynx data pack fashion-mnist /usr/share/datasets/fashion-mnist -o fashion.h5",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
