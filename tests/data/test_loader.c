#include "data/loader/loader.h"
#include "tests/support/spx_test.h"

#include <stdlib.h>

enum { N = 103, C = 3, SIDE_H = 6, SIDE_W = 5, H = 8, W = 8, CLASSES = 4, PIXELS = C * H * W };

static uint8_t images[N * C * SIDE_H * SIDE_W];
static uint16_t labels[N];
static spx_pack pack = {
    .dataset = "synthetic",
    .channels = C,
    .height = SIDE_H,
    .width = SIDE_W,
    .classes = CLASSES,
    .mean = {.5, .4, .3},
    .std = {.25, .2, .3},
    .split = {[SPX_SPLIT_TRAIN] = {N, images, labels, NULL}},
};
static const spx_loader_options training = {
    .split = SPX_SPLIT_TRAIN,
    .train = true,
    .batch = 8,
    .height = H,
    .width = W,
    .augment = {.pad_crop = 2, .flip = true, .cutout = 3},
    .seed = 7,
};

static int set_up(void **state)
{
    spx_rng rng;
    (void)state;
    spx_rng_init(&rng, 1, SPX_RNG_TEST, 0);
    for (size_t i = 0; i < sizeof images; i++) {
        images[i] = (uint8_t)spx_rng_u32(&rng);
    }
    for (int i = 0; i < N; i++) {
        labels[i] = (uint16_t)(i % CLASSES);
    }
    return 0;
}

static uint64_t mix(uint64_t h, const void *data, size_t n) /* FNV-1a */
{
    for (size_t i = 0; i < n; i++) {
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    }
    return h;
}

static uint64_t digest(const spx_batch *b)
{
    uint64_t h = 0xcbf29ce484222325u;
    h = mix(h, b->images, b->count * PIXELS * sizeof *b->images);
    h = mix(h, b->labels, b->count * sizeof *b->labels);
    h = mix(h, b->indices, b->count * sizeof *b->indices);
    return mix(h, &b->valid, sizeof b->valid);
}

static uint64_t digest_at(spx_loader *l, uint64_t epoch, size_t step)
{
    spx_batch b;
    CHECK_OK(spx_loader_get(l, epoch, step, &b));
    return digest(&b);
}

enum { EPOCHS = 3, STEPS = N / 8 };

/* The batches of three epochs, made one after the other in the caller's thread. */
static void expected(uint64_t want[EPOCHS][STEPS])
{
    spx_loader *l;
    CHECK_OK(spx_loader_open(&l, &pack, &training));
    assert_int_equal(spx_loader_steps(l), STEPS);
    for (uint64_t e = 0; e < EPOCHS; e++) {
        for (size_t s = 0; s < STEPS; s++) {
            want[e][s] = digest_at(l, e, s);
        }
    }
    spx_loader_close(l);
}

SPX_TEST(batches_do_not_depend_on_threads_or_prefetch)
{
    SPX_UNUSED;
    static const int threads[] = {1, 2, 5}, prefetch[] = {1, 2, 7, 64};
    uint64_t want[EPOCHS][STEPS];
    expected(want);
    for (size_t i = 0; i < 3 * 4; i++) {
        spx_loader_options o = training;
        spx_loader *l;
        o.threads = threads[i % 3];
        o.prefetch = prefetch[i / 3];
        CHECK_OK(spx_loader_open(&l, &pack, &o));
        for (uint64_t e = 0; e < EPOCHS; e++) {
            for (size_t s = 0; s < STEPS; s++) {
                assert_true(digest_at(l, e, s) == want[e][s]);
            }
        }
        spx_loader_close(l);
    }
}

