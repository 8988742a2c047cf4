#define _DEFAULT_SOURCE
#include "tests/he/he_cases.h"

#include "host/secure/he/he_private.h"
#include "kernels/crypto/sampler.h"
#include "tests/support/fresh_seed.h"

static bool holds(const he_case *c)
{
    const spx_he_geometry g = he_geometry(c);
    spx_he_plan *p;
    const bool ok = spx_he_plan_create(&p, &g) == SPX_OK;
    spx_he_plan_destroy(p);
    return ok;
}

static void exchange(const he_case *c, size_t queries, int kind)
{
    he_run h;
    he_start(&h, c, queries, kind, 1);
    he_keys(&h);
    he_exchange(&h, NULL);
    he_check(&h, c);
    he_end(&h);
}

SPX_TEST(shares_and_masks_add_up_to_the_plain_convolutions)
{
    SPX_UNUSED;
    for (size_t i = 0; i < HE_CASES; i++) {
        exchange(&he_cases[i], 1, 0);
        exchange(&he_cases[i], 2, 3); /* several queries, largest weights */
    }
}

SPX_TEST(every_parameter_set_that_holds_gives_the_same_sums)
{
    size_t held[SPX_HE_SETS] = {0};
    SPX_UNUSED;
    for (size_t i = 0; i < HE_CASES; i++) {
        for (int set = 0; set < SPX_HE_SETS; set++) {
            he_case c = he_cases[i];
            c.set = set;
            if (holds(&c)) {
                held[set]++;
                exchange(&c, 1, 1);
            }
        }
    }
    assert_true(held[0] >= 12 && held[1] >= 16 && held[2] == HE_CASES);
}

/* A number from..to, both included. */
static int64_t between(spx_rng *r, int64_t from, int64_t to)
{
    return from + (int64_t)spx_rng_below(r, (uint32_t)(to - from + 1));
}

static he_case random_case(spx_rng *r)
{
    he_case c = {.name = "random", .set = SPX_HE_ANY_SET};
    c.l = (int)between(r, 4, 60);
    c.weight_bits = (int)between(r, 1, 9);
    c.inputs = (int)between(r, 1, 2);
    c.outputs = (int)between(r, 1, 2);
    c.convs = (int)between(r, 1, 4);
    for (int i = 0; i < 2; i++) {
        c.input[i] = (spx_he_value){between(r, 1, 7), between(r, 1, 14), between(r, 1, 14)};
        c.output[i] = (spx_he_value){between(r, 1, 7), between(r, 1, 14), between(r, 1, 14)};
    }
    for (int i = 0; i < c.convs; i++) {
        spx_he_conv *v = &c.conv[i];
        v->in = (int)between(r, 0, c.inputs - 1);
        v->out = (int)between(r, 0, c.outputs - 1);
        v->c0 = between(r, 0, c.input[v->in].c - 1);
        v->c = between(r, 1, c.input[v->in].c - v->c0);
        v->k0 = between(r, 0, c.output[v->out].c - 1);
        v->k = between(r, 1, c.output[v->out].c - v->k0);
        v->r = between(r, 1, 5);
        v->s = between(r, 1, 5);
        v->stride = (int64_t)1 << (between(r, 0, 5) / 3 * between(r, 0, 2));
        v->dilation = between(r, 1, 3);
        v->pad_top = between(r, -4, 6);
        v->pad_left = between(r, -4, 6);
    }
    return c;
}

SPX_TEST(geometries_drawn_at_random_give_the_plain_sums)
{
    size_t held = 0;
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 11, SPX_RNG_TEST, 0);
    for (int i = 0; i < 200; i++) {
        if (i == 150) {
            spx_rng_init(&r, spx_fresh_seed(), SPX_RNG_TEST, 0);
        }
        const he_case c = random_case(&r);
        if (holds(&c)) { /* strides may have no common splitting */
            held++;
            exchange(&c, 1, 0);
        }
    }
    assert_true(held >= 100);
}

static void exchange_case(void *c)
{
    exchange(c, 1, 0);
}

SPX_TEST(every_instruction_set_gives_the_same_sums)
{
    he_case cell = he_cases[17], tiles = he_cases[21];
    SPX_UNUSED;
    lattice_on_every_isa(exchange_case, &cell);
    lattice_on_every_isa(exchange_case, &tiles);
}

