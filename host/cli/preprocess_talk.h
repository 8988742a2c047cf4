#ifndef SPX_PREPROCESS_TALK_H
#define SPX_PREPROCESS_TALK_H
/* What the commands that show images to models share: whether they fit, and printing what fits. */
#include "data/preprocess/preprocess.h"
#include "host/cli/cli.h"

#define SPX_ALLOW_CHANGED_OPTION(STRUCT, FIELD)                                                    \
    SPX_OPT(FLAG, STRUCT, FIELD, "allow-changed", NULL, "false",                                   \
            "take data of other class names, normalisation or origin than the model's",            \
            .flags = SPX_OPT_TRANSIENT)
#define SPX_RESIZE_OPTION(STRUCT, FIELD)                                                           \
    SPX_OPT(FLAG, STRUCT, FIELD, "resize", NULL, "false",                                          \
            "scale images of another size: the largest middle part of the model's ratio")

/** For FIELD of type int, 1: nvjpeg; of the commands whose samples data/loader/nvjpeg.md has. */
#define SPX_DECODER_OPTION(STRUCT, FIELD)                                                          \
    SPX_OPT(ENUM, STRUCT, FIELD, "decoder", "cpu|nvjpeg", "cpu",                                   \
            "what decodes JPEGs of train and eval (elsewhere the CPU does); nvjpeg: the GPU, "     \
            "whose pixels differ a little")

/** spx_preprocess_fit of a pack; what is only told of goes to stderr. */
SPX_MUST_CHECK spx_status spx_talk_fit(const spx_preprocess *model, const char *model_name,
                                       const spx_pack *pack, const char *pack_name,
                                       bool allow_changed);

/** Says on stderr where a file of 0.1.0 lets smaller pictures be padded unseen. */
void spx_talk_unknown_size(const spx_preprocess *model, const char *model_name);

/** Size, normalisation, classes and origin as three lines on stdout. */
void spx_preprocess_print(const spx_preprocess *p);

#endif
