/*
 * Convolutions on every device against the CPU's reference. On
 * the CPU every algorithm runs; on CUDA the own kernels and, where there is a library, what is
 * chosen by measurement.
 */
#include "tests/nn/conv2d_check.h"

#include "kernels/nn/conv2d/cuda/conv2d_cuda_private.h"
#include "tests/support/spx_devices.h"

static bool library; /* on CUDA there is one beside the own kernels */

static spx_stream *open_cpu(int threads)
{
    spx_stream *s;
    CHECK_OK(spx_stream_create(&s, SPX_DEVICE_CPU, threads));
    return s;
}

static spx_conv2d_plan *plan_of(spx_stream *s, const spx_conv2d_want *want, const char *choice)
{
    spx_conv2d_plan *p;
    CHECK_OK(spx_conv2d_plan_create(&p, s, want, choice));
    return p;
}

/* --- Every case on the CPU -------------------------------------------------------------------- */

/* Every pass through every algorithm but the reference, which comes last. */
static void check_algorithms(spx_stream *s, const operands *o, size_t at)
{
    for (int pass = 0; pass < SPX_CONV2D_PASS_COUNT; pass++) {
        const spx_conv2d_want want = want_of(s, o, (spx_conv2d_pass)pass);
        spx_conv2d_choices c;
        result expected;
        CHECK_OK(spx_conv2d_candidates(s, &want, &c));
        assert_true(c.count >= 1);
        assert_string_equal(c.text[c.count - 1], "reference");
        expect(s, o, (spx_conv2d_pass)pass, &expected);
        for (int i = 0; i < c.count - 1; i++) {
            spx_conv2d_plan *p = plan_of(s, &want, c.text[i]);
            assert_string_equal(spx_conv2d_plan_choice(p), c.text[i]);
            check_against(s, p, o, at, (spx_conv2d_pass)pass, &expected);
            spx_conv2d_plan_destroy(p);
        }
        result_clear(&expected);
    }
}

/* Every variant with two threads, one of them with one and three. */
static void check_cases_cpu(void)
{
    for (int threads = 1; threads <= 3; threads++) {
        spx_stream *s = open_cpu(threads);
        for (size_t i = 0; i < CONV2D_CASES * VARIANTS; i++) {
            const size_t at = i / VARIANTS, v = i % VARIANTS;
            operands o;
            if ((!spx_test_whole_tables() && (threads != 2 || v != at % VARIANTS)) ||
                (threads != 2 && v != (at + (size_t)threads) % VARIANTS)) {
                continue;
            }
            operands_init(&o, s, &conv2d_cases[at], &variants[v]);
            check_algorithms(s, &o, at);
            operands_clear(&o);
        }
        spx_stream_destroy(s);
    }
}

/* --- Every case on CUDA ----------------------------------------------------------------------- */

/* What is chosen, or the own kernels. */
static void check_pass(spx_stream *s, const operands *o, size_t at, spx_conv2d_pass pass, bool own)
{
    spx_conv2d_want want = want_of(s, o, pass);
    want.reference = own;
    spx_conv2d_plan *plan = plan_of(s, &want, NULL);
    assert_true(!own || strcmp(spx_conv2d_plan_choice(plan), "direct") == 0);
    check_run(s, plan, o, at, pass);
    spx_conv2d_plan_destroy(plan);
}

/* Every case with one of the variants, another for each precision. Measuring candidates takes long,
 * so each is one pass then. */
