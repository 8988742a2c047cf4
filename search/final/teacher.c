#include "search/final/teacher.h"

#include "host/train/memory.h"
#include "kernels/base/alloc.h"
#include "kernels/device/device_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 128
#define ALIGN 256 /* of what a program takes as input, on every device */

/* An activation of the student's, and the teacher's that it learns from. */
typedef struct place {
    char student[NAME_BYTES], teacher[NAME_BYTES];
    int64_t rows, columns; /* the teacher's */
} place;

/* A ReLU of both networks. */
typedef struct rectifier {
    char name[NAME_BYTES];
    int64_t count; /* values an image */
} rectifier;

struct spx_teacher {
    const spx_distill_options *o; /* borrowed, as is stream */
    spx_stream *stream;
    char digest[SPX_H5_DIGEST_CHARS];
    int64_t batch, classes;
    place place[SPX_DIFFERENCE_MAX];
    int n_places;
    rectifier *relu; /* those whose distances are told */
    int n_relus;
    spx_program *program; /* outputs: logits, a map for each place, the values of each ReLU */
    spx_buffer weights, state;
    spx_buffer answers;          /* copies of the outputs: the workspace is the student's next */
    size_t at[SPX_GUIDE_INPUTS]; /* bytes to each in answers */
    spx_guide guide;
};

/* ---- names ---- */

/* The tensor of n that `kind`.i stands for. */
static spx_tid find_one(const spx_tid *t, int n, const char *kind, const char *name)
{
    char part[32];
    for (int i = 0; i < n; i++) {
        (void)snprintf(part, sizeof part, "%s.%d", kind, i);
        if (strcmp(name, part) == 0) {
            return t[i];
        }
    }
    return SPX_NO_TENSOR;
}

/* The activation of that name: the output of a cell or stage, or of the last node so called. */
static spx_tid find(const spx_network *n, const char *name)
{
    const spx_tid cell = find_one(n->cell, n->n_cells, "cells", name);
    const spx_tid stage = find_one(n->stage, n->n_stages, "stages", name);
    if (cell != SPX_NO_TENSOR || stage != SPX_NO_TENSOR) {
        return cell != SPX_NO_TENSOR ? cell : stage;
    }
    for (int i = n->graph->n_nodes - 1; i >= 0; i--) {
        const spx_node *nd = &n->graph->node[i];
        const spx_tid t = nd->out[0];
        if (strcmp(nd->name, name) == 0 && n->graph->tensor[t].rank == SPX_MAX_RANK) {
            return t;
        }
    }
    return SPX_NO_TENSOR;
}

static spx_status add_place(spx_teacher *t, const char *text, size_t n)
{
    const char *equals = memchr(text, '=', n);
    const size_t left = equals != NULL ? (size_t)(equals - text) : n;
    const char *right = equals != NULL ? equals + 1 : text;
    const size_t rest = equals != NULL ? n - left - 1 : n;
    place *p = &t->place[t->n_places];
    if (left == 0 || rest == 0 || left >= NAME_BYTES || rest >= NAME_BYTES) {
        return SPX_FAIL(SPX_EINVAL, "attention at \"%.*s\": a name, or NAME=TEACHERS, expected",
                        (int)(n < NAME_BYTES ? n : NAME_BYTES), text);
    }
    if (t->n_places == SPX_DIFFERENCE_MAX) {
        return SPX_FAIL(SPX_EINVAL, "attention at more than %d activations", SPX_DIFFERENCE_MAX);
    }
    memcpy(p->student, text, left);
    memcpy(p->teacher, right, rest);
    t->n_places++;
    return SPX_OK;
}

/* Names that a network has, for messages. */
static const char *has(const spx_network *n, char text[static 96])
{
    if (n->n_cells > 0) {
        (void)snprintf(text, 96, "cells.0 to cells.%d, stages.0 to stages.%d", n->n_cells - 1,
                       n->n_stages - 1);
    } else {
        (void)snprintf(text, 96, "stages.0 to stages.%d", n->n_stages - 1);
    }
    return text;
}

/* All cells of the student; where either network has none, all stages. */
static spx_status list_default(spx_teacher *t, const spx_final_spec *student,
                               const spx_final_spec *teacher)
{
    const bool cells = student->reference[0] == '\0' && teacher->reference[0] == '\0';
    spx_network n;
    char name[32];
    spx_status st = SPX_OK;
    SPX_RETURN_IF(spx_final_build(&n, student, 1));
    for (int i = 0; i < (cells ? n.n_cells : n.n_stages) && st == SPX_OK; i++) {
        (void)snprintf(name, sizeof name, "%s.%d", cells ? "cells" : "stages", i);
        st = add_place(t, name, strlen(name));
    }
    spx_network_clear(&n);
    return st;
}

