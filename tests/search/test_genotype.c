#define _POSIX_C_SOURCE 200809L
/* Genotypes: both written forms are read and written faithfully; anything else is refused in one
 * line. */
#include "search/space/cell_masks.h"
#include "tests/support/spx_scratch.h"

#include <stdlib.h>

static const char published_text[] =
    "Genotype(normal=[[('skip_connect_NR', 0), ('skip_connect_NR', 1)], "
    "[('skip_connect_NR', 2), ('van_dil_conv_5x5_NR', 0)], "
    "[('van_conv_5x5_NR', 2), ('van_dil_conv_3x3_NR', 0)], "
    "[('van_conv_3x3_NR', 1), ('skip_connect_NR', 2)]], normal_concat=range(2, 6), "
    "reduce=[[('van_conv_3x3_NR', 0), ('van_conv_3x3_NR', 1)], "
    "[('skip_connect_NR', 0), ('van_conv_3x3_NR', 2)], "
    "[('van_dil_conv_3x3_NR', 0), ('skip_connect_NR', 2)], "
    "[('van_conv_5x5_NR', 0), ('skip_connect_NR', 4)]], reduce_concat=range(2, 6))\n";

static void assert_same(const spx_genotype *a, const spx_genotype *b)
{
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        for (int j = 0; j < SPX_NODE_EDGES; j++) {
            assert_int_equal(a->normal.edge[i][j].primitive, b->normal.edge[i][j].primitive);
            assert_int_equal(a->normal.edge[i][j].from, b->normal.edge[i][j].from);
            assert_int_equal(a->reduce.edge[i][j].primitive, b->reduce.edge[i][j].primitive);
            assert_int_equal(a->reduce.edge[i][j].from, b->reduce.edge[i][j].from);
        }
    }
}

static spx_status parse(spx_genotype *g, const char *text)
{
    return spx_genotype_parse(g, text, strlen(text));
}

SPX_TEST(the_published_text_form_is_read_and_written_back_exactly)
{
    SPX_UNUSED;
    spx_genotype g;
    CHECK_OK(parse(&g, published_text));
    assert_same(&g, &spx_genotype_published);
    char *text = spx_genotype_text(&g);
    assert_string_equal(text, published_text);
    free(text);
}

SPX_TEST(the_json_form_survives_a_round_trip)
{
    SPX_UNUSED;
    spx_genotype a = spx_genotype_published, b;
    a.normal.edge[3][1] = (spx_gene){SPX_AVG_POOL_3X3, 4};
    char *json = spx_genotype_json(&a);
    assert_non_null(strstr(json, "\"space\": \"sphynx\""));
    assert_null(strstr(json, "_NR"));
    CHECK_OK(parse(&b, json));
    assert_same(&a, &b);
    free(json);
}

SPX_TEST(the_text_form_may_be_spaced_quoted_and_commented_freely)
{
    SPX_UNUSED;
    static const char text[] = "# found at epoch 48\nBEST = Genotype(\n  reduce = [\n"
                               "  ((\"van_conv_3x3_NR\",0,),[\"van_conv_3x3_NR\",1]),\n"
                               "  [('skip_connect_NR',0),('van_conv_3x3_NR',2),], # second\n"
                               "  [('van_dil_conv_3x3_NR',0),('skip_connect_NR',2)],\n"
                               "  [('van_conv_5x5_NR',0),('skip_connect_NR',4)],],\n"
                               "  reduce_concat=[2,3,4,5],\n"
                               "  normal=[[('skip_connect_NR',0),('skip_connect_NR',1)],"
                               "[('skip_connect_NR',2),('van_dil_conv_5x5_NR',0)],"
                               "[('van_conv_5x5_NR',2),('van_dil_conv_3x3_NR',0)],"
                               "[('van_conv_3x3_NR',1),('skip_connect_NR',2)]],\r\n)  \n";
    spx_genotype g;
    CHECK_OK(parse(&g, text));
    assert_same(&g, &spx_genotype_published);
}

/* Replaces the first `from` in the published text; parses; demands the status and a part of the
 * message. */
static void check_refused(const char *from, const char *to, spx_status st, const char *message)
{
    char text[2048];
    const char *at = strstr(published_text, from);
    spx_genotype g;
    assert_non_null(at);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - published_text), published_text, to,
                   at + strlen(from));
    CHECK_FAILS(st, parse(&g, text));
    if (strstr(spx_error_message(), message) == NULL) {
        fail_msg("'%s' -> '%s': \"%s\" lacks \"%s\"", from, to, spx_error_message(), message);
    }
}

