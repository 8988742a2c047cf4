#include "search/bilevel/bilevel.h"

#include "kernels/base/alloc.h"
#include "kernels/optim/optim.h"

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
                 {"alpha decay", (double)o->alpha_decay, 1}};
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

static size_t floats(const spx_bilevel *b, spx_role role)
{
    return (size_t)b->net->layout->floats[role];
}

spx_status spx_bilevel_init(spx_bilevel *b, spx_supernet *net, const spx_bilevel_options *o,
                            uint64_t seed)
{
    spx_status st;
    memset(b, 0, sizeof *b);
    b->options = *o;
    b->net = net;
    SPX_TRY(st, check(o, net), fail);
    SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_WEIGHT, &b->weights), fail);
    SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_WEIGHT, &b->momentum), fail);
    SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_WEIGHT, &b->weight_grad), fail);
    SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_STATE, &b->state), fail);
    SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_ARCH, &b->alphas), fail);
    SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_ARCH, &b->adam_m), fail);
    SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_ARCH, &b->adam_v), fail);
    SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_ARCH, &b->alpha_grad), fail);
    if (o->second_order) {
        SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_WEIGHT, &b->shifted), fail);
        SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_ARCH, &b->alpha_plus), fail);
        SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_ARCH, &b->alpha_minus), fail);
        SPX_TRY(st, spx_layout_arena(net->layout, SPX_ROLE_ARCH, &b->hessian), fail);
    }
    SPX_TRY(
        st,
        spx_alloc(&b->norm_workspace, spx_norm2_workspace(net->stream, floats(b, SPX_ROLE_WEIGHT))),
        fail);
    spx_layout_init(net->layout, seed, b->weights, b->alphas, b->state);
    return SPX_OK;
fail:
    spx_bilevel_clear(b);
    return st;
}

void spx_bilevel_clear(spx_bilevel *b)
{
    float *const owned[] = {b->weights,     b->momentum, b->state,      b->alphas,
                            b->adam_m,      b->adam_v,   b->alpha_grad, b->alpha_plus,
                            b->alpha_minus, b->hessian,  b->shifted,    b->weight_grad};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        spx_free(owned[i]);
    }
    spx_free(b->norm_workspace);
    memset(b, 0, sizeof *b);
}

static void show(const spx_bilevel *b, spx_bilevel_quantity q, const float *data, size_t n)
{
    if (b->trace != NULL) {
        b->trace(b->trace_ctx, q, data, n);
    }
}

static void show_logits(const spx_bilevel *b, spx_bilevel_quantity q, const float *logits)
{
    show(b, q, logits, (size_t)(b->net->config.batch * b->net->config.classes));
}

/* The norm of a gradient and what it means for the update behind it. */
static spx_status guard(spx_bilevel *b, const char *what, const float *grad, spx_role role,
                        float loss, double max_norm, double *norm)
{
    SPX_RETURN_IF(spx_norm2(b->net->stream, floats(b, role), grad, norm, b->norm_workspace));
    SPX_RETURN_IF(spx_guard_update(b->net->stream, norm, &loss, max_norm, &b->guard));
    return b->guard.ok
               ? SPX_OK
               : SPX_FAIL(SPX_ENUMERIC, "%s: loss %g, gradient norm %g", what, (double)loss, *norm);
}

/* weight_grad = d_w L_train(w); the states are updated. */
static spx_status weight_gradient(spx_bilevel *b, const spx_samples *train, const float **logits,
                                  float *loss)
{
    const spx_supernet_run r = {.weights = b->weights,
                                .alphas = b->alphas,
                                .state = b->state,
                                .update_state = true,
                                .weight_grad = b->weight_grad,
                                .images = train->images,
                                .labels = train->labels};
    return spx_supernet_pass(b->net, SPX_PASS_WEIGHTS, &r, logits, loss);
}

spx_status spx_bilevel_first_order(spx_bilevel *b, const spx_samples *val,
                                   spx_bilevel_report *report)
{
    const spx_supernet_run r = {.weights = b->weights,
                                .alphas = b->alphas,
                                .state = b->state,
                                .alpha_grad = b->alpha_grad,
                                .images = val->images,
                                .labels = val->labels};
    const float *logits;
    SPX_RETURN_IF(spx_supernet_pass(b->net, SPX_PASS_ALPHAS, &r, &logits, &report->val_loss));
    show_logits(b, SPX_BILEVEL_VAL_LOGITS, logits);
    show(b, SPX_BILEVEL_DALPHA_VAL, b->alpha_grad, floats(b, SPX_ROLE_ARCH));
    return SPX_OK;
}

/* out = d_alpha L_train(w + sign*eps*direction); `shifted` holds the sum. */
static spx_status shifted_gradient(spx_bilevel *b, const spx_samples *train, float sign,
                                   const float *direction, float *out)
{
    const spx_supernet_run r = {.weights = b->shifted,
                                .alphas = b->alphas,
                                .state = b->state,
                                .update_state = true,
                                .alpha_grad = out,
                                .images = train->images,
                                .labels = train->labels};
    SPX_RETURN_IF(spx_axpy(b->net->stream, floats(b, SPX_ROLE_WEIGHT), &b->eps, sign, b->weights,
                           direction, b->shifted));
    return spx_supernet_pass(b->net, SPX_PASS_ALPHAS, &r, NULL, NULL);
}

