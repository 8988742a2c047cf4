#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"
#include "kernels/nn/relu_score/relu_score.h"
#include "kernels/optim/optim.h"
#include "search/final/linearizer_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_FLOATS 64

static bool trains_masks(const spx_linearizer *z)
{
    return z->o->method == SPX_LINEARIZE_SNL;
}

static int layers_of(const spx_linearizer *z)
{
    return z->masks.n - z->first;
}

/* ---- within a step ---- */

/* Array k of the scores, in an arena. */
static float *array(const spx_linearizer *z, const spx_buffer *arena, int k)
{
    return (float *)arena->data + z->layout.entry[z->network->n + k].offset;
}

enum { IMPORTANCE, CURVATURE, NEGATIVE, SCORE_MAPS };

/* Adds a batch to the scores; see spx_watch. */
static spx_status add_scores(void *ctx, const spx_binding *b, const spx_guard *guard)
{
    const spx_linearizer *z = ctx;
    const int layers = layers_of(z);
    float *table = array(z, &z->scores, SCORE_MAPS * layers);
    float *batches = array(z, &z->scores, SCORE_MAPS * layers + 1);
    (void)guard;
    for (int l = 0; l < layers; l++) {
        const spx_relu_statistics s = spx_program_score(z->program, b, z->first + l);
        const spx_score_maps m = {array(z, &z->scores, SCORE_MAPS * l + IMPORTANCE),
                                  array(z, &z->scores, SCORE_MAPS * l + CURVATURE),
                                  array(z, &z->scores, SCORE_MAPS * l + NEGATIVE)};
        SPX_RETURN_IF(spx_relu_score_add(z->stream, s.n, s.count, s.map, s.square, l, layers, table,
                                         batches, &m));
    }
    return spx_relu_score_weigh(z->stream, layers, table, batches);
}

#define FIRST_DISTANCE 3 /* of the program's outputs, behind logits, loss and distillation */

/* Adds a batch to the distances. */
static spx_status add_distances(void *ctx, const spx_binding *b, const spx_guard *guard)
{
    const spx_linearizer *z = ctx;
    const float *one = array(z, &z->scores, layers_of(z));
    (void)guard;
    for (int l = 0; l < layers_of(z); l++) {
        const spx_buffer sum = spx_program_output(z->program, b, FIRST_DISTANCE + z->first + l);
        float *all = array(z, &z->scores, l);
        SPX_RETURN_IF(spx_axpy(z->stream,
                               (size_t)spx_mask_site_positions(&z->masks.site[z->first + l]), one,
                               1, all, sum.data, all));
    }
    return SPX_OK;
}

static const spx_linearizer_method methods[] = {
    [SPX_LINEARIZE_RELUPRUNER] = {{"importance", "curvature", "negative"},
                                  "layers",
                                  SPX_SCORE_ROWS,
                                  add_scores},
    [SPX_LINEARIZE_SENET] = {{"distance"}, NULL, 0, add_distances},
    [SPX_LINEARIZE_SNL] = {{NULL}, NULL, 0, spx_snl_step},
};

/* ---- opening ---- */

/* Whether the network begins with a ReLU before its first block. */
static bool has_stem_relu(const spx_masks *m)
{
    return m->n > 1 && m->site[0].block < 0 && m->site[1].block >= 0;
}

static spx_status check_fall(const spx_linear_schedule *s)
{
    if (!(s->falling >= 0 && s->falling <= 1) || s->every < 1) {
        return SPX_FAIL(SPX_EINVAL,
                        "linearization: falling over %g of the epochs, expected 0..1, every %lld "
                        "steps, expected 1 or more",
                        s->falling, (long long)s->every);
    }
    return spx_linear_budget_epoch(s) < s->epochs
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL,
                          "linearization: falling over %g of the epochs, no epoch is left at the "
                          "budget",
                          s->falling);
}

static spx_status check_training(const spx_linearize_options *o)
{
    if (o->second.epochs < 1) {
        return SPX_FAIL(SPX_EINVAL, "linearization: snl's masks become 0 and 1 as its first stage "
                                    "ends; 1 or more epochs of fine-tuning are needed");
    }
    return o->mask_lr > 0 && o->mask_penalty > 0 && o->mask_growth >= 1
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL,
                          "linearization: masks at a rate of %g with a penalty of %g, expected "
                          "above 0, that grows by %g, expected 1 or more",
                          o->mask_lr, o->mask_penalty, o->mask_growth);
}

