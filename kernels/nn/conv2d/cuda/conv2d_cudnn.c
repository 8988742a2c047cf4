/*
 * Candidates for a convolution from cuDNN's heuristics, and engines made from a candidate's name.
 *
 * What its notes mean, as the library itself (9.19) answers for convolutions of f32 tensors:
 * engines without CUDNN_NUMERICAL_NOTE_TENSOR_CORE multiply in f32; those with it in TF32, unless
 * ..._DOWN_CONVERT_INPUTS says that operands are rounded to 16 bits first.
 */
#include "kernels/device/stream_cuda_private.h"
#include "kernels/nn/conv2d/cuda/conv2d_cudnn_cuda_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KNOBS 40   /* most that a candidate may set */
#define NOTES 32   /* more than there are */
#define COMPILED 2 /* most candidates that are compiled when first run, which takes seconds */

struct spx_conv2d_engine {
    const spx_cudnn *lib;
    spx_cudnn_bag bag; /* all that the plan is made of */
    cudnnBackendDescriptor_t plan;
    size_t workspace;
};

/* --- The library on a stream ------------------------------------------------------------------ */

void spx_conv2d_library_close(void *library)
{
    spx_conv2d_library *l = library;
    if (l != NULL) {
        if (l->properties != NULL) {
            (void)l->lib->BackendDestroyDescriptor(l->properties);
        }
        if (l->handle != NULL) {
            (void)l->lib->Destroy(l->handle);
        }
        free(l);
    }
}

static spx_status library_make(const spx_cudnn *lib, size_t memory, spx_conv2d_library **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "conv2d: cuDNN");
    }
    (*out)->lib = lib;
    (*out)->scratch =
        memory > SPX_CONV2D_LARGE_DEVICE ? SPX_CONV2D_SCRATCH_MIN_LARGE : SPX_CONV2D_SCRATCH_MIN;
    return SPX_OK;
}

static spx_status library_open(spx_stream *s, void **out)
{
    const spx_cudnn *lib;
    spx_conv2d_library *l;
    spx_device_info info;
    *out = NULL;
    SPX_RETURN_IF(spx_cudnn_find(&lib));
    SPX_RETURN_IF(spx_device_describe(SPX_DEVICE_CUDA, spx_stream_index(s), &info));
    SPX_RETURN_IF(library_make(lib, info.memory_bytes, &l));
    (void)spx_cuda_stream(s); /* its device becomes the thread's, which the handle is made for */
    const spx_status st = spx_cudnn_status(lib, "opening", "", lib->Create(&l->handle));
    if (st != SPX_OK) {
        spx_conv2d_library_close(l);
        return st;
    }
    *out = l;
    return SPX_OK;
}

spx_status spx_conv2d_library_of(spx_stream *s, spx_conv2d_library **out)
{
    const spx_cudnn *lib;
    void *l = NULL;
    *out = NULL;
    SPX_RETURN_IF(spx_cudnn_find(&lib));
    if (lib != NULL) {
        SPX_RETURN_IF(
            spx_stream_library(s, SPX_STREAM_CUDNN, library_open, spx_conv2d_library_close, &l));
    }
    *out = l;
    return SPX_OK;
}

spx_status spx_conv2d_library_for(const char *json, size_t memory, spx_conv2d_library **out)
{
    *out = NULL;
#if CUDNN_VERSION >= 90800
    const spx_cudnn *lib;
    spx_conv2d_library *l;
    SPX_RETURN_IF(spx_cudnn_find(&lib));
    if (lib != NULL && lib->version >= 90800) {
        SPX_RETURN_IF(library_make(lib, memory, &l));
        spx_cudnn_bag b = {.lib = lib};
        l->properties = SPX_CUDNN_MAKE(&b, DEVICEPROP); /* the library's from here on */
        SPX_CUDNN_SET(&b, l->properties, DEVICEPROP_JSON_REPRESENTATION, CHAR,
                      (int64_t)strlen(json), json);
        spx_cudnn_finalize(&b, l->properties, "DEVICEPROP");
        if (b.status != SPX_OK) {
            spx_conv2d_library_close(l);
            return b.status;
        }
        *out = l;
        return SPX_OK;
    }
#else
    (void)json;
    (void)memory;
#endif
    return SPX_FAIL(SPX_EUNSUPPORTED, "cuDNN: describing a device wants 9.8");
}

