#include "search/location/location.h"

#include "host/train/device_arenas.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"
#include "kernels/optim/optim.h"
#include "search/location/location_private.h"

#include <math.h>
#include <string.h>

const spx_location_options spx_location_defaults = {.momentum = 0.9f,
                                                    .decay = 3e-4f,
                                                    .clip = 5,
                                                    .beta_lr = 3e-4f,
                                                    .beta_beta1 = 0.5f,
                                                    .beta_beta2 = 0.999f,
                                                    .beta_decay = 1e-3f,
                                                    .subsampling = 3};

/* Indices into spx_step_numbers. */
enum { LOSS_TRAIN, LOSS_VAL };
enum { NORM_WEIGHTS, NORM_BETA };

/* ---- opening ---- */

static spx_status check(const spx_location_options *o)
{
    const struct {
        const char *name;
        double value, below;
    } field[] = {{"momentum", (double)o->momentum, 1},
                 {"weight decay", (double)o->decay, 1},
                 {"clip", o->clip, 1e30},
                 {"beta rate", (double)o->beta_lr, 1e3},
                 {"beta beta1", (double)o->beta_beta1, 1},
                 {"beta beta2", (double)o->beta_beta2, 1},
                 {"beta decay", (double)o->beta_decay, 1},
                 {"subsampling", o->subsampling, SPX_LOCATION_RUN_MAX + 1}};
    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++) {
        if (!(field[i].value >= 0 && field[i].value < field[i].below)) {
            return SPX_FAIL(SPX_EINVAL, "locate: %s %g, expected 0 or more and below %g",
                            field[i].name, field[i].value, field[i].below);
        }
    }
    return SPX_OK;
}

/* Arenas that are saved, and the gradients, in the layout's roles. */
#define ARENAS 7
static spx_buffer *arena_at(spx_location *x, int i, spx_role *role)
{
    struct {
        spx_role role;
        spx_buffer *at;
    } const arena[ARENAS] = {{SPX_ROLE_WEIGHT, &x->weights}, {SPX_ROLE_WEIGHT, &x->momentum},
                             {SPX_ROLE_STATE, &x->state},    {SPX_ROLE_ARCH, &x->beta},
                             {SPX_ROLE_ARCH, &x->adam_m},    {SPX_ROLE_ARCH, &x->adam_v},
                             {SPX_ROLE_ARCH, &x->beta_grad}};
    *role = arena[i].role;
    return arena[i].at;
}

static size_t largest(const spx_location *x)
{
    int64_t most = 0;
    for (int i = 0; i < x->n; i++) {
        const int64_t floats = x->network[i].floats[SPX_ROLE_WEIGHT];
        most = floats > most ? floats : most;
    }
    return (size_t)most;
}

static size_t bytes_of(const spx_location *x, size_t workspace)
{
    return 2 * spx_layout_bytes(&x->layout, SPX_ROLE_WEIGHT) +
           spx_layout_bytes(&x->layout, SPX_ROLE_STATE) + largest(x) * sizeof(float) + workspace;
}

size_t spx_location_bytes(const spx_location *x)
{
    return bytes_of(x, x->workspace.bytes);
}

/* Refuses before anything is allocated what cannot fit. */
static spx_status check_memory(const spx_location *x, size_t workspace)
{
    const double need = (double)bytes_of(x, workspace);
    spx_device_info device;
    SPX_RETURN_IF(
        spx_device_describe(spx_stream_device(x->stream), spx_stream_index(x->stream), &device));
    return device.memory_bytes == 0 || need <= (double)device.memory_bytes
               ? SPX_OK
               : SPX_FAIL(SPX_ENOMEM,
                          "locate: %d networks need %.0f bytes (%.1f GiB), %s has %.1f GiB: give "
                          "fewer --layers or --init-channels, or a smaller --batch",
                          x->n, need, need / 0x1p30,
                          spx_stream_device(x->stream) == SPX_DEVICE_CPU ? "this machine"
                                                                         : device.name,
                          (double)device.memory_bytes / 0x1p30);
}

static spx_status allocate(spx_location *x, size_t workspace)
{
    const size_t n = (size_t)x->n, logits = (size_t)(x->batch * x->spec.classes);
    for (int i = 0; i < ARENAS; i++) {
        spx_role role;
        spx_buffer *at = arena_at(x, i, &role);
        SPX_RETURN_IF(spx_layout_arena(&x->layout, x->stream, role, at));
    }
    SPX_RETURN_IF(spx_buffer_alloc(&x->grad, x->stream, largest(x) * sizeof(float)));
    SPX_RETURN_IF(spx_buffer_alloc(&x->workspace, x->stream, workspace));
    SPX_RETURN_IF(SPX_NEW(x->host_beta, (size_t)x->layout.floats[SPX_ROLE_ARCH]));
    SPX_RETURN_IF(SPX_NEW(x->soft, n));
    SPX_RETURN_IF(SPX_NEW(x->labels, (size_t)x->batch));
    return SPX_NEW(x->logits, (size_t)x->options.subsampling * logits);
}