/* Every byte of a message is written, and only by (plan, key, seed, operands): neither threads, nor
 * instruction sets, nor what was in the buffer before matter. */
static void run_with(he_run *h, const he_case *c, int fill, spx_pool *pool)
{
    he_start(h, c, 2, 0, 5);
    he_keys(h);
    memset(h->request, fill, 2 * h->facts->request_bytes);
    memset(h->response, fill, 2 * h->facts->response_bytes);
    he_exchange(h, pool);
}

SPX_TEST(messages_do_not_depend_on_threads_instruction_sets_or_what_was_there)
{
    static const size_t cases[] = {1, 12, 17, 18, 21};
    SPX_UNUSED;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        he_run a, b;
        spx_pool *pool;
        assert_int_equal(setenv("SPHYNX_ISA", "portable", 1), 0);
        run_with(&a, &he_cases[cases[i]], 0xff, NULL);
        assert_int_equal(unsetenv("SPHYNX_ISA"), 0);
        CHECK_OK(spx_pool_create(&pool, 3));
        run_with(&b, &he_cases[cases[i]], 0, pool);
        assert_memory_equal(a.request, b.request, 2 * a.facts->request_bytes);
        assert_memory_equal(a.response, b.response, 2 * a.facts->response_bytes);
        assert_memory_equal(a.masks, b.masks, 2 * a.facts->output_elements * sizeof *a.masks);
        assert_memory_equal(a.got, b.got, 2 * a.facts->output_elements * sizeof *a.got);
        spx_pool_destroy(pool);
        he_end(&a);
        he_end(&b);
    }
}

SPX_TEST(two_requests_and_two_answers_of_the_same_operands_share_nothing)
{
    he_run h;
    SPX_UNUSED;
    he_start(&h, &he_cases[1], 2, 0, 5);
    he_keys(&h);
    const spx_he_facts *f = h.facts;
    memcpy(h.shares + f->input_elements, h.shares, f->input_elements * sizeof *h.shares);
    he_exchange(&h, NULL);
    he_check(&h, &he_cases[1]);
    size_t same = 0;
    for (size_t i = 0; i < f->request_bytes; i++) {
        same += h.request[i] == h.request[i + f->request_bytes];
    }
    const double chance = (double)f->request_bytes / 256;
    assert_true((double)same < chance + 5 * sqrt(chance));
    same = 0;
    for (size_t i = 0; i < f->response_bytes; i++) {
        same += h.response[i] == h.response[i + f->response_bytes];
    }
    const double again = (double)f->response_bytes / 256;
    assert_true((double)same < again + 5 * sqrt(again));
    he_end(&h);
}

SPX_TEST(plans_are_the_same_on_both_sides)
{
    SPX_UNUSED;
    for (size_t i = 0; i < HE_CASES; i++) {
        const spx_he_geometry g = he_geometry(&he_cases[i]);
        spx_he_plan *a, *b;
        CHECK_OK(spx_he_plan_create(&a, &g));
        CHECK_OK(spx_he_plan_create(&b, &g));
        const size_t responses = a->facts.response_polys;
        assert_memory_equal(spx_he_plan_facts(a), spx_he_plan_facts(b), sizeof a->facts);
        assert_memory_equal(a->response_at, b->response_at,
                            (responses + 1) * sizeof *a->response_at);
        assert_true(a->row == b->row && a->block == b->block && a->tiles == b->tiles);
        spx_he_plan_destroy(a);
        spx_he_plan_destroy(b);
    }
}

