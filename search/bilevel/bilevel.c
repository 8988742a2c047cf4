#include "search/bilevel/bilevel.h"

#include "host/train/device_arenas.h"
#include "kernels/device/device_memory.h"
#include "kernels/nn/softmax/softmax.h"
#include "kernels/optim/optim.h"

#include <assert.h>
#include <math.h>
#include <string.h>

const spx_bilevel_options spx_bilevel_defaults = {
    .second_order = true,
    .momentum = 0.9f,
    .decay = 3e-4f,
    .clip = 5.0,
    .alpha_lr = 3e-4f,
    .alpha_beta1 = 0.5f,
    .alpha_beta2 = 0.999f,
    .alpha_decay = 1e-3f,
    .dual_rate = 0.01,
};

static spx_status check(const spx_bilevel_options *o, const spx_supernet *net)
{
    const struct {
        const char *name;
        double value, below;
    } field[] = {{"momentum", (double)o->momentum, 1},
                 {"weight decay", (double)o->decay, 1},
                 {"clip", o->clip, 1e30},
                 {"alpha rate", (double)o->alpha_lr, 1e3},
                 {"alpha beta1", (double)o->alpha_beta1, 1},
                 {"alpha beta2", (double)o->alpha_beta2, 1},
                 {"alpha decay", (double)o->alpha_decay, 1},
                 {"rate of the multiplier", o->dual_rate, 1e3}};
    const spx_pass third = o->second_order ? SPX_PASS_BOTH : SPX_PASS_ALPHAS;
    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++) {
        if (!(field[i].value >= 0 && field[i].value < field[i].below)) {
            return SPX_FAIL(SPX_EINVAL, "search: %s %g, expected 0 or more and below %g",
                            field[i].name, field[i].value, field[i].below);
        }
    }
    if (net->program[SPX_PASS_WEIGHTS] == NULL || net->program[SPX_PASS_ALPHAS] == NULL ||
        net->program[third] == NULL) {
        return SPX_FAIL(SPX_EINVAL, "search: the supernet lacks a pass");
    }
    return SPX_OK;
}

/* Indices into spx_step_numbers. */
enum { NORM_WEIGHTS, NORM_ALPHAS, NORM_DIRECTION };
enum { LOSS_TRAIN, LOSS_VAL };

static size_t floats(const spx_bilevel *b, spx_role role)
{
    return (size_t)b->net->layout->floats[role];
}

/* Where arena i is kept and what it is like; the last four are of the second order. */
#define ARENAS 12
#define FIRST_ORDER_ARENAS 8

static spx_buffer *arena_at(spx_bilevel *b, int i, spx_role *role)
{
    struct {
        spx_role role;
        spx_buffer *at;
    } const arena[ARENAS] = {{SPX_ROLE_WEIGHT, &b->weights},     {SPX_ROLE_WEIGHT, &b->momentum},
                             {SPX_ROLE_WEIGHT, &b->weight_grad}, {SPX_ROLE_STATE, &b->state},
                             {SPX_ROLE_ARCH, &b->alphas},        {SPX_ROLE_ARCH, &b->adam_m},
                             {SPX_ROLE_ARCH, &b->adam_v},        {SPX_ROLE_ARCH, &b->alpha_grad},
                             {SPX_ROLE_WEIGHT, &b->shifted},     {SPX_ROLE_ARCH, &b->alpha_plus},
                             {SPX_ROLE_ARCH, &b->alpha_minus},   {SPX_ROLE_ARCH, &b->hessian}};
    assert(i >= 0 && i < ARENAS);
    *role = arena[i].role;
    return arena[i].at;
}

spx_status spx_bilevel_init(spx_bilevel *b, spx_supernet *net, const spx_bilevel_options *o,
                            uint64_t seed)
{
    spx_status st;
    memset(b, 0, sizeof *b);
    b->options = *o;
    b->net = net;
    SPX_TRY(st, check(o, net), fail);
    SPX_TRY(st, spx_step_queue_init(&b->queue, net->stream, floats(b, SPX_ROLE_WEIGHT)), fail);
    for (int i = 0; i < (o->second_order ? ARENAS : FIRST_ORDER_ARENAS); i++) {
        spx_role role;
        spx_buffer *at = arena_at(b, i, &role);
        SPX_TRY(st, spx_layout_arena(net->layout, net->stream, role, at), fail);
    }
    SPX_TRY(
        st,
        spx_device_arenas_init(net->layout, net->stream, seed, &b->weights, &b->alphas, &b->state),
        fail);
    return SPX_OK;
fail:
    spx_bilevel_clear(b);
    return st;
}

