/*
 * search_stepK_VARIANT.h5: a whole second-order search step, from the state in search_cnn.h5 (K =
 * 1) or from the end of the step before. Checked end to end, and part by part from stored numbers,
 * where a ReLU that falls to the other side of zero cannot spread.
 */
#include "tests/golden_check/golden.h"

#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"
#include "search/bilevel/bilevel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Any of the alphas' quantities end to end: one flipped ReLU moves the finite difference by about 1
 * %. */
#define END_TO_END ((golden_rule){.worst = 3e-2, .difference = true, .flips = true})
/* The finite difference from stored weights, direction and eps; its float64 twin had other
 * directions. */
#define ISOLATED_HESSIAN ((golden_rule){.worst = 1e-4, .difference = true, .flips = true})
/* Norms and what follows from them move with a flipped ReLU as gradients do. */
#define NORM ((golden_rule){.worst = 1e-2, .flips = true})

typedef struct step_case {
    golden_report *report;
    spx_h5 *base, *previous; /* search_cnn.h5; the step before, or NULL */
    char step[32], variant[32];
    double xi, lr;
    spx_supernet net;
    spx_bilevel b;
    float *host[SPX_ROLE_COUNT]; /* an arena of each role, on its way to the device or back */
    void *images[2], *labels[2]; /* training, validation; the device's */
    spx_samples train, val;
    spx_status traced; /* first failure inside a trace */
} step_case;

static spx_status read_text(const spx_h5 *f, const char *attr, char out[static 32])
{
    char *text;
    SPX_RETURN_IF(spx_h5_read_text(f, "", attr, &text));
    (void)snprintf(out, 32, "%s", text);
    spx_free(text);
    return SPX_OK;
}

static spx_status read_options(step_case *c, const spx_h5 *f, spx_bilevel_options *o)
{
    double v[4], betas[2];
    static const char *const names[] = {"w_momentum", "w_weight_decay", "alpha_lr",
                                        "alpha_weight_decay"};
    *o = spx_bilevel_defaults;
    for (int i = 0; i < 4; i++) {
        SPX_RETURN_IF(golden_real(f, names[i], &v[i]));
    }
    SPX_RETURN_IF(golden_real(f, "w_grad_clip", &o->clip));
    SPX_RETURN_IF(golden_real(f, "xi", &c->xi));
    SPX_RETURN_IF(golden_real(f, "w_lr", &c->lr));
    SPX_RETURN_IF(spx_h5_read_attr(f, "", "alpha_betas", SPX_H5_F64, betas, 2, NULL));
    o->momentum = (float)v[0];
    o->decay = (float)v[1];
    o->alpha_lr = (float)v[2];
    o->alpha_decay = (float)v[3];
    o->alpha_beta1 = (float)betas[0];
    o->alpha_beta2 = (float)betas[1];
    SPX_RETURN_IF(read_text(f, "step", c->step));
    SPX_RETURN_IF(read_text(f, "variant", c->variant));
    o->published_hessian = strcmp(c->variant, "as_published") == 0;
    return SPX_OK;
}

static spx_status read_batch(step_case *c, const char *which, int i, spx_samples *out)
{
    const spx_supernet_config *n = &c->net.config;
    const int64_t dims[4] = {n->batch, n->input.channels, n->input.rows, n->input.columns};
    const size_t count = (size_t)(dims[0] * dims[1] * dims[2] * dims[3]);
    const size_t label_bytes = (size_t)n->batch * sizeof(int32_t);
    spx_stream *s = c->net.stream;
    char name[64];
    float *x;
    int32_t *label;
    spx_status st;
    SPX_RETURN_IF(spx_device_alloc(s, &c->images[i], count * sizeof(float)));
    SPX_RETURN_IF(spx_device_alloc(s, &c->labels[i], label_bytes));
    (void)snprintf(name, sizeof name, "data/%s/%s_X", c->step, which);
    SPX_RETURN_IF(golden_images(c->report, c->base, name, count, &x));
    st = golden_put_images(s, x, dims, c->images[i]);
    free(x);
    SPX_RETURN_IF(st);
    (void)snprintf(name, sizeof name, "data/%s/%s_y", c->step, which);
    SPX_RETURN_IF(golden_labels(c->base, name, (size_t)n->batch, &label));
    st = spx_upload(s, c->labels[i], label, label_bytes);
    free(label);
    *out = (spx_samples){c->images[i], c->labels[i], n->batch};
    return st;
}

/* Free with spx_free. */
static spx_status host_arena(const step_case *c, spx_role role, float **out)
{
    spx_buffer b;
    const spx_status st = spx_layout_arena(c->net.layout, NULL, role, &b);
    *out = b.data;
    return st;
}

