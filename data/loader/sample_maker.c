#include "data/loader/sample_maker_private.h"

#include "data/augment/resample.h"
#include "data/image/decoder.h"
#include "data/pack/pack_store.h"
#include "kernels/base/alloc.h"

#include <assert.h>
#include <stdio.h>

struct spx_sample_maker {
    const spx_sampling *s;
    /* Of stored pictures: as they are in the file. */
    uint8_t *stored;
    size_t room;
    /* Of encoded ones. */
    spx_decoder *decoder;
    uint8_t *whole; /* (channels, from_height, from_width), where no box is resized */
    /* Of others, where boxes are. */
    uint8_t *scratch;
};

static size_t volume(int channels, int height, int width)
{
    return (size_t)channels * (size_t)height * (size_t)width;
}

static spx_status alloc_bytes(uint8_t **out, size_t bytes)
{
    void *p;
    SPX_RETURN_IF(spx_alloc(&p, bytes));
    *out = p;
    return SPX_OK;
}

static bool resizes(const spx_sampling *s)
{
    return s->augment.resized_crop != SPX_RESIZED_CROP_NONE;
}

/* The box of planes, resized. @param src  (channels, from_height, from_width) */
static spx_resample box_of(const spx_sampling *s, const spx_augment_draw *d, const uint8_t *src,
                           uint8_t *out)
{
    const spx_augment_shape *k = &s->shape;
    return (spx_resample){.y = {0, d->box_height, d->box_height, 1, k->height},
                          .x = {0, d->box_width, d->box_width, 1, k->width},
                          .channels = k->channels,
                          .src = src + (ptrdiff_t)d->box_y * k->from_width + d->box_x,
                          .row = k->from_width,
                          .plane = (ptrdiff_t)k->from_height * k->from_width,
                          .flip = d->flip,
                          .planes = !s->bytes,
                          .out = out};
}

static spx_status alloc_all(spx_sample_maker *m)
{
    const spx_sampling *s = m->s;
    const spx_augment_shape *shape = &s->shape;
    const bool encoded = spx_store_encoded(s->pack);
    if (s->pack->store != NULL) {
        m->room = spx_store_max_bytes(s->pack, s->split);
        SPX_RETURN_IF(alloc_bytes(&m->stored, m->room));
    }
    if (encoded) {
        SPX_RETURN_IF(spx_decoder_create(&m->decoder));
    }
    if (encoded && !resizes(s)) {
        SPX_RETURN_IF(
            alloc_bytes(&m->whole, volume(shape->channels, shape->from_height, shape->from_width)));
    }
    if (!encoded && resizes(s)) { /* the largest box needs the most */
        const spx_augment_draw all = {.box_height = shape->from_height,
                                      .box_width = shape->from_width};
        const spx_resample r = box_of(s, &all, m->stored, NULL);
        SPX_RETURN_IF(alloc_bytes(&m->scratch, spx_resample_room(&r)));
    }
    return SPX_OK;
}

spx_status spx_sample_maker_create(spx_sample_maker **out, const spx_sampling *s)
{
    spx_sample_maker *m;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(SPX_NEW(m, 1));
    m->s = s;
    st = alloc_all(m);
    if (st != SPX_OK) {
        spx_sample_maker_destroy(m);
        return st;
    }
    *out = m;
    return SPX_OK;
}

void spx_sample_maker_destroy(spx_sample_maker *m)
{
    if (m != NULL) {
        spx_decoder_destroy(m->decoder);
        spx_free(m->whole);
        spx_free(m->scratch);
        spx_free(m->stored);
        spx_free(m);
    }
}

/* The sample's bytes out of an encoded picture, before their colours change. */
static spx_status decode(spx_sample_maker *m, uint32_t image, size_t size,
                         const spx_augment_shape *shape, const spx_augment_draw *d, uint8_t *out)
{
    const spx_sampling *s = m->s;
    const bool resized = resizes(s);
    const spx_box box = {d->box_y, d->box_x, d->box_height, d->box_width};
    char name[64], *path;
    spx_status st;
    (void)snprintf(name, sizeof name, "image %u of %s", (unsigned)image, spx_split_name(s->split));
    st = resized ? spx_decoder_sample(m->decoder, name, m->stored, size, shape->channels, &box,
                                      d->flip, shape->height, shape->width, !s->bytes, out)
                 : spx_decoder_sample(m->decoder, name, m->stored, size, shape->channels, NULL,
                                      false, shape->from_height, shape->from_width, true, m->whole);
    if (st == SPX_OK && !resized) {
        spx_augment_crop(&s->augment, d, shape, m->whole, !s->bytes, out);
    }
    if (st == SPX_EFORMAT || st == SPX_EINVAL) { /* beside the number, what it was called */
        char told[256];
        (void)snprintf(told, sizeof told, "%s", spx_error_message());
        if (spx_store_name(s->pack, s->split, image, &path) == SPX_OK) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: %s", path, told);
            spx_free(path);
        }
    }
    return st;
}

spx_status spx_sample_maker_make(spx_sample_maker *m, uint64_t epoch, uint32_t image, void *out,
                                 int32_t cut[2])
{
    const spx_sampling *s = m->s;
    const spx_pack_split *split = &s->pack->split[s->split];
    spx_augment_shape shape = s->shape;
    const size_t pixels = (size_t)shape.height * (size_t)shape.width;
    const uint8_t *from = m->stored;
    uint8_t *sample = out; /* of floats: a quarter of their room */
    size_t size = 0;
    spx_augment_draw draw;
    spx_rng rng;
    assert(image < split->count);
    if (s->pack->store != NULL) {
        SPX_RETURN_IF(spx_store_read(s->pack, s->split, image, m->stored, m->room, &size));
        spx_store_size(s->pack, s->split, image, &shape.from_height, &shape.from_width);
    } else {
        from = split->images + image * volume(shape.channels, shape.from_height, shape.from_width);
    }
    spx_augment_rng(&rng, s->seed, epoch, image);
    spx_augment_choose(&s->augment, &shape, &rng, &draw);
    if (m->decoder != NULL) {
        SPX_RETURN_IF(decode(m, image, size, &shape, &draw, sample));
    } else if (resizes(s)) {
        const spx_resample r = box_of(s, &draw, from, sample);
        SPX_RETURN_IF(spx_resample_run(&r, m->scratch));
    } else {
        spx_augment_crop(&s->augment, &draw, &shape, from, !s->bytes, sample);
    }
    spx_augment_recolour(&s->augment, &draw, shape.channels, pixels, !s->bytes, sample);
    if (s->bytes) {
        cut[0] = draw.cut_y;
        cut[1] = draw.cut_x;
    } else {
        spx_augment_normalise(&s->augment, &draw, &s->normalise, &shape, sample, out);
    }
    return SPX_OK;
}
