/* sphynx inspect: what a final network costs, layer by layer, and what its cells look like. */
#include "host/cli/commands.h"
#include "host/cli/deploy_talk.h"
#include "host/cli/graphviz.h"
#include "host/cli/net_talk.h"
#include "host/cli/preprocess_talk.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "search/final/model.h"
#include "search/space/draw.h"
#include "search/space/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    spx_net_values net;
    const char *model, *svg, *dot;
    bool relus;
} values;

static const spx_option options[] = {
    SPX_OPT(
        STRING, values, model, "model", "RUN|FILE", NULL,
        "the network of a model or checkpoint, in place of the next eight; or a deployed model"),
    SPX_NET_OPTIONS(values, net),
    SPX_PLAN_OPTION(values, net.plan),
    SPX_OPT(FLAG, values, relus, "relus", NULL, "false",
            "list its ReLUs by name, too, in the order in which train --keep-shares takes shares"),
    SPX_OPT(STRING, values, svg, "svg", "FILE", NULL, "draw the cells (needs Graphviz)",
            .flags = SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT),
    SPX_OPT(STRING, values, dot, "dot", "FILE", NULL, "write that drawing in Graphviz' language",
            .flags = SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT),
    {0}};

static const spx_need needs[] = {
    {"network genotype plan init-channels layers reduce-at input classes", "!model"},
    SPX_NETWORK_NEED,
    SPX_PLAN_NEEDS,
    {"svg dot", "!network"},
    {0}};

static spx_status draw(const values *v, const spx_genotype *g)
{
    spx_status st = SPX_OK;
    char *text = spx_genotype_dot(g);
    if (text == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "inspect: drawing");
    }
    if (v->dot != NULL) {
        const spx_span part = {text, strlen(text)};
        st = spx_file_replace(v->dot, &part, 1);
    }
    if (st == SPX_OK && v->svg != NULL) {
        st = spx_graphviz_svg(text, v->svg);
    }
    free(text);
    return st;
}

/* A network's ReLUs, and how many positions its masks keep. */
static spx_status list_relus(const spx_final_spec *f, const spx_masks *masks, spx_relu_audit **out,
                             int *n)
{
    SPX_RETURN_IF(spx_audit_relus(out, n, f));
    for (int i = 0; i < *n && masks->n > 0; i++) { /* both are in graph order */
        (*out)[i].kept = spx_mask_site_relus(&masks->site[i]);
    }
    return SPX_OK;
}

static json_t *relus_json(const spx_relu_audit *r, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(
            a, json_pack("{s:s, s:I, s:I, s:I, s:I}", "relu", r[i].name, "channels",
                         (json_int_t)r[i].channels, "rows", (json_int_t)r[i].rows, "columns",
                         (json_int_t)r[i].columns, "relus", (json_int_t)r[i].kept));
    }
    return a;
}

static void print_relus(const spx_relu_audit *r, int n)
{
    char shape[64];
    (void)printf("%-44s %16s %12s\n", "ReLU", "of", "kept");
    for (int i = 0; i < n; i++) {
        (void)snprintf(shape, sizeof shape, "%lldx%lldx%lld", (long long)r[i].channels,
                       (long long)r[i].rows, (long long)r[i].columns);
        (void)printf("%-44s %16s %12lld\n", r[i].name, shape, (long long)r[i].kept);
    }
}

static spx_status print_json(const spx_audit *a, const spx_final_spec *f,
                             const spx_preprocess *images, json_t *relus)
{
    json_t *o =
        json_pack("{s:I, s:I, s:I, s:I, s:o}", "relus", (json_int_t)a->relus.kept, "params",
                  (json_int_t)a->total.params, "params_aux", (json_int_t)a->total.params_aux,
                  "macs", (json_int_t)a->total.macs, "layers", spx_audit_json(a));
    spx_relu_count_json(o, &a->relus);
    if (json_object_set_new(o, "relu_layers", relus) != 0) { /* takes it in any case */
        json_decref(o);
        o = NULL;
    }
    json_t *net = spx_net_json(f);
    bool bad = o == NULL || net == NULL || json_object_update_missing(o, net) != 0;
    if (!bad && images->channels > 0) {
        bad = json_object_set_new(o, "preprocessing", spx_preprocess_json(images)) != 0;
    }
    json_decref(net);
    if (bad) {
        json_decref(o);
        return SPX_FAIL(SPX_ENOMEM, "inspect: JSON");
    }
    return spx_cli_print_json(o);
}