static spx_status open_case(step_case *c, const golden_options *o)
{
    const spx_h5 *f = c->report->file;
    spx_bilevel_options options;
    spx_supernet_config config;
    char name[96];
    SPX_RETURN_IF(read_options(c, f, &options));
    SPX_RETURN_IF(golden_open_beside(&c->base, f, "search_cnn.h5"));
    if (strcmp(c->step, "step2") == 0) {
        (void)snprintf(name, sizeof name, "search_step1_%s.h5", c->variant);
        SPX_RETURN_IF(golden_open_beside(&c->previous, f, name));
    } else if (strcmp(c->step, "step1") != 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: step %s, expected step1 or step2", spx_h5_name(f),
                        c->step);
    }
    SPX_RETURN_IF(golden_supernet_config(c->base, &config));
    SPX_RETURN_IF(spx_supernet_init(&c->net, o->stream, &config, SPX_PASSES_SECOND_ORDER, NULL));
    SPX_RETURN_IF(spx_bilevel_init(&c->b, &c->net, &options, 0));
    SPX_RETURN_IF(host_arena(c, SPX_ROLE_WEIGHT, &c->host[SPX_ROLE_WEIGHT]));
    SPX_RETURN_IF(host_arena(c, SPX_ROLE_ARCH, &c->host[SPX_ROLE_ARCH]));
    SPX_RETURN_IF(host_arena(c, SPX_ROLE_STATE, &c->host[SPX_ROLE_STATE]));
    SPX_RETURN_IF(read_batch(c, "trn", 0, &c->train));
    return read_batch(c, "val", 1, &c->val);
}

static void close_case(step_case *c)
{
    spx_stream *s = c->net.stream;
    for (int i = 0; i < 2; i++) {
        spx_device_free(s, c->images[i]);
        spx_device_free(s, c->labels[i]);
    }
    for (int i = 0; i < SPX_ROLE_COUNT; i++) {
        spx_free(c->host[i]);
    }
    spx_bilevel_clear(&c->b);
    spx_supernet_clear(&c->net);
    spx_h5_close(c->base);
    spx_h5_close(c->previous);
}

static size_t floats(const step_case *c, spx_role role)
{
    return (size_t)c->net.layout->floats[role];
}

static spx_buffer on_host(const step_case *c, spx_role role, float *host)
{
    return (spx_buffer){.data = host, .bytes = spx_layout_bytes(c->net.layout, role)};
}

static spx_status put(step_case *c, spx_role role, float *host, const spx_buffer *device)
{
    const spx_buffer from = on_host(c, role, host);
    return spx_layout_upload(c->net.layout, c->net.stream, role, &from, device);
}

static spx_status put_zeros(step_case *c, spx_role role, const spx_buffer *device)
{
    memset(c->host[role], 0, floats(c, role) * sizeof(float));
    return put(c, role, c->host[role], device);
}

/* A group into an arena of that role; whole: as golden_load has it. */
static spx_status load(step_case *c, const spx_h5 *f, const char *group, spx_role role, bool whole,
                       const spx_buffer *device)
{
    float *host = c->host[role];
    memset(host, 0, floats(c, role) * sizeof(float));
    SPX_RETURN_IF(golden_load(f, group, c->net.layout, role, host, NULL, whole));
    return put(c, role, host, device);
}

static spx_status load_alphas(step_case *c, const spx_h5 *f, const char *group,
                              const spx_buffer *device)
{
    return load(c, f, group, SPX_ROLE_ARCH, false, device);
}

/* Adam's averages after one step from zero, by its formula: gradient plus decay of the first
 * alphas. */
static spx_status restore_adam(step_case *c)
{
    const spx_bilevel_options *o = &c->b.options;
    const size_t n = floats(c, SPX_ROLE_ARCH);
    float *m = c->host[SPX_ROLE_ARCH], *a = NULL;
    char group[64];
    spx_status st;
    c->b.alpha_steps = 0;
    SPX_RETURN_IF(put_zeros(c, SPX_ROLE_ARCH, &c->b.adam_m));
    SPX_RETURN_IF(put_zeros(c, SPX_ROLE_ARCH, &c->b.adam_v));
    if (c->previous == NULL) {
        return SPX_OK;
    }
    (void)snprintf(group, sizeof group, "alpha_grad_unrolled_%s", c->variant);
    SPX_RETURN_IF(host_arena(c, SPX_ROLE_ARCH, &a));
    SPX_TRY(st, golden_load(c->base, "param", c->net.layout, SPX_ROLE_ARCH, a, NULL, false), done);
    SPX_TRY(st, golden_load(c->previous, group, c->net.layout, SPX_ROLE_ARCH, m, NULL, false),
            done);
    for (size_t i = 0; i < n; i++) {
        const float g = m[i] + o->alpha_decay * a[i];
        m[i] = (1 - o->alpha_beta1) * g;
        a[i] = (1 - o->alpha_beta2) * g * g;
    }
    SPX_TRY(st, put(c, SPX_ROLE_ARCH, m, &c->b.adam_m), done);
    SPX_TRY(st, put(c, SPX_ROLE_ARCH, a, &c->b.adam_v), done);
    c->b.alpha_steps = 1;
done:
    spx_free(a);
    return st;
}