SPX_TEST(workers_sharing_a_batch_make_what_one_would)
{
    SPX_UNUSED;
    spx_loader_options o = training;
    spx_loader *one, *many;
    o.batch = 100; /* two pieces, the second short */
    for (int train = 0; train < 2; train++) {
        o.train = train != 0;
        for (o.bytes = false;; o.bytes = true) {
            spx_batch a, b;
            o.threads = 0;
            CHECK_OK(spx_loader_open(&one, &pack, &o));
            o.threads = 3;
            CHECK_OK(spx_loader_open(&many, &pack, &o));
            for (uint64_t t = 0; t < 12; t++) {
                const size_t steps = spx_loader_steps(one);
                CHECK_OK(spx_loader_get(one, t / steps, t % steps, &a));
                CHECK_OK(spx_loader_get(many, t / steps, t % steps, &b));
                assert_int_equal(a.valid, b.valid);
                assert_memory_equal(a.labels, b.labels, 100 * sizeof *a.labels);
                assert_memory_equal(a.indices, b.indices, 100 * sizeof *a.indices);
                if (o.bytes) {
                    assert_memory_equal(a.bytes, b.bytes, 100 * PIXELS);
                    assert_memory_equal(a.cut, b.cut, 100 * 2 * sizeof *a.cut);
                } else {
                    assert_memory_equal(a.images, b.images, 100 * PIXELS * sizeof *a.images);
                }
            }
            spx_loader_close(one);
            spx_loader_close(many);
            if (o.bytes) {
                break;
            }
        }
    }
}

/* A batch of bytes, normalised and cut out where its centres say, is the batch of floats. */
SPX_TEST(bytes_are_the_floats_before_they_are_normalised)
{
    SPX_UNUSED;
    spx_loader_options o = training;
    spx_loader *floats, *bytes;
    spx_normalise n;
    CHECK_OK(spx_normalise_init(&n, C, pack.mean, pack.std));
    CHECK_OK(spx_loader_open(&floats, &pack, &o));
    o.bytes = true;
    CHECK_OK(spx_loader_open(&bytes, &pack, &o));
    for (size_t step = 0; step < STEPS; step++) {
        spx_batch f, b;
        CHECK_OK(spx_loader_get(floats, 1, step, &f));
        CHECK_OK(spx_loader_get(bytes, 1, step, &b));
        assert_null(b.images);
        assert_ptr_equal(b.cut, b.bytes + spx_loader_cut_offset(8, PIXELS));
        for (size_t i = 0; i < 8 * PIXELS; i++) {
            const size_t row = i / PIXELS, c = i / (H * W) % C;
            const int y = (int)(i / W % H), x = (int)(i % W);
            const int top = b.cut[2 * row] - 1, left = b.cut[2 * row + 1] - 1; /* cutout of 3 */
            const bool cut = y >= top && y < top + 3 && x >= left && x < left + 3;
            const uint8_t v = b.bytes[row * PIXELS + (size_t)(y * W + x) * C + c];
            assert_true(f.images[i] == (cut ? 0 : n.value[c][v]));
        }
    }
    spx_loader_close(floats);
    spx_loader_close(bytes);
}

SPX_TEST(evaluation_crops_the_centre_where_training_resizes)
{
    SPX_UNUSED;
    spx_loader_options o = training;
    spx_loader *l;
    spx_batch b;
    o.train = false;
    o.height = o.width = 4; /* smaller than the stored 6x5 */
    CHECK_FAILS(SPX_EINVAL, spx_loader_open(&l, &pack, &o));
    o.augment = (spx_augment){.resized_crop = SPX_RESIZED_CROP_RANDOM,
                              .flip = true,
                              .cutout = 2,
                              .jitter = {1, 1, 1},
                              .centre_crop = 4,
                              .centre_resize = 5};
    CHECK_OK(spx_loader_open(&l, &pack, &o));
    CHECK_OK(spx_loader_get(l, 0, 0, &b));
    for (size_t i = 0; i < 4 * 4; i++) { /* 4 of 5 pixels of the shorter side: copied */
        const size_t stored = (1 + i / 4) * SIDE_W + i % 4;
        assert_true(b.images[i] == (float)((images[stored] / 255.0 - .5) / .25));
    }
    spx_loader_close(l);
}

SPX_TEST(a_run_resumed_anywhere_continues_the_same)
{
    SPX_UNUSED;
    uint64_t want[EPOCHS][STEPS];
    expected(want);
    for (size_t start = 0; start < EPOCHS * STEPS; start += 5) {
        spx_loader_options o = training;
        spx_loader *l;
        o.threads = 2;
        CHECK_OK(spx_loader_open(&l, &pack, &o));
        for (size_t t = start; t < EPOCHS * STEPS && t < start + 6; t++) {
            assert_true(digest_at(l, t / STEPS, t % STEPS) == want[t / STEPS][t % STEPS]);
        }
        spx_loader_close(l);
    }
}