static spx_status list_places(spx_teacher *t, const spx_final_spec *student,
                              const spx_final_spec *teacher)
{
    const char *at = t->o->attention_at;
    if (!(t->o->attention > 0)) {
        return SPX_OK;
    }
    SPX_RETURN_IF(at == NULL ? list_default(t, student, teacher) : SPX_OK);
    while (at != NULL) {
        const size_t n = strcspn(at, ",");
        SPX_RETURN_IF(add_place(t, at, n));
        at = at[n] == ',' ? at + n + 1 : NULL;
    }
    return SPX_OK;
}

/* The node of a ReLU outside the auxiliary head, from node i on; n_nodes where there is none. */
static int next_relu(const spx_graph *g, int i)
{
    while (i < g->n_nodes && (g->node[i].op != SPX_OP_RELU || g->node[i].auxiliary)) {
        i++;
    }
    return i;
}

static int64_t values_of(const spx_graph *g, int node)
{
    const int64_t *d = g->tensor[g->node[node].out[0]].dim;
    return d[1] * d[2] * d[3];
}

/* The student's ReLUs, where their distances are asked for. */
static spx_status list_relus(spx_teacher *t, const spx_final_spec *student)
{
    spx_network n;
    spx_status st = SPX_OK;
    if (!t->o->distances) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_final_build(&n, student, 1));
    SPX_TRY(st, SPX_NEW(t->relu, SPX_DISTANCES_MAX), end);
    for (int i = next_relu(n.graph, 0); i < n.graph->n_nodes; i = next_relu(n.graph, i + 1)) {
        if (t->n_relus == SPX_DISTANCES_MAX) {
            st = SPX_FAIL(SPX_EINVAL, "distances of more than %d ReLUs", SPX_DISTANCES_MAX);
            goto end;
        }
        rectifier *r = &t->relu[t->n_relus++];
        (void)snprintf(r->name, sizeof r->name, "%s", n.graph->node[i].name);
        r->count = values_of(n.graph, i);
    }
end:
    spx_network_clear(&n);
    return st;
}

/* A network's ReLU of that name and size. */
static spx_status find_relu(const spx_network *n, const rectifier *r, const char *whose, spx_tid *y)
{
    const spx_graph *g = n->graph;
    for (int i = next_relu(g, 0); i < g->n_nodes; i = next_relu(g, i + 1)) {
        if (strcmp(g->node[i].name, r->name) == 0 && values_of(g, i) == r->count) {
            *y = g->node[i].out[0];
            return SPX_OK;
        }
    }
    return SPX_FAIL(SPX_EINVAL,
                    "%s: it has no ReLU %s of %lld values, as the student has; a teacher of the "
                    "same network is needed",
                    whose, r->name, (long long)r->count);
}

/* ---- opening ---- */

static spx_status check_options(const spx_distill_options *o)
{
    if (!(o->weight >= 0 && o->weight <= 1)) {
        return SPX_FAIL(SPX_EINVAL, "distillation: weight %g, expected 0..1", (double)o->weight);
    }
    if (!(o->temperature > 0 && o->temperature <= 1e6f)) {
        return SPX_FAIL(SPX_EINVAL, "distillation: temperature %g, expected more than 0, to 1e6",
                        (double)o->temperature);
    }
    return o->attention >= 0 && o->attention <= 1e12f
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "attention transfer: weight %g, expected 0..1e12",
                          (double)o->attention);
}

static spx_status open_model(spx_model *m, const char *path)
{
    spx_deploy *deployed;
    SPX_RETURN_IF(spx_model_open_any(m, &deployed, path));
    if (deployed != NULL) {
        spx_deploy_destroy(deployed);
        return SPX_FAIL(SPX_EINVAL,
                        "%s: a deployed model, which computes in integers, cannot teach; give the "
                        "training or model it was exported from",
                        path);
    }
    return SPX_OK;
}

static spx_status check_model(const spx_teacher *t, const spx_model *m,
                              const spx_final_spec *student, const spx_preprocess *images,
                              const spx_preprocess_rules *rules)
{
    const spx_input_shape *a = &m->spec.input, *b = &student->input;
    SPX_RETURN_IF(spx_fail_context(
        spx_preprocess_fit(&m->images, t->o->teacher, images, "the pack", rules), "teacher"));
    if (a->rows != b->rows || a->columns != b->columns) {
        return SPX_FAIL(SPX_EINVAL,
                        "teacher %s: its network's input is %lldx%lld, the student's %lldx%lld; "
                        "both see the same batch",
                        t->o->teacher, (long long)a->rows, (long long)a->columns,
                        (long long)b->rows, (long long)b->columns);
    }
    return SPX_OK;
}

