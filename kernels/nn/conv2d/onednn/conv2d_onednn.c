/*
 * The convolution through oneDNN 2.x or 3.x: plain NCHW outside, the library's own layouts inside,
 * with reorders between. Its primitives are built once per shape and kept. Shapes for which the
 * library offers only its reference loops are refused, and so are crops (negative padding).
 */
#define _GNU_SOURCE
#include "kernels/base/alloc.h"
#include "kernels/nn/conv2d/conv2d_private.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <string.h>

#define CACHE 256
enum { X, W, Y, OPERANDS };

/* --- What differs between the two major versions ---------------------------------------------- */

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t desc_view;
#define VIEW(md) (md)
#define desc_strided dnnl_memory_desc_create_with_strides
#define desc_tagged dnnl_memory_desc_create_with_tag
#define desc_destroy(md) ((void)dnnl_memory_desc_destroy(md))
#else
typedef const dnnl_memory_desc_t *desc_view;
#define VIEW(md) (&(md))
#define desc_strided dnnl_memory_desc_init_by_strides
#define desc_tagged dnnl_memory_desc_init_by_tag
#define desc_destroy(md) ((void)(md))
#endif

/* Spatial arguments of a convolution; dilations count the skipped pixels. */
typedef struct spatial {
    dnnl_dims_t strides, dilates, begin, end;
} spatial;

static dnnl_status_t describe(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                              const_dnnl_primitive_attr_t attr, spx_conv2d_pass pass,
                              const dnnl_memory_desc_t *md, const spatial *g,
                              const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(
            pd, engine, dnnl_forward_training, alg, md[X], md[W], NULL, md[Y], g->strides,
            g->dilates, g->begin, g->end, attr);
    case SPX_CONV2D_BACKWARD_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, alg, md[X], md[W],
                                                                    md[Y], g->strides, g->dilates,
                                                                    g->begin, g->end, hint, attr);
    default:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, engine, alg, md[X], md[W], NULL, md[Y], g->strides, g->dilates, g->begin, g->end,
            hint, attr);
    }
#else
    dnnl_convolution_desc_t d;
    dnnl_status_t st;
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        st = dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_training, alg, &md[X],
                                                        &md[W], NULL, &md[Y], g->strides,
                                                        g->dilates, g->begin, g->end);
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        st = dnnl_dilated_convolution_backward_data_desc_init(
            &d, alg, &md[X], &md[W], &md[Y], g->strides, g->dilates, g->begin, g->end);
        break;
    default:
        st = dnnl_dilated_convolution_backward_weights_desc_init(
            &d, alg, &md[X], &md[W], NULL, &md[Y], g->strides, g->dilates, g->begin, g->end);
        break;
    }
    return st != dnnl_success ? st : dnnl_primitive_desc_create(pd, &d, attr, engine, hint);
#endif
}

/* --- Primitives, built once ------------------------------------------------------------------- */

typedef struct operand {
    dnnl_memory_desc_t user_md; /* plain, images stride_n apart */
    dnnl_memory_t user, inner;
    dnnl_primitive_t reorder; /* NULL where the layouts are the same */
    size_t inner_bytes;
} operand;

typedef struct key {
    spx_conv2d_shape d;
    int64_t x_stride_n, y_stride_n;
    spx_conv2d_pass pass;
    int threads;
} key;

/* One shape and pass; conv is NULL where the library has no fast primitive for it. */
typedef struct entry {
    key k;
    bool used;
    dnnl_primitive_t conv;
    operand operand[OPERANDS];
    dnnl_memory_t scratch;
    size_t scratch_bytes;
} entry;

/* oneDNN's objects outlive every call, and its engine may be shared; one call at a
 * time uses them. */
static struct {
    pthread_mutex_t lock;
    void (*set_threads)(int); /* of the OpenMP runtime that oneDNN brought along */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr;
    entry entries[CACHE];
    unsigned next;
} lib = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int output_of(spx_conv2d_pass pass)
{
    return pass == SPX_CONV2D_FORWARD ? Y : pass == SPX_CONV2D_BACKWARD_DATA ? X : W;
}

