/*
 * How cuDNN is asked, on a machine without a GPU: the library answers for a described device. What
 * it is asked to make is finalised up to the plan, never run.
 */
#include "kernels/nn/conv2d/cuda/conv2d_cudnn_cuda_private.h"
#include "kernels/nn/conv2d/cuda/conv2d_plan_cuda_private.h"
#include "tests/nn/conv2d_cases.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

/* Public numbers of an H100 SXM, in the library's own words. */
static const char h100[] =
    "{\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64],"
    "\"regsPerBlock\": 65536, \"multiProcessorCount\": 132, \"warpSize\": 32,"
    "\"maxSharedMemoryPerBlock\": 49152, \"maxSharedMemoryPerBlockOptin\": 232448,"
    "\"reservedSharedMemoryPerBlock\": 1024, \"maxRegistersPerSM\": 65536, \"maxCtasPerSM\": 32,"
    "\"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048, \"pciDeviceId\": 0,"
    "\"isTccDriver\": 0, \"supportCoopLaunch\": 1, \"totalGlobalMem\": 85000000000,"
    "\"smClockRateKHz\": 1980000, \"memClockRateKHz\": 2619000, \"l2CacheSize\": 52428800,"
    "\"cudaDeviceId\": 0, \"deviceVer\": 900, \"driverVer\": 13000, \"deviceName\": \"H100\"}";

#define H100_BYTES ((size_t)85000000000)

static spx_conv2d_library *library;

/* What spx_conv2d_plan_init makes on a stream. */
static void plan_init(spx_conv2d_cuda_plan *p, const spx_conv2d_shape *shape, spx_conv2d_pass pass,
                      spx_precision precision, int64_t extra)
{
    *p = (spx_conv2d_cuda_plan){
        .base.want = {.shape = *shape, .pass = pass, .accumulate = extra > 0}};
    CHECK_OK(spx_conv2d_shape_init(&p->base.want.shape));
    p->base.want.x_stride = shape->c + extra;
    p->base.want.y_stride = shape->k + extra;
    p->base.type = precision == SPX_PRECISION_BF16 ? SPX_TYPE_BF16 : SPX_TYPE_F32;
    p->problem = (spx_conv2d_problem){
        .pass = pass, .type = p->base.type, .precision = precision, .deterministic = true};
}

/* Candidates of the list that can be made; each must then have the name that it was made from. */
static int made(spx_conv2d_cuda_plan *p)
{
    spx_conv2d_choices *c = malloc(sizeof *c);
    int n = 0;
    assert_non_null(c);
    CHECK_OK(spx_conv2d_plan_list(p, library, c));
    assert_true(c->count >= 1);
    assert_string_equal(c->text[c->count - 1], "direct");
    for (int i = 0; i < c->count; i++) {
        if (spx_conv2d_plan_take(p, library, c->text[i]) == SPX_OK) {
            assert_string_equal(p->base.choice, c->text[i]);
            assert_int_equal(p->engine == NULL, i == c->count - 1);
            n += p->engine != NULL;
        }
    }
    spx_conv2d_engine_destroy(p->engine);
    free(c);
    return n;
}

SPX_TEST(networks_convolutions_have_candidates_in_every_pass_and_precision)
{
    SPX_UNUSED;
    for (size_t i = 0; i < CONV2D_NETWORK_CASES * SPX_CONV2D_PASS_COUNT; i++) {
        const conv2d_network_case *c = &conv2d_network_cases[i / SPX_CONV2D_PASS_COUNT];
        const spx_conv2d_pass pass = (spx_conv2d_pass)(i % SPX_CONV2D_PASS_COUNT);
        const spx_precision precision =
            (spx_precision)((i + i / SPX_CONV2D_PASS_COUNT) % SPX_PRECISION_COUNT);
        spx_conv2d_cuda_plan p;
        plan_init(&p, &c->d, pass, precision, i % 2 == 0 ? 0 : 16);
        if (made(&p) == 0) {
            fail_msg("%s, pass %d, %s: no candidate", c->name, (int)pass,
                     spx_precision_name(precision));
        }
    }
}