/* Other than one share a ReLU. */
static spx_status refuse_shares(const spx_linearizer *z, int got)
{
    const int n = layers_of(z);
    char names[320] = "";
    size_t used = 0;
    int l = 0;
    while (l < n && used < sizeof names - 64) {
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.60s", l > 0 ? ", " : "",
                                 z->masks.site[z->first + l].relu);
        l++;
    }
    return SPX_FAIL(SPX_EINVAL,
                    "shares to keep: %s%d, of each of %d ReLUs one is expected: %s%s (inspect "
                    "--model M --relus lists them%s)",
                    got > n ? "more than " : "", got > n ? n : got, n, names, l < n ? ", ..." : "",
                    z->first > 0 ? " and the linear stem's before them" : "");
}

/* Shares of layers as text; none: equal numbers, of which layers of few positions are most. */
static spx_status parse_shares(const spx_linearizer *z, const int64_t *count, double *weight)
{
    const char *text = z->o->shares;
    const int n = layers_of(z);
    int got = 0;
    for (const char *at = text; at != NULL && got <= n;) {
        char *end;
        const double share = strtod(at, &end);
        if (end == at || !(share >= 0 && share <= 1) || (*end != ',' && *end != '\0')) {
            return SPX_FAIL(SPX_EINVAL,
                            "shares to keep \"%.100s\": numbers of 0..1 with commas "
                            "between expected",
                            text);
        }
        if (got < n) {
            weight[got] = share * (double)count[got];
        }
        got++;
        at = *end == ',' ? end + 1 : NULL;
    }
    for (int l = 0; text == NULL && l < n; l++) {
        weight[l] = 1;
    }
    return text == NULL || got == n ? SPX_OK : refuse_shares(z, got);
}

static spx_status share(spx_linearizer *z)
{
    const int n = layers_of(z);
    int64_t *count = NULL;
    double *weight = NULL;
    spx_status st;
    if (z->o->before < 1) {
        return SPX_FAIL(SPX_EINVAL, "linearization: senet chooses by the epoch before; 1 or more "
                                    "keep all ReLUs");
    }
    SPX_TRY(st, SPX_NEW(count, (size_t)n), end);
    SPX_TRY(st, SPX_NEW(weight, (size_t)n), end);
    SPX_TRY(st, SPX_NEW(z->keep, (size_t)n), end);
    for (int l = 0; l < n; l++) {
        count[l] = spx_mask_site_positions(&z->masks.site[z->first + l]);
    }
    SPX_TRY(st, parse_shares(z, count, weight), end);
    st = spx_linear_share(n, weight, count, z->o->budget, z->keep);
end:
    spx_free(count);
    spx_free(weight);
    return st;
}

static spx_status check(spx_linearizer *z)
{
    const spx_linearize_options *o = z->o;
    spx_linear_schedule *s = &z->schedule;
    *s = (spx_linear_schedule){.epochs = o->first.epochs,
                               .before = o->before,
                               .falling = o->falling,
                               .every = o->every,
                               .budget = o->budget};
    for (int l = z->first; l < z->masks.n; l++) {
        s->full += spx_mask_site_positions(&z->masks.site[l]);
    }
    if (o->budget < 1 || o->budget > s->full) {
        return SPX_FAIL(SPX_EINVAL,
                        "a budget of %lld ReLUs: the network has %lld%s, 1 to so many "
                        "can be kept",
                        (long long)o->budget, (long long)s->full,
                        z->first > 0 ? " behind its linear stem" : "");
    }
    if (o->before < 0 || (!trains_masks(z) && o->before >= o->first.epochs)) {
        return SPX_FAIL(SPX_EINVAL,
                        "linearization: all ReLUs are kept for %lld epochs, but there are %lld; at "
                        "most %lld can be",
                        (long long)o->before, (long long)o->first.epochs,
                        (long long)o->first.epochs - 1);
    }
    return trains_masks(z)                            ? check_training(o)
           : z->o->method == SPX_LINEARIZE_RELUPRUNER ? check_fall(s)
                                                      : share(z);
}

/* The program's statistics must be those of the masks, in their order. */
static spx_status check_program(const spx_linearizer *z)
{
    const spx_binding none = {0};
    const bool scores = z->o->method == SPX_LINEARIZE_RELUPRUNER;
    bool same = !scores || spx_program_scores(z->program) == z->masks.n;
    for (int l = 0; same && l < z->masks.n; l++) {
        same = spx_mask_site_positions(&z->masks.site[l]) ==
               (scores ? spx_program_score(z->program, &none, l).count
                       : spx_program_output_tensor(z->program, FIRST_DISTANCE + l)->dim[0]);
    }
    return same ? SPX_OK : SPX_FAIL(SPX_EINVAL, "linearization: scores and masks differ");
}

