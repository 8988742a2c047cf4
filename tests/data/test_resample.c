#define _POSIX_C_SOURCE 200809L
#include "data/augment/resample.h"
#include "data/augment/resample_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"
#include "tests/support/spx_test.h"

/* A box at (y, x) of a picture in memory, with nothing beside its bytes. */
typedef struct picture {
    int channels, height, width;
    bool planes;
    uint8_t *bytes;
} picture;

static void make(picture *p, spx_rng *rng)
{
    const size_t n = (size_t)p->channels * (size_t)p->height * (size_t)p->width;
    p->bytes = malloc(n);
    for (size_t i = 0; i < n; i++) { /* the corners of the range are the likely wrong ones */
        const uint32_t v = spx_rng_below(rng, 512);
        p->bytes[i] = (uint8_t)(v < 256 ? v : v < 400 ? 255 : 0);
    }
}

static ptrdiff_t pixel_step(const picture *p)
{
    return p->planes ? 1 : p->channels;
}

static spx_resample whole_of(const picture *p, uint8_t *out)
{
    return (spx_resample){.channels = p->channels,
                          .src = p->bytes,
                          .row = p->width * pixel_step(p),
                          .plane = p->planes ? (ptrdiff_t)p->height * p->width : 0,
                          .out = out};
}

static const uint8_t *place(const spx_resample *r, int c, int y, int x)
{
    const int at = y * r->x.wanted + x;
    return r->out + (r->planes ? c * r->y.wanted * r->x.wanted + at : at * r->channels + c);
}

static void run(const spx_resample *r)
{
    void *scratch;
    CHECK_OK(spx_alloc(&scratch, spx_resample_room(r)));
    CHECK_OK(spx_resample_run(r, scratch));
    spx_free(scratch);
}

static void check_box(const picture *p, int y0, int x0, int h, int w, int height, int width,
                      unsigned flags)
{
    uint8_t *const out = malloc((size_t)p->channels * (size_t)height * (size_t)width);
    spx_resample r = whole_of(p, out);
    const ptrdiff_t offset = y0 * r.row + x0 * pixel_step(p);
    r.src += offset;
    r.y = (spx_resample_axis){0, h, h, 1, height};
    r.x = (spx_resample_axis){0, w, w, 1, width};
    r.flip = flags & 1;
    r.planes = flags & 2;
    run(&r);
    for (int c = 0; c < p->channels; c++) {
        const uint8_t *const from =
            p->bytes + offset + c * (p->planes ? (ptrdiff_t)p->height * p->width : 1);
        for (int y = 0; y < height; y++) {
            const spx_resize_taps rows = spx_resize_at(y, h, height);
            for (int x = 0; x < width; x++) {
                const spx_resize_taps columns = spx_resize_at(x, w, width);
                const int want = spx_resize_pixel(from, r.row, pixel_step(p), &rows, &columns);
                if (*place(&r, c, y, r.flip ? width - 1 - x : x) != want) {
                    fail_msg("%dx%d to %dx%d, flags %u: (%d, %d, %d) is %d, expected %d", h, w,
                             height, width, flags, c, y, x,
                             *place(&r, c, y, r.flip ? width - 1 - x : x), want);
                }
            }
        }
    }
    free(out);
}

SPX_TEST(every_byte_is_that_of_the_definition)
{
    SPX_UNUSED;
    spx_rng rng;
    spx_rng_init(&rng, 3, SPX_RNG_TEST, 0);
    for (unsigned i = 0; i < 240; i++) {
        const uint32_t most = i % 3 == 0 ? 8 : 80; /* small ones: loops' ends */
        picture p = {.channels = 1 + 2 * (int)(i & 1), .planes = i & 2};
        int h, w;
        p.height = 1 + (int)spx_rng_below(&rng, most);
        p.width = 1 + (int)spx_rng_below(&rng, most);
        h = 1 + (int)spx_rng_below(&rng, (uint32_t)p.height);
        w = 1 + (int)spx_rng_below(&rng, (uint32_t)p.width);
        make(&p, &rng);
        check_box(&p, (int)spx_rng_below(&rng, (uint32_t)(p.height - h) + 1),
                  (int)spx_rng_below(&rng, (uint32_t)(p.width - w) + 1), h, w,
                  1 + (int)spx_rng_below(&rng, 50), 1 + (int)spx_rng_below(&rng, 50), i / 4);
        free(p.bytes);
    }
}