static void check_cases_cuda(bool own)
{
    for (int p = 0; p < SPX_PRECISION_COUNT; p++) {
        if (own && p == SPX_PRECISION_TF32) {
            continue; /* the same kernels as F32 */
        }
        spx_stream *s = open_cuda((spx_precision)p);
        for (size_t i = 0; i < CONV2D_CASES; i++) {
            operands o;
            const spx_conv2d_shape d = few_images(&conv2d_cases[i]);
            operands_init(&o, s, &d, &variants[(i + (size_t)p) % VARIANTS]);
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

/* --- Tests ------------------------------------------------------------------------------------ */

SPX_TEST(every_candidate_agrees_with_the_reference_on_every_case)
{
    SPX_UNUSED;
    if (env_device == SPX_DEVICE_CPU) {
        check_cases_cpu();
        return;
    }
    check_cases_cuda(true);
    if (library) {
        check_cases_cuda(false);
    }
}

static void check_network_case(spx_stream *s, size_t i, const variant *v, int pass)
{
    spx_conv2d_shape d = conv2d_network_cases[i].d;
    const bool cpu = spx_stream_device(s) == SPX_DEVICE_CPU;
    operands o;
    if (!spx_test_whole_tables() && !conv2d_network_case_is_first(i)) {
        return;
    }
    d.n = cpu ? 1 : 2;
    operands_init(&o, s, &d, v);
    if (cpu) {
        check_algorithms(s, &o, i);
    } else {
        check_pass(s, &o, i, (spx_conv2d_pass)pass, false);
    }
    operands_clear(&o);
}

SPX_TEST(every_candidate_agrees_with_the_reference_at_the_networks_sizes)
{
    SPX_UNUSED;
    if (env_device == SPX_DEVICE_CPU) {
        spx_stream *s = open_cpu(2);
        for (size_t i = 0; i < CONV2D_NETWORK_CASES; i++) {
            check_network_case(s, i, &variants[i % VARIANTS], 0);
        }
        spx_stream_destroy(s);
    }
    for (int p = 0; library && p < SPX_PRECISION_COUNT; p++) {
        spx_stream *s = open_cuda((spx_precision)p);
        for (size_t i = 0; i < CONV2D_NETWORK_CASES; i++) {
            check_network_case(s, i, &variants[(i + (size_t)p) % VARIANTS],
                               (int)((i / VARIANTS + (size_t)p) % 3));
        }
        spx_stream_destroy(s);
    }
}

static void check_bits(spx_stream *s, spx_stream *other, const operands *o, spx_conv2d_pass pass,
                       const char *choice)
{
    spx_conv2d_want want = want_of(s, o, pass);
    want.reference = spx_stream_device(s) == SPX_DEVICE_CUDA && !library;
    spx_conv2d_plan *plan = plan_of(s, &want, choice);
    spx_conv2d_plan *again = plan_of(other, &want, spx_conv2d_plan_choice(plan));
    result a, b;
    assert_string_equal(spx_conv2d_plan_choice(again), spx_conv2d_plan_choice(plan));
    run(s, plan, o, pass, &a);
    run(other, again, o, pass, &b);
    assert_memory_equal(a.main, b.main, a.size * sizeof(float));
    assert_memory_equal(a.bias, b.bias, a.bias_size * sizeof(float));
    result_clear(&a);
    result_clear(&b);
    spx_conv2d_plan_destroy(plan);
    spx_conv2d_plan_destroy(again);
}

/* On the CPU outputs and input gradients for any thread count, weight gradients for the same. */
static void check_bits_cpu(void)
{
    spx_stream *s[3];
    for (int i = 0; i < 3; i++) {
        s[i] = open_cpu(i + 1);
    }
    for (size_t i = 0; i < CONV2D_CASES; i += spx_test_whole_tables() ? 1 : 5) {
        operands o;
        operands_init(&o, s[0], &conv2d_cases[i], &variants[1]);
        for (int k = 0; k < 3 * SPX_CONV2D_PASS_COUNT; k++) {
            const spx_conv2d_pass pass = (spx_conv2d_pass)(k / 3);
            const spx_conv2d_want want = want_of(s[0], &o, pass);
            spx_stream *one = s[pass == SPX_CONV2D_BACKWARD_WEIGHTS ? k % 3 : 0];
            spx_conv2d_choices c;
            CHECK_OK(spx_conv2d_candidates(s[0], &want, &c));
            for (int j = 0; j < c.count - 1; j++) {
                check_bits(one, s[k % 3], &o, pass, c.text[j]);
            }
        }
        operands_clear(&o);
    }
    for (int i = 0; i < 3; i++) {
        spx_stream_destroy(s[i]);
    }
}

SPX_TEST(results_do_not_depend_on_threads_or_the_run)
{
    SPX_UNUSED;
    if (env_device == SPX_DEVICE_CPU) {
        check_bits_cpu();
        return;
    }
    for (int p = 0; p < SPX_PRECISION_COUNT; p++) {
        spx_stream *s = open_cuda((spx_precision)p);
        for (size_t i = 0; i < CONV2D_CASES; i += 7) {
            operands o;
            const spx_conv2d_shape d = few_images(&conv2d_cases[i]);
            operands_init(&o, s, &d, &variants[1]);
            check_bits(s, s, &o, (spx_conv2d_pass)(i / 7 % SPX_CONV2D_PASS_COUNT), NULL);
            operands_clear(&o);
        }
        spx_stream_destroy(s);
    }
}

SPX_TEST(impossible_shapes_are_refused)
{
    SPX_UNUSED;
    const spx_conv2d_shape good = {
        .n = 1, .c = 1, .h = 8, .w = 8, .k = 1, .r = 3, .s = 3, .stride = 1, .dilation = 1};
    spx_conv2d_shape d = good;
    CHECK_OK(spx_conv2d_shape_init(&d));
    assert_int_equal(d.p, 6);
    const struct {
        size_t field;
        int64_t value;
    } bad[] = {
        {offsetof(spx_conv2d_shape, n), 0},
        {offsetof(spx_conv2d_shape, n), -1},
        {offsetof(spx_conv2d_shape, c), 0},
        {offsetof(spx_conv2d_shape, k), 0},
        {offsetof(spx_conv2d_shape, h), 0},
        {offsetof(spx_conv2d_shape, h), 2},
        {offsetof(spx_conv2d_shape, w), 2},
        {offsetof(spx_conv2d_shape, r), 0},
        {offsetof(spx_conv2d_shape, r), 12},
        {offsetof(spx_conv2d_shape, s), 9},
        {offsetof(spx_conv2d_shape, stride), 0},
        {offsetof(spx_conv2d_shape, stride), 5},
        {offsetof(spx_conv2d_shape, dilation), 0},
        {offsetof(spx_conv2d_shape, dilation), 9},
        {offsetof(spx_conv2d_shape, dilation), 4},
        {offsetof(spx_conv2d_shape, pad_begin), -5},
        {offsetof(spx_conv2d_shape, pad_end), -5},
        {offsetof(spx_conv2d_shape, groups), -1},
        {offsetof(spx_conv2d_shape, groups), 2},
        {offsetof(spx_conv2d_shape, groups), INT64_MAX},
        {offsetof(spx_conv2d_shape, n), INT64_MAX},
        {offsetof(spx_conv2d_shape, c), INT64_MAX},
        {offsetof(spx_conv2d_shape, h), INT64_MAX},
        {offsetof(spx_conv2d_shape, k), (int64_t)1 << 39},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d = good;
        memcpy((char *)&d + bad[i].field, &bad[i].value, sizeof bad[i].value);
        CHECK_FAILS(SPX_EINVAL, spx_conv2d_shape_init(&d));
    }
}

/* --- Choices, and what is refused, on every device -------------------------------------------- */

static spx_stream *open_device(void)
{
    return env_device == SPX_DEVICE_CPU ? open_cpu(1) : open_cuda(SPX_PRECISION_TF32);
}

/* A choice makes the plan that it names, without measuring; others are measured anew. */
SPX_TEST(choices_make_the_same_plan_and_strange_ones_are_measured)
{
    SPX_UNUSED;
    spx_stream *s = open_device();
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
        "onednn",
        "Planar",
        "cudnn=91900,packed=0,engine=999999,knobs=",
        "cudnn=91900,packed=2,engine=1,knobs=",
        "cudnn=99999999999999999999,packed=0,engine=1,knobs=",
        "cudnn=91900,packed=0,engine=-1,knobs=",
        "cudnn=91900,packed=0,engine=1,knobs=2:",
        "cudnn=91900,packed=0,engine=1,knobs=999999999:999999999",
        "%s%n",
    };
    operands o;
    operands_init(&o, s, &conv2d_cases[8], &variants[0]);
    spx_conv2d_want want = want_of(s, &o, SPX_CONV2D_FORWARD);
    spx_conv2d_plan *plan = plan_of(s, &want, NULL);
    const char *choice = spx_conv2d_plan_choice(plan);
    assert_true(strlen(choice) < SPX_CONV2D_CHOICE);
    spx_conv2d_plan *again = plan_of(s, &want, choice);
    assert_string_equal(spx_conv2d_plan_choice(again), choice);
    assert_true(spx_conv2d_plan_seconds(again) == spx_conv2d_plan_seconds(plan));
    assert_int_equal(spx_conv2d_plan_workspace(again), spx_conv2d_plan_workspace(plan));
    spx_conv2d_plan_destroy(again);
    spx_conv2d_plan_destroy(plan);
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        plan = plan_of(s, &want, strange[i]);
        assert_string_not_equal(spx_conv2d_plan_choice(plan), strange[i]);
        check_run(s, plan, &o, 8, SPX_CONV2D_FORWARD);
        spx_conv2d_plan_destroy(plan);
    }
    want.unmeasured = true;
    plan = plan_of(s, &want, NULL);
    assert_true(spx_conv2d_plan_seconds(plan) == 0);
    check_run(s, plan, &o, 8, SPX_CONV2D_FORWARD);
    spx_conv2d_plan_destroy(plan);
    operands_clear(&o);
    spx_stream_destroy(s);
}

static void refuse(spx_stream *s, spx_status st, const spx_conv2d_want *want)
{
    spx_conv2d_choices c;
    spx_conv2d_plan *plan;
    CHECK_FAILS(st, spx_conv2d_plan_create(&plan, s, want, NULL));
    assert_null(plan);
    CHECK_FAILS(st, spx_conv2d_candidates(s, want, &c));
    assert_int_equal(c.count, 0);
}

/* The CPU's forward adds to nothing; CUDA normalises and rectifies nothing on the way. */
SPX_TEST(wants_that_a_device_cannot_do_are_refused)
{
    SPX_UNUSED;
    spx_stream *s = open_device();
    const bool cpu = spx_stream_device(s) == SPX_DEVICE_CPU;
    operands o;
    operands_init(&o, s, &conv2d_cases[8], &variants[0]);
    const spx_conv2d_want good = want_of(s, &o, SPX_CONV2D_FORWARD);
    spx_conv2d_want bad[] = {good, good, good, good, good, good};
    bad[0].shape.p++;
    bad[1].x_stride = good.x_stride - 1;
    bad[2].x_stride = (int64_t)1 << 60;
    bad[3].pass = SPX_CONV2D_PASS_COUNT;
    bad[4].pass = SPX_CONV2D_BACKWARD_DATA;
    bad[4].bias = true;
    bad[5].pass = SPX_CONV2D_BACKWARD_DATA;
    bad[5].fused = true;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        refuse(s, SPX_EINVAL, &bad[i]);
    }
    spx_conv2d_want more = good;
    if (cpu) {
        more.accumulate = true;
    } else {
        more.fused = true;
        bad[0] = good;
        bad[0].y_first = 1;
        refuse(s, SPX_EINVAL, &bad[0]);
    }
    refuse(s, SPX_EUNSUPPORTED, &more);
    more.pass = SPX_CONV2D_BACKWARD_WEIGHTS;
    if (!cpu) {
        refuse(s, SPX_EUNSUPPORTED, &more);
    }
    operands_clear(&o);
    spx_stream_destroy(s);
}

