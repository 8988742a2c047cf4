#ifndef SPX_FOLD_PRIVATE_H
#define SPX_FOLD_PRIVATE_H
/* Linear expressions: what a tensor is in terms of values. Shared by the files that fold. */
#include "host/model/deploy_build.h"
#include "host/model/fold.h"
#include "kernels/base/alloc.h"

typedef struct spx_taps {
    int64_t size, stride, dilation, pad;
} spx_taps;

/** w applied to a value. */
typedef struct spx_term {
    int value;
    spx_taps taps;
    int64_t c; /* channels of the value */
    double *w; /* [rows of the expression][c][size][size] */
} spx_term;

/** Sum of terms and a bias map: a tensor (c, h, w). */
typedef struct spx_expr {
    int64_t c, h, w;
    spx_term *term;
    int n;
    size_t room;  /* of term */
    double *bias; /* [c][h][w], or NULL: zero */
} spx_expr;

void spx_expr_clear(spx_expr *e); /* zeroed or made */

/** Zeroed expression of that shape. */
spx_expr spx_expr_zero(int64_t c, int64_t h, int64_t w);

/** e = value v, of that shape. */
SPX_MUST_CHECK spx_status spx_expr_identity(spx_expr *e, int v, int64_t c, int64_t h, int64_t w);

/** Whether all terms are 1x1 of stride 1 without padding. */
bool spx_expr_is_pointwise(const spx_expr *e);

/**
 * rows [first, first + x->c) of e += scale[k] * row k of x + shift[k].
 * @param scale, shift  [x->c]; NULL: 1, 0
 */
SPX_MUST_CHECK spx_status spx_expr_add(spx_expr *e, const spx_expr *x, int64_t first,
                                       const double *scale, const double *shift);

/** e = the n rows of x that are named. */
SPX_MUST_CHECK spx_status spx_expr_take(spx_expr *e, const spx_expr *x, const int *row, int64_t n);
/** Row row[k] of e += row k of x. */
SPX_MUST_CHECK spx_status spx_expr_put(spx_expr *e, const spx_expr *x, const int *row);

/**
 * e += a convolution of channels [first, first + x->c) of its input, which are x.
 * @param w         [e->c][channels][size][size]
 * @param channels  of the whole input
 * x is pointwise, or the convolution is 1x1 and reads inside the map only.
 */
SPX_MUST_CHECK spx_status spx_expr_add_conv(spx_expr *e, const spx_expr *x, const double *w,
                                            int64_t channels, int64_t first, const spx_taps *taps);

/** Merges terms of one value and stride where that takes no more taps than the larger has (or
 * four): containment, equal geometry, the two halves of a factorized reduce. */
SPX_MUST_CHECK spx_status spx_expr_merge(spx_expr *e);

/* ---- what the arenas hold (fold_mask.c) ---- */

/** A parameter or state as doubles; free with spx_free. NULL for SPX_NO_TENSOR. */
SPX_MUST_CHECK spx_status spx_fold_parameter(const spx_fold_input *s, spx_tid t, double **out);

/** What a ReLU's mask keeps. ELEMENTS: not whole channels alone, or the rest is to be clamped. */
typedef enum spx_keeping {
    SPX_KEEPS_ALL,
    SPX_KEEPS_NONE,
    SPX_KEEPS_CHANNELS,
    SPX_KEEPS_ELEMENTS
} spx_keeping;

/** @param i  a ReLU's node */
SPX_MUST_CHECK spx_status spx_fold_find_keeping(const spx_fold_input *s, int i, spx_keeping *out);
/** The mask of n elements, as the op has it; NULL: it keeps none. */
SPX_MUST_CHECK spx_status spx_fold_keep_elements(const double *mask, size_t n, spx_fold_op *op);

/* ---- the growing model (fold_model.c) ---- */

SPX_MUST_CHECK spx_status spx_fold_add_value(spx_fold *f, spx_deploy_kind kind, int64_t c,
                                             int64_t h, int64_t w, int *out);
/** Takes w over (also on failure). */
SPX_MUST_CHECK spx_status spx_fold_add_op(spx_fold *f, const spx_deploy_op *d, double *w,
                                          spx_tid relu);

/** Makes e a value of its own (or finds that it is one) and e its identity. */
SPX_MUST_CHECK spx_status spx_fold_materialise(spx_fold *f, spx_expr *e, int *out);

/**
 * Makes e pointwise: strided terms that never read padding become terms over the phases of their
 * value (a public op); failing that, e becomes a value.
 */
SPX_MUST_CHECK spx_status spx_fold_make_pointwise(spx_fold *f, spx_expr *e);

/** e = average pool of x, which is pointwise: pools of the values, public. */
SPX_MUST_CHECK spx_status spx_fold_pool(spx_fold *f, const spx_expr *x, int64_t size,
                                        int64_t stride, int64_t pad, spx_expr *e);

/**
 * What the logits do not depend on: states of a chain that nobody joins, the auxiliary head.
 * @param end   the node that makes the logits
 * @param idle  [end + 1], written
 * @return SPX_OK, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_fold_find_idle(const spx_graph *g, spx_tid logits, int end,
                                             bool *idle);

#endif
