#ifndef SPX_TESTS_STORED_PACK_H
#define SPX_TESTS_STORED_PACK_H
/* Packs of stored pictures, packed from pictures that are made. */
#include "data/image/image.h"
#include "data/pack/pack_list.h"
#include "data/pack/pack_write.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "tests/data/pack_bytes.h"

/* The size of picture i of a set of differing sizes. */
static inline void made_size(int i, int *height, int *width)
{
    *height = 24 + i * 7 % 31;
    *width = 24 + i * 13 % 37;
}

/* Writes scratch/NAME: smooth colours with some noise, as photographs have. */
static inline void make_picture(const char *name, int seed, int height, int width)
{
    const bool png = strstr(name, ".png") != NULL;
    spx_image image;
    spx_rng rng;
    void *bytes = NULL;
    size_t size = 0;
    CHECK_OK(spx_image_create(&image, 3, height, width));
    spx_rng_init(&rng, (uint64_t)seed, SPX_RNG_TEST, 77);
    for (int c = 0; c < 3; c++) {
        for (int at = 0; at < height * width; at++) {
            const int v = 40 * c + 3 * (at / width) + 2 * (at % width) + 29 * seed % 100;
            image.pixels[c * height * width + at] =
                (uint8_t)(v % 200 + (int)spx_rng_below(&rng, 40));
        }
    }
    if (png) {
        CHECK_OK(spx_image_write(&image, place(name)));
    } else {
        CHECK_OK(spx_image_encode_jpeg(&image, 92, &bytes, &size));
        assert_int_equal(spx_scratch_write(place(name), bytes, size), 0);
    }
    spx_free(bytes);
    spx_image_clear(&image);
}

/* Makes scratch/set of that many pictures a split; height 0: of differing sizes. */
static inline void make_set(int train, int test, int height, int width)
{
    for (int i = 0; i < train + test; i++) {
        int h = height, w = width;
        char name[64];
        if (height == 0) {
            made_size(i, &h, &w);
        }
        (void)snprintf(name, sizeof name, "set/%s/%c/%03d.%s", i < train ? "train" : "test",
                       "abc"[i % 3], i, i % 5 == 4 ? "png" : "jpg");
        make_picture(name, i, h, w);
    }
}

/* Packs scratch/set as scratch/NAME and opens it. @param form  as --store takes it */
static inline spx_pack *store_set(const char *name, const char *form)
{
    spx_store_options o = {.threads = 1};
    spx_store_report report = {0};
    spx_pack_list *list;
    spx_pack *pack;
    CHECK_OK(spx_store_parse(form, &o));
    CHECK_OK(spx_pack_list_open(&list, "imagefolder", place("set"), NULL));
    CHECK_OK(spx_pack_store(list, place(name), &o, &report));
    spx_store_report_clear(&report);
    spx_pack_list_close(list);
    CHECK_OK(spx_pack_open(&pack, place(name), SPX_PACK_LOAD_ALL));
    return pack;
}

#endif