size_t spx_conv2d_library_version(const spx_conv2d_library *l)
{
    return l->lib->version;
}

/* --- Names of candidates ---------------------------------------------------------------------- */

typedef struct candidate {
    int64_t engine;
    int knobs;
    struct {
        int64_t type, value;
    } knob[KNOBS];
} candidate;

/* A decimal number of up to 9 digits at *at, which moves behind it. */
static bool number(const char **at, int64_t *out)
{
    const char *p = *at;
    *out = 0;
    for (; *p >= '0' && *p <= '9' && p - *at < 9; p++) {
        *out = *out * 10 + (*p - '0');
    }
    const bool some = p > *at && !(*p >= '0' && *p <= '9');
    *at = p;
    return some;
}

static bool literal(const char **at, const char *text)
{
    const size_t n = strlen(text);
    const bool there = strncmp(*at, text, n) == 0;
    *at += there ? n : 0;
    return there;
}

/* Values of knobs may be negative. */
static bool signed_number(const char **at, int64_t *out)
{
    const bool minus = literal(at, "-"), some = number(at, out);
    *out = minus ? -*out : *out;
    return some;
}

/* engine=E,knobs=T:V;T:V...; the list may be empty. */
static bool candidate_parse(const char *text, candidate *c)
{
    c->knobs = 0;
    if (!literal(&text, "engine=") || !number(&text, &c->engine) || !literal(&text, ",knobs=")) {
        return false;
    }
    while (*text != '\0') {
        if ((c->knobs > 0 && !literal(&text, ";")) || c->knobs == KNOBS ||
            !number(&text, &c->knob[c->knobs].type) || !literal(&text, ":") ||
            !signed_number(&text, &c->knob[c->knobs].value)) {
            return false;
        }
        c->knobs++;
    }
    return true;
}

/* False where the name does not fit. */
static bool candidate_print(const candidate *c, char text[SPX_CONV2D_TEXT])
{
    int n = snprintf(text, SPX_CONV2D_TEXT, "engine=%lld,knobs=", (long long)c->engine);
    for (int i = 0; i < c->knobs && n < SPX_CONV2D_TEXT; i++) {
        n += snprintf(text + n, SPX_CONV2D_TEXT - (size_t)n, "%s%lld:%lld", i > 0 ? ";" : "",
                      (long long)c->knob[i].type, (long long)c->knob[i].value);
    }
    return n < SPX_CONV2D_TEXT;
}

/* --- What the library says of an engine ------------------------------------------------------- */

static bool noted(const int32_t *notes, int64_t n, int32_t note)
{
    for (int64_t i = 0; i < n; i++) {
        if (notes[i] == note) {
            return true;
        }
    }
    return false;
}

/* Whether an engine's sums are what the problem asks for. Winograd's and Fourier's transforms are
 * left out: their errors have other bounds. */
