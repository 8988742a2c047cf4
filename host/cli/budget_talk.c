#include "host/cli/budget_talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A whole number of at least 1 behind `prefix`, and nothing else. */
static bool count_behind(const char *text, const char *prefix, int64_t *out)
{
    const size_t n = strlen(prefix);
    char *end;
    if (strncmp(text, prefix, n) != 0 || text[n] < '0' || text[n] > '9') {
        return false;
    }
    errno = 0;
    *out = strtoll(text + n, &end, 10);
    return errno == 0 && *end == '\0' && *out >= 1 && *out <= (int64_t)1e15;
}

/* "online-ms:T@LINK", in microseconds. */
static bool time_behind(const char *text, spx_prune_budget *out)
{
    static const char prefix[] = "online-ms:";
    char *end;
    double ms;
    if (strncmp(text, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    text += sizeof prefix - 1;
    ms = strtod(text, &end);
    if (end == text || *end != '@' || !(ms >= 0.001 && ms <= 1e9)) {
        return false;
    }
    out->value = (int64_t)(1000.0 * ms);
    return spx_link_parse(end + 1, &out->link) == SPX_OK;
}

spx_status spx_talk_budget(spx_cli *cli, const spx_budget_values *v, spx_prune_budget *out)
{
    *out = (spx_prune_budget){.kind = SPX_BUDGET_RELUS, .value = v->relus};
    if (v->text == NULL) {
        (void)snprintf(out->text, sizeof out->text, "relus:%lld", (long long)v->relus);
        return spx_cli_given(cli, "relu-budget")
                   ? SPX_OK
                   : spx_cli_usage(cli, "give --relu-budget N, or --budget");
    }
    const bool fits = strlen(v->text) < sizeof out->text;
    if (fits && count_behind(v->text, "relus:", &out->value)) {
        out->kind = SPX_BUDGET_RELUS;
    } else if (fits && count_behind(v->text, "bytes:", &out->value)) {
        out->kind = SPX_BUDGET_BYTES;
    } else if (fits && time_behind(v->text, out)) {
        out->kind = SPX_BUDGET_ONLINE;
    } else {
        return spx_cli_usage(cli,
                             "--budget takes relus:N, online-ms:T@LINK (LINK: loopback, lan, wan "
                             "or RATE,RTT) or bytes:N, numbers above 0; not %.60s",
                             v->text);
    }
    (void)snprintf(out->text, sizeof out->text, "%s", v->text);
    return SPX_OK;
}
