/* sphynx plan: the best final network within a hard ReLU budget. */
#include "host/cli/commands.h"
#include "host/cli/net_talk.h"
#include "search/budget/plan_file.h"
#include "search/location/location_file.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *genotype, *frontier, *location;
    int64_t relu_budget, classes, max_params, max_macs, min_layers, max_layers;
    spx_int_list input;
} values;

static const spx_option options[] = {
    SPX_OPT(INT, values, relu_budget, "relu-budget", "N", NULL, "ReLUs the network may use",
            .min = 1, .max = 1e15),
    SPX_OPT(STRING, values, frontier, "frontier", "A:B:STEP", NULL,
            "the choices over a range of budgets, or over a list N,N,...",
            .flags = SPX_OPT_TRANSIENT),
    SPX_GENOTYPE_OPTION(values, genotype),
    SPX_OPT(SHAPE, values, input, "input", "CxHxW", "3x32x32",
            "image shape; 224x224 is the ImageNet network", .min = 1, .max = 4096),
    SPX_OPT(INT, values, classes, "classes", "K", "100", "classes", .min = 1, .max = 1e6),
    SPX_OPT(INT, values, max_params, "max-params", "N", "0",
            "parameters allowed, without the auxiliary head; 0: any", .min = 0, .max = 1e15),
    SPX_OPT(INT, values, max_macs, "max-macs", "N", "0", "multiply-adds allowed per image; 0: any",
            .min = 0, .max = 1e15),
    SPX_OPT(INT, values, min_layers, "min-layers", "N", "2", "fewest cells", .min = 2,
            .max = SPX_MAX_LAYERS),
    SPX_OPT(INT, values, max_layers, "max-layers", "N", "20", "most cells", .min = 2,
            .max = SPX_MAX_LAYERS),
    SPX_OPT(STRING, values, location, "location", "RUN|FILE", NULL,
            "folder of sphynx locate, or its location.json: its number of cells, and those that "
            "reduce"),
    {0}};

static const spx_need needs[] = {{"min-layers max-layers", "!location"}, {0}};

#define FRONTIER_MAX 1000

/* The budgets of --frontier, in the order given. */
static spx_status parse_frontier(spx_cli *cli, const char *text, int64_t *budget, int *n)
{
    long long a, b, step;
    int used = 0;
    *n = 0;
    if (sscanf(text, "%15lld:%15lld:%15lld%n", &a, &b, &step, &used) == 3 && text[used] == '\0') {
        if (a < 1 || b < a || step < 1 || (b - a) / step >= FRONTIER_MAX) {
            return spx_cli_usage(
                cli, "--frontier: expected 1 <= A <= B, STEP >= 1 and at most %d budgets",
                FRONTIER_MAX);
        }
        for (; a <= b; a += step) {
            budget[(*n)++] = a;
        }
        return SPX_OK;
    }
    for (const char *at = text;
         *n < FRONTIER_MAX && sscanf(at, "%15lld%n", &a, &used) == 1 && a > 0; at++) {
        budget[(*n)++] = a;
        at += used;
        if (*at == '\0') {
            return SPX_OK;
        }
        if (*at != ',') {
            break;
        }
    }
    return spx_cli_usage(cli, "--frontier takes A:B:STEP or N,N,...; not %.40s", text);
}

static void print_choice(const spx_plan_choice *c, int64_t budget)
{
    (void)printf("%12lld %12lld %9lld %7lld %6d,%d %12lld %14lld %8.3f\n", (long long)budget,
                 (long long)c->counts.relus, (long long)c->init_channels, (long long)c->layers,
                 c->reduce_at[0], c->reduce_at[1], (long long)c->counts.params,
                 (long long)c->counts.macs, c->score);
}

/* "normal cells 0, 2; reduction cells none" */
static void print_mask(const spx_plan_choice *c)
{
    static const char *const kind[] = {"normal", "reduction"};
    const uint8_t keep[] = {c->keep.normal, c->keep.reduce};
    (void)printf("ReLUs on states kept:");
    for (int k = 0; k < 2; k++) {
        const char *before = " ";
        (void)printf("%s %s cells", k > 0 ? ";" : "", kind[k]);
        for (int i = 0; i < SPX_CELL_SITES; i++) {
            if ((keep[k] >> i & 1) != 0) {
                (void)printf("%s%d", before, i);
                before = ", ";
            }
        }
        (void)printf("%s", keep[k] == 0 ? " none" : "");
    }
    (void)printf("; and every cell's output.\n");
}

