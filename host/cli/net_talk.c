#include "host/cli/net_talk.h"

#include <stdio.h>
#include <string.h>

spx_status spx_net_input(spx_cli *cli, const spx_int_list *l, spx_input_shape *out)
{
    if (l->n != 3) {
        return spx_cli_usage(cli, "--input takes CxHxW");
    }
    *out = (spx_input_shape){l->v[0], l->v[1], l->v[2]};
    return SPX_OK;
}

spx_status spx_net_config(spx_cli *cli, const spx_net_values *v, spx_genotype *g,
                          spx_final_config *c)
{
    *c = (spx_final_config){.batch = 1,
                            .classes = v->classes,
                            .init_channels = v->init_channels,
                            .layers = v->layers,
                            .n_reduce = (int)v->reduce_at.n};
    SPX_RETURN_IF(spx_net_input(cli, &v->input, &c->input));
    if (v->reduce_at.n > SPX_MAX_REDUCE) {
        return spx_cli_usage(cli, "--reduce-at takes at most %d cells", SPX_MAX_REDUCE);
    }
    for (size_t i = 0; i < v->reduce_at.n; i++) {
        c->reduce_at[i] = (int)v->reduce_at.v[i];
    }
    return spx_genotype_load(g, v->genotype);
}

spx_final_spec spx_net_spec(const spx_genotype *g, const spx_final_config *c)
{
    spx_final_spec s = {.genotype = *g,
                        .input = c->input,
                        .classes = c->classes,
                        .init_channels = c->init_channels,
                        .layers = c->layers,
                        .n_reduce = c->n_reduce};
    memcpy(s.reduce_at, c->reduce_at, sizeof s.reduce_at);
    return s;
}

spx_status spx_net_audit(spx_audit *out, const spx_genotype *g, spx_final_config *c)
{
    c->auxiliary = true;
    if (spx_audit_final(out, g, c) == SPX_OK) {
        return SPX_OK;
    }
    c->auxiliary = false; /* the head asks more of an input's size than the network does */
    return spx_audit_final(out, g, c);
}

static json_t *int_array(const int64_t *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++) {
        if (json_array_append_new(a, json_integer(v[i])) != 0) {
            json_decref(a);
            return NULL;
        }
    }
    return a;
}

json_t *spx_net_json(const spx_final_config *c)
{
    int64_t at[SPX_MAX_REDUCE];
    const int64_t input[] = {c->input.channels, c->input.rows, c->input.columns};
    for (int r = 0; r < c->n_reduce; r++) {
        at[r] = c->reduce_at[r];
    }
    return json_pack("{s:I, s:o, s:o, s:I}", "init_channels", (json_int_t)c->init_channels,
                     "reduce_at", int_array(at, c->n_reduce), "input", int_array(input, 3),
                     "classes", (json_int_t)c->classes);
}

/* "stem", "cell 3", ... */
static const char *layer_name(const spx_layer_audit *l, char buffer[static 24])
{
    if (l->cell < 0) {
        return spx_layer_kind_name(l->kind);
    }
    (void)snprintf(buffer, 24, "cell %d", l->cell);
    return buffer;
}

json_t *spx_audit_json(const spx_audit *a)
{
    json_t *layers = json_array();
    for (int i = 0; i < a->n; i++) {
        const spx_layer_audit *l = &a->layer[i];
        char name[24];
        json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
                              layer_name(l, name), "kind", spx_layer_kind_name(l->kind), "channels",
                              (json_int_t)l->channels, "rows", (json_int_t)l->rows, "columns",
                              (json_int_t)l->columns, "relus", (json_int_t)l->counts.relus,
                              "params", (json_int_t)(l->counts.params + l->counts.params_aux),
                              "macs", (json_int_t)l->counts.macs);
        if (json_array_append_new(layers, o) != 0) {
            json_decref(layers);
            return NULL;
        }
    }
    return layers;
}

static void print_row(const char *name, const char *kind, const char *output, int64_t relus,
                      int64_t params, int64_t macs)
{
    (void)printf("%-12s %-10s %14s %12lld %12lld %14lld\n", name, kind, output, (long long)relus,
                 (long long)params, (long long)macs);
}

void spx_audit_print(const spx_audit *a)
{
    char name[24], output[64];
    (void)printf("%-12s %-10s %14s %12s %12s %14s\n", "layer", "kind", "output", "ReLUs",
                 "parameters", "multiply-adds");
    for (int i = 0; i < a->n; i++) {
        const spx_layer_audit *l = &a->layer[i];
        (void)snprintf(output, sizeof output, "%lldx%lldx%lld", (long long)l->channels,
                       (long long)l->rows, (long long)l->columns);
        print_row(layer_name(l, name), spx_layer_kind_name(l->kind), output, l->counts.relus,
                  l->counts.params + l->counts.params_aux, l->counts.macs);
    }
    print_row("total", "", "", a->total.relus, a->total.params, a->total.macs);
    if (a->total.params_aux > 0) {
        (void)printf(
            "The auxiliary head (%lld parameters) is for training only and not in the total.\n",
            (long long)a->total.params_aux);
    }
}
