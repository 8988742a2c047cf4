#ifndef SPX_GOLDEN_H
#define SPX_GOLDEN_H
/*
 * Parts of golden_check: files with numbers computed elsewhere, the engine that rebuilds them, and
 * the comparison. The format is described in tests/golden/format.md.
 */
#include "host/graph/program.h"
#include "host/h5/h5_file.h"
#include "search/space/network.h"

/* ---- comparing (golden_report.c) ---- */

/** How close is close enough; relative 2-norms per tensor. */
typedef struct golden_rule {
    double worst;  /* of any tensor */
    double median; /* over the tensors of the quantity; 0: not asked */
    double zero;   /* true zeros: largest absolute difference of any element; 0: no such tensors */
    bool difference; /* a finite difference: below f32 its step drowns in the weights' rounding */
    bool flips; /* a ReLU input within rounding of zero may decide: see golden_report.attempt */
} golden_rule;

/*
 * 1e-5: float32 rounds by 6e-8 per operation, the stored values are within 2e-6 of float64.
 * Train-mode gradients of whole networks: with 1e5 ReLU inputs a few lie within rounding of zero,
 * and one that falls to the other side moves a tensor by up to 6e-3; so 1e-2 for any tensor and
 * 1e-4 for the median. True zeros (a gradient that a following batch norm takes out): rounding
 * noise of about 1e-8.
 */
#define GOLDEN_EXACT ((golden_rule){.worst = 1e-5, .zero = 1e-6})
#define GOLDEN_NETWORK_GRADIENT                                                                    \
    ((golden_rule){.worst = 1e-2, .median = 1e-4, .zero = 1e-6, .flips = true})

/**
 * The rule where products are rounded to fewer bits, u = 2^-11 (TF32) or 2^-9 (bf16):
 * - both operands of up to 16 products in a row are rounded, each by u at most: 32*u;
 * - what moves activations by 8*u also moves 0.8*8*u of all ReLU inputs (normal ones) across zero,
 *   and with each its gradient: sqrt(6.4*u) of a gradient's norm a layer, adding in quadrature:
 *   6*sqrt(u) after the median's six or so layers, 16*sqrt(u) for what depends on all forty. A
 *   single tensor has no bound of its own: it may be what is left of a sum that cancels;
 * - true zeros are as much larger as the rounding; finite differences need only be numbers.
 */
golden_rule golden_rule_at(golden_rule rule, spx_precision p);

#define GOLDEN_MAX_TENSORS 8192
#define GOLDEN_MAX_PENDING 64
#define GOLDEN_ATTEMPTS 16

/**
 * One golden file being checked. A network's gradient is smooth but for ReLU inputs at zero. Where
 * a quantity with `flips` fails, the check is made again with the pixels moved up or down,
 * pseudo-randomly, by `attempt` units in the last place: that changes a smooth gradient by 1e-6 or
 * so and throws anew the dice of ReLU inputs within rounding of zero. The quantity must pass in one
 * of GOLDEN_ATTEMPTS attempts. Nothing that is wrong by more than rounding can.
 */
typedef struct golden_report {
    const spx_h5 *file;
    spx_precision precision;              /* of the engine under check; rules are taken at it */
    const char *section;                  /* tells quantities of equal names apart */
    int attempt;                          /* 0: the images as stored */
    bool failed;                          /* a quantity without flips */
    char pending[GOLDEN_MAX_PENDING][96]; /* quantities with flips that have not passed yet */
    int n_pending;
    /* of the quantity under way */
    const char *quantity;
    golden_rule rule;
    double error[GOLDEN_MAX_TENSORS]; /* relative errors of tensors that are not true zeros */
    int n, zeros;
    double worst, worst_zero;
    char worst_name[160], worst_zero_name[160];
} golden_report;

/** Whether this attempt is about quantities of that section; makes it the present one. */
bool golden_section(golden_report *r, const char *section);
void golden_begin(golden_report *r, const char *quantity, golden_rule rule);
/**
 * Compares count floats with dataset name of the file, and with f64/name where there is one, the
 * stored numbers' own distance (relerr_f32_vs_f64) allowed for.
 *
 * With a rule that has zeros, a dataset marked with relerr_f32_vs_f64 > 1e-2, or unmarked and of a
 * norm below 1e-6, is a true zero. A running_mean is compared in proportion to what it averages: a
 * mean of cancelling terms is no more accurate than the terms, so its norm is taken with
 * 0.1*sqrt(running_var) (0.1: the share of one pass) added in quadrature.
 */
SPX_MUST_CHECK spx_status golden_compare(golden_report *r, const char *name, const float *got,
                                         size_t count);
void golden_end(golden_report *r); /* prints one line */

/** All of: begin, compare one tensor, end. */
SPX_MUST_CHECK spx_status golden_compare_one(golden_report *r, const char *name, golden_rule rule,
                                             const float *got, size_t count);
/**
 * Compares every dataset of a group with the entry of the layout that has its name (in the arena of
 * its role); a dataset without entry is SPX_EFORMAT. zero_of: NULL, or the group of whose datasets
 * of the same names those that are true zeros make the compared ones absolute.
 */
SPX_MUST_CHECK spx_status golden_compare_group(golden_report *r, const char *group,
                                               golden_rule rule, const spx_layout *l,
                                               const float *weights, const float *arch,
                                               const float *state, const char *zero_of);
/** Largest absolute value that rounding leaves of a sum over the images and pixels of a gradient
 * whose true sum is zero: four roundings per term of the size of the upstream gradient v. dims:
 * NCHW of v. */
