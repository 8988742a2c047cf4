#ifndef SPX_NET_TALK_H
#define SPX_NET_TALK_H
/* What the commands that name a final network share: its options, and printing what it costs. */
#include "host/cli/cli.h"
#include "host/model/deploy.h"
#include "search/final/final.h"
#include "search/space/audit.h"

/** Options that describe a final network. */
typedef struct spx_net_values {
    const char *network, *genotype;
    const char *plan; /* of commands with SPX_PLAN_OPTION; else NULL */
    int64_t init_channels, layers, classes;
    spx_int_list reduce_at, input;
} spx_net_values;

/** --reduce-at, for FIELD of type spx_int_list; spx_net_cells takes what it holds. */
#define SPX_REDUCE_AT_OPTION(STRUCT, FIELD)                                                        \
    SPX_OPT(LIST, STRUCT, FIELD, "reduce-at", "I,...", "0,5", "cells that reduce", .min = 0,       \
            .max = SPX_MAX_LAYERS)

/** --genotype, for FIELD of type const char *, as spx_genotype_load takes it. */
#define SPX_GENOTYPE_OPTION(STRUCT, FIELD)                                                         \
    SPX_OPT(STRING, STRUCT, FIELD, "genotype", "published|RUN|FILE", "published",                  \
            "published, the folder of a search, or a file in JSON or the published text form",     \
            .flags = SPX_OPT_PATH)

/** --plan, for FIELD of type const char *, and what means nothing beside it. */
#define SPX_PLAN_OPTION(STRUCT, FIELD)                                                             \
    SPX_OPT(STRING, STRUCT, FIELD, "plan", "FILE", NULL,                                           \
            "what sphynx plan --json printed: the genotype's mask, and in place of "               \
            "--init-channels, --layers, --reduce-at",                                              \
            .flags = SPX_OPT_PATH)
#define SPX_PLAN_NEEDS                                                                             \
    {"init-channels layers reduce-at location", "!plan"},                                          \
    {                                                                                              \
        "plan location", "!network"                                                                \
    }

/** --network, for FIELD.network, and what means nothing beside it. */
#define SPX_NETWORK_OPTION(STRUCT, FIELD)                                                          \
    SPX_OPT(STRING, STRUCT, FIELD, "network", "NAME[,KEY=V...]", NULL,                             \
            "a published network, such as resnet18 or cnet2 (inspect --help lists them), in "      \
            "place of cells")
#define SPX_OF_CELLS "genotype init-channels layers reduce-at aux-weight drop-path"
#define SPX_NETWORK_NEED                                                                           \
    {                                                                                              \
        SPX_OF_CELLS, "!network"                                                                   \
    }

#define SPX_NET_OPTIONS(STRUCT, FIELD)                                                             \
    SPX_NETWORK_OPTION(STRUCT, FIELD.network), SPX_GENOTYPE_OPTION(STRUCT, FIELD.genotype),        \
        SPX_OPT(INT, STRUCT, FIELD.init_channels, "init-channels", "C", "5", "initial channels",   \
                .min = 1, .max = 4096),                                                            \
        SPX_OPT(INT, STRUCT, FIELD.layers, "layers", "L", "10", "cells", .min = 1,                 \
                .max = SPX_MAX_LAYERS),                                                            \
        SPX_REDUCE_AT_OPTION(STRUCT, FIELD.reduce_at),                                             \
        SPX_OPT(SHAPE, STRUCT, FIELD.input, "input", "CxHxW", "3x32x32",                           \
                "image shape; 224x224 is the ImageNet network", .min = 1, .max = 4096),            \
        SPX_OPT(INT, STRUCT, FIELD.classes, "classes", "K", "100", "classes", .min = 1,            \
                .max = 1e6)

/** A deployed model, or a network by SPX_NET_OPTIONS and SPX_PLAN_OPTION; FIELD: const char *. */
#define SPX_DEPLOYED_OPTION(STRUCT, FIELD)                                                         \
    SPX_OPT(STRING, STRUCT, FIELD, "model", "FILE", NULL,                                          \
            "a deployed model (sphynx export), in place of a network with random weights",         \
            .flags = SPX_OPT_PATH)
#define SPX_DEPLOYED_NEEDS                                                                         \
    SPX_NETWORK_NEED, SPX_PLAN_NEEDS,                                                              \
    {                                                                                              \
        "network genotype plan init-channels layers reduce-at input classes", "!model"             \
    }

/** The list of that option, of cells that reduce or of their places; a usage error where it is too
 * long. */
SPX_MUST_CHECK spx_status spx_net_cells(spx_cli *cli, const char *option, const spx_int_list *l,
                                        int at[SPX_MAX_REDUCE], int *n);

/** CxHxW as a shape; a usage error where it has not three parts. */
SPX_MUST_CHECK spx_status spx_net_input(spx_cli *cli, const spx_int_list *l, spx_input_shape *out);

/** The network that the options describe; mean and std are left zero. */
SPX_MUST_CHECK spx_status spx_net_spec(spx_cli *cli, const spx_net_values *v, spx_final_spec *f);

/** The same with some normalisation, for a deployed model of random weights. */
SPX_MUST_CHECK spx_status spx_net_random_spec(spx_cli *cli, const spx_net_values *v,
                                              spx_final_spec *f);
/** The deployed model of a file; NULL: of f with random weights. @return as spx_deploy_read and
 * spx_export_random */
SPX_MUST_CHECK spx_status spx_net_deployed(spx_deploy **out, const char *model,
                                           const spx_final_spec *f, spx_stream *stream);

/** The audit with the auxiliary head where the network can have one, else without. */
SPX_MUST_CHECK spx_status spx_net_audit(spx_audit *out, const spx_final_spec *f);

/**
 * Puts the network that a text names into f, for f->input.
 * @return SPX_OK, a usage error, what reading a file that it names returns
 */
SPX_MUST_CHECK spx_status spx_net_reference(spx_cli *cli, const char *text, spx_final_spec *f);

/** {"input", "classes"} and {"init_channels", "reduce_at"} or {"network"}; NULL: no memory. */
json_t *spx_net_json(const spx_final_spec *f);
/** An array with one object per layer; NULL when out of memory. */
json_t *spx_audit_json(const spx_audit *a);
/** The same as a table on stdout, with totals; ReLUs are those kept. */
void spx_audit_print(const spx_audit *a);

#endif