static spx_status differences(spx_bilevel *b, const spx_samples *train, const float *direction,
                              float *hessian)
{
    SPX_RETURN_IF(shifted_gradient(b, train, 1, direction, b->alpha_plus));
    SPX_RETURN_IF(shifted_gradient(b, train, -1, direction, b->alpha_minus));
    return spx_central_difference(b->net->stream, floats(b, SPX_ROLE_ARCH), &b->eps,
                                  b->options.published_hessian, b->alpha_plus, b->alpha_minus,
                                  hessian);
}

spx_status spx_bilevel_hessian(spx_bilevel *b, const spx_samples *train, const float *direction,
                               float eps, float *hessian)
{
    b->eps = eps;
    return differences(b, train, direction, hessian);
}

/* weight_grad = v, alpha_grad = g: the validation loss at w'. The net's states are not touched. */
static spx_status lookahead(spx_bilevel *b, const spx_samples *train, const spx_samples *val,
                            spx_bilevel_report *report)
{
    const size_t n = floats(b, SPX_ROLE_WEIGHT);
    const spx_supernet_run r = {.weights = b->shifted,
                                .alphas = b->alphas,
                                .state = b->state,
                                .weight_grad = b->weight_grad,
                                .alpha_grad = b->alpha_grad,
                                .images = val->images,
                                .labels = val->labels};
    const float *logits;
    SPX_RETURN_IF(weight_gradient(b, train, NULL, NULL));
    SPX_RETURN_IF(spx_sgd_lookahead(b->net->stream, n, &b->scalars.xi, b->options.momentum,
                                    b->options.decay, b->weight_grad, b->momentum, b->weights,
                                    b->shifted));
    show(b, SPX_BILEVEL_VIRTUAL_WEIGHT, b->shifted, n);
    SPX_RETURN_IF(spx_supernet_pass(b->net, SPX_PASS_BOTH, &r, &logits, &report->val_loss));
    show_logits(b, SPX_BILEVEL_VAL_LOGITS, logits);
    show(b, SPX_BILEVEL_DW_VAL, b->weight_grad, n);
    show(b, SPX_BILEVEL_DALPHA_VAL, b->alpha_grad, floats(b, SPX_ROLE_ARCH));
    return guard(b, "look-ahead", b->weight_grad, SPX_ROLE_WEIGHT, report->val_loss, 0,
                 &report->dw_norm);
}

spx_status spx_bilevel_second_order(spx_bilevel *b, const spx_samples *train,
                                    const spx_samples *val, float xi, spx_bilevel_report *report)
{
    const size_t n = floats(b, SPX_ROLE_ARCH);
    b->scalars.xi = xi;
    b->guard.ok = 1;
    SPX_RETURN_IF(lookahead(b, train, val, report));
    SPX_RETURN_IF(spx_difference_step(b->net->stream, &report->dw_norm, &b->eps));
    report->eps = b->eps;
    SPX_RETURN_IF(differences(b, train, b->weight_grad, b->hessian));
    show(b, SPX_BILEVEL_HESSIAN, b->hessian, n);
    return spx_axpy(b->net->stream, n, &b->scalars.xi, -1, b->alpha_grad, b->hessian,
                    b->alpha_grad);
}

spx_status spx_bilevel_update_alphas(spx_bilevel *b, spx_bilevel_report *report)
{
    const spx_bilevel_options *o = &b->options;
    const size_t n = floats(b, SPX_ROLE_ARCH);
    show(b, SPX_BILEVEL_ALPHA_GRAD, b->alpha_grad, n);
    b->guard.ok = 1;
    SPX_RETURN_IF(guard(b, "alpha step", b->alpha_grad, SPX_ROLE_ARCH, report->val_loss, 0,
                        &report->alpha_norm));
    b->scalars.adam_t = ++b->alpha_steps;
    return spx_adam(b->net->stream, n, o->alpha_lr, o->alpha_beta1, o->alpha_beta2, o->alpha_decay,
                    &b->scalars.adam_t, &b->guard, b->alpha_grad, b->adam_m, b->adam_v, b->alphas);
}

spx_status spx_bilevel_update_weights(spx_bilevel *b, const spx_samples *train, float lr,
                                      spx_bilevel_report *report)
{
    const spx_bilevel_options *o = &b->options;
    const size_t n = floats(b, SPX_ROLE_WEIGHT);
    SPX_RETURN_IF(weight_gradient(b, train, &report->logits, &report->train_loss));
    show_logits(b, SPX_BILEVEL_TRAIN_LOGITS, report->logits);
    show(b, SPX_BILEVEL_WEIGHT_GRAD, b->weight_grad, n);
    b->scalars.lr = lr;
    b->guard.ok = 1;
    SPX_RETURN_IF(guard(b, "weight step", b->weight_grad, SPX_ROLE_WEIGHT, report->train_loss,
                        o->clip, &report->weight_norm));
    return spx_sgd(b->net->stream, n, &b->scalars.lr, o->momentum, o->decay, &b->guard,
                   b->weight_grad, b->momentum, b->weights);
}

spx_status spx_bilevel_step(spx_bilevel *b, const spx_samples *train, const spx_samples *val,
                            float xi, float lr, spx_bilevel_report *report)
{
    memset(report, 0, sizeof *report);
    if (b->options.second_order) {
        SPX_RETURN_IF(spx_bilevel_second_order(b, train, val, xi, report));
    } else {
        SPX_RETURN_IF(spx_bilevel_first_order(b, val, report));
    }
    SPX_RETURN_IF(spx_bilevel_update_alphas(b, report));
    return spx_bilevel_update_weights(b, train, lr, report);
}