SPX_TEST(a_malformed_text_is_refused_with_its_position)
{
    SPX_UNUSED;
    check_refused("'skip_connect_NR', 0", "'skip_conect_NR', 0", SPX_EFORMAT,
                  "line 1, column 21: unknown primitive 'skip_conect_NR'");
    check_refused("'skip_connect_NR', 1", "'skip_connect_NR', 2", SPX_EFORMAT,
                  "node 2 takes states 0 to 1, found 2");
    check_refused("'skip_connect_NR', 1", "'skip_connect_NR', -1", SPX_EFORMAT, "found '-'");
    check_refused("'skip_connect_NR', 1", "'skip_connect_NR', 99999999999999999999", SPX_EFORMAT,
                  "number from 0 to 999");
    check_refused("'van_conv_3x3_NR'", "'none'", SPX_EFORMAT, "'none' is no edge");
    check_refused("'van_conv_3x3_NR'", "'avg_pool_3x3_NR'", SPX_EFORMAT, "unknown primitive");
    check_refused("'van_conv_3x3_NR'", "'van_conv_3x3", SPX_EFORMAT, "expected '''");
    check_refused("[('skip_connect_NR', 0), ('skip_connect_NR', 1)]", "[('skip_connect_NR', 0)]",
                  SPX_EFORMAT, "a node has 2 members");
    check_refused("range(2, 6)", "range(2, 5)", SPX_EFORMAT, "range(2, 6)");
    check_refused("range(2, 6)", "[2, 3, 5, 5]", SPX_EFORMAT, "range(2, 6)");
    check_refused("reduce=", "normal=", SPX_EFORMAT, "a second 'normal'");
    check_refused("reduce=", "shrink=", SPX_EFORMAT, "unknown item 'shrink'");
    check_refused("Genotype(", "__import__('os').system(", SPX_EFORMAT, "found '__import__'");
    check_refused("))", "", SPX_EFORMAT, "found the end");
    check_refused("6))", "6)) + 1", SPX_EFORMAT, "expected the end, found '+'");
}

SPX_TEST(flat_cells_are_the_same_cells)
{
    SPX_UNUSED;
    static const char json[] =
        "{\"space\": \"sphynx\", \"normal\": [[\"skip_connect\", 0], [\"skip_connect\", 1],"
        "[\"skip_connect\", 2], [\"van_dil_conv_5x5\", 0], [\"van_conv_5x5\", 2],"
        "[\"van_dil_conv_3x3\", 0], [\"van_conv_3x3\", 1], [\"skip_connect\", 2]],"
        "\"reduce\": [[\"van_conv_3x3\", 0], [\"van_conv_3x3\", 1], [\"skip_connect\", 0],"
        "[\"van_conv_3x3\", 2], [\"van_dil_conv_3x3\", 0], [\"skip_connect\", 2],"
        "[\"van_conv_5x5\", 0], [\"skip_connect\", 4]]}";
    static const char text[] =
        "Genotype(normal=[('skip_connect_NR', 0), ('skip_connect_NR', 1), ('skip_connect_NR', 2), "
        "('van_dil_conv_5x5_NR', 0), ('van_conv_5x5_NR', 2), ('van_dil_conv_3x3_NR', 0), "
        "('van_conv_3x3_NR', 1), ('skip_connect_NR', 2)], normal_concat=range(2, 6), "
        "reduce=[('van_conv_3x3_NR', 0), ('van_conv_3x3_NR', 1), ('skip_connect_NR', 0), "
        "('van_conv_3x3_NR', 2), ('van_dil_conv_3x3_NR', 0), ('skip_connect_NR', 2), "
        "('van_conv_5x5_NR', 0), ('skip_connect_NR', 4)], reduce_concat=range(2, 6))";
    spx_genotype g;
    CHECK_OK(parse(&g, text));
    assert_same(&g, &spx_genotype_published);
    CHECK_OK(parse(&g, json));
    assert_same(&g, &spx_genotype_published);
}

