/*
 * Convolutions on the device cuda against the CPU's reference: every case, pass, precision and
 * layout of operands, by the own kernels and, where there is a device with it, by the library.
 */
#include "kernels/nn/conv2d/cuda/conv2d_cuda_private.h"
#include "tests/nn/conv2d_cuda_check.h"

static bool own_only; /* there is no library here */

static void check_pass(spx_stream *s, const operands *o, size_t at, spx_conv2d_pass pass, bool own)
{
    const spx_conv2d_cuda_want want = want_of(o, pass, own);
    spx_conv2d_plan *plan;
    CHECK_OK(spx_conv2d_plan_create(&plan, s, &want, NULL));
    assert_true(!own || strcmp(spx_conv2d_plan_choice(plan), "direct") == 0);
    check_run(s, plan, o, at, pass);
    spx_conv2d_plan_destroy(plan);
}

/* --- Tests ------------------------------------------------------------------------------------ */

/* Every case with one of the variants, another for each precision. Measuring candidates takes long,
 * so each is one pass then. */
static void check_all(bool own)
{
    for (int p = 0; p < SPX_PRECISION_COUNT; p++) {
        if (own && p == SPX_PRECISION_TF32) {
            continue; /* the same kernels as F32 */
        }
        spx_stream *s = open_stream((spx_precision)p);
        for (size_t i = 0; i < CONV2D_CASES; i++) {
            operands o;
            const spx_conv2d_shape d = few_images(&conv2d_cases[i]);
            operands_init(&o, &d, &variants[(i + (size_t)p) % VARIANTS], spx_activation_type(s));
            for (int pass = 0; pass < SPX_CONV2D_PASS_COUNT; pass++) {
                if ((own && spx_test_whole_tables()) ||
                    (i + (size_t)p) % SPX_CONV2D_PASS_COUNT == (size_t)pass) {
                    check_pass(s, &o, i, (spx_conv2d_pass)pass, own);
                }
            }
            operands_clear(&o);
        }
        spx_stream_destroy(s);
    }
}

SPX_TEST(own_kernels_agree_with_the_reference_on_every_case)
{
    SPX_UNUSED;
    check_all(true);
}

SPX_TEST(chosen_candidates_agree_with_the_reference_on_every_case)
{
    SPX_UNUSED;
    if (own_only) {
        skip();
    }
    check_all(false);
}

SPX_TEST(chosen_candidates_agree_with_the_reference_at_the_networks_sizes)
{
    SPX_UNUSED;
    if (own_only) {
        skip();
    }
    for (int p = 0; p < SPX_PRECISION_COUNT; p++) {
        spx_stream *s = open_stream((spx_precision)p);
        for (size_t i = 0; i < CONV2D_NETWORK_CASES; i++) {
            operands o;
            spx_conv2d_shape d = conv2d_network_cases[i].d;
            if (!spx_test_whole_tables() && !conv2d_network_case_is_first(i)) {
                continue;
            }
            d.n = 2;
            operands_init(&o, &d, &variants[(i + (size_t)p) % VARIANTS], spx_activation_type(s));
            check_pass(s, &o, i, (spx_conv2d_pass)((i / VARIANTS + (size_t)p) % 3), false);
            operands_clear(&o);
        }
        spx_stream_destroy(s);
    }
}

SPX_TEST(runs_are_bit_equal)
{
    SPX_UNUSED;
    for (int p = 0; p < SPX_PRECISION_COUNT; p++) {
        spx_stream *s = open_stream((spx_precision)p);
        for (size_t i = 0; i < CONV2D_CASES; i += 7) {
            operands o;
            const spx_conv2d_shape d = few_images(&conv2d_cases[i]);
            operands_init(&o, &d, &variants[1], spx_activation_type(s));
            const spx_conv2d_pass pass = (spx_conv2d_pass)(i / 7 % SPX_CONV2D_PASS_COUNT);
            const spx_conv2d_cuda_want want = want_of(&o, pass, own_only);
            spx_conv2d_plan *plan;
            result a, b;
            CHECK_OK(spx_conv2d_plan_create(&plan, s, &want, NULL));
            run(s, plan, &o, pass, &a);
            run(s, plan, &o, pass, &b);
            assert_memory_equal(a.main, b.main, a.size * sizeof(float));
            assert_memory_equal(a.bias, b.bias, a.bias_size * sizeof(float));
            result_clear(&a);
            result_clear(&b);
            spx_conv2d_plan_destroy(plan);
            operands_clear(&o);
        }
        spx_stream_destroy(s);
    }
}

