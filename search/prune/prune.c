#include "search/prune/prune.h"

#include "host/control/build_info.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "search/final/export.h"
#include "search/prune/prune_private.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CALIBRATION 64 /* images, for a model whose private cost is asked */

/* ---- files ---- */

spx_status spx_prune_save(const spx_prune_bench *b, const json_t *about, const char *path)
{
    json_t *config = json_object_get(b->model->file.meta, "config");
    json_t *j = about != NULL ? json_deep_copy(about) : json_object();
    (void)json_object_set_new(j, "commit", json_string(spx_build_commit()));
    if (config != NULL) {
        (void)json_object_set(j, "config", config);
    }
    const spx_status st = j == NULL ? SPX_FAIL(SPX_ENOMEM, "%s: description", path)
                                    : spx_model_save(path, &b->spec, &b->model->images, j,
                                                     b->layout, &b->weights, &b->state);
    json_decref(j);
    return st;
}

static spx_status forecast(const spx_deploy *d, spx_link link, spx_prune_private *out)
{
    spx_pi_plan *p;
    SPX_RETURN_IF(spx_pi_plan_create(&p, d));
    const spx_pi_sizes *s = spx_pi_plan_sizes(p);
    *out = (spx_prune_private){.known = true,
                               .bytes = (double)(s->offline_to_server + s->offline_to_client +
                                                 s->online_to_server + s->online_to_client),
                               .online = spx_pi_predict(p, &spx_pi_usual_rates, link, -1).online};
    spx_pi_plan_destroy(p);
    return SPX_OK;
}

/* The model goes to the exporter through a file whose name is gone as soon as it is open. */
spx_status spx_prune_private_cost(spx_prune_bench *b, spx_prune_private *out)
{
    const spx_export_options o = {
        .quantise = {.weight_bits = 8, .activation_bits = 8, .most_bits = 58},
        .images = CALIBRATION};
    char folder[SPX_TEMP_FOLDER], path[sizeof folder + 16];
    spx_model m = {0};
    spx_deploy *d = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_temp_folder(folder, "prune"));
    (void)snprintf(path, sizeof path, "%s/model.h5", folder);
    st = spx_prune_save(b, NULL, path);
    if (st == SPX_OK) {
        st = spx_model_open(&m, path);
    }
    (void)unlink(path);
    (void)rmdir(folder);
    if (st == SPX_OK) {
        st = spx_export(&d, &m, b->pack, b->stream, &o, NULL);
    }
    if (st == SPX_OK) {
        st = forecast(d, b->o->budget.link, out);
    }
    spx_deploy_destroy(d);
    spx_model_close(&m);
    return st;
}

/* ---- the result ---- */

static spx_status list_layers(const spx_prune_bench *b, spx_prune_result *out)
{
    out->n = b->masks.n;
    out->relus_before = spx_masks_relus(&b->masks);
    SPX_RETURN_IF(SPX_NEW(out->layer, (size_t)out->n));
    for (int i = 0; i < out->n; i++) {
        const spx_mask_site *m = &b->masks.site[i];
        spx_pruned_layer *l = &out->layer[i];
        *l = (spx_pruned_layer){.full = m->c * m->h * m->w, .before = spx_mask_site_relus(m)};
        (void)snprintf(l->relu, sizeof l->relu, "%s", m->relu);
    }
    return SPX_OK;
}

static spx_status count_layers(const spx_prune_bench *b, spx_prune_result *out)
{
    for (int i = 0; i < out->n; i++) {
        out->layer[i].kept = spx_mask_site_relus(&b->masks.site[i]);
    }
    return spx_export_relus(&out->relus, &b->spec, b->layout, &b->weights, &b->state);
}

