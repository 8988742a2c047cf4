#include "search/bilevel/search_run.h"

#include "host/train/tuning_cache.h"
#include "search/bilevel/search_private.h"

#include <string.h>

static spx_status open_data(spx_search *x)
{
    const spx_search_options *o = x->o;
    const spx_loader_options lo = {.subset = o->subset,
                                   .subset_count = o->subset_count,
                                   .batch = (size_t)o->net.batch,
                                   .height = (int)o->net.input.rows,
                                   .width = (int)o->net.input.columns,
                                   .augment = o->augment,
                                   .seed = o->run.seed};
    return spx_halves_open(&x->halves, x->run.session->stream, o->pack, &lo);
}

static spx_status open_net(spx_search *x)
{
    spx_session *s = x->run.session;
    const unsigned passes =
        x->o->bilevel.second_order ? SPX_PASSES_SECOND_ORDER : SPX_PASSES_FIRST_ORDER;
    SPX_RETURN_IF(spx_supernet_init(&x->net, s->stream, &x->o->net,
                                    passes | SPX_PASS_BIT(SPX_PASS_EVAL), s->tuning));
    spx_tuning_cache_store(s->tuning);
    SPX_RETURN_IF(spx_layout_arena(x->net.layout, NULL, SPX_ROLE_ARCH, &x->alphas));
    SPX_RETURN_IF(spx_bilevel_init(&x->bilevel, &x->net, &x->o->bilevel, x->o->run.seed));
    if (x->o->cost_weight != 0) {
        SPX_RETURN_IF(spx_layout_arena(x->net.layout, NULL, SPX_ROLE_ARCH, &x->costs));
        SPX_RETURN_IF(spx_private_costs(&x->net, &x->o->private, x->o->cost_weight, &x->costs));
        SPX_RETURN_IF(spx_bilevel_set_costs(&x->bilevel, &x->costs));
    }
    if (x->o->budget.relus > 0) {
        spx_relu_prices p;
        SPX_RETURN_IF(spx_relu_prices_of(&p, &x->net, &x->o->budget));
        SPX_RETURN_IF(spx_bilevel_set_budget(&x->bilevel, &p));
    }
    return SPX_OK;
}

static void describe_run(spx_search *x)
{
    const spx_bilevel *b = &x->bilevel;
    const spx_ckpt_arena arena[] = {
        {"param", SPX_ROLE_WEIGHT, b->weights}, {"param", SPX_ROLE_ARCH, b->alphas},
        {"buffer", SPX_ROLE_STATE, b->state},   {"momentum", SPX_ROLE_WEIGHT, b->momentum},
        {"adam_m", SPX_ROLE_ARCH, b->adam_m},   {"adam_v", SPX_ROLE_ARCH, b->adam_v},
    };
    x->run.epoch_steps = spx_halves_steps(&x->halves);
    x->run.queue = &x->bilevel.queue;
    x->run.layout = x->net.layout;
    x->run.n_arenas = sizeof arena / sizeof arena[0];
    _Static_assert(sizeof arena <= sizeof x->run.arena, "room for all");
    memcpy(x->run.arena, arena, sizeof arena);
}

/* The alphas as they are, and what they stand for. */
spx_status spx_search_look(spx_search *x)
{
    spx_cell_values values;
    SPX_RETURN_IF(spx_bilevel_alphas(&x->bilevel, &x->alphas));
    SPX_RETURN_IF(spx_supernet_genotype(&x->net, &x->alphas, &x->now));
    if (x->o->budget.relus == 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_bilevel_budget(&x->bilevel, &x->gates));
    SPX_RETURN_IF(spx_gate_values(&x->net, &x->alphas, values));
    return spx_cell_masks_choose(&x->now_masks, &x->now, values, x->o->budget.max_depth);
}

static spx_status finish(spx_search *x, spx_search_result *result)
{
    *result = (spx_search_result){.steps = x->run.session->state.step,
                                  .epoch = x->run.best.epoch,
                                  .top1 = x->run.best.top1,
                                  .genotype = x->found};
    SPX_RETURN_IF(spx_search_look(x));
    result->masks = x->found_masks;
    result->relus = x->gates.expected * (double)x->o->budget.relus;
    result->lambda = x->gates.lambda;
    SPX_RETURN_IF(spx_supernet_collapse(&x->net, &x->alphas, &result->collapse));
    return spx_session_result(x->run.session, spx_search_result_json(result));
}

spx_status spx_search_run(spx_session *session, const spx_search_options *o,
                          spx_search_result *result)
{
    spx_search x = {.o = o};
    spx_status st;
    SPX_RETURN_IF(spx_run_init(&x.run, session, &o->run, &spx_search_kind, &x));
    SPX_TRY(st, open_data(&x), end);
    SPX_TRY(st, open_net(&x), end);
    describe_run(&x);
    SPX_TRY(st, spx_run_all(&x.run), end);
    st = finish(&x, result);
end:
    spx_bilevel_clear(&x.bilevel);
    spx_supernet_clear(&x.net);
    spx_buffer_free(&x.alphas);
    spx_buffer_free(&x.costs);
    spx_halves_close(&x.halves);
    return st;
}
