/* Where a model meets data: whether they agree, and making a picture fit. */
#include "data/augment/resize.h"
#include "data/preprocess/preprocess.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- packs ---- */

static bool takes_size(const spx_preprocess *m, int height, int width)
{
    if (spx_preprocess_any_size(m)) {
        return true;
    }
    return (height == m->rows && width == m->columns) ||
           (m->height > 0 ? height == m->height && width == m->width
                          : height <= m->rows && width <= m->columns);
}

static void size_text(const spx_preprocess *m, char *out, size_t room)
{
    if (spx_preprocess_any_size(m)) {
        (void)snprintf(out, room, "any size");
    } else if (m->height > 0) {
        (void)snprintf(out, room, "%dx%d", m->height, m->width);
    } else {
        (void)snprintf(out, room, "up to %dx%d", m->rows, m->columns);
    }
}

static spx_status fit_shape(const spx_preprocess *m, const spx_preprocess *d, const char *data,
                            bool any_size)
{
    char size[48], theirs[48] = "differing sizes";
    size_text(m, size, sizeof size);
    if (d->height > 0) {
        (void)snprintf(theirs, sizeof theirs, "%dx%d", d->height, d->width);
    }
    if (d->channels != m->channels || d->classes != m->classes ||
        !(any_size || spx_preprocess_any_size(m) ||
          (d->height > 0 && takes_size(m, d->height, d->width)))) {
        return SPX_FAIL(SPX_EINVAL,
                        "%s: %d classes, images of %d channels and %s; the model takes %d of %d "
                        "and %s",
                        data, d->classes, d->channels, theirs, m->classes, m->channels, size);
    }
    return SPX_OK;
}

/* What may differ where a user says so; the difference as text, "" where there is none. */
typedef void differ_fn(const spx_preprocess *m, const spx_preprocess *d, char *out, size_t room);

static bool same_dataset(const spx_preprocess *m, const spx_preprocess *d)
{
    return strcmp(spx_pack_present_name(m->dataset), spx_pack_present_name(d->dataset)) == 0;
}

static void differ_dataset(const spx_preprocess *m, const spx_preprocess *d, char *out, size_t room)
{
    if (m->dataset[0] != '\0' && d->dataset[0] != '\0' && !same_dataset(m, d)) {
        (void)snprintf(out, room, "the data set is %s, the model's is %s", d->dataset, m->dataset);
    }
}

static void differ_names(const spx_preprocess *m, const spx_preprocess *d, char *out, size_t room)
{
    for (int k = 0; m->name != NULL && d->name != NULL && k < m->classes; k++) {
        if (strcmp(m->name[k], d->name[k]) != 0) {
            (void)snprintf(out, room, "class %d is \"%.60s\", the model's is \"%.60s\"", k,
                           d->name[k], m->name[k]);
            return;
        }
    }
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-6; /* of pixels as 0..1: far below the 1/255 of a step */
}

static void differ_moments(const spx_preprocess *m, const spx_preprocess *d, char *out, size_t room)
{
    for (int c = 0; m->normalised && d->normalised && c < m->channels; c++) {
        if (!near(m->mean[c], d->mean[c]) || !near(m->std[c], d->std[c])) {
            (void)snprintf(out, room,
                           "channel %d has mean %.6g and std %.6g, the model's has %.6g and %.6g",
                           c, d->mean[c], d->std[c], m->mean[c], m->std[c]);
            return;
        }
    }
}

static void tell(const spx_preprocess_rules *r, const char *text)
{
    if (r->warn != NULL) {
        r->warn(r->ctx, text);
    }
}