SPX_TEST(messages_of_the_wrong_size_or_out_of_range_are_refused)
{
    he_run h;
    SPX_UNUSED;
    he_start(&h, &he_cases[1], 2, 0, 5);
    he_keys(&h);
    const spx_he_facts *f = h.facts;
    const size_t key = spx_he_public_bytes(f->set), in = 2 * f->request_bytes;
    const size_t out = 2 * f->response_bytes;
    const size_t wrong_in[] = {0, 1, in - 1, in + 1, in / 2, in + 2};
    const size_t wrong_out[] = {0, 1, out - 1, out + 1, out / 2, out + 2};
    uint8_t *message = he_room(key);
    spx_he_public *pk;
    he_exchange(&h, NULL);
    for (size_t i = 0; i < 6; i++) {
        CHECK_FAILS(SPX_EFORMAT,
                    spx_he_evaluate(h.plan, h.pk, (const int32_t *const *)h.weights, &h.server, 2,
                                    h.request, wrong_in[i], h.response, h.masks, NULL));
        CHECK_FAILS(SPX_EFORMAT,
                    spx_he_decrypt(h.plan, h.key, 2, h.response, wrong_out[i], h.got, NULL));
    }
    const uint64_t returned = spx_he_public_returned(h.pk);
    memset(h.request + in - 5, 0xff, 5); /* the last residue */
    memset(h.response, 0x11, out);
    CHECK_FAILS(SPX_EFORMAT, he_server(&h, NULL));
    for (size_t i = 0; i < out; i++) {
        assert_int_equal(h.response[i], 0x11);
    }
    assert_true(spx_he_public_returned(h.pk) == returned);
    CHECK_OK(spx_he_decrypt(h.plan, h.key, 2, h.response, out, h.got, NULL)); /* garbage, no harm */
    spx_he_key_public(h.key, message);
    CHECK_FAILS(SPX_EFORMAT, spx_he_public_create(&pk, f->set, message, key - 1, 0));
    memset(message + 16, 0xff, 5);
    CHECK_FAILS(SPX_EFORMAT, spx_he_public_create(&pk, f->set, message, key, 0));
    assert_null(pk);
    free(message);
    he_end(&h);
}

SPX_TEST(keys_of_other_sets_spent_keys_and_weights_out_of_range_are_refused)
{
    he_run h;
    spx_he_key *other;
    SPX_UNUSED;
    he_start(&h, &he_cases[1], 1, 0, 5);
    he_keys(&h);
    CHECK_OK(spx_he_key_create(&other, (h.facts->set + 1) % SPX_HE_SETS, &h.client));
    CHECK_FAILS(SPX_EINVAL, spx_he_encrypt(h.plan, other, &h.client, 1, h.shares, h.request, NULL));
    CHECK_FAILS(SPX_EINVAL,
                spx_he_decrypt(h.plan, other, 1, h.response, h.facts->response_bytes, h.got, NULL));
    spx_he_key_destroy(other);
    CHECK_FAILS(SPX_EINVAL, spx_he_key_create(&other, SPX_HE_SETS, &h.client));
    CHECK_OK(spx_he_encrypt(h.plan, h.key, &h.client, 1, h.shares, h.request, NULL));
    h.weights[0][3] = 129;
    CHECK_FAILS(SPX_EINVAL, he_server(&h, NULL));
    h.weights[0][3] = -129;
    CHECK_FAILS(SPX_EINVAL, he_server(&h, NULL));
    h.weights[0][3] = 0;
    h.pk->returned = ((uint64_t)1 << SPX_HE_KEY_LIFE) - h.facts->returned;
    CHECK_OK(he_server(&h, NULL));
    assert_true(spx_he_public_returned(h.pk) == (uint64_t)1 << SPX_HE_KEY_LIFE);
    CHECK_FAILS(SPX_EINVAL, he_server(&h, NULL));
    he_end(&h);
}

SPX_TEST(geometries_that_contradict_themselves_are_refused)
{
    static const he_case good = {
        "good", 37, 8,           SPX_HE_ANY_SET, 1,
        1,      1,  {{2, 4, 4}}, {{2, 4, 4}},    {{0, 0, 0, 2, 0, 2, 3, 3, 1, 1, 1, 1}}};
    he_case bad[16];
    SPX_UNUSED;
    assert_true(holds(&good));
    for (size_t i = 0; i < 16; i++) {
        bad[i] = good;
    }
    bad[0].l = 0;
    bad[1].l = 65;
    bad[2].weight_bits = 32;
    bad[3].conv[0].in = 1;
    bad[4].conv[0].out = -1;
    bad[5].conv[0].c0 = 1;
    bad[6].conv[0].k = 3;
    bad[7].conv[0].stride = 3;
    bad[8].conv[0].dilation = 0;
    bad[9].input[0].h = 0;
    bad[10].output[0].w = 1 << 20;
    bad[11].set = SPX_HE_SETS;
    bad[12].convs = 0;
    bad[13].conv[0].pad_top = 1 << 20;
    bad[14].conv[0].r = 0;
    bad[15].input[0] = (spx_he_value){1 << 16, 1 << 16, 1 << 16};
    for (size_t i = 0; i < 16; i++) {
        const spx_he_geometry g = he_geometry(&bad[i]);
        spx_he_plan *p;
        CHECK_FAILS(SPX_EINVAL, spx_he_plan_create(&p, &g));
        assert_null(p);
    }
}