static bool lib_ready(void)
{
    if (lib.stream != NULL) {
        return true;
    }
    void *const symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&lib.set_threads, &symbol, sizeof symbol); /* ISO C cannot cast it */
    return lib.set_threads != NULL && dnnl_version()->cpu_runtime == DNNL_RUNTIME_OMP &&
           dnnl_engine_create(&lib.engine, dnnl_cpu, 0) == dnnl_success &&
           dnnl_primitive_attr_create(&lib.attr) == dnnl_success &&
           dnnl_primitive_attr_set_scratchpad_mode(lib.attr, dnnl_scratchpad_mode_user) ==
               dnnl_success &&
           dnnl_stream_create(&lib.stream, lib.engine, dnnl_stream_default_flags) == dnnl_success;
}

static void entry_clear(entry *e)
{
    for (int i = 0; e->used && i < OPERANDS; i++) {
        (void)dnnl_memory_destroy(e->operand[i].user);
        (void)dnnl_memory_destroy(e->operand[i].inner);
        (void)dnnl_primitive_destroy(e->operand[i].reorder);
        desc_destroy(e->operand[i].user_md);
    }
    (void)dnnl_memory_destroy(e->scratch);
    (void)dnnl_primitive_destroy(e->conv);
    memset(e, 0, sizeof *e);
}

/* Where the library's layout differs from ours, a primitive that goes between them. */
static bool build_operand(operand *o, desc_view inner, bool output)
{
    dnnl_primitive_desc_t pd = NULL;
    const desc_view user = VIEW(o->user_md);
    o->inner_bytes = dnnl_memory_desc_get_size(inner);
    if (dnnl_memory_create(&o->user, user, lib.engine, DNNL_MEMORY_NONE) != dnnl_success ||
        dnnl_memory_create(&o->inner, inner, lib.engine, DNNL_MEMORY_NONE) != dnnl_success) {
        return false;
    }
    if (dnnl_memory_desc_equal(user, inner)) {
        return true;
    }
    const bool ok = dnnl_reorder_primitive_desc_create(&pd, output ? inner : user, lib.engine,
                                                       output ? user : inner, lib.engine,
                                                       NULL) == dnnl_success &&
                    dnnl_primitive_create(&o->reorder, pd) == dnnl_success;
    (void)dnnl_primitive_desc_destroy(pd);
    return ok;
}

static bool is_fast(const_dnnl_primitive_desc_t pd)
{
    const char *name = "ref";
    return dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) ==
               dnnl_success &&
           strstr(name, "ref") == NULL;
}

