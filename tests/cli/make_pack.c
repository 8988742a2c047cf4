/*
 * make_pack FILE SIDE IMAGES [DATASET [ODD]]: a pack of SIDE x SIDE one-channel images in four
 * classes, a bright spot in one of the quarters under noise; only one split where the data set is
 * called "train" or "test". The training images whose numbers stand in the file ODD are white.
 * Small enough for tests that run the whole program many times.
 */
#include "data/pack/pack.h"
#include "kernels/base/rng.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void draw(uint8_t *image, int side, int label, spx_rng *r)
{
    const int cy = side / 4 + (label / 2) * (side / 2), cx = side / 4 + (label % 2) * (side / 2);
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            const int near = (y - cy) * (y - cy) + (x - cx) * (x - cx) <= side;
            const float v = (near ? 180.0f : 60.0f) + 40.0f * spx_rng_normal(r);
            image[y * side + x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : (int)v);
        }
    }
}

static int make_split(spx_pack_split *s, int side, size_t images, uint64_t key)
{
    const size_t pixels = (size_t)side * (size_t)side;
    spx_rng r;
    s->count = images;
    s->images = calloc(images, pixels);
    s->labels = calloc(images, sizeof *s->labels);
    if (s->images == NULL || s->labels == NULL) {
        return -1;
    }
    spx_rng_init(&r, 1, SPX_RNG_TEST, key);
    for (size_t i = 0; i < images; i++) {
        s->labels[i] = (uint16_t)(i % 4);
        draw(s->images + i * pixels, side, (int)(i % 4), &r);
    }
    return 0;
}

/* Whitens the training images of the file's numbers. */
static int whiten(const spx_pack_split *s, int side, const char *path)
{
    FILE *f = fopen(path, "r");
    size_t i;
    if (f == NULL) {
        return -1;
    }
    while (fscanf(f, "%zu", &i) == 1 && i < s->count) {
        memset(s->images + i * (size_t)(side * side), 255, (size_t)(side * side));
    }
    return fclose(f);
}

int main(int argc, char **argv)
{
    static char names[] = "north-west\nnorth-east\nsouth-west\nsouth-east", sources[] = "";
    const bool called_well = argc >= 4 && argc <= 6;
    const int side = called_well ? atoi(argv[2]) : 0, images = called_well ? atoi(argv[3]) : 0;
    spx_pack p = {.dataset = "spots",
                  .channels = 1,
                  .height = side,
                  .width = side,
                  .classes = 4,
                  .class_names = names,
                  .sources = sources,
                  .mean = {0.3},
                  .std = {0.2}};
    if (argc >= 5) {
        (void)snprintf(p.dataset, sizeof p.dataset, "%s", argv[4]);
    }
    if (side < 8 || side > 64 || images < 8) {
        (void)fprintf(stderr, "usage: make_pack FILE SIDE IMAGES [DATASET [ODD]]\n");
        return 2;
    }
    if ((strcmp(p.dataset, "test") != 0 &&
         make_split(&p.split[SPX_SPLIT_TRAIN], side, (size_t)images, 0) != 0) ||
        (argc == 6 && whiten(&p.split[SPX_SPLIT_TRAIN], side, argv[5]) != 0) ||
        (strcmp(p.dataset, "train") != 0 &&
         make_split(&p.split[SPX_SPLIT_TEST], side, (size_t)images / 4, 1) != 0) ||
        spx_pack_write(&p, argv[1]) != SPX_OK) {
        (void)fprintf(stderr, "make_pack: %s\n", spx_error_message());
        return 1;
    }
    for (int i = 0; i < SPX_SPLIT_COUNT; i++) {
        free(p.split[i].images);
        free(p.split[i].labels);
    }
    return 0;
}