/* Appends the maps to the teacher's network; output: logits, then those. */
static spx_status add_maps(spx_teacher *t, spx_network *net, spx_tid *output)
{
    output[0] = net->logits;
    spx_g_scope(net->graph, "teacher.");
    for (int i = 0; i < t->n_places; i++) {
        place *p = &t->place[i];
        const spx_tid x = find(net, p->teacher);
        if (x == SPX_NO_TENSOR) {
            char text[96];
            return SPX_FAIL(SPX_EINVAL,
                            "teacher %s: it has no activation %s, but %s; --attention-at names "
                            "others, as NAME=TEACHERS",
                            t->o->teacher, p->teacher, has(net, text));
        }
        p->rows = net->graph->tensor[x].dim[2];
        p->columns = net->graph->tensor[x].dim[3];
        output[1 + i] = spx_g_attention_map(net->graph, x, p->teacher);
    }
    return spx_graph_status(net->graph);
}

static spx_status add_values(const spx_teacher *t, spx_network *net, spx_tid *output)
{
    spx_tid y;
    for (int i = 0; i < t->n_relus; i++) {
        SPX_RETURN_IF(spx_fail_context(find_relu(net, &t->relu[i], t->o->teacher, &y), "teacher"));
        output[i] = spx_g_flatten(net->graph, y, t->relu[i].name);
    }
    return spx_graph_status(net->graph);
}

static spx_status make_program(spx_teacher *t, const spx_final_spec *spec, int side,
                               struct spx_tuning *tuning)
{
    spx_tid output[SPX_GUIDE_INPUTS];
    spx_network net;
    spx_status st;
    SPX_RETURN_IF(spx_final_build_at(&net, spec, t->batch, side));
    SPX_TRY(st, spx_memory_check(net.graph, t->stream, 1), end);
    SPX_TRY(st, add_maps(t, &net, output), end);
    SPX_TRY(st, add_values(t, &net, output + 1 + t->n_places), end);
    const spx_program_options o = {
        .output = output, .n_output = 1 + t->n_places + t->n_relus, .tuning = tuning};
    st = spx_program_create(&t->program, net.graph, t->stream, &o);
end:
    spx_network_clear(&net);
    return st;
}

/* Floats of answer i: of the logits, then of a map for each place, then of each ReLU's values. */
static size_t floats_of(const spx_teacher *t, int i)
{
    const int64_t row = i == 0            ? t->classes
                        : i > t->n_places ? t->relu[i - 1 - t->n_places].count
                                          : t->place[i - 1].rows * t->place[i - 1].columns;
    return (size_t)(t->batch * row);
}

/* Queues the teacher's work of a step; see spx_guide. */
static spx_status answer(void *ctx, const float *images, const spx_buffer *workspace)
{
    spx_teacher *t = ctx;
    const void *const input[2] = {images, NULL}; /* labels are not read */
    const spx_binding b = {
        .weights = t->weights, .state = t->state, .workspace = *workspace, .input = input};
    SPX_RETURN_IF(spx_program_run(t->program, &b));
    for (int i = 0; i < t->guide.n_input; i++) {
        SPX_RETURN_IF(spx_device_copy(t->stream, (char *)t->answers.data + t->at[i],
                                      spx_program_output(t->program, &b, i).data,
                                      floats_of(t, i) * sizeof(float)));
    }
    return SPX_OK;
}

