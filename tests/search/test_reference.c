#define _POSIX_C_SOURCE 200809L
#include "search/space/audit.h"
#include "search/space/reference.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

/* Names a network for square inputs. */
static spx_final_spec named(const char *text, int64_t side, int64_t classes)
{
    spx_final_spec f = {.input = {3, side, side}, .classes = classes};
    CHECK_OK(spx_reference_parse(f.reference, text, &f.input));
    return f;
}

/* Published ReLUs; multiply-adds in millions, and parameters, of torchvision's models to the last,
 * are counts of other programs or by hand; see the works in reference.h. */
static const struct {
    const char *text;
    int64_t side, classes, relus, params; /* params below 0: not known */
    double mmacs;                         /* 0: not known */
} counts[] = {
    {"resnet18", 32, 100, 557056, 11220132, 555.5},
    {"resnet18,stem_relu=0", 32, 100, 491520, 11220132, 555.5},
    {"resnet18", 64, 200, 2228224, 11271432, 2221.8},
    {"resnet18,stem_relu=0", 64, 200, 1966080, 11271432, 2221.8},
    {"resnet18", 224, 1000, 2308096, 11689512, 1814},
    {"resnet18,width=16", 32, 100, 139264, -1, 0},
    {"resnet18,width=16,stem_relu=0", 32, 100, 122880, -1, 0},
    {"resnet34", 32, 100, 966656, -1, 1159},
    {"resnet34,stem_relu=0", 32, 100, 901120, -1, 1159},
    {"resnet34", 64, 200, 3866624, -1, 4638},
    {"resnet34,stem_relu=0", 64, 200, 3604480, -1, 4638},
    {"resnet34", 224, 1000, 3562496, 21797672, 3664},
    {"resnet50", 224, 1000, 9608704, 25557032, 4089},
    {"resnet50", 32, 100, 2940928, -1, 1298},
    {"resnet32", 32, 10, 303104, 466906, 69.1},
    {"wrn-22-8", 32, 100, 1359872, -1, 2454},
    {"wrn-22-8,last_relu=1", 32, 100, 1392640, -1, 2454},
    {"wrn-22-8", 64, 200, 5439488, -1, 9817},
    {"wrn-22-8,last_relu=1", 64, 200, 5570560, -1, 9817},
    {"vgg16", 32, 100, 276480, -1, 0},
    {"vgg16", 224, 1000, 13555712, 138357544, 15470},
    {"densenet121", 224, 1000, 15667456, 7978856, 2834},
    {"squeezenet1_1", 224, 1000, 2589352, 1235496, 349},
    {"mobilenet_v2", 224, 1000, 6105792, 3504872, 300.8},
    {"hybrenet", 32, 100, 343040, -1, 1053},
    {"hybrenet,m=32,alpha=2", 32, 100, 372736, -1, 710},
    {"cnet1", 32, 100, 86016, -1, 100},
    {"cnet2", 32, 100, 344064, -1, 1297},
    {"cnet2,skips=none", 32, 100, 344064, -1, 0},
    {"cnet2,skips=all", 32, 100, 344064, -1, 0},
    {"cnet3", 32, 100, 1376256, -1, 11485},
    {"cnet,layers=24,width=56", 32, 100, 1376256, -1, 0},
    {"cnet,layers=5,width=1", 32, 10, 5120, -1, 0},
    {"cnet,layers=5,width=2", 32, 10, 10240, -1, 0},
    {"cnet,layers=10,width=1,skips=all,kernels=2", 32, 10, 10240, -1, 0},
    {"cnet,layers=2,width=2", 32, 10, 4096, -1, 0},
    {"cnet,layers=1,width=5", 32, 10, 5120, -1, 0},
    {"deepreduce,cull=1", 32, 100, 229376, -1, 555},
    {"deepreduce,cull=1+4", 32, 100, 196608, -1, 555},
    {"deepreduce,cull=1,thin=1", 32, 100, 114688, -1, 555},
    {"deepreduce,cull=1,thin=1,alpha=0.5", 32, 100, 57344, -1, 139},
    {"deepreduce,cull=1+4,thin=1,alpha=0.5", 32, 100, 49152, -1, 139},
    {"deepreduce,cull=1,thin=1,rho=0.5", 32, 100, 28672, -1, 139},
    {"deepreduce,cull=1,thin=1,alpha=0.5,rho=0.5", 32, 100, 14336, -1, 35},
    {"deepreduce,cull=1+4,thin=1,alpha=0.5,rho=0.5", 32, 100, 12288, -1, 35},
    {"deepreduce,cull=1,thin=1,alpha=0.5,rho=0.5,blocks=2+1+1+1", 32, 100, 7168, -1, 0},
    {"deepreduce,cull=1", 64, 200, 917504, -1, 0},
    {"deepreduce,cull=1,thin=1", 64, 200, 458752, -1, 0},
    {"deepreduce,cull=1+2", 64, 200, 393216, -1, 0},
    {"deepreduce,cull=1+2,thin=1,alpha=0.5", 64, 200, 98304, -1, 0},
    {"deepreduce,cull=1+2,thin=1,rho=0.5", 64, 200, 49152, -1, 0},
};

