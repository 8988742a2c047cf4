#include "data/preprocess/preprocess.h"

#include "tests/support/spx_test.h"

#include <stdlib.h>
#include <string.h>

/* A model of 5x5 images centred on 8x8, three classes. */
static const char described[] =
    "{\"channels\": 1, \"size\": [5, 5], \"input\": [8, 8], \"mean\": [0.5], \"std\": [0.25],"
    " \"classes\": 3, \"names\": [\"ant\", \"b\\u00e9e\", \"cat\"], \"dataset\": \"animals\","
    " \"data_hash\": \"12ab\"}";

static spx_status parse(spx_preprocess *p, const char *field, const char *value)
{
    json_t *j = json_loads(described, 0, NULL), *meta;
    if (field != NULL) {
        assert_int_equal(json_object_set_new(j, field, json_loads(value, JSON_DECODE_ANY, NULL)),
                         0);
    }
    meta = json_pack("{s:o}", "preprocessing", j);
    const spx_status st = spx_preprocess_of_meta(p, meta);
    json_decref(meta);
    return st;
}

SPX_TEST(what_is_written_reads_back_equal)
{
    json_t *want = json_loads(described, 0, NULL), *got;
    spx_preprocess p;
    SPX_UNUSED;
    CHECK_OK(parse(&p, NULL, NULL));
    got = spx_preprocess_json(&p);
    assert_true(json_equal(got, want));
    assert_string_equal(spx_preprocess_class(&p, 1), "b\xc3\xa9"
                                                     "e");
    json_decref(got);
    json_decref(want);
    spx_preprocess_clear(&p);
}

SPX_TEST(descriptions_of_strangers_are_checked)
{
    static const char *const bad[][2] = {
        {"channels", "0"},
        {"channels", "5"},
        {"classes", "0"},
        {"classes", "4"},
        {"classes", "1e3"},
        {"size", "[9, 5]"},
        {"size", "[0, 5]"},
        {"size", "[5]"},
        {"size", "\"5x5\""},
        {"input", "[99999, 8]"},
        {"mean", "[0.5, 0.5]"},
        {"mean", "null"},
        {"mean", "[\"x\"]"},
        {"mean", "[1e30]"},
        {"mean", "[-1e30]"},
        {"std", "[0]"},
        {"std", "[-1]"},
        {"std", "[1e-40]"},
        {"std", "[1e30]"},
        {"names", "[\"a\", \"b\"]"},
        {"names", "[\"a\", \"b\", 3]"},
        {"names", "[\"a\", \"b\", \"\\u001b[2J\"]"},
        {"names", "[\"a\", \"b\", \"\\u009b\"]"},
        {"names", "[\"a\", \"b\", \"two\\nlines\"]"},
        {"dataset", "\"0123456789012345678901234567890123456789\""},
        {"dataset", "7"},
        {"data_hash", "\"\\u0007\""},
        {"centre", "[0, 256]"},
        {"centre", "[257, 256]"},
        {"centre", "0.875"},
    };
    spx_preprocess p;
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_FAILS(SPX_EFORMAT, parse(&p, bad[i][0], bad[i][1]));
        assert_null(p.name);
    }
}

/* The fit of a pack that differs in one field. */
static char told[640];
static void tell(void *ctx, const char *text)
{
    (void)ctx;
    (void)snprintf(told, sizeof told, "%s", text);
}

static spx_status fit(const char *field, const char *value, bool allow)
{
    const spx_preprocess_rules rules = {.allow_changed = allow, .warn = tell};
    spx_preprocess m, d;
    spx_status st;
    told[0] = '\0';
    CHECK_OK(parse(&m, NULL, NULL));
    CHECK_OK(parse(&d, field, value));
    st = spx_preprocess_fit(&m, "model.h5", &d, "pack.h5", &rules);
    spx_preprocess_clear(&m);
    spx_preprocess_clear(&d);
    return st;
}

