#include "search/final/export.h"

#include "data/loader/loader.h"
#include "host/model/calibrate.h"
#include "host/model/dropped.h"
#include "host/train/feed.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "search/final/mask.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 32

typedef struct exporting {
    const spx_final_spec *spec;
    const json_t *meta;          /* of the model; NULL: random weights */
    const spx_preprocess *takes; /* of the model; NULL: random weights */
    const spx_pack *pack;        /* NULL: random images */
    uint64_t seed;
    float *random;   /* [BATCH images] */
    int32_t *labels; /* of those, zero */
    const spx_export_options *o;
    spx_stream *stream;
    const spx_layout *layout;  /* of a program of the network */
    spx_buffer weights, state; /* of that layout, in host memory */
    spx_network net;
    spx_fold *fold;
    bool *clamp;       /* [nodes of net] */
    bool linear;       /* whether something that could be clamped is not */
    spx_pack as_model; /* the pack, normalised as the model is */
    spx_loader *loader;
    spx_feed *feed;  /* of the loader's batches or of random ones */
    uint32_t *index; /* of the images, [images] */
    size_t images;
    double **clip;
    json_t *about, *preprocessing;
    char *text, *public_text;
} exporting;

static void show_calibration(void *ctx, int64_t done, int64_t total)
{
    const exporting *r = ctx;
    if (r->o->show != NULL) {
        r->o->show(r->o->ctx, "calibrating", done, total);
    }
}

static void show_quantisation(void *ctx, int64_t done, int64_t total, const char *note)
{
    const exporting *r = ctx;
    if (r->o->show != NULL) {
        r->o->show(r->o->ctx, note, done, total);
    }
}

/* ---- calibration ---- */

static spx_status check_pack(const exporting *r)
{
    const spx_final_spec *s = r->spec;
    const spx_pack *p = r->pack;
    const bool any_size = spx_preprocess_any_size(r->takes);
    if (p->channels != s->input.channels || !spx_pack_has(p, SPX_SPLIT_TRAIN) ||
        (!any_size &&
         (p->height == 0 || p->height > s->input.rows || p->width > s->input.columns))) {
        return SPX_FAIL(SPX_EINVAL,
                        "calibration needs training images of %lldx%lldx%lld, not %dx%dx%d",
                        (long long)s->input.channels, (long long)s->input.rows,
                        (long long)s->input.columns, p->channels, p->height, p->width);
    }
    return SPX_OK;
}

static spx_status open_images(exporting *r)
{
    const size_t stored = r->pack->split[SPX_SPLIT_TRAIN].count;
    SPX_RETURN_IF(check_pack(r));
    r->images = (size_t)r->o->images < stored ? (size_t)r->o->images : stored;
    SPX_RETURN_IF(SPX_NEW(r->index, r->images));
    for (size_t i = 0; i < r->images; i++) {
        r->index[i] = (uint32_t)(i * stored / r->images);
    }
    r->as_model = *r->pack;
    memcpy(r->as_model.mean, r->spec->mean, sizeof r->as_model.mean);
    memcpy(r->as_model.std, r->spec->std, sizeof r->as_model.std);
    const spx_loader_options lo = {.split = SPX_SPLIT_TRAIN,
                                   .subset = r->index,
                                   .subset_count = r->images,
                                   .batch = BATCH,
                                   .height = (int)r->spec->input.rows,
                                   .width = (int)r->spec->input.columns,
                                   .augment = spx_preprocess_augment(r->takes)};
    return spx_loader_open(&r->loader, &r->as_model, &lo);
}

/* The last batch is filled up with its first image: no matter. */
static spx_status get_images(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    const exporting *r = ctx;
    spx_batch b;
    SPX_RETURN_IF(spx_loader_get(r->loader, (size_t)epoch, (size_t)step, &b));
    *out = (spx_samples){.images = b.images, .labels = b.labels, .valid = BATCH};
    return SPX_OK;
}

static spx_status get_random(void *ctx, int64_t epoch, int64_t step, spx_samples *out)
{
    const exporting *r = ctx;
    const spx_input_shape *in = &r->spec->input;
    const int64_t map = in->rows * in->columns, n = BATCH * in->channels * map;
    spx_rng rng;
    (void)epoch;
    spx_rng_init(&rng, r->seed, SPX_RNG_BENCH, (uint64_t)step);
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = i / map % in->channels;
        r->random[i] =
            (float)(((double)(spx_rng_u32(&rng) & 255) / 255 - r->spec->mean[c]) / r->spec->std[c]);
    }
    *out = (spx_samples){.images = r->random, .labels = r->labels, .valid = BATCH};
    return SPX_OK;
}