SPX_TEST(a_genotype_is_found_in_a_line_of_a_log)
{
    SPX_UNUSED;
    char text[4096];
    spx_genotype g;
    (void)snprintf(text, sizeof text, "2021-03-01 12:00:00,123 INFO epoch #3 genotype = %s",
                   published_text);
    CHECK_OK(parse(&g, text));
    assert_same(&g, &spx_genotype_published);
    (void)snprintf(text, sizeof text, "genotype = %s\ngenotype = %s", published_text,
                   published_text);
    CHECK_FAILS(SPX_EFORMAT, parse(&g, text)); /* which one is meant? */
    (void)snprintf(text, sizeof text, "MyGenotype%s", strchr(published_text, '('));
    CHECK_FAILS(SPX_EFORMAT, parse(&g, text));
}

static const char relu_ops_text[] =
    "Genotype(normal=[[('avg_pool_3x3', 0), ('dil_conv_3x3', 1)], "
    "[('skip_connect', 2), ('dil_conv_5x5', 0)], [('van_conv_5x5', 2), ('avg_pool_3x3', 0)], "
    "[('van_conv_3x3', 1), ('skip_connect', 2)]], normal_concat=range(2, 6), "
    "reduce=[[('van_conv_3x3', 0), ('van_conv_3x3', 1)], [('skip_connect', 0), "
    "('van_conv_3x3', 2)], [('dil_conv_3x3', 0), ('skip_connect', 2)], "
    "[('van_conv_5x5', 0), ('skip_connect', 4)]], reduce_concat=range(2, 6))\n";

SPX_TEST(the_relu_bearing_space_has_both_forms_too)
{
    SPX_UNUSED;
    spx_genotype g, again;
    CHECK_OK(parse(&g, relu_ops_text));
    assert_int_equal(g.space, SPX_SPACE_RELU_OPS);
    assert_int_equal(g.normal.edge[0][1].primitive, SPX_VAN_DIL_CONV_3X3);
    char *text = spx_genotype_text(&g), *json = spx_genotype_json(&g);
    assert_string_equal(text, relu_ops_text);
    assert_non_null(strstr(json, "\"space\": \"relu-ops\""));
    assert_non_null(strstr(json, "[\"dil_conv_3x3\", 1]"));
    CHECK_OK(parse(&again, json));
    assert_int_equal(again.space, SPX_SPACE_RELU_OPS);
    assert_same(&again, &g);
    for (size_t n = 0; n + 2 < strlen(json); n++) {
        CHECK_FAILS(SPX_EFORMAT, spx_genotype_parse(&again, json, n));
    }
    for (size_t n = 0; n + 2 < strlen(relu_ops_text); n++) {
        CHECK_FAILS(SPX_EFORMAT, spx_genotype_parse(&again, relu_ops_text, n));
    }
    free(text);
    free(json);
}

SPX_TEST(primitives_of_two_spaces_make_no_genotype)
{
    SPX_UNUSED;
    spx_genotype g;
    check_refused("van_conv_3x3_NR", "van_conv_3x3", SPX_EFORMAT,
                  "'van_conv_3x3' is of the relu-ops space, a primitive before it of sphynx");
    check_refused("skip_connect_NR", "skip_connect", SPX_EFORMAT,
                  "'skip_connect_NR' is of the sphynx space");
    check_refused("van_dil_conv_3x3_NR", "dil_conv_3x3", SPX_EFORMAT, "of the relu-ops space");
    check_refused("van_dil_conv_3x3_NR", "dil_conv_3x3_NR", SPX_EFORMAT, "unknown primitive");
    check_refused("van_dil_conv_3x3_NR", "van_dil_conv_3x3", SPX_EFORMAT, "unknown primitive");
    CHECK_FAILS(SPX_EFORMAT, parse(&g, "{\"space\": \"relu-ops\"}"));
    CHECK_FAILS(SPX_EFORMAT, parse(&g, "{\"space\": \"relu-ops\", \"normal\": "
                                       "[[[\"van_dil_conv_3x3\", 0], 0], 0, 0, 0]}"));
    assert_non_null(strstr(spx_error_message(), "unknown primitive 'van_dil_conv_3x3' of space"));
    CHECK_FAILS(SPX_EFORMAT, parse(&g, "{\"space\": \"sphynx\", \"normal\": "
                                       "[[[\"dil_conv_3x3\", 0], 0], 0, 0, 0]}"));
    g = spx_genotype_published;
    g.space = SPX_SPACE_COUNT;
    CHECK_FAILS(SPX_EINVAL, spx_genotype_check(&g));
}

