#include "search/prune/prune_bench_private.h"

#include "host/train/evaluate.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOMENTUM 0.1 /* of running statistics (spx_g_batch_norm) */

/* ---- programs ---- */

/* A program of the model in training; masks_trained: its masks are parameters with gradients. */
static spx_status training_program(const spx_prune_bench *b, bool masks_trained, spx_program **out)
{
    spx_final_config c = spx_spec_config(&b->spec, b->batch);
    spx_network net;
    spx_loss_seed seed;
    spx_program_options o = {.n_output = 1};
    c.training = true;
    c.auxiliary = b->auxiliary;
    c.masks_trained = masks_trained;
    *out = NULL;
    SPX_RETURN_IF(spx_build_spec(&net, &b->spec, &c));
    o.output = masks_trained ? &net.loss : &net.logits;
    if (masks_trained) {
        seed = (spx_loss_seed){net.loss, 1.0f};
        o.loss = &seed;
        o.n_loss = 1;
        o.grad_arch = true;
    }
    const spx_status st = spx_program_create(out, net.graph, b->stream, &o);
    spx_network_clear(&net);
    return st;
}

static spx_status open_programs(spx_prune_bench *b)
{
    SPX_RETURN_IF(training_program(b, false, &b->estimate));
    SPX_RETURN_IF(
        spx_final_eval_program(&b->evaluate, b->stream, &b->spec, b->batch, b->auxiliary, NULL));
    const size_t e = spx_program_workspace_bytes(b->estimate),
                 v = spx_program_workspace_bytes(b->evaluate);
    b->layout = spx_program_layout(b->evaluate);
    if (!spx_layout_equal(b->layout, spx_program_layout(b->estimate))) {
        return SPX_FAIL(SPX_EINVAL, "pruning: training has another layout than evaluation");
    }
    return spx_buffer_alloc(&b->workspace, b->stream, e > v ? e : v);
}

static spx_status open_arenas(spx_prune_bench *b)
{
    SPX_RETURN_IF(spx_model_arenas(b->model, b->layout, NULL, &b->weights, &b->state));
    SPX_RETURN_IF(spx_masks_of(&b->masks, &b->spec, b->layout, &b->state));
    SPX_RETURN_IF(spx_layout_arena(b->layout, b->stream, SPX_ROLE_WEIGHT, &b->device_weights));
    SPX_RETURN_IF(spx_layout_arena(b->layout, b->stream, SPX_ROLE_STATE, &b->device_state));
    return spx_layout_upload(b->layout, b->stream, SPX_ROLE_WEIGHT, &b->weights,
                             &b->device_weights);
}

/* ---- images ---- */

static spx_status open_source(spx_prune_bench *b, spx_device_source **out, const uint32_t *index,
                              size_t n)
{
    const spx_loader_options o = {.split = SPX_SPLIT_TRAIN,
                                  .subset = index,
                                  .subset_count = n,
                                  .batch = (size_t)b->batch,
                                  .height = (int)b->spec.input.rows,
                                  .width = (int)b->spec.input.columns,
                                  .augment = spx_preprocess_augment(&b->model->images)};
    return spx_device_source_open(out, b->stream, NULL, &b->as_model, &o);
}

/* n of the `count` indices, drawn by the seed, to the front in the order drawn: statistics want
 * batches of mixed classes, and sets lie sorted by them. */
static void draw(uint32_t *index, size_t count, size_t n, uint64_t seed)
{
    spx_rng rng;
    spx_rng_init(&rng, seed, SPX_RNG_ORDER, 0);
    for (size_t i = 0; i < n; i++) {
        const size_t j = i + spx_rng_below(&rng, (uint32_t)(count - i));
        const uint32_t t = index[i];
        index[i] = index[j];
        index[j] = t;
    }
}

static spx_status open_images(spx_prune_bench *b)
{
    const spx_pack_split *all = &b->pack->split[SPX_SPLIT_TRAIN];
    const spx_prune_options *o = b->o;
    uint32_t *held = NULL, *rest = NULL;
    size_t n_held, n_rest;
    spx_status st;
    SPX_TRY(st, SPX_NEW(held, all->count), end);
    SPX_TRY(st, SPX_NEW(rest, all->count), end);
    SPX_TRY(st,
            spx_split_held_out(all->labels, all->count, b->pack->classes, o->seed, o->held_out,
                               held, &n_held, rest, &n_rest),
            end);
    size_t n = (size_t)o->images < n_rest ? (size_t)o->images : n_rest;
    b->batch = o->batch < (int64_t)n ? o->batch : (int64_t)n;
    n -= n % (size_t)b->batch; /* statistics are those of full batches */
    draw(rest, n_rest, n, o->seed);
    SPX_TRY(st, open_source(b, &b->shown, rest, n), end);
    st = open_source(b, &b->held, held, n_held);
end:
    spx_free(held);
    spx_free(rest);
    return st;
}

