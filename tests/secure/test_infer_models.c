/*
 * Private logits are the integer executor's on networks that reach into every corner: random
 * wirings and widths, layers of several chunks, several encryption parameter sets, keys whose
 * life ends within a batch.
 */
#define _DEFAULT_SOURCE
#include "host/secure/infer/pi_server_private.h"
#include "tests/secure/pi_fixture.h"
#include "tests/support/fresh_seed.h"

#define CLASSES 3
#define LINEAR SPX_DEPLOY_LINEAR

/* ---- a world around a model of the test's own ---- */

typedef struct story {
    pi_world w;
    pi_link link;
    spx_vault *vault;
    spx_pi_client *client;
} story;

static void begin(story *s, void (*fill)(deploy_fixture *f), uint64_t seed)
{
    const spx_pi_server_options none = {0};
    deploy_fixture *f = &s->w.fixture;
    memset(s, 0, sizeof *s);
    s->w.channel.timeout = 20;
    assert_int_equal(spx_scratch_make(&s->w.scratch), 0);
    spx_rng_init(&f->rng, seed, SPX_RNG_TEST, 21);
    fill(f);
    const spx_deploy_draft draft = {.value = f->value,
                                    .op = f->op,
                                    .n_values = f->n_values,
                                    .n_ops = f->n_ops,
                                    .logits = f->n_values - 1,
                                    .logit_scale = 1};
    CHECK_OK(spx_deploy_create(&s->w.model, &draft, NULL));
    s->w.server_vault = pi_vault(&s->w, "server");
    CHECK_OK(spx_pi_server_create(&s->w.server, s->w.model, s->w.server_vault, &none));
    s->vault = pi_vault(&s->w, "client");
    pi_dial(&s->link, &s->w);
    CHECK_OK(spx_pi_client_open(&s->client, s->link.client, s->vault, NULL));
}

static void prepare(story *s, uint64_t n, spx_pi_cost *cost)
{
    CHECK_OK(spx_pi_client_prepare(s->client, n, NULL, NULL, NULL, cost, NULL));
}

static void ask(story *s)
{
    const uint8_t *image = fixture_image(&s->w.fixture, s->w.model);
    int64_t got[CLASSES], want[CLASSES];
    CHECK_OK(spx_pi_client_infer(s->client, image, got, NULL, NULL, NULL));
    pi_expected(&s->w, image, want);
    assert_memory_equal(got, want, sizeof got);
}

static void end(story *s)
{
    spx_pi_client_close(s->client);
    pi_hang_up(&s->link);
    assert_int_equal(s->link.st, SPX_OK);
    spx_vault_close(s->vault);
    pi_end(&s->w);
}

/* Sums every value that nothing has read yet into the logits. */
static void finish(deploy_fixture *f)
{
    bool read[FIXTURE_MAX] = {false};
    for (int i = 0; i < f->n_ops; i++) {
        if (f->op[i].in >= 0) {
            read[f->op[i].in] = true;
        }
    }
    const int logits = fixture_value(f, LINEAR, CLASSES, 1, 1);
    for (int v = 0; v < logits; v++) {
        if (!read[v]) {
            fixture_conv(f, v, logits, f->value[v].h, 1, 1, 0);
        }
    }
    fixture_bias(f, logits);
}

static int relu(deploy_fixture *f, int in, int shift, int bits, int width)
{
    const int out = fixture_relu(f, in, shift);
    spx_deploy_op *op = &f->op[f->n_ops - 1];
    op->bits = f->value[out].bits = bits;
    f->high[out] = ldexp(1, bits) - 1;
    op->width = f->value[in].bits > shift + bits + 1 ? f->value[in].bits : shift + bits + 1;
    op->width = width > op->width ? width : op->width;
    return out;
}

/* ---- many chunks ---- */