SPX_TEST(what_differs_is_refused_naming_both_or_allowed_with_a_word)
{
    static const struct {
        const char *field, *value, *theirs, *ours;
    } changes[] = {
        {"names", "[\"ant\", \"cat\", \"bee\"]", "class 1 is \"cat\"",
         "is \"b\xc3\xa9"
         "e\""},
        {"mean", "[0.4]", "mean 0.4 and std 0.25", "0.5 and 0.25"},
        {"std", "[0.3]", "std 0.3", "0.25"},
        {"dataset", "\"plants\"", "is plants", "is animals"},
    };
    SPX_UNUSED;
    CHECK_OK(fit(NULL, NULL, false));
    assert_string_equal(told, "");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        CHECK_FAILS(SPX_EINVAL, fit(changes[i].field, changes[i].value, false));
        assert_non_null(strstr(spx_error_message(), changes[i].theirs));
        assert_non_null(strstr(spx_error_message(), changes[i].ours));
        assert_non_null(strstr(spx_error_message(), "--allow-changed"));
        CHECK_OK(fit(changes[i].field, changes[i].value, true));
        assert_non_null(strstr(told, changes[i].theirs));
    }
    CHECK_OK(fit("names", "null", false)); /* not known: nothing to compare */
    CHECK_OK(fit("dataset", "null", false));
    CHECK_OK(fit("data_hash", "\"34cd\"", false));
    assert_non_null(strstr(told, "34cd"));
    CHECK_OK(fit("mean", "[0.5000001]", false)); /* of another's rounding */
}

SPX_TEST(a_data_set_that_had_another_name_is_the_same)
{
    static const char *const names[][2] = {{"folder", "imagefolder"}, {"npz", "arrays"}};
    const spx_preprocess_rules rules = {.warn = tell};
    SPX_UNUSED;
    for (size_t i = 0; i < 4; i++) {
        spx_preprocess m, d;
        CHECK_OK(parse(&m, NULL, NULL));
        CHECK_OK(parse(&d, NULL, NULL));
        (void)snprintf(m.dataset, sizeof m.dataset, "%s", names[i / 2][i % 2]);
        (void)snprintf(d.dataset, sizeof d.dataset, "%s", names[i / 2][1 - i % 2]);
        CHECK_OK(spx_preprocess_fit(&m, "model.h5", &d, "pack.h5", &rules));
        spx_preprocess_clear(&m);
        spx_preprocess_clear(&d);
    }
}

SPX_TEST(what_cannot_work_is_refused_whatever_is_allowed)
{
    spx_preprocess m, d;
    SPX_UNUSED;
    CHECK_FAILS(SPX_EINVAL, fit("size", "[6, 5]", true));
    assert_non_null(strstr(spx_error_message(), "3 classes, images of 1 channels and 6x5; the "
                                                "model takes 3 of 1 and 5x5"));
    CHECK_OK(fit("size", "[8, 8]", false)); /* the network's own input */
    CHECK_OK(parse(&m, NULL, NULL));
    CHECK_OK(parse(&d, NULL, NULL));
    d.classes = 2;
    CHECK_FAILS(SPX_EINVAL, spx_preprocess_fit(&m, "m", &d, "d",
                                               &(spx_preprocess_rules){.allow_changed = true}));
    spx_preprocess_clear(&m);
    spx_preprocess_clear(&d);
}

SPX_TEST(files_of_the_first_version_tell_what_they_know)
{
    spx_preprocess p;
    json_t *meta = json_loads("{\"network\": {\"input\": [1, 8, 8], \"mean\": [0.5], \"std\": "
                              "[0.25], \"classes\": 2}, \"classes\": [\"a\", \"b\"], "
                              "\"dataset\": \"x\"}",
                              0, NULL);
    SPX_UNUSED;
    CHECK_OK(spx_preprocess_of_meta(&p, meta));
    assert_true(p.height == 0 && p.rows == 8 && p.normalised && p.classes == 2);
    assert_string_equal(spx_preprocess_class(&p, 1), "b");
    assert_string_equal(p.dataset, "x");
    spx_preprocess_clear(&p);
    assert_int_equal(json_object_set_new(meta, "dataset", json_string("mnist")), 0);
    CHECK_OK(spx_preprocess_of_meta(&p, meta));
    assert_int_equal(p.height, 0); /* 28 pixels do not fit this network */
    spx_preprocess_clear(&p);
    assert_int_equal(json_object_set_new(json_object_get(meta, "network"), "input",
                                         json_pack("[i,i,i]", 1, 32, 32)),
                     0);
    CHECK_OK(spx_preprocess_of_meta(&p, meta));
    assert_true(p.height == 28 && p.width == 28 && p.rows == 32);
    spx_preprocess_clear(&p);
    json_decref(meta);
}

