#include "data/loader/sample_maker_private.h"

#include "kernels/base/alloc.h"

#include <assert.h>

struct spx_sample_maker {
    const spx_sampling *s;
};

spx_status spx_sample_maker_create(spx_sample_maker **out, const spx_sampling *s)
{
    SPX_RETURN_IF(SPX_NEW(*out, 1));
    (*out)->s = s;
    return SPX_OK;
}

void spx_sample_maker_destroy(spx_sample_maker *s)
{
    spx_free(s);
}

spx_status spx_sample_maker_make(spx_sample_maker *maker, uint64_t epoch, uint32_t image, void *out,
                                 int32_t cut[2])
{
    const spx_sampling *s = maker->s;
    const spx_augment_shape *shape = &s->shape;
    const spx_pack_split *split = &s->pack->split[s->split];
    const size_t stored =
        (size_t)shape->channels * (size_t)shape->from_height * (size_t)shape->from_width;
    const size_t pixels = (size_t)shape->height * (size_t)shape->width;
    spx_augment_draw draw;
    spx_rng rng;
    uint8_t *sample = out; /* of floats: a quarter of their room */
    assert(image < split->count);
    spx_augment_rng(&rng, s->seed, epoch, image);
    spx_augment_choose(&s->augment, shape, &rng, &draw);
    spx_augment_crop(&s->augment, &draw, shape, split->images + image * stored, !s->bytes, sample);
    spx_augment_recolour(&s->augment, &draw, shape->channels, pixels, !s->bytes, sample);
    if (s->bytes) {
        cut[0] = draw.cut_y;
        cut[1] = draw.cut_x;
    } else {
        spx_augment_normalise(&s->augment, &draw, &s->normalise, shape, sample, out);
    }
    return SPX_OK;
}
