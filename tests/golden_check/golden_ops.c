/* ops.h5: primitives and blocks one by one. */
#include "tests/golden_check/golden.h"

#include "search/space/genotype_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One group of the file. */
typedef struct op_case {
    char path[160];
    const char *block; /* one of the named blocks, or NULL: a primitive */
    spx_primitive primitive;
    int64_t stride;
    bool affine;
    int64_t in[4], out[4]; /* shapes */
} op_case;

static const char *const blocks[] = {"FactorizedReduce_noReLU", "StdConv_noReLU", "StdConv",
                                     "stem"};

static spx_status describe(op_case *c, const spx_h5 *f, const char *path)
{
    char name[192];
    int64_t affine = 0;
    (void)snprintf(c->path, sizeof c->path, "%s", path);
    (void)snprintf(name, sizeof name, "%s/input", path);
    SPX_RETURN_IF(golden_dims(f, name, 4, c->in));
    (void)snprintf(name, sizeof name, "%s/output_train", path);
    SPX_RETURN_IF(golden_dims(f, name, 4, c->out));
    c->block = NULL;
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        if (strcmp(path, blocks[i]) == 0) {
            c->block = blocks[i];
            return SPX_OK;
        }
    }
    spx_space space;
    if (!spx_primitive_published(&c->primitive, &space, path, strcspn(path, "/"))) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s: unknown operator", spx_h5_name(f), path);
    }
    SPX_RETURN_IF(golden_int(f, path, "stride", &c->stride));
    SPX_RETURN_IF(golden_int(f, path, "affine", &affine));
    c->affine = affine != 0;
    return SPX_OK;
}

static spx_tid build(spx_graph *g, spx_tid x, const op_case *c)
{
    if (c->block == NULL) {
        x = spx_build_primitive(g, x, SPX_SPACE_SPHYNX, c->primitive, c->stride, c->affine, "");
    } else if (c->block == blocks[0]) {
        x = spx_build_factorized_reduce(g, x, c->out[1], false, "");
    } else if (c->block == blocks[1]) {
        x = spx_build_std_conv(g, x, c->out[1], "");
    } else if (c->block == blocks[2]) {
        x = spx_build_relu_conv(g, x, c->out[1], "");
    } else {
        x = spx_build_stem(g, x, c->out[1], "");
    }
    if (g->status == SPX_OK && memcmp(g->tensor[x].dim, c->out, sizeof c->out) != 0) {
        spx_graph_fail(g, SPX_EFORMAT, "%s: the output has another shape", c->path);
    }
    return x;
}

static const char *at(const op_case *c, const char *part)
{
    static char name[320];
    (void)snprintf(name, sizeof name, "%s/%s", c->path, part);
    return name;
}

static size_t count(const int64_t d[4])
{
    return (size_t)(d[0] * d[1] * d[2] * d[3]);
}

/* Weights, statistics, input. */
static spx_status load(golden_engine *e, const spx_h5 *f, const op_case *c)
{
    float *x;
    SPX_RETURN_IF(golden_floats(f, at(c, "input"), count(c->in), &x));
    SPX_RETURN_IF(golden_engine_input(e, "input", x));
    SPX_RETURN_IF(
        golden_load(f, at(c, "param"), e->layout, SPX_ROLE_WEIGHT, e->weights, "probe.", true));
    return golden_load(f, at(c, "buffer_before"), e->layout, SPX_ROLE_STATE, e->state, NULL, true);
}

static spx_status check_eval(golden_report *r, const golden_options *o, const op_case *c)
{
    spx_graph *g = NULL;
    golden_engine e = {0};
    spx_status st;
    SPX_TRY(st, spx_graph_create(&g, false), done);
    const spx_tid y = build(g, spx_g_input(g, "input", SPX_F32, 4, c->in), c);
    const spx_program_options p = {.output = &y, .n_output = 1};
    SPX_TRY(st, golden_engine_open(&e, g, &p, o), done);
    SPX_TRY(st, load(&e, r->file, c), done);
    SPX_TRY(st, golden_engine_run(&e, false), done);
    st = golden_compare(r, at(c, "output_eval"), golden_output(&e, 0), count(c->out));
done:
    golden_engine_close(&e);
    spx_graph_destroy(g);
    return st;
}