static void print_heading(void)
{
    (void)printf("%12s %12s %9s %7s %8s %12s %14s %8s\n", "budget", "ReLUs", "channels", "layers",
                 "reduce", "parameters", "multiply-adds", "score");
}

/* One line or object a budget; one that nothing fits is said so, not left out. */
static spx_status frontier(spx_cli *cli, spx_planner *p, spx_plan_bounds *b, const char *text)
{
    int64_t budget[FRONTIER_MAX];
    int n;
    SPX_RETURN_IF(parse_frontier(cli, text, budget, &n));
    json_t *list = json_array();
    if (!cli->json) {
        print_heading();
    }
    for (int i = 0; i < n; i++) {
        spx_plan_choice c;
        b->relus = budget[i];
        const spx_status st = spx_planner_best(p, b, &c);
        if (st != SPX_OK && st != SPX_ENOTFOUND) {
            json_decref(list);
            return st;
        }
        if (cli->json) {
            json_t *o = st == SPX_OK ? spx_plan_json(&c, budget[i])
                                     : json_pack("{s:I, s:s}", "relu_budget", (json_int_t)budget[i],
                                                 "impossible", spx_error_message());
            if (json_array_append_new(list, o) != 0) {
                json_decref(list);
                return SPX_FAIL(SPX_ENOMEM, "plan: JSON");
            }
        } else if (st == SPX_OK) {
            print_choice(&c, budget[i]);
        } else {
            (void)printf("%12lld %s\n", (long long)budget[i], spx_error_message());
        }
    }
    if (cli->json) {
        return spx_cli_print_json(list);
    }
    json_decref(list);
    return SPX_OK;
}

static spx_status one(spx_cli *cli, spx_planner *p, const spx_plan_bounds *b, const spx_genotype *g,
                      const spx_input_shape *input, int64_t classes)
{
    spx_plan_choice c;
    spx_audit audit;
    SPX_RETURN_IF(spx_planner_best(p, b, &c));
    const spx_final_spec spec = spx_plan_spec(&c, g, input, classes);
    SPX_RETURN_IF(spx_audit_final(&audit, &spec, false));
    if (cli->json) {
        json_t *o = spx_plan_json(&c, b->relus);
        if (o == NULL || json_object_set_new(o, "audit", spx_audit_json(&audit)) != 0) {
            json_decref(o);
            return SPX_FAIL(SPX_ENOMEM, "plan: JSON");
        }
        return spx_cli_print_json(o);
    }
    print_heading();
    print_choice(&c, b->relus);
    if (c.masked) {
        print_mask(&c);
    }
    (void)printf("\n");
    spx_audit_print(&audit);
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_genotype g;
    spx_cell_masks masks;
    spx_input_shape input;
    spx_planner *p;
    spx_location_pair located;
    spx_plan_bounds b = {.relus = v->relu_budget,
                         .max_params = v->max_params,
                         .max_macs = v->max_macs,
                         .min_layers = v->min_layers,
                         .max_layers = v->max_layers};
    if (spx_cli_given(cli, "relu-budget") == (v->frontier != NULL)) {
        return spx_cli_usage(cli, "give one of --relu-budget and --frontier");
    }
    if (b.min_layers > b.max_layers) {
        return spx_cli_usage(cli, "--min-layers is above --max-layers");
    }
    SPX_RETURN_IF(spx_net_input(cli, &v->input, &input));
    SPX_RETURN_IF(spx_genotype_load_masked(&g, &masks, v->genotype));
    if (v->location != NULL) {
        SPX_RETURN_IF(spx_location_load(v->location, &g, &b.min_layers, &located));
        b.max_layers = b.min_layers;
        b.reduce_at = located.at;
    }
    SPX_RETURN_IF(spx_planner_create(&p, &g, &input, v->classes));
    spx_planner_set_masks(p, &masks);
    const spx_status st = v->frontier != NULL ? frontier(cli, p, &b, v->frontier)
                                              : one(cli, p, &b, &g, &input, v->classes);
    spx_planner_destroy(p);
    return st;
}

const spx_command spx_cmd_plan = {
    .name = "plan",
    .summary = "Finds the best final network within a hard ReLU budget.",
    .example = "sphynx plan --relu-budget 51200 --input 3x32x32 --classes 100",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .run = run,
};
