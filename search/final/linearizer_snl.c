/* snl: masks that are trained, and what becomes of them as an epoch ends. */
#include "kernels/base/alloc.h"
#include "kernels/optim/optim.h"
#include "search/final/linearizer_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BETA1 0.9f /* of Adam, as published */
#define BETA2 0.999f

/* Parts of the arena, of as many floats each. */
enum { MASKS, FIRST_MOMENTS, SECOND_MOMENTS, PARTS };

static int64_t part_floats(const spx_linearizer *z)
{
    return z->network->floats[SPX_ROLE_ARCH];
}

static float *part(const spx_linearizer *z, const spx_buffer *arena, int k)
{
    return (float *)arena->data + k * part_floats(z);
}

/* ---- the arena ---- */

static void add_part(spx_linearizer *z, int k, const char *what)
{
    spx_layout *l = &z->layout;
    for (int i = 0; i < z->network->n; i++) {
        const spx_layout_entry *mask = &z->network->entry[i];
        if (mask->role == SPX_ROLE_ARCH) {
            char *name = z->name[l->n - z->network->n];
            (void)snprintf(name, SPX_SCORE_NAME_BYTES, "%s.%s", mask->name, what);
            l->entry[l->n] = *mask;
            l->entry[l->n].name = name;
            l->entry[l->n++].offset += k * part_floats(z);
        }
    }
}

spx_status spx_snl_open(spx_linearizer *z)
{
    spx_layout *l = &z->layout;
    size_t own = 1;
    for (int i = 0; i < z->network->n; i++) {
        own += z->network->entry[i].role == SPX_ROLE_ARCH ? PARTS - 1 : 0;
    }
    *l = *z->network;
    l->entry = NULL;
    SPX_RETURN_IF(SPX_NEW(z->name, own));
    SPX_RETURN_IF(SPX_NEW(l->entry, (size_t)z->network->n + own));
    memcpy(l->entry, z->network->entry, sizeof *l->entry * (size_t)z->network->n);
    add_part(z, FIRST_MOMENTS, "adam_m");
    add_part(z, SECOND_MOMENTS, "adam_v");
    l->entry[l->n++] = (spx_layout_entry){.name = "penalty",
                                          .role = SPX_ROLE_ARCH,
                                          .rank = 1,
                                          .dim = {1},
                                          .offset = PARTS * part_floats(z),
                                          .count = 1,
                                          .pixels = 1};
    l->floats[SPX_ROLE_ARCH] = PARTS * part_floats(z) + SPX_SGD_BLOCK;
    SPX_RETURN_IF(spx_layout_arena(l, z->stream, SPX_ROLE_ARCH, &z->scores));
    SPX_RETURN_IF(spx_layout_arena(l, NULL, SPX_ROLE_ARCH, &z->twin));
    return spx_layout_arena(z->network, z->stream, SPX_ROLE_ARCH, &z->gradient);
}

void spx_snl_begin(spx_linearizer *z)
{
    z->snl = (spx_snl){
        .penalty = z->o->mask_penalty, .growth = z->o->mask_growth, .least = z->schedule.full};
    *part(z, &z->twin, PARTS) = (float)z->snl.penalty;
}

/* ---- within a step ---- */

spx_status spx_snl_step(void *linearizer, const spx_binding *b, const spx_guard *guard)
{
    const spx_linearizer *z = linearizer;
    const int64_t skipped = /* a linear stem's */
        z->masks.site[z->first].keep - part(z, &z->twin, MASKS);
    const size_t n = (size_t)(part_floats(z) - skipped);
    return spx_adam_masks(
        z->stream, n, (float)z->o->mask_lr, BETA1, BETA2, part(z, &z->scores, PARTS),
        &b->scalars->adam_t, guard, (const float *)b->arch_grad.data + skipped,
        part(z, &z->scores, FIRST_MOMENTS) + skipped, part(z, &z->scores, SECOND_MOMENTS) + skipped,
        part(z, &z->scores, MASKS) + skipped);
}

/* ---- between epochs ---- */

int64_t spx_snl_above(const spx_linearizer *z)
{
    int64_t n = 0;
    for (int l = z->first; l < z->masks.n; l++) {
        const spx_mask_site *s = &z->masks.site[l];
        for (int64_t i = 0; i < spx_mask_site_positions(s); i++) {
            n += s->keep[i] > SPX_SNL_THRESHOLD;
        }
    }
    return n;
}

