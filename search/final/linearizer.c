#include "search/final/linearizer.h"

#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"
#include "kernels/nn/relu_score/relu_score.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES 256
#define ALIGN_FLOATS 64

struct spx_linearizer {
    const spx_linearize_options *o; /* borrowed, as are the next two */
    spx_stream *stream;
    const spx_program *program;
    const spx_layout *network; /* the program's */
    spx_linear_schedule schedule;
    spx_buffer state;  /* host twin of the states */
    spx_masks masks;   /* in it */
    int first;         /* site that is the first to be chosen from: 1 behind a linear stem */
    spx_layout layout; /* the network's entries, borrowed, then those of scores */
    char (*name)[NAME_BYTES];
    spx_buffer scores;
    spx_watch watch;
};

static int layers_of(const spx_linearizer *z)
{
    return z->masks.n - z->first;
}

static int64_t positions(const spx_mask_site *s)
{
    return s->c * s->h * s->w;
}

/* ---- opening ---- */

/* Whether the network begins with a ReLU before its first block. */
static bool has_stem_relu(const spx_masks *m)
{
    return m->n > 1 && m->site[0].block < 0 && m->site[1].block >= 0;
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
        s->full += positions(&z->masks.site[l]);
    }
    if (o->budget < 1 || o->budget > s->full) {
        return SPX_FAIL(SPX_EINVAL,
                        "a budget of %lld ReLUs: the network has %lld%s, 1 to so many "
                        "can be kept",
                        (long long)o->budget, (long long)s->full,
                        z->first > 0 ? " behind its linear stem" : "");
    }
    if (o->before < 0 || o->before >= o->first.epochs) {
        return SPX_FAIL(SPX_EINVAL,
                        "linearization: all ReLUs are kept for %lld epochs, but there are %lld; at "
                        "most %lld can be",
                        (long long)o->before, (long long)o->first.epochs,
                        (long long)o->first.epochs - 1);
    }
    if (!(o->falling >= 0 && o->falling <= 1) || o->every < 1) {
        return SPX_FAIL(SPX_EINVAL,
                        "linearization: falling over %g of the epochs, expected 0..1, every %lld "
                        "steps, expected 1 or more",
                        o->falling, (long long)o->every);
    }
    return SPX_OK;
}

/* The program's statistics must be those of the masks, in their order. */
static spx_status check_program(const spx_linearizer *z)
{
    const spx_binding none = {0};
    bool same = spx_program_scores(z->program) == z->masks.n;
    for (int l = 0; same && l < z->masks.n; l++) {
        same = spx_program_score(z->program, &none, l).count == positions(&z->masks.site[l]);
    }
    return same ? SPX_OK : SPX_FAIL(SPX_EINVAL, "linearization: scores and masks differ");
}

