#ifndef SPX_DEVICES_H
#define SPX_DEVICES_H
/*
 * For tests of ops: one body runs on every device. Operands are made on the host as f32 NCHW,
 * rounded to the device's type, laid out as the device has them in one of several ways, and read
 * back; what lies around an operand must stay as it was.
 *
 * SPX_TEST_DEVICES names the devices to run on, "cpu", "cuda" or both (the default) with a comma
 * between them. One that this build or machine lacks is skipped, and said so. On the CPU a body
 * runs under every instruction set and several thread counts; on CUDA, real or emulated, a
 * program's tests run several times, under emulation in other orders of threads and blocks, and
 * must read back the same bits.
 */
#include "tests/support/spx_fixture.h"

#include "kernels/device/device_memory.h"
#include "kernels/nn/operand.h"

#include <sys/wait.h>
#include <unistd.h>

#define SPX_U_BF16 0x1p-8 /* half a unit in the last place of 1 in bf16 */
#define TEST_SKIPPED 77

/* How an operand lies: alone; a slice of aligned, wider pixels or images; starting and stepping
 * oddly. */
typedef enum tensor_form { FORM_DENSE, FORM_SLICE, FORM_ODD, FORMS } tensor_form;

/* On CUDA small vectors and all but the first operands share one block of the device, and uploads
 * one of the host; those first operands have blocks of their own, so that running over one is seen.
 * On the CPU each has a block of its own. */
#define ENV_SMALL ((size_t)4096)
#define ENV_OWN_BLOCKS 12
#define ENV_ARENA ((size_t)16 << 20)
#define ENV_QUEUED 512
#define ENV_STAGING ((size_t)4 << 20)

typedef struct device_env {
    spx_stream *s;
    spx_type type; /* of activations */
    bool cuda;
    pile p;
    void *device[2048];
    size_t count;
    unsigned char *arena, *staging; /* of the device; pinned */
    size_t arena_used, staged;
    struct {
        const void *host;
        size_t bytes;
    } queued[ENV_QUEUED]; /* on their way from the device */
    size_t queued_count;
} device_env;

typedef struct device_tensor {
    spx_operand x;
    bool pixels; /* channels innermost */
    size_t n, c, hw;
    size_t offset, bytes; /* of the operand in its block, in elements; of the block */
    void *block;
} device_tensor;

static spx_device env_device;                     /* that bodies run on */
static uint64_t env_digest = 0xcbf29ce484222325u; /* FNV-1a of all that was read back */

static inline void env_open(device_env *e, const spx_stream_options *o)
{
    memset(e, 0, sizeof *e);
    CHECK_OK(spx_stream_open(&e->s, o));
    e->type = spx_activation_type(e->s);
    e->cuda = o->device == SPX_DEVICE_CUDA;
    if (e->cuda) {
        CHECK_OK(spx_device_alloc(e->s, (void **)&e->arena, ENV_ARENA));
        CHECK_OK(spx_pinned_alloc(e->s, (void **)&e->staging, ENV_STAGING));
    }
}

static inline void env_clear(device_env *e)
{
    CHECK_OK(spx_stream_sync(e->s));
    e->arena_used = e->staged = 0;
    while (e->count > 0) {
        spx_device_free(e->s, e->device[--e->count]);
    }
    pile_clear(&e->p);
}

static inline void env_close(device_env *e)
{
    env_clear(e);
    if (e->cuda) {
        spx_device_free(e->s, e->arena);
        spx_pinned_free(e->s, e->staging);
    }
    spx_stream_destroy(e->s);
}

static inline void *env_bytes(device_env *e, size_t bytes)
{
    void *d;
    if (!e->cuda) {
        return pile_bytes(&e->p, bytes);
    }
    if ((bytes <= ENV_SMALL || e->count >= ENV_OWN_BLOCKS) && e->arena_used + bytes <= ENV_ARENA) {
        d = e->arena + e->arena_used;
        e->arena_used += (bytes + 255) / 256 * 256;
        return d;
    }
    CHECK_OK(spx_device_alloc(e->s, &d, bytes));
    assert_true(e->count < sizeof e->device / sizeof e->device[0]);
    e->device[e->count++] = d;
    return d;
}

