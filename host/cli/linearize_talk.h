#ifndef SPX_LINEARIZE_TALK_H
#define SPX_LINEARIZE_TALK_H
/* How a training does without most of its ReLUs, as options of train. */
#include "data/pack/pack.h"
#include "host/cli/cli.h"
#include "search/final/linearize.h"
#include "search/final/model.h"
#include "search/final/train_run.h"

typedef struct spx_linearize_values {
    int method; /* spx_linearize_method */
    int64_t budget, fine_tune_epochs, before, every;
    double fine_tune_lr, falling, mask_lr, mask_penalty, mask_growth;
    const char *shares;
    bool linear_stem;
} spx_linearize_values;

#define SPX_LINEARIZE_OPTIONS(STRUCT, FIELD)                                                       \
    SPX_OPT(                                                                                       \
        ENUM, STRUCT, FIELD.method, "linearize", "none|relupruner|senet|snl", "none",              \
        "drop ReLUs of the network of --init-from, position by position, while it learns from "    \
        "--teacher; best.h5 keeps --relu-budget of them. Unless there is a --recipe, the one "     \
        "of that name applies"),                                                                   \
        SPX_OPT(INT, STRUCT, FIELD.budget, "relu-budget", "N", "0", "ReLUs to keep", .min = 0,     \
                .max = 1e12),                                                                      \
        SPX_OPT(INT, STRUCT, FIELD.before, "linearize-after", "E", "5",                            \
                "epochs that keep all ReLUs; snl: in which the penalty does not grow", .min = 0,   \
                .max = 1e6),                                                                       \
        SPX_OPT(FLOAT, STRUCT, FIELD.falling, "linearize-over", "X", "0.6",                        \
                "share of the other --epochs over which the number falls", .min = 0, .max = 1),    \
        SPX_OPT(INT, STRUCT, FIELD.every, "linearize-every", "N", "100",                           \
                "steps from choice to choice; twice that at the budget", .min = 1, .max = 1e9),    \
        SPX_OPT(                                                                                   \
            STRING, STRUCT, FIELD.shares, "keep-shares", "R,...", NULL,                            \
            "senet: of each ReLU, in the order data flow, the share of its positions to keep, "    \
            "scaled to the budget; default: equal numbers"),                                       \
        SPX_OPT(FLOAT, STRUCT, FIELD.mask_lr, "mask-lr", "X", "1e-3",                              \
                "snl: learning rate of the masks", .min = 0, .max = INFINITY),                     \
        SPX_OPT(FLOAT, STRUCT, FIELD.mask_penalty, "mask-penalty", "X", "1e-5",                    \
                "snl: weight of the masks' sum in the loss, at first", .min = 0, .max = INFINITY), \
        SPX_OPT(FLOAT, STRUCT, FIELD.mask_growth, "mask-growth", "X", "1.1",                       \
                "snl: what it is multiplied by after an epoch with no fewer masks", .min = 1,      \
                .max = 1e6),                                                                       \
        SPX_OPT(FLAG, STRUCT, FIELD.linear_stem, "linear-stem", NULL, "true",                      \
                "drop the ReLU before the first block, where there is one"),                       \
        SPX_OPT(INT, STRUCT, FIELD.fine_tune_epochs, "fine-tune-epochs", "N", "240",               \
                "epochs after --epochs, from the best of those, that leave the choice as it is; "  \
                "attention is compared in these alone",                                            \
                .min = 0, .max = 1e6),                                                             \
        SPX_OPT(FLOAT, STRUCT, FIELD.fine_tune_lr, "fine-tune-lr", "X", "0.01",                    \
                "their learning rate; a tenth of it after 5/8, 3/4 and 7/8 of them each",          \
                .min = 0, .max = INFINITY)

#define SPX_LINEARIZING "linearize=relupruner|linearize=senet|linearize=snl"
#define SPX_LINEARIZE_NEEDS                                                                        \
    {"relu-budget linearize-after linear-stem fine-tune-epochs fine-tune-lr", SPX_LINEARIZING},    \
        {"linearize-over linearize-every", "linearize=relupruner"},                                \
        {"keep-shares", "linearize=senet"}, {"mask-lr mask-penalty mask-growth", "linearize=snl"}, \
    {                                                                                              \
        "network genotype plan init-channels layers reduce-at input aux-weight drop-path ema "     \
        "resolutions muon-lr",                                                                     \
            "!" SPX_LINEARIZING                                                                    \
    }

/** The recipe that stands in for none; NULL: there is none. */
const char *spx_linearize_recipe(const spx_linearize_values *v);

/**
 * Opens the model that tells a training's network: that of the run that goes on, or else the one it
 * begins with.
 * @param run      its folder; NULL where none goes on
 * @param goes_on  whether it is that of the run; may be NULL
 * @return what spx_model_open of init_from returns
 */
SPX_MUST_CHECK spx_status spx_open_begun(spx_model *m, const char *run, const char *init_from,
                                         bool *goes_on);

/* What a linearization begins with; NULL where it is not told, and run as of spx_open_begun. */
typedef struct spx_linearize_from {
    const char *init_from, *teacher, *run, *data;
    const spx_pack *pack; /* of data */
    bool any_size;        /* its images are resized */
} spx_linearize_from;

/**
 * The network that is linearized: that of the model, masked.
 * @return SPX_OK; SPX_EINVAL: an option is missing, or the model has other classes, channels or
 *         sizes than the pack; what spx_open_begun returns
 */
SPX_MUST_CHECK spx_status spx_linearize_spec(spx_cli *cli, const spx_linearize_values *v,
                                             const spx_linearize_from *from, spx_final_spec *f);

/** Fills o->linearize, and what it changes of the rest of o, which is filled. */
SPX_MUST_CHECK spx_status spx_linearize_of(const spx_linearize_values *v, spx_train_options *o);

#endif