spx_status spx_location_init(spx_location *x, spx_stream *stream, const spx_final_spec *spec,
                             int64_t batch, const spx_location_options *o, uint64_t seed,
                             struct spx_tuning *tuning)
{
    size_t workspace;
    spx_status st;
    memset(x, 0, sizeof *x);
    x->options = *o;
    x->spec = *spec;
    x->batch = batch;
    x->stream = stream;
    x->tuning = tuning;
    SPX_TRY(st, check(o), fail);
    SPX_TRY(st, spx_location_networks(x, &workspace), fail);
    x->options.subsampling = o->subsampling < 1 ? 1 : o->subsampling > x->n ? x->n : o->subsampling;
    SPX_TRY(st, check_memory(x, workspace), fail);
    SPX_TRY(st, spx_step_queue_init(&x->queue, stream, largest(x)), fail);
    x->queue.eager =
        true; /* a step runs whichever networks were drawn, and looks at their logits */
    SPX_TRY(st, allocate(x, workspace), fail);
    SPX_TRY(st, spx_device_arenas_init(&x->layout, stream, seed, &x->weights, &x->beta, &x->state),
            fail);
    return SPX_OK;
fail:
    spx_location_clear(x);
    return st;
}

void spx_location_clear(spx_location *x)
{
    spx_step_queue_clear(&x->queue);
    for (int i = 0; i < ARENAS; i++) {
        spx_role role;
        spx_buffer_free(arena_at(x, i, &role));
    }
    spx_buffer_free(&x->grad);
    spx_buffer_free(&x->workspace);
    spx_free(x->host_beta);
    spx_free(x->soft);
    spx_free(x->labels);
    spx_free(x->logits);
    spx_location_networks_clear(x);
    memset(x, 0, sizeof *x);
}

/* ---- drawing ---- */

void spx_location_draw(const spx_location *x, uint64_t seed, uint64_t step, double *noise,
                       int *others)
{
    spx_rng r;
    spx_rng_init(&r, seed, SPX_RNG_LOCATION, step);
    for (int i = 0; i < x->n; i++) { /* u inside (0, 1) */
        noise[i] = -log(-log(((double)spx_rng_u32(&r) + 0.5) * 0x1p-32));
    }
    for (int i = 0; i + 1 < x->options.subsampling; i++) { /* the m-th of those not drawn yet */
        int m = 1 + (int)spx_rng_below(&r, (uint32_t)(x->n - 1 - i)), at = i;
        for (int k = 0; k < i; k++) {
            m += others[k] <= m;
        }
        for (; at > 0 && others[at - 1] > m; at--) {
            others[at] = others[at - 1];
        }
        others[at] = m;
    }
}

/* soft = softmax((beta + noise) / tau); its largest is drawn. */
static void choose(spx_location *x, const double *noise, double tau)
{
    double sum = 0;
    x->drawn = 0;
    for (int i = 0; i < x->n; i++) {
        x->soft[i] = ((double)x->host_beta[i] + noise[i]) / tau;
        x->drawn = x->soft[i] > x->soft[x->drawn] ? i : x->drawn;
    }
    const double top = x->soft[x->drawn];
    for (int i = 0; i < x->n; i++) {
        x->soft[i] = exp(x->soft[i] - top);
        sum += x->soft[i];
    }
    for (int i = 0; i < x->n; i++) {
        x->soft[i] /= sum;
    }
}

/* ---- a network's passes ---- */

static spx_status bind(spx_location *x, int pair, const spx_samples *batch, const void *input[2],
                       spx_binding *b)
{
    SPX_RETURN_IF(spx_location_ready(x, pair));
    SPX_RETURN_IF(spx_location_stem_copy(x, pair, &x->weights, SPX_ROLE_WEIGHT, true));
    SPX_RETURN_IF(spx_location_stem_copy(x, pair, &x->state, SPX_ROLE_STATE, true));
    if (batch != NULL) {
        input[0] = batch->images;
        input[1] = batch->labels;
    }
    *b = (spx_binding){.weights = spx_location_part(x, pair, &x->weights, SPX_ROLE_WEIGHT),
                       .state = spx_location_part(x, pair, &x->state, SPX_ROLE_STATE),
                       .workspace = x->workspace,
                       .input = input};
    return SPX_OK;
}

spx_status spx_location_bind(spx_location *x, int pair, spx_program **program, spx_binding *b)
{
    SPX_RETURN_IF(bind(x, pair, NULL, NULL, b));
    *program = x->network[pair].program[SPX_LOCATION_EVAL];
    return SPX_OK;
}

