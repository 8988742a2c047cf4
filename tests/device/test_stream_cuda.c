/* Streams, lanes, events, recordings and memory on CUDA, real or emulated. */
#include "tests/support/spx_test.h"

#include "kernels/device/device_memory.h"
#include "kernels/device/stream.h"
#include "tests/device/kernels_cuda.h"

#include <stdlib.h>

#define N 1000

typedef struct fixture {
    spx_stream *s;
    float *host; /* pinned, [N]: 0, 1, 2, ... */
    float *back; /* pinned, [N] */
    float *x;    /* device, [N] */
    float *y;    /* device, [N] */
} fixture;

static void setup(fixture *f)
{
    CHECK_OK(spx_stream_create(&f->s, SPX_DEVICE_CUDA, 1));
    CHECK_OK(spx_pinned_alloc(f->s, (void **)&f->host, N * sizeof(float)));
    CHECK_OK(spx_pinned_alloc(f->s, (void **)&f->back, N * sizeof(float)));
    CHECK_OK(spx_device_alloc(f->s, (void **)&f->x, N * sizeof(float)));
    CHECK_OK(spx_device_alloc(f->s, (void **)&f->y, N * sizeof(float)));
    for (int i = 0; i < N; i++) {
        f->host[i] = (float)i;
    }
}

static void teardown(fixture *f)
{
    spx_device_free(f->s, f->x);
    spx_device_free(f->s, f->y);
    spx_pinned_free(f->s, f->host);
    spx_pinned_free(f->s, f->back);
    spx_stream_destroy(f->s);
}

SPX_TEST(kernels_see_threads_blocks_shared_memory_and_warps)
{
    fixture f;
    int *count;
    int got[2];
    SPX_UNUSED;
    setup(&f);
    CHECK_OK(spx_device_alloc(f.s, (void **)&count, 2 * sizeof(int)));
    CHECK_OK(spx_upload(f.s, f.x, f.host, N * sizeof(float)));
    CHECK_OK(test_sum(f.s, N, f.x, f.y));
    CHECK_OK(test_count(f.s, N, f.x, count, count + 1));
    CHECK_OK(test_affine(f.s, N, 2, 1, f.x));
    CHECK_OK(spx_download(f.s, f.back, f.y, sizeof(float)));
    CHECK_OK(spx_download(f.s, got, count, sizeof got));
    CHECK_OK(spx_stream_sync(f.s));
    assert_true(f.back[0] == N * (N - 1) / 2); /* below 2^24: exact in any order */
    assert_int_equal(got[0], N - 1);
    assert_int_equal(got[1], -1);
    CHECK_OK(spx_download(f.s, f.back, f.x, N * sizeof(float)));
    CHECK_OK(spx_stream_sync(f.s));
    for (int i = 0; i < N; i++) {
        assert_true(f.back[i] == 2.0f * (float)i + 1.0f);
    }
    spx_device_free(f.s, count);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(kernels_see_threads_blocks_shared_memory_and_warps),
    };
    if (spx_device_count(SPX_DEVICE_CUDA) == 0) {
        puts("no CUDA device here");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