/* Adds an array of scores to the layout. */
static void add_entry(spx_linearizer *z, const char *relu, const char *what, int64_t count)
{
    spx_layout *l = &z->layout;
    char *name = z->name[l->n - z->network->n];
    int64_t *end = &l->floats[SPX_ROLE_ARCH];
    (void)snprintf(name, SPX_SCORE_NAME_BYTES, "%s%s%s", relu, relu[0] != '\0' ? "." : "", what);
    l->entry[l->n++] = (spx_layout_entry){.name = name,
                                          .role = SPX_ROLE_ARCH,
                                          .rank = 1,
                                          .dim = {count},
                                          .offset = *end,
                                          .count = count,
                                          .pixels = 1};
    *end += (count + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

static spx_status make_scores(spx_linearizer *z)
{
    const int layers = layers_of(z), own = z->maps * layers + 2;
    z->layout = *z->network;
    z->layout.entry = NULL;
    SPX_RETURN_IF(SPX_NEW(z->name, (size_t)own));
    SPX_RETURN_IF(SPX_NEW(z->layout.entry, (size_t)(z->network->n + own)));
    memcpy(z->layout.entry, z->network->entry, sizeof *z->network->entry * (size_t)z->network->n);
    for (int l = z->first; l < z->masks.n; l++) {
        for (int k = 0; k < z->maps; k++) {
            add_entry(z, z->masks.site[l].relu, z->method->map[k],
                      spx_mask_site_positions(&z->masks.site[l]));
        }
    }
    if (z->method->rows > 0) {
        add_entry(z, "", z->method->table, (int64_t)z->method->rows * layers);
    }
    add_entry(z, "", "batches", 1);
    return spx_layout_arena(&z->layout, z->stream, SPX_ROLE_ARCH, &z->scores);
}

/* What is added by is one. */
static spx_status start(const spx_linearizer *z)
{
    const float one = 1;
    return z->o->method == SPX_LINEARIZE_SENET
               ? spx_upload(z->stream, array(z, &z->scores, layers_of(z)), &one, sizeof one)
               : SPX_OK;
}

spx_status spx_linearizer_open(spx_linearizer **out, spx_stream *stream,
                               const spx_linearize_options *o, const spx_final_spec *f,
                               const spx_program *first)
{
    spx_linearizer *z;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(SPX_NEW(z, 1));
    z->o = o;
    z->stream = stream;
    z->program = first;
    z->network = spx_program_layout(first);
    z->method = &methods[o->method];
    while (z->method->map[z->maps] != NULL) {
        z->maps++;
    }
    z->watch = (spx_watch){z->method->watch, z};
    z->second = trains_masks(z) ? INT64_MAX : o->first.epochs;
    SPX_TRY(st,
            trains_masks(z) ? spx_snl_open(z)
                            : spx_layout_arena(z->network, NULL, SPX_ROLE_STATE, &z->twin),
            fail);
    SPX_TRY(st, spx_masks_of(&z->masks, f, z->network, &z->twin), fail);
    z->first = o->linear_stem && has_stem_relu(&z->masks) ? 1 : 0;
    SPX_TRY(st, check(z), fail);
    if (!trains_masks(z)) {
        SPX_TRY(st, check_program(z), fail);
        SPX_TRY(st, make_scores(z), fail);
        SPX_TRY(st, start(z), fail);
    }
    *out = z;
    return SPX_OK;
fail:
    spx_linearizer_close(z);
    return st;
}

void spx_linearizer_close(spx_linearizer *z)
{
    if (z == NULL) {
        return;
    }
    spx_masks_clear(&z->masks);
    spx_buffer_free(&z->twin);
    spx_buffer_free(&z->scores);
    spx_buffer_free(&z->gradient);
    spx_free(z->layout.entry);
    spx_free(z->name);
    spx_free(z->keep);
    spx_free(z);
}

void spx_linearizer_attach(const spx_linearizer *z, spx_trainer *t)
{
    t->watch = &z->watch;
    if (trains_masks(z)) {
        t->arch = z->scores; /* masks are its beginning */
        t->arch_grad = z->gradient;
    }
}

const spx_layout *spx_linearizer_layout(const spx_linearizer *z)
{
    return &z->layout;
}

const spx_buffer *spx_linearizer_scores(const spx_linearizer *z)
{
    return &z->scores;
}

/* ---- masks ---- */

static spx_status read_masks(spx_linearizer *z, const spx_trainer *t)
{
    return trains_masks(z)
               ? spx_layout_download(&z->layout, z->stream, SPX_ROLE_ARCH, &z->scores, &z->twin)
               : spx_layout_download(z->network, z->stream, SPX_ROLE_STATE, &t->state, &z->twin);
}

static spx_status write_masks(spx_linearizer *z, spx_trainer *t)
{
    return trains_masks(z)
               ? spx_layout_upload(&z->layout, z->stream, SPX_ROLE_ARCH, &z->twin, &z->scores)
               : spx_layout_upload(z->network, z->stream, SPX_ROLE_STATE, &z->twin, &t->state);
}

spx_status spx_linearizer_begin(spx_linearizer *z, spx_trainer *t)
{
    SPX_RETURN_IF(read_masks(z, t));
    for (int l = 0; l < z->masks.n; l++) {
        const spx_mask_site *s = &z->masks.site[l];
        for (int64_t i = 0; i < spx_mask_site_positions(s); i++) {
            s->keep[i] = l < z->first ? 0.0f : 1.0f;
        }
    }
    if (trains_masks(z)) {
        spx_snl_begin(z);
    }
    return write_masks(z, t);
}

/* So many of all layers, or in each as many as its share. */
static spx_status keep_best(spx_linearizer *z, const spx_buffer *scores, int64_t keep)
{
    const int layers = layers_of(z);
    spx_linear_layer *layer;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(layer, (size_t)layers));
    for (int l = 0; l < layers; l++) {
        const spx_mask_site *s = &z->masks.site[z->first + l];
        layer[l] =
            (spx_linear_layer){spx_mask_site_positions(s), array(z, scores, z->maps * l), s->keep};
    }
    st = z->keep == NULL ? spx_linear_keep(layer, layers, keep) : SPX_OK;
    for (int l = 0; z->keep != NULL && l < layers && st == SPX_OK; l++) {
        st = spx_linear_keep(&layer[l], 1, z->keep[l]);
    }
    spx_free(layer);
    return st;
}

static spx_status choose(spx_linearizer *z, spx_trainer *t, int64_t keep)
{
    spx_buffer scores = {0};
    spx_status st;
    SPX_TRY(st, spx_layout_arena(&z->layout, NULL, SPX_ROLE_ARCH, &scores), end);
    SPX_TRY(st, spx_layout_download(&z->layout, z->stream, SPX_ROLE_ARCH, &z->scores, &scores),
            end);
    SPX_TRY(st, read_masks(z, t), end);
    SPX_TRY(st, keep_best(z, &scores, keep), end);
    st = write_masks(z, t);
end:
    spx_buffer_free(&scores);
    return st;
}

spx_status spx_linearizer_prepare(spx_linearizer *z, spx_trainer *t, int64_t epoch,
                                  int64_t epoch_step)
{
    if (trains_masks(z) && epoch > 0 && epoch_step == 0 && epoch <= z->second) {
        return spx_snl_turn(z, epoch);
    }
    if (z->keep == NULL || epoch >= z->schedule.epochs || epoch_step > 0) {
        return SPX_OK;
    }
    if (epoch >= z->schedule.before) {
        SPX_RETURN_IF(choose(z, t, z->schedule.budget));
    }
    for (int l = 0; l < layers_of(z); l++) { /* the next choice is by this epoch alone */
        SPX_RETURN_IF(spx_device_zero(
            z->stream, array(z, &z->scores, l),
            (size_t)spx_mask_site_positions(&z->masks.site[z->first + l]) * sizeof(float)));
    }
    return SPX_OK;
}

spx_status spx_linearizer_choose(spx_linearizer *z, spx_trainer *t, int64_t epoch,
                                 int64_t epoch_step, int64_t done)
{
    if (z->o->method != SPX_LINEARIZE_RELUPRUNER || epoch >= z->schedule.epochs ||
        !spx_linear_due(&z->schedule, epoch, epoch_step, done)) {
        return SPX_OK;
    }
    return choose(z, t, spx_linear_count(&z->schedule, epoch));
}

spx_status spx_linearizer_kept(spx_linearizer *z, const spx_trainer *t, int64_t *kept)
{
    SPX_RETURN_IF(read_masks(z, t));
    *kept = trains_masks(z) ? spx_snl_above(z) : spx_masks_relus(&z->masks);
    return SPX_OK;
}

int64_t spx_linearizer_second(const spx_linearizer *z)
{
    return z->second;
}

/* ---- what a training asks ---- */

spx_status spx_linearizer_attention(const spx_final_spec *f, char *text, size_t room)
{
    const spx_final_config c = spx_spec_config(f, 1);
    spx_network n;
    size_t used = 0;
    SPX_RETURN_IF(spx_build_spec(&n, f, &c));
    for (int i = f->reference[0] != '\0'; i < n.n_stages && used < room; i++) {
        used += (size_t)snprintf(text + used, room - used, "%sstages.%d", used > 0 ? "," : "", i);
    }
    spx_network_clear(&n);
    return used > 0 && used < room
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "attention: this network has no stages: name activations by "
                                      "--attention-at, or go without by --attention-weight 0");
}

float spx_linearizer_rate(const spx_linearizer *z, int64_t epoch, int64_t done, int64_t steps)
{
    const spx_linearize_options *o = z->o;
    if (epoch >= o->first.epochs) {
        return spx_schedule_lr(&o->second, epoch - o->first.epochs, done, steps);
    }
    return epoch < z->second ? spx_schedule_lr(&o->first, epoch, done, steps)
                             : spx_schedule_lr(&o->second, 0, 0, steps); /* what is left of it */
}
