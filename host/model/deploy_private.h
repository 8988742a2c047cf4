#ifndef SPX_DEPLOY_PRIVATE_H
#define SPX_DEPLOY_PRIVATE_H
/* Shared by the files that make and read deployed models. */
#include "host/model/deploy_build.h"
#include "kernels/base/alloc.h"

/** SPX_OK, or SPX_EFORMAT naming what is wrong. */
SPX_MUST_CHECK spx_status spx_deploy_check(const spx_deploy_draft *d, bool has_weights);

/** Whether masks are there, and as full as ops say; of a draft that spx_deploy_check passed. */
SPX_MUST_CHECK spx_status spx_deploy_check_masks(const spx_deploy_draft *d);

/* A model's structure as rows of integers, in files and messages alike. */
enum { SPX_DEPLOY_VALUE_FIELDS = 5, SPX_DEPLOY_OP_FIELDS = 15 };

void spx_deploy_value_row(const spx_deploy_value *v, int32_t row[SPX_DEPLOY_VALUE_FIELDS]);
void spx_deploy_op_row(const spx_deploy_op *op, int32_t row[SPX_DEPLOY_OP_FIELDS]);
void spx_deploy_value_parse(const int32_t row[SPX_DEPLOY_VALUE_FIELDS], spx_deploy_value *v);
void spx_deploy_op_parse(const int32_t row[SPX_DEPLOY_OP_FIELDS], spx_deploy_op *op);

/** Elements of a CONV's weights or a BIAS' map; of a checked model. */
size_t spx_deploy_weight_count(const spx_deploy_value *value, const spx_deploy_op *op);
size_t spx_deploy_bias_count(const spx_deploy_value *value, const spx_deploy_op *op);

/** Frees the weights, biases and masks of a draft's ops, and op itself; NULL is a no-op. */
void spx_deploy_ops_free(spx_deploy_op *op, int n);

#endif