/* Crops, one pixel, filters beyond the image: whatever the library says of them, it is asked
 * properly, and the own kernels are left. */
SPX_TEST(every_case_can_be_asked_for)
{
    SPX_UNUSED;
    int some = 0;
    for (size_t i = 0; i < CONV2D_CASES; i++) {
        spx_conv2d_cuda_plan p;
        plan_init(&p, &conv2d_cases[i], (spx_conv2d_pass)(i % SPX_CONV2D_PASS_COUNT),
                  (spx_precision)(i / 3 % SPX_PRECISION_COUNT), i % 4 == 0 ? 3 : 0);
        some += made(&p) > 0;
    }
    assert_true(some > (int)CONV2D_CASES / 2);
}

/* The notes of an engine by its number, read afresh. */
static int64_t notes_of(const spx_conv2d_problem *q, int64_t engine, int32_t notes[32])
{
    spx_cudnn_bag b = {.lib = library->lib};
    const cudnnBackendDescriptor_t g = spx_cudnn_graph(&b, library, q);
    const cudnnBackendDescriptor_t e = SPX_CUDNN_MAKE(&b, ENGINE);
    SPX_CUDNN_SET(&b, e, ENGINE_GLOBAL_INDEX, INT64, 1, &engine);
    SPX_CUDNN_SET(&b, e, ENGINE_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, &g);
    SPX_CUDNN_SET(&b, e, ENGINE_DEVICEPROP, BACKEND_DESCRIPTOR, 1, &library->properties);
    spx_cudnn_finalize(&b, e, "ENGINE");
    const int64_t n = SPX_CUDNN_GET(&b, e, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE, 32, notes);
    CHECK_OK(b.status);
    spx_cudnn_bag_clear(&b);
    return n;
}