static spx_status make_guide(spx_teacher *t)
{
    size_t bytes = 0;
    spx_guide *g = &t->guide;
    *g = (spx_guide){.queue = answer,
                     .ctx = t,
                     .n_input = 1 + t->n_places + t->n_relus,
                     .n_loss = t->n_places > 0 ? 2 : 1};
    for (int i = 0; i < g->n_input; i++) {
        t->at[i] = bytes;
        bytes += (floats_of(t, i) * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
    }
    SPX_RETURN_IF(spx_buffer_alloc(&t->answers, t->stream, bytes));
    for (int i = 0; i < g->n_input; i++) {
        g->input[i] = (char *)t->answers.data + t->at[i];
    }
    return SPX_OK;
}

spx_status spx_teacher_open(spx_teacher **out, spx_stream *stream, const spx_distill_options *o,
                            const spx_final_spec *student, const spx_preprocess *images,
                            const spx_preprocess_rules *rules, int side, int64_t batch,
                            struct spx_tuning *tuning)
{
    spx_model m = {0};
    spx_teacher *t;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(check_options(o));
    SPX_RETURN_IF(SPX_NEW(t, 1));
    t->o = o;
    t->stream = stream;
    t->batch = batch;
    t->classes = student->classes;
    SPX_TRY(st, open_model(&m, o->teacher), fail);
    SPX_TRY(st, check_model(t, &m, student, images, rules), fail);
    spx_h5_digest(m.file.file, t->digest);
    SPX_TRY(st, list_places(t, student, &m.spec), fail);
    SPX_TRY(st, list_relus(t, student), fail);
    SPX_TRY(st, make_program(t, &m.spec, side, tuning), fail);
    SPX_TRY(st,
            spx_model_arenas(&m, spx_program_layout(t->program), stream, &t->weights, &t->state),
            fail);
    SPX_TRY(st, make_guide(t), fail);
    spx_model_close(&m);
    *out = t;
    return SPX_OK;
fail:
    spx_model_close(&m);
    spx_teacher_close(t);
    return st;
}

void spx_teacher_close(spx_teacher *t)
{
    if (t == NULL) {
        return;
    }
    spx_program_destroy(t->program); /* waits */
    spx_buffer_free(&t->weights);
    spx_buffer_free(&t->state);
    spx_buffer_free(&t->answers);
    spx_free(t->relu);
    spx_free(t);
}

const char *spx_teacher_digest(const spx_teacher *t)
{
    return t->digest;
}

const spx_distill_options *spx_teacher_options(const spx_teacher *t)
{
    return t->o;
}

const spx_guide *spx_teacher_guide(const spx_teacher *t)
{
    return t != NULL ? &t->guide : NULL;
}

size_t spx_teacher_workspace_bytes(const spx_teacher *t)
{
    return t != NULL ? spx_program_workspace_bytes(t->program) : 0;
}

/* ---- the student ---- */

/* The student's map at a place. */
static spx_status map_of(const spx_teacher *t, const spx_network *student, const place *p,
                         spx_tid *out)
{
    const spx_tid x = find(student, p->student);
    const int64_t *d = x != SPX_NO_TENSOR ? student->graph->tensor[x].dim : NULL;
    if (d == NULL) {
        char text[96];
        return SPX_FAIL(SPX_EINVAL, "attention at %s: the student has no such activation, but %s",
                        p->student, has(student, text));
    }
    if (d[2] != p->rows || d[3] != p->columns) {
        return SPX_FAIL(SPX_EINVAL,
                        "attention at %s: the student's is %lldx%lld, %s of teacher %s %lldx%lld; "
                        "--attention-at names activations of one size",
                        p->student, (long long)d[2], (long long)d[3], p->teacher, t->o->teacher,
                        (long long)p->rows, (long long)p->columns);
    }
    *out = spx_g_attention_map(student->graph, x, p->student);
    return SPX_OK;
}

static spx_status attach_values(const spx_teacher *t, const spx_network *student, spx_taught *out)
{
    spx_graph *g = student->graph;
    spx_tid y;
    out->n_distances = t->n_relus;
    for (int i = 0; i < t->n_relus; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "relu.%d", i);
        SPX_RETURN_IF(find_relu(student, &t->relu[i], "student", &y));
        const spx_tid target =
            spx_g_input(g, name, SPX_F32, 2, (int64_t[]){t->batch, t->relu[i].count});
        out->distance[i] = spx_g_relu_distance(g, y, target, name);
    }
    return spx_graph_status(g);
}

spx_status spx_teacher_attach(const spx_teacher *t, const spx_network *student, spx_taught *out)
{
    spx_tid own[SPX_DIFFERENCE_MAX], target[SPX_DIFFERENCE_MAX];
    spx_graph *g = student->graph;
    spx_g_section(g, -1, false);
    spx_g_scope(g, "teacher.");
    const spx_tid logits = spx_g_input(g, "logits", SPX_F32, 2, (int64_t[]){t->batch, t->classes});
    out->distillation =
        spx_g_distillation(g, student->logits, logits, t->o->temperature, "distillation");
    out->attention = SPX_NO_TENSOR;
    for (int i = 0; i < t->n_places; i++) {
        const place *p = &t->place[i];
        char name[32]; /* a place may be named twice */
        (void)snprintf(name, sizeof name, "map.%d", i);
        SPX_RETURN_IF(map_of(t, student, p, &own[i]));
        target[i] = spx_g_input(g, name, SPX_F32, 2, (int64_t[]){t->batch, p->rows * p->columns});
    }
    if (t->n_places > 0) {
        out->attention = spx_g_squared_difference(g, t->n_places, own, target, "attention");
    }
    return attach_values(t, student, out);
}
