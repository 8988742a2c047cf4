#ifndef SPX_CUDA_H
#define SPX_CUDA_H
/*
 * For tests of ops on CUDA, real or emulated. Operands are made on the host as f32 NCHW, rounded to
 * the device's type, laid out as NHWC in one of several ways, and read back; what lies around an
 * operand must stay as it was. spx_cuda_run runs a program's tests several times, under emulation
 * in other orders of threads and blocks, and demands the same bits.
 */
#include "tests/support/spx_fixture.h"

#include "kernels/device/device_memory.h"
#include "kernels/nn/nhwc.h"

#include <sys/wait.h>
#include <unistd.h>

#define SPX_U_BF16 0x1p-8 /* half a unit in the last place of 1 in bf16 */

/* How an operand lies: alone; a slice of aligned, wider pixels; starting and stepping oddly. */
typedef enum cuda_form { FORM_DENSE, FORM_SLICE, FORM_ODD, FORMS } cuda_form;

/* Small vectors and all but the first operands share one block of the device, and uploads one of
 * the host; those first operands have blocks of their own, so that running over one is seen. */
#define CUDA_SMALL ((size_t)4096)
#define CUDA_OWN_BLOCKS 12
#define CUDA_ARENA ((size_t)16 << 20)
#define CUDA_QUEUED 512
#define CUDA_STAGING ((size_t)4 << 20)

typedef struct cuda_env {
    spx_stream *s;
    spx_type type;
    pile p;
    void *device[2048];
    size_t count;
    unsigned char *arena, *staging; /* of the device; pinned */
    size_t arena_used, staged;
    struct {
        const void *host;
        size_t bytes;
    } queued[CUDA_QUEUED]; /* on their way from the device */
    size_t queued_count;
} cuda_env;

typedef struct cuda_tensor {
    spx_nhwc x;
    size_t n, c, hw;
    size_t offset, bytes; /* of the operand in its block, in elements; of the block */
    void *block;
} cuda_tensor;

static uint64_t cuda_digest = 0xcbf29ce484222325u; /* FNV-1a of all that was read back */

static inline void cuda_open(cuda_env *e, spx_type type)
{
    const spx_stream_options o = {.device = SPX_DEVICE_CUDA,
                                  .threads = 1,
                                  .precision = type == SPX_TYPE_BF16 ? SPX_PRECISION_BF16
                                                                     : SPX_PRECISION_F32};
    memset(e, 0, sizeof *e);
    e->type = type;
    CHECK_OK(spx_stream_open(&e->s, &o));
    CHECK_OK(spx_device_alloc(e->s, (void **)&e->arena, CUDA_ARENA));
    CHECK_OK(spx_pinned_alloc(e->s, (void **)&e->staging, CUDA_STAGING));
}

static inline void cuda_clear(cuda_env *e)
{
    CHECK_OK(spx_stream_sync(e->s));
    e->arena_used = e->staged = 0;
    while (e->count > 0) {
        spx_device_free(e->s, e->device[--e->count]);
    }
    pile_clear(&e->p);
}

static inline void cuda_close(cuda_env *e)
{
    cuda_clear(e);
    spx_device_free(e->s, e->arena);
    spx_pinned_free(e->s, e->staging);
    spx_stream_destroy(e->s);
}

static inline void *cuda_bytes(cuda_env *e, size_t bytes)
{
    void *d;
    if ((bytes <= CUDA_SMALL || e->count >= CUDA_OWN_BLOCKS) &&
        e->arena_used + bytes <= CUDA_ARENA) {
        d = e->arena + e->arena_used;
        e->arena_used += (bytes + 255) / 256 * 256;
        return d;
    }
    CHECK_OK(spx_device_alloc(e->s, &d, bytes));
    assert_true(e->count < sizeof e->device / sizeof e->device[0]);
    e->device[e->count++] = d;
    return d;
}

static inline void cuda_put(cuda_env *e, void *device, const void *host, size_t bytes)
{
    assert_true(bytes <= CUDA_STAGING);
    if (e->staged + bytes > CUDA_STAGING) {
        CHECK_OK(spx_stream_sync(e->s));
        e->staged = 0;
    }
    memcpy(e->staging + e->staged, host, bytes);
    CHECK_OK(spx_upload(e->s, device, e->staging + e->staged, bytes));
    e->staged += bytes;
}

/* A copy on the device; NULL for NULL. */
static inline void *cuda_copy(cuda_env *e, const void *host, size_t bytes)
{
    void *d = host != NULL ? cuda_bytes(e, bytes) : NULL;
    if (d != NULL) {
        cuda_put(e, d, host, bytes);
    }
    return d;
}

static inline float *cuda_floats(cuda_env *e, const float *host, size_t n)
{
    return (float *)cuda_copy(e, host, n * sizeof *host);
}

/* Queues a copy to the host, there after cuda_settle: waiting is what takes
 * time under emulation. */