static spx_status check(const spx_prune_options *o, int64_t relus)
{
    const spx_prune_budget *b = &o->budget;
    if (relus == 0) {
        return SPX_FAIL(SPX_EINVAL, "pruning: the model has no ReLUs left");
    }
    if (b->value < 1 || o->batch < 1 || o->rounds < 1 || o->images < 1 ||
        !(o->held_out > 0 && o->held_out < 1) || o->max_depth < 0 ||
        o->max_depth > SPX_SITES_MAX_DEPTH) {
        return SPX_FAIL(SPX_EINVAL, "pruning: an option is out of range");
    }
    if (o->granularity != SPX_PRUNE_EDGE && b->kind != SPX_BUDGET_RELUS) {
        return SPX_FAIL(SPX_EINVAL, "a budget of %s is for whole layers (edge)", b->text);
    }
    if (o->like != NULL && o->granularity != SPX_PRUNE_PIXEL) {
        return SPX_FAIL(SPX_EINVAL,
                        "as many of each layer as another model: for positions (pixel)");
    }
    if (b->kind == SPX_BUDGET_RELUS && b->value > relus) {
        return SPX_FAIL(SPX_EINVAL, "a budget of %s is above the model's: at most %lld", b->text,
                        (long long)relus);
    }
    return SPX_OK;
}

/* The other model's network has to be this one. */
static spx_status check_like(const spx_prune_bench *b)
{
    const spx_masks *like = b->o->like;
    if (like == NULL) {
        return SPX_OK;
    }
    for (int i = 0; i < b->masks.n || i < like->n; i++) {
        const spx_mask_site *m = &b->masks.site[i], *l = &like->site[i];
        if (i >= b->masks.n || i >= like->n || strcmp(m->relu, l->relu) != 0 || m->c != l->c ||
            m->h != l->h || m->w != l->w) {
            return SPX_FAIL(SPX_EINVAL, "the model to count the layers of is of another network");
        }
        if (spx_mask_site_relus(l) > spx_mask_site_relus(m)) {
            return SPX_FAIL(SPX_EINVAL,
                            "the model to count the layers of keeps %lld of %s, this "
                            "one has %lld",
                            (long long)spx_mask_site_relus(l), m->relu,
                            (long long)spx_mask_site_relus(m));
        }
    }
    return SPX_OK;
}

/* The same for people: what cannot be deployed has none. */
static spx_status tell_private(spx_prune_bench *b, spx_prune_private *out)
{
    const spx_status st = spx_prune_private_cost(b, out);
    return st == SPX_ENOMEM || st == SPX_EIO || st == SPX_EINTERRUPTED ? st : SPX_OK;
}

static spx_status prune(spx_prune_bench *b, spx_prune_result *out)
{
    SPX_RETURN_IF(list_layers(b, out));
    SPX_RETURN_IF(check_like(b));
    SPX_RETURN_IF(check(b->o, out->relus_before));
    SPX_RETURN_IF(spx_prune_bench_measure(b, &out->before));
    SPX_RETURN_IF(tell_private(b, &out->private_before));
    SPX_RETURN_IF(b->o->granularity == SPX_PRUNE_EDGE ? spx_prune_edges(b, out)
                                                      : spx_prune_scored(b, out));
    SPX_RETURN_IF(spx_prune_bench_measure(b, &out->after));
    SPX_RETURN_IF(tell_private(b, &out->private_after));
    return count_layers(b, out);
}

static json_t *about(const spx_prune_options *o, const spx_prune_result *r)
{
    static const char *const name[] = {"edge", "channel", "pixel"};
    return json_pack("{s:{s:s, s:b, s:s, s:I, s:I, s:f, s:f, s:f}}", "pruned", "granularity",
                     name[o->granularity], "random", o->random, "budget", o->budget.text,
                     "relus_before", (json_int_t)r->relus_before, "relus",
                     (json_int_t)r->relus.kept, "loss_before", spx_metrics_loss(&r->before),
                     "loss_predicted", r->predicted, "loss_after", spx_metrics_loss(&r->after));
}

spx_status spx_prune(spx_prune_result *out, const spx_model *m, const spx_pack *pack,
                     spx_stream *stream, const spx_prune_options *o, const char *path)
{
    spx_prune_bench b;
    spx_status st;
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(spx_prune_bench_open(&b, stream, m, pack, o));
    st = prune(&b, out);
    if (st == SPX_OK) {
        json_t *j = about(o, out);
        st = spx_prune_save(&b, j, path);
        json_decref(j);
    }
    if (st != SPX_OK) {
        spx_prune_result_clear(out);
    }
    spx_prune_bench_close(&b);
    return st;
}

void spx_prune_result_clear(spx_prune_result *r)
{
    spx_free(r->layer);
    spx_free(r->round);
    memset(r, 0, sizeof *r);
}