/* Gradients of all parameters the file has. */
static spx_status compare_entries(golden_report *r, const golden_engine *e, const op_case *c,
                                  spx_role role, const char *group, const float *arena)
{
    for (int i = 0; i < e->layout->n; i++) {
        const spx_layout_entry *entry = &e->layout->entry[i];
        char part[128];
        (void)snprintf(part, sizeof part, "%s/%s", group, entry->name);
        if (entry->role == role && spx_h5_has(r->file, at(c, part))) {
            SPX_RETURN_IF(
                golden_compare(r, at(c, part), arena + entry->offset, (size_t)entry->count));
        }
    }
    return SPX_OK;
}

static spx_status compare_train(golden_report *r, const golden_engine *e, const op_case *c)
{
    SPX_RETURN_IF(golden_compare(r, at(c, "output_train"), golden_output(e, 0), count(c->out)));
    SPX_RETURN_IF(golden_compare(r, at(c, "grad_input"), golden_gradient(e, 0), count(c->in)));
    SPX_RETURN_IF(compare_entries(r, e, c, SPX_ROLE_WEIGHT, "grad_param", e->weight_grad));
    return compare_entries(r, e, c, SPX_ROLE_STATE, "buffer_after", e->state);
}

static spx_status check_train(golden_report *r, const golden_options *o, const op_case *c)
{
    spx_graph *g = NULL;
    golden_engine e = {0};
    float *upstream = NULL;
    spx_status st;
    SPX_TRY(st, spx_graph_create(&g, true), done);
    const spx_tid x = spx_g_input(g, "input", SPX_F32, 4, c->in);
    const spx_tid y = build(g, x, c);
    const spx_loss_seed loss = golden_probe_seed(golden_probe(g, y), c->out[0]);
    const spx_program_options p = {.loss = &loss,
                                   .n_loss = 1,
                                   .grad_weights = true,
                                   .output = &y,
                                   .n_output = 1,
                                   .grad = &x,
                                   .n_grad = 1};
    SPX_TRY(st, golden_engine_open(&e, g, &p, o), done);
    SPX_TRY(st, load(&e, r->file, c), done);
    SPX_TRY(st, golden_floats(r->file, at(c, "grad_output"), count(c->out), &upstream), done);
    SPX_TRY(st,
            golden_probe_load(&e, upstream, (size_t)c->out[0], count(c->out) / (size_t)c->out[0]),
            done);
    const golden_rule noise = {.zero = golden_zero_noise(upstream, c->out)};
    r->rule.zero = golden_rule_at(noise, r->precision).zero;
    SPX_TRY(st, golden_engine_run(&e, true), done);
    st = compare_train(r, &e, c);
done:
    free(upstream);
    golden_engine_close(&e);
    spx_graph_destroy(g);
    return st;
}

/* `none` is no op of the engine: it stands for zero, whatever comes in. */
static spx_status check_none(golden_report *r, const op_case *c)
{
    static const char *const parts[] = {"output_eval", "output_train", "grad_input"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const size_t n = i < 2 ? count(c->out) : count(c->in);
        float *zero = calloc(n, sizeof *zero);
        if (zero == NULL) {
            return SPX_FAIL(SPX_ENOMEM, "%zu zeros", n);
        }
        const spx_status st = golden_compare(r, at(c, parts[i]), zero, n);
        free(zero);
        SPX_RETURN_IF(st);
    }
    return SPX_OK;
}

static spx_status check_case(golden_report *r, const golden_options *o, const char *path)
{
    op_case c;
    SPX_RETURN_IF(describe(&c, r->file, path));
    golden_begin(r, c.path, GOLDEN_EXACT);
    if (c.block == NULL && c.primitive == SPX_NONE) {
        SPX_RETURN_IF(check_none(r, &c));
    } else {
        SPX_RETURN_IF(check_eval(r, o, &c));
        SPX_RETURN_IF(check_train(r, o, &c));
    }
    golden_end(r);
    return SPX_OK;
}

spx_status golden_check_ops(golden_report *r, const golden_options *o)
{
    static const char suffix[] = "/input";
    spx_h5_names names;
    spx_status st = SPX_OK;
    int cases = 0;
    SPX_RETURN_IF(spx_h5_list(r->file, "", &names));
    for (size_t i = 0; i < names.count && st == SPX_OK; i++) {
        const size_t len = strlen(names.name[i]), tail = sizeof suffix - 1;
        if (len > tail && strcmp(names.name[i] + len - tail, suffix) == 0) {
            names.name[i][len - tail] = '\0';
            cases++;
            st = check_case(r, o, names.name[i]);
        }
    }
    spx_h5_names_clear(&names);
    return st == SPX_OK && cases == 0
               ? SPX_FAIL(SPX_EFORMAT, "%s: no operator in it", spx_h5_name(r->file))
               : st;
}