/* Adds an array of scores to the layout. */
static void add_entry(spx_linearizer *z, const char *relu, const char *what, int64_t count)
{
    spx_layout *l = &z->layout;
    char *name = z->name[l->n - z->network->n];
    int64_t *end = &l->floats[SPX_ROLE_ARCH];
    (void)snprintf(name, NAME_BYTES, "%s%s%s", relu, relu[0] != '\0' ? "." : "", what);
    l->entry[l->n++] = (spx_layout_entry){.name = name,
                                          .role = SPX_ROLE_ARCH,
                                          .rank = 1,
                                          .dim = {count},
                                          .offset = *end,
                                          .count = count,
                                          .pixels = 1};
    *end += (count + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

enum { IMPORTANCE, CURVATURE, NEGATIVE, LAYER_MAPS };

static spx_status make_scores(spx_linearizer *z)
{
    static const char *const what[LAYER_MAPS] = {"importance", "curvature", "negative"};
    const int layers = layers_of(z), own = LAYER_MAPS * layers + 2;
    z->layout = *z->network;
    z->layout.entry = NULL;
    SPX_RETURN_IF(SPX_NEW(z->name, (size_t)own));
    SPX_RETURN_IF(SPX_NEW(z->layout.entry, (size_t)(z->network->n + own)));
    memcpy(z->layout.entry, z->network->entry, sizeof *z->network->entry * (size_t)z->network->n);
    for (int l = z->first; l < z->masks.n; l++) {
        for (int k = 0; k < LAYER_MAPS; k++) {
            add_entry(z, z->masks.site[l].relu, what[k], positions(&z->masks.site[l]));
        }
    }
    add_entry(z, "", "layers", (int64_t)SPX_SCORE_ROWS * layers);
    add_entry(z, "", "batches", 1);
    return spx_layout_arena(&z->layout, z->stream, SPX_ROLE_ARCH, &z->scores);
}

/* Array k of the scores, in an arena. */
static float *array(const spx_linearizer *z, const spx_buffer *arena, int k)
{
    return (float *)arena->data + z->layout.entry[z->network->n + k].offset;
}

/* ---- within a step ---- */

/* Adds a batch to the scores; see spx_watch. */
static spx_status watch(void *ctx, const spx_binding *b)
{
    const spx_linearizer *z = ctx;
    const int layers = layers_of(z);
    float *table = array(z, &z->scores, LAYER_MAPS * layers);
    float *batches = array(z, &z->scores, LAYER_MAPS * layers + 1);
    for (int l = 0; l < layers; l++) {
        const spx_relu_statistics s = spx_program_score(z->program, b, z->first + l);
        const spx_score_maps m = {array(z, &z->scores, LAYER_MAPS * l + IMPORTANCE),
                                  array(z, &z->scores, LAYER_MAPS * l + CURVATURE),
                                  array(z, &z->scores, LAYER_MAPS * l + NEGATIVE)};
        SPX_RETURN_IF(spx_relu_score_add(z->stream, s.n, s.count, s.map, s.square, l, layers, table,
                                         batches, &m));
    }
    return spx_relu_score_weigh(z->stream, layers, table, batches);
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
    z->watch = (spx_watch){watch, z};
    SPX_TRY(st, spx_layout_arena(z->network, NULL, SPX_ROLE_STATE, &z->state), fail);
    SPX_TRY(st, spx_masks_of(&z->masks, f, z->network, &z->state), fail);
    z->first = o->linear_stem && has_stem_relu(&z->masks) ? 1 : 0;
    SPX_TRY(st, check(z), fail);
    SPX_TRY(st, check_program(z), fail);
    SPX_TRY(st, make_scores(z), fail);
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
    spx_buffer_free(&z->state);
    spx_buffer_free(&z->scores);
    spx_free(z->layout.entry);
    spx_free(z->name);
    spx_free(z);
}

const spx_watch *spx_linearizer_watch(const spx_linearizer *z)
{
    return &z->watch;
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
    return spx_layout_download(z->network, z->stream, SPX_ROLE_STATE, &t->state, &z->state);
}

static spx_status write_masks(spx_linearizer *z, spx_trainer *t)
{
    return spx_layout_upload(z->network, z->stream, SPX_ROLE_STATE, &z->state, &t->state);
}

spx_status spx_linearizer_begin(spx_linearizer *z, spx_trainer *t)
{
    SPX_RETURN_IF(read_masks(z, t));
    for (int l = 0; l < z->masks.n; l++) {
        const spx_mask_site *s = &z->masks.site[l];
        for (int64_t i = 0; i < positions(s); i++) {
            s->keep[i] = l < z->first ? 0.0f : 1.0f;
        }
    }
    return write_masks(z, t);
}

static spx_status keep_best(spx_linearizer *z, const spx_buffer *scores, int64_t keep)
{
    const int layers = layers_of(z);
    spx_linear_layer *layer;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(layer, (size_t)layers));
    for (int l = 0; l < layers; l++) {
        const spx_mask_site *s = &z->masks.site[z->first + l];
        layer[l] = (spx_linear_layer){positions(s), array(z, scores, LAYER_MAPS * l + IMPORTANCE),
                                      s->keep};
    }
    st = spx_linear_keep(layer, layers, keep);
    spx_free(layer);
    return st;
}

spx_status spx_linearizer_choose(spx_linearizer *z, spx_trainer *t, int64_t epoch,
                                 int64_t epoch_step, int64_t done)
{
    spx_buffer scores = {0};
    spx_status st;
    if (epoch >= z->schedule.epochs || !spx_linear_due(&z->schedule, epoch, epoch_step, done)) {
        return SPX_OK;
    }
    SPX_TRY(st, spx_layout_arena(&z->layout, NULL, SPX_ROLE_ARCH, &scores), end);
    SPX_TRY(st, spx_layout_download(&z->layout, z->stream, SPX_ROLE_ARCH, &z->scores, &scores),
            end);
    SPX_TRY(st, read_masks(z, t), end);
    SPX_TRY(st, keep_best(z, &scores, spx_linear_count(&z->schedule, epoch)), end);
    st = write_masks(z, t);
end:
    spx_buffer_free(&scores);
    return st;
}

spx_status spx_linearizer_kept(spx_linearizer *z, const spx_trainer *t, int64_t *kept)
{
    SPX_RETURN_IF(read_masks(z, t));
    *kept = spx_masks_relus(&z->masks);
    return SPX_OK;
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
               : SPX_FAIL(SPX_EINVAL, "attention: this network has no stages; name activations");
}

float spx_linearizer_rate(const spx_linearize_options *o, int64_t epoch, int64_t done,
                          int64_t steps)
{
    return epoch < o->first.epochs
               ? spx_schedule_lr(&o->first, epoch, done, steps)
               : spx_schedule_lr(&o->second, epoch - o->first.epochs, done, steps);
}