spx_status spx_preprocess_fit(const spx_preprocess *model, const char *model_name,
                              const spx_preprocess *data, const char *data_name,
                              const spx_preprocess_rules *rules)
{
    static differ_fn *const differ[] = {differ_dataset, differ_names, differ_moments};
    SPX_RETURN_IF(fit_shape(model, data, data_name, rules->any_size));
    for (size_t i = 0; i < sizeof differ / sizeof differ[0]; i++) {
        char how[256] = "", line[640];
        differ[i](model, data, how, sizeof how);
        if (how[0] != '\0' && !rules->allow_changed) {
            return SPX_FAIL(SPX_EINVAL, "%s: %s (%s); --allow-changed goes on all the same",
                            data_name, how, model_name);
        }
        if (how[0] != '\0') {
            (void)snprintf(line, sizeof line, "%.300s: %s", data_name, how);
            tell(rules, line);
        }
    }
    if (same_dataset(model, data) && model->data_hash[0] != '\0' && data->data_hash[0] != '\0' &&
        strcmp(model->data_hash, data->data_hash) != 0) {
        char line[640];
        (void)snprintf(line, sizeof line,
                       "%.300s: not the pack that the model was made with, by its hash: %.12s..., "
                       "the model's is %.12s...",
                       data_name, data->data_hash, model->data_hash);
        tell(rules, line);
    }
    return SPX_OK;
}

/* ---- pictures ---- */

static void scale(const spx_augment_draw *box, int from_width, const uint8_t *from, int height,
                  int width, uint8_t *to, ptrdiff_t row)
{
    const uint8_t *first = from + (ptrdiff_t)box->box_y * from_width + box->box_x;
    for (int y = 0; y < height; y++) {
        const spx_resize_taps ty = spx_resize_at(y, box->box_height, height);
        for (int x = 0; x < width; x++) {
            const spx_resize_taps tx = spx_resize_at(x, box->box_width, width);
            to[y * row + x] = spx_resize_pixel(first, from_width, 1, &ty, &tx);
        }
    }
}

static spx_augment centre(int crop, int resize)
{
    return (spx_augment){
        .resized_crop = SPX_RESIZED_CROP_CENTRE, .centre_crop = crop, .centre_resize = resize};
}

spx_augment spx_preprocess_augment(const spx_preprocess *p)
{
    return spx_preprocess_any_size(p) ? centre(p->centre_crop, p->centre_resize) : (spx_augment){0};
}

/* What part of a height x width picture is scaled, where that is not refused. */
static spx_augment_draw box_of(const spx_preprocess *p, int height, int width, int to_height,
                               int to_width)
{
    const spx_augment_shape shape = {p->channels, height, width, to_height, to_width, false};
    const spx_augment a = spx_preprocess_any_size(p) ? spx_preprocess_augment(p) : centre(1, 1);
    spx_augment_draw draw;
    spx_rng none = {0}; /* nothing of this is random */
    spx_augment_choose(&a, &shape, &none, &draw);
    return draw;
}

spx_status spx_preprocess_picture(const spx_preprocess *p, int height, int width,
                                  const uint8_t *pixels, bool resize, uint8_t *out)
{
    const bool fits = !spx_preprocess_any_size(p) && takes_size(p, height, width);
    const bool stored = !spx_preprocess_any_size(p) && p->height > 0;
    const int to_height = fits ? height : stored ? p->height : p->rows;
    const int to_width = fits ? width : stored ? p->width : p->columns;
    const size_t plane = (size_t)p->rows * (size_t)p->columns;
    const int top = (p->rows - to_height) / 2, left = (p->columns - to_width) / 2;
    if (height < 1 || width < 1 || height > SPX_RESIZE_MAX || width > SPX_RESIZE_MAX) {
        return SPX_FAIL(SPX_EINVAL,
                        "an image %d pixels high and %d wide, sides of 1 to %d expected", height,
                        width, SPX_RESIZE_MAX);
    }
    if (!fits && !resize && !spx_preprocess_any_size(p)) {
        char size[48];
        size_text(p, size, sizeof size);
        return SPX_FAIL(
            SPX_EINVAL,
            "an image %d pixels high and %d wide; the model takes %s (--resize scales the image)",
            height, width, size);
    }
    const spx_augment_draw box = box_of(p, height, width, to_height, to_width);
    memset(out, 0, plane * (size_t)p->channels);
    for (int c = 0; c < p->channels; c++) {
        const uint8_t *from = pixels + (size_t)c * (size_t)height * (size_t)width;
        uint8_t *to = out + (size_t)c * plane + (size_t)top * (size_t)p->columns + left;
        if (!fits) {
            scale(&box, width, from, to_height, to_width, to, p->columns);
            continue;
        }
        for (int y = 0; y < height; y++) {
            memcpy(to + (size_t)y * (size_t)p->columns, from + (size_t)y * (size_t)width,
                   (size_t)width);
        }
    }
    return SPX_OK;
}