double golden_zero_noise(const float *v, const int64_t dims[4]);

/* ---- reading (golden_file.c) ---- */

/** A dataset as floats, malloc'd; count elements, or any number where count is 0. */
SPX_MUST_CHECK spx_status golden_floats(const spx_h5 *f, const char *name, size_t count,
                                        float **out);
/** Images: golden_floats, moved as the report's attempt says. */
SPX_MUST_CHECK spx_status golden_images(const golden_report *r, const spx_h5 *f, const char *name,
                                        size_t count, float **out);
/** Class labels as int32, malloc'd. */
SPX_MUST_CHECK spx_status golden_labels(const spx_h5 *f, const char *name, size_t count,
                                        int32_t **out);
SPX_MUST_CHECK spx_status golden_int(const spx_h5 *f, const char *object, const char *attr,
                                     int64_t *out);
SPX_MUST_CHECK spx_status golden_real(const spx_h5 *f, const char *attr, double *out);
/** A text attribute "[0, 5]" as integers, at most max. */
SPX_MUST_CHECK spx_status golden_int_list(const spx_h5 *f, const char *attr, int *out, int max,
                                          int *n);
/** The dimensions of a dataset of that rank. */
SPX_MUST_CHECK spx_status golden_dims(const spx_h5 *f, const char *name, int rank, int64_t *dims);
/**
 * Fills the entries of one role from group/NAME. Every entry but those whose names begin with
 * `except` (may be NULL) must be there; with whole, every dataset of the group must be an entry of
 * some role.
 */
SPX_MUST_CHECK spx_status golden_load(const spx_h5 *f, const char *group, const spx_layout *l,
                                      spx_role role, float *arena, const char *except, bool whole);
/** Opens the file named by replacing the last part of f's path. */
SPX_MUST_CHECK spx_status golden_open_beside(spx_h5 **out, const spx_h5 *f, const char *name);

/* ---- running (golden_engine.c) ---- */

/** Options of the command line. */
typedef struct golden_options {
    spx_stream *stream;
    bool no_fusion, reference;
} golden_options;

#define GOLDEN_MAX_INPUTS 512
#define GOLDEN_MAX_OUTPUTS (1 + SPX_MAX_LAYERS)

/** Copies dense f32 (n, c, h, w) to a stream's device, in its order of elements. */
SPX_MUST_CHECK spx_status golden_put_images(spx_stream *s, const float *x, const int64_t dims[4],
                                            void *device);

/** A program with arenas of its own, in the host's memory and layout; runs carry them across. */
typedef struct golden_engine {
    const spx_graph *graph; /* borrowed: as built */
    spx_program *program;
    const spx_layout *layout;
    float *weights, *arch, *state, *weight_grad, *arch_grad;
    void *input[GOLDEN_MAX_INPUTS]; /* owned; in the order of declaration */
    int n_inputs;
    float *output[GOLDEN_MAX_OUTPUTS]; /* owned: what the last run computed; then gradients */
    int n_outputs, n_grads;
    /* The device's. */
    spx_stream *stream;
    spx_buffer arena[SPX_ROLE_COUNT];
    spx_buffer workspace;
    void *bound[GOLDEN_MAX_INPUTS];
} golden_engine;

/** options.no_fusion and reference are taken from o. Arenas are zero. */
SPX_MUST_CHECK spx_status golden_engine_open(golden_engine *e, const spx_graph *g,
                                             const spx_program_options *p, const golden_options *o);
void golden_engine_close(golden_engine *e); /* zeroed or opened */
/** Gives the engine the data of input `name`; it frees it. SPX_EFORMAT where there is no such
 * input. */
SPX_MUST_CHECK spx_status golden_engine_input(golden_engine *e, const char *name, void *data);
SPX_MUST_CHECK spx_status golden_engine_run(golden_engine *e, bool update_state);
/** Output i of the last run, or gradient i; NCHW. */
const float *golden_output(const golden_engine *e, int i);
const float *golden_gradient(const golden_engine *e, int i);

/*
 * A loss whose gradient for y is a given array: a classifier "probe" on y with 2n outputs (n
 * images). Image i has label i; output i has weights -s*v[i], output n+i has s*v[i], v[i] the
 * wanted gradient of image i. s is so small (2^-60) that the softmax is uniform in float32, so the
 * gradient of image i is (sum over outputs of weights/(2n) - weights of i) / n = s*v[i]/n; the loss
 * is weighted by n/s.
 */
spx_tid golden_probe(spx_graph *g, spx_tid y);
/** The loss of options for a probe on n images. */
spx_loss_seed golden_probe_seed(spx_tid loss, int64_t n);
/** Sets the probe's weights and labels. @param v (n, count) */
SPX_MUST_CHECK spx_status golden_probe_load(golden_engine *e, const float *v, size_t n,
                                            size_t count);

/* ---- kinds of files ---- */

SPX_MUST_CHECK spx_status golden_check_ops(golden_report *r, const golden_options *o);
SPX_MUST_CHECK spx_status golden_check_cell(golden_report *r, const golden_options *o);
SPX_MUST_CHECK spx_status golden_check_supernet(golden_report *r, const golden_options *o);
SPX_MUST_CHECK spx_status golden_check_final(golden_report *r, const golden_options *o);
SPX_MUST_CHECK spx_status golden_check_step(golden_report *r, const golden_options *o);

/** The supernet of search_cnn.h5. */
SPX_MUST_CHECK spx_status golden_supernet_config(const spx_h5 *f, spx_supernet_config *c);

#endif
