#ifndef SPX_TESTS_STORE_CHECK_H
#define SPX_TESTS_STORE_CHECK_H
/* Pictures in folders, packed as they are; whole files compared. */
#include "data/pack/pack_list.h"
#include "data/pack/pack_write.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "tests/data/pack_bytes.h"

#include <unistd.h>

/* The pixels of picture i: no two are alike. */
static inline void draw(spx_image *image, int i, int channels, int height, int width)
{
    const size_t n = (size_t)channels * (size_t)height * (size_t)width;
    CHECK_OK(spx_image_create(image, channels, height, width));
    for (size_t j = 0; j < n; j++) {
        image->pixels[j] = (uint8_t)(j * 5 + j / 7 * 3 + (size_t)i * 41);
    }
}

/* scratch/name: picture i, a JPEG or PNG by the name. */
static inline void put_picture(const char *name, int i, int channels, int height, int width)
{
    spx_image image;
    draw(&image, i, channels, height, width);
    if (strstr(name, ".jpg") != NULL) {
        void *bytes;
        size_t size;
        CHECK_OK(spx_image_encode_jpeg(&image, 90, &bytes, &size));
        assert_int_equal(spx_scratch_write(place(name), bytes, size), 0);
        spx_free(bytes);
    } else {
        CHECK_OK(spx_image_write(&image, place(name)));
    }
    spx_image_clear(&image);
}

/* set/train and set/test: n pictures of two classes, of several sizes, both formats. */
static inline void put_set(int n, int channels)
{
    char name[64];
    for (int i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, "set/%s/%s/%03d.%s", i % 4 == 3 ? "test" : "train",
                       i % 2 == 0 ? "even" : "odd", i, i % 3 == 0 ? "png" : "jpg");
        put_picture(name, i, channels, 9 + i % 5, 8 + i % 3);
    }
    (void)place("set/train/odd/"); /* both splits have both */
    (void)place("set/test/even/");
}

static inline spx_pack_list *list_set(void)
{
    spx_pack_list *l;
    CHECK_OK(spx_pack_list_open(&l, "imagefolder", spx_scratch_path(&scratch, "set"), NULL));
    return l;
}

static inline spx_status try_store(const char *name, const spx_store_options *o,
                                   spx_store_report *r)
{
    spx_pack_list *l = list_set();
    const spx_status st = spx_pack_store(l, spx_scratch_path(&scratch, name), o, r);
    spx_pack_list_close(l);
    return st;
}

/* set, packed as scratch/name. */
static inline void store(const char *name, const spx_store_options *o)
{
    spx_store_report r;
    CHECK_OK(try_store(name, o, &r));
    spx_store_report_clear(&r);
}

static inline spx_pack *open_pack(const char *name)
{
    spx_pack *p;
    CHECK_OK(spx_pack_open(&p, spx_scratch_path(&scratch, name), SPX_PACK_LOAD_ALL));
    return p;
}

static inline void read_whole(const char *name, void **bytes, size_t *size)
{
    CHECK_OK(spx_file_read(spx_scratch_path(&scratch, name), (size_t)1 << 30, bytes, size));
}

/* A scratch folder where syncing costs nothing, if there is one: files are tiny, and thousands. */
static inline bool begin_in_memory(void)
{
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0);
    }
    return spx_scratch_make(&scratch) == 0;
}

static inline bool equal_files(const char *a, const char *b)
{
    void *x, *y;
    size_t n, m;
    bool equal;
    read_whole(a, &x, &n);
    read_whole(b, &y, &m);
    equal = n == m && memcmp(x, y, n) == 0;
    spx_free(x);
    spx_free(y);
    return equal;
}

#endif
