#ifndef SPX_AUGMENT_TALK_H
#define SPX_AUGMENT_TALK_H
/* What a training does to its images, as options of every command that makes such batches. */
#include "data/augment/augment.h"
#include "host/cli/cli.h"
#include "host/cli/run_talk.h"

typedef struct spx_augment_values {
    const char *resized_crop, *crop_ratio, *jitter;
    int64_t pad_crop, cutout, test_resize;
    bool flip, alternate_flip;
} spx_augment_values;

#define SPX_AUGMENT_OPTIONS(STRUCT, FIELD)                                                         \
    SPX_OPT(INT, STRUCT, FIELD.pad_crop, "pad-crop", "N", "4", "random shift in pixels", .min = 0, \
            .max = 64),                                                                            \
        SPX_OPT(STRING, STRUCT, FIELD.resized_crop, "resized-crop", "S,S", NULL,                   \
                "in place of the shift: boxes of that share of the image, such as 0.08,1, "        \
                "resized"),                                                                        \
        SPX_OPT(STRING, STRUCT, FIELD.crop_ratio, "crop-ratio", "R,R", "0.75,1.3333333333333333",  \
                "their width by their height"),                                                    \
        SPX_OPT(INT, STRUCT, FIELD.test_resize, "test-resize", "N", "0",                           \
                "evaluate the input's centre of the image resized to N; 0: 8/7 of the input, as "  \
                "published for boxes",                                                             \
                .min = 0, .max = SPX_RESIZE_MAX),                                                  \
        SPX_OPT(FLAG, STRUCT, FIELD.flip, "flip", NULL, "true", "mirror images at random"),        \
        SPX_OPT(FLAG, STRUCT, FIELD.alternate_flip, "alternate-flip", NULL, "false",               \
                "mirror an image in every second epoch"),                                          \
        SPX_OPT(STRING, STRUCT, FIELD.jitter, "colour-jitter", "B,C,S", NULL,                      \
                "random changes of brightness, contrast and saturation, such as 0.4,0.4,0.4"),     \
        SPX_OPT(INT, STRUCT, FIELD.cutout, "cutout", "N", "0",                                     \
                "side of an erased square; 0: none", .min = 0, .max = 1024)

/* Rows that decide, too, which batches a training sees; each for FIELD of the option's type. */
#define SPX_RECIPE_OPTION(STRUCT, FIELD)                                                           \
    SPX_OPT(STRING, STRUCT, FIELD, "recipe", "published|fast|FILE", NULL,                          \
            "options from a recipe (for 224x224 images NAME stands for NAME-imagenet) or an INI "  \
            "file; --config and the command line win",                                             \
            .flags = SPX_OPT_TRANSIENT)
#define SPX_INPUT_OPTION(STRUCT, FIELD)                                                            \
    SPX_OPT(SHAPE, STRUCT, FIELD, "input", "CxHxW", NULL,                                          \
            SPX_RUN_INPUT_HELP "; needed where pictures differ in size", .min = 1, .max = 4096)
#define SPX_BATCH_OPTION(STRUCT, FIELD)                                                            \
    SPX_OPT(INT, STRUCT, FIELD, "batch", "N", "96", "images per step", .min = 1, .max = 65536)
#define SPX_EPOCHS_OPTION(STRUCT, FIELD)                                                           \
    SPX_OPT(INT, STRUCT, FIELD, "epochs", "N", "600", "passes over the training split", .min = 1,  \
            .max = 1e6)
#define SPX_RESOLUTIONS_OPTION(STRUCT, FIELD)                                                      \
    SPX_OPT(STRING, STRUCT, FIELD, "resolutions", "S:E,...", NULL,                                 \
            "train on images of SxS from epoch E on, such as 160:0,192:60,224:90, or from a "      \
            "share of all epochs on, such as 192:75%; evaluation is on the input's size")
#define SPX_VAL_FRACTION_OPTION(STRUCT, FIELD)                                                     \
    SPX_OPT(FLOAT, STRUCT, FIELD, "val-fraction", "F", "0",                                        \
            "share of the training split that is held out, by which the best epoch is chosen",     \
            .min = 0, .max = 0.9)

#define SPX_AUGMENT_NEEDS                                                                          \
    {"crop-ratio test-resize", "resized-crop"}, {"pad-crop", "!resized-crop"},                     \
    {                                                                                              \
        "alternate-flip", "flip"                                                                   \
    }

/** @param rows  of the network's input. @return SPX_OK, SPX_EINVAL (a usage error) */
SPX_MUST_CHECK spx_status spx_augment_of(spx_cli *cli, const spx_augment_values *v, int64_t rows,
                                         spx_augment *out);

#endif
