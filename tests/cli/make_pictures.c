/*
 * make_pictures FOLDER COUNT: pictures of differing sizes in FOLDER/train/CLASS and, a quarter as
 * many, in FOLDER/test/CLASS; colours tell the four classes apart. JPEG, every fourth PNG.
 */
#include "data/image/image.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void draw(spx_image *image, int label, uint64_t key)
{
    const int plane = image->height * image->width;
    spx_rng r;
    spx_rng_init(&r, 1, SPX_RNG_TEST, key);
    for (int at = 0; at < 3 * plane; at++) {
        const int bright = (label + 1) >> at / plane & 1 ? 150 : 70;
        const float v = (float)bright + 20.0f * spx_rng_normal(&r);
        image->pixels[at] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : (int)v);
    }
}

static spx_status save(const spx_image *image, const char *path, bool png)
{
    void *bytes;
    size_t size, written;
    FILE *f;
    if (png) {
        return spx_image_write(image, path);
    }
    SPX_RETURN_IF(spx_image_encode_jpeg(image, 90, &bytes, &size));
    f = fopen(path, "wb");
    written = f != NULL ? fwrite(bytes, 1, size, f) : 0;
    spx_free(bytes);
    return f != NULL && fclose(f) == 0 && written == size
               ? SPX_OK
               : SPX_FAIL(SPX_EIO, "%s: cannot be written", path);
}

static spx_status make_split(const char *folder, const char *split, int count, uint64_t key)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", folder, split);
    (void)mkdir(path, 0777);
    for (int i = 0; i < count; i++) {
        const int label = i % 4;
        const bool png = i / 4 % 4 == 3;
        spx_image image;
        spx_status st;
        (void)snprintf(path, sizeof path, "%s/%s/%c", folder, split, "abcd"[label]);
        (void)mkdir(path, 0777);
        (void)snprintf(path, sizeof path, "%s/%s/%c/%04d.%s", folder, split, "abcd"[label], i,
                       png ? "png" : "jpg");
        SPX_RETURN_IF(spx_image_create(&image, 3, 20 + i * 7 % 23, 20 + i * 5 % 29));
        draw(&image, label, key + (uint64_t)i);
        st = save(&image, path, png);
        spx_image_clear(&image);
        SPX_RETURN_IF(st);
    }
    return SPX_OK;
}

int main(int argc, char **argv)
{
    const int count = argc == 3 ? atoi(argv[2]) : 0;
    if (count < 4) {
        (void)fprintf(stderr, "usage: make_pictures FOLDER COUNT\n");
        return 2;
    }
    (void)mkdir(argv[1], 0777);
    if (make_split(argv[1], "train", count, 0) != SPX_OK ||
        make_split(argv[1], "test", count / 4, 1u << 20) != SPX_OK) {
        (void)fprintf(stderr, "make_pictures: %s\n", spx_error_message());
        return 1;
    }
    return 0;
}