static spx_status next_images(void *ctx, int64_t step, const float **images)
{
    const exporting *r = ctx;
    const spx_source device = spx_feed_source(r->feed);
    spx_samples batch;
    SPX_RETURN_IF(device.get(device.ctx, 0, step, &batch));
    *images = batch.images;
    return SPX_OK;
}

static spx_status calibrate(exporting *r)
{
    const bool drawn = r->pack == NULL;
    const int64_t steps =
        drawn ? ((int64_t)r->images + BATCH - 1) / BATCH : (int64_t)spx_loader_steps(r->loader);
    const spx_input_shape *in = &r->spec->input;
    const spx_batch_shape shape = {BATCH, in->channels, in->rows, in->columns};
    const spx_source host = {.get = drawn ? get_random : get_images, .ctx = r, .steps = steps};
    const spx_calibrate_source s = {.graph = r->net.graph,
                                    .fold = r->fold,
                                    .layout = r->layout,
                                    .weights = r->weights,
                                    .state = r->state,
                                    .next = next_images,
                                    .ctx = r,
                                    .steps = steps,
                                    .show = show_calibration,
                                    .show_ctx = r};
    const int bits = r->o->quantise.activation_bits;
    spx_feed_close(r->feed);
    spx_free(r->clip);
    r->feed = NULL;
    r->clip = NULL;
    SPX_RETURN_IF(spx_feed_open(&r->feed, r->stream, &host, &shape));
    return spx_calibrate(&r->clip, &s, r->stream, bits > 0 ? bits : 8);
}

/* ---- the whole ---- */

/* Of a masked network, those that its masks keep. */
static spx_status kept_relus(const exporting *r, spx_counts *counts)
{
    spx_masks masks;
    SPX_RETURN_IF(spx_masks_of(&masks, r->spec, r->layout, &r->state));
    counts->relus = masks.n > 0 ? spx_masks_relus(&masks) : counts->relus;
    spx_masks_clear(&masks);
    return SPX_OK;
}

/* @param tried  as spx_fold_choose takes it */
static spx_status fold(exporting *r, int tried)
{
    const spx_choose_options o = {.weight_bits = r->o->quantise.weight_bits,
                                  .activation_bits = r->o->quantise.activation_bits,
                                  .limit = r->o->quantise.most_bits,
                                  .tried = tried};
    spx_fold_input s = {.graph = r->net.graph,
                        .image = r->net.image,
                        .logits = r->net.logits,
                        .layout = r->layout,
                        .weights = r->weights,
                        .state = r->state,
                        .mean = r->spec->mean,
                        .std = r->spec->std};
    spx_counts counts;
    spx_fold_destroy(r->fold);
    spx_free(r->clamp);
    r->fold = NULL;
    SPX_RETURN_IF(SPX_NEW(r->clamp, (size_t)r->net.graph->n_nodes));
    SPX_RETURN_IF(spx_fold_choose(r->clamp, &r->linear, &s, &o));
    s.clamp = r->clamp;
    SPX_RETURN_IF(spx_fold_create(&r->fold, &s));
    spx_graph_count(r->net.graph, &counts);
    SPX_RETURN_IF(kept_relus(r, &counts));
    return counts.relus == spx_fold_relus(r->fold)
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "folding: %lld ReLUs of %lld",
                          (long long)spx_fold_relus(r->fold), (long long)counts.relus);
}

/* What the deployed file says of its origin. */
static spx_status describe(exporting *r)
{
    static const char *const kept[] = {"network", "top1", "commit"};
    r->about = json_object();
    for (size_t i = 0; r->meta != NULL && i < sizeof kept / sizeof kept[0]; i++) {
        json_t *j = json_object_get(r->meta, kept[i]);
        if (j != NULL) {
            (void)json_object_set(r->about, kept[i], j);
        }
    }
    r->text = json_dumps(r->about, JSON_COMPACT | JSON_SORT_KEYS);
    if (r->takes != NULL) {
        r->preprocessing = spx_preprocess_json(r->takes);
        r->public_text = json_dumps(r->preprocessing, JSON_COMPACT | JSON_SORT_KEYS);
    }
    if (r->text == NULL || (r->takes != NULL && r->public_text == NULL)) {
        return SPX_FAIL(SPX_ENOMEM, "export: description");
    }
    return r->public_text == NULL || strlen(r->public_text) <= SPX_DEPLOY_MAX_PREPROCESSING
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "export: names of classes of %zu bytes, at most %zu are kept",
                          strlen(r->public_text), SPX_DEPLOY_MAX_PREPROCESSING);
}

