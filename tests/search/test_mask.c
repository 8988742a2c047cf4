#define _POSIX_C_SOURCE 200809L
/* Masks of final networks: where they are, what they count, and that ones change no bit. */
#include "search/final/mask.h"

#include "host/train/device_arenas.h"
#include "host/train/trainer.h"
#include "kernels/base/rng.h"
#include "kernels/device/device_memory.h"
#include "search/final/model.h"
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include <string.h>

#define BATCH 4
#define PIXELS (3 * 32 * 32)
#define STEPS 4

static spx_scratch scratch;
static spx_stream *stream;

static spx_final_spec small(bool masked)
{
    return (spx_final_spec){.genotype = spx_genotype_published,
                            .input = {3, 32, 32},
                            .classes = 5,
                            .init_channels = 1,
                            .layers = 3,
                            .n_reduce = 2,
                            .reduce_at = {0, 2},
                            .masked = masked,
                            .mean = {0.1, 0.2, 0.5},
                            .std = {0.2, 0.25, 0.7}};
}

/* The host's states of a masked network with an auxiliary head, as first drawn. */
typedef struct states {
    spx_final_spec f;
    spx_program *p;
    const spx_layout *l;
    spx_buffer arena;
    spx_masks masks;
} states;

/* Of s->f. */
static void states_open(states *s)
{
    CHECK_OK(spx_final_eval_program(&s->p, stream, &s->f, 1, true, NULL));
    s->l = spx_program_layout(s->p);
    CHECK_OK(spx_layout_arena(s->l, NULL, SPX_ROLE_STATE, &s->arena));
    CHECK_OK(spx_layout_init(s->l, 1, NULL, NULL, &s->arena));
    CHECK_OK(spx_masks_of(&s->masks, &s->f, s->l, &s->arena));
}

static void states_init(states *s)
{
    *s = (states){.f = small(true)};
    states_open(s);
}

static void states_clear(states *s)
{
    spx_masks_clear(&s->masks);
    spx_buffer_free(&s->arena);
    spx_program_destroy(s->p);
}

SPX_TEST(masks_come_in_the_order_data_flows_and_count_what_they_keep)
{
    states s;
    spx_counts counts;
    int64_t all = 0;
    int block = -1;
    SPX_UNUSED;
    states_init(&s);
    CHECK_OK(spx_final_count(&s.f, false, &counts));
    assert_int_equal(s.masks.n, 3); /* of each cell's output; the head's has none */
    for (int i = 0; i < s.masks.n; i++) {
        const spx_mask_site *m = &s.masks.site[i];
        char name[64];
        (void)snprintf(name, sizeof name, "%s.mask", m->relu);
        const spx_layout_entry *e = spx_layout_find(s.l, name);
        assert_non_null(e);
        assert_ptr_equal(m->keep, (float *)s.arena.data + e->offset);
        assert_true(m->block > block && m->c * m->h * m->w == e->count);
        assert_int_equal(m->h, i == 2 ? 8 : 16); /* cells 0 and 2 reduce */
        assert_int_equal(spx_mask_site_relus(m), e->count);
        block = m->block;
        all += e->count;
    }
    assert_int_equal(all, counts.relus);
    s.masks.site[1].keep[3] = s.masks.site[2].keep[0] = 0;
    assert_int_equal(spx_mask_site_relus(&s.masks.site[1]),
                     s.masks.site[1].c * s.masks.site[1].h * s.masks.site[1].w - 1);
    assert_int_equal(spx_masks_relus(&s.masks), all - 2);
    states_clear(&s);
}

SPX_TEST(a_network_without_masks_has_none_and_a_wrong_arena_is_refused)
{
    const spx_final_spec plain = small(false);
    spx_masks m;
    states s;
    SPX_UNUSED;
    states_init(&s);
    CHECK_OK(spx_masks_of(&m, &plain, s.l, &s.arena));
    assert_int_equal(m.n, 0);
    spx_masks_clear(&m);
    s.arena.bytes -= 64;
    CHECK_FAILS(SPX_EINVAL, spx_masks_of(&m, &s.f, s.l, &s.arena));
    s.arena.bytes += 64;
    states_clear(&s);
}

