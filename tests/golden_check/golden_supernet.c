/* search_cnn.h5: the whole supernet. */
#include "tests/golden_check/golden.h"

#include <stdio.h>
#include <stdlib.h>

spx_status golden_supernet_config(const spx_h5 *f, spx_supernet_config *c)
{
    *c = (spx_supernet_config){0};
    SPX_RETURN_IF(golden_int(f, "", "batch", &c->batch));
    SPX_RETURN_IF(golden_int(f, "", "C_in", &c->input.channels));
    SPX_RETURN_IF(golden_int(f, "", "size", &c->input.rows));
    c->input.columns = c->input.rows;
    SPX_RETURN_IF(golden_int(f, "", "n_classes", &c->classes));
    SPX_RETURN_IF(golden_int(f, "", "init_channels", &c->init_channels));
    SPX_RETURN_IF(golden_int(f, "", "layers", &c->layers));
    return golden_int_list(f, "reduce_loc", c->reduce_loc, SPX_MAX_REDUCE, &c->n_reduce);
}

/* The network's parameters, statistics from `buffers`, and step 1's training batch. */
static spx_status load(golden_engine *e, const golden_report *r, const spx_supernet_config *c,
                       const char *buffers)
{
    const spx_h5 *f = r->file;
    const spx_layout *l = e->layout;
    float *x;
    int32_t *label;
    SPX_RETURN_IF(golden_load(f, "param", l, SPX_ROLE_WEIGHT, e->weights, NULL, true));
    SPX_RETURN_IF(golden_load(f, "param", l, SPX_ROLE_ARCH, e->arch, NULL, false));
    SPX_RETURN_IF(golden_load(f, buffers, l, SPX_ROLE_STATE, e->state, NULL, true));
    SPX_RETURN_IF(golden_images(
        r, f, "data/step1/trn_X",
        (size_t)(c->batch * c->input.channels * c->input.rows * c->input.columns), &x));
    SPX_RETURN_IF(golden_engine_input(e, "image", x));
    SPX_RETURN_IF(golden_labels(f, "data/step1/trn_y", (size_t)c->batch, &label));
    return golden_engine_input(e, "label", label);
}

static spx_status check_train(golden_report *r, const golden_options *o, spx_supernet_config c)
{
    spx_network n = {0};
    golden_engine e = {0};
    spx_status st;
    c.training = true;
    SPX_TRY(st, spx_build_supernet(&n, &c), done);
    const spx_loss_seed loss = {n.loss, 1.0f};
    const spx_tid outputs[] = {n.logits, n.loss};
    const spx_program_options p = {.loss = &loss,
                                   .n_loss = 1,
                                   .grad_weights = true,
                                   .grad_arch = true,
                                   .output = outputs,
                                   .n_output = 2};
    SPX_TRY(st, golden_engine_open(&e, n.graph, &p, o), done);
    SPX_TRY(st, load(&e, r, &c, "buffer_before"), done);
    SPX_TRY(st, golden_engine_run(&e, true), done);
    SPX_TRY(st,
            golden_compare_one(r, "logits_train", GOLDEN_EXACT, golden_output(&e, 0),
                               (size_t)(c.batch * c.classes)),
            done);
    SPX_TRY(st, golden_compare_one(r, "loss_train", GOLDEN_EXACT, golden_output(&e, 1), 1), done);
    SPX_TRY(st,
            golden_compare_group(r, "grad_param", GOLDEN_NETWORK_GRADIENT, e.layout, e.weight_grad,
                                 e.arch_grad, NULL, NULL),
            done);
    st = golden_compare_group(r, "buffer_after_one_forward", GOLDEN_EXACT, e.layout, NULL, NULL,
                              e.state, NULL);
done:
    golden_engine_close(&e);
    spx_network_clear(&n);
    return st;
}

static spx_status check_eval(golden_report *r, const golden_options *o, spx_supernet_config c)
{
    spx_network n = {0};
    golden_engine e = {0};
    spx_status st;
    c.training = false;
    SPX_TRY(st, spx_build_supernet(&n, &c), done);
    const spx_program_options p = {.output = &n.logits, .n_output = 1};
    SPX_TRY(st, golden_engine_open(&e, n.graph, &p, o), done);
    SPX_TRY(st, load(&e, r, &c, "buffer_after_one_forward"), done);
    SPX_TRY(st, golden_engine_run(&e, false), done);
    st = golden_compare_one(r, "logits_eval_after_that_forward", GOLDEN_EXACT, golden_output(&e, 0),
                            (size_t)(c.batch * c.classes));
done:
    golden_engine_close(&e);
    spx_network_clear(&n);
    return st;
}

spx_status golden_check_supernet(golden_report *r, const golden_options *o)
{
    spx_supernet_config c;
    SPX_RETURN_IF(golden_supernet_config(r->file, &c));
    SPX_RETURN_IF(check_train(r, o, c));
    return check_eval(r, o, c);
}