SPX_TEST(budgets_that_do_not_hold_and_strides_without_a_common_splitting_are_refused)
{
    he_case wide = {
        "wide", 64, 31,          SPX_HE_ANY_SET, 1,
        1,      1,  {{2, 4, 4}}, {{2, 4, 4}},    {{0, 0, 0, 2, 0, 2, 3, 3, 1, 1, 1, 1}}};
    const he_case strides = {
        "strides",   37,
        8,           SPX_HE_ANY_SET,
        1,           1,
        2,           {{2, 4, 4}},
        {{2, 2, 2}}, {{0, 0, 0, 2, 0, 2, 1, 1, 1, 1, 0, 0}, {0, 0, 0, 2, 0, 2, 1, 1, 2, 1, 0, 0}}};
    const he_case row = {"row",
                         37,
                         8,
                         SPX_HE_ANY_SET,
                         1,
                         1,
                         1,
                         {{1, 1, 9000}},
                         {{1, 1, 9000}},
                         {{0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 0}}};
    const he_case *const cases[] = {&wide, &strides, &row};
    SPX_UNUSED;
    for (size_t i = 0; i < 3; i++) {
        const spx_he_geometry g = he_geometry(cases[i]);
        spx_he_plan *p;
        CHECK_FAILS(SPX_EUNSUPPORTED, spx_he_plan_create(&p, &g));
    }
    wide.l = 30; /* the same weights, a smaller ring */
    assert_true(holds(&wide));
}

/* A geometry may come from a stranger: what its plan would cost is bounded. */
SPX_TEST(geometries_beyond_reason_are_refused)
{
    static spx_he_conv many[513];
    static const spx_he_value small = {1, 4, 4}, one = {1, 1, 1};
    static const spx_he_value wide = {65536, 1, 1}, large = {65536, 64, 64};
    const spx_he_conv pixel = {.c = 65536, .k = 1, .r = 1, .s = 1, .stride = 8, .dilation = 1};
    const spx_he_conv dense = {.c = 65536, .k = 1, .r = 1, .s = 1, .stride = 1, .dilation = 1};
    const spx_he_value deep = {1, 64, 64};
    const struct {
        spx_status st;
        int convs;
        const spx_he_value *in, *out;
        const spx_he_conv *conv;
    } row[] = {{SPX_EINVAL, 513, &small, &small, many},
               {SPX_EUNSUPPORTED, 1, &wide, &one, &pixel},
               {SPX_EUNSUPPORTED, 1, &large, &deep, &dense}};
    SPX_UNUSED;
    for (int i = 0; i < 513; i++) {
        many[i] = (spx_he_conv){.c = 1, .k = 1, .r = 1, .s = 1, .stride = 1, .dilation = 1};
    }
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        const spx_he_geometry g = {.l = 30,
                                   .weight_bits = 2,
                                   .set = SPX_HE_ANY_SET,
                                   .inputs = 1,
                                   .outputs = 1,
                                   .convs = row[i].convs,
                                   .input = row[i].in,
                                   .output = row[i].out,
                                   .conv = row[i].conv};
        spx_he_plan *p;
        CHECK_FAILS(row[i].st, spx_he_plan_create(&p, &g));
        assert_null(p);
    }
}

SPX_TEST(numbers_of_every_width_survive_packing)
{
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 3, SPX_RNG_TEST, 0);
    for (int bits = 1; bits <= 120; bits++) {
        const size_t n = 700 + (size_t)bits;
        spx_u128 *x = he_room(n * sizeof *x), *y = he_room(n * sizeof *y);
        uint8_t *bytes = he_room(he_wide_bytes(n, bits));
        for (size_t i = 0; i < n; i++) {
            x[i] = he_low_bits((spx_u128){lattice_u64(&r), lattice_u64(&r)}, bits);
        }
        he_pack_wide(bytes, x, n, bits);
        he_unpack_wide(y, bytes, n, bits);
        assert_memory_equal(x, y, n * sizeof *x);
        free(x);
        free(y);
        free(bytes);
    }
}

