#include "host/model/calibrate.h"

#include "host/graph/program.h"
#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"

#include <math.h>
#include <string.h>

enum { BINS = 512, FRACTIONS = 128 };

/* The channels of one ReLU. */
typedef struct relu {
    int64_t channels, map; /* of the graph's tensor, or what that is a part of, */
    int64_t first;         /* from this channel on */
    const spx_fold_op *op;
    float *most;   /* [channels] */
    float *counts; /* [channels][BINS] elements above zero, by value / most; exact below 2^24 */
} relu;

typedef struct calibration {
    const spx_calibrate_source *s;
    spx_stream *stream;
    spx_program *program; /* output i: relu i's activations */
    int64_t batch;
    relu *relu;
    int n;
    spx_binding binding;
    spx_buffer weights, state, workspace; /* of the stream's device */
    float *activations;                   /* of the largest ReLU, on the host */
} calibration;

static spx_status open_relus(calibration *r, spx_tid *output)
{
    const spx_fold *f = r->s->fold;
    for (int i = 0; i < f->n_ops; i++) {
        if (f->op[i].d.kind == SPX_DEPLOY_RELU) {
            const spx_deploy_value *v = &f->value[f->op[i].d.out];
            relu *l = &r->relu[r->n];
            const spx_tensor *t = &r->s->graph->tensor[f->op[i].relu];
            const spx_tid whole = t->parent != SPX_NO_TENSOR ? t->parent : f->op[i].relu;
            output[r->n++] = whole;
            l->op = &f->op[i];
            l->channels = r->s->graph->tensor[whole].dim[1];
            l->first = t->parent != SPX_NO_TENSOR ? t->first : 0;
            l->map = v->h * v->w;
            SPX_RETURN_IF(SPX_NEW(l->most, (size_t)l->channels));
            SPX_RETURN_IF(SPX_NEW(l->counts, (size_t)l->channels * BINS));
        }
    }
    return SPX_OK;
}

static spx_status find_most(relu *l, const float *x, int64_t images)
{
    for (int64_t i = 0; i < images * l->channels; i++) {
        float *most = &l->most[i % l->channels];
        for (int64_t j = 0; j < l->map; j++) {
            const float v = fabsf(x[i * l->map + j]); /* below zero: where a mask drops */
            *most = v > *most ? v : *most;
            if (!(v < INFINITY)) {
                return SPX_FAIL(SPX_ENUMERIC, "calibration: an activation that is no number");
            }
        }
    }
    return SPX_OK;
}

static void count(relu *l, const float *x, int64_t images)
{
    for (int64_t i = 0; i < images * l->channels; i++) {
        const float most = l->most[i % l->channels], by = most > 0 ? (float)BINS / most : 0;
        float *counts = l->counts + i % l->channels * BINS;
        for (int64_t j = 0; j < l->map; j++) {
            const float v = fabsf(x[i * l->map + j]);
            if (v > 0) {
                const int bin = (int)(v * by);
                counts[bin < BINS ? bin : BINS - 1] += 1;
            }
        }
    }
}

static spx_status each_batch(calibration *r, bool counting, int64_t done)
{
    for (int64_t step = 0; step < r->s->steps; step++) {
        const float *images;
        SPX_RETURN_IF(r->s->next(r->s->ctx, step, &images));
        const void *input[2] = {images, NULL};
        r->binding.input = input;
        SPX_RETURN_IF(spx_program_run(r->program, &r->binding));
        for (int i = 0; i < r->n; i++) {
            SPX_RETURN_IF(spx_program_read(r->program, &r->binding, i, r->activations));
            if (counting) {
                count(&r->relu[i], r->activations, r->batch);
            } else {
                SPX_RETURN_IF(find_most(&r->relu[i], r->activations, r->batch));
            }
        }
        if (r->s->show != NULL) {
            r->s->show(r->s->show_ctx, done + step + 1, 2 * r->s->steps);
        }
    }
    return SPX_OK;
}

/* The bin at whose end to clip. */
static double best_clip(const float *counts, double most, int bits)
{
    const double step = most / BINS, levels = ldexp(1, bits) - 1;
    double best = most, least = INFINITY;
    for (int i = 1; i <= FRACTIONS; i++) {
        const int end = i * (BINS / FRACTIONS);
        const double clip = end * step, rounding = clip / levels * (clip / levels) / 12;
        double error = 0;
        for (int b = 0; b < BINS; b++) {
            const double over = (b + 0.5) * step - clip;
            error += (double)counts[b] * (b < end ? rounding : over * over);
        }
        if (error < least) {
            least = error;
            best = clip;
        }
    }
    return best;
}