void spx_bilevel_clear(spx_bilevel *b)
{
    spx_step_queue_clear(&b->queue);
    for (int i = 0; i < ARENAS; i++) {
        spx_role role;
        spx_buffer_free(arena_at(b, i, &role));
    }
    spx_buffer *const priced[] = {&b->costs, &b->softmax, &b->prices,
                                  &b->push,  &b->sites,   &b->gates};
    for (size_t i = 0; i < sizeof priced / sizeof *priced; i++) {
        spx_buffer_free(priced[i]);
    }
    memset(b, 0, sizeof *b);
}

/* The arenas that either needs; costs are nothing until they are set. */
static spx_status make_priced(spx_bilevel *b)
{
    const spx_layout *l = b->net->layout;
    if (b->softmax.data != NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_layout_arena(l, b->net->stream, SPX_ROLE_ARCH, &b->costs));
    return spx_layout_arena(l, b->net->stream, SPX_ROLE_ARCH, &b->softmax);
}

spx_status spx_bilevel_set_costs(spx_bilevel *b, const spx_buffer *costs)
{
    const spx_layout *l = b->net->layout;
    if (b->costs.data != NULL) {
        return SPX_FAIL(SPX_EINVAL, "search: costs are set already");
    }
    SPX_RETURN_IF(
        spx_buffer_check(costs, SPX_DEVICE_CPU, spx_layout_bytes(l, SPX_ROLE_ARCH), "costs"));
    SPX_RETURN_IF(make_priced(b));
    return spx_layout_upload(l, b->net->stream, SPX_ROLE_ARCH, costs, &b->costs);
}

spx_status spx_bilevel_set_budget(spx_bilevel *b, const spx_relu_prices *p)
{
    const spx_layout *l = b->net->layout;
    spx_stream *s = b->net->stream;
    if (b->gates.data != NULL) {
        return SPX_FAIL(SPX_EINVAL, "search: a ReLU budget is set already");
    }
    SPX_RETURN_IF(make_priced(b));
    SPX_RETURN_IF(spx_layout_arena(l, s, SPX_ROLE_ARCH, &b->prices));
    SPX_RETURN_IF(spx_layout_arena(l, s, SPX_ROLE_ARCH, &b->push));
    SPX_RETURN_IF(spx_buffer_alloc(&b->sites, s, sizeof p->site));
    SPX_RETURN_IF(spx_buffer_alloc(&b->gates, s, sizeof(spx_gate_state)));
    b->fixed = p->fixed;
    return spx_upload(s, b->sites.data, p->site, sizeof p->site);
}

spx_status spx_bilevel_set_lambda(spx_bilevel *b, double lambda)
{
    const spx_gate_state state = {.lambda = lambda};
    if (b->gates.data == NULL || !(lambda >= 0 && isfinite(lambda))) {
        return SPX_FAIL(SPX_EINVAL, "search: no ReLU budget, or a multiplier of %g", lambda);
    }
    return spx_upload(b->net->stream, b->gates.data, &state, sizeof state);
}

spx_status spx_bilevel_budget(const spx_bilevel *b, spx_gate_state *out)
{
    *out = (spx_gate_state){0};
    if (b->gates.data == NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_download(b->net->stream, out, b->gates.data, sizeof *out));
    return spx_stream_sync(b->net->stream);
}

/* ---- showing what happens inside a step ---- */

static void show(spx_bilevel *b, spx_bilevel_quantity q, const spx_buffer *data, spx_role role)
{
    const spx_ckpt_arena device = {"", role, *data};
    spx_ckpt_arena host;
    if (b->trace == NULL || b->traced != SPX_OK) {
        return;
    }
    b->traced = spx_host_twins(b->net->layout, b->net->stream, &device, 1, true, &host);
    if (b->traced == SPX_OK) {
        b->trace(b->trace_ctx, q, &host.data);
        spx_host_twins_free(&device, &host, 1);
    }
}