/* Logits of the validation batch into row k of x->logits. */
static spx_status run_forward(spx_location *x, int pair, int k)
{
    const void *input[2];
    spx_binding b;
    SPX_RETURN_IF(bind(x, pair, &x->args->val, input, &b));
    spx_program *p = x->network[pair].program[SPX_LOCATION_FORWARD];
    SPX_RETURN_IF(spx_program_run(p, &b));
    return spx_program_read(p, &b, 0, x->logits + k * x->batch * x->spec.classes);
}

/* What a gradient's norm and a loss mean for the update behind them. */
static spx_status queue_guard(spx_location *x, size_t n, const spx_buffer *grad, int norm, int loss,
                              double clip)
{
    spx_step_numbers *v = x->queue.numbers;
    SPX_RETURN_IF(
        spx_norm2(x->stream, n, grad->data, &v->norm[norm], x->queue.norm_workspace.data));
    return spx_guard_update(x->stream, &v->norm[norm], &v->loss[loss], clip, &v->guard);
}

/* ---- beta's half of a step ---- */

/* Sum over images and classes of dL/dlogits of the mixture times another network's logits. */
static double product(const spx_location *x, const float *mixture, const float *other)
{
    const int64_t classes = x->spec.classes;
    double sum = 0;
    for (int64_t i = 0; i < x->batch; i++) {
        const float *l = mixture + i * classes, *m = other + i * classes;
        const double all = spx_log_sum_exp(classes, l);
        for (int64_t c = 0; c < classes; c++) {
            sum += (exp((double)l[c] - all) - (c == x->labels[i])) * (double)m[c];
        }
    }
    return sum / (double)x->batch;
}

static float mixture_loss(const spx_location *x)
{
    const int64_t classes = x->spec.classes;
    double sum = 0;
    for (int64_t i = 0; i < x->batch; i++) {
        const float *l = x->logits + i * classes;
        sum += spx_log_sum_exp(classes, l) - (double)l[x->labels[i]];
    }
    return (float)(sum / (double)x->batch);
}

/* host_beta becomes beta's gradient: (soft[k] * (d[k] - sum of soft*d)) / tau. */
static void beta_gradient(spx_location *x)
{
    const int64_t size = x->batch * x->spec.classes;
    double d[SPX_LOCATION_RUN_MAX], mean = 0;
    int run[SPX_LOCATION_RUN_MAX];
    for (int k = 0; k < x->options.subsampling; k++) {
        run[k] = k == 0 ? x->drawn : (x->drawn + x->args->others[k - 1]) % x->n;
        d[k] = product(x, x->logits, x->logits + k * size);
        mean += x->soft[run[k]] * d[k];
    }
    for (int i = 0; i < x->n; i++) {
        x->host_beta[i] = (float)(-x->soft[i] * mean / x->args->tau);
    }
    for (int k = 0; k < x->options.subsampling; k++) {
        const double soft = x->soft[run[k]];
        x->host_beta[run[k]] = (float)(soft * (d[k] - mean) / x->args->tau);
    }
}

static spx_status queue_beta(spx_location *x)
{
    const spx_location_options *o = &x->options;
    const size_t n = (size_t)x->layout.floats[SPX_ROLE_ARCH];
    spx_step_numbers *v = x->queue.numbers;
    float loss;
    SPX_RETURN_IF(spx_download(x->stream, x->host_beta, x->beta.data, x->beta.bytes));
    SPX_RETURN_IF(spx_download(x->stream, x->labels, x->args->val.labels,
                               (size_t)x->batch * sizeof *x->labels));
    SPX_RETURN_IF(spx_stream_sync(x->stream));
    choose(x, x->args->noise, x->args->tau);
    for (int k = 0; k < o->subsampling; k++) {
        const int pair = k == 0 ? x->drawn : (x->drawn + x->args->others[k - 1]) % x->n;
        SPX_RETURN_IF(run_forward(x, pair, k));
    }
    loss = mixture_loss(x);
    beta_gradient(x);
    SPX_RETURN_IF(spx_upload(x->stream, &v->loss[LOSS_VAL], &loss, sizeof loss));
    SPX_RETURN_IF(spx_upload(x->stream, x->beta_grad.data, x->host_beta, x->beta_grad.bytes));
    SPX_RETURN_IF(queue_guard(x, n, &x->beta_grad, NORM_BETA, LOSS_VAL, 0));
    return spx_adam(x->stream, n, o->beta_lr, o->beta_beta1, o->beta_beta2, o->beta_decay,
                    &x->queue.scalars->adam_t, &v->guard, x->beta_grad.data, x->adam_m.data,
                    x->adam_v.data, x->beta.data);
}

/* ---- the weights' half ---- */

