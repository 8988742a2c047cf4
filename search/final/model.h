#ifndef SPX_MODEL_H
#define SPX_MODEL_H
/*
 * Model files: a final network's description, weights and running statistics (host/ckpt tells the
 * format). A checkpoint of training reads as a model too: of its averaged weights where it keeps
 * them.
 *
 * The description ("meta") holds "kind": "model", "network" (spx_final_spec), "preprocessing"
 * (spx_preprocess) and what else the writer knows: "top1", "step", "commit", "config". Files of
 * 0.1.0 have "classes" (names) and "dataset" in place of "preprocessing".
 */
#include "data/preprocess/preprocess.h"
#include "host/model/deploy.h"
#include "host/train/device_arenas.h"
#include "host/train/metrics.h"
#include "host/train/source.h"
#include "search/final/final.h"
#include "search/final/mask.h"

/**
 * {"network", "preprocessing"}: what every model and checkpoint says; NULL when out of memory.
 * @param images  its size, names, data set and hash; the rest is f's
 */
json_t *spx_model_describe(const spx_final_spec *f, const spx_preprocess *images);

/**
 * Writes a model over path.
 * @param images  as in spx_model_describe
 * @param l      layout of a program of the network; its entries are written, an auxiliary head's
 * too
 * @param about  an object merged into the description; borrowed; may be NULL
 * @return SPX_OK, SPX_EINVAL (weights or states not in host memory), SPX_ENUMERIC (weights that
 * are not
 *         finite), SPX_ENOMEM, SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_model_save(const char *path, const spx_final_spec *f,
                                         const spx_preprocess *images, const json_t *about,
                                         const spx_layout *l, const spx_buffer *weights,
                                         const spx_buffer *state);

typedef struct spx_model {
    spx_ckpt file;
    spx_final_spec spec;
    spx_preprocess images; /* agrees with spec */
} spx_model;

/**
 * Opens a model or a checkpoint of training, or those of a run's folder (spx_ckpt_path).
 * @return SPX_OK; SPX_EFORMAT (damaged, of another kind, a malformed description, masks
 *         of a network that it says is not masked); SPX_ENOTFOUND,
 *         SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_model_open(spx_model *out, const char *given);
/**
 * Opens it, or a deployed model, whichever the path holds; it is read once, so it may be a stream.
 * @param deployed  NULL where it is a model; else the caller's, and out is empty
 */
SPX_MUST_CHECK spx_status spx_model_open_any(spx_model *out, spx_deploy **deployed,
                                             const char *given);
void spx_model_close(spx_model *m); /* zeroed or open */

/**
 * Fills arenas of a device as spx_device_arenas_load does. Where the layout has masks and the
 * model's network has none, they become what the layout begins them as.
 * @return what that returns; SPX_EINVAL: a masked model for a network without masks
 */
SPX_MUST_CHECK spx_status spx_model_load(const spx_model *m, const spx_layout *l,
                                         spx_stream *stream, const spx_ckpt_arena *arena, size_t n);

/**
 * The weights and statistics that evaluation uses. Free each with spx_buffer_free.
 * @param l       of the network in evaluation
 * @param stream  whose device's memory they are to lie in; NULL: the host's, in the order of
 *                spx_layout_init
 * @return what spx_model_load returns; after a failure both are empty
 */
SPX_MUST_CHECK spx_status spx_model_arenas(const spx_model *m, const spx_layout *l,
                                           spx_stream *stream, spx_buffer *weights,
                                           spx_buffer *state);

/**
 * The masks of a model, in memory of their own; none where it is not masked. To be cleared.
 * @return what spx_model_arenas and spx_masks_of return
 */
SPX_MUST_CHECK spx_status spx_model_masks(spx_masks *out, const spx_model *m);

/** What spx_export_relus counts, of a model. */
SPX_MUST_CHECK spx_status spx_model_relus(spx_relu_count *out, const spx_model *m);

/** A model ready to evaluate batches: its program and weights on a device. */
typedef struct spx_model_runner spx_model_runner;

/**
 * Builds the program for a batch and loads the weights.
 * @param stream  borrowed
 * @return what spx_final_eval_program and spx_model_arenas return
 */
SPX_MUST_CHECK spx_status spx_model_runner_create(spx_model_runner **out, spx_stream *stream,
                                                  const spx_model *m, int64_t batch,
                                                  struct spx_tuning *tuning);
void spx_model_runner_destroy(spx_model_runner *r); /* NULL is a no-op */

/**
 * @param images  a batch in the memory of the stream's device (host/train/source.h)
 * @param logits  (batch, classes), host memory
 * @return what spx_program_run and spx_program_read return
 */
SPX_MUST_CHECK spx_status spx_model_runner_logits(spx_model_runner *r, const float *images,
                                                  float *logits);
/** Metrics over all of a source of such batches; see spx_evaluate. */
SPX_MUST_CHECK spx_status spx_model_runner_evaluate(spx_model_runner *r, const spx_source *src,
                                                    spx_metrics *out);

#endif