SPX_TEST(any_order_of_asking_gives_the_same_batches)
{
    SPX_UNUSED;
    uint64_t want[EPOCHS][STEPS];
    expected(want);
    for (int threads = 0; threads <= 3; threads++) {
        spx_loader_options o = training;
        spx_loader *l;
        spx_rng rng;
        o.threads = threads;
        o.prefetch = 4;
        spx_rng_init(&rng, 5, SPX_RNG_TEST, 0);
        CHECK_OK(spx_loader_open(&l, &pack, &o));
        for (int i = 0; i < 300; i++) {
            const size_t e = spx_rng_below(&rng, EPOCHS), s = spx_rng_below(&rng, STEPS);
            assert_true(digest_at(l, e, s) == want[e][s]);
            assert_true(digest_at(l, e, s) == want[e][s]); /* twice the same */
        }
        spx_loader_close(l);
    }
}

SPX_TEST(an_epoch_visits_images_once_in_an_order_of_its_own)
{
    SPX_UNUSED;
    uint32_t first_order[N], order[N];
    spx_loader *l;
    CHECK_OK(spx_loader_open(&l, &pack, &training));
    for (uint64_t e = 0; e < 4; e++) {
        int seen[N] = {0};
        for (size_t s = 0; s < STEPS; s++) {
            spx_batch b;
            CHECK_OK(spx_loader_get(l, e, s, &b));
            assert_int_equal(b.valid, 8);
            for (size_t i = 0; i < 8; i++) {
                assert_int_equal(seen[b.indices[i]]++, 0);
                assert_int_equal(b.labels[i], labels[b.indices[i]]);
                order[s * 8 + i] = b.indices[i];
            }
        }
        if (e == 0) {
            memcpy(first_order, order, sizeof order);
        } else {
            assert_memory_not_equal(first_order, order, STEPS * 8 * sizeof *order);
        }
    }
    spx_loader_close(l);
}

SPX_TEST(ranks_share_out_the_batches_of_one_big_rank)
{
    SPX_UNUSED;
    enum { WORLD = 3, BATCH = 4 };
    spx_loader_options o = training;
    spx_loader *whole, *part[WORLD];
    o.batch = WORLD * BATCH;
    CHECK_OK(spx_loader_open(&whole, &pack, &o));
    o.batch = BATCH;
    o.world = WORLD;
    o.threads = 1;
    for (o.rank = 0; o.rank < WORLD; o.rank++) {
        CHECK_OK(spx_loader_open(&part[o.rank], &pack, &o));
        assert_int_equal(spx_loader_steps(part[o.rank]), spx_loader_steps(whole));
    }
    for (size_t s = 0; s < spx_loader_steps(whole); s++) {
        spx_batch all, b;
        CHECK_OK(spx_loader_get(whole, 1, s, &all));
        for (size_t r = 0; r < WORLD; r++) {
            CHECK_OK(spx_loader_get(part[r], 1, s, &b));
            assert_memory_equal(b.images, all.images + r * BATCH * PIXELS,
                                BATCH * PIXELS * sizeof(float));
            assert_memory_equal(b.labels, all.labels + r * BATCH, BATCH * sizeof(int32_t));
        }
    }
    spx_loader_close(whole);
    for (int r = 0; r < WORLD; r++) {
        spx_loader_close(part[r]);
    }
}

SPX_TEST(a_sample_depends_on_seed_epoch_and_image_only)
{
    SPX_UNUSED;
    static const uint32_t subset[] = {90, 3, 50, 17, 3, 101, 8};
    static float sample[N][PIXELS];
    spx_loader_options o = training;
    spx_loader *l;
    spx_batch b;
    bool known[N] = {false};
    size_t compared = 0;
    CHECK_OK(spx_loader_open(&l, &pack, &o));
    for (size_t s = 0; s < STEPS; s++) {
        CHECK_OK(spx_loader_get(l, 2, s, &b));
        for (size_t i = 0; i < b.count; i++) {
            memcpy(sample[b.indices[i]], b.images + i * PIXELS, sizeof sample[0]);
            known[b.indices[i]] = true;
        }
    }
    spx_loader_close(l);
    o.subset = subset;
    o.subset_count = sizeof subset / sizeof *subset;
    o.batch = 7;
    CHECK_OK(spx_loader_open(&l, &pack, &o));
    CHECK_OK(spx_loader_get(l, 2, 0, &b));
    for (size_t i = 0; i < b.count; i++) {
        if (known[b.indices[i]]) {
            assert_memory_equal(sample[b.indices[i]], b.images + i * PIXELS, sizeof sample[0]);
            compared++;
        }
    }
    assert_true(compared >= 1);
    CHECK_OK(spx_loader_get(l, 3, 0, &b)); /* another epoch, other draws */
    for (size_t i = compared = 0; i < b.count; i++) {
        compared += known[b.indices[i]] &&
                    memcmp(sample[b.indices[i]], b.images + i * PIXELS, sizeof sample[0]) != 0;
    }
    assert_true(compared >= 1);
    spx_loader_close(l);
}