SPX_TEST(pictures_of_the_stored_size_are_centred_and_of_the_input_taken_as_they_are)
{
    uint8_t small[25], full[64], out[64];
    spx_preprocess p;
    SPX_UNUSED;
    CHECK_OK(parse(&p, NULL, NULL));
    for (int i = 0; i < 64; i++) {
        full[i] = (uint8_t)(i + 1);
        small[i % 25] = (uint8_t)(100 + i % 25);
    }
    CHECK_OK(spx_preprocess_picture(&p, 5, 5, small, false, out));
    for (int y = 0; y < 8; y++) { /* (8 - 5) / 2 = 1 row and column in front */
        for (int x = 0; x < 8; x++) {
            const bool inside = y >= 1 && y < 6 && x >= 1 && x < 6;
            assert_int_equal(out[y * 8 + x], inside ? small[(y - 1) * 5 + x - 1] : 0);
        }
    }
    CHECK_OK(spx_preprocess_picture(&p, 8, 8, full, true, out));
    assert_memory_equal(out, full, sizeof full);
    spx_preprocess_clear(&p);
}

/* A picture of equal columns: scaling keeps that, and what an interval of columns is scaled to is
 * its mean. */
SPX_TEST(pictures_of_another_size_are_refused_or_scaled_from_their_middle)
{
    enum { H = 10, W = 30 };
    uint8_t wide[H * W], out[64];
    spx_preprocess p;
    SPX_UNUSED;
    CHECK_OK(parse(&p, NULL, NULL));
    memset(wide, 7, sizeof wide);
    for (int y = 0; y < H; y++) {
        memset(wide + y * W + 10, 200, 10); /* the middle square; the rest must not show */
    }
    CHECK_FAILS(SPX_EINVAL, spx_preprocess_picture(&p, H, W, wide, false, out));
    assert_non_null(strstr(spx_error_message(), "--resize"));
    CHECK_FAILS(SPX_EINVAL, spx_preprocess_picture(&p, 1, 1, wide, false, out));
    CHECK_FAILS(SPX_EINVAL, spx_preprocess_picture(&p, 4, 5, wide, false, out));
    CHECK_OK(spx_preprocess_picture(&p, H, W, wide, true, out));
    for (int y = 0; y < 8; y++) {
        for (int x = 0; x < 8; x++) {
            const bool inside = y >= 1 && y < 6 && x >= 1 && x < 6;
            assert_int_equal(out[y * 8 + x], inside ? 200 : 0);
        }
    }
    CHECK_OK(spx_preprocess_picture(&p, 1, 1, wide, true, out)); /* one pixel, spread */
    assert_int_equal(out[1 * 8 + 1], 7);
    assert_int_equal(out[0], 0);
    p.height = p.width = 0; /* a file of the first version: smaller ones are padded */
    CHECK_OK(spx_preprocess_picture(&p, 4, 5, wide, false, out));
    assert_int_equal(out[2 * 8 + 1], 7);
    CHECK_FAILS(SPX_EINVAL, spx_preprocess_picture(&p, 9, 5, wide, false, out));
    spx_preprocess_clear(&p);
}