static void print_resolution(int64_t rows, int64_t columns)
{
    (void)printf("ReLUs are counted for inputs of %lldx%lld pixels: the test resolution is part of "
                 "the count.\n",
                 (long long)rows, (long long)columns);
}

static spx_status inspect_deployed(spx_cli *cli, const values *v, const spx_deploy *m)
{
    spx_preprocess images = {0};
    spx_status st = SPX_OK;
    if (v->svg != NULL || v->dot != NULL || v->relus) {
        return spx_cli_usage(cli, v->relus ? "the ReLUs of a deployed model have no names"
                                           : "a deployed model has no cells to draw");
    }
    SPX_RETURN_IF(spx_fail_context(spx_preprocess_of_deployed(&images, m), "%s", v->model));
    if (cli->json) {
        json_t *j = spx_deploy_json(m);
        (void)json_object_set_new(j, "preprocessing", spx_preprocess_json(&images));
        st = spx_cli_print_json(j);
    } else {
        spx_deploy_print(m);
        print_resolution(m->value[0].h, m->value[0].w);
        spx_preprocess_print(&images);
    }
    spx_preprocess_clear(&images);
    return st;
}

static spx_status print_net(const spx_cli *cli, const values *v, const spx_model *m,
                            const spx_audit *audit, const spx_masks *masks)
{
    spx_relu_audit *relu = NULL;
    int n;
    spx_status st = list_relus(&m->spec, masks, &relu, &n);
    if (st == SPX_OK && cli->json) {
        st = print_json(audit, &m->spec, &m->images, relus_json(relu, n));
    } else if (st == SPX_OK) {
        spx_audit_print(audit);
        print_resolution(m->spec.input.rows, m->spec.input.columns);
        if (v->relus) {
            print_relus(relu, n);
        }
        if (m->images.channels > 0) {
            spx_preprocess_print(&m->images);
        }
    }
    spx_free(relu);
    return st;
}

static spx_status inspect_net(spx_cli *cli, const values *v, const spx_model *m)
{
    const spx_final_spec *f = &m->spec;
    spx_audit audit;
    spx_masks masks = {0};
    spx_status st = SPX_OK;
    if (f->reference[0] != '\0' && (v->dot != NULL || v->svg != NULL)) {
        return spx_cli_usage(cli, "%s: a published network has no cells to draw", v->model);
    }
    SPX_RETURN_IF(spx_net_audit(&audit, f));
    if (v->model != NULL) {
        SPX_RETURN_IF(spx_model_masks(&masks, m));
        spx_masks_audit(&masks, &audit);
        SPX_TRY(st, spx_model_relus(&audit.relus, m), end);
    }
    if (v->dot != NULL || v->svg != NULL) {
        SPX_TRY(st, draw(v, &f->genotype), end);
    }
    st = print_net(cli, v, m, &audit, &masks);
end:
    spx_masks_clear(&masks);
    return st;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_model m = {0};
    spx_deploy *deployed = NULL;
    spx_status st;
    const char *const written[] = {v->svg, v->dot};
    for (int i = 0; i < 2; i++) {
        if (written[i] != NULL) {
            SPX_RETURN_IF(spx_cli_distinct(cli, written[i], v->model));
            SPX_RETURN_IF(spx_cli_distinct(cli, written[i], v->net.genotype));
        }
    }
    if (v->model != NULL) {
        SPX_RETURN_IF(spx_model_open_any(&m, &deployed, v->model));
    }
    if (deployed != NULL) {
        st = inspect_deployed(cli, v, deployed);
        spx_deploy_destroy(deployed);
        return st;
    }
    if (v->model == NULL) {
        SPX_TRY(st, spx_net_spec(cli, &v->net, &m.spec), end);
    }
    st = inspect_net(cli, v, &m);
end:
    spx_model_close(&m);
    return st;
}

static void list_networks(void)
{
    char line[SPX_REFERENCE_CHARS];
    (void)puts("\npublished networks for --network, their keys and what these are by default, and "
               "forms by side\nof the input (search/space/reference.h says what they mean):");
    for (size_t i = 0; spx_reference_describe(i, line); i++) {
        (void)printf("  %s\n", line);
    }
}

const spx_command spx_cmd_inspect = {
    .name = "inspect",
    .summary = "Audits a final network, or the integers of a deployed one.",
    .example = "sphynx inspect --init-channels 5 --layers 10 --reduce-at 0,5 --input 3x32x32 "
               "--classes 100 --svg cells.svg",
    .more = list_networks,
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .run = run,
};