static inline void env_put(device_env *e, void *device, const void *host, size_t bytes)
{
    if (!e->cuda) {
        memcpy(device, host, bytes);
        return;
    }
    assert_true(bytes <= ENV_STAGING);
    if (e->staged + bytes > ENV_STAGING) {
        CHECK_OK(spx_stream_sync(e->s));
        e->staged = 0;
    }
    memcpy(e->staging + e->staged, host, bytes);
    CHECK_OK(spx_upload(e->s, device, e->staging + e->staged, bytes));
    e->staged += bytes;
}

/* A copy on the device; NULL for NULL. */
static inline void *env_copy(device_env *e, const void *host, size_t bytes)
{
    void *d = host != NULL ? env_bytes(e, bytes) : NULL;
    if (d != NULL) {
        env_put(e, d, host, bytes);
    }
    return d;
}

static inline float *env_floats(device_env *e, const float *host, size_t n)
{
    return (float *)env_copy(e, host, n * sizeof *host);
}

/* Scratch full of NaN: its contents may not matter. NULL for no bytes. */
static inline void *env_scratch(device_env *e, size_t bytes)
{
    unsigned char *dirt = pile_bytes(&e->p, bytes);
    memset(dirt, 0xff, bytes);
    return bytes > 0 ? env_copy(e, dirt, bytes) : NULL;
}

/* Queues a copy to the host, there after env_settle: waiting is what takes time under emulation. */
static inline void env_queue_fetch(device_env *e, void *host, const void *device, size_t bytes)
{
    assert_true(e->queued_count < ENV_QUEUED);
    e->queued[e->queued_count].host = host;
    e->queued[e->queued_count++].bytes = bytes;
    if (e->cuda) {
        CHECK_OK(spx_download(e->s, host, device, bytes));
    } else {
        memcpy(host, device, bytes);
    }
}

static inline void env_settle(device_env *e)
{
    CHECK_OK(spx_stream_sync(e->s));
    for (size_t k = 0; k < e->queued_count && e->cuda; k++) {
        const unsigned char *b = e->queued[k].host;
        for (size_t i = 0; i < e->queued[k].bytes; i++) {
            env_digest = (env_digest ^ b[i]) * 0x100000001b3u;
        }
    }
    e->queued_count = 0;
}

static inline void env_fetch(device_env *e, void *host, const void *device, size_t bytes)
{
    env_queue_fetch(e, host, device, bytes);
    env_settle(e);
}