/* A choice makes the plan that it names, without measuring; others are measured anew. */
SPX_TEST(choices_make_the_same_plan_and_strange_ones_are_measured)
{
    static const char *const strange[] = {
        "",
        "dir",
        "direct2",
        "engine=1,knobs=",
        "us=1.00,",
        "us=,direct",
        "us=-1.00,direct",
        "us=1.-1,direct",
        "us=1,direct",
        "us=99999999999.00,direct",
        "us=nan,direct",
        "cudnn=91900,packed=0,engine=999999,knobs=",
        "cudnn=91900,packed=2,engine=1,knobs=",
        "cudnn=99999999999999999999,packed=0,engine=1,knobs=",
        "cudnn=91900,packed=0,engine=-1,knobs=",
        "cudnn=91900,packed=0,engine=1,knobs=2:",
        "cudnn=91900,packed=0,engine=1,knobs=999999999:999999999",
        "%s%n",
    };
    SPX_UNUSED;
    spx_stream *s = open_stream(SPX_PRECISION_TF32);
    operands o;
    operands_init(&o, &conv2d_cases[8], &variants[0], SPX_TYPE_F32);
    const spx_conv2d_cuda_want want = want_of(&o, SPX_CONV2D_FORWARD, own_only);
    spx_conv2d_plan *plan, *again;
    result a, b;
    CHECK_OK(spx_conv2d_plan_create(&plan, s, &want, NULL));
    const char *choice = spx_conv2d_plan_choice(plan);
    assert_true(strlen(choice) < 256);
    CHECK_OK(spx_conv2d_plan_create(&again, s, &want, choice));
    assert_string_equal(spx_conv2d_plan_choice(again), choice);
    assert_true(spx_conv2d_plan_seconds(again) == spx_conv2d_plan_seconds(plan));
    assert_int_equal(spx_conv2d_plan_workspace(again), spx_conv2d_plan_workspace(plan));
    run(s, plan, &o, SPX_CONV2D_FORWARD, &a);
    run(s, again, &o, SPX_CONV2D_FORWARD, &b);
    assert_memory_equal(a.main, b.main, a.size * sizeof(float));
    result_clear(&a);
    result_clear(&b);
    spx_conv2d_plan_destroy(again);
    spx_conv2d_plan_destroy(plan);
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        CHECK_OK(spx_conv2d_plan_create(&plan, s, &want, strange[i]));
        assert_string_not_equal(spx_conv2d_plan_choice(plan), strange[i]);
        spx_conv2d_plan_destroy(plan);
    }
    operands_clear(&o);
    spx_stream_destroy(s);
}

SPX_TEST(bad_wants_and_operands_are_refused)
{
    SPX_UNUSED;
    spx_stream *s = open_stream(SPX_PRECISION_F32), *cpu;
    operands o;
    operands_init(&o, &conv2d_cases[8], &variants[0], SPX_TYPE_F32);
    const spx_conv2d_cuda_want good = want_of(&o, SPX_CONV2D_FORWARD, true);
    spx_conv2d_cuda_want bad[6] = {good, good, good, good, good, good};
    bad[0].shape.p++;
    bad[1].x_pixel = good.shape.c - 1;
    bad[2].y_first = 1;
    bad[3].pass = SPX_CONV2D_PASS_COUNT;
    bad[4].pass = SPX_CONV2D_BACKWARD_DATA;
    bad[4].bias = true;
    bad[5].x_pixel = (int64_t)1 << 60;
    spx_conv2d_plan *plan;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_conv2d_plan_create(&plan, s, &bad[i], NULL));
        assert_null(plan);
    }
    CHECK_OK(spx_stream_create(&cpu, SPX_DEVICE_CPU, 1));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_plan_create(&plan, cpu, &good, NULL));
    CHECK_OK(spx_conv2d_plan_create(&plan, s, &good, NULL));
    float number = 0;
    const spx_operand x = {&number, good.x_pixel, SPX_TYPE_F32},
                      y = {&number, good.y_pixel, SPX_TYPE_F32};
    const spx_operand none = {NULL, good.x_pixel, SPX_TYPE_F32},
                      other = {&number, good.x_pixel, SPX_TYPE_BF16},
                      wide = {&number, good.x_pixel + 1, SPX_TYPE_F32};
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward_cuda(plan, cpu, x, &number, NULL, y, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward_cuda(plan, s, none, &number, NULL, y, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward_cuda(plan, s, other, &number, NULL, y, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward_cuda(plan, s, wide, &number, NULL, y, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward_cuda(plan, s, x, NULL, NULL, y, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward_cuda(plan, s, x, &number, &number, y, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_backward_data_cuda(plan, s, y, &number, x, NULL));
    spx_conv2d_plan_destroy(plan);
    spx_conv2d_plan_destroy(NULL);
    operands_clear(&o);
    spx_stream_destroy(cpu);
    spx_stream_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(own_kernels_agree_with_the_reference_on_every_case),
        SPX_UNIT(chosen_candidates_agree_with_the_reference_on_every_case),
        SPX_UNIT(chosen_candidates_agree_with_the_reference_at_the_networks_sizes),
        SPX_UNIT(runs_are_bit_equal),
        SPX_UNIT(choices_make_the_same_plan_and_strange_ones_are_measured),
        SPX_UNIT(bad_wants_and_operands_are_refused),
    };
    if (spx_device_count(SPX_DEVICE_CUDA) == 0) {
        (void)printf("skipped: no CUDA device\n");
        return 77;
    }
    spx_stream *s;
    spx_conv2d_library *l = NULL;
    if (spx_stream_create(&s, SPX_DEVICE_CUDA, 1) == SPX_OK) {
        own_only = spx_conv2d_library_of(s, &l) != SPX_OK || l == NULL;
        spx_stream_destroy(s);
    }
    if (own_only) {
        (void)printf("own kernels only: %s\n", spx_error_message());
    }
    return cmocka_run_group_tests_name("conv2d_cuda", tests, NULL, NULL);
}