SPX_TEST(networks_count_as_published)
{
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const spx_final_spec f = named(counts[i].text, counts[i].side, counts[i].classes);
        spx_counts n;
        CHECK_OK(spx_final_count(&f, false, &n));
        const double off = 1e-6 * (double)n.macs - counts[i].mmacs; /* it is rounded to 1 */
        if (n.relus != counts[i].relus || (counts[i].params >= 0 && n.params != counts[i].params) ||
            (counts[i].mmacs > 0 && fabs(off) > 0.5)) {
            fail_msg("%s: %lld ReLUs, %lld parameters, %lld multiply-adds", counts[i].text,
                     (long long)n.relus, (long long)n.params, (long long)n.macs);
        }
    }
}

SPX_TEST(a_text_becomes_its_canonical_form_which_names_itself)
{
    static const struct {
        const char *text;
        int64_t side;
        const char *canonical;
    } cases[] = {
        {"resnet18", 32, "resnet18,form=32,stem_relu=1,width=64"},
        {"resnet18,width=4,stem_relu=0", 28, "resnet18,form=32,stem_relu=0,width=4"},
        {"resnet18,form=64", 32, "resnet18,form=64,stem_relu=1,width=64"},
        {"resnet18,form=224", 64, "resnet18,form=224,stem_relu=1,width=64,pool=max"},
        {"resnet50,pool=avg", 160, "resnet50,form=224,stem_relu=1,width=64,pool=avg"},
        {"vgg16", 64, "vgg16,form=64,bn=1,width=64,pool=max"},
        {"vgg16", 224, "vgg16,form=224,bn=0,width=64,pool=max"},
        {"deepreduce,alpha=0.50", 32,
         "deepreduce,form=32,cull=none,thin=0,alpha=0.5,rho=1,blocks=2+2+2+2"},
        {"cnet1,skips=none", 32, "cnet1,form=32,width=14,kernels=300011,skips=none"},
        {"cnet1,kernels=2", 32, "cnet1,form=32,width=14,kernels=222222,skips=x6006"},
        {"cnet,layers=5,width=1", 32, "cnet,form=32,layers=5,width=1,kernels=00000,skips=none"},
        {"cnet,layers=3,skips=x4", 32, "cnet,form=32,layers=3,width=14,kernels=000,skips=x4"},
    };
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const spx_final_spec f = named(cases[i].text, cases[i].side, 10);
        char again[SPX_REFERENCE_CHARS];
        assert_string_equal(f.reference, cases[i].canonical);
        CHECK_OK(spx_reference_parse(again, f.reference, &f.input));
        assert_string_equal(again, f.reference);
    }
}