static void clip_relu(const relu *l, int64_t n, int bits, double *clip)
{
    double sum = 0;
    int64_t alive = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = l->first + (l->op->channel != NULL ? l->op->channel[i] : i);
        clip[i] = l->most[c] > 0 ? best_clip(l->counts + c * BINS, (double)l->most[c], bits) : 0;
        sum += clip[i];
        alive += clip[i] > 0;
    }
    for (int64_t c = 0; c < n; c++) {
        if (!(clip[c] > 0)) {
            clip[c] = alive > 0 ? sum / (double)alive : 1;
        }
    }
}

static spx_status make_clips(const calibration *r, int bits, double ***out)
{
    void *memory = NULL;
    size_t channels = 0;
    for (int i = 0; i < r->n; i++) {
        channels += (size_t)r->s->fold->value[r->relu[i].op->d.out].c;
    }
    SPX_RETURN_IF(
        spx_calloc(&memory, (size_t)r->n * sizeof(double *) + channels * sizeof(double) + 1, 1));
    double **list = memory;
    double *at = (double *)(void *)(list + r->n);
    for (int i = 0; i < r->n; i++) {
        const int64_t c = r->s->fold->value[r->relu[i].op->d.out].c;
        list[i] = at;
        clip_relu(&r->relu[i], c, bits, at);
        at += c;
    }
    *out = list;
    return SPX_OK;
}

/* What the program runs on. */
static spx_status open_memory(calibration *r)
{
    const spx_calibrate_source *s = r->s;
    const spx_layout *l = spx_program_layout(r->program);
    size_t most = 0;
    for (int i = 0; i < r->n; i++) {
        const size_t n = (size_t)(r->batch * r->relu[i].channels * r->relu[i].map);
        most = n > most ? n : most;
    }
    SPX_RETURN_IF(SPX_NEW(r->activations, most));
    SPX_RETURN_IF(spx_layout_arena(l, r->stream, SPX_ROLE_WEIGHT, &r->weights));
    SPX_RETURN_IF(spx_layout_arena(l, r->stream, SPX_ROLE_STATE, &r->state));
    SPX_RETURN_IF(spx_layout_upload(l, r->stream, SPX_ROLE_WEIGHT, &s->weights, &r->weights));
    SPX_RETURN_IF(spx_layout_upload(l, r->stream, SPX_ROLE_STATE, &s->state, &r->state));
    SPX_RETURN_IF(
        spx_buffer_alloc(&r->workspace, r->stream, spx_program_workspace_bytes(r->program)));
    r->binding = (spx_binding){.weights = r->weights, .state = r->state, .workspace = r->workspace};
    return SPX_OK;
}

static spx_status open_calibration(calibration *r)
{
    spx_tid *output;
    SPX_RETURN_IF(SPX_NEW(r->relu, (size_t)r->s->fold->n_ops));
    SPX_RETURN_IF(SPX_NEW(output, (size_t)r->s->fold->n_ops));
    spx_status st = open_relus(r, output);
    if (st == SPX_OK) {
        const spx_program_options o = {.output = output, .n_output = r->n};
        st = spx_program_create(&r->program, r->s->graph, r->stream, &o);
    }
    spx_free(output);
    SPX_RETURN_IF(st);
    if (!spx_layout_equal(spx_program_layout(r->program), r->s->layout)) {
        return SPX_FAIL(SPX_EINVAL, "calibration: the weights are of another network");
    }
    SPX_RETURN_IF(spx_layout_check_host(r->s->layout, &r->s->weights, &r->s->state, "calibration"));
    return open_memory(r);
}

static void close_calibration(calibration *r)
{
    for (int i = 0; i < r->n; i++) {
        spx_free(r->relu[i].most);
        spx_free(r->relu[i].counts);
    }
    spx_free(r->relu);
    spx_free(r->activations);
    spx_buffer_free(&r->weights);
    spx_buffer_free(&r->state);
    spx_buffer_free(&r->workspace);
    spx_program_destroy(r->program);
}

spx_status spx_calibrate(double ***clip, const spx_calibrate_source *s, spx_stream *stream,
                         int activation_bits)
{
    calibration r = {.s = s, .stream = stream};
    spx_status st;
    *clip = NULL;
    for (int i = 0; i < s->graph->n_tensors; i++) {
        if (s->graph->tensor[i].role == SPX_ROLE_INPUT && s->graph->tensor[i].rank == 4) {
            r.batch = s->graph->tensor[i].dim[0];
        }
    }
    bool any = false;
    for (int i = 0; i < s->fold->n_ops; i++) {
        any = any || s->fold->op[i].d.kind == SPX_DEPLOY_RELU;
    }
    if (any) {
        SPX_TRY(st, open_calibration(&r), end);
        SPX_TRY(st, each_batch(&r, false, 0), end);
        SPX_TRY(st, each_batch(&r, true, s->steps), end);
    }
    st = make_clips(&r, activation_bits, clip);
end:
    close_calibration(&r);
    return st;
}
