#include "host/cli/net_talk.h"

#include "search/budget/plan_file.h"
#include "search/final/export.h"
#include "search/space/reference.h"

#include <stdio.h>

spx_status spx_net_cells(spx_cli *cli, const char *option, const spx_int_list *l,
                         int at[SPX_MAX_REDUCE], int *n)
{
    if (l->n > SPX_MAX_REDUCE) {
        return spx_cli_usage(cli, "--%s takes at most %d cells", option, SPX_MAX_REDUCE);
    }
    for (size_t i = 0; i < l->n; i++) {
        at[i] = (int)l->v[i];
    }
    *n = (int)l->n;
    return SPX_OK;
}

spx_status spx_net_input(spx_cli *cli, const spx_int_list *l, spx_input_shape *out)
{
    if (l->n != 3) {
        return spx_cli_usage(cli, "--input takes CxHxW");
    }
    *out = (spx_input_shape){l->v[0], l->v[1], l->v[2]};
    return SPX_OK;
}

spx_status spx_net_reference(spx_cli *cli, const char *text, spx_final_spec *f)
{
    const spx_status st = spx_reference_parse(f->reference, text, &f->input);
    return st == SPX_EINVAL ? spx_cli_usage(cli, "%s", spx_error_message()) : st;
}

spx_status spx_net_spec(spx_cli *cli, const spx_net_values *v, spx_final_spec *f)
{
    *f = (spx_final_spec){.classes = v->classes};
    SPX_RETURN_IF(spx_net_input(cli, &v->input, &f->input));
    if (v->network != NULL) {
        return spx_net_reference(cli, v->network, f);
    }
    SPX_RETURN_IF(spx_genotype_load(&f->genotype, v->genotype));
    if (v->plan != NULL) {
        return spx_plan_load(v->plan, f);
    }
    f->init_channels = v->init_channels;
    f->layers = v->layers;
    return spx_net_cells(cli, "reduce-at", &v->reduce_at, f->reduce_at, &f->n_reduce);
}

spx_status spx_net_random_spec(spx_cli *cli, const spx_net_values *v, spx_final_spec *f)
{
    SPX_RETURN_IF(spx_net_spec(cli, v, f));
    for (int i = 0; i < 3; i++) {
        f->mean[i] = 0.5;
        f->std[i] = 0.25;
    }
    return SPX_OK;
}

spx_status spx_net_deployed(spx_deploy **out, const char *model, const spx_final_spec *f,
                            spx_stream *stream)
{
    const spx_export_options o = {.images = 1};
    return model != NULL ? spx_deploy_read(out, model)
                         : spx_export_random(out, f, 1, stream, &o, NULL);
}

spx_status spx_net_audit(spx_audit *out, const spx_final_spec *f)
{
    /* the head asks more of an input's size than the network does */
    return spx_audit_final(out, f, true) == SPX_OK ? SPX_OK : spx_audit_final(out, f, false);
}

json_t *spx_net_json(const spx_final_spec *f)
{
    json_t *j = json_pack("{s:[I,I,I], s:I}", "input", (json_int_t)f->input.channels,
                          (json_int_t)f->input.rows, (json_int_t)f->input.columns, "classes",
                          (json_int_t)f->classes);
    json_t *net = f->reference[0] != '\0'
                      ? json_pack("{s:s}", "network", f->reference)
                      : json_pack("{s:I, s:o}", "init_channels", (json_int_t)f->init_channels,
                                  "reduce_at", spx_reduce_at_json(f->reduce_at, f->n_reduce));
    if (j == NULL || net == NULL || json_object_update(j, net) != 0) {
        json_decref(j);
        j = NULL;
    }
    json_decref(net);
    return j;
}

/* "stem", "cell 3", "stage 0", ... */
static const char *layer_name(const spx_layer_audit *l, char buffer[static 24])
{
    if (l->cell < 0) {
        return spx_layer_kind_name(l->kind);
    }
    (void)snprintf(buffer, 24, "%s %d", l->kind == SPX_LAYER_STAGE ? "stage" : "cell", l->cell);
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
                              (json_int_t)l->columns, "relus", (json_int_t)l->relus.kept, "params",
                              (json_int_t)(l->counts.params + l->counts.params_aux), "macs",
                              (json_int_t)l->counts.macs);
        spx_relu_count_json(o, &l->relus);
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
        print_row(layer_name(l, name), spx_layer_kind_name(l->kind), output, l->relus.kept,
                  l->counts.params + l->counts.params_aux, l->counts.macs);
    }
    print_row("total", "", "", a->relus.kept, a->total.params, a->total.macs);
    if (a->relus.masked) {
        (void)printf("Masks keep %lld of %lld ReLUs", (long long)a->relus.kept,
                     (long long)a->relus.full);
        if (a->relus.counted) {
            (void)printf("; circuits of the deployed model evaluate %lld positions",
                         (long long)a->relus.interactive);
        }
        (void)printf(".\n");
    }
    if (a->total.params_aux > 0) {
        (void)printf(
            "The auxiliary head (%lld parameters) is for training only and not in the total.\n",
            (long long)a->total.params_aux);
    }
}
