/* A final network: evaluation (NAME.h5), a training pass (NAME_train.h5), one with drop-path
 * (NAME_droppath.h5). The second and third take weights and images from the first, beside them. */
#include "tests/golden_check/golden.h"

#include "kernels/base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct final_case {
    spx_genotype genotype;
    spx_final_config config;
    double aux_weight, drop_prob;
} final_case;

static spx_status describe(final_case *c, const spx_h5 *f)
{
    char *text;
    int64_t size;
    spx_final_config *n = &c->config;
    memset(c, 0, sizeof *c);
    SPX_RETURN_IF(spx_h5_read_text(f, "", "genotype", &text));
    const spx_status st = spx_genotype_parse(&c->genotype, text, strlen(text));
    spx_free(text);
    SPX_RETURN_IF(st);
    SPX_RETURN_IF(golden_int(f, "", "size", &size));
    n->input = (spx_input_shape){3, size, size};
    n->auxiliary = true;
    SPX_RETURN_IF(golden_int(f, "", "batch", &n->batch));
    SPX_RETURN_IF(golden_int(f, "", "n_classes", &n->classes));
    SPX_RETURN_IF(golden_int(f, "", "init_channels", &n->init_channels));
    SPX_RETURN_IF(golden_int(f, "", "layers", &n->layers));
    SPX_RETURN_IF(golden_int_list(f, "reduce_loc", n->reduce_at, SPX_MAX_REDUCE, &n->n_reduce));
    SPX_RETURN_IF(golden_real(f, "aux_weight", &c->aux_weight));
    if (spx_h5_has_attr(f, "", "drop_path_prob")) {
        SPX_RETURN_IF(golden_real(f, "drop_path_prob", &c->drop_prob));
        n->drop_path = SPX_DROP_PATH_BOUND;
        if (!(c->drop_prob >= 0 && c->drop_prob < 1)) {
            return SPX_FAIL(SPX_EFORMAT, "%s: drop_path_prob is %g", spx_h5_name(f), c->drop_prob);
        }
    }
    return SPX_OK;
}

/* Parameters, statistics and images of NAME.h5. */
static spx_status load(golden_engine *e, const golden_report *r, const spx_h5 *base,
                       const final_case *c)
{
    const spx_input_shape *in = &c->config.input;
    float *x;
    int32_t *label;
    SPX_RETURN_IF(golden_load(base, "param", e->layout, SPX_ROLE_WEIGHT, e->weights, NULL, true));
    SPX_RETURN_IF(golden_load(base, "buffer", e->layout, SPX_ROLE_STATE, e->state, NULL, true));
    SPX_RETURN_IF(golden_images(
        r, base, "input", (size_t)(c->config.batch * in->channels * in->rows * in->columns), &x));
    SPX_RETURN_IF(golden_engine_input(e, "image", x));
    SPX_RETURN_IF(golden_labels(base, "labels", (size_t)c->config.batch, &label));
    return golden_engine_input(e, "label", label);
}

/* ---- evaluation ---- */

static spx_status compare_cells(golden_report *r, const golden_engine *e, const spx_network *n)
{
    golden_begin(r, "eval_cell_output_image0", GOLDEN_EXACT);
    for (int i = 0; i < n->n_cells; i++) {
        const spx_tensor *t = &n->graph->tensor[n->cell[i]];
        char name[64];
        (void)snprintf(name, sizeof name, "eval_cell_output_image0/%d", i);
        SPX_RETURN_IF(golden_compare(r, name, golden_output(e, 1 + i),
                                     (size_t)(spx_tensor_count(t) / t->dim[0])));
    }
    golden_end(r);
    return SPX_OK;
}