spx_status spx_prune_bench_open(spx_prune_bench *b, spx_stream *stream, const spx_model *m,
                                const spx_pack *pack, const spx_prune_options *o)
{
    spx_status st;
    *b = (spx_prune_bench){.stream = stream, .model = m, .pack = pack, .o = o, .spec = m->spec};
    b->spec.masked = true;
    b->as_model = *pack;
    memcpy(b->as_model.mean, m->spec.mean, sizeof m->spec.mean);
    memcpy(b->as_model.std, m->spec.std, sizeof m->spec.std);
    b->auxiliary = spx_h5_has(m->file.file, "param/aux_head.linear.weight");
    SPX_TRY(st, open_images(b), fail);
    SPX_TRY(st, open_programs(b), fail);
    SPX_TRY(st, open_arenas(b), fail);
    return SPX_OK;
fail:
    spx_prune_bench_close(b);
    return st;
}

void spx_prune_bench_close(spx_prune_bench *b)
{
    spx_masks_clear(&b->masks);
    spx_device_source_close(b->shown);
    spx_device_source_close(b->held);
    spx_buffer_free(&b->weights);
    spx_buffer_free(&b->state);
    spx_buffer_free(&b->device_weights);
    spx_buffer_free(&b->device_state);
    spx_buffer_free(&b->workspace);
    spx_program_destroy(b->estimate);
    spx_program_destroy(b->evaluate);
    memset(b, 0, sizeof *b);
}

/* ---- measuring ---- */

static bool is_statistic(const spx_layout_entry *e)
{
    const char *part = strrchr(e->name, '.');
    return e->role == SPX_ROLE_STATE && part != NULL && strncmp(part, ".running_", 9) == 0;
}

/* Every running statistic of the host's state times `by`. */
static void scale_statistics(spx_prune_bench *b, double by)
{
    for (int i = 0; i < b->layout->n; i++) {
        const spx_layout_entry *e = &b->layout->entry[i];
        float *x = (float *)b->state.data + e->offset;
        for (int64_t k = 0; is_statistic(e) && k < e->count; k++) {
            x[k] = (float)(by * (double)x[k]);
        }
    }
}

/* Runs a program on every batch of the images for statistics and scores, and then `after`. */
static spx_status each_batch(spx_prune_bench *b, spx_program *p, spx_binding *bind,
                             spx_status (*after)(void *ctx, int64_t i, int64_t n), void *ctx)
{
    const spx_source source = spx_device_source_of(b->shown);
    for (int64_t i = 0; i < source.steps; i++) {
        spx_samples batch;
        SPX_RETURN_IF(source.get(source.ctx, 0, i, &batch));
        bind->input = (const void *const[2]){batch.images, batch.labels};
        SPX_RETURN_IF(spx_program_run(p, bind));
        if (after != NULL) {
            SPX_RETURN_IF(after(ctx, i, source.steps));
        }
    }
    return SPX_OK;
}

/* From nothing, a moving average over the images; divided by the weight that it has gathered. */
static spx_status estimate(spx_prune_bench *b)
{
    const double batches = (double)spx_device_source_of(b->shown).steps;
    spx_binding bind = {.weights = b->device_weights,
                        .state = b->device_state,
                        .update_state = true,
                        .workspace = b->workspace};
    scale_statistics(b, 0.0);
    SPX_RETURN_IF(
        spx_layout_upload(b->layout, b->stream, SPX_ROLE_STATE, &b->state, &b->device_state));
    SPX_RETURN_IF(each_batch(b, b->estimate, &bind, NULL, NULL));
    SPX_RETURN_IF(
        spx_layout_download(b->layout, b->stream, SPX_ROLE_STATE, &b->device_state, &b->state));
    scale_statistics(b, 1.0 / (1.0 - pow(1.0 - MOMENTUM, batches)));
    return spx_layout_upload(b->layout, b->stream, SPX_ROLE_STATE, &b->state, &b->device_state);
}

spx_status spx_prune_bench_measure(spx_prune_bench *b, spx_metrics *out)
{
    const spx_source source = spx_device_source_of(b->held);
    const spx_binding bind = {
        .weights = b->device_weights, .state = b->device_state, .workspace = b->workspace};
    SPX_RETURN_IF(estimate(b));
    return spx_evaluate(b->stream, b->evaluate, &bind, &source, 0, NULL, NULL, out);
}

/* ---- scoring ---- */

typedef struct scoring {
    spx_prune_bench *b;
    float *const *size, *const *change, *const *channel; /* of spx_prune_bench_score */
    spx_program *program;
    const spx_layout *layout;         /* its masks are architecture parameters */
    spx_buffer arch, state, gradient; /* in host memory */
    spx_buffer device_arch, device_state, device_gradient; /* on the device */
    spx_buffer workspace;
} scoring;

/* Arenas in host memory, by role. */
typedef spx_buffer arenas[SPX_ROLE_COUNT];