SPX_TEST(operands_that_are_not_those_of_the_plan_are_refused)
{
    SPX_UNUSED;
    spx_stream *s = open_device();
    operands o;
    operands_init(&o, s, &conv2d_cases[8], &variants[0]);
    spx_conv2d_want want = want_of(s, &o, SPX_CONV2D_FORWARD);
    want.reference = true;
    spx_conv2d_plan *p = plan_of(s, &want, NULL);
    spx_stream *other = open_cpu(2);
    float number = 0;
    const spx_operand y = {&number, want.y_stride, SPX_TYPE_F32};
    const spx_conv2d_input in = {.x = {&number, want.x_stride, SPX_TYPE_F32}};
    spx_conv2d_input bad[] = {in, in, in, in, in, in};
    bad[0].x.data = NULL;
    bad[1].x.type = SPX_TYPE_BF16;
    bad[2].x.stride++;
    bad[3].mean = &number;
    bad[4].mean = bad[4].invstd = &number; /* not what the plan was made for */
    bad[5].relu = true;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward(p, s, &bad[i], &number, NULL, y, NULL));
    }
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward(p, other, &in, &number, NULL, y, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward(p, s, &in, NULL, NULL, y, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_forward(p, s, &in, &number, &number, y, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_backward_data(p, s, y, &number, in.x, NULL));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_backward_weights(p, s, &in, y, &number, NULL, NULL));
    spx_conv2d_plan_destroy(p);
    spx_conv2d_plan_destroy(NULL);
    spx_stream_destroy(other);
    operands_clear(&o);
    spx_stream_destroy(s);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        SPX_UNIT(every_candidate_agrees_with_the_reference_on_every_case),
        SPX_UNIT(every_candidate_agrees_with_the_reference_at_the_networks_sizes),
        SPX_UNIT(results_do_not_depend_on_threads_or_the_run),
        SPX_UNIT(choices_make_the_same_plan_and_strange_ones_are_measured),
        SPX_UNIT(wants_that_a_device_cannot_do_are_refused),
        SPX_UNIT(operands_that_are_not_those_of_the_plan_are_refused),
    };
    const struct CMUnitTest cpu[] = {
        SPX_UNIT(impossible_shapes_are_refused),
    };
    if (env_device == SPX_DEVICE_CPU) {
        return cmocka_run_group_tests_name("conv2d, shapes", cpu, NULL, NULL) +
               cmocka_run_group_tests_name("conv2d, cpu", all, NULL, NULL);
    }
#ifdef SPX_HAVE_CUDA
    spx_stream *s;
    spx_conv2d_library *l = NULL;
    if (spx_stream_create(&s, SPX_DEVICE_CUDA, 1) == SPX_OK) {
        library = spx_conv2d_library_of(s, &l) == SPX_OK && l != NULL;
        (void)printf("%s\n", library ? "with the library" : "own kernels only");
        spx_stream_destroy(s);
    }
#endif
    return cmocka_run_group_tests_name("conv2d, cuda", all, NULL, NULL);
}

int main(void)
{
    return spx_run_devices(tests);
}