static inline void cuda_queue_fetch(cuda_env *e, void *host, const void *device, size_t bytes)
{
    CHECK_OK(spx_download(e->s, host, device, bytes));
    assert_true(e->queued_count < CUDA_QUEUED);
    e->queued[e->queued_count].host = host;
    e->queued[e->queued_count++].bytes = bytes;
}

static inline void cuda_settle(cuda_env *e)
{
    CHECK_OK(spx_stream_sync(e->s));
    for (size_t k = 0; k < e->queued_count; k++) {
        const unsigned char *b = e->queued[k].host;
        for (size_t i = 0; i < e->queued[k].bytes; i++) {
            cuda_digest = (cuda_digest ^ b[i]) * 0x100000001b3u;
        }
    }
    e->queued_count = 0;
}

static inline void cuda_fetch(cuda_env *e, void *host, const void *device, size_t bytes)
{
    cuda_queue_fetch(e, host, device, bytes);
    cuda_settle(e);
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
static inline void cuda_round(spx_type type, float *x, size_t n)
{
    for (size_t i = 0; type == SPX_TYPE_BF16 && i < n; i++) {
        x[i] = of_bf16(bf16_of(x[i]));
    }
}

static inline size_t tensor_at(const cuda_tensor *t, size_t n, size_t c, size_t i)
{
    return t->offset + (n * t->hw + i) * (size_t)t->x.pixel + c;
}

/* The tensor of images `stride` floats apart; x must be rounded already. */
static inline cuda_tensor cuda_tensor_of(cuda_env *e, const float *x, size_t stride, size_t n,
                                         size_t c, size_t hw, cuda_form form)
{
    static const size_t offsets[FORMS] = {0, 8, 1};
    const size_t pixel = form == FORM_DENSE ? c : form == FORM_SLICE ? (c + 7) / 8 * 8 + 8 : c + 3;
    const size_t size = spx_type_bytes(e->type);
    cuda_tensor t = {.x = {NULL, (int64_t)pixel, e->type},
                     .n = n,
                     .c = c,
                     .hw = hw,
                     .offset = offsets[form],
                     .bytes = (offsets[form] + (n * hw - 1) * pixel + c) * size};
    unsigned char *host = pile_bytes(&e->p, t.bytes);
    memset(host, 0x7b, t.bytes);
    for (size_t at = 0; at < n * c * hw; at++) {
        const size_t image = at / (c * hw), channel = at / hw % c, i = at % hw;
        const float v = x[image * stride + channel * hw + i];
        const uint16_t b = bf16_of(v);
        memcpy(host + tensor_at(&t, image, channel, i) * size,
               e->type == SPX_TYPE_BF16 ? (const void *)&b : (const void *)&v, size);
    }
    t.block = cuda_copy(e, host, t.bytes);
    t.x.data = (unsigned char *)t.block + t.offset * size;
    return t;
}

/* Queues reading a tensor's block. */
static inline unsigned char *cuda_queue_read(cuda_env *e, const cuda_tensor *t)
{
    unsigned char *host = pile_bytes(&e->p, t->bytes);
    cuda_queue_fetch(e, host, t->block, t->bytes);
    return host;
}

/* A block read as images `stride` floats apart; its gaps must be untouched. */
static inline void cuda_unpack(const cuda_tensor *t, unsigned char *host, float *x, size_t stride)
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

static inline void cuda_read(cuda_env *e, const cuda_tensor *t, float *x, size_t stride)
{
    unsigned char *host = cuda_queue_read(e, t);
    cuda_settle(e);
    cuda_unpack(t, host, x, stride);
}

/* What storing in the device's type adds to a bound on the error of a result. */
static inline double cuda_stored(const cuda_env *e, double bound, double want)
{
    return e->type == SPX_TYPE_BF16 ? bound * (1 + SPX_U_BF16) + SPX_U_BF16 * fabs(want) : bound;
}

/* Runs body for f32 and bf16. */
static inline void cuda_on_types(void (*body)(cuda_env *e, void *ctx), void *ctx)
{
    for (int type = SPX_TYPE_F32; type <= SPX_TYPE_BF16; type++) {
        cuda_env e;
        cuda_open(&e, (spx_type)type);
        body(&e, ctx);
        cuda_close(&e);
    }
}

/* One run of the tests in a process of its own (so that each makes its own context), with that
 * order of threads: its exit status, 77 without a device, and what it read back. */
static inline int cuda_run_in_order(int (*tests)(void), const char *order, uint64_t *digest)
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
            exit(77);
        }
        failed = tests() != 0;
        failed |= write(pipes[1], &cuda_digest, sizeof cuda_digest) != sizeof cuda_digest;
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

/* A program's main: 77 without a device. Every run must read back the same bits. */
static inline int spx_cuda_run(int (*tests)(void))
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
        const int failed = cuda_run_in_order(tests, orders[i], &digest);
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

#endif