/* Columns of a 10x30 picture are numbered; which of them an input of 8x8 shows tells the box. */
SPX_TEST(pictures_of_any_size_become_the_input_by_their_centre_box)
{
    enum { H = 10, W = 30 };
    static const int crop[] = {10, 8};
    uint8_t wide[H * W], out[64];
    spx_preprocess p, d;
    json_t *back;
    SPX_UNUSED;
    for (int i = 0; i < H * W; i++) {
        wide[i] = (uint8_t)(8 * (i % W));
    }
    for (size_t k = 0; k < sizeof crop / sizeof crop[0]; k++) {
        char text[16];
        (void)snprintf(text, sizeof text, "[%d, 10]", crop[k]);
        CHECK_OK(parse(&p, "centre", text));
        assert_true(p.centre_crop == crop[k] && p.centre_resize == 10);
        back = spx_preprocess_json(&p);
        assert_int_equal(json_integer_value(json_array_get(json_object_get(back, "centre"), 0)),
                         crop[k]);
        json_decref(back);
        CHECK_OK(spx_preprocess_picture(&p, H, W, wide, false, out));
        if (k == 1) { /* the middle 8x8 of the middle 10x10: columns 11 to 18 */
            for (int i = 0; i < 64; i++) {
                assert_int_equal(out[i], 8 * (11 + i % 8));
            }
        } else { /* the middle 10x10, mirrored in itself: means of equal distance add up */
            for (int i = 0; i < 64; i++) {
                assert_int_equal(out[i] + out[63 - i], 8 * (10 + 19));
            }
        }
        CHECK_OK(spx_preprocess_picture(&p, 1, 1, wide + 5, false, out));
        assert_true(out[0] == 40 && out[63] == 40);
        spx_preprocess_clear(&p);
    }
    CHECK_OK(parse(&p, "centre", "[1, 1]"));
    CHECK_OK(parse(&d, NULL, NULL));
    d.height = d.width = 0; /* a pack of differing sizes */
    CHECK_OK(spx_preprocess_fit(&p, "m", &d, "d", &(spx_preprocess_rules){0}));
    p.centre_crop = p.centre_resize = 0;
    CHECK_FAILS(SPX_EINVAL, spx_preprocess_fit(&p, "m", &d, "d", &(spx_preprocess_rules){0}));
    assert_non_null(strstr(spx_error_message(), "differing sizes"));
    spx_preprocess_clear(&p);
    spx_preprocess_clear(&d);
}

SPX_TEST(a_pack_whose_names_no_terminal_can_show_is_refused)
{
    static char good[] = "a\nb", escape[] = "a\n\033b", latin[] = "a\n\351";
    spx_pack pack = {.dataset = "x",
                     .channels = 1,
                     .height = 2,
                     .width = 2,
                     .classes = 2,
                     .class_names = good,
                     .mean = {0.5},
                     .std = {0.5}};
    spx_preprocess p;
    SPX_UNUSED;
    CHECK_OK(spx_preprocess_of_pack(&p, &pack));
    assert_string_equal(spx_preprocess_class(&p, 1), "b");
    spx_preprocess_clear(&p);
    pack.class_names = escape;
    CHECK_FAILS(SPX_EFORMAT, spx_preprocess_of_pack(&p, &pack));
    pack.class_names = latin;
    CHECK_FAILS(SPX_EFORMAT, spx_preprocess_of_pack(&p, &pack));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(what_is_written_reads_back_equal),
        SPX_UNIT(descriptions_of_strangers_are_checked),
        SPX_UNIT(what_differs_is_refused_naming_both_or_allowed_with_a_word),
        SPX_UNIT(a_data_set_that_had_another_name_is_the_same),
        SPX_UNIT(what_cannot_work_is_refused_whatever_is_allowed),
        SPX_UNIT(files_of_the_first_version_tell_what_they_know),
        SPX_UNIT(pictures_of_the_stored_size_are_centred_and_of_the_input_taken_as_they_are),
        SPX_UNIT(pictures_of_another_size_are_refused_or_scaled_from_their_middle),
        SPX_UNIT(pictures_of_any_size_become_the_input_by_their_centre_box),
        SPX_UNIT(a_pack_whose_names_no_terminal_can_show_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