/* Of cells that rectify states 0 and 1 those of a plan are zero from the beginning. */
SPX_TEST(dropped_states_begin_without_their_relu_and_are_counted_so)
{
    static const spx_cell_genes genes = {{{{SPX_VAN_CONV_3X3, 0}, {SPX_VAN_CONV_3X3, 1}},
                                          {{SPX_AVG_POOL_3X3, 0}, {SPX_AVG_POOL_3X3, 1}},
                                          {{SPX_AVG_POOL_3X3, 0}, {SPX_AVG_POOL_3X3, 1}},
                                          {{SPX_AVG_POOL_3X3, 0}, {SPX_AVG_POOL_3X3, 1}}}};
    states s = {.f = small(true)};
    spx_audit a;
    int64_t all = 0;
    SPX_UNUSED;
    s.f.genotype = (spx_genotype){SPX_SPACE_RELU_OPS, genes, genes};
    s.f.dropped = (spx_cell_sites){.normal = 0x1, .reduce = 0x2};
    states_open(&s);
    assert_int_equal(s.masks.n, 9);
    for (int i = 0; i < s.masks.n; i++) {
        const spx_mask_site *m = &s.masks.site[i];
        const bool reduces = m->block != 1, output = i % 3 == 2;
        const bool state = strstr(m->relu, reduces ? "relu.1" : "relu.0") != NULL;
        assert_int_equal(strstr(m->relu, "proproc") != NULL, output);
        assert_int_equal(spx_mask_site_relus(m), state ? 0 : spx_mask_site_positions(m));
        all += spx_mask_site_positions(m);
    }
    CHECK_OK(spx_audit_final(&a, &s.f, true));
    assert_int_equal(a.relus.kept, spx_masks_relus(&s.masks));
    assert_int_equal(a.relus.full, all);
    s.f.masked = false;
    CHECK_FAILS(SPX_EINVAL, spx_audit_final(&a, &s.f, false));
    states_clear(&s);
}

static bool ends_in_mask(const char *name)
{
    const size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".mask") == 0;
}

/* Saves a model of a network with random states (masks: of zeros and ones) and opens it. */
static void save_and_open(spx_model *m, bool masked, const spx_layout *l, spx_buffer host[2])
{
    const char *path = spx_scratch_path(&scratch, masked ? "masked.h5" : "plain.h5");
    const spx_final_spec f = small(masked);
    spx_rng rng;
    float *x;
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &host[0]));
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_STATE, &host[1]));
    CHECK_OK(spx_layout_init(l, 1, &host[0], NULL, &host[1]));
    spx_rng_init(&rng, 3, SPX_RNG_TEST, 0);
    x = host[1].data;
    for (int i = 0; i < l->n; i++) {
        const spx_layout_entry *e = &l->entry[i];
        for (int64_t k = 0; e->role == SPX_ROLE_STATE && k < e->count; k++) {
            const float u = spx_rng_uniform(&rng);
            x[e->offset + k] = ends_in_mask(e->name) ? (float)(u < 0.5f) : u;
        }
    }
    CHECK_OK(spx_model_save(path, &f, &(spx_preprocess){0}, NULL, l, &host[0], &host[1]));
    CHECK_OK(spx_model_open(m, path));
    assert_true(m->spec.masked == masked);
}

/* A masked network takes a model with masks and one without, whose ReLUs are then all kept; one
 * without masks takes no masked model. On every device. */
SPX_TEST(a_model_goes_into_a_masked_network_with_its_masks_or_with_ones)
{
    SPX_UNUSED;
    for (int from = 0; from < 2; from++) {
        const spx_final_spec f[2] = {small(false), small(true)};
        spx_program *p[2];
        spx_buffer host[2], weights, state, back[2];
        spx_model m;
        CHECK_OK(spx_final_eval_program(&p[0], stream, &f[0], 1, false, NULL));
        CHECK_OK(spx_final_eval_program(&p[1], stream, &f[1], 1, false, NULL));
        const spx_layout *l = spx_program_layout(p[1]), *own = spx_program_layout(p[from]);
        save_and_open(&m, from == 1, own, host);
        CHECK_OK(spx_model_arenas(&m, l, stream, &weights, &state));
        CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &back[0]));
        CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_STATE, &back[1]));
        CHECK_OK(spx_layout_download(l, stream, SPX_ROLE_WEIGHT, &weights, &back[0]));
        CHECK_OK(spx_layout_download(l, stream, SPX_ROLE_STATE, &state, &back[1]));
        for (int i = 0; i < l->n; i++) {
            const spx_layout_entry *e = &l->entry[i], *saved = spx_layout_find(own, e->name);
            const int arena = e->role == SPX_ROLE_STATE;
            const float *x = (const float *)back[arena].data + e->offset;
            assert_true(saved != NULL || (from == 0 && ends_in_mask(e->name)));
            for (int64_t k = 0; k < e->count; k++) {
                assert_true(
                    x[k] ==
                    (saved == NULL ? 1.0f : ((const float *)host[arena].data)[saved->offset + k]));
            }
        }
        spx_buffer_free(&weights);
        spx_buffer_free(&state);
        if (from == 1) {
            CHECK_FAILS(SPX_EINVAL,
                        spx_model_arenas(&m, spx_program_layout(p[0]), stream, &weights, &state));
        }
        spx_model_close(&m);
        for (int k = 0; k < 2; k++) {
            spx_buffer_free(&host[k]);
            spx_buffer_free(&back[k]);
            spx_program_destroy(p[k]);
        }
    }
}