/* c x 39 x 39 ReLUs of few bits. */
static void fill_layer(deploy_fixture *f, int64_t c, uint32_t dropped)
{
    const int image = fixture_value(f, SPX_DEPLOY_IMAGE, 1, 39, 39);
    const int u = fixture_value(f, LINEAR, c, 39, 39), v = 3;
    fixture_conv(f, image, u, 1, 1, 1, 0);
    fixture_bias(f, u);
    const int x = relu(f, u, 9, 4, 0);
    if (dropped > 0) {
        fixture_mask(f, dropped);
    }
    assert_int_equal(fixture_value(f, LINEAR, c, 1, 1), v);
    fixture_pool(f, x, v, 39, 1, 0, 39);
    finish(f);
}

/* 13 x 39 x 39 = 19,773 of them: a whole chunk and one that ends within eight lanes. */
static void fill_large(deploy_fixture *f)
{
    fill_layer(f, 13, 0);
}

/* Of 33,462 about three eighths are dropped: a chunk of those, two of the others. */
static void fill_masked(deploy_fixture *f)
{
    fill_layer(f, 22, 3);
}

SPX_TEST(masked_layers_of_several_chunks_are_bit_exact_in_one_round)
{
    SPX_UNUSED;
    story s;
    begin(&s, fill_masked, 1);
    const spx_pi_plan *plan = spx_pi_client_plan(s.client);
    const spx_pi_sizes *z = spx_pi_plan_sizes(plan);
    assert_int_equal(plan->n_relus, 2);
    assert_int_equal(plan->relu[0].chunks, 2);
    assert_int_equal(plan->relu[1].chunks, 1);
    assert_int_equal(z->online_rounds, 2);
    assert_int_equal(z->relus, spx_deploy_relus(s.w.model));
    assert_int_equal(z->interactive, 22 * 39 * 39);
    prepare(&s, 2, NULL);
    ask(&s);
    ask(&s);
    end(&s);
}

SPX_TEST(a_layer_of_several_chunks_is_bit_exact)
{
    SPX_UNUSED;
    story s;
    begin(&s, fill_large, 1);
    assert_int_equal(spx_pi_client_plan(s.client)->relu[0].chunks, 2);
    prepare(&s, 2, NULL);
    ask(&s);
    ask(&s);
    end(&s);
}

/* ---- several parameter sets ---- */

/* Chains of convolutions: one of 5x5 adds about 14 bits. */
static int chain(deploy_fixture *f, int in, int length)
{
    for (int i = 0; i < length; i++) {
        const int out = fixture_value(f, LINEAR, 4, 6, 6);
        fixture_conv(f, in, out, 5, 1, 1, 2);
        fixture_bias(f, out);
        in = out;
    }
    return in;
}

/* Rings of 64, about 48 and about 22 bits. Values are about 2^44, 2^35 and 2^15, so that outputs
 * take all kinds of values. */
static void fill_sets(deploy_fixture *f)
{
    const int image = fixture_value(f, SPX_DEPLOY_IMAGE, 2, 6, 6);
    const int wide = relu(f, chain(f, image, 4), 37, 8, 64);
    const int middle = relu(f, chain(f, wide, 3), 27, 8, 0);
    (void)relu(f, chain(f, middle, 1), 9, 8, 0);
    finish(f);
}

SPX_TEST(a_model_may_need_every_parameter_set)
{
    SPX_UNUSED;
    story s;
    begin(&s, fill_sets, 2);
    for (int set = 0; set < SPX_HE_SETS; set++) {
        assert_true(spx_pi_client_plan(s.client)->set_used[set]);
    }
    assert_int_equal(spx_pi_client_plan(s.client)->relu[0].gc.l, 64);
    prepare(&s, 2, NULL);
    ask(&s);
    ask(&s);
    end(&s);
}

/* ---- the life of keys ---- */

