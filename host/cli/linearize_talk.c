#include "host/cli/linearize_talk.h"

#include "search/final/recipe.h"

#include <math.h>
#include <string.h>

const char *spx_linearize_recipe(const spx_linearize_values *v)
{
    static const char *const name[] = {[SPX_LINEARIZE_RELUPRUNER] = "relupruner",
                                       [SPX_LINEARIZE_SENET] = "senet",
                                       [SPX_LINEARIZE_SNL] = "snl"};
    return v->method != SPX_LINEARIZE_NONE ? spx_recipe_text(name[v->method], false) : NULL;
}

spx_status spx_open_begun(spx_model *m, const char *run, const char *init_from, bool *goes_on)
{
    const bool open = run != NULL && spx_model_open(m, run) == SPX_OK;
    if (goes_on != NULL) {
        *goes_on = open;
    }
    return open ? SPX_OK : spx_model_open(m, init_from);
}

/* Shape alone: what else should agree is judged where the weights are taken. */
static spx_status check_pack(const spx_model *m, const spx_linearize_from *from)
{
    const spx_preprocess_rules rules = {.any_size = from->any_size, .allow_changed = true};
    spx_preprocess data;
    spx_status st;
    SPX_RETURN_IF(spx_fail_context(spx_preprocess_of_pack(&data, from->pack), "%s", from->data));
    st = spx_preprocess_fit(&m->images, from->init_from, &data, from->data, &rules);
    spx_preprocess_clear(&data);
    return st;
}

spx_status spx_linearize_spec(spx_cli *cli, const spx_linearize_values *v,
                              const spx_linearize_from *from, spx_final_spec *f)
{
    spx_model m;
    spx_status st;
    bool goes_on;
    const char *lacks = from->init_from == NULL ? "--init-from"
                        : from->teacher == NULL ? "--teacher"
                        : v->budget < 1         ? "--relu-budget N, which is at least 1"
                                                : NULL;
    if (lacks != NULL) {
        return spx_cli_usage(cli, "--linearize needs %s", lacks);
    }
    SPX_RETURN_IF(spx_open_begun(&m, from->run, from->init_from, &goes_on));
    st = check_pack(&m, from);
    if (st == SPX_OK && !goes_on && m.spec.masked) {
        spx_cli_talk(
            cli, "%s: has dropped some of its ReLUs; linearizing chooses among all of them anew",
            from->init_from);
    }
    *f = m.spec;
    spx_model_close(&m);
    f->masked = true;
    memcpy(f->mean, from->pack->mean, sizeof f->mean);
    memcpy(f->std, from->pack->std, sizeof f->std);
    return st;
}

/* A tenth after 5/8, 3/4 and 7/8 of the epochs: published, 150, 180 and 210 of 240. */
static spx_schedule fine_tuning(const spx_linearize_values *v)
{
    spx_schedule s = {.kind = SPX_SCHEDULE_STEP,
                      .lr = v->fine_tune_lr,
                      .epochs = v->fine_tune_epochs,
                      .factor = 0.1};
    for (int64_t part = 5; part <= 7; part++) {
        const int64_t at = s.epochs * part / 8;
        if (at > (s.n_milestones > 0 ? s.milestone[s.n_milestones - 1] : 0)) {
            s.milestone[s.n_milestones++] = at;
        }
    }
    return s;
}

spx_status spx_linearize_of(const spx_linearize_values *v, spx_train_options *o)
{
    spx_linearize_options *z = &o->linearize;
    if (v->method == SPX_LINEARIZE_NONE) {
        return SPX_OK;
    }
    *z = (spx_linearize_options){.method = (spx_linearize_method)v->method,
                                 .budget = v->budget,
                                 .linear_stem = v->linear_stem,
                                 .before = v->before,
                                 .every = v->every,
                                 .falling = v->falling,
                                 .shares = v->shares,
                                 .mask_lr = v->mask_lr,
                                 .mask_penalty = v->mask_penalty,
                                 .mask_growth = v->mask_growth,
                                 .first = o->run.schedule,
                                 .second = fine_tuning(v)};
    if (z->second.epochs > 0) {
        SPX_RETURN_IF(spx_fail_context(spx_schedule_check(&z->second), "fine-tuning"));
    }
    o->spec.masks_trained = v->method == SPX_LINEARIZE_SNL;
    o->run.schedule.epochs += z->second.epochs;
    o->aux_weight = 0;
    o->drop_path = 0;
    if (o->distill.attention > 0 && o->distill.attention_at == NULL) {
        SPX_RETURN_IF(spx_linearizer_attention(&o->spec, z->attention_at, sizeof z->attention_at));
        o->distill.attention_at = z->attention_at;
    }
    return SPX_OK;
}