static bool numerics_fit(spx_cudnn_bag *b, cudnnBackendDescriptor_t engine,
                         const spx_conv2d_problem *p)
{
    static const int32_t never[] = {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
                                    CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
                                    CUDNN_NUMERICAL_NOTE_FFT,
                                    CUDNN_NUMERICAL_NOTE_WINOGRAD,
                                    CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4,
                                    CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6,
                                    CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13};
    int32_t notes[NOTES];
    const int64_t n = SPX_CUDNN_GET(b, engine, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE, NOTES, notes);
    bool fits = b->status == SPX_OK;
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        fits = fits && !noted(notes, n, never[i]);
    }
    if (p->precision == SPX_PRECISION_F32) {
        fits = fits && !noted(notes, n, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    }
    if (p->deterministic) {
        fits = fits && !noted(notes, n, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
    }
    return fits;
}

static bool is_compiled(spx_cudnn_bag *b, cudnnBackendDescriptor_t engine)
{
    int32_t notes[NOTES];
    const int64_t n = SPX_CUDNN_GET(b, engine, ENGINE_BEHAVIOR_NOTE, BEHAVIOR_NOTE, NOTES, notes);
    return noted(notes, n, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);
}

/* The knobs that a configuration sets; false where there is no room for them. The library must be
 * asked with room: for none it answers 0, whatever there is. */
static bool knobs_read(spx_cudnn_bag *b, cudnnBackendDescriptor_t config, candidate *c)
{
    cudnnBackendDescriptor_t knob[KNOBS];
    for (int i = 0; i < KNOBS; i++) {
        knob[i] = SPX_CUDNN_MAKE(b, KNOB_CHOICE);
    }
    const int64_t n =
        SPX_CUDNN_GET(b, config, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR, KNOBS, knob);
    c->knobs = n > 0 && n <= KNOBS ? (int)n : 0;
    for (int i = 0; i < c->knobs; i++) {
        int32_t type = 0;
        (void)SPX_CUDNN_GET(b, knob[i], KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1, &type);
        (void)SPX_CUDNN_GET(b, knob[i], KNOB_CHOICE_KNOB_VALUE, INT64, 1, &c->knob[i].value);
        c->knob[i].type = type;
    }
    return b->status == SPX_OK && n <= KNOBS;
}

/* Reads a configuration that a heuristic gave. False where it is not to be taken. */
static bool candidate_read(const spx_cudnn *lib, cudnnBackendDescriptor_t config,
                           const spx_conv2d_problem *p, candidate *c, bool *compiled)
{
    spx_cudnn_bag b = {.lib = lib};
    cudnnBackendDescriptor_t engine = SPX_CUDNN_MAKE(&b, ENGINE);
    (void)SPX_CUDNN_GET(&b, config, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1, &engine);
    (void)SPX_CUDNN_GET(&b, engine, ENGINE_GLOBAL_INDEX, INT64, 1, &c->engine);
    const bool fits = b.status == SPX_OK && numerics_fit(&b, engine, p);
    *compiled = fits && is_compiled(&b, engine);
    const bool taken = fits && knobs_read(&b, config, c);
    spx_cudnn_bag_clear(&b);
    return taken;
}

/* The list that a call fills. */
typedef struct listing {
    int most, count, compiled;
    char (*text)[SPX_CONV2D_TEXT];
} listing;

static void list(listing *t, const spx_cudnn *lib, cudnnBackendDescriptor_t config,
                 const spx_conv2d_problem *p)
{
    candidate c;
    bool compiled;
    char *text = t->text[t->count];
    if (!candidate_read(lib, config, p, &c, &compiled) || !candidate_print(&c, text) ||
        (compiled && t->compiled == COMPILED)) {
        return;
    }
    for (int i = 0; i < t->count; i++) {
        if (strcmp(t->text[i], text) == 0) {
            return;
        }
    }
    t->count++;
    t->compiled += compiled;
}

/* One heuristic's answers, at most `each` of them; one that fails gives none. */
static void ask(listing *t, const spx_conv2d_library *l, cudnnBackendDescriptor_t graph,
                const spx_conv2d_problem *p, cudnnBackendHeurMode_t mode, int each)
{
    spx_cudnn_bag b = {.lib = l->lib};
    cudnnBackendDescriptor_t config[SPX_CUDNN_BAG];
    const int until = t->count + each < t->most ? t->count + each : t->most;
    const cudnnBackendDescriptor_t h = SPX_CUDNN_MAKE(&b, ENGINEHEUR);
    SPX_CUDNN_SET(&b, h, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &graph);
    SPX_CUDNN_SET(&b, h, ENGINEHEUR_MODE, HEUR_MODE, 1, &mode);
#if CUDNN_VERSION >= 90800
    if (l->properties != NULL) {
        SPX_CUDNN_SET(&b, h, ENGINEHEUR_DEVICEPROP, BACKEND_DESCRIPTOR, 1, &l->properties);
    }
#endif
    spx_cudnn_finalize(&b, h, "ENGINEHEUR");
    int64_t n = SPX_CUDNN_GET(&b, h, ENGINEHEUR_RESULTS, BACKEND_DESCRIPTOR, 0, NULL);
    n = n < SPX_CUDNN_BAG - b.n ? n : SPX_CUDNN_BAG - b.n;
    for (int64_t i = 0; i < n; i++) {
        config[i] = SPX_CUDNN_MAKE(&b, ENGINECFG);
    }
    if (n > 0) {
        n = SPX_CUDNN_GET(&b, h, ENGINEHEUR_RESULTS, BACKEND_DESCRIPTOR, n, config);
    }
    for (int64_t i = 0; i < n && t->count < until; i++) {
        list(t, l->lib, config[i], p);
    }
    spx_cudnn_bag_clear(&b);
}

spx_status spx_conv2d_library_candidates(const spx_conv2d_library *l, const spx_conv2d_problem *p,
                                         int most, char (*text)[SPX_CONV2D_TEXT], int *count)
{
    spx_cudnn_bag b = {.lib = l->lib};
    listing t = {.most = most, .text = text};
    const cudnnBackendDescriptor_t graph = spx_cudnn_graph(&b, l, p);
    if (b.status == SPX_OK) {
        ask(&t, l, graph, p, CUDNN_HEUR_MODE_A, most / 2);
        ask(&t, l, graph, p, CUDNN_HEUR_MODE_B, most - t.count - 1);
        ask(&t, l, graph, p, CUDNN_HEUR_MODE_FALLBACK, most);
    }
    spx_cudnn_bag_clear(&b);
    *count = t.count;
    /* a problem that cannot even be described has no candidates */
    return b.status == SPX_EINVAL || b.status == SPX_EUNSUPPORTED ? SPX_OK : b.status;
}

/* --- Engines ---------------------------------------------------------------------------------- */

static cudnnBackendDescriptor_t configure(spx_cudnn_bag *b, const spx_conv2d_library *l,
                                          const spx_conv2d_problem *p, const candidate *c)
{
    cudnnBackendDescriptor_t knob[KNOBS];
    const cudnnBackendDescriptor_t graph = spx_cudnn_graph(b, l, p);
    const cudnnBackendDescriptor_t engine = SPX_CUDNN_MAKE(b, ENGINE);
    SPX_CUDNN_SET(b, engine, ENGINE_GLOBAL_INDEX, INT64, 1, &c->engine);
    SPX_CUDNN_SET(b, engine, ENGINE_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &graph);
#if CUDNN_VERSION >= 90800
    if (l->properties != NULL) {
        SPX_CUDNN_SET(b, engine, ENGINE_DEVICEPROP, BACKEND_DESCRIPTOR, 1, &l->properties);
    }
#endif
    spx_cudnn_finalize(b, engine, "ENGINE");
    if (b->status == SPX_OK && !numerics_fit(b, engine, p) && b->status == SPX_OK) {
        b->status = SPX_FAIL(SPX_EUNSUPPORTED,
                             "cuDNN: engine %lld is not precise enough, or not "
                             "deterministic",
                             (long long)c->engine);
    }
    for (int i = 0; i < c->knobs; i++) {
        const int32_t type = (int32_t)c->knob[i].type;
        knob[i] = SPX_CUDNN_MAKE(b, KNOB_CHOICE);
        SPX_CUDNN_SET(b, knob[i], KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1, &type);
        SPX_CUDNN_SET(b, knob[i], KNOB_CHOICE_KNOB_VALUE, INT64, 1, &c->knob[i].value);
        spx_cudnn_finalize(b, knob[i], "KNOB_CHOICE");
    }
    const cudnnBackendDescriptor_t config = SPX_CUDNN_MAKE(b, ENGINECFG);
    SPX_CUDNN_SET(b, config, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1, &engine);
    if (c->knobs > 0) {
        SPX_CUDNN_SET(b, config, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR, c->knobs, knob);
    }
    spx_cudnn_finalize(b, config, "ENGINECFG");
    return config;
}

static int64_t most_scratch(const spx_conv2d_library *l, const spx_conv2d_problem *p)
{
    const spx_conv2d_shape *d = &p->shape;
    const int64_t elements = d->n * (d->h * d->w * d->c + d->p * d->q * d->k);
    const int64_t bytes = elements * (int64_t)spx_type_bytes(p->type);
    return bytes < l->scratch               ? l->scratch
           : bytes > SPX_CONV2D_SCRATCH_MAX ? SPX_CONV2D_SCRATCH_MAX
                                            : bytes;
}

spx_status spx_conv2d_engine_create(spx_conv2d_engine **out, const spx_conv2d_library *l,
                                    const spx_conv2d_problem *p, const char *text)
{
    candidate c;
    int64_t workspace = 0;
    *out = NULL;
    if (!candidate_parse(text, &c)) {
        return SPX_FAIL(SPX_EINVAL, "cuDNN: \"%.60s\" names no candidate", text);
    }
    spx_conv2d_engine *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "conv2d: engine");
    }
    spx_cudnn_bag *b = &e->bag;
    *b = (spx_cudnn_bag){.lib = l->lib};
    e->lib = l->lib;
    const cudnnBackendDescriptor_t config = configure(b, l, p, &c);
    e->plan = SPX_CUDNN_MAKE(b, EXECUTION_PLAN);
    SPX_CUDNN_SET(b, e->plan, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1, &config);
    if (l->handle != NULL) {
        SPX_CUDNN_SET(b, e->plan, EXECUTION_PLAN_HANDLE, HANDLE, 1, &l->handle);
    }