/* The convolution of e->k between layouts of the library's choice, and the reorders around it. */
static bool build(entry *e, const dnnl_memory_desc_t any[OPERANDS])
{
    static const dnnl_query_t query[SPX_CONV2D_PASS_COUNT][OPERANDS] = {
        {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
        {dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md},
        {dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md},
    };
    const spx_conv2d_shape *d = &e->k.d;
    const spatial g = {{d->stride, d->stride},
                       {d->dilation - 1, d->dilation - 1},
                       {d->pad_begin, d->pad_begin},
                       {d->pad_end, d->pad_end}};
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    bool ok = true;
    if (e->k.pass != SPX_CONV2D_FORWARD) {
        ok = describe(&hint, lib.engine, lib.attr, SPX_CONV2D_FORWARD, any, &g, NULL) ==
             dnnl_success;
    }
    ok = ok && describe(&pd, lib.engine, lib.attr, e->k.pass, any, &g, hint) == dnnl_success &&
         is_fast(pd) && dnnl_primitive_create(&e->conv, pd) == dnnl_success;
    for (int i = 0; ok && i < OPERANDS; i++) {
        ok = build_operand(&e->operand[i], dnnl_primitive_desc_query_md(pd, query[e->k.pass][i], 0),
                           i == output_of(e->k.pass));
    }
    if (ok) {
        const desc_view scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        e->scratch_bytes = dnnl_memory_desc_get_size(scratch);
        ok = dnnl_memory_create(&e->scratch, scratch, lib.engine, DNNL_MEMORY_NONE) == dnnl_success;
    }
    (void)dnnl_primitive_desc_destroy(hint);
    (void)dnnl_primitive_desc_destroy(pd);
    return ok;
}

static void entry_init(entry *e, const key *k)
{
    const spx_conv2d_shape *d = &k->d;
    const dnnl_dims_t dims[OPERANDS] = {
        {d->n, d->c, d->h, d->w}, {d->k, d->c, d->r, d->s}, {d->n, d->k, d->p, d->q}};
    const int64_t image[OPERANDS] = {k->x_stride_n, d->c * d->r * d->s, k->y_stride_n};
    dnnl_memory_desc_t any[OPERANDS];
    bool ok = true;
    memset(any, 0, sizeof any);
    e->k = *k;
    e->used = true;
    for (int i = 0; i < OPERANDS; i++) {
        const dnnl_dims_t strides = {image[i], dims[i][2] * dims[i][3], dims[i][3], 1};
        ok = ok &&
             desc_strided(&e->operand[i].user_md, 4, dims[i], dnnl_f32, strides) == dnnl_success;
        ok = ok && desc_tagged(&any[i], 4, dims[i], dnnl_f32, dnnl_format_tag_any) == dnnl_success;
    }
    lib.set_threads(k->threads); /* the primitive is built for so many */
    if (!ok || !build(e, any)) {
        (void)dnnl_primitive_destroy(e->conv);
        e->conv = NULL;
    }
    for (int i = 0; i < OPERANDS; i++) {
        desc_destroy(any[i]);
    }
}

/* The entry for k, built if need be; NULL where the library cannot run it fast. Holds lib.lock. */
static entry *find(const key *k)
{
    entry *e = NULL;
    for (unsigned i = 0; i < CACHE && e == NULL; i++) {
        if (lib.entries[i].used && memcmp(&lib.entries[i].k, k, sizeof *k) == 0) {
            e = &lib.entries[i];
        }
    }
    if (e == NULL && k->d.pad_begin >= 0 && k->d.pad_end >= 0 &&
        spx_memory_room("oneDNN", 0) == SPX_OK && lib_ready()) {
        e = &lib.entries[lib.next++ % CACHE];
        entry_clear(e);
        entry_init(e, k);
    }
    return e != NULL && e->conv != NULL ? e : NULL;
}

static key key_of(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    key k;
    memset(&k, 0, sizeof k); /* keys are compared as bytes */
    k.d = *d;
    k.x_stride_n = d->c * d->h * d->w;
    k.y_stride_n = d->k * d->p * d->q;
    k.pass = pass;
    k.threads = spx_stream_threads(s);
    return k;
}

/* --- Calls ------------------------------------------------------------------------------------ */

/* Parts of the workspace, in bytes from its start. */
typedef struct parts {
    size_t x, result, inner[OPERANDS], scratch, total;
} parts;

static size_t part(size_t *total, size_t bytes)
{
    const size_t at = *total;
    *total += (bytes + SPX_ALIGN - 1) / SPX_ALIGN * SPX_ALIGN;
    return at;
}

static size_t operand_floats(const spx_conv2d_shape *d, int i)
{
    const int64_t n[OPERANDS] = {d->n * d->c * d->h * d->w, d->k * d->c * d->r * d->s,
                                 d->n * d->k * d->p * d->q};
    return (size_t)n[i];
}

static parts parts_of(const entry *e)
{
    parts p = {0};
    /* the input after its normalisation, and a result still to be accumulated, dense */
    p.x = part(&p.total, operand_floats(&e->k.d, X) * sizeof(float));
    p.result = part(&p.total, operand_floats(&e->k.d, output_of(e->k.pass)) * sizeof(float));
    for (int i = 0; i < OPERANDS; i++) {
        p.inner[i] = part(&p.total, e->operand[i].inner_bytes);
    }
    p.scratch = part(&p.total, e->scratch_bytes);
    return p;
}

static dnnl_status_t execute(const entry *e, float *const user[OPERANDS], char *workspace,
                             const parts *p)
{
    static const int arg[SPX_CONV2D_PASS_COUNT][OPERANDS] = {
        {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
        {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
    };
    dnnl_exec_arg_t args[OPERANDS + 1];
    const int out = output_of(e->k.pass);
    dnnl_status_t st = dnnl_memory_set_data_handle(e->scratch, workspace + p->scratch);
    args[OPERANDS] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, e->scratch};
    lib.set_threads(e->k.threads);
    for (int i = 0; st == dnnl_success && i < OPERANDS; i++) {
        const operand *o = &e->operand[i];
        void *const inner = o->reorder != NULL ? (void *)(workspace + p->inner[i]) : user[i];
        st = dnnl_memory_set_data_handle(o->inner, inner);
        st = st == dnnl_success ? dnnl_memory_set_data_handle(o->user, user[i]) : st;
        args[i] = (dnnl_exec_arg_t){arg[e->k.pass][i], o->inner};
        if (st == dnnl_success && o->reorder != NULL && i != out) {
            const dnnl_exec_arg_t io[] = {{DNNL_ARG_FROM, o->user}, {DNNL_ARG_TO, o->inner}};
            st = dnnl_primitive_execute(o->reorder, lib.stream, 2, io);
        }
    }
    if (st == dnnl_success) {
        st = dnnl_primitive_execute(e->conv, lib.stream, OPERANDS + 1, args);
    }
    if (st == dnnl_success && e->operand[out].reorder != NULL) {
        const operand *o = &e->operand[out];
        const dnnl_exec_arg_t io[] = {{DNNL_ARG_FROM, o->inner}, {DNNL_ARG_TO, o->user}};
        st = dnnl_primitive_execute(o->reorder, lib.stream, 2, io);
    }
    return st == dnnl_success ? dnnl_stream_wait(lib.stream) : st;
}

/* What surrounds the library's convolution, image by image. */
typedef struct around {
    const spx_conv2d_call *call;
    float *x, *result;
} around;

static void prepare_input(void *ctx, int worker, size_t begin, size_t end)
{
    const around *a = ctx;
    const spx_conv2d_shape *d = a->call->d;
    const spx_conv2d_input *in = a->call->in;
    const int64_t pixels = d->h * d->w;
    (void)worker;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const int64_t n = i / d->c, c = i % d->c;
        const float *src = in->x + n * in->stride_n + c * pixels;
        const float mean = in->mean != NULL ? in->mean[c] : 0;
        const float scale =
            (in->mean != NULL ? in->invstd[c] : 1) * (in->gamma != NULL ? in->gamma[c] : 1);
        const float shift = in->beta != NULL ? in->beta[c] : 0;
        for (int64_t j = 0; j < pixels; j++) {
            const float v = (src[j] - mean) * scale + shift;
            a->x[i * pixels + j] = in->relu && v < 0 ? 0 : v;
        }
    }
}

static void add_bias(void *ctx, int worker, size_t begin, size_t end)
{
    const around *a = ctx;
    const spx_conv2d_shape *d = a->call->d;
    const int64_t pixels = d->p * d->q;
    (void)worker;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        float *y = a->call->y + i / d->k * a->call->y_stride_n + i % d->k * pixels;
        for (int64_t j = 0; j < pixels; j++) {
            y[j] += a->call->bias[i % d->k];
        }
    }
}

