#ifndef SPX_EXPORT_H
#define SPX_EXPORT_H
/* A trained final network becomes a deployed one: folded, calibrated, quantised, proven. */
#include "data/pack/pack.h"
#include "host/model/deploy.h"
#include "host/model/quantise.h"
#include "search/final/model.h"

typedef struct spx_export_options {
    spx_quantise_options quantise; /* about, show and ctx are set here */
    int64_t images;                /* training images to calibrate on, at least 1 */
    /** Told after each step of a phase; may be NULL. */
    void (*show)(void *ctx, const char *phase, int64_t done, int64_t total);
    void *ctx;
} spx_export_options;

/** What the exporter found out; per segment. Free with spx_export_report_clear. */
typedef struct spx_export_report {
    int64_t images;                /* calibrated on */
    spx_quantise_segment *segment; /* [n_segments] */
    double *saturated;             /* [n_segments - 1] share of elements at the top, same images */
} spx_export_report;

void spx_export_report_clear(spx_export_report *r);

/**
 * @param m     a model or checkpoint
 * @param pack  its training split is loaded; images are taken at even distances, not augmented,
 *              normalised as the model's
 * @param report  may be NULL
 * @return SPX_OK; SPX_EINVAL (a pack of other images); what folding, calibrating and quantising
 *         return
 */
SPX_MUST_CHECK spx_status spx_export(spx_deploy **out, const spx_model *m, const spx_pack *pack,
                                     spx_stream *stream, const spx_export_options *o,
                                     spx_export_report *report);

/**
 * The same of a network with random weights (as training begins with) and statistics of 0 and 1,
 * calibrated on random images: for measuring, where what is computed does not matter.
 */
SPX_MUST_CHECK spx_status spx_export_random(spx_deploy **out, const spx_final_spec *spec,
                                            uint64_t seed, spx_stream *stream,
                                            const spx_export_options *o, spx_export_report *report);

/**
 * ReLUs of a network, how many its masks keep, and what circuits evaluate once it is deployed: also
 * what masks drop but export clamps (host/model/dropped.h). No images are asked: masks and
 * estimated widths decide, at the usual 8 bits. Where export finds no proof for that choice, it
 * clamps more, up to all that masks drop and convolutions read.
 * @param l       of a program of the network
 * @param weights, state  its arenas in host memory; not read where the network is not masked
 * @return SPX_OK, of a network that cannot be deployed too; what spx_masks_of and spx_fold_create
 *         return
 */
SPX_MUST_CHECK spx_status spx_export_relus(spx_relu_count *out, const spx_final_spec *f,
                                           const spx_layout *l, const spx_buffer *weights,
                                           const spx_buffer *state);

#endif
