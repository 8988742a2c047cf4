#include "host/cli/deploy_talk.h"

#include "kernels/base/text.h"
#include "search/final/final.h"

#include <stdio.h>

/* Mean width of what ReLUs read, over all ReLUs. */
static double mean_width(const spx_deploy *m)
{
    double sum = 0, n = 0;
    for (int s = 0; s < m->n_segments - 1; s++) {
        const spx_deploy_op *op = &m->op[m->relu[s]];
        const double count = (double)spx_deploy_count(m, op->in);
        sum += count * op->width;
        n += count;
    }
    return n > 0 ? sum / n : 0;
}

static json_t *int_list(const int *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(a, json_integer(v[i]));
    }
    return a;
}

static json_t *layers_json(const spx_deploy *m)
{
    json_t *a = json_array();
    for (int s = 0; s < m->n_segments - 1; s++) {
        const spx_deploy_op *op = &m->op[m->relu[s]];
        const spx_deploy_value *v = &m->value[op->in];
        const json_int_t all = (json_int_t)spx_deploy_count(m, op->in);
        (void)json_array_append_new(
            a, json_pack("{s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i}", "relus", all - op->dropped,
                         "interactive_positions", all, "channels", (json_int_t)v->c, "rows",
                         (json_int_t)v->h, "columns", (json_int_t)v->w, "l", op->width, "f",
                         op->shift, "a", op->bits));
    }
    return a;
}

static json_t *exchanges_json(const spx_deploy *m)
{
    json_t *a = json_array();
    for (int i = 0; i < m->n_exchanges; i++) {
        const spx_deploy_exchange *e = &m->exchange[i];
        (void)json_array_append_new(
            a, json_pack("{s:i, s:i, s:o, s:o, s:i}", "segment", e->segment, "depth", e->depth,
                         "inputs", int_list(e->in, e->n_in), "outputs", int_list(e->out, e->n_out),
                         "convolutions", e->n_conv));
    }
    return a;
}

static json_t *values_json(const spx_deploy *m)
{
    static const char *const kinds[] = {"image", "linear", "activation"};
    json_t *a = json_array();
    for (int i = 0; i < m->n_values; i++) {
        const spx_deploy_value *v = &m->value[i];
        (void)json_array_append_new(
            a, json_pack("{s:s, s:[I,I,I], s:i, s:i, s:i, s:i}", "kind", kinds[v->kind], "shape",
                         (json_int_t)v->c, (json_int_t)v->h, (json_int_t)v->w, "bits", v->bits,
                         "ring", v->ring, "segment", v->segment, "depth", v->depth));
    }
    return a;
}

spx_relu_count spx_deploy_relu_count(const spx_deploy *m)
{
    json_t *about = json_loads(m->about, 0, NULL);
    const json_t *network = json_object_get(about, "network");
    spx_relu_count n = {
        .kept = spx_deploy_relus(m), .counted = true, .interactive = spx_deploy_interactive(m)};
    spx_final_spec f;
    spx_counts c;
    n.full = n.kept;
    if (network != NULL && spx_final_spec_parse(&f, network) == SPX_OK && f.masked &&
        spx_final_count(&f, false, &c) == SPX_OK) {
        n.full = c.relus;
        n.masked = true;
    }
    json_decref(about);
    return n;
}

json_t *spx_deploy_json(const spx_deploy *m)
{
    char hash[2 * SPX_DEPLOY_HASH_BYTES + 1];
    for (int i = 0; i < SPX_DEPLOY_HASH_BYTES; i++) {
        (void)snprintf(hash + 2 * i, 3, "%02x", m->hash[i]);
    }
    json_t *about = json_loads(m->about, 0, NULL);
    const spx_relu_count n = spx_deploy_relu_count(m);
    json_t *j = json_pack(
        "{s:i, s:s, s:I, s:I, s:f, s:i, s:I, s:f, s:o, s:o, s:o, s:o}", "schema",
        spx_deploy_schema(m), "hash", hash, "relus", (json_int_t)spx_deploy_relus(m),
        "interactive_positions", (json_int_t)spx_deploy_interactive(m), "mean_l", mean_width(m),
        "depth", m->max_depth, "classes", (json_int_t)spx_deploy_count(m, m->logits), "logit_scale",
        m->logit_scale, "relu_layers", layers_json(m), "exchanges", exchanges_json(m), "values",
        values_json(m), "about", about != NULL ? about : json_object());
    spx_relu_count_json(j, &n);
    return j;
}

void spx_deploy_print(const spx_deploy *m)
{
    (void)printf("%-8s %14s %10s %11s %4s %4s %4s %10s %7s %7s\n", "segment", "output", "ReLUs",
                 "interactive", "l", "f", "a", "exchanges", "depth", "convs");
    for (int s = 0; s < m->n_segments; s++) {
        const bool relu = s < m->n_segments - 1;
        const spx_deploy_op *op = relu ? &m->op[m->relu[s]] : NULL;
        const spx_deploy_value *v = &m->value[relu ? op->in : m->logits];
        int exchanges = 0, depth = 0, convs = 0;
        char shape[64], bits[3][8] = {"", "", ""};
        for (int i = 0; i < m->n_exchanges; i++) {
            if (m->exchange[i].segment == s) {
                exchanges++;
                depth = m->exchange[i].depth > depth ? m->exchange[i].depth : depth;
                convs += m->exchange[i].n_conv;
            }
        }
        (void)snprintf(shape, sizeof shape, "%lldx%lldx%lld", (long long)v->c, (long long)v->h,
                       (long long)v->w);
        (void)snprintf(bits[0], sizeof bits[0], "%d", relu ? op->width : v->bits);
        if (relu) {
            (void)snprintf(bits[1], sizeof bits[1], "%d", op->shift);
            (void)snprintf(bits[2], sizeof bits[2], "%d", op->bits);
        }
        const long long all = relu ? (long long)spx_deploy_count(m, op->in) : 0;
        (void)printf("%-8d %14s %10lld %11lld %4s %4s %4s %10d %7d %7d\n", s, shape,
                     relu ? all - (long long)op->dropped : 0, all, bits[0], bits[1], bits[2],
                     exchanges, depth, convs);
    }
    (void)printf("%lld %s; %lld interactive %s of %.1f bits on average\n",
                 (long long)spx_deploy_relus(m), SPX_PLURAL(spx_deploy_relus(m), "ReLU", "ReLUs"),
                 (long long)spx_deploy_interactive(m),
                 SPX_PLURAL(spx_deploy_interactive(m), "position", "positions"), mean_width(m));
}