/* Lets a plan believe that a query uses half a key's life. */
static void hurry(const spx_pi_plan *plan)
{
    union {
        const spx_pi_plan *in;
        spx_pi_plan *out;
    } p = {plan};
    for (int set = 0; set < SPX_HE_SETS; set++) {
        p.out->returned[set] = p.out->set_used[set] ? (uint64_t)1 << (SPX_HE_KEY_LIFE - 1) : 0;
    }
    assert_int_equal(spx_pi_key_queries(plan), 2);
}

SPX_TEST(keys_are_renewed_within_a_batch)
{
    SPX_UNUSED;
    story s;
    spx_pi_cost cost = {0};
    begin(&s, fill_sets, 3);
    const spx_pi_plan *plan = spx_pi_client_plan(s.client);
    const spx_pi_sizes *z = spx_pi_plan_sizes(plan);
    hurry(plan);
    hurry(s.w.server->plan);
    prepare(&s, 5, &cost);
    assert_int_equal(cost.sent, z->batch_to_server + 5 * z->offline_to_server +
                                    2 * (SPX_CHANNEL_FRAME_BYTES + plan->public_bytes));
    for (int i = 0; i < 5; i++) {
        ask(&s);
    }
    end(&s);
}

/* ---- random models ---- */

static int64_t draw(deploy_fixture *f, int64_t low, int64_t high)
{
    return low + (int64_t)spx_rng_below(&f->rng, (uint32_t)(high - low + 1));
}

static int64_t side_of(int64_t in, int64_t size, int64_t stride, int64_t dilation, int64_t pad)
{
    const int64_t room = in + 2 * pad - ((size - 1) * dilation + 1);
    return room < 0 ? 0 : room / stride + 1;
}

/* A random convolution between two values; false where none was found. Strides halve sides of 5 and
 * more, and those only: paths of other strides between two values cannot share a layout. */
static bool add_conv(deploy_fixture *f, int in, int out)
{
    const int64_t stride = f->value[in].h > 4 && f->value[out].h <= 4 ? 2 : 1;
    for (int tries = 0; tries < 200 && (f->value[in].h > 4 || f->value[out].h <= 4); tries++) {
        const int64_t size = draw(f, 1, 5);
        const int64_t dilation = draw(f, 1, 2), pad = draw(f, -1, 4);
        if (side_of(f->value[in].h, size, stride, dilation, pad) == f->value[out].h) {
            fixture_conv(f, in, out, size, stride, dilation, pad);
            return true;
        }
    }
    return false;
}

/* A random slice, shifted, moved and subsampled; to a value that is as large or smaller. */
static void add_pick(deploy_fixture *f, int in, int out)
{
    const int64_t from = f->value[in].h, to = f->value[out].h;
    const int64_t stride = (to - 1) * 2 < from ? draw(f, 1, 2) : 1;
    const int64_t channels =
        draw(f, 1, f->value[in].c < f->value[out].c ? f->value[in].c : f->value[out].c);
    fixture_pick(f, in, out, draw(f, 0, f->value[in].c - channels),
                 draw(f, 0, f->value[out].c - channels), channels, stride,
                 draw(f, 0, from - 1 - (to - 1) * stride), (int)draw(f, 0, 12));
}

static void add_pool(deploy_fixture *f, int in)
{
    static const int64_t row[][5] = {/* size, stride, pad, denominator, least side */
                                     {2, 1, 0, 2, 2},
                                     {2, 2, 0, 6, 2},
                                     {3, 1, 1, 6, 2},
                                     {3, 2, 1, 12, 2},
                                     {3, 1, 0, 3, 3}};
    const int64_t *r = row[draw(f, 0, 4)];
    if (f->value[in].h >= r[4]) {
        const int64_t side = side_of(f->value[in].h, r[0], r[1], 1, r[2]);
        const int out = fixture_value(f, LINEAR, f->value[in].c, side, side);
        fixture_pool(f, in, out, r[0], r[1], r[2], r[3]);
    }
}