/* Everything as it was before the step. */
static spx_status restore(step_case *c)
{
    const spx_h5 *f = c->previous != NULL ? c->previous : c->base;
    const bool first = c->previous == NULL;
    spx_bilevel *b = &c->b;
    SPX_RETURN_IF(restore_adam(c));
    SPX_RETURN_IF(load_alphas(c, f, first ? "param" : "alpha_after", &b->alphas));
    SPX_RETURN_IF(
        load(c, f, first ? "param" : "weight_after", SPX_ROLE_WEIGHT, false, &b->weights));
    SPX_RETURN_IF(
        load(c, f, first ? "buffer_before" : "buffer_after", SPX_ROLE_STATE, true, &b->state));
    return first ? put_zeros(c, SPX_ROLE_WEIGHT, &b->momentum)
                 : load(c, f, "momentum_after", SPX_ROLE_WEIGHT, true, &b->momentum);
}

/* Compares the group against weights and alphas laid out as the network's. */
static spx_status compare(step_case *c, const char *group, golden_rule rule, const float *weights,
                          const float *alphas, const char *zero_of)
{
    return golden_compare_group(c->report, group, rule, c->net.layout, weights, alphas, NULL,
                                zero_of);
}

/* The same for one of the device's arenas. */
static spx_status compare_arena(step_case *c, const char *group, golden_rule rule, spx_role role,
                                const spx_buffer *device, const char *zero_of)
{
    const spx_buffer host = on_host(c, role, c->host[role]);
    const float *of[SPX_ROLE_COUNT] = {0};
    SPX_RETURN_IF(spx_layout_download(c->net.layout, c->net.stream, role, device, &host));
    of[role] = c->host[role];
    return golden_compare_group(c->report, group, rule, c->net.layout, of[SPX_ROLE_WEIGHT],
                                of[SPX_ROLE_ARCH], of[SPX_ROLE_STATE], zero_of);
}

static const char *with_variant(const step_case *c, const char *quantity)
{
    static char name[80];
    (void)snprintf(name, sizeof name, "%s_%s", quantity, c->variant);
    return name;
}

/* What a step shows on its way. */
static void on_trace(void *ctx, spx_bilevel_quantity q, const spx_buffer *shown)
{
    step_case *c = ctx;
    const float *data = shown->data;
    spx_status st = SPX_OK;
    if (c->traced != SPX_OK) {
        return;
    }
    switch (q) {
    case SPX_BILEVEL_VIRTUAL_WEIGHT:
        st = compare(c, "virtual_weight", GOLDEN_NETWORK_GRADIENT, data, NULL, NULL);
        break;
    case SPX_BILEVEL_DW_VAL:
        st = compare(c, "dw_val_at_virtual", GOLDEN_NETWORK_GRADIENT, data, NULL, NULL);
        break;
    case SPX_BILEVEL_DALPHA_VAL:
        st = compare(c, "dalpha_val_at_virtual", GOLDEN_NETWORK_GRADIENT, NULL, data, NULL);
        break;
    case SPX_BILEVEL_HESSIAN:
        st = compare(c, with_variant(c, "hessian"), END_TO_END, NULL, data, NULL);
        break;
    case SPX_BILEVEL_ALPHA_GRAD:
        st = compare(c, with_variant(c, "alpha_grad_unrolled"), END_TO_END, NULL, data, NULL);
        break;
    default:
        break;
    }
    c->traced = st;
}

static spx_status compare_scalar(step_case *c, const char *name, golden_rule rule, double value)
{
    const float v = (float)value;
    return golden_compare_one(c->report, name, rule, &v, 1);
}

/* The weights after their step; true zeros of the gradient leave rounding noise in the momentum. */
static spx_status compare_weights(step_case *c)
{
    SPX_RETURN_IF(compare_arena(c, "weight_after", GOLDEN_NETWORK_GRADIENT, SPX_ROLE_WEIGHT,
                                &c->b.weights, NULL));
    return compare_arena(c, "momentum_after", GOLDEN_NETWORK_GRADIENT, SPX_ROLE_WEIGHT,
                         &c->b.momentum, "dw_val_at_virtual");
}