/* scripts/security/lattice estimates these; tests/secure/lattice.sh pins what it reads to them. */
SPX_TEST(parameter_sets_are_those_whose_security_was_estimated)
{
    static const struct {
        size_t n;
        int bits;
    } estimated[] = {{4096, 106}, {8192, 120}, {8192, 138}};
    SPX_UNUSED;
    assert_int_equal(SPX_CBD_ETA, 21);
    assert_true(SPX_CBD_VARIANCE == 10.5);
    assert_int_equal(SPX_HE_SETS, sizeof estimated / sizeof estimated[0]);
    for (int set = 0; set < SPX_HE_SETS; set++) {
        const he_params *p;
        double log_q = 0;
        CHECK_OK(he_params_get(&p, set));
        for (int i = 0; i < HE_PRIMES; i++) {
            log_q += log2((double)p->modq[i]->q);
        }
        assert_int_equal(p->set->n, estimated[set].n);
        assert_true(log_q <= estimated[set].bits && log_q > estimated[set].bits - 0.001);
    }
}

SPX_TEST(parameter_sets_are_inside_the_security_bounds_and_lift_and_round_exactly)
{
    spx_rng r;
    SPX_UNUSED;
    spx_rng_init(&r, 4, SPX_RNG_TEST, 0);
    for (int set = 0; set < SPX_HE_SETS; set++) {
        const he_params *p;
        CHECK_OK(he_params_get(&p, set));
        assert_true(he_set_bits(p->set) <= (p->set->n == 4096 ? 106 : 214));
        for (int i = 0; i < HE_PRIMES; i++) {
            const double q = (double)p->modq[i]->q, top = ldexp(1, p->set->bits[i]);
            assert_true(q < top && q > top * (1 - 0x1p-12)); /* he_noise takes 2^-10 off for all */
            assert_true(i == 0 || p->modq[i]->q != p->modq[i - 1]->q);
        }
        for (int j = 0; j < 100; j++) { /* |v| < 2^62, a signed number: by two or three primes */
            const int64_t v = (int64_t)lattice_u64(&r) >> (2 + j % 60);
            uint64_t x[HE_PRIMES];
            for (int i = 0; i < HE_PRIMES; i++) {
                x[i] = spx_modq_from_signed(v, p->modq[i]);
            }
            for (int primes = 2; primes <= HE_PRIMES; primes++) {
                const spx_u128 got = he_lift(p, primes, x);
                assert_true(got.lo == (uint64_t)v && got.hi == (v < 0 ? UINT64_MAX : 0));
            }
            /* v / q rounded to few bits is 0 or the top: v is tiny */
            const spx_u128 f = he_round(he_fraction(p, x), 20);
            assert_true(f.hi == 0 && (f.lo == 0 || f.lo == 1 << 20));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(shares_and_masks_add_up_to_the_plain_convolutions),
        SPX_UNIT(geometries_drawn_at_random_give_the_plain_sums),
        SPX_UNIT(every_parameter_set_that_holds_gives_the_same_sums),
        SPX_UNIT(every_instruction_set_gives_the_same_sums),
        SPX_UNIT(messages_do_not_depend_on_threads_instruction_sets_or_what_was_there),
        SPX_UNIT(two_requests_and_two_answers_of_the_same_operands_share_nothing),
        SPX_UNIT(plans_are_the_same_on_both_sides),
        SPX_UNIT(messages_of_the_wrong_size_or_out_of_range_are_refused),
        SPX_UNIT(keys_of_other_sets_spent_keys_and_weights_out_of_range_are_refused),
        SPX_UNIT(geometries_that_contradict_themselves_are_refused),
        SPX_UNIT(budgets_that_do_not_hold_and_strides_without_a_common_splitting_are_refused),
        SPX_UNIT(geometries_beyond_reason_are_refused),
        SPX_UNIT(numbers_of_every_width_survive_packing),
        SPX_UNIT(parameter_sets_are_those_whose_security_was_estimated),
        SPX_UNIT(parameter_sets_are_inside_the_security_bounds_and_lift_and_round_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
