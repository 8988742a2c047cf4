/* linear on CUDA against its specification in double. */
#include "tests/support/spx_cuda.h"

#include "kernels/nn/linear/linear_cuda.h"
#include "kernels/nn/linear/linear_private.h"
#include "tests/nn/linear_cases.h"
#include "tests/nn/network_sizes.h"

/* Whole batches where there is a device: the largest goes through the library. */
#ifdef SPX_CUDA_EMULATED
#define LINEAR_IMAGES(k) ((size_t)5)
#else
#define LINEAR_IMAGES(k) ((size_t)(k)[0])
#endif

static float *rounded(cuda_env *e, size_t n)
{
    float *x = pile_normal(&e->p, n, 0, 1);
    cuda_round(e->type, x, n);
    return x;
}

/* tf32: what rounding the operands of a product to 11 bits, twice, adds to its relative error */
static void check(cuda_env *e, size_t n, size_t f, size_t o, bool flag, double tf32)
{
    const int64_t in = (int64_t)n, ff = (int64_t)f, oo = (int64_t)o;
    float *x = rounded(e, n * f), *old_x = rounded(e, n * f);
    float *w = pile_normal(&e->p, o * f, 0, 1), *b = pile_normal(&e->p, o, 0, 1);
    float *dy = pile_normal(&e->p, n * o, 0, 1);
    float *y = pile_copy(&e->p, dy, n * o), *dx = pile_copy(&e->p, old_x, n * f);
    float *dw = pile_copy(&e->p, w, o * f), *db = pile_copy(&e->p, b, o);
    const cuda_tensor tx = cuda_tensor_of(e, x, f, n, f, 1, FORM_DENSE);
    const cuda_tensor tdx = cuda_tensor_of(e, old_x, f, n, f, 1, FORM_DENSE);
    const float *cw = cuda_floats(e, w, o * f), *cdy = cuda_floats(e, dy, n * o),
                *cb = cuda_floats(e, flag ? b : NULL, o);
    float *cy = cuda_floats(e, y, n * o), *cdw = cuda_floats(e, dw, o * f),
          *cdb = cuda_floats(e, db, o);
    void *scratch = cuda_bytes(e, spx_linear_cuda_workspace(in, ff, oo) + 1);
    spx_linear_args a = {.n = n, .f = f, .o = o, .x = x, .w = w, .b = flag ? b : NULL};
    CHECK_OK(spx_linear_forward_cuda(e->s, in, ff, oo, tx.x, cw, cb, cy, scratch));
    CHECK_OK(spx_linear_backward_data_cuda(e->s, in, ff, oo, cdy, cw, flag, tdx.x, scratch));
    CHECK_OK(
        spx_linear_backward_weights_cuda(e->s, in, ff, oo, tx.x, cdy, flag, cdw, cdb, scratch));
    cuda_queue_fetch(e, y, cy, n * o * sizeof *y);
    cuda_queue_fetch(e, dw, cdw, o * f * sizeof *dw);
    cuda_queue_fetch(e, db, cdb, o * sizeof *db);
    cuda_read(e, &tdx, dx, f);
    a.out = pile_bytes(&e->p, n * o * sizeof *a.out);
    spx_linear_forward_ref(&a);
    CHECK_CLOSE(y, a.out, n * o, linear_tolerance(f + 1) + tf32);
    a.dy = dy;
    a.accumulate = flag;
    a.out = pile_copy(&e->p, old_x, n * f);
    spx_linear_backward_data_ref(&a);
    CHECK_CLOSE(dx, a.out, n * f,
                linear_tolerance(o + 1) + tf32 + (e->type == SPX_TYPE_BF16 ? SPX_U_BF16 : 0));
    a.out = pile_copy(&e->p, w, o * f);
    a.db = pile_copy(&e->p, b, o);
    spx_linear_backward_weights_ref(&a);
    CHECK_CLOSE(dw, a.out, o * f, linear_tolerance(n + 1) + tf32);
    CHECK_CLOSE(db, a.db, o, linear_tolerance(n + 1));
    CHECK_OK(
        spx_linear_backward_weights_cuda(e->s, in, ff, oo, tx.x, cdy, false, cdw, NULL, scratch));
    cuda_clear(e);
}

static void cases_body(cuda_env *e, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < 2 * LINEAR_CASES; i++) {
        const size_t *k = linear_cases[i / 2];
        check(e, k[0], k[1], k[2], i % 2 == 1, 0);
    }
    for (size_t i = 0; i < NETWORK_LINEARS; i++) {
        const int64_t *k = network_linears[i];
        check(e, LINEAR_IMAGES(k), (size_t)k[1], (size_t)k[2], true, 0);
    }
}

SPX_TEST(all_passes_equal_the_matrix_products)
{
    SPX_UNUSED;
    cuda_on_types(cases_body, NULL);
}

SPX_TEST(tf32_products_differ_by_the_rounding_of_their_operands)
{
    SPX_UNUSED;
    for (size_t i = 0; i < NETWORK_LINEARS; i++) {
        const int64_t *k = network_linears[i];
        const spx_stream_options o = {.device = SPX_DEVICE_CUDA, .threads = 1};
        cuda_env e;
        cuda_open(&e, SPX_TYPE_F32);
        spx_stream *f32 = e.s;
        CHECK_OK(spx_stream_open(&e.s, &o));
        check(&e, LINEAR_IMAGES(k), (size_t)k[1], (size_t)k[2], i % 2 == 0, 2 * 0x1p-11);
        CHECK_OK(spx_stream_sync(e.s));
        spx_stream_destroy(e.s);
        e.s = f32;
        cuda_close(&e);
    }
}

static void bad_body(cuda_env *e, void *ctx)
{
    float *x = cuda_bytes(e, 64);
    const spx_nhwc t = {x, 2, e->type}, none = {NULL, 2, e->type};
    (void)ctx;
    CHECK_FAILS(SPX_EINVAL, spx_linear_forward_cuda(e->s, 0, 2, 2, t, x, x, x, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_linear_forward_cuda(e->s, 2, 2, 2, none, x, x, x, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_linear_backward_data_cuda(e->s, 2, 2, 2, x, NULL, false, t, NULL));
    CHECK_FAILS(SPX_EINVAL,
                spx_linear_backward_weights_cuda(e->s, 2, 2, 2, t, x, false, NULL, x, NULL));
}

SPX_TEST(bad_arguments_are_refused)
{
    SPX_UNUSED;
    cuda_on_types(bad_body, NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(all_passes_equal_the_matrix_products),
        SPX_UNIT(tf32_products_differ_by_the_rounding_of_their_operands),
        SPX_UNIT(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_cuda_run(all_tests);
}