/* The share of every activation's elements that are clamped, over the calibration images. */
static spx_status count_saturated(const exporting *r, const spx_deploy *m, double *share)
{
    const size_t images = r->images < 64 ? r->images : 64;
    void *values = NULL, *image = NULL;
    spx_status st;
    SPX_TRY(st, spx_calloc(&values, spx_deploy_total(m), sizeof(int64_t)), end);
    SPX_TRY(st, spx_calloc(&image, spx_deploy_count(m, 0), 1), end);
    for (size_t i = 0; i < images; i++) {
        SPX_TRY(st,
                spx_preprocess_packed(r->takes, r->pack, SPX_SPLIT_TRAIN,
                                      r->index[i * r->images / images], image),
                end);
        SPX_TRY(st, spx_deploy_run_values(m, spx_stream_pool(r->stream), image, values), end);
        for (int k = 0; k < m->n_segments - 1; k++) {
            const spx_deploy_op *op = &m->op[m->relu[k]];
            const int64_t *v = (const int64_t *)values + spx_deploy_begin(m, op->out);
            const size_t n = spx_deploy_count(m, op->out);
            for (size_t j = 0; j < n; j++) {
                share[k] +=
                    (v[j] == ((int64_t)1 << op->bits) - 1 || v[j] == -((int64_t)1 << op->bits)) /
                    (double)(n * images);
            }
        }
    }
end:
    spx_free(values);
    spx_free(image);
    return st;
}

/* @param least  bits of weights */
static spx_status quantise(exporting *r, int least, spx_deploy **out, spx_export_report *report)
{
    spx_quantise_options q = r->o->quantise;
    const int bits = q.weight_bits > 0 ? q.weight_bits : 8;
    int segments = 1;
    q.least_bits = least < bits ? least : bits;
    for (int i = 0; i < r->fold->n_ops; i++) {
        segments += r->fold->op[i].d.kind == SPX_DEPLOY_RELU;
    }
    SPX_RETURN_IF(SPX_NEW(report->segment, (size_t)segments));
    SPX_RETURN_IF(SPX_NEW(report->saturated, (size_t)segments));
    report->images = (int64_t)r->images;
    q.about = r->text;
    q.preprocessing = r->public_text;
    q.show = show_quantisation;
    q.ctx = r;
    SPX_RETURN_IF(spx_quantise(out, r->fold, (const double *const *)r->clip, &q,
                               spx_stream_pool(r->stream), report->segment));
    return r->pack != NULL ? count_saturated(r, *out, report->saturated) : SPX_OK;
}

void spx_export_report_clear(spx_export_report *r)
{
    spx_free(r->segment);
    spx_free(r->saturated);
    memset(r, 0, sizeof *r);
}

static void exporting_clear(exporting *r)
{
    spx_feed_close(r->feed);
    spx_loader_close(r->loader);
    spx_free(r->index);
    spx_free(r->random);
    spx_free(r->labels);
    spx_free(r->clip);
    spx_fold_destroy(r->fold);
    spx_free(r->clamp);
    spx_network_clear(&r->net);
    json_decref(r->about);
    json_decref(r->preprocessing);
    free(r->text);
    free(r->public_text);
}

/* From weights and images to the model; leaves r cleared. Where chains without clamps are too long
 * for any proof, or for weights of some use, more are cut. */
static spx_status export(exporting *r, spx_deploy **out, spx_export_report *report)
{
    spx_export_report own = {0};
    spx_status st;
    bool last;
    int tried = 0;
    SPX_TRY(st, spx_final_build(&r->net, r->spec, BATCH), end);
    SPX_TRY(st, describe(r), end);
    do {
        spx_export_report_clear(&own);
        SPX_TRY(st, fold(r, tried), end);
        SPX_TRY(st, calibrate(r), end);
        last = !r->linear || ++tried == SPX_CHOOSE_TRIES;
        st = quantise(r, last ? 2 : SPX_CHOOSE_WEIGHT_BITS, out, &own);
    } while (st == SPX_ENUMERIC && !last);
end:
    if (st != SPX_OK) {
        spx_deploy_destroy(*out);
        *out = NULL;
    }
    if (st == SPX_OK && report != NULL) {
        *report = own;
    } else {
        spx_export_report_clear(&own);
    }
    return st;
}

