#include "search/budget/plan_file.h"

#include "host/control/json_text.h"

#define PLAN_BYTES ((size_t)1 << 20)

json_t *spx_plan_json(const spx_plan_choice *c, int64_t relu_budget)
{
    json_t *j = json_pack(
        "{s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:f}", "relu_budget", (json_int_t)relu_budget,
        "init_channels", (json_int_t)c->init_channels, "layers", (json_int_t)c->layers, "reduce_at",
        spx_reduce_at_json(c->reduce_at, 2), "relus", (json_int_t)c->counts.relus, "params",
        (json_int_t)c->counts.params, "macs", (json_int_t)c->counts.macs, "score", c->score);
    if (c->masked && json_object_set_new(j, "mask", spx_cell_sites_value(c->keep)) != 0) {
        json_decref(j);
        j = NULL;
    }
    return j;
}

/* What the plan's mask drops. */
static spx_status parse_mask(const char *path, const json_t *mask, spx_final_spec *f)
{
    spx_cell_sites keep;
    SPX_RETURN_IF(
        spx_fail_context(spx_cell_sites_of_value(&keep, mask, &f->genotype, "mask"), "%s", path));
    f->dropped = spx_cell_mask_dropped(&f->genotype, keep);
    f->masked = f->masked || (f->dropped.normal | f->dropped.reduce) != 0;
    return SPX_OK;
}

/* Takes the shape; *relus is what the plan counted, 0 where it does not say. */
static spx_status parse(const char *path, const json_t *j, spx_final_spec *f, int64_t *relus)
{
    json_int_t channels = 0, layers = 0, count = 0;
    json_t *at, *mask = NULL;
    json_error_t err;
    if (json_unpack_ex((json_t *)(uintptr_t)j, &err, 0, "{s:I, s:I, s:o, s?I, s?o}",
                       "init_channels", &channels, "layers", &layers, "reduce_at", &at, "relus",
                       &count, "mask", &mask) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: no plan (sphynx plan --json): %s", path, err.text);
    }
    if (channels < 1 || channels > SPX_PLAN_MAX_CHANNELS || layers < 1 || layers > SPX_MAX_LAYERS) {
        return SPX_FAIL(
            SPX_EFORMAT, "%s: %lld channels and %lld layers, expected 1 to %d and 1 to %d", path,
            (long long)channels, (long long)layers, SPX_PLAN_MAX_CHANNELS, SPX_MAX_LAYERS);
    }
    f->init_channels = channels;
    f->layers = layers;
    SPX_RETURN_IF(
        spx_fail_context(spx_reduce_at_parse(at, layers, f->reduce_at, &f->n_reduce), "%s", path));
    *relus = count;
    return mask != NULL ? parse_mask(path, mask, f) : SPX_OK;
}

static spx_status check_relus(const char *path, const spx_final_spec *f, int64_t relus)
{
    spx_audit a;
    SPX_RETURN_IF(spx_audit_final(&a, f, false));
    return relus <= 0 || a.relus.kept == relus
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL,
                          "%s: it counts %lld ReLUs, this network has %lld: the plan is for "
                          "another genotype or input",
                          path, (long long)relus, (long long)a.relus.kept);
}

spx_status spx_plan_load(const char *path, spx_final_spec *f)
{
    json_t *plan;
    int64_t relus = 0;
    spx_status st;
    SPX_RETURN_IF(spx_json_read(&plan, path, PLAN_BYTES));
    st = parse(path, plan, f, &relus);
    json_decref(plan);
    return st == SPX_OK ? check_relus(path, f, relus) : st;
}