static void show_logits(spx_bilevel *b, spx_bilevel_quantity q, const spx_buffer *logits)
{
    spx_buffer host;
    if (b->trace == NULL || b->traced != SPX_OK) {
        return;
    }
    b->traced = spx_buffer_alloc(&host, NULL, logits->bytes);
    if (b->traced != SPX_OK) {
        return;
    }
    b->traced = spx_download(b->net->stream, host.data, logits->data, host.bytes);
    if (b->traced == SPX_OK) {
        b->traced = spx_stream_sync(b->net->stream);
    }
    if (b->traced == SPX_OK) {
        b->trace(b->trace_ctx, q, &host);
    }
    spx_buffer_free(&host);
}

/* ---- parts of a step, queued ---- */

/* What a gradient's norm and a loss mean for the update behind them. */
static spx_status queue_guard(spx_bilevel *b, const spx_buffer *grad, spx_role role, int loss,
                              int norm, double max_norm)
{
    spx_step_numbers *v = b->queue.numbers;
    SPX_RETURN_IF(spx_norm2(b->net->stream, floats(b, role), grad->data, &v->norm[norm],
                            b->queue.norm_workspace.data));
    return spx_guard_update(b->net->stream, &v->norm[norm], &v->loss[loss], max_norm, &v->guard);
}

static spx_status keep_loss(const spx_bilevel *b, const spx_buffer *loss, int which)
{
    return spx_device_copy(b->net->stream, &b->queue.numbers->loss[which], loss->data,
                           sizeof(float));
}

/* weight_grad = d_w L_train(w); the states are updated. */
static spx_status weight_gradient(spx_bilevel *b, spx_buffer *logits, spx_buffer *loss)
{
    const spx_supernet_run r = {.weights = b->weights,
                                .alphas = b->alphas,
                                .state = b->state,
                                .update_state = true,
                                .weight_grad = b->weight_grad,
                                .images = b->train.images,
                                .labels = b->train.labels};
    return spx_supernet_pass(b->net, SPX_PASS_WEIGHTS, &r, logits, loss);
}

static spx_status queue_first_order(spx_bilevel *b)
{
    const spx_supernet_run r = {.weights = b->weights,
                                .alphas = b->alphas,
                                .state = b->state,
                                .alpha_grad = b->alpha_grad,
                                .images = b->val.images,
                                .labels = b->val.labels};
    spx_buffer logits, loss;
    SPX_RETURN_IF(spx_supernet_pass(b->net, SPX_PASS_ALPHAS, &r, &logits, &loss));
    show_logits(b, SPX_BILEVEL_VAL_LOGITS, &logits);
    show(b, SPX_BILEVEL_DALPHA_VAL, &b->alpha_grad, SPX_ROLE_ARCH);
    return keep_loss(b, &loss, LOSS_VAL);
}

/* out = d_alpha L_train(w + sign*eps*direction); `shifted` holds the sum. */
static spx_status shifted_gradient(spx_bilevel *b, float sign, const spx_buffer *direction,
                                   const spx_buffer *out)
{
    const spx_supernet_run r = {.weights = b->shifted,
                                .alphas = b->alphas,
                                .state = b->state,
                                .update_state = true,
                                .alpha_grad = *out,
                                .images = b->train.images,
                                .labels = b->train.labels};
    SPX_RETURN_IF(spx_axpy(b->net->stream, floats(b, SPX_ROLE_WEIGHT), &b->queue.numbers->eps, sign,
                           b->weights.data, direction->data, b->shifted.data));
    return spx_supernet_pass(b->net, SPX_PASS_ALPHAS, &r, NULL, NULL);
}

static spx_status queue_hessian(spx_bilevel *b, const spx_buffer *direction,
                                const spx_buffer *hessian)
{
    SPX_RETURN_IF(shifted_gradient(b, 1, direction, &b->alpha_plus));
    SPX_RETURN_IF(shifted_gradient(b, -1, direction, &b->alpha_minus));
    return spx_central_difference(b->net->stream, floats(b, SPX_ROLE_ARCH), &b->queue.numbers->eps,
                                  b->options.published_hessian, b->alpha_plus.data,
                                  b->alpha_minus.data, hessian->data);
}