/* Each refusal says what is possible. */
SPX_TEST(what_names_no_network_is_refused)
{
    static const struct {
        const char *text;
        int64_t side;
        const char *told;
    } cases[] = {
        {"", 32, "there are resnet18, "},
        {"resnet19", 32, "network 'resnet19': unknown; there are resnet18, resnet34, "},
        {"resnet18,bn=1", 32, "no key 'bn'; it has form, stem_relu, width, pool"},
        {"resnet18,", 32, "no key ''"},
        {"resnet18,width", 32, "expected width=VALUE"},
        {"resnet18,width=", 32, "expected width=VALUE"},
        {"resnet18,width=0", 32, "width=0: expected a whole number of 1 to 1024"},
        {"resnet18,width=-4", 32, "width=-4: expected"},
        {"resnet18,width=4.5", 32, "width=4.5: expected a whole number"},
        {"resnet18,width=1e2", 32, "width=1e2: expected"},
        {"resnet18,width=0x10", 32, "width=0x10: expected"},
        {"resnet18,width=nan", 32, "width=nan: expected"},
        {"resnet18,width=4,width=4", 32, "width is given twice"},
        {"resnet18,stem_relu=2", 32, "stem_relu=2: expected 0|1"},
        {"resnet18,pool=avg", 32, "pool means nothing with form=32"},
        {"resnet18,form=48", 32, "form=48: expected 32|64|224"},
        {"resnet18,form=224", 32, "does not take inputs of 32x32"},
        {"resnet18", 8,
         "form=32 of 16 to 63, form=64 of 32 to 127, form=224 of 64 to 4096 (such as --input "
         "3x32x32)"},
        {"resnet32", 224, "does not take inputs of 224x224; rows and columns: form=32 of 16 to 63"},
        {"densenet121", 32, "form=224 of 64 to 4096 (such as --input 3x224x224)"},
        {"mobilenet_v2", 32, "(such as --input 3x224x224)"},
        {"vgg16", 256, "form=224 of 224 to 255"},
        {"deepreduce,cull=4+1", 32, "cull=4+1: expected none or stages of 1 to 4, ascending"},
        {"deepreduce,cull=1+1", 32, "expected none or stages"},
        {"deepreduce,cull=1+", 32, "expected none or stages"},
        {"deepreduce,cull=5", 32, "expected none or stages"},
        {"deepreduce,cull=1+2+3+4+4", 32, "expected none or stages"},
        {"deepreduce,blocks=2+2", 32, "expected four numbers of 1 to 64"},
        {"deepreduce,blocks=0+1+1+1", 32, "expected four numbers of 1 to 64"},
        {"deepreduce,alpha=0", 32, "alpha=0: expected 0.015625"},
        {"deepreduce,rho=2", 32, "rho=2: expected 1|0.5|0.25"},
        {"cnet1,kernels=12", 32, "expected 6 digits of 0 to 3"},
        {"cnet1,kernels=400011", 32, "expected 6 digits of 0 to 3"},
        {"cnet1,layers=5", 32, "no key 'layers'"},
        {"cnet,layers=0", 32, "layers=0: expected a whole number of 1 to 24"},
        {"cnet,layers=25", 32, "layers=25: expected a whole number of 1 to 24"},
        {"cnet,layers=5,kernels=0123", 32, "expected 5 digits of 0 to 3, one a layer, or one for"},
        {"cnet,layers=5,kernels=4", 32, "expected 5 digits"},
    };
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const spx_input_shape in = {3, cases[i].side, cases[i].side};
        char out[SPX_REFERENCE_CHARS];
        CHECK_FAILS(SPX_EINVAL, spx_reference_parse(out, cases[i].text, &in));
        if (strstr(spx_error_message(), cases[i].told) == NULL) {
            fail_msg("'%s': %s", cases[i].text, spx_error_message());
        }
    }
}

/* Parses cnet1 with a file of that text. */
static spx_status with_skips(const char *text, char out[SPX_REFERENCE_CHARS])
{
    const spx_input_shape in = {3, 32, 32};
    spx_scratch s;
    char named_so[SPX_REFERENCE_CHARS];
    assert_int_equal(spx_scratch_make(&s), 0);
    const char *path = spx_scratch_path(&s, "s");
    spx_scratch_write_text(path, text);
    (void)snprintf(named_so, sizeof named_so, "cnet1,skips=%s", path);
    const spx_status st = spx_reference_parse(out, named_so, &in);
    spx_scratch_remove(&s);
    return st;
}

SPX_TEST(a_file_of_skips_becomes_part_of_the_name)
{
    char out[SPX_REFERENCE_CHARS];
    SPX_UNUSED;
    CHECK_OK(with_skips("3\n0 0\n0 1 1\n 0 0 0 0 \n1 0 0 0 0\n1\t0 0 0 1 1\n\n", out));
    assert_string_equal(out, "cnet1,form=32,width=14,kernels=300011,skips=x6006");
    CHECK_OK(with_skips("0\n1 1\n2 1 1\n3 1 1 1\n2 1 1 1 1\n1 1 1 1 1 1", out));
    assert_string_equal(out, "cnet1,form=32,width=14,kernels=012321,skips=all");
    static const struct {
        const char *text, *told;
    } refused[] = {
        {"", "line 1: expected a kernel of 0 to 3 and 0 bits"},
        {"4\n", "line 1"},
        {"0\n0 2\n", "line 2: expected a kernel of 0 to 3 and 1 bit "},
        {"0\n0 1 1\n", "line 2"},
        {"0\n0 1\n0 1\n", "line 3: expected a kernel of 0 to 3 and 2 bits"},
        {"0\n1 1\n2 1 1\n3 1 1 1\n2 1 1 1 1\n1 1 1 1 1 1\n0", "line 7: the network has 6 layers"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        CHECK_FAILS(SPX_EFORMAT, with_skips(refused[i].text, out));
        if (strstr(spx_error_message(), refused[i].told) == NULL) {
            fail_msg("'%s': %s", refused[i].text, spx_error_message());
        }
    }
}

/* A model file's text may come from a stranger: it opens no file and builds nothing odd. */
SPX_TEST(no_text_of_a_model_file_reads_files_or_lacks_a_check)
{
    static const char *const refused[] = {
        "cnet1,form=32,width=14,kernels=300011,skips=/etc/passwd",
        "cnet1,form=32,width=14,kernels=300011,skips=x600",
        "cnet1,form=32,width=14,kernels=300011,skips=x600g",
        "cnet,form=32,layers=25,width=14,kernels=0,skips=none",
        "cnet,form=32,layers=5,width=14,kernels=0,skips=x60",
        "resnet18,form=32,width=999999",
        "deepreduce,form=32,alpha=0.3",
        "resnet19",
    };
    spx_final_spec f = {.input = {3, 32, 32}, .classes = 10};
    const spx_final_config c = spx_spec_config(&f, 1);
    spx_network n;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        CHECK_FAILS(SPX_EINVAL, spx_build_reference(&n, refused[i], &c));
        assert_null(n.graph);
    }
}

