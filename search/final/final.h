#ifndef SPX_FINAL_H
#define SPX_FINAL_H
/* Final networks as things to run and to write down: their programs, and their description in
 * files. */
#include "host/graph/program.h"
#include "search/space/audit.h"

#include <jansson.h>

struct spx_tuning;
struct spx_teacher;

/** What is trained beside the network's wiring. */
typedef struct spx_final_losses {
    float aux_weight; /* of the auxiliary loss, published: 0.4; 0: no auxiliary head */
    float smoothing;  /* label smoothing, 0 <= smoothing < 1 */
    bool drop_path;   /* whether masks are drawn */
    int side; /* of the images, where they are smaller than the input; 0: the input's size */
    const struct spx_teacher *teacher; /* see teacher.h; NULL: none */
    bool score_relus;                  /* as in spx_program_options */
    bool train_masks;                  /* their gradients, too, of a spec with masks trained */
} spx_final_losses;

/**
 * The program of one training step: outputs 0 logits, 1 loss, then a teacher's losses, then
 * distances from its ReLUs.
 * @param losses  borrowed for the call
 * @param tuning  as in spx_program_options; borrowed for the call
 * @return what spx_build_spec, spx_teacher_attach and spx_program_create return
 */
SPX_MUST_CHECK spx_status spx_final_train_program(spx_program **out, spx_stream *stream,
                                                  const spx_final_spec *f, int64_t batch,
                                                  const spx_final_losses *losses,
                                                  struct spx_tuning *tuning);

/**
 * The program of evaluation: output 0 logits; labels are not read.
 * @param auxiliary  lay the parameters out as in training with an auxiliary head
 */
SPX_MUST_CHECK spx_status spx_final_eval_program(spx_program **out, spx_stream *stream,
                                                 const spx_final_spec *f, int64_t batch,
                                                 bool auxiliary, struct spx_tuning *tuning);

/** The graph of evaluation, without auxiliary head; to be cleared. */
SPX_MUST_CHECK spx_status spx_final_build(spx_network *out, const spx_final_spec *f, int64_t batch);
/** The same for images of side x side, where the network is for others; 0: its own. */
SPX_MUST_CHECK spx_status spx_final_build_at(spx_network *out, const spx_final_spec *f,
                                             int64_t batch, int side);

/**
 * {"input": [C, H, W], "classes", "init_channels", "layers", "reduce_at": [...], "genotype": {...},
 * "mean": [...], "std": [...]}; NULL when out of memory. A reference network has "reference" in
 * place of the four that mean nothing, which earlier versions then miss. "masked": true only where
 * it is.
 */
json_t *spx_final_spec_json(const spx_final_spec *f);

/** Reads it back. @return SPX_OK, SPX_EFORMAT naming the field */
SPX_MUST_CHECK spx_status spx_final_spec_parse(spx_final_spec *f, const json_t *j);

#endif