SPX_TEST(candidates_keep_the_precision_and_determinism_asked_for)
{
    SPX_UNUSED;
    char text[SPX_CONV2D_EACH][SPX_CONV2D_TEXT];
    for (int i = 0; i < SPX_CONV2D_PASS_COUNT * SPX_PRECISION_COUNT; i++) {
        const spx_precision precision = (spx_precision)(i % SPX_PRECISION_COUNT);
        spx_conv2d_cuda_plan p;
        int count, tensor_cores = 0;
        plan_init(&p, &conv2d_network_cases[1].d, (spx_conv2d_pass)(i / SPX_PRECISION_COUNT),
                  precision, 0);
        spx_conv2d_problem *q = &p.problem;
        q->shape = p.base.want.shape;
        q->x_pixel = p.base.want.x_stride;
        q->y_pixel = p.base.want.y_stride;
        CHECK_OK(spx_conv2d_library_candidates(library, q, SPX_CONV2D_EACH, text, &count));
        assert_true(count > 0);
        for (int j = 0; j < count; j++) {
            int32_t notes[32];
            const int64_t n = notes_of(q, strtoll(text[j] + strlen("engine="), NULL, 10), notes);
            for (int64_t k = 0; k < n; k++) {
                assert_true(notes[k] != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
                assert_true(notes[k] != CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
                assert_true(notes[k] != CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);
                tensor_cores += notes[k] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
            }
        }
        assert_int_equal(tensor_cores > 0, precision != SPX_PRECISION_F32);
    }
}

/* Whether two names are of one engine and differ in its knobs. */
static bool same_engine(const char *a, const char *b)
{
    const size_t n = strcspn(a, ",");
    return strncmp(a, b, n + 1) == 0 && strcmp(a, b) != 0;
}

/* Bytes that a candidate's plan wants, or -1 where it cannot be made; its name must parse. */
static int64_t workspace_of(const spx_conv2d_problem *q, const char *text)
{
    spx_conv2d_engine *e;
    const spx_status st = spx_conv2d_engine_create(&e, library, q, text);
    assert_true(st == SPX_OK || st == SPX_EUNSUPPORTED);
    const int64_t bytes = st == SPX_OK ? (int64_t)spx_conv2d_engine_workspace(e) : -1;
    spx_conv2d_engine_destroy(e);
    return bytes;
}

/* Whether knobs change what an engine wants of scratch. With 16 channels they do not in the forward
 * pass, nor in the data gradient of 3x3: there the knobs only choose tiles and stages, and scratch
 * holds copies of the operands in another layout (4,203,536 bytes are the image's 4 MiB, the filter
 * and little more) or 131 bytes of bookkeeping. Version 9.19, for an H100, gave that for all
 * candidates of an engine. */
static bool knobs_take_scratch(spx_conv2d_pass pass, int64_t channels, int64_t filter)
{
    return channels != 16 || pass == SPX_CONV2D_BACKWARD_WEIGHTS ||
           (pass == SPX_CONV2D_BACKWARD_DATA && filter == 5);
}

/* An engine's defaults are not what the heuristic chose: the split of a weight gradient's sum, for
 * one, is a knob, and takes scratch. */
SPX_TEST(candidates_keep_the_knobs_that_the_heuristics_chose)
{
    SPX_UNUSED;
    char text[SPX_CONV2D_EACH][SPX_CONV2D_TEXT];
    for (int i = 0; i < 4 * SPX_CONV2D_PASS_COUNT; i++) {
        const int64_t c = i % 2 == 0 ? 16 : 64, side = c == 16 ? 32 : 8, r = i / 2 % 2 == 0 ? 3 : 5;
        const spx_conv2d_shape d = {64, c, side, side, c, r, r, 1, 1, r / 2, r / 2, 0, 0, 0};
        const spx_conv2d_pass pass = (spx_conv2d_pass)(i / 4);
        int count, knobs = 0, differ = 0;
        int64_t bytes[SPX_CONV2D_EACH];
        spx_conv2d_cuda_plan p;
        plan_init(&p, &d, pass, SPX_PRECISION_TF32, 0);
        spx_conv2d_problem *q = &p.problem;
        q->shape = p.base.want.shape;
        q->x_pixel = q->y_pixel = c;
        CHECK_OK(spx_conv2d_library_candidates(library, q, SPX_CONV2D_EACH, text, &count));
        for (int j = 0; j < count; j++) {
            bytes[j] = workspace_of(q, text[j]);
            knobs += strchr(text[j], ':') != NULL && bytes[j] >= 0;
            for (int k = 0; k < j; k++) {
                differ += same_engine(text[j], text[k]) && bytes[j] >= 0 && bytes[k] >= 0 &&
                          bytes[j] != bytes[k];
            }
        }
        if (knobs == 0 || (differ == 0 && knobs_take_scratch(pass, c, r))) {
            fail_msg("%lldx%lld, %lld channels, pass %d: of %d candidates %d have knobs, %d pairs "
                     "differ in scratch",
                     (long long)r, (long long)r, (long long)c, (int)pass, count, knobs, differ);
        }
    }
}

/* A weight gradient of small maps, whose sum is split 93 ways: 93 filters and more of scratch. */
SPX_TEST(a_large_device_has_scratch_for_split_sums)
{
    SPX_UNUSED;
    static const char text[] = "engine=34,knobs=0:93;2:7;5:2;14:5";
    const spx_conv2d_shape d = {64, 64, 8, 8, 64, 5, 5, 1, 1, 2, 2, 0, 0, 0};
    spx_conv2d_library *small;
    spx_conv2d_engine *e;
    spx_conv2d_cuda_plan p;
    if (library->lib->version / 100 != 919) {
        skip(); /* numbers of engines and knobs are a version's */
    }
    plan_init(&p, &d, SPX_CONV2D_BACKWARD_WEIGHTS, SPX_PRECISION_TF32, 0);
    p.problem.shape = p.base.want.shape;
    p.problem.x_pixel = p.problem.y_pixel = 64;
    assert_true(workspace_of(&p.problem, text) > (int64_t)93 * 64 * 64 * 25 * 4);
    CHECK_OK(spx_conv2d_library_for(h100, (size_t)8 << 30, &small));
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_conv2d_engine_create(&e, small, &p.problem, text));
    spx_conv2d_library_close(small);
}

SPX_TEST(an_unmeasured_plan_is_the_first_candidate_that_can_be_made)
{
    SPX_UNUSED;
    spx_conv2d_choices *c = malloc(sizeof *c);
    spx_conv2d_cuda_plan p;
    int first = 0;
    assert_non_null(c);
    plan_init(&p, &conv2d_network_cases[1].d, SPX_CONV2D_BACKWARD_WEIGHTS, SPX_PRECISION_TF32, 0);
    CHECK_OK(spx_conv2d_plan_list(&p, library, c));
    while (spx_conv2d_plan_take(&p, library, c->text[first]) != SPX_OK) {
        first++;
    }
    CHECK_OK(spx_conv2d_plan_take(&p, library, "direct"));
    CHECK_OK(spx_conv2d_plan_first(&p, library));
    assert_string_equal(p.base.choice, c->text[first]);
    assert_non_null(p.engine);
    assert_true(p.base.seconds == 0);
    CHECK_OK(spx_conv2d_plan_first(&p, NULL));
    assert_string_equal(p.base.choice, "direct");
    free(c);
}

/* Each fails with its status and a message, and leaves a plan that takes another choice. */
SPX_TEST(texts_that_name_no_candidate_are_refused)
{
    static const struct {
        const char *text; /* behind the version */
        spx_status status;
    } bad[] = {
        {"", SPX_EINVAL},
        {"packed=0", SPX_EINVAL},
        {"packed=0,", SPX_EINVAL},
        {"packed=2,engine=0,knobs=", SPX_EINVAL},
        {"packed=0,engine=,knobs=", SPX_EINVAL},
        {"packed=0,engine=0", SPX_EINVAL},
        {"packed=0,engine=-1,knobs=", SPX_EINVAL},
        {"packed=0,engine=0x1,knobs=", SPX_EINVAL},
        {"packed=0,engine=99999999999999999999,knobs=", SPX_EINVAL},
        {"packed=0,engine=0,knobs=1", SPX_EINVAL},
        {"packed=0,engine=0,knobs=1:", SPX_EINVAL},
        {"packed=0,engine=0,knobs=1:-", SPX_EINVAL},
        {"packed=0,engine=0,knobs=1:--2", SPX_EINVAL},
        {"packed=0,engine=0,knobs=-1:2", SPX_EINVAL},
        {"packed=0,engine=0,knobs=1:2;", SPX_EINVAL},
        {"packed=0,engine=0,knobs=1:2,", SPX_EINVAL},
        {"packed=0,engine=0,knobs=1:2 ", SPX_EINVAL},
        {"packed=0,engine=0,knobs=0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;"
         "0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;0:0;"
         "0:0;0:0;0:0",
         SPX_EINVAL},
        {"us=1.00,packed=0,engine=0,knobs=", SPX_EINVAL}, /* the time comes first */
        {"packed=1,engine=0,knobs=", SPX_EUNSUPPORTED},   /* nothing to pack here */
    };
    static const char *const unfit[] = {
        "packed=0,engine=999999,knobs=",     "packed=0,engine=0,knobs=2:999999",
        "packed=0,engine=0,knobs=2:-999999", "packed=0,engine=0,knobs=999999:0",
        "packed=0,engine=0,knobs=2:1;2:1",
    };
    SPX_UNUSED;
    char text[400];
    spx_conv2d_cuda_plan p;
    plan_init(&p, &conv2d_network_cases[1].d, SPX_CONV2D_FORWARD, SPX_PRECISION_TF32, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(text, sizeof text, "cudnn=%zu,%s", library->lib->version, bad[i].text);
        CHECK_FAILS(bad[i].status, spx_conv2d_plan_take(&p, library, text));
        assert_null(p.engine);
    }
    for (size_t i = 0; i < sizeof unfit / sizeof unfit[0]; i++) {
        (void)snprintf(text, sizeof text, "cudnn=%zu,%s", library->lib->version, unfit[i]);
        assert_true(spx_conv2d_plan_take(&p, library, text) != SPX_OK);
        assert_null(p.engine);
        assert_non_null(strstr(spx_error_message(), "engine="));
        assert_non_null(strstr(spx_error_message(), "CUDNN_STATUS"));
    }
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_plan_take(&p, library, "cudnn=1,packed=0,engine=0,knobs="));
    CHECK_FAILS(SPX_EINVAL, spx_conv2d_plan_take(&p, NULL, text));
    CHECK_OK(spx_conv2d_plan_take(&p, library, "direct"));
    (void)snprintf(text, sizeof text, "cudnn=%zu,packed=0,engine=0,knobs=", library->lib->version);
    CHECK_OK(spx_conv2d_plan_take(&p, library, text));
    spx_conv2d_engine_destroy(p.engine);
}