static spx_status check_eval(golden_report *r, const golden_options *o, const final_case *c)
{
    spx_network n = {0};
    golden_engine e = {0};
    spx_tid outputs[1 + SPX_MAX_LAYERS];
    spx_status st;
    SPX_TRY(st, spx_build_final(&n, &c->genotype, &c->config), done);
    outputs[0] = n.logits;
    memcpy(outputs + 1, n.cell, sizeof n.cell);
    const spx_program_options p = {.output = outputs, .n_output = 1 + n.n_cells};
    SPX_TRY(st, golden_engine_open(&e, n.graph, &p, o), done);
    SPX_TRY(st, load(&e, r, r->file, c), done);
    SPX_TRY(st, golden_engine_run(&e, false), done);
    SPX_TRY(st,
            golden_compare_one(r, "logits_eval", GOLDEN_EXACT, golden_output(&e, 0),
                               (size_t)(c->config.batch * c->config.classes)),
            done);
    st = compare_cells(r, &e, &n);
done:
    golden_engine_close(&e);
    spx_network_clear(&n);
    return st;
}

/* ---- training passes ---- */

/* The stored masks, made ready for use: x becomes x / (1 - p) * mask. */
static spx_status load_masks(golden_engine *e, const spx_h5 *f, const final_case *c)
{
    spx_h5_names names;
    SPX_RETURN_IF(spx_h5_list(f, "mask", &names));
    spx_status st = (int)names.count == e->n_inputs - 2
                        ? SPX_OK
                        : SPX_FAIL(SPX_EFORMAT, "%s: %zu masks, the network has %d", spx_h5_name(f),
                                   names.count, e->n_inputs - 2);
    for (size_t i = 0; i < names.count && st == SPX_OK; i++) {
        char path[256];
        float *mask;
        (void)snprintf(path, sizeof path, "mask/%s", names.name[i]);
        st = golden_floats(f, path, (size_t)c->config.batch, &mask);
        for (int64_t k = 0; k < c->config.batch && st == SPX_OK; k++) {
            if (mask[k] != 0.0f && mask[k] != 1.0f) {
                st = SPX_FAIL(SPX_EFORMAT, "%s: %s is neither 0 nor 1", spx_h5_name(f), path);
                free(mask);
                break;
            }
            mask[k] /= (float)(1.0 - c->drop_prob);
        }
        if (st == SPX_OK) {
            st = golden_engine_input(e, names.name[i], mask);
        }
    }
    spx_h5_names_clear(&names);
    return st;
}

static double norm(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sqrt(sum);
}

/* Norms of gradients the file does not hold whole. */
static spx_status compare_norms(golden_report *r, const golden_engine *e)
{
    spx_h5_names names;
    if (spx_h5_list(r->file, "grad_norm_param", &names) != SPX_OK) {
        return SPX_OK; /* not every file has them */
    }
    spx_status st = SPX_OK;
    golden_begin(r, "grad_norm_param", GOLDEN_NETWORK_GRADIENT);
    for (size_t i = 0; i < names.count && st == SPX_OK; i++) {
        const spx_layout_entry *w = spx_layout_find(e->layout, names.name[i]);
        char path[256];
        (void)snprintf(path, sizeof path, "grad_norm_param/%s", names.name[i]);
        if (w == NULL || w->role != SPX_ROLE_WEIGHT) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: %s: no such parameter", spx_h5_name(r->file), path);
        } else {
            const float own = (float)norm(e->weight_grad + w->offset, w->count);
            st = golden_compare(r, path, &own, 1);
        }
    }
    spx_h5_names_clear(&names);
    golden_end(r);
    return st;
}

/* The norm of the whole gradient, gaps excluded. */
static float whole_norm(const golden_engine *e)
{
    double sum = 0;
    for (int i = 0; i < e->layout->n; i++) {
        const spx_layout_entry *w = &e->layout->entry[i];
        if (w->role == SPX_ROLE_WEIGHT) {
            const double v = norm(e->weight_grad + w->offset, w->count);
            sum += v * v;
        }
    }
    return (float)sqrt(sum);
}

/* One scalar or tensor if the file has it. */
static spx_status compare_if(golden_report *r, const char *name, golden_rule rule, const float *got,
                             size_t count)
{
    return spx_h5_has(r->file, name) ? golden_compare_one(r, name, rule, got, count) : SPX_OK;
}