static void bias_gradient(void *ctx, int worker, size_t begin, size_t end)
{
    const around *a = ctx;
    const spx_conv2d_shape *d = a->call->d;
    const int64_t pixels = d->p * d->q;
    (void)worker;
    for (int64_t k = (int64_t)begin; k < (int64_t)end; k++) {
        double sum = a->call->accumulate ? (double)a->call->dbias[k] : 0;
        for (int64_t i = 0; i < d->n * pixels; i++) {
            sum += (double)a->call->dy[i / pixels * a->call->y_stride_n + k * pixels + i % pixels];
        }
        a->call->dbias[k] = (float)sum;
    }
}

static void accumulate_data(void *ctx, int worker, size_t begin, size_t end)
{
    const around *a = ctx;
    const spx_conv2d_shape *d = a->call->d;
    const int64_t image = d->c * d->h * d->w;
    (void)worker;
    for (int64_t n = (int64_t)begin; n < (int64_t)end; n++) {
        for (int64_t i = 0; i < image; i++) {
            a->call->dx[n * a->call->dx_stride_n + i] += a->result[n * image + i];
        }
    }
}

static void accumulate_weights(void *ctx, int worker, size_t begin, size_t end)
{
    const around *a = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        a->call->dw[i] += a->result[i];
    }
}