SPX_TEST(evaluation_shows_every_image_once_in_order_and_pads_the_tail)
{
    SPX_UNUSED;
    spx_loader_options o = training;
    size_t seen = 0;
    o.train = false;
    o.world = 2;
    o.threads = 2;
    for (o.rank = 0; o.rank < 2; o.rank++) {
        spx_loader *l;
        CHECK_OK(spx_loader_open(&l, &pack, &o));
        assert_int_equal(spx_loader_steps(l), 7); /* ceil(103 / 16) */
        for (size_t s = 0; s < 7; s++) {
            const size_t first = (s * 2 + (size_t)o.rank) * 8;
            spx_batch b;
            CHECK_OK(spx_loader_get(l, 0, s, &b));
            assert_int_equal(b.count, 8);
            assert_int_equal(b.valid, first >= N ? 0 : N - first < 8 ? N - first : 8);
            for (size_t i = 0; i < 8; i++) {
                const size_t image = i < b.valid ? first + i : 0;
                const uint8_t *stored = images + image * C * SIDE_H * SIDE_W;
                assert_int_equal(b.indices[i], image);
                assert_int_equal(b.labels[i], labels[image]);
                /* Stored pixel (0, 0) lands at row 1, column 1: 6x5 centred in 8x8. */
                assert_true(b.images[i * PIXELS + W + 1] ==
                            (float)((stored[0] / 255.0 - .5) / .25));
                assert_true(b.images[i * PIXELS] == (float)((0 - .5) / .25));
            }
            seen += b.valid;
        }
        spx_loader_close(l);
    }
    assert_int_equal(seen, N);
}

SPX_TEST(indices_are_those_of_the_batch_though_none_is_made)
{
    spx_loader_options o = training;
    uint32_t indices[8];
    size_t valid;
    SPX_UNUSED;
    for (int train = 0; train < 2; train++) {
        spx_loader *makes, *tells;
        o.train = train != 0;
        o.threads = 1;
        CHECK_OK(spx_loader_open(&makes, &pack, &o));
        o.threads = 0;
        CHECK_OK(spx_loader_open(&tells, &pack, &o));
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            for (size_t step = 0; step < spx_loader_steps(makes); step++) {
                spx_batch b;
                CHECK_OK(spx_loader_get(makes, epoch, step, &b));
                CHECK_OK(spx_loader_indices(tells, epoch, step, indices, &valid));
                assert_int_equal(valid, b.valid);
                assert_memory_equal(indices, b.indices, sizeof indices);
            }
        }
        CHECK_FAILS(SPX_EINVAL, spx_loader_indices(makes, 0, 0, indices, &valid));
        CHECK_FAILS(SPX_EINVAL, spx_loader_indices(tells, 0, 1000, indices, &valid));
        spx_loader_close(makes);
        spx_loader_close(tells);
    }
}

SPX_TEST(closing_is_clean_at_any_time)
{
    SPX_UNUSED;
    for (int i = 0; i < 60; i++) {
        spx_loader_options o = training;
        spx_loader *l;
        spx_batch b;
        o.threads = i % 4;
        o.prefetch = 1 + i % 9;
        CHECK_OK(spx_loader_open(&l, &pack, &o));
        for (int k = 0; k < i % 5; k++) {
            CHECK_OK(spx_loader_get(l, (uint64_t)(i % 3), (size_t)k, &b));
        }
        spx_loader_close(l);
    }
    spx_loader_close(NULL);
}