static spx_status queue_sgd(spx_location *x, const spx_binding *b)
{
    const spx_location_options *o = &x->options;
    const size_t n = (size_t)x->network[x->drawn].floats[SPX_ROLE_WEIGHT];
    const spx_sgd_rule rule = {.momentum = o->momentum, .decay = o->decay};
    const spx_buffer momentum = spx_location_part(x, x->drawn, &x->momentum, SPX_ROLE_WEIGHT);
    spx_step_numbers *v = x->queue.numbers;
    SPX_RETURN_IF(spx_location_stem_copy(x, x->drawn, &x->momentum, SPX_ROLE_WEIGHT, true));
    SPX_RETURN_IF(queue_guard(x, n, &x->grad, NORM_WEIGHTS, LOSS_TRAIN, o->clip));
    SPX_RETURN_IF(spx_sgd(x->stream, n, &x->queue.scalars->lr, &rule, &v->guard, x->grad.data,
                          momentum.data, b->weights.data));
    SPX_RETURN_IF(spx_location_stem_copy(x, x->drawn, &x->weights, SPX_ROLE_WEIGHT, false));
    SPX_RETURN_IF(spx_location_stem_copy(x, x->drawn, &x->momentum, SPX_ROLE_WEIGHT, false));
    return spx_location_stem_copy(x, x->drawn, &x->state, SPX_ROLE_STATE, false);
}

static spx_status queue_weights(spx_location *x)
{
    const spx_samples *batch = &x->args->train;
    spx_step_numbers *v = x->queue.numbers;
    const void *input[2];
    spx_binding b;
    spx_buffer logits, loss;
    SPX_RETURN_IF(bind(x, x->drawn, batch, input, &b));
    spx_program *p = x->network[x->drawn].program[SPX_LOCATION_TRAIN];
    b.update_state = true;
    b.weight_grad = x->grad;
    /* what lies between this network's arrays was another's gradient */
    SPX_RETURN_IF(spx_device_zero(x->stream, x->grad.data, x->grad.bytes));
    SPX_RETURN_IF(spx_program_run(p, &b));
    logits = spx_program_output(p, &b, 0);
    loss = spx_program_output(p, &b, 1);
    SPX_RETURN_IF(spx_device_copy(x->stream, &v->loss[LOSS_TRAIN], loss.data, sizeof(float)));
    SPX_RETURN_IF(spx_count_hits(x->stream, x->batch, x->batch, x->spec.classes, logits.data,
                                 batch->labels, &v->metrics));
    return queue_sgd(x, &b);
}

static spx_status queue_step(void *ctx)
{
    spx_location *x = ctx;
    SPX_RETURN_IF(queue_beta(x));
    return queue_weights(x);
}

spx_status spx_location_queue(spx_location *x, const spx_location_args *a)
{
    const spx_scalars v = {.step = a->step, .adam_t = x->beta_steps + 1, .lr = a->lr};
    const void *const key[SPX_RECORDING_KEYS] = {NULL};
    if (!(a->tau > 0)) {
        return SPX_FAIL(SPX_EINVAL, "locate: a temperature of %g", a->tau);
    }
    x->args = a;
    SPX_RETURN_IF(spx_step_queue_run(&x->queue, &v, key, queue_step, x));
    x->beta_steps++;
    return SPX_OK;
}

spx_status spx_location_report_next(spx_location *x, bool wait, spx_location_report *report,
                                    bool *any)
{
    spx_step_result r;
    const spx_step_numbers *v = &r.numbers;
    SPX_RETURN_IF(spx_step_queue_read(&x->queue, wait, &r, any));
    if (!*any) {
        return SPX_OK;
    }
    *report = (spx_location_report){.step = r.scalars.step,
                                    .train_loss = v->loss[LOSS_TRAIN],
                                    .val_loss = v->loss[LOSS_VAL],
                                    .weight_norm = v->norm[NORM_WEIGHTS],
                                    .beta_norm = v->norm[NORM_BETA],
                                    .metrics = v->metrics};
    return v->guard.ok != 0
               ? SPX_OK
               : SPX_FAIL(SPX_ENUMERIC,
                          "step %llu: loss %g, on the validation half %g, gradient norms %g, %g",
                          (unsigned long long)report->step + 1, (double)report->train_loss,
                          (double)report->val_loss, report->weight_norm, report->beta_norm);
}

spx_status spx_location_look(spx_location *x, int *best)
{
    SPX_RETURN_IF(spx_download(x->stream, x->host_beta, x->beta.data, x->beta.bytes));
    SPX_RETURN_IF(spx_stream_sync(x->stream));
    *best = 0;
    for (int i = 1; i < x->n; i++) {
        *best = x->host_beta[i] > x->host_beta[*best] ? i : *best;
    }
    return SPX_OK;
}
