#ifndef SPX_DEPLOY_BUILD_H
#define SPX_DEPLOY_BUILD_H
/* Making deployed models: a draft is checked and becomes a model. */
#include "host/model/deploy.h"

/**
 * What a model is made of. Of values, kind, c, h, w and bits are read, the rest is derived; of ops
 * all but filter; weights, bias and keep are copied. Weights and biases NULL: a public model.
 */
typedef struct spx_deploy_draft {
    const spx_deploy_value *value;
    const spx_deploy_op *op;
    int n_values, n_ops;
    int logits;
    double logit_scale;
    const char *preprocessing; /* NULL: "" */
    const char *about;         /* NULL: "{}" */
} spx_deploy_draft;

/**
 * Checks a draft and makes the model: rings, depths, segments, exchanges, hash.
 * @param public_hash  NULL: a model with weights; else the hash of the whole model whose public
 *                     part this is
 * @return SPX_OK, SPX_EFORMAT (the message names op or value), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_deploy_create(spx_deploy **out, const spx_deploy_draft *draft,
                                            const unsigned char *public_hash);

/** Bytes of a RELU's mask. */
size_t spx_deploy_mask_bytes(const spx_deploy_value *value, const spx_deploy_op *op);

/** Rows and columns of a POOL's output for a side of the input; 0 where it has none. */
int64_t spx_deploy_pool_side(const spx_deploy_op *op, int64_t side);

/** Elements of the window of output row (column) i that lie inside a side of the input. */
int64_t spx_deploy_pool_window(const spx_deploy_op *op, int64_t side, int64_t i);

/** Shape of a CONV op. */
spx_conv2d_ring_shape spx_deploy_conv_shape(const spx_deploy_value *in, const spx_deploy_value *out,
                                            const spx_deploy_op *op);

#endif