SPX_TEST(an_epoch_of_one_step_and_the_last_epoch_work)
{
    SPX_UNUSED;
    spx_loader_options o = training;
    spx_loader *l, *again;
    o.batch = N;
    o.threads = 3;
    o.prefetch = 9;
    CHECK_OK(spx_loader_open(&l, &pack, &o));
    o.threads = 0;
    CHECK_OK(spx_loader_open(&again, &pack, &o));
    for (uint64_t e = 0; e < 200; e++) {
        assert_true(digest_at(l, e, 0) == digest_at(again, e, 0));
    }
    assert_true(digest_at(l, UINT32_MAX, 0) == digest_at(again, UINT32_MAX, 0));
    spx_loader_close(l);
    spx_loader_close(again);
}

SPX_TEST(bad_options_are_refused_by_name)
{
    SPX_UNUSED;
    static const uint32_t outside[] = {N};
    const struct {
        spx_loader_options o;
        spx_status st;
        const char *names;
    } cases[] = {
        {{.train = true, .batch = 0}, SPX_EINVAL, "batch"},
        {{.train = true, .batch = 65537}, SPX_EINVAL, "batch"},
        {{.train = true, .batch = 104}, SPX_EINVAL, "103 images"},
        {{.train = true, .batch = 60, .world = 2}, SPX_EINVAL, "2 rank"},
        {{.batch = 1, .height = SIDE_H - 1}, SPX_EINVAL, "height"},
        {{.batch = 1, .width = 5000}, SPX_EINVAL, "width"},
        {{.batch = 1, .rank = 1}, SPX_EINVAL, "rank"},
        {{.batch = 1, .rank = -1, .world = 2}, SPX_EINVAL, "rank"},
        {{.batch = 1, .world = -1}, SPX_EINVAL, "world"},
        {{.batch = 1, .threads = 65}, SPX_EINVAL, "threads"},
        {{.batch = 1, .prefetch = -1}, SPX_EINVAL, "prefetch"},
        {{.batch = 1, .split = SPX_SPLIT_TEST}, SPX_ENOTFOUND, "test split"},
        {{.batch = 1, .split = SPX_SPLIT_COUNT}, SPX_EINVAL, "split"},
        {{.batch = 1, .train = true, .augment = {.pad_crop = 65}}, SPX_EINVAL, "pad-crop"},
        {{.batch = 1, .train = true, .augment = {.cutout = 7}}, SPX_EINVAL, "cutout"},
        {{.batch = 1, .subset = outside, .subset_count = 1}, SPX_EINVAL, "image 103 of 103"},
        {{.batch = 1, .subset = outside, .subset_count = 0}, SPX_EINVAL, "0 images"},
    };
    spx_loader *l;
    spx_batch b;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_FAILS(cases[i].st, spx_loader_open(&l, &pack, &cases[i].o));
        assert_null(l);
        if (strstr(spx_error_message(), cases[i].names) == NULL) {
            fail_msg("case %zu: '%s' does not name %s", i, spx_error_message(), cases[i].names);
        }
    }
    CHECK_OK(spx_loader_open(&l, &pack, &training));
    CHECK_FAILS(SPX_EINVAL, spx_loader_get(l, 0, STEPS, &b));
    CHECK_FAILS(SPX_EINVAL, spx_loader_get(l, (uint64_t)1 << 32, 0, &b));
    spx_loader_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(batches_do_not_depend_on_threads_or_prefetch),
        SPX_UNIT(workers_sharing_a_batch_make_what_one_would),
        SPX_UNIT(bytes_are_the_floats_before_they_are_normalised),
        SPX_UNIT(evaluation_crops_the_centre_where_training_resizes),
        SPX_UNIT(a_run_resumed_anywhere_continues_the_same),
        SPX_UNIT(any_order_of_asking_gives_the_same_batches),
        SPX_UNIT(an_epoch_visits_images_once_in_an_order_of_its_own),
        SPX_UNIT(ranks_share_out_the_batches_of_one_big_rank),
        SPX_UNIT(a_sample_depends_on_seed_epoch_and_image_only),
        SPX_UNIT(evaluation_shows_every_image_once_in_order_and_pads_the_tail),
        SPX_UNIT(indices_are_those_of_the_batch_though_none_is_made),
        SPX_UNIT(closing_is_clean_at_any_time),
        SPX_UNIT(an_epoch_of_one_step_and_the_last_epoch_work),
        SPX_UNIT(bad_options_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