static spx_status compare_train(golden_report *r, const golden_engine *e, const final_case *c)
{
    const size_t logits = (size_t)(c->config.batch * c->config.classes);
    const float *out[4];
    for (int i = 0; i < 4; i++) {
        out[i] = golden_output(e, i);
    }
    const float total = *out[2] + (float)c->aux_weight * *out[3], whole = whole_norm(e);
    /* A norm of gradients moves with a flipped ReLU as they do. */
    const golden_rule norm_rule = {.worst = 1e-2, .flips = true};
    SPX_RETURN_IF(golden_compare_one(r, "logits_train", GOLDEN_EXACT, out[0], logits));
    SPX_RETURN_IF(golden_compare_one(r, "aux_logits", GOLDEN_EXACT, out[1], logits));
    SPX_RETURN_IF(golden_compare_one(r, "loss", GOLDEN_EXACT, &total, 1));
    SPX_RETURN_IF(compare_if(r, "loss_main", GOLDEN_EXACT, out[2], 1));
    SPX_RETURN_IF(compare_if(r, "loss_aux", GOLDEN_EXACT, out[3], 1));
    SPX_RETURN_IF(golden_compare_group(r, "grad_param", GOLDEN_NETWORK_GRADIENT, e->layout,
                                       e->weight_grad, NULL, NULL, NULL));
    SPX_RETURN_IF(compare_norms(r, e));
    SPX_RETURN_IF(compare_if(r, "grad_norm", norm_rule, &whole, 1));
    return c->config.drop_path == SPX_DROP_PATH_BOUND
               ? SPX_OK
               : golden_compare_group(r, "buffer_after", GOLDEN_EXACT, e->layout, NULL, NULL,
                                      e->state, NULL);
}

static spx_status run_train(golden_report *r, const golden_options *o, const final_case *c,
                            const spx_h5 *base)
{
    spx_network n = {0};
    golden_engine e = {0};
    spx_status st;
    SPX_TRY(st, spx_build_final(&n, &c->genotype, &c->config), done);
    const spx_loss_seed loss[] = {{n.loss, 1.0f}, {n.aux_loss, (float)c->aux_weight}};
    const spx_tid outputs[] = {n.logits, n.aux_logits, n.loss, n.aux_loss};
    const spx_program_options p = {
        .loss = loss, .n_loss = 2, .grad_weights = true, .output = outputs, .n_output = 4};
    SPX_TRY(st, golden_engine_open(&e, n.graph, &p, o), done);
    SPX_TRY(st, load(&e, r, base, c), done);
    if (c->config.drop_path == SPX_DROP_PATH_BOUND) {
        SPX_TRY(st, load_masks(&e, r->file, c), done);
    }
    SPX_TRY(st, golden_engine_run(&e, true), done);
    st = compare_train(r, &e, c);
done:
    golden_engine_close(&e);
    spx_network_clear(&n);
    return st;
}

/* NAME.h5 of NAME_train.h5 or NAME_droppath.h5. */
static spx_status open_base(spx_h5 **out, const spx_h5 *f)
{
    char name[256];
    const char *own = spx_h5_name(f), *slash = strrchr(own, '/');
    own = slash != NULL ? slash + 1 : own;
    const char *suffix = strrchr(own, '_');
    if (suffix == NULL || strlen(own) + 4 > sizeof name) {
        return SPX_FAIL(SPX_EFORMAT, "%s: no NAME_train.h5 or NAME_droppath.h5", spx_h5_name(f));
    }
    (void)snprintf(name, sizeof name, "%.*s.h5", (int)(suffix - own), own);
    return golden_open_beside(out, f, name);
}

spx_status golden_check_final(golden_report *r, const golden_options *o)
{
    final_case c;
    spx_h5 *base;
    SPX_RETURN_IF(describe(&c, r->file));
    if (spx_h5_has(r->file, "logits_eval")) {
        return check_eval(r, o, &c);
    }
    c.config.training = true;
    SPX_RETURN_IF(open_base(&base, r->file));
    const spx_status st = run_train(r, o, &c, base);
    spx_h5_close(base);
    return st;
}