SPX_TEST(a_mask_of_another_shape_is_refused_by_name)
{
    const char *path = spx_scratch_path(&scratch, "shape.h5");
    spx_final_spec f = small(true);
    spx_buffer host[2];
    spx_program *p;
    spx_masks masks;
    spx_model m;
    SPX_UNUSED;
    f.input.rows = f.input.columns = 16; /* its convolutions are of the same shape */
    CHECK_OK(spx_final_eval_program(&p, stream, &f, 1, false, NULL));
    const spx_layout *l = spx_program_layout(p);
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &host[0]));
    CHECK_OK(spx_layout_arena(l, NULL, SPX_ROLE_STATE, &host[1]));
    CHECK_OK(spx_layout_init(l, 1, &host[0], NULL, &host[1]));
    f = small(true);
    CHECK_OK(spx_model_save(path, &f, &(spx_preprocess){0}, NULL, l, &host[0], &host[1]));
    CHECK_OK(spx_model_open(&m, path));
    CHECK_FAILS(SPX_EFORMAT, spx_model_masks(&masks, &m));
    assert_non_null(strstr(spx_error_message(), ".mask"));
    assert_int_equal(masks.n, 0);
    spx_model_close(&m);
    spx_buffer_free(&host[0]);
    spx_buffer_free(&host[1]);
    spx_program_destroy(p);
}

SPX_TEST(masks_of_a_network_that_is_said_to_have_none_are_refused)
{
    const char *path = spx_scratch_path(&scratch, "quiet.h5");
    const spx_final_spec plain = small(false);
    spx_deploy *deployed;
    states s;
    spx_buffer weights;
    spx_model m;
    SPX_UNUSED;
    states_init(&s);
    CHECK_OK(spx_layout_arena(s.l, NULL, SPX_ROLE_WEIGHT, &weights));
    CHECK_OK(spx_model_save(path, &plain, &(spx_preprocess){0}, NULL, s.l, &weights, &s.arena));
    CHECK_FAILS(SPX_EFORMAT, spx_model_open(&m, path));
    assert_non_null(strstr(spx_error_message(), ".mask"));
    CHECK_FAILS(SPX_EFORMAT, spx_model_open_any(&m, &deployed, path));
    assert_null(deployed);
    spx_buffer_free(&weights);
    states_clear(&s);
}

/* A few steps of training: the weights and states afterwards, and the losses. */
typedef struct lesson {
    spx_program *p;
    spx_trainer t;
    float loss[STEPS];
    spx_ckpt_arena device[4], host[4];
} lesson;