/* The call's operands as the library sees them; outputs to be accumulated go to the side. */
static void bind(const spx_conv2d_call *call, key *k, float *user[OPERANDS], const around *a)
{
    const spx_conv2d_input *in = call->in;
    const bool plain = in != NULL && in->mean == NULL && !in->relu;
    k->y_stride_n = call->y_stride_n;
    /* The library takes pointers to non-const for everything, and leaves inputs alone. */
    user[W] = call->pass == SPX_CONV2D_BACKWARD_WEIGHTS ? call->dw : (float *)(uintptr_t)call->w;
    user[Y] = call->pass == SPX_CONV2D_FORWARD ? call->y : (float *)(uintptr_t)call->dy;
    if (call->pass == SPX_CONV2D_BACKWARD_DATA) {
        user[X] = call->accumulate ? a->result : call->dx;
        k->x_stride_n = call->accumulate ? k->x_stride_n : call->dx_stride_n;
    } else {
        user[X] = plain ? (float *)(uintptr_t)in->x : a->x;
        k->x_stride_n = plain ? in->stride_n : k->x_stride_n;
    }
    if (call->pass == SPX_CONV2D_BACKWARD_WEIGHTS && call->accumulate) {
        user[W] = a->result;
    }
}

static void finish(spx_pool *pool, const spx_conv2d_call *call, around *a)
{
    const spx_conv2d_shape *d = call->d;
    switch (call->pass) {
    case SPX_CONV2D_FORWARD:
        if (call->bias != NULL) {
            spx_pool_run(pool, (size_t)(d->n * d->k), add_bias, a);
        }
        break;
    case SPX_CONV2D_BACKWARD_DATA:
        if (call->accumulate) {
            spx_pool_run(pool, (size_t)d->n, accumulate_data, a);
        }
        break;
    default:
        if (call->accumulate) {
            spx_pool_run(pool, operand_floats(d, W), accumulate_weights, a);
        }
        if (call->dbias != NULL) {
            spx_pool_run(pool, (size_t)d->k, bias_gradient, a);
        }
        break;
    }
}

static spx_status onednn_run(spx_stream *s, const spx_conv2d_call *call)
{
    spx_pool *pool = spx_stream_pool(s);
    char *workspace = call->workspace;
    key k = key_of(s, call->d, call->pass);
    around a = {.call = call};
    float *user[OPERANDS];
    dnnl_status_t done = dnnl_runtime_error;
    (void)pthread_mutex_lock(&lib.lock);
    const entry *dense = find(&k);
    if (dense != NULL) {
        /* Layouts inside, and so the parts, do not depend on the strides outside. */
        const parts p = parts_of(dense);
        a.x = (float *)(void *)(workspace + p.x);
        a.result = (float *)(void *)(workspace + p.result);
        bind(call, &k, user, &a);
        if (user[X] == a.x) {
            spx_pool_run(pool, (size_t)(call->d->n * call->d->c), prepare_input, &a);
        }
        const entry *e = find(&k);
        done = e != NULL ? execute(e, user, workspace, &p) : done;
    }
    (void)pthread_mutex_unlock(&lib.lock);
    if (done != dnnl_success) {
        return SPX_FAIL(SPX_EDEVICE, "conv2d: oneDNN status %d", (int)done);
    }
    finish(pool, call, &a);
    return SPX_OK;
}

static bool onednn_supports(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    const key k = key_of(s, d, pass);
    (void)pthread_mutex_lock(&lib.lock);
    const bool found = spx_stream_device(s) == SPX_DEVICE_CPU && find(&k) != NULL;
    (void)pthread_mutex_unlock(&lib.lock);
    return found;
}

static size_t onednn_workspace(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass)
{
    const key k = key_of(s, d, pass);
    (void)pthread_mutex_lock(&lib.lock);
    const entry *e = find(&k);
    const size_t bytes = e != NULL ? parts_of(e).total : 0;
    (void)pthread_mutex_unlock(&lib.lock);
    return bytes;
}

const spx_conv2d_impl spx_conv2d_onednn = {onednn_supports, onednn_workspace, onednn_run};