spx_status spx_export(spx_deploy **out, const spx_model *m, const spx_pack *pack,
                      spx_stream *stream, const spx_export_options *o, spx_export_report *report)
{
    exporting r = {.spec = &m->spec,
                   .meta = m->file.meta,
                   .takes = &m->images,
                   .pack = pack,
                   .o = o,
                   .stream = stream};
    spx_program *program = NULL;
    spx_status st;
    *out = NULL;
    SPX_TRY(st, open_images(&r), end);
    SPX_TRY(st, spx_final_eval_program(&program, stream, r.spec, BATCH, false, NULL), end);
    r.layout = spx_program_layout(program);
    SPX_TRY(st, spx_model_arenas(m, r.layout, NULL, &r.weights, &r.state), end);
    st = export(&r, out, report);
end:
    spx_buffer_free(&r.weights);
    spx_buffer_free(&r.state);
    exporting_clear(&r);
    spx_program_destroy(program);
    return st;
}

spx_status spx_export_random(spx_deploy **out, const spx_final_spec *spec, uint64_t seed,
                             spx_stream *stream, const spx_export_options *o,
                             spx_export_report *report)
{
    exporting r = {
        .spec = spec, .seed = seed, .o = o, .stream = stream, .images = (size_t)o->images};
    const spx_input_shape *in = &spec->input;
    spx_program *program = NULL;
    spx_status st;
    *out = NULL;
    SPX_TRY(st, spx_final_eval_program(&program, stream, spec, BATCH, false, NULL), end);
    r.layout = spx_program_layout(program);
    SPX_TRY(st, spx_layout_arena(r.layout, NULL, SPX_ROLE_WEIGHT, &r.weights), end);
    SPX_TRY(st, spx_layout_arena(r.layout, NULL, SPX_ROLE_STATE, &r.state), end);
    SPX_TRY(st, spx_layout_init(r.layout, seed, &r.weights, NULL, &r.state), end);
    SPX_TRY(st, SPX_NEW(r.random, (size_t)(BATCH * in->channels * in->rows * in->columns)), end);
    SPX_TRY(st, SPX_NEW(r.labels, BATCH), end);
    st = export(&r, out, report);
end:
    spx_buffer_free(&r.weights);
    spx_buffer_free(&r.state);
    exporting_clear(&r);
    spx_program_destroy(program);
    return st;
}

/* Interactive positions of a masked network once it is deployed. */
static spx_status count_interactive(const spx_final_spec *f, const spx_layout *l,
                                    const spx_buffer *weights, const spx_buffer *state,
                                    int64_t *out)
{
    const spx_export_options usual = {0};
    exporting r = {.spec = f, .layout = l, .weights = *weights, .state = *state, .o = &usual};
    spx_status st;
    SPX_TRY(st, spx_final_build(&r.net, f, 1), end);
    SPX_TRY(st, fold(&r, 0), end);
    *out = 0;
    for (int i = 0; i < r.fold->n_ops; i++) {
        const spx_deploy_op *d = &r.fold->op[i].d;
        *out += d->kind == SPX_DEPLOY_RELU ? (int64_t)spx_fold_count(r.fold, d->out) : 0;
    }
end:
    exporting_clear(&r);
    return st;
}

spx_status spx_export_relus(spx_relu_count *out, const spx_final_spec *f, const spx_layout *l,
                            const spx_buffer *weights, const spx_buffer *state)
{
    spx_masks masks;
    spx_counts c;
    SPX_RETURN_IF(spx_final_count(f, false, &c));
    *out = (spx_relu_count){.kept = c.relus, .full = c.relus, .masked = f->masked};
    if (!f->masked) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_masks_of(&masks, f, l, state));
    out->kept = spx_masks_relus(&masks);
    spx_masks_clear(&masks);
    const spx_status st = count_interactive(f, l, weights, state, &out->interactive);
    out->counted = st == SPX_OK;
    return st == SPX_EUNSUPPORTED ? SPX_OK : st; /* there are networks that cannot be deployed */
}