/* weight_grad = v, alpha_grad = g: the validation loss at w'. The net's states are not touched. */
static spx_status queue_lookahead(spx_bilevel *b)
{
    const spx_supernet_run r = {.weights = b->shifted,
                                .alphas = b->alphas,
                                .state = b->state,
                                .weight_grad = b->weight_grad,
                                .alpha_grad = b->alpha_grad,
                                .images = b->val.images,
                                .labels = b->val.labels};
    spx_buffer logits, loss;
    SPX_RETURN_IF(weight_gradient(b, NULL, NULL));
    SPX_RETURN_IF(spx_sgd_lookahead(
        b->net->stream, floats(b, SPX_ROLE_WEIGHT), &b->queue.scalars->xi, b->options.momentum,
        b->options.decay, b->weight_grad.data, b->momentum.data, b->weights.data, b->shifted.data));
    show(b, SPX_BILEVEL_VIRTUAL_WEIGHT, &b->shifted, SPX_ROLE_WEIGHT);
    SPX_RETURN_IF(spx_supernet_pass(b->net, SPX_PASS_BOTH, &r, &logits, &loss));
    show_logits(b, SPX_BILEVEL_VAL_LOGITS, &logits);
    show(b, SPX_BILEVEL_DW_VAL, &b->weight_grad, SPX_ROLE_WEIGHT);
    show(b, SPX_BILEVEL_DALPHA_VAL, &b->alpha_grad, SPX_ROLE_ARCH);
    SPX_RETURN_IF(keep_loss(b, &loss, LOSS_VAL));
    return queue_guard(b, &b->weight_grad, SPX_ROLE_WEIGHT, LOSS_VAL, NORM_DIRECTION, 0);
}

static spx_status queue_second_order(spx_bilevel *b)
{
    spx_step_numbers *v = b->queue.numbers;
    SPX_RETURN_IF(queue_lookahead(b));
    SPX_RETURN_IF(spx_difference_step(b->net->stream, &v->norm[NORM_DIRECTION], &v->eps));
    SPX_RETURN_IF(queue_hessian(b, &b->weight_grad, &b->hessian));
    show(b, SPX_BILEVEL_HESSIAN, &b->hessian, SPX_ROLE_ARCH);
    return spx_axpy(b->net->stream, floats(b, SPX_ROLE_ARCH), &b->queue.scalars->xi, -1,
                    b->alpha_grad.data, b->hessian.data, b->alpha_grad.data);
}

/* Calls op for each row block of the alphas, with its place. */
static spx_status each_row(spx_bilevel *b, spx_status (*op)(spx_bilevel *b, int64_t rows,
                                                            int64_t columns, int64_t at))
{
    const spx_layout *l = b->net->layout;
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        if (e->role == SPX_ROLE_ARCH && e->rank == 2) {
            SPX_RETURN_IF(op(b, e->dim[0], e->dim[1], e->offset));
        }
    }
    return SPX_OK;
}

static spx_status soften(spx_bilevel *b, int64_t rows, int64_t columns, int64_t at)
{
    return spx_softmax_forward(b->net->stream, rows, columns, (float *)b->alphas.data + at,
                               (float *)b->softmax.data + at);
}

/* alpha_grad += d_alpha of sum softmax * costs */
static spx_status descend(spx_bilevel *b, int64_t rows, int64_t columns, int64_t at)
{
    const spx_buffer *costs = b->gates.data != NULL ? &b->push : &b->costs;
    return spx_softmax_backward(b->net->stream, rows, columns, (float *)b->softmax.data + at,
                                (float *)costs->data + at, true, (float *)b->alpha_grad.data + at);
}

/* alpha_grad += d_alpha of the costs and of the budget's penalty: the softmax's gradient. */
static spx_status queue_costs(spx_bilevel *b)
{
    spx_gate_state *state = b->gates.data;
    if (b->softmax.data == NULL) {
        return SPX_OK;
    }
    SPX_RETURN_IF(each_row(b, soften));
    if (state != NULL) {
        SPX_RETURN_IF(spx_gate_prices(b->net->stream, 2 * SPX_CELL_SITES, b->sites.data, b->fixed,
                                      b->softmax.data, b->prices.data, state));
        SPX_RETURN_IF(spx_axpy(b->net->stream, floats(b, SPX_ROLE_ARCH), &state->push, 1,
                               b->costs.data, b->prices.data, b->push.data));
    }
    return each_row(b, descend);
}