SPX_TEST(stages_end_where_the_map_is_halved_and_are_the_rows_of_an_audit)
{
    static const struct {
        const char *text;
        int64_t side;
        int n;
        int64_t channels[5], rows[5];
    } cases[] = {
        {"resnet18,width=4", 32, 4, {4, 8, 16, 32}, {32, 16, 8, 4}},
        {"resnet50,width=2", 64, 4, {8, 16, 32, 64}, {64, 32, 16, 8}},
        {"resnet18,width=4,form=224", 64, 4, {4, 8, 16, 32}, {16, 8, 4, 2}},
        {"wrn-22-8,width=1", 32, 3, {8, 16, 32}, {32, 16, 8}},
        {"vgg16,width=2", 32, 5, {2, 4, 8, 16, 16}, {32, 16, 8, 4, 2}},
        {"densenet121", 64, 4, {128, 256, 512, 1024}, {16, 8, 4, 2}},
        {"squeezenet1_1", 64, 4, {64, 128, 256, 10}, {31, 15, 7, 3}},
        {"mobilenet_v2", 64, 5, {16, 24, 32, 96, 1280}, {32, 16, 8, 4, 2}},
        {"cnet1,width=2", 32, 3, {2, 8, 32}, {32, 16, 8}},
    };
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const spx_final_spec f = named(cases[i].text, cases[i].side, 10);
        const spx_final_config c = spx_spec_config(&f, 2);
        spx_network n;
        spx_audit a;
        spx_counts sum = {0};
        int rows = 0;
        CHECK_OK(spx_build_spec(&n, &f, &c));
        assert_int_equal(n.n_stages, cases[i].n);
        for (int k = 0; k < n.n_stages; k++) {
            const int64_t *d = n.graph->tensor[n.stage[k]].dim;
            assert_int_equal(d[1], cases[i].channels[k]);
            assert_int_equal(d[2], cases[i].rows[k]);
        }
        CHECK_OK(spx_audit_final(&a, &f, false));
        for (int k = 0; k < a.n; k++) {
            sum.relus += a.layer[k].counts.relus;
            sum.macs += a.layer[k].counts.macs;
            sum.params += a.layer[k].counts.params;
            rows += a.layer[k].kind == SPX_LAYER_STAGE;
        }
        assert_memory_equal(&sum, &a.total, sizeof sum);
        assert_int_equal(rows, cases[i].n);
        spx_network_clear(&n);
    }
}

SPX_TEST(cells_have_stages_too)
{
    const spx_final_spec f = {.genotype = spx_genotype_published,
                              .input = {3, 32, 32},
                              .classes = 10,
                              .init_channels = 2,
                              .layers = 5,
                              .n_reduce = 2,
                              .reduce_at = {0, 2}};
    const spx_final_config c = spx_spec_config(&f, 1);
    spx_network n;
    SPX_UNUSED;
    CHECK_OK(spx_build_spec(&n, &f, &c));
    assert_true(n.n_stages == 2 && n.stage[0] == n.cell[1] && n.stage[1] == n.cell[4]);
    spx_network_clear(&n);
}

SPX_TEST(a_reference_network_has_no_auxiliary_head)
{
    const spx_final_spec f = named("resnet18", 32, 10);
    spx_counts n;
    SPX_UNUSED;
    CHECK_FAILS(SPX_EINVAL, spx_final_count(&f, true, &n));
    assert_non_null(strstr(spx_error_message(), "it has no auxiliary head"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(networks_count_as_published),
        SPX_UNIT(a_text_becomes_its_canonical_form_which_names_itself),
        SPX_UNIT(what_names_no_network_is_refused),
        SPX_UNIT(a_file_of_skips_becomes_part_of_the_name),
        SPX_UNIT(no_text_of_a_model_file_reads_files_or_lacks_a_check),
        SPX_UNIT(stages_end_where_the_map_is_halved_and_are_the_rows_of_an_audit),
        SPX_UNIT(cells_have_stages_too),
        SPX_UNIT(a_reference_network_has_no_auxiliary_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