static inline uint16_t bf16_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    if (v != v) {
        return 0x7fff;
    }
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static inline float of_bf16(uint16_t v)
{
    const uint32_t u = (uint32_t)v << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Rounds n floats to the type, in place: what the device then holds exactly. */
static inline void round_to_type(spx_type type, float *x, size_t n)
{
    for (size_t i = 0; type == SPX_TYPE_BF16 && i < n; i++) {
        x[i] = of_bf16(bf16_of(x[i]));
    }
}

/* n floats of mean + standard normal, as the device can hold them. */
static inline float *env_normal(device_env *e, size_t n, float mean)
{
    float *x = pile_normal(&e->p, n, mean, 1);
    round_to_type(e->type, x, n);
    return x;
}

static inline size_t tensor_at(const device_tensor *t, size_t n, size_t c, size_t i)
{
    const size_t stride = (size_t)t->x.stride;
    return t->offset + (t->pixels ? (n * t->hw + i) * stride + c : n * stride + c * t->hw + i);
}

/* The tensor of images `stride` floats apart; x must be rounded already. */
static inline device_tensor env_tensor(device_env *e, const float *x, size_t stride, size_t n,
                                       size_t c, size_t hw, tensor_form form)
{
    static const size_t offsets[FORMS] = {0, 8, 1};
    const size_t channel = e->cuda ? 1 : hw, rows = e->cuda ? n * hw : n, row = c * channel;
    const size_t step = form == FORM_DENSE   ? row
                        : form == FORM_SLICE ? ((c + 7) / 8 * 8 + 8) * channel
                                             : row + 3;
    const size_t size = spx_type_bytes(e->type);
    device_tensor t = {.x = {NULL, (int64_t)step, e->type},
                       .pixels = e->cuda,
                       .n = n,
                       .c = c,
                       .hw = hw,
                       .offset = form == FORM_SLICE ? offsets[form] * channel : offsets[form]};
    t.bytes = (t.offset + (rows - 1) * step + row) * size;
    unsigned char *host = pile_bytes(&e->p, t.bytes);
    memset(host, 0x7b, t.bytes);
    for (size_t at = 0; at < n * c * hw; at++) {
        const size_t image = at / (c * hw), k = at / hw % c, i = at % hw;
        const float v = x[image * stride + k * hw + i];
        const uint16_t b = bf16_of(v);
        memcpy(host + tensor_at(&t, image, k, i) * size,
               e->type == SPX_TYPE_BF16 ? (const void *)&b : (const void *)&v, size);
    }
    t.block = env_copy(e, host, t.bytes);
    t.x.data = (unsigned char *)t.block + t.offset * size;
    return t;
}

/* Queues reading a tensor's block. */
static inline unsigned char *env_queue_read(device_env *e, const device_tensor *t)
{
    unsigned char *host = pile_bytes(&e->p, t->bytes);
    env_queue_fetch(e, host, t->block, t->bytes);
    return host;
}

/* A block read as images `stride` floats apart; its gaps must be untouched. */
static inline void tensor_unpack(const device_tensor *t, unsigned char *host, float *x,
                                 size_t stride)
{
    const size_t size = spx_type_bytes(t->x.type);
    for (size_t at = 0; at < t->n * t->c * t->hw; at++) {
        const size_t image = at / (t->c * t->hw), channel = at / t->hw % t->c, i = at % t->hw;
        unsigned char *from = host + tensor_at(t, image, channel, i) * size;
        uint16_t b;
        float v = 0;
        memcpy(&b, from, sizeof b);
        memcpy(&v, from, size);
        x[image * stride + channel * t->hw + i] = t->x.type == SPX_TYPE_BF16 ? of_bf16(b) : v;
        memset(from, 0x7b, size);
    }
    for (size_t i = 0; i < t->bytes; i++) {
        if (host[i] != 0x7b) {
            fail_msg("byte %zu beside the operand was written", i);
        }
    }
}

static inline void env_read(device_env *e, const device_tensor *t, float *x, size_t stride)
{
    unsigned char *host = env_queue_read(e, t);
    env_settle(e);
    tensor_unpack(t, host, x, stride);
}

/* What storing in the device's type adds to a bound on the error of a result. */
static inline double env_stored(const device_env *e, double bound, double want)
{
    return e->type == SPX_TYPE_BF16 ? bound * (1 + SPX_U_BF16) + SPX_U_BF16 * fabs(want) : bound;
}

/* ... and to a tolerance relative to all of it. */
static inline double env_rounding(const device_env *e)
{
    return e->type == SPX_TYPE_BF16 ? SPX_U_BF16 : 0;
}

typedef void (*env_body)(device_env *e, void *ctx);

static inline void run_body(const spx_stream_options *o, env_body body, void *ctx)
{
    device_env e;
    env_open(&e, o);
    body(&e, ctx);
    env_close(&e);
}

/* Runs body on every kind of stream of the device: on the CPU with every instruction set and 1, 2
 * and 3 threads (under a sanitizer 3), on CUDA for f32 and bf16. */
static inline void on_each(env_body body, void *ctx)
{
    spx_stream_options o = {.device = env_device, .threads = 1, .precision = SPX_PRECISION_F32};
    if (env_device == SPX_DEVICE_CUDA) {
        run_body(&o, body, ctx);
        o.precision = SPX_PRECISION_BF16;
        run_body(&o, body, ctx);
        return;
    }
    const int fewest = spx_test_whole_tables() ? 1 : 3;
    for (int isa = 0; isa <= (int)SPX_ISA_AVX2; isa++) {
        assert_int_equal(setenv("SPHYNX_ISA", spx_isa_name((spx_isa)isa), 1), 0);
        for (o.threads = fewest; o.threads <= 3 && (int)spx_cpu_isa() == isa; o.threads++) {
            run_body(&o, body, ctx);
        }
    }
    assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
}

/* Runs body where only the device and its type matter: on the CPU with its own instruction set and
 * two threads, on CUDA as on_each. */
static inline void on_few(env_body body, void *ctx)
{
    const spx_stream_options o = {
        .device = SPX_DEVICE_CPU, .threads = 2, .precision = SPX_PRECISION_F32};
    if (env_device == SPX_DEVICE_CPU) {
        run_body(&o, body, ctx);
    } else {
        on_each(body, ctx);
    }
}

/* One run of the tests in a process of its own (so that each makes its own context), with that
 * order of threads: its exit status, and what it read back. */
static inline int run_in_order(int (*tests)(void), const char *order, uint64_t *digest)
{
    int pipes[2], status = 0;
    pid_t child;
    if (pipe(pipes) != 0 || (child = fork()) < 0) {
        return 1;
    }
    if (child == 0) {
        bool failed;
        if (setenv("SPX_EMULATION_ORDER", order, 1) != 0 ||
            spx_device_count(SPX_DEVICE_CUDA) == 0) {
            exit(TEST_SKIPPED);
        }
        env_device = SPX_DEVICE_CUDA;
        failed = tests() != 0;
        failed |= write(pipes[1], &env_digest, sizeof env_digest) != sizeof env_digest;
        exit(failed);
    }
    (void)close(pipes[1]);
    *digest = 0; /* stays so where the child fails */
    (void)!read(pipes[0], digest, sizeof *digest);
    (void)close(pipes[0]);
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        return 1;
    }
    return WEXITSTATUS(status);
}