SPX_TEST(no_prefix_of_a_genotype_is_one)
{
    SPX_UNUSED;
    char *json = spx_genotype_json(&spx_genotype_published);
    spx_genotype g;
    for (size_t n = 0; n + 2 < strlen(published_text); n++) { /* all but the line end */
        CHECK_FAILS(SPX_EFORMAT, spx_genotype_parse(&g, published_text, n));
    }
    for (size_t n = 0; n + 2 < strlen(json); n++) {
        CHECK_FAILS(SPX_EFORMAT, spx_genotype_parse(&g, json, n));
    }
    free(json);
}

SPX_TEST(malformed_json_is_refused)
{
    SPX_UNUSED;
    static const char *const cases[][2] = {
        {"{", "line 1"},
        {"{\"normal\": []}", "\"space\": \"sphynx\" or \"relu-ops\""},
        {"{\"space\": 3}", "\"space\": \"sphynx\" or \"relu-ops\""},
        {"{\"space\": \"moon\"}", "unknown space 'moon', expected 'sphynx' or 'relu-ops'"},
        {"{\"space\": \"sphynx\", \"normal\": [1, 2, 3]}", "array of 4 nodes"},
        {"{\"space\": \"sphynx\", \"normal\": [1, 2, 3, 4]}", "node 2 must be an array of 2 edges"},
        {"{\"space\": \"sphynx\", \"normal\": [[[\"skip_connect\", 0], [\"none\", 1]], 0, 0, 0]}",
         "'none' is no edge"},
        {"{\"space\": \"sphynx\", \"normal\": [[[\"skip_connect\", 2], 0], 0, 0, 0]}", "0 to 1"},
        {"{\"space\": \"sphynx\", \"normal\": [[[\"skip_connect\", 0.0], 0], 0, 0, 0]}",
         "expected [\"primitive\", state]"},
        {"{\"space\": \"sphynx\", \"normal\": [[[\"van_conv_3x3_NR\", 0], 0], 0, 0, 0]}",
         "unknown primitive"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        spx_genotype g;
        CHECK_FAILS(SPX_EFORMAT, parse(&g, cases[i][0]));
        if (strstr(spx_error_message(), cases[i][1]) == NULL) {
            fail_msg("%s: \"%s\" lacks \"%s\"", cases[i][0], spx_error_message(), cases[i][1]);
        }
    }
}

SPX_TEST(an_absent_or_endless_file_is_refused)
{
    SPX_UNUSED;
    spx_genotype g;
    CHECK_OK(spx_genotype_load(&g, "published"));
    assert_same(&g, &spx_genotype_published);
    CHECK_FAILS(SPX_ENOTFOUND, spx_genotype_load(&g, "no/such/file.json"));
    CHECK_FAILS(SPX_EFORMAT, spx_genotype_load(&g, "/dev/zero"));
}

SPX_TEST(the_check_names_what_is_wrong)
{
    SPX_UNUSED;
    spx_genotype g = spx_genotype_published;
    CHECK_OK(spx_genotype_check(&g));
    g.reduce.edge[1][0].from = 3;
    CHECK_FAILS(SPX_EINVAL, spx_genotype_check(&g));
    assert_non_null(strstr(spx_error_message(), "reduce cell, node 3, edge 0"));
    g = spx_genotype_published;
    g.normal.edge[0][1].primitive = SPX_NONE;
    CHECK_FAILS(SPX_EINVAL, spx_genotype_check(&g));
}

/* Rows of zeros with chosen peaks: node 5 (states 0..4), and the others decided by ties. */
SPX_TEST(alphas_become_the_two_strongest_edges_in_descending_order)
{
    SPX_UNUSED;
    float rows[SPX_CELL_NODES][(SPX_CELL_NODES + 1) * SPX_PRIMITIVE_COUNT] = {{0}};
    const float *alpha[SPX_CELL_NODES] = {rows[0], rows[1], rows[2], rows[3]};
    rows[3][0 * SPX_PRIMITIVE_COUNT + SPX_NONE] = 9.0f; /* excluded, however large */
    rows[3][1 * SPX_PRIMITIVE_COUNT + SPX_VAN_CONV_5X5] = 0.5f;
    rows[3][2 * SPX_PRIMITIVE_COUNT + SPX_SKIP_CONNECT] = 0.25f;
    rows[3][4 * SPX_PRIMITIVE_COUNT + SPX_VAN_DIL_CONV_5X5] = 2.0f;
    rows[3][4 * SPX_PRIMITIVE_COUNT + SPX_AVG_POOL_3X3] =
        1.0f; /* same edge: only the larger counts */
    spx_genotype g;
    spx_genotype_from_alphas(&g, alpha, alpha);
    CHECK_OK(spx_genotype_check(&g));
    assert_int_equal(g.normal.edge[3][0].from, 4);
    assert_int_equal(g.normal.edge[3][0].primitive, SPX_VAN_DIL_CONV_5X5);
    assert_int_equal(g.normal.edge[3][1].from, 1);
    assert_int_equal(g.normal.edge[3][1].primitive, SPX_VAN_CONV_5X5);
    for (int i = 0; i < 3; i++) { /* ties: lower state, lower primitive */
        assert_int_equal(g.reduce.edge[i][0].from, 0);
        assert_int_equal(g.reduce.edge[i][1].from, 1);
        assert_int_equal(g.reduce.edge[i][0].primitive, SPX_AVG_POOL_3X3);
    }
    rows[0][0] = -1e30f; /* far below, and still chosen: node 2 has two candidates only */
    for (int p = 1; p < SPX_NONE; p++) {
        rows[0][p] = -2e30f;
    }
    spx_genotype_from_alphas(&g, alpha, alpha);
    assert_int_equal(g.normal.edge[0][0].from, 1);
    assert_int_equal(g.normal.edge[0][1].from, 0);
}

/* Normal cells have ReLUs on states 0 to 3, reduction cells on 0 (which skip reads) and 1. */
static spx_genotype with_relus(void)
{
    return (spx_genotype){
        .space = SPX_SPACE_RELU_OPS,
        .normal = {{{{SPX_VAN_CONV_3X3, 0}, {SPX_VAN_CONV_5X5, 1}},
                    {{SPX_VAN_DIL_CONV_3X3, 2}, {SPX_SKIP_CONNECT, 0}},
                    {{SPX_VAN_CONV_3X3, 3}, {SPX_AVG_POOL_3X3, 1}},
                    {{SPX_SKIP_CONNECT, 4}, {SPX_AVG_POOL_3X3, 0}}}},
        .reduce = {{{{SPX_SKIP_CONNECT, 0}, {SPX_VAN_CONV_5X5, 1}},
                    {{SPX_SKIP_CONNECT, 2}, {SPX_AVG_POOL_3X3, 0}},
                    {{SPX_SKIP_CONNECT, 3}, {SPX_AVG_POOL_3X3, 1}},
                    {{SPX_SKIP_CONNECT, 4}, {SPX_AVG_POOL_3X3, 0}}}},
    };
}

SPX_TEST(sites_are_the_states_that_primitives_rectify)
{
    SPX_UNUSED;
    const spx_genotype g = with_relus();
    const spx_cell_sites s = spx_genotype_sites(&g),
                         none = spx_genotype_sites(&spx_genotype_published);
    assert_int_equal(s.normal, 0xf);
    assert_int_equal(s.reduce, 0x3);
    assert_int_equal(none.normal | none.reduce, 0);
    const spx_cell_sites dropped = spx_cell_mask_dropped(&g, (spx_cell_sites){0x5, 0x2});
    assert_int_equal(dropped.normal, 0xa);
    assert_int_equal(dropped.reduce, 0x1);
}

static spx_scratch scratch;

static spx_status load_masked(const char *text, spx_genotype *g, spx_cell_masks *m)
{
    const char *path = spx_scratch_path(&scratch, "genotype.json");
    spx_scratch_write_text(path, text);
    return spx_genotype_load_masked(g, m, path);
}

SPX_TEST(masks_survive_a_round_trip_beside_the_cells)
{
    SPX_UNUSED;
    const spx_genotype g = with_relus();
    const spx_cell_masks m = {.mask = {{{0x1, 0}, 0.25}, {{0x5, 0x3}, 0.875}, {{0xf, 0x3}, 1}},
                              .n = 3};
    spx_genotype back;
    spx_cell_masks got;
    char *json = spx_genotype_masked_json(&g, &m), *plain = spx_genotype_json(&g);
    CHECK_OK(load_masked(json, &back, &got));
    assert_same(&g, &back);
    assert_int_equal(got.n, 3);
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(&got.mask[i].keep, &m.mask[i].keep, sizeof got.mask[i].keep);
        assert_true(got.mask[i].value == m.mask[i].value);
    }
    CHECK_OK(load_masked(plain, &back, &got)); /* as older files are */
    assert_int_equal(got.n, 0);
    CHECK_OK(spx_genotype_load_masked(&back, &got, "published"));
    assert_int_equal(got.n, 0);
    free(json);
    free(plain);
}

