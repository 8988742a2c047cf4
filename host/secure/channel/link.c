#include "host/secure/channel/channel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct unit {
    const char *name;
    double scale;
} unit;

/* A number and a unit from the table; *end is what follows. */
static bool quantity(const char *text, const unit *units, size_t n, double *out, const char **end)
{
    char *after;
    const double value = strtod(text, &after);
    if (after == text || !isfinite(value) || value < 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(units[i].name);
        if (strncmp(after, units[i].name, len) == 0) {
            *out = value * units[i].scale;
            *end = after + len;
            return true;
        }
    }
    return false;
}

spx_status spx_link_parse(const char *text, spx_link *out)
{
    static const struct {
        const char *name;
        spx_link link;
    } known[] = {{"loopback", {0, 0}}, {"lan", {3e9 / 8, 0.3e-3}}, {"wan", {400e6 / 8, 40e-3}}};
    static const unit rates[] = {{"kbps", 1e3 / 8}, {"Mbps", 1e6 / 8}, {"Gbps", 1e9 / 8}},
                      times[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
    const char *rest;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i].name) == 0) {
            *out = known[i].link;
            return SPX_OK;
        }
    }
    if (quantity(text, rates, 3, &out->bytes_per_second, &rest) && out->bytes_per_second > 0 &&
        *rest == ',' && quantity(rest + 1, times, 3, &out->rtt_seconds, &rest) && *rest == '\0' &&
        out->rtt_seconds <= 60) {
        return SPX_OK;
    }
    return SPX_FAIL(SPX_EINVAL,
                    "link %s: expected loopback, lan, wan or RATE,RTT such as 100Mbps,20ms", text);
}
