#ifndef SPX_PREPROCESS_H
#define SPX_PREPROCESS_H
/*
 * What images a model takes and what its answers are called: size, layout, normalisation, classes,
 * and the data set they come from. It stands in every model, checkpoint and deployed model, where
 * it is public; a pack has one too. So the two can be compared wherever they meet, and a picture
 * can be made into what the network reads.
 *
 * As JSON: {"channels", "size": [height, width] | null, "input": [rows, columns] | null,
 * "mean": [...] | null, "std": [...] | null, "classes", "names": [...] | null,
 * "dataset": text | null, "data_hash": text | null}; null where it is not known. Where pictures of
 * any size are taken, also "centre": [crop, resize].
 */
#include "data/augment/augment.h"
#include "data/pack/pack.h"
#include "host/model/deploy.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct spx_preprocess {
    int channels;
    int height, width; /* of images as they are stored; 0: not known */
    int rows, columns; /* of the network's input, at least as large: images are centred on black; 0:
                          of a pack, which knows no network */
    /* 0, 0: pictures have the size above. Else they have any: of the largest centred box of the
       input's ratio, `crop` pixels of each `resize` about the centre are scaled to the input; 1 <=
       crop <= resize */
    int centre_crop, centre_resize;
    bool normalised;                                                /* mean and std are known */
    double mean[SPX_PACK_MAX_CHANNELS], std[SPX_PACK_MAX_CHANNELS]; /* of pixels as 0..1 */
    int classes;
    char **name;                         /* [classes], UTF-8 without control characters; owned;
                                            NULL: not known */
    char dataset[32];                    /* "": not known */
    char data_hash[SPX_PACK_HASH_CHARS]; /* of the pack; "": not known */
} spx_preprocess;

void spx_preprocess_clear(spx_preprocess *p); /* zeroed or filled */

/** Of a pack. @return SPX_OK, SPX_EFORMAT (a class name that JSON or a terminal cannot show),
 * SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_preprocess_of_pack(spx_preprocess *out, const spx_pack *pack);

/**
 * Of the description of a model, checkpoint or deployed model: its "preprocessing", or, in files of
 * 0.1.0, what "network", "classes" and "dataset" say of it.
 * @return SPX_OK, SPX_EFORMAT naming the field, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_preprocess_of_meta(spx_preprocess *out, const json_t *meta);

/** Of a deployed model, public ones too; not trusted: it must agree with the model's shapes. */
SPX_MUST_CHECK spx_status spx_preprocess_of_deployed(spx_preprocess *out, const spx_deploy *m);

/** NULL when out of memory. */
json_t *spx_preprocess_json(const spx_preprocess *p);

/** Name of class i, or "" where it is not known. */
const char *spx_preprocess_class(const spx_preprocess *p, int64_t i);

/** How spx_preprocess_fit treats what differs. */
typedef struct spx_preprocess_rules {
    bool any_size;      /* sizes may differ: weights are taken, not images shown */
    bool allow_changed; /* tell of other names, normalisation or data set instead of refusing */
    void (*warn)(void *ctx, const char *text); /* may be NULL */
    void *ctx;
} spx_preprocess_rules;

/**
 * Whether images of `data` are what `model` takes. Channels, size and number of classes must agree:
 * the size is the stored one, or the network's input; where a model's is not known, at most that;
 * any where the model takes a centre box.
 * Names of classes, normalisation and data set must agree as far as both are known, unless
 * allow_changed says so. Another pack of the same data set is told of, not refused.
 * @param model_name, data_name  files, for messages
 * @return SPX_OK; SPX_EINVAL naming both values
 */
SPX_MUST_CHECK spx_status spx_preprocess_fit(const spx_preprocess *model, const char *model_name,
                                             const spx_preprocess *data, const char *data_name,
                                             const spx_preprocess_rules *rules);

/** Whether pictures of any size are taken, by their centre box. */
static inline bool spx_preprocess_any_size(const spx_preprocess *p)
{
    return p->centre_resize > 0;
}

/** How a loader's evaluation makes samples as `p` says: nothing, or the centre box. */
spx_augment spx_preprocess_augment(const spx_preprocess *p);

/**
 * A picture as the network reads it, before normalisation. Of any size: the centre box, scaled
 * to the input by the filter of data/augment/resize.h. Else one of the stored size is centred on
 * black, one of the network's input is taken as it is; where the stored size is not known, smaller
 * ones are centred on black.
 * @param resize  any other: the largest middle part of the stored size's ratio is scaled to it;
 *                false: refused
 * @param pixels  (channels, height, width)
 * @param out     (channels, rows, columns); no overlap
 * @return SPX_OK, SPX_EINVAL (another size; a side above SPX_RESIZE_MAX), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_preprocess_picture(const spx_preprocess *p, int height, int width,
                                                 const uint8_t *pixels, bool resize, uint8_t *out);

/**
 * The same of a JPEG or PNG. Of pictures of any size a JPEG is decoded as loaders do
 * (spx_decoder_sample), so that an answer to it is that to the same picture in a pack.
 * @param name         for messages
 * @param bytes        [size]
 * @param transparent  receives whether some pixel was, and was laid over black
 * @return also SPX_EFORMAT (no picture, or a damaged one)
 */
SPX_MUST_CHECK spx_status spx_preprocess_encoded(const spx_preprocess *p, const char *name,
                                                 const void *bytes, size_t size, bool resize,
                                                 uint8_t *out, bool *transparent);

/**
 * The same of an image of a pack of either form, whose split is loaded: the bytes that a loader's
 * evaluation with spx_preprocess_augment normalises.
 * @return also SPX_EINVAL (no such image), SPX_EIO and SPX_EFORMAT (naming it)
 */
SPX_MUST_CHECK spx_status spx_preprocess_packed(const spx_preprocess *p, const spx_pack *pack,
                                                spx_split split, uint32_t i, uint8_t *out);

#endif
