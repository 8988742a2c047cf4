/* Images of many sizes, cropped and resized on CUDA: the CPU's samples, bit for bit. */
#include "tests/support/spx_devices.h"

#include "data/augment/augment_cuda.h"

enum { N = 24, C = 3, H = 16, W = 12, PIXELS = C * H * W, EPOCH = 3 };

static const double mean[C] = {.5, .4, .3}, deviation[C] = {.25, .2, .3};

/* Images of many sizes one behind the other; extremes first. */
static size_t make_places(spx_augment_place *place)
{
    static const int sizes[][2] = {{1, 1}, {1, 90}, {90, 1}, {H, W}, {200, 150}, {13, 400}};
    spx_rng rng;
    size_t bytes = 0;
    spx_rng_init(&rng, 2, SPX_RNG_TEST, 5);
    for (size_t i = 0; i < N; i++) {
        const bool given = i < sizeof sizes / sizeof sizes[0];
        place[i].offset = bytes;
        place[i].height = given ? sizes[i][0] : 1 + (int)spx_rng_below(&rng, 60);
        place[i].width = given ? sizes[i][1] : 1 + (int)spx_rng_below(&rng, 60);
        bytes += (size_t)C * (size_t)place[i].height * (size_t)place[i].width;
    }
    return bytes;
}

static void check(device_env *e, const spx_augment *a, bool interleaved)
{
    spx_augment_shape shape = {C, 0, 0, H, W, interleaved};
    spx_augment_place place[N];
    const size_t bytes = make_places(place);
    uint8_t *images = pile_bytes(&e->p, bytes);
    uint32_t index[N];
    float want[PIXELS], *got = pile_bytes(&e->p, N * PIXELS * sizeof *got);
    spx_normalise n;
    spx_rng rng;
    memset(&n, 0, sizeof n);
    CHECK_OK(spx_normalise_init(&n, C, mean, deviation));
    spx_rng_init(&rng, 2, SPX_RNG_TEST, 6);
    for (size_t i = 0; i < bytes; i++) {
        images[i] = (uint8_t)spx_rng_u32(&rng);
    }
    for (uint32_t i = 0; i < N; i++) {
        index[i] = N - 1 - i;
    }
    const spx_augment_from from = {.images = env_copy(e, images, bytes),
                                   .place = env_copy(e, place, sizeof place),
                                   .index = env_copy(e, index, sizeof index),
                                   .normalise = env_copy(e, &n, sizeof n),
                                   .seed = 11,
                                   .epoch = EPOCH};
    float *out = env_floats(e, got, N * PIXELS);
    CHECK_OK(spx_augment_batch_cuda(e->s, a, &shape, N, &from, out));
    env_fetch(e, got, out, N * PIXELS * sizeof *got);
    for (size_t i = 0; i < N; i++) {
        spx_augment_draw d;
        shape.from_height = place[i].height;
        shape.from_width = place[i].width;
        spx_augment_rng(&rng, 11, EPOCH, index[i]);
        spx_augment_choose(a, &shape, &rng, &d);
        spx_augment_apply(a, &d, &n, &shape, images + place[i].offset, want);
        for (size_t k = 0; k < PIXELS; k++) {
            const size_t c = k / (H * W), at = k % (H * W);
            assert_true(got[i * PIXELS + at * C + c] == want[k]);
        }
    }
    env_clear(e);
}

static const spx_stream_options cuda = {
    .device = SPX_DEVICE_CUDA, .threads = 1, .precision = SPX_PRECISION_F32};

SPX_TEST(samples_of_images_of_many_sizes_are_the_cpus)
{
    static const spx_augment augments[] = {
        {.resized_crop = SPX_RESIZED_CROP_RANDOM, .flip = true, .cutout = 5},
        {.resized_crop = SPX_RESIZED_CROP_CENTRE},
        {.resized_crop = SPX_RESIZED_CROP_RANDOM,
         .scale = {0.35, 1},
         .ratio = {0.2, 3},
         .flip = true,
         .alternate = true},
        {.resized_crop = SPX_RESIZED_CROP_CENTRE, .centre_crop = 4, .centre_resize = 5},
    };
    device_env e;
    SPX_UNUSED;
    env_open(&e, &cuda);
    for (int i = 0; i < 8; i++) {
        check(&e, &augments[i / 2], i % 2 == 1);
    }
    env_close(&e);
}

SPX_TEST(many_sizes_without_resizing_and_jitter_are_refused)
{
    const spx_augment a = {.flip = true}, jitter = {.jitter = {0, 0.4}};
    const spx_augment_shape shape = {C, H, W, H, W, false};
    const spx_augment_from whole = {.seed = 1};
    const spx_augment_place place = {0, H, W};
    device_env e;
    SPX_UNUSED;
    env_open(&e, &cuda);
    const spx_augment_from from = {.place = env_copy(&e, &place, sizeof place)};
    CHECK_FAILS(SPX_EINVAL, spx_augment_batch_cuda(e.s, &a, &shape, 1, &from, NULL));
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_augment_batch_cuda(e.s, &jitter, &shape, 1, &whole, NULL));
    env_close(&e);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(samples_of_images_of_many_sizes_are_the_cpus),
        SPX_UNIT(many_sizes_without_resizing_and_jitter_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return spx_run_cuda(all_tests);
}