SPX_TEST(a_list_that_holds_no_masks_is_refused)
{
    SPX_UNUSED;
    static const struct {
        const char *masks, *says;
    } refused[] = {
        {"{}", "a list of at most"},
        {"[3]", "mask 0: expected \"normal\""},
        {"[{\"sites\": 1, \"value\": 1, \"normal\": [0]}]", "expected \"reduce\""},
        {"[{\"sites\": 2, \"value\": 1, \"normal\": [0], \"reduce\": []}]", "\"sites\": 1"},
        {"[{\"sites\": 1, \"value\": 1, \"normal\": [4], \"reduce\": []}]", "state 4 has no ReLU"},
        {"[{\"sites\": 1, \"value\": 1, \"normal\": [], \"reduce\": [2]}]", "state 2 has no ReLU"},
        {"[{\"sites\": 1, \"value\": 1, \"normal\": [5], \"reduce\": []}]", "0 to 4"},
        {"[{\"sites\": 1, \"value\": 1, \"normal\": [-1], \"reduce\": []}]", "0 to 4"},
        {"[{\"sites\": 2, \"value\": 1, \"normal\": [1, 0], \"reduce\": []}]", "ascending"},
        {"[{\"sites\": 2, \"value\": 1, \"normal\": [0, 0], \"reduce\": []}]", "ascending"},
        {"[{\"sites\": 1, \"value\": 0, \"normal\": [0], \"reduce\": []}]", "\"value\""},
        {"[{\"sites\": 1, \"value\": 1.5, \"normal\": [0], \"reduce\": []}]", "\"value\""},
        {"[{\"sites\": 1, \"normal\": [0], \"reduce\": []}]", "\"value\""},
        {"[{\"sites\": 1, \"value\": 1, \"normal\": [0], \"reduce\": []},"
         "{\"sites\": 1, \"value\": 1, \"normal\": [1], \"reduce\": []}]",
         "mask 1: 1 sites behind a mask of 1"},
        {"[0,0,0,0,0,0,0,0,0,0,0,0]", "at most 11"},
    };
    const spx_genotype g = with_relus();
    spx_genotype back;
    spx_cell_masks m;
    char *json = spx_genotype_json(&g), text[4096];
    *strrchr(json, '}') = '\0';
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        (void)snprintf(text, sizeof text, "%s, \"masks\": %s}", json, refused[i].masks);
        CHECK_FAILS(SPX_EFORMAT, load_masked(text, &back, &m));
        if (strstr(spx_error_message(), refused[i].says) == NULL) {
            fail_msg("%s: %s", refused[i].masks, spx_error_message());
        }
    }
    free(json);
    json = spx_genotype_json(&spx_genotype_published);
    *strrchr(json, '}') = '\0';
    (void)snprintf(text, sizeof text,
                   "%s, \"masks\": [{\"sites\": 0, \"value\": 1, \"normal\": [], \"reduce\": []}]}",
                   json);
    CHECK_FAILS(SPX_EFORMAT, load_masked(text, &back, &m));
    assert_non_null(strstr(spx_error_message(), "relu-ops"));
    free(json);
}