/* Slices and channels that are no multiple of a vector are packed or not; crops always are. */
SPX_TEST(layouts_copy_what_the_library_cannot_read)
{
    SPX_UNUSED;
    const spx_conv2d_shape crop = {2, 16, 16, 16, 8, 1, 1, 2, 1, -1, 0, 0, 0, 0};
    const spx_conv2d_shape five = {2, 5, 16, 16, 20, 3, 3, 1, 1, 1, 1, 0, 0, 0};
    spx_conv2d_cuda_plan p;
    char text[100];
    (void)snprintf(text, sizeof text, "cudnn=%zu,packed=0,engine=0,knobs=", library->lib->version);
    plan_init(&p, &crop, SPX_CONV2D_BACKWARD_DATA, SPX_PRECISION_TF32, 0);
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_conv2d_plan_take(&p, library, text));
    (void)snprintf(text, sizeof text, "cudnn=%zu,packed=1,engine=0,knobs=", library->lib->version);
    CHECK_OK(spx_conv2d_plan_take(&p, library, text));
    assert_true(p.copy_x && !p.copy_y && !p.copy_w);
    assert_int_equal(p.problem.shape.h, 15);
    assert_int_equal(p.problem.shape.pad_begin, 0);
    spx_conv2d_engine_destroy(p.engine);
    plan_init(&p, &five, SPX_CONV2D_FORWARD, SPX_PRECISION_TF32, 0);
    CHECK_OK(spx_conv2d_plan_take(&p, library, text));
    assert_true(p.copy_x && !p.copy_y && p.copy_w);
    assert_int_equal(p.problem.shape.c, 8);
    assert_int_equal(p.problem.shape.k, 20);
    spx_conv2d_engine_destroy(p.engine);
    plan_init(&p, &five, SPX_CONV2D_BACKWARD_WEIGHTS, SPX_PRECISION_BF16, 0);
    CHECK_OK(spx_conv2d_plan_take(&p, library, text));
    assert_true(p.copy_x && p.copy_y && p.copy_w);
    assert_int_equal(p.problem.shape.k, 24);
    assert_true(p.base.bytes >= 2 * (size_t)(2 * 16 * 16 * (8 + 24) + 24 * 9 * 8));
    spx_conv2d_engine_destroy(p.engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(networks_convolutions_have_candidates_in_every_pass_and_precision),
        SPX_UNIT(every_case_can_be_asked_for),
        SPX_UNIT(candidates_keep_the_precision_and_determinism_asked_for),
        SPX_UNIT(candidates_keep_the_knobs_that_the_heuristics_chose),
        SPX_UNIT(a_large_device_has_scratch_for_split_sums),
        SPX_UNIT(an_unmeasured_plan_is_the_first_candidate_that_can_be_made),
        SPX_UNIT(texts_that_name_no_candidate_are_refused),
        SPX_UNIT(layouts_copy_what_the_library_cannot_read),
    };
    if (spx_conv2d_library_for("{}", H100_BYTES, &library) == SPX_OK ||
        spx_conv2d_library_for(h100, H100_BYTES, &library) != SPX_OK) {
        (void)printf("skipped: %s\n", spx_error_message());
        return 77;
    }
    const int failed = cmocka_run_group_tests_name("conv2d_cudnn", tests, NULL, NULL);
    spx_conv2d_library_close(library);
    return failed;
}