/* The tests on CUDA: TEST_SKIPPED without a device. Every run must read back the same bits. */
static inline int spx_run_cuda(int (*tests)(void))
{
    static const char *const orders[] = {
        "forward",
#if !defined(__SANITIZE_ADDRESS__) /* slow: orders are for the other build */
        "reverse",
#if defined(SPX_CUDA_EMULATED)
        "7",
#endif
#endif
    };
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        uint64_t digest;
        const int failed = run_in_order(tests, orders[i], &digest);
        if (failed != 0) {
            return failed;
        }
        if (i > 0 && digest != first) {
            (void)fprintf(stderr, "run %zu read back other bits than the first\n", i);
            return 1;
        }
        first = digest;
    }
    return 0;
}

static inline int run_cpu(int (*tests)(void))
{
    env_device = SPX_DEVICE_CPU;
    return tests() != 0;
}

/* A program's main: the tests on each device asked for. TEST_SKIPPED where there was none. */
static inline int spx_run_devices(int (*tests)(void))
{
    static int (*const run[SPX_DEVICE_COUNT])(int (*)(void)) = {run_cpu, spx_run_cuda};
    const char *wanted = getenv("SPX_TEST_DEVICES");
    int ran = 0;
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        const char *name = spx_device_name((spx_device)d);
        const int status =
            wanted == NULL || strstr(wanted, name) != NULL ? run[d](tests) : TEST_SKIPPED;
        if (status == TEST_SKIPPED) {
            (void)fprintf(stderr, "%s: skipped\n", name);
        } else if (status != 0) {
            (void)fprintf(stderr, "%s: failed\n", name);
            return 1;
        } else {
            ran++;
        }
    }
    return ran > 0 ? 0 : TEST_SKIPPED;
}

#endif