static int begin(void **state)
{
    (void)state;
    return spx_scratch_make(&scratch);
}

static int end(void **state)
{
    (void)state;
    spx_scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_published_text_form_is_read_and_written_back_exactly),
        SPX_UNIT(the_json_form_survives_a_round_trip),
        SPX_UNIT(the_text_form_may_be_spaced_quoted_and_commented_freely),
        SPX_UNIT(a_malformed_text_is_refused_with_its_position),
        SPX_UNIT(flat_cells_are_the_same_cells),
        SPX_UNIT(a_genotype_is_found_in_a_line_of_a_log),
        SPX_UNIT(the_relu_bearing_space_has_both_forms_too),
        SPX_UNIT(primitives_of_two_spaces_make_no_genotype),
        SPX_UNIT(no_prefix_of_a_genotype_is_one),
        SPX_UNIT(malformed_json_is_refused),
        SPX_UNIT(an_absent_or_endless_file_is_refused),
        SPX_UNIT(the_check_names_what_is_wrong),
        SPX_UNIT(alphas_become_the_two_strongest_edges_in_descending_order),
        SPX_UNIT(sites_are_the_states_that_primitives_rectify),
        SPX_UNIT(masks_survive_a_round_trip_beside_the_cells),
        SPX_UNIT(a_list_that_holds_no_masks_is_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