static void learn(lesson *x, bool masked)
{
    const spx_final_spec f = small(masked);
    const spx_final_losses losses = {.aux_weight = 0.4f, .smoothing = 0.1f, .drop_path = true};
    const spx_sgd_options o = {.momentum = 0.9f, .decay = 3e-4f, .clip = 5, .ema = 0.9f};
    float images[BATCH * PIXELS];
    int32_t labels[BATCH];
    spx_buffer on_device[2];
    spx_rng rng;
    CHECK_OK(spx_final_train_program(&x->p, stream, &f, BATCH, &losses, NULL));
    CHECK_OK(spx_trainer_init(&x->t, stream, x->p, &o, 3, 0));
    CHECK_OK(spx_buffer_alloc(&on_device[0], stream, sizeof images));
    CHECK_OK(spx_buffer_alloc(&on_device[1], stream, sizeof labels));
    spx_rng_init(&rng, 5, SPX_RNG_TEST, 0);
    for (int step = 0; step < STEPS; step++) {
        const spx_samples batch = {on_device[0].data, on_device[1].data, BATCH};
        const spx_step_args a = {.lr = 0.1f, .drop_prob = 0.2f, .seed = 9, .step = (uint64_t)step};
        spx_step_report report;
        for (int i = 0; i < BATCH * PIXELS; i++) {
            images[i] = spx_rng_normal(&rng);
        }
        for (int i = 0; i < BATCH; i++) {
            labels[i] = (i + step) % 5;
        }
        CHECK_OK(spx_upload(stream, on_device[0].data, images, sizeof images));
        CHECK_OK(spx_upload(stream, on_device[1].data, labels, sizeof labels));
        CHECK_OK(spx_trainer_step(&x->t, &batch, &a, &report));
        x->loss[step] = report.loss;
    }
    const spx_ckpt_arena list[4] = {{"", SPX_ROLE_WEIGHT, x->t.weights},
                                    {"", SPX_ROLE_STATE, x->t.state},
                                    {"", SPX_ROLE_WEIGHT, x->t.ema_weights},
                                    {"", SPX_ROLE_STATE, x->t.ema_state}};
    memcpy(x->device, list, sizeof list);
    CHECK_OK(spx_host_twins(x->t.layout, stream, x->device, 4, true, x->host));
    spx_buffer_free(&on_device[0]);
    spx_buffer_free(&on_device[1]);
}

static void lesson_clear(lesson *x)
{
    spx_host_twins_free(x->device, x->host, 4);
    spx_trainer_clear(&x->t);
    spx_program_destroy(x->p);
}

/* Kernels of another device may take other algorithms where a ReLU is not fused; there the loss of
 * four steps keeps four digits. */
SPX_TEST(masks_of_ones_train_as_no_masks_do_and_stay_ones)
{
    lesson plain, masked;
    int masks = 0;
    const bool cpu = spx_stream_device(stream) == SPX_DEVICE_CPU;
    SPX_UNUSED;
    memset(&plain, 0, sizeof plain);
    memset(&masked, 0, sizeof masked);
    learn(&plain, false);
    learn(&masked, true);
    CHECK_CLOSE(masked.loss, plain.loss, STEPS, cpu ? 0 : 1e-4);
    for (int i = 0; i < masked.t.layout->n; i++) {
        const spx_layout_entry *e = &masked.t.layout->entry[i],
                               *same = spx_layout_find(plain.t.layout, e->name);
        for (int a = 0; a < 4; a++) {
            const float *x = masked.host[a].data.data, *y = plain.host[a].data.data;
            if (masked.host[a].role != e->role) {
                continue;
            }
            masks += same == NULL;
            for (int64_t k = 0; same == NULL && k < e->count; k++) {
                assert_true(x[e->offset + k] == 1.0f); /* averaged, too */
            }
            if (same != NULL && cpu) {
                assert_memory_equal(x + e->offset, y + same->offset,
                                    sizeof(float) * (size_t)e->count);
            }
        }
    }
    assert_int_equal(masks, 2 * 3);
    lesson_clear(&plain);
    lesson_clear(&masked);
}

static int run_on(spx_device device)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(masks_come_in_the_order_data_flows_and_count_what_they_keep),
        SPX_UNIT(dropped_states_begin_without_their_relu_and_are_counted_so),
        SPX_UNIT(a_network_without_masks_has_none_and_a_wrong_arena_is_refused),
        SPX_UNIT(a_model_goes_into_a_masked_network_with_its_masks_or_with_ones),
        SPX_UNIT(a_mask_of_another_shape_is_refused_by_name),
        SPX_UNIT(masks_of_a_network_that_is_said_to_have_none_are_refused),
        SPX_UNIT(masks_of_ones_train_as_no_masks_do_and_stay_ones),
    };
    const spx_stream_options o = {
        .device = device, .threads = 1, .precision = SPX_PRECISION_F32, .deterministic = true};
    int failed;
    if (spx_stream_open(&stream, &o) != SPX_OK) {
        (void)fprintf(stderr, "%s\n", spx_error_message());
        return 1;
    }
    failed = cmocka_run_group_tests_name(spx_device_name(device), tests, NULL, NULL);
    spx_stream_destroy(stream);
    return failed;
}

int main(void)
{
    int failed = 0;
    if (spx_scratch_make(&scratch) != 0) {
        return 1;
    }
    for (int d = 0; d < SPX_DEVICE_COUNT; d++) {
        failed += spx_device_count((spx_device)d) > 0 ? run_on((spx_device)d) : 0;
    }
    spx_scratch_remove(&scratch);
    return failed;
}
