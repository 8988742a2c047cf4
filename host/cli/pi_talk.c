#include "host/cli/pi_talk.h"

#include <stdio.h>

spx_status spx_pi_channel_options(spx_cli *cli, const spx_pi_values *v, spx_channel_options *out)
{
    *out = (spx_channel_options){
        .security = {.psk_path = v->psk, .cert = v->cert, .key = v->key, .ca = v->ca},
        .timeout = v->timeout,
        .deadline = v->deadline};
    if (v->link != NULL && spx_link_parse(v->link, &out->link) != SPX_OK) {
        return spx_cli_usage(cli, "%s", spx_error_message());
    }
    return SPX_OK;
}

spx_status spx_pi_address(spx_cli *cli, const char *option, const char *address,
                          const spx_channel_options *o, bool server)
{
    if (spx_channel_address_check(address) != SPX_OK) {
        return spx_cli_usage(cli, "--%s: %s", option, spx_error_message());
    }
    return spx_channel_options_check(o, address, server) == SPX_OK
               ? SPX_OK
               : spx_cli_usage(cli, "%s", spx_error_message());
}

void spx_pi_warn_unlocked(const spx_vault *v, const char *folder)
{
    if (!spx_vault_locked(v)) {
        (void)fprintf(stderr,
                      "sphynx: warning: %s: the file system has no locks: take care that no other "
                      "process uses it\n",
                      folder);
    }
}

json_t *spx_pi_cost_json(const spx_pi_cost *c, uint64_t n)
{
    const uint64_t k = n > 0 ? n : 1;
    return json_pack("{s:f, s:I, s:I, s:I}", "seconds", c->seconds / (double)k, "bytes_sent",
                     (json_int_t)(c->sent / k), "bytes_received", (json_int_t)(c->received / k),
                     "rounds", (json_int_t)(c->rounds / k));
}

json_t *spx_pi_answer_json(const spx_pi_cost *load, const spx_pi_cost *online, uint64_t n)
{
    return json_pack("{s:f}", "seconds",
                     (load->seconds + online->seconds) / (double)(n > 0 ? n : 1));
}

json_t *spx_pi_parts_json(const spx_pi_parts *p)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "linear", p->linear, "labels", p->labels,
                     "circuits", p->circuits, "material", p->material, "pass", p->pass, "link",
                     p->link);
}

json_t *spx_pi_layers_json(const spx_pi_layer *layer, int n, uint64_t queries)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(list,
                                    json_pack("{s:o, s:o, s:o}", "linear",
                                              spx_pi_cost_json(&layer[i].linear, queries), "relu",
                                              spx_pi_cost_json(&layer[i].relu, queries), "online",
                                              spx_pi_cost_json(&layer[i].online, queries)));
    }
    return list;
}