/* Every array of one layout into its namesake of the other. */
static spx_status copy_named(const spx_layout *from, const arenas have, const spx_layout *to,
                             const arenas out)
{
    for (int i = 0; i < from->n; i++) {
        const spx_layout_entry *e = &from->entry[i], *t = spx_layout_find(to, e->name);
        if (have[e->role].data == NULL) {
            continue;
        }
        if (t == NULL || t->count != e->count || out[t->role].data == NULL) {
            return SPX_FAIL(SPX_EINVAL, "pruning: no place for %s", e->name);
        }
        memcpy((float *)out[t->role].data + t->offset,
               (const float *)have[e->role].data + e->offset, sizeof(float) * (size_t)e->count);
    }
    return SPX_OK;
}

static void scoring_clear(scoring *s)
{
    spx_buffer *const list[] = {&s->arch,        &s->state,        &s->gradient,
                                &s->device_arch, &s->device_state, &s->device_gradient,
                                &s->workspace};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        spx_buffer_free(list[i]);
    }
    spx_program_destroy(s->program);
}

static spx_status scoring_open(scoring *s)
{
    spx_prune_bench *b = s->b;
    SPX_RETURN_IF(training_program(b, true, &s->program));
    s->layout = spx_program_layout(s->program);
    SPX_RETURN_IF(spx_layout_arena(s->layout, NULL, SPX_ROLE_ARCH, &s->arch));
    SPX_RETURN_IF(spx_layout_arena(s->layout, NULL, SPX_ROLE_ARCH, &s->gradient));
    SPX_RETURN_IF(spx_layout_arena(s->layout, NULL, SPX_ROLE_STATE, &s->state));
    SPX_RETURN_IF(spx_layout_arena(s->layout, b->stream, SPX_ROLE_ARCH, &s->device_arch));
    SPX_RETURN_IF(spx_layout_arena(s->layout, b->stream, SPX_ROLE_ARCH, &s->device_gradient));
    SPX_RETURN_IF(spx_layout_arena(s->layout, b->stream, SPX_ROLE_STATE, &s->device_state));
    SPX_RETURN_IF(copy_named(b->layout, (arenas){[SPX_ROLE_STATE] = b->state}, s->layout,
                             (arenas){[SPX_ROLE_ARCH] = s->arch, [SPX_ROLE_STATE] = s->state}));
    SPX_RETURN_IF(
        spx_layout_upload(s->layout, b->stream, SPX_ROLE_ARCH, &s->arch, &s->device_arch));
    SPX_RETURN_IF(
        spx_layout_upload(s->layout, b->stream, SPX_ROLE_STATE, &s->state, &s->device_state));
    return spx_buffer_alloc(&s->workspace, b->stream, spx_program_workspace_bytes(s->program));
}

/* The mask's gradient is the sum of -g * min(x, 0); leaving the ReLU out moves the mask by -1. */
static void add_site(const scoring *s, int i, const float *gradient, double share)
{
    const spx_mask_site *m = &s->b->masks.site[i];
    for (int64_t c = 0; c < m->c; c++) {
        double sum = 0;
        for (int64_t k = c * m->h * m->w; k < (c + 1) * m->h * m->w; k++) {
            const double rise = m->keep[k] != 0.0f ? -(double)gradient[k] : 0.0;
            s->size[i][k] += (float)(share * fabs(rise));
            s->change[i][k] += (float)(share * rise);
            sum += rise;
        }
        s->channel[i][c] += (float)(share * fabs(sum));
    }
}

static spx_status add_batch(void *ctx, int64_t done, int64_t total)
{
    const scoring *s = ctx;
    const spx_prune_bench *b = s->b;
    SPX_RETURN_IF(spx_layout_download(s->layout, b->stream, SPX_ROLE_ARCH, &s->device_gradient,
                                      &s->gradient));
    for (int i = 0; i < b->masks.n; i++) {
        const spx_mask_site *m = &b->masks.site[i];
        char name[256];
        (void)snprintf(name, sizeof name, "%s.mask", m->relu);
        const spx_layout_entry *e = spx_layout_find(s->layout, name);
        if (e == NULL || e->role != SPX_ROLE_ARCH || e->count != m->c * m->h * m->w) {
            return SPX_FAIL(SPX_EINVAL, "pruning: no gradient of %s", name);
        }
        add_site(s, i, (const float *)s->gradient.data + e->offset, 1.0 / (double)total);
    }
    if (b->o->show != NULL) {
        b->o->show(b->o->ctx, "scoring", done + 1, total);
    }
    return SPX_OK;
}

spx_status spx_prune_bench_score(spx_prune_bench *b, float *const *size, float *const *change,
                                 float *const *channel)
{
    scoring s = {.b = b, .size = size, .change = change, .channel = channel};
    spx_status st = scoring_open(&s);
    if (st == SPX_OK) {
        spx_binding bind = {.weights = b->device_weights,
                            .arch = s.device_arch,
                            .state = s.device_state,
                            .arch_grad = s.device_gradient,
                            .workspace = s.workspace};
        st = each_batch(b, s.program, &bind, add_batch, &s);
    }
    scoring_clear(&s);
    return st;
}
