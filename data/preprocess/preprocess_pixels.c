/* Pictures of files and packs as a model reads them: what a loader's evaluation makes, in bytes. */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "data/image/decoder.h"
#include "data/pack/pack_store.h"
#include "data/preprocess/preprocess.h"
#include "kernels/base/alloc.h"

#include <string.h>

/* A JPEG's centre box: decoded as loaders do, no larger than is wanted. */
static spx_status sample(const spx_preprocess *p, const char *name, const void *bytes, size_t size,
                         const spx_image_info *info, uint8_t *out)
{
    const spx_augment_shape shape = {p->channels, info->height, info->width,
                                     p->rows,     p->columns,   false};
    const spx_augment a = spx_preprocess_augment(p);
    spx_augment_draw draw;
    spx_decoder *d = NULL;
    spx_rng none = {0}; /* nothing of this is random */
    spx_status st;
    spx_augment_choose(&a, &shape, &none, &draw);
    const spx_box box = {draw.box_y, draw.box_x, draw.box_height, draw.box_width};
    SPX_RETURN_IF(spx_decoder_create(&d));
    st = spx_decoder_sample(d, name, bytes, size, p->channels, &box, false, p->rows, p->columns,
                            true, out);
    spx_decoder_destroy(d);
    return st;
}

spx_status spx_preprocess_encoded(const spx_preprocess *p, const char *name, const void *bytes,
                                  size_t size, bool resize, uint8_t *out, bool *transparent)
{
    spx_image_info info;
    spx_image image;
    spx_status st;
    *transparent = false;
    SPX_RETURN_IF(spx_image_probe(&info, name, bytes, size));
    if (spx_preprocess_any_size(p) && info.jpeg) {
        return sample(p, name, bytes, size, &info, out);
    }
    SPX_RETURN_IF(spx_image_decode(&image, name, bytes, size, p->channels));
    *transparent = image.transparent;
    st = spx_fail_context(
        spx_preprocess_picture(p, image.height, image.width, image.pixels, resize, out), "%s",
        name);
    explicit_bzero(image.pixels, (size_t)image.channels * (size_t)image.height *
                                     (size_t)image.width); /* a private query's */
    spx_image_clear(&image);
    return st;
}

static spx_status encoded(const spx_preprocess *p, const spx_pack *pack, spx_split split,
                          uint32_t i, uint8_t *out)
{
    const size_t room = spx_store_max_bytes(pack, split);
    void *bytes = NULL;
    char name[64];
    size_t size;
    bool transparent;
    spx_status st;
    (void)snprintf(name, sizeof name, "%s image %lu", spx_split_name(split), (unsigned long)i);
    SPX_RETURN_IF(spx_alloc(&bytes, room));
    SPX_TRY(st, spx_store_read(pack, split, i, bytes, room, &size), end);
    st = spx_preprocess_encoded(p, name, bytes, size, false, out, &transparent);
end:
    spx_free(bytes);
    return st;
}

spx_status spx_preprocess_packed(const spx_preprocess *p, const spx_pack *pack, spx_split split,
                                 uint32_t i, uint8_t *out)
{
    const size_t pixels = (size_t)pack->channels * (size_t)pack->height * (size_t)pack->width;
    spx_image image;
    spx_status st;
    if (i >= pack->split[split].count) {
        return SPX_FAIL(SPX_EINVAL, "no image %lu: the %s split has %zu, from 0", (unsigned long)i,
                        spx_split_name(split), pack->split[split].count);
    }
    if (pack->store == NULL) {
        return spx_preprocess_picture(p, pack->height, pack->width,
                                      pack->split[split].images + i * pixels, false, out);
    }
    if (spx_store_encoded(pack)) {
        return encoded(p, pack, split, i, out);
    }
    SPX_RETURN_IF(spx_pack_image(pack, split, i, &image));
    st = spx_preprocess_picture(p, image.height, image.width, image.pixels, false, out);
    spx_image_clear(&image);
    return st;
}
