#ifndef SPX_LINEARIZER_H
#define SPX_LINEARIZER_H
/*
 * A training that learns to do without most of its ReLUs, in two stages. While the first one goes
 * on, ever fewer positions are kept (linearize.h). The second begins from the first one's best
 * epoch within the budget, and leaves the masks as they are. linearize.md tells whole commands.
 *
 * snl trains the masks instead: of its network they are architecture parameters (spx_final_spec's
 * masks_trained), and its second stage begins where the first has ended, which may be early.
 */
#include "host/train/schedule.h"
#include "host/train/trainer.h"
#include "search/final/linearize.h"
#include "search/final/mask.h"

#include <jansson.h>

/** What is done, and how long. */
typedef struct spx_linearize_options {
    spx_linearize_method method; /* NONE: an ordinary training, and the rest is not read */
    int64_t budget;              /* ReLUs to keep */
    bool linear_stem;            /* the ReLU before the first block is dropped whole */
    int64_t before, every;       /* see spx_linear_schedule */
    double falling;
    spx_schedule first, second; /* the stages' learning rates and epochs; no epochs: there is no
                                   second */
    const char *shares; /* senet: "R,...", of each ReLU that may be chosen from the share of its
                           positions that is kept, scaled to the budget; NULL: equal numbers */
    double mask_lr, mask_penalty, mask_growth; /* snl: Adam's rate; see spx_snl */
    char attention_at[256];                    /* room for what spx_linearizer_attention says */
} spx_linearize_options;

typedef struct spx_linearizer spx_linearizer;

/**
 * Checks what is asked for, and makes room for scores.
 * @param o      borrowed
 * @param f      a masked network
 * @param first  the first stage's program, with scores of ReLUs, or distances from a teacher's
 *               (senet); borrowed
 * @return SPX_OK; SPX_EINVAL with the smallest or largest number possible; SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_linearizer_open(spx_linearizer **out, spx_stream *stream,
                                              const spx_linearize_options *o,
                                              const spx_final_spec *f, const spx_program *first);
void spx_linearizer_close(spx_linearizer *z); /* NULL is a no-op */

/** Lets the trainer queue, in every step of the first stage, what chooses; z outlives t. */
void spx_linearizer_attach(const spx_linearizer *z, spx_trainer *t);

/** The network's layout and that of scores in one, for checkpoints; borrowed. Scores are ARCH, of
 * which such a network has nothing else. */
const spx_layout *spx_linearizer_layout(const spx_linearizer *z);
const spx_buffer *spx_linearizer_scores(const spx_linearizer *z); /* of the stream's device */

/** Sets the masks of a new run: all ReLUs are kept, but for a linear stem. */
SPX_MUST_CHECK spx_status spx_linearizer_begin(spx_linearizer *z, spx_trainer *t);

/** Chooses anew before a step, and before its stage is known, where that is due: senet and snl, as
 * an epoch begins. Waits for the stream then. */
SPX_MUST_CHECK spx_status spx_linearizer_prepare(spx_linearizer *z, spx_trainer *t, int64_t epoch,
                                                 int64_t epoch_step);

/**
 * Chooses anew behind a step, where that is due: relupruner. Waits for the stream then.
 * @param epoch, epoch_step, done  as in spx_linear_due
 */
SPX_MUST_CHECK spx_status spx_linearizer_choose(spx_linearizer *z, spx_trainer *t, int64_t epoch,
                                                int64_t epoch_step, int64_t done);

/** ReLUs that are kept now; of trained masks those that count. Waits for the stream. */
SPX_MUST_CHECK spx_status spx_linearizer_kept(spx_linearizer *z, const spx_trainer *t,
                                              int64_t *kept);

/** The epoch that the second stage begins with. snl: INT64_MAX while it trains masks, whose numbers
 * are not judged. */
int64_t spx_linearizer_second(const spx_linearizer *z);

/** The learning rate of a step, as spx_schedule_lr has it. Where the second stage begins early it
 * has its first rate until the epochs of the first are over. */
float spx_linearizer_rate(const spx_linearizer *z, int64_t epoch, int64_t done, int64_t steps);

/** Adds to a checkpoint's description what its arenas lack, and reads it back (run.h). */
SPX_MUST_CHECK spx_status spx_linearizer_describe(const spx_linearizer *z, json_t *about);
SPX_MUST_CHECK spx_status spx_linearizer_restore(spx_linearizer *z, const json_t *about);

/**
 * snl: the network's layout and states as files have them, its masks states of 0 and 1. Waits for
 * the stream.
 * @param state  states in host memory
 * @param l      its list is the caller's to free, its names are borrowed
 * @param out    to be freed
 */
SPX_MUST_CHECK spx_status spx_linearizer_states(spx_linearizer *z, const spx_buffer *state,
                                                spx_layout *l, spx_buffer *out);

/**
 * Where attention is compared by default: of a reference network's stages all but the first; of
 * cells those before each that reduces, and the last.
 * @param text  list for spx_distill_options.attention_at
 * @return SPX_OK; what building the network returns; SPX_EINVAL: too long
 */
SPX_MUST_CHECK spx_status spx_linearizer_attention(const spx_final_spec *f, char *text,
                                                   size_t room);

#endif
