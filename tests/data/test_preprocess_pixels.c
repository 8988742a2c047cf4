/* Pictures as a model reads them: bit for bit what a loader's evaluation makes of them, of every
 * form of pack, and of the files they were packed from. */
#define _DEFAULT_SOURCE
#include "data/loader/loader.h"
#include "data/pack/pack_store.h"
#include "data/preprocess/preprocess.h"
#include "kernels/base/file.h"
#include "tests/data/stored_pack.h"

enum { TRAIN = 3, TEST = 11, C = 3 };

static int set_up(void **state)
{
    (void)state;
    empty_folder();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    spx_scratch_remove(&scratch);
    return 0;
}

/* Of a model with a side x side input. */
static spx_preprocess model_of(const spx_pack *p, int side, int crop, int resize)
{
    return (spx_preprocess){.channels = C,
                            .height = crop == 0 ? p->height : 0,
                            .width = crop == 0 ? p->width : 0,
                            .rows = side,
                            .columns = side,
                            .centre_crop = crop,
                            .centre_resize = resize};
}

/* All test images: what evaluation's batches hold against the bytes, normalised by the table. */
static void check_all(const spx_pack *p, const spx_preprocess *model)
{
    const size_t pixels = (size_t)(C * model->rows * model->columns);
    const spx_loader_options o = {.split = SPX_SPLIT_TEST,
                                  .batch = TEST,
                                  .height = model->rows,
                                  .width = model->columns,
                                  .augment = spx_preprocess_augment(model)};
    uint8_t *bytes = malloc(pixels);
    spx_loader *loader;
    spx_normalise n;
    spx_batch b;
    CHECK_OK(spx_normalise_init(&n, C, p->mean, p->std));
    CHECK_OK(spx_loader_open(&loader, p, &o));
    CHECK_OK(spx_loader_get(loader, 0, 0, &b));
    assert_int_equal(b.valid, TEST);
    for (size_t i = 0; i < TEST; i++) {
        CHECK_OK(spx_preprocess_packed(model, p, SPX_SPLIT_TEST, (uint32_t)i, bytes));
        for (size_t j = 0; j < pixels; j++) {
            if (b.images[i * pixels + j] != n.value[j / (pixels / C)][bytes[j]]) {
                fail_msg("image %zu, element %zu: another than in evaluation", i, j);
            }
        }
    }
    CHECK_FAILS(SPX_EINVAL, spx_preprocess_packed(model, p, SPX_SPLIT_TEST, TEST, bytes));
    assert_non_null(strstr(spx_error_message(), "the test split has 11"));
    spx_loader_close(loader);
    free(bytes);
}

/* Inputs larger, smaller, and so much smaller that JPEGs are decoded at a scale. */
SPX_TEST(images_of_stored_packs_are_those_of_evaluation)
{
    static const int side[] = {40, 22, 7};
    static const int centre[][2] = {{224, 256}, {1, 1}, {3, 4}};
    static const char *const form[] = {"original", "raw:33"};
    SPX_UNUSED;
    make_set(TRAIN, TEST, 0, 0);
    for (size_t f = 0; f < 2; f++) {
        spx_pack *p = store_set("p.h5", form[f]);
        for (size_t i = 0; i < 9; i++) {
            const spx_preprocess m = model_of(p, side[i / 3], centre[i % 3][0], centre[i % 3][1]);
            check_all(p, &m);
        }
        spx_pack_close(p);
    }
}

SPX_TEST(images_of_one_size_are_centred_in_every_form)
{
    static const char *const form[] = {"original", "raw:30"};
    SPX_UNUSED;
    empty_folder();
    make_set(TRAIN, TEST, 30, 30);
    for (size_t f = 0; f < 2; f++) {
        spx_pack *p = store_set("p.h5", form[f]);
        const spx_preprocess padded = model_of(p, 32, 0, 0), whole = model_of(p, 30, 0, 0);
        check_all(p, &padded);
        check_all(p, &whole);
        spx_pack_close(p);
    }
}

SPX_TEST(a_file_gives_what_its_picture_in_a_pack_gives)
{
    spx_pack *p;
    SPX_UNUSED;
    empty_folder();
    make_set(TRAIN, TEST, 0, 0);
    p = store_set("p.h5", "original");
    const spx_preprocess m = model_of(p, 9, 7, 8);
    uint8_t packed[C * 9 * 9], of_file[C * 9 * 9];
    for (uint32_t i = 0; i < TEST; i++) {
        void *bytes;
        size_t size;
        char *name, path[128];
        bool transparent;
        CHECK_OK(spx_store_name(p, SPX_SPLIT_TEST, i, &name));
        (void)snprintf(path, sizeof path, "set/%s", name);
        CHECK_OK(spx_file_read(place(path), 1 << 20, &bytes, &size));
        CHECK_OK(spx_preprocess_encoded(&m, name, bytes, size, false, of_file, &transparent));
        assert_false(transparent);
        CHECK_OK(spx_preprocess_packed(&m, p, SPX_SPLIT_TEST, i, packed));
        assert_memory_equal(of_file, packed, sizeof packed);
        CHECK_FAILS(SPX_EFORMAT, spx_preprocess_encoded(&m, name, bytes, size / 2, false, of_file,
                                                        &transparent));
        CHECK_FAILS(SPX_EFORMAT,
                    spx_preprocess_encoded(&m, name, bytes, 0, false, of_file, &transparent));
        spx_free(bytes);
        spx_free(name);
    }
    spx_pack_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(images_of_stored_packs_are_those_of_evaluation),
        SPX_UNIT(images_of_one_size_are_centred_in_every_form),
        SPX_UNIT(a_file_gives_what_its_picture_in_a_pack_gives),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
