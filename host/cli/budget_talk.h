#ifndef SPX_BUDGET_TALK_H
#define SPX_BUDGET_TALK_H
/* A budget of ReLUs, online time or bytes as commands take it. */
#include "host/cli/cli.h"
#include "search/prune/prune.h"

typedef struct spx_budget_values {
    int64_t relus;
    const char *text;
} spx_budget_values;

#define SPX_BUDGET_OPTIONS(STRUCT, FIELD)                                                          \
    SPX_OPT(INT, STRUCT, FIELD.relus, "relu-budget", "N", NULL, "ReLUs to keep at most", .min = 1, \
            .max = 1e15),                                                                          \
        SPX_OPT(STRING, STRUCT, FIELD.text, "budget", "B", NULL,                                   \
                "relus:N; or, of whole layers, online-ms:T@LINK or bytes:N of a private query, "   \
                "prepared "                                                                        \
                "and answered, as cost --usual-rates tells them")
/** A row of a command's needs. */
#define SPX_BUDGET_NEEDS                                                                           \
    {                                                                                              \
        "budget", "!relu-budget"                                                                   \
    }

/** What they say. @return SPX_OK, or a usage error (none given, no budget, not above 0) */
SPX_MUST_CHECK spx_status spx_talk_budget(spx_cli *cli, const spx_budget_values *v,
                                          spx_prune_budget *out);

#endif
