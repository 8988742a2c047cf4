/*
 * What plans do around the library: copies in both layouts, adding, biases, the choice by
 * measurement. The library is the fake one, whose convolutions are the own kernels'.
 */
#include "tests/nn/conv2d_check.h"

#include "kernels/nn/conv2d/cuda/conv2d_plan_cuda_private.h"

/* The plan of a choice, or NULL where the layout does not fit the operands. */
static spx_conv2d_plan *plan_of(spx_stream *s, const spx_conv2d_want *want, bool packed, int engine)
{
    char text[64];
    spx_conv2d_library *l;
    spx_conv2d_cuda_plan *p = calloc(1, sizeof *p);
    assert_non_null(p);
    (void)snprintf(text, sizeof text, "cudnn=90000,packed=%d,engine=%d,knobs=", packed, engine);
    CHECK_OK(spx_conv2d_library_of(s, &l));
    spx_conv2d_plan_init(p, s, want);
    p->base.backend = &spx_conv2d_cuda;
    const spx_status st = spx_conv2d_plan_take(p, l, text);
    if (st != SPX_OK) {
        assert_int_equal(st, SPX_EUNSUPPORTED);
        spx_conv2d_plan_destroy(&p->base);
        return NULL;
    }
    assert_string_equal(spx_conv2d_plan_choice(&p->base), text);
    return &p->base;
}

SPX_TEST(both_layouts_agree_with_the_reference)
{
    SPX_UNUSED;
    int plans[2] = {0, 0};
    for (int precision = SPX_PRECISION_F32; precision <= SPX_PRECISION_BF16; precision++) {
        spx_stream *s = open_cuda((spx_precision)precision);
        for (size_t i = 0; i < CONV2D_CASES; i++) { /* a pass and a variant each */
            operands o;
            const spx_conv2d_shape d = few_images(&conv2d_cases[i]);
            const size_t turn = i + (size_t)precision;
            operands_init(&o, s, &d, &variants[turn / 3 % VARIANTS]);
            const spx_conv2d_want want = want_of(s, &o, (spx_conv2d_pass)(turn % 3));
            for (int packed = 0; packed < 2; packed++) {
                spx_conv2d_plan *p = plan_of(s, &want, packed != 0, (int)i % 2);
                if (p != NULL) {
                    check_run(s, p, &o, i, want.pass);
                    plans[packed]++;
                }
                spx_conv2d_plan_destroy(p);
            }
            operands_clear(&o);
        }
        spx_stream_destroy(s);
    }
    assert_true(plans[0] > 60 && plans[1] > 60);
}

SPX_TEST(the_fastest_is_measured_and_made_again_from_its_text)
{
    SPX_UNUSED;
    spx_stream *s = open_cuda(SPX_PRECISION_BF16);
    for (size_t i = 0; i < 6; i++) {
        operands o;
        operands_init(&o, s, &conv2d_cases[4 + i], &variants[i % VARIANTS]);
        const spx_conv2d_want want = want_of(s, &o, (spx_conv2d_pass)(i % 3));
        spx_conv2d_plan *p, *again;
        CHECK_OK(spx_conv2d_plan_create(&p, s, &want, "cudnn=90000,packed=0,engine=2,knobs="));
        assert_true(spx_conv2d_plan_seconds(p) > 0);
        check_run(s, p, &o, 4 + i, want.pass);
        CHECK_OK(spx_conv2d_plan_create(&again, s, &want, spx_conv2d_plan_choice(p)));
        assert_string_equal(spx_conv2d_plan_choice(again), spx_conv2d_plan_choice(p));
        assert_true(spx_conv2d_plan_seconds(again) == spx_conv2d_plan_seconds(p));
        spx_conv2d_plan_destroy(p);
        spx_conv2d_plan_destroy(again);
        operands_clear(&o);
    }
    spx_stream_destroy(s);
}

/* In place the library reads vectors; copies take anything. */
SPX_TEST(operands_that_are_not_aligned_are_refused_in_place)
{
    SPX_UNUSED;
    spx_stream *s = open_cuda(SPX_PRECISION_F32);
    operands o;
    operands_init(&o, s, &conv2d_cases[22], &variants[0]);
    const spx_conv2d_want want = want_of(s, &o, SPX_CONV2D_FORWARD);
    spx_conv2d_plan *p = plan_of(s, &want, false, 0);
    assert_non_null(p);
    float *block;
    CHECK_OK(spx_device_alloc(s, (void **)&block, 4 * (o.x_size + o.y_size + o.w_size)));
    const spx_conv2d_input x = {.x = {block + 1, want.x_stride, SPX_TYPE_F32}};
    const spx_operand y = {block + o.x_size, want.y_stride, SPX_TYPE_F32};
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward(p, s, &x, block, NULL, y, NULL));
    spx_device_free(s, block);
    spx_conv2d_plan_destroy(p);
    operands_clear(&o);
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(both_layouts_agree_with_the_reference),
        SPX_UNIT(the_fastest_is_measured_and_made_again_from_its_text),
        SPX_UNIT(operands_that_are_not_aligned_are_refused_in_place),
    };
    if (spx_device_count(SPX_DEVICE_CUDA) == 0) {
        (void)printf("skipped: no CUDA device\n");
        return 77;
    }
    return cmocka_run_group_tests_name("conv2d_layouts_cuda", tests, NULL, NULL);
}