/* The largest masks become 1, so many of them, the others 0. */
static spx_status settle(spx_linearizer *z)
{
    const int layers = z->masks.n - z->first;
    spx_linear_layer *layer;
    SPX_RETURN_IF(SPX_NEW(layer, (size_t)layers));
    for (int l = 0; l < layers; l++) {
        const spx_mask_site *s = &z->masks.site[z->first + l];
        layer[l] = (spx_linear_layer){spx_mask_site_positions(s), s->keep, s->keep};
    }
    const spx_status st = spx_linear_keep(layer, layers, z->o->budget);
    spx_free(layer);
    return st;
}

spx_status spx_snl_turn(spx_linearizer *z, int64_t epoch)
{
    SPX_RETURN_IF(spx_layout_download(&z->layout, z->stream, SPX_ROLE_ARCH, &z->scores, &z->twin));
    if (spx_snl_judge(&z->snl, spx_snl_above(z), z->o->budget, epoch > z->o->before) ||
        epoch >= z->o->first.epochs) {
        z->second = epoch;
        SPX_RETURN_IF(settle(z));
    }
    *part(z, &z->twin, PARTS) = (float)z->snl.penalty;
    return spx_layout_upload(&z->layout, z->stream, SPX_ROLE_ARCH, &z->twin, &z->scores);
}

/* ---- files ---- */

spx_status spx_linearizer_describe(const spx_linearizer *z, json_t *about)
{
    if (z->o->method != SPX_LINEARIZE_SNL) {
        return SPX_OK;
    }
    return json_object_set_new(about, "snl",
                               json_pack("{s:f, s:I, s:o}", "penalty", z->snl.penalty, "least",
                                         (json_int_t)z->snl.least, "second_stage",
                                         z->second == INT64_MAX
                                             ? json_null()
                                             : json_integer((json_int_t)z->second))) == 0
               ? SPX_OK
               : SPX_FAIL(SPX_ENOMEM, "checkpoint: description");
}

spx_status spx_linearizer_restore(spx_linearizer *z, const json_t *about)
{
    const json_t *snl = json_object_get(about, "snl"), *second;
    json_int_t least;
    if (z->o->method != SPX_LINEARIZE_SNL) {
        return SPX_OK;
    }
    if (json_unpack((json_t *)(uintptr_t)snl, "{s:F, s:I}", "penalty", &z->snl.penalty, "least",
                    &least) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "checkpoint: where snl's penalty stands is malformed");
    }
    second = json_object_get(snl, "second_stage");
    z->snl.least = least;
    z->snl.growth = z->o->mask_growth;
    z->second = json_is_integer(second) ? json_integer_value(second) : INT64_MAX;
    return SPX_OK;
}

spx_status spx_linearizer_states(spx_linearizer *z, const spx_buffer *state, spx_layout *l,
                                 spx_buffer *out)
{
    const int64_t before = z->network->floats[SPX_ROLE_STATE];
    spx_status st;
    *l = *z->network;
    l->entry = NULL;
    l->floats[SPX_ROLE_STATE] += l->floats[SPX_ROLE_ARCH];
    l->floats[SPX_ROLE_ARCH] = 0;
    SPX_RETURN_IF(spx_layout_download(&z->layout, z->stream, SPX_ROLE_ARCH, &z->scores, &z->twin));
    SPX_RETURN_IF(SPX_NEW(l->entry, (size_t)l->n));
    SPX_TRY(st, spx_layout_arena(l, NULL, SPX_ROLE_STATE, out), fail);
    memcpy(out->data, state->data, (size_t)before * sizeof(float));
    for (int i = 0; i < l->n; i++) {
        spx_layout_entry *e = &l->entry[i];
        *e = z->network->entry[i];
        if (e->role == SPX_ROLE_ARCH) {
            const float *mask = part(z, &z->twin, MASKS) + e->offset;
            e->role = SPX_ROLE_STATE;
            e->offset += before;
            for (int64_t k = 0; k < e->count; k++) {
                ((float *)out->data)[e->offset + k] = mask[k] > SPX_SNL_THRESHOLD ? 1.0f : 0.0f;
            }
        }
    }
    return SPX_OK;
fail:
    spx_free(l->entry);
    return st;
}