/* Behind the alphas' step, so that a gradient that is not finite stops it, too. */
static spx_status queue_lambda(spx_bilevel *b)
{
    return b->gates.data == NULL ? SPX_OK
                                 : spx_gate_ascend(b->net->stream, b->options.dual_rate,
                                                   &b->queue.numbers->guard, b->gates.data);
}

static spx_status queue_alphas(spx_bilevel *b)
{
    const spx_bilevel_options *o = &b->options;
    SPX_RETURN_IF(queue_costs(b));
    show(b, SPX_BILEVEL_ALPHA_GRAD, &b->alpha_grad, SPX_ROLE_ARCH);
    SPX_RETURN_IF(queue_guard(b, &b->alpha_grad, SPX_ROLE_ARCH, LOSS_VAL, NORM_ALPHAS, 0));
    SPX_RETURN_IF(spx_adam(b->net->stream, floats(b, SPX_ROLE_ARCH), o->alpha_lr, o->alpha_beta1,
                           o->alpha_beta2, o->alpha_decay, &b->queue.scalars->adam_t,
                           &b->queue.numbers->guard, b->alpha_grad.data, b->adam_m.data,
                           b->adam_v.data, b->alphas.data));
    return queue_lambda(b);
}

static spx_status queue_weights(spx_bilevel *b)
{
    const spx_bilevel_options *o = &b->options;
    const spx_supernet_config *c = &b->net->config;
    spx_buffer logits, loss;
    SPX_RETURN_IF(weight_gradient(b, &logits, &loss));
    show_logits(b, SPX_BILEVEL_TRAIN_LOGITS, &logits);
    show(b, SPX_BILEVEL_WEIGHT_GRAD, &b->weight_grad, SPX_ROLE_WEIGHT);
    SPX_RETURN_IF(keep_loss(b, &loss, LOSS_TRAIN));
    SPX_RETURN_IF(spx_count_hits(b->net->stream, c->batch, c->batch, c->classes, logits.data,
                                 b->train.labels, &b->queue.numbers->metrics));
    SPX_RETURN_IF(
        queue_guard(b, &b->weight_grad, SPX_ROLE_WEIGHT, LOSS_TRAIN, NORM_WEIGHTS, o->clip));
    return spx_sgd(b->net->stream, floats(b, SPX_ROLE_WEIGHT), &b->queue.scalars->lr,
                   &(spx_sgd_rule){.momentum = o->momentum, .decay = o->decay},
                   &b->queue.numbers->guard, b->weight_grad.data, b->momentum.data,
                   b->weights.data);
}

/* ---- whole steps ---- */

static spx_status queue_step(void *ctx)
{
    spx_bilevel *b = ctx;
    SPX_RETURN_IF(b->options.second_order ? queue_second_order(b) : queue_first_order(b));
    SPX_RETURN_IF(queue_alphas(b));
    SPX_RETURN_IF(queue_weights(b));
    return b->traced;
}

spx_status spx_bilevel_queue(spx_bilevel *b, const spx_samples *train, const spx_samples *val,
                             const spx_bilevel_args *a)
{
    const spx_scalars v = {.step = a->step, .adam_t = b->alpha_steps + 1, .lr = a->lr, .xi = a->xi};
    const void *const key[SPX_RECORDING_KEYS] = {train->images, train->labels, val->images,
                                                 val->labels};
    assert(train->valid == b->net->config.batch && val->valid == b->net->config.batch);
    b->train = *train;
    b->val = *val;
    b->queue.eager = b->queue.eager || b->trace != NULL;
    SPX_RETURN_IF(spx_step_queue_run(&b->queue, &v, key, queue_step, b));
    b->alpha_steps++;
    return SPX_OK;
}

static void fill_report(const spx_step_numbers *v, spx_bilevel_report *report)
{
    *report = (spx_bilevel_report){.train_loss = v->loss[LOSS_TRAIN],
                                   .val_loss = v->loss[LOSS_VAL],
                                   .weight_norm = v->norm[NORM_WEIGHTS],
                                   .alpha_norm = v->norm[NORM_ALPHAS],
                                   .dw_norm = v->norm[NORM_DIRECTION],
                                   .eps = v->eps,
                                   .metrics = v->metrics};
}