#if CUDNN_VERSION >= 90800
    if (l->properties != NULL) {
        SPX_CUDNN_SET(b, e->plan, EXECUTION_PLAN_DEVICEPROP, BACKEND_DESCRIPTOR, 1, &l->properties);
    }
#endif
    spx_cudnn_finalize(b, e->plan, "EXECUTION_PLAN");
    (void)SPX_CUDNN_GET(b, e->plan, EXECUTION_PLAN_WORKSPACE_SIZE, INT64, 1, &workspace);
    if (b->status == SPX_OK && (workspace < 0 || workspace > most_scratch(l, p))) {
        b->status = SPX_FAIL(SPX_EUNSUPPORTED, "cuDNN: %s wants %lld bytes of scratch", text,
                             (long long)workspace);
    }
    if (b->status != SPX_OK) {
        const spx_status st = b->status;
        spx_conv2d_engine_destroy(e);
        return spx_fail_context(st, "%s", text);
    }
    e->workspace = (size_t)workspace;
    *out = e;
    return SPX_OK;
}

void spx_conv2d_engine_destroy(spx_conv2d_engine *e)
{
    if (e != NULL) {
        spx_cudnn_bag_clear(&e->bag);
        free(e);
    }
}

size_t spx_conv2d_engine_workspace(const spx_conv2d_engine *e)
{
    return e->workspace;
}