static spx_status check_whole(step_case *c)
{
    const spx_bilevel_args a = {.xi = (float)c->xi, .lr = (float)c->lr};
    spx_bilevel_report report;
    SPX_RETURN_IF(restore(c));
    c->b.trace = on_trace;
    c->b.trace_ctx = c;
    SPX_RETURN_IF(spx_bilevel_step(&c->b, &c->train, &c->val, &a, &report));
    c->b.trace = NULL;
    SPX_RETURN_IF(c->traced);
    SPX_RETURN_IF(compare_scalar(c, "dw_norm", NORM, report.dw_norm));
    SPX_RETURN_IF(compare_scalar(c, "eps", NORM, (double)report.eps));
    SPX_RETURN_IF(compare_arena(c, "alpha_after", END_TO_END, SPX_ROLE_ARCH, &c->b.alphas, NULL));
    SPX_RETURN_IF(compare_scalar(c, "weight_grad_norm_before_clip", NORM, report.weight_norm));
    SPX_RETURN_IF(compare_weights(c));
    return compare_arena(c, "buffer_after", GOLDEN_EXACT, SPX_ROLE_STATE, &c->b.state, NULL);
}

/* The finite difference from the stored direction and eps. */
static spx_status check_hessian(step_case *c)
{
    const spx_h5 *f = c->report->file;
    float eps;
    SPX_RETURN_IF(restore(c));
    SPX_RETURN_IF(load(c, f, "dw_val_at_virtual", SPX_ROLE_WEIGHT, true, &c->b.weight_grad));
    SPX_RETURN_IF(spx_h5_read(f, "eps", SPX_H5_F32, &eps, 1));
    SPX_RETURN_IF(spx_bilevel_hessian(&c->b, &c->train, &c->b.weight_grad, eps, &c->b.hessian));
    return compare_arena(c, with_variant(c, "hessian"), ISOLATED_HESSIAN, SPX_ROLE_ARCH,
                         &c->b.hessian, NULL);
}

/* The logits of a weight step on its own. */
static void on_weight_step(void *ctx, spx_bilevel_quantity q, const spx_buffer *shown)
{
    step_case *c = ctx;
    if (q == SPX_BILEVEL_TRAIN_LOGITS && c->traced == SPX_OK) {
        c->traced = golden_compare_one(c->report, "weight_step_logits", GOLDEN_EXACT, shown->data,
                                       shown->bytes / sizeof(float));
    }
}

static spx_status check_parts(step_case *c)
{
    const spx_h5 *f = c->report->file;
    spx_bilevel_report report = {0};
    SPX_RETURN_IF(restore(c));
    SPX_RETURN_IF(spx_bilevel_first_order(&c->b, &c->val));
    SPX_RETURN_IF(compare_arena(c, "alpha_grad_first_order", GOLDEN_NETWORK_GRADIENT, SPX_ROLE_ARCH,
                                &c->b.alpha_grad, NULL));
    SPX_RETURN_IF(check_hessian(c));
    SPX_RETURN_IF(restore(c));
    SPX_RETURN_IF(load_alphas(c, f, with_variant(c, "alpha_grad_unrolled"), &c->b.alpha_grad));
    SPX_RETURN_IF(spx_bilevel_update_alphas(&c->b));
    SPX_RETURN_IF(compare_arena(c, "alpha_after", GOLDEN_EXACT, SPX_ROLE_ARCH, &c->b.alphas, NULL));
    SPX_RETURN_IF(load_alphas(c, f, "alpha_after", &c->b.alphas));
    c->b.trace = on_weight_step;
    c->b.trace_ctx = c;
    SPX_RETURN_IF(spx_bilevel_update_weights(&c->b, &c->train, (float)c->lr));
    c->b.trace = NULL;
    SPX_RETURN_IF(c->traced);
    SPX_RETURN_IF(spx_bilevel_look(&c->b, &report));
    SPX_RETURN_IF(compare_scalar(c, "weight_step_loss", GOLDEN_EXACT, (double)report.train_loss));
    return compare_weights(c);
}

spx_status golden_check_step(golden_report *r, const golden_options *o)
{
    step_case c = {.report = r};
    spx_status st = open_case(&c, o);
    if (st == SPX_OK && golden_section(r, "whole step")) {
        st = check_whole(&c);
    }
    if (st == SPX_OK && golden_section(r, "parts")) {
        st = check_parts(&c);
    }
    close_case(&c);
    return st;
}