/* SPX_ENUMERIC naming the first part of the step that went wrong, if one did. */
static spx_status check_numbers(const spx_step_numbers *v)
{
    static const struct {
        const char *what;
        int loss, norm;
    } part[] = {{"look-ahead", LOSS_VAL, NORM_DIRECTION},
                {"alpha step", LOSS_VAL, NORM_ALPHAS},
                {"weight step", LOSS_TRAIN, NORM_WEIGHTS}};
    for (size_t i = 0; i < sizeof part / sizeof part[0] && v->guard.ok == 0; i++) {
        const double loss = (double)v->loss[part[i].loss], norm = v->norm[part[i].norm];
        if (!isfinite(loss) || !isfinite(norm)) {
            return SPX_FAIL(SPX_ENUMERIC, "%s: loss %g, gradient norm %g", part[i].what, loss,
                            norm);
        }
    }
    return v->guard.ok != 0 ? SPX_OK : SPX_FAIL(SPX_ENUMERIC, "a step before was not finite");
}

spx_status spx_bilevel_report_next(spx_bilevel *b, bool wait, spx_bilevel_report *report, bool *any)
{
    spx_step_result r;
    SPX_RETURN_IF(spx_step_queue_read(&b->queue, wait, &r, any));
    if (!*any) {
        return SPX_OK;
    }
    fill_report(&r.numbers, report);
    report->step = r.scalars.step;
    return spx_fail_context(check_numbers(&r.numbers), "step %llu",
                            (unsigned long long)report->step + 1); /* as logs number steps */
}

spx_status spx_bilevel_step(spx_bilevel *b, const spx_samples *train, const spx_samples *val,
                            const spx_bilevel_args *a, spx_bilevel_report *report)
{
    bool any = true;
    SPX_RETURN_IF(spx_bilevel_queue(b, train, val, a));
    while (any) { /* the last one is this step's */
        SPX_RETURN_IF(spx_bilevel_report_next(b, true, report, &any));
    }
    return SPX_OK;
}

spx_status spx_bilevel_alphas(const spx_bilevel *b, const spx_buffer *host)
{
    return spx_layout_download(b->net->layout, b->net->stream, SPX_ROLE_ARCH, &b->alphas, host);
}

/* ---- parts on their own ---- */

spx_status spx_bilevel_first_order(spx_bilevel *b, const spx_samples *val)
{
    b->val = *val;
    SPX_RETURN_IF(queue_first_order(b));
    return b->traced;
}

spx_status spx_bilevel_hessian(spx_bilevel *b, const spx_samples *train,
                               const spx_buffer *direction, float eps, const spx_buffer *hessian)
{
    const spx_device device = spx_stream_device(b->net->stream);
    const spx_layout *l = b->net->layout;
    SPX_RETURN_IF(
        spx_buffer_check(direction, device, spx_layout_bytes(l, SPX_ROLE_WEIGHT), "direction"));
    SPX_RETURN_IF(spx_buffer_check(hessian, device, spx_layout_bytes(l, SPX_ROLE_ARCH), "hessian"));
    b->train = *train;
    SPX_RETURN_IF(spx_upload(b->net->stream, &b->queue.numbers->eps, &eps, sizeof eps));
    return queue_hessian(b, direction, hessian);
}

spx_status spx_bilevel_update_alphas(spx_bilevel *b)
{
    const spx_scalars v = {.adam_t = ++b->alpha_steps};
    SPX_RETURN_IF(spx_step_queue_set(&b->queue, &v));
    SPX_RETURN_IF(queue_alphas(b));
    return b->traced;
}

spx_status spx_bilevel_update_weights(spx_bilevel *b, const spx_samples *train, float lr)
{
    const spx_scalars v = {.lr = lr};
    b->train = *train;
    SPX_RETURN_IF(spx_step_queue_set(&b->queue, &v));
    SPX_RETURN_IF(queue_weights(b));
    return b->traced;
}

spx_status spx_bilevel_look(spx_bilevel *b, spx_bilevel_report *report)
{
    spx_step_numbers v;
    SPX_RETURN_IF(spx_step_queue_look(&b->queue, &v));
    fill_report(&v, report);
    return check_numbers(&v);
}