static int any_value(deploy_fixture *f)
{
    return (int)draw(f, 0, f->n_values - 1);
}

/* Values stay below 2^50: wide rings are asked for by the ReLUs. */
static void fill_random(deploy_fixture *f)
{
    const int64_t side = draw(f, 5, 8);
    (void)fixture_value(f, SPX_DEPLOY_IMAGE, draw(f, 1, 3), side, side);
    for (int step = 0; step < 6; step++) {
        const int in = any_value(f);
        const int64_t to = draw(f, 2, f->value[in].h);
        if (f->value[in].bits > 36) {
            continue;
        }
        if (draw(f, 0, 3) == 0) {
            add_pool(f, in);
            continue;
        }
        const int out = fixture_value(f, LINEAR, draw(f, 1, 5), to, to);
        if (!add_conv(f, in, out)) {
            add_pick(f, in, out);
        }
        for (int more = (int)draw(f, 0, 2); more > 0; more--) {
            const int other = (int)draw(f, 0, out - 1);
            if (f->value[other].bits <= 36 && f->value[other].h >= to) {
                if (draw(f, 0, 1) == 0 || !add_conv(f, other, out)) {
                    add_pick(f, other, out);
                }
            }
        }
        fixture_bias(f, out);
        if (draw(f, 0, 3) > 0) {
            const int bits = (int)draw(f, 1, 12), shift = (int)draw(f, 0, f->value[out].bits);
            (void)relu(f, out, shift / 2, bits, (int)draw(f, 2, 62));
            if (draw(f, 0, 1) == 0) {
                fixture_mask(f, (uint32_t)draw(f, 1, 8));
            }
        }
    }
    finish(f);
}

SPX_TEST(random_models_are_bit_exact)
{
    SPX_UNUSED;
    const uint64_t fresh = spx_fresh_seed();
    for (uint64_t seed = 1; seed <= 14; seed++) {
        story s;
        begin(&s, fill_random, seed <= 12 ? seed : fresh + seed);
        prepare(&s, 1, NULL);
        ask(&s);
        end(&s);
    }
}

/* ---- made up by a server ---- */

/* Small to send, and minutes of a client's work to derive. */
SPX_TEST(a_model_that_would_keep_its_client_busy_is_refused)
{
    SPX_UNUSED;
    enum { CONVS = 12000, CHANNELS = 4096 };
    static spx_deploy_op op[CONVS];
    const spx_deploy_value value[] = {
        {.kind = SPX_DEPLOY_IMAGE, .c = CHANNELS, .h = 1, .w = 1, .bits = 8},
        {.kind = LINEAR, .c = CHANNELS, .h = 1, .w = 1, .bits = 40}};
    const unsigned char hash[SPX_DEPLOY_HASH_BYTES] = {0};
    const spx_deploy_draft draft = {
        .value = value, .op = op, .n_values = 2, .n_ops = CONVS, .logits = 1, .logit_scale = 1};
    spx_deploy *m;
    spx_pi_plan *p;
    for (int i = 0; i < CONVS; i++) {
        op[i] = (spx_deploy_op){
            .kind = SPX_DEPLOY_CONV, .out = 1, .size = 1, .stride = 1, .dilation = 1, .width = 8};
    }
    CHECK_OK(spx_deploy_create(&m, &draft, hash));
    CHECK_FAILS(SPX_EUNSUPPORTED, spx_pi_plan_create(&p, m));
    assert_non_null(strstr(spx_error_message(), "pairs of channels"));
    spx_deploy_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_layer_of_several_chunks_is_bit_exact),
        SPX_UNIT(masked_layers_of_several_chunks_are_bit_exact_in_one_round),
        SPX_UNIT(a_model_may_need_every_parameter_set),
        SPX_UNIT(keys_are_renewed_within_a_batch),
        SPX_UNIT(random_models_are_bit_exact),
        SPX_UNIT(a_model_that_would_keep_its_client_busy_is_refused),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