/* At 2:1 every sum lies on few values, many of them halves, which round up. */
SPX_TEST(halves_are_rounded_up_and_sums_too_large_for_the_fast_way_are_right)
{
    SPX_UNUSED;
    static const int sizes[][2] = {{2, 1}, {64, 32}, {3, 2}, {48, 16}, {1, 9}, {5, 40}};
    spx_rng rng;
    picture line = {.channels = 3, .height = 1, .width = 8192};
    picture column = {.channels = 1, .height = 8192, .width = 2};
    spx_rng_init(&rng, 4, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        picture p = {.channels = 3, .height = sizes[i][0], .width = sizes[i][0]};
        make(&p, &rng);
        check_box(&p, 0, 0, p.height, p.width, sizes[i][1], sizes[i][1], 0);
        free(p.bytes);
    }
    make(&line, &rng);
    check_box(&line, 0, 0, 1, 8192, 1, 1, 0);
    check_box(&line, 0, 0, 1, 8192, 3, 200, 3);
    make(&column, &rng);
    check_box(&column, 0, 0, 8192, 2, 1, 1, 0);
    check_box(&column, 0, 0, 8192, 1, 33, 2, 0);
    free(line.bytes);
    free(column.bytes);
}

/* Where given pixels are several of the picture's, by the triangle's definition in double: it spans
 * twice what a wanted or a given pixel does, whichever is wider. */
static double define(const picture *p, const spx_resample *r, int c, int y, int x)
{
    const spx_resample_axis *const axes[] = {&r->y, &r->x};
    const int at[] = {y, x};
    double weight[2][64] = {{0}}, total[2] = {0}, sum = 0;
    for (int a = 0; a < 2; a++) {
        const spx_resample_axis *const s = axes[a];
        const double scale = (double)s->box / s->wanted;
        const double centre = s->from + (at[a] + 0.5) * scale;
        const double support = scale > s->shrink ? scale : s->shrink;
        for (int i = 0; i < s->given; i++) {
            const bool touches = (i + 1) * s->shrink > s->from && i * s->shrink < s->from + s->box;
            const double d = fabs((i + 0.5) * s->shrink - centre);
            weight[a][i] = touches && d < support ? support - d : 0;
            total[a] += weight[a][i];
        }
    }
    for (int i = 0; i < r->y.given; i++) {
        for (int j = 0; j < r->x.given; j++) {
            sum += weight[0][i] * weight[1][j] * p->bytes[(i * p->width + j) * p->channels + c];
        }
    }
    return sum / (total[0] * total[1]);
}

SPX_TEST(a_box_of_a_shrunk_picture_is_where_it_was)
{
    SPX_UNUSED;
    spx_rng rng;
    spx_rng_init(&rng, 5, SPX_RNG_TEST, 0);
    for (int i = 0; i < 120; i++) {
        picture p = {.channels = 1 + 2 * (i & 1),
                     .height = 3 + (int)spx_rng_below(&rng, 60),
                     .width = 3 + (int)spx_rng_below(&rng, 60)};
        uint8_t out[3 * 20 * 20];
        spx_resample r;
        spx_resample_axis *const axes[] = {&r.y, &r.x};
        make(&p, &rng);
        r = whole_of(&p, out);
        for (int a = 0; a < 2; a++) {
            spx_resample_axis *const s = axes[a];
            s->given = a == 0 ? p.height : p.width;
            s->shrink = 1 << spx_rng_below(&rng, 4);
            s->from = (int)spx_rng_below(&rng, (uint32_t)s->shrink);
            s->box = s->given * s->shrink - s->from - (int)spx_rng_below(&rng, (uint32_t)s->shrink);
            s->wanted = 1 + (int)spx_rng_below(&rng, 20);
        }
        run(&r);
        for (int y = 0; y < r.y.wanted; y++) {
            for (int x = 0; x < r.x.wanted; x++) {
                for (int c = 0; c < p.channels;
                     c++) { /* to rounding, which halves may go against */
                    assert_true(fabs(*place(&r, c, y, x) - define(&p, &r, c, y, x)) < 0.5 + 1e-9);
                }
            }
        }
        free(p.bytes);
    }
}

SPX_TEST(what_cannot_be_is_refused)
{
    SPX_UNUSED;
    static const spx_resample_axis bad[] = {{-1, 2, 4, 1, 2},
                                            {0, 0, 4, 1, 2},
                                            {0, 5, 4, 1, 2},
                                            {0, 2, 4, 3, 2},
                                            {0, 2, 4, 1, 0},
                                            {3, 2, 4, 1, 1},
                                            {0, 2, 4, 1, SPX_RESIZE_MAX + 1}};
    const spx_resample_axis good = {0, 4, 4, 1, 2};
    uint8_t src[48] = {0}, out[12];
    picture p = {.channels = 3, .height = 4, .width = 4, .bytes = src};
    spx_resample r = whole_of(&p, out);
    r.y = r.x = good;
    run(&r);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.y = bad[i];
        CHECK_FAILS(SPX_EINVAL, spx_resample_run(&r, NULL));
        r.y = good;
        r.x = bad[i];
        CHECK_FAILS(SPX_EINVAL, spx_resample_run(&r, NULL));
        r.x = good;
    }
    r.channels = 2;
    CHECK_FAILS(SPX_EINVAL, spx_resample_run(&r, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(every_byte_is_that_of_the_definition),
        SPX_UNIT(halves_are_rounded_up_and_sums_too_large_for_the_fast_way_are_right),
        SPX_UNIT(a_box_of_a_shrunk_picture_is_where_it_was),
        SPX_UNIT(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