spx_status spx_conv2d_engine_run(const spx_conv2d_engine *e, spx_stream *s, void *x, void *w,
                                 void *y, void *workspace)
{
    static const int64_t uids[] = {SPX_CUDNN_X, SPX_CUDNN_W, SPX_CUDNN_Y};
    void *const data[] = {x, w, y};
    spx_conv2d_library *l;
    SPX_RETURN_IF(spx_conv2d_library_of(s, &l));
    if (l == NULL) {
        return SPX_FAIL(SPX_EINVAL, "conv2d: a plan of cuDNN, which is switched off");
    }
    spx_cudnn_bag b = {.lib = e->lib};
    const cudnnBackendDescriptor_t pack = SPX_CUDNN_MAKE(&b, VARIANT_PACK);
    SPX_CUDNN_SET(&b, pack, VARIANT_PACK_UNIQUE_IDS, INT64, 3, uids);
    SPX_CUDNN_SET(&b, pack, VARIANT_PACK_DATA_POINTERS, VOID_PTR, 3, data);
    SPX_CUDNN_SET(&b, pack, VARIANT_PACK_WORKSPACE, VOID_PTR, 1, &workspace);
    spx_cudnn_finalize(&b, pack, "VARIANT_PACK");
    if (b.status == SPX_OK) {
        b.status = spx_cudnn_status(e->lib, "setting the stream", "",
                                    e->lib->SetStream(l->handle, spx_cuda_stream(s)));
    }
    if (b.status == SPX_OK) {
        b.status = spx_cudnn_status(e->lib, "running a convolution", "",
                                    e->lib->BackendExecute(l->handle, e->plan, pack));
    }
    spx_cudnn_bag_clear(&b);
    return b.status;
}
