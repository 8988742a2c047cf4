/* sphynx bench crypto: the primitives of private inference, alone and as one layer of ReLUs. */
#include "host/cli/bench_crypto.h"
#include "host/secure/ot/ot.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/crypto/crypto_kernels.h"

#include <math.h>
#include <string.h>

typedef struct values {
    int64_t relus, bits, shift, keep, repeats;
} values;

/* ---- AND gates ---- */

#define GATES                                                                                      \
    2048 /* of 64 lanes: 4 MB of rows, as far as a batch of ReLUs writes before it sends */

typedef struct gates {
    spx_block wire[4][SPX_HALFGATE_LANES]; /* a, b, nothing, out */
    spx_block tweak[2 * GATES];
    spx_aes_key key[2 * GATES];
    spx_block rows[GATES][2 * SPX_HALFGATE_LANES];
} gates;

/* Seconds of garbling (or evaluating) GATES gates of 64 lanes each, key schedules included. */
static double run_gates(gates *g, spx_block delta, bool evaluate)
{
    const spx_crypto_kernels *k = spx_crypto_table();
    const double began = spx_seconds();
    for (size_t i = 0; i < GATES; i += 16) { /* as a group of ReLUs: schedules of many keys */
        k->expand(&g->key[2 * i], &g->tweak[2 * i], 32);
        for (size_t j = i; j < i + 16; j++) {
            if (evaluate) {
                k->evaluate_and(&g->key[2 * j], SPX_HALFGATE_LANES, g->wire[0], g->wire[1],
                                g->wire[2], g->rows[j], g->wire[0]);
            } else {
                k->garble_and(&g->key[2 * j], SPX_HALFGATE_LANES, delta, g->wire[0], 0, g->wire[1],
                              0, g->wire[2], g->wire[0], g->rows[j]);
            }
        }
    }
    return spx_seconds() - began;
}

/* Gates a second, the best of some rounds: { garbled, evaluated }. */
static spx_status measure_gates(spx_prg *prg, int64_t repeats, double rate[2])
{
    gates *g;
    spx_gc_key key;
    double best[2] = {INFINITY, INFINITY};
    SPX_RETURN_IF(SPX_NEW(g, 1));
    spx_gc_key_draw(&key, prg);
    spx_prg_bytes(prg, g->wire, 2 * sizeof g->wire[0]);
    spx_prg_bytes(prg, g->tweak, sizeof g->tweak);
    for (int64_t r = 0; r < 10 * repeats; r++) {
        for (int side = 0; side < 2; side++) {
            best[side] = fmin(best[side], run_gates(g, key.delta, side == 1));
        }
    }
    for (int side = 0; side < 2; side++) {
        rate[side] = (double)GATES * SPX_HALFGATE_LANES / best[side];
    }
    spx_free(g);
    return SPX_OK;
}

/* ---- correlated transfers ---- */

#define OTS ((size_t)1 << 18) /* a round */

typedef struct transfers {
    spx_ot_sender *s;
    spx_ot_receiver *r;
    spx_block *keys;
    uint8_t *choices, *message;
} transfers;

static spx_status transfers_init(transfers *t, spx_prg *prg)
{
    static const uint8_t session[SPX_OT_SESSION_BYTES] = "sphynx bench crypto";
    uint8_t hello[SPX_OT_HELLO_BYTES], points[SPX_OT_POINTS_BYTES], trees[SPX_OT_TREES_BYTES];
    spx_gc_key key;
    spx_gc_key_draw(&key, prg);
    SPX_RETURN_IF(SPX_NEW(t->keys, OTS));
    SPX_RETURN_IF(SPX_NEW(t->choices, OTS / 8));
    SPX_RETURN_IF(SPX_NEW(t->message, spx_ot_bytes(OTS)));
    SPX_RETURN_IF(spx_ot_receiver_create(&t->r, session, prg, hello));
    SPX_RETURN_IF(
        spx_ot_sender_create(&t->s, session, key.delta, prg, hello, sizeof hello, points));
    SPX_RETURN_IF(spx_ot_receiver_setup(t->r, points, sizeof points, trees));
    return spx_ot_sender_setup(t->s, trees, sizeof trees);
}

/* Transfers a second, the best of some rounds: { receiver, sender }. */
static spx_status measure_transfers(transfers *t, int64_t repeats, double rate[2])
{
    double best[2] = {INFINITY, INFINITY};
    for (int64_t r = 0; r < 4 * repeats; r++) {
        const double began = spx_seconds();
        double middle;
        SPX_RETURN_IF(spx_ot_receiver_extend(t->r, OTS, t->choices, t->keys, t->message));
        middle = spx_seconds();
        SPX_RETURN_IF(spx_ot_sender_extend(t->s, OTS, t->message, spx_ot_bytes(OTS), t->keys));
        best[0] = fmin(best[0], middle - began);
        best[1] = fmin(best[1], spx_seconds() - middle);
    }
    rate[0] = (double)OTS / best[0];
    rate[1] = (double)OTS / best[1];
    return SPX_OK;
}

static void transfers_clear(transfers *t)
{
    spx_ot_sender_destroy(t->s);
    spx_ot_receiver_destroy(t->r);
    spx_free(t->keys);
    spx_free(t->choices);
    spx_free(t->message);
}

/* ---- the command ---- */

static json_t *relu_json(const values *v, const spx_gc_params *p, const spx_relu_times *t)
{
    const double n = (double)v->relus, us = 1e6 / n;
    return json_pack(
        "{s:I, s:i, s:i, s:i, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:f}", "count",
        (json_int_t)v->relus, "bits", p->l, "shift", p->f, "keep", p->a, "ands",
        (json_int_t)spx_gc_ands(p), "microseconds", (t->offline_seconds + t->online_seconds) * us,
        "offline_microseconds", t->offline_seconds * us, "online_microseconds",
        t->online_seconds * us, "offline_bytes", (json_int_t)t->offline_bytes, "online_bytes",
        (json_int_t)t->online_bytes, "evaluator_storage_bytes", (json_int_t)t->evaluator_bytes,
        "garbler_storage_bytes", (json_int_t)t->garbler_bytes, "setup_seconds", t->setup_seconds);
}

static json_t *conv_json(const spx_conv_times *t)
{
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:I}", "shape", "3x3, 64 to 64 channels, 32x32",
                     "seconds", t->seconds, "encrypt_seconds", t->encrypt_seconds,
                     "evaluate_seconds", t->evaluate_seconds, "decrypt_seconds", t->decrypt_seconds,
                     "bytes", (json_int_t)t->bytes);
}

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static void print_text(const json_t *j)
{
    const json_t *r = json_object_get(j, "relu"), *c = json_object_get(j, "conv");
    (void)printf("AND gates: %.1f ns garbled, %.1f ns evaluated (%s)\n",
                 1e9 / number(j, "garbled_ands_per_second"),
                 1e9 / number(j, "evaluated_ands_per_second"),
                 json_string_value(json_object_get(j, "instructions")));
    (void)printf("correlated transfers: %.1f M/s a side, %.3f bytes each\n",
                 number(j, "cots_per_second") * 1e-6, number(j, "bytes_per_cot"));
    (void)printf("ReLUs, %.0f of %.0f bits: %.2f us each offline, %.2f us online; %.0f bytes "
                 "offline, %.0f online; the evaluator stores %.0f\n",
                 number(r, "count"), number(r, "bits"), number(r, "offline_microseconds"),
                 number(r, "online_microseconds"), number(r, "offline_bytes") / number(r, "count"),
                 number(r, "online_bytes") / number(r, "count"),
                 number(r, "evaluator_storage_bytes") / number(r, "count"));
    (void)printf("encrypted convolution, %s: %.1f ms, %.2f MB\n",
                 json_string_value(json_object_get(c, "shape")), 1e3 * number(c, "seconds"),
                 1e-6 * number(c, "bytes"));
}

/* The round with the least time in all. */
static spx_status measure_relus(const values *v, const spx_gc_params *p, spx_relu_times *best)
{
    for (int64_t i = 0; i < v->repeats; i++) {
        spx_relu_times t;
        SPX_RETURN_IF(spx_bench_relu(p, (size_t)v->relus, &t));
        if (i == 0 ||
            t.offline_seconds + t.online_seconds < best->offline_seconds + best->online_seconds) {
            *best = t;
        }
    }
    return SPX_OK;
}

static spx_status measure(const values *v, const spx_gc_params *p, json_t **out)
{
    double ands[2], cots[2];
    spx_relu_times relu = {0};
    spx_conv_times conv = {0};
    transfers t = {0};
    spx_prg prg;
    spx_status st;
    SPX_RETURN_IF(spx_prg_init(&prg));
    SPX_TRY(st, measure_gates(&prg, v->repeats, ands), done);
    SPX_TRY(st, transfers_init(&t, &prg), done);
    SPX_TRY(st, measure_transfers(&t, v->repeats, cots), done);
    SPX_TRY(st, measure_relus(v, p, &relu), done);
    SPX_TRY(st, spx_bench_conv(v->repeats, &conv), done);
    *out =
        json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "instructions",
                  spx_crypto_isa_name(spx_crypto_isa_used()), "garbled_ands_per_second", ands[0],
                  "evaluated_ands_per_second", ands[1], "cots_per_second", fmin(cots[0], cots[1]),
                  "cots_received_per_second", cots[0], "cots_sent_per_second", cots[1],
                  "bytes_per_cot", (double)spx_ot_bytes(OTS) / (double)OTS, "relu",
                  relu_json(v, p, &relu), "conv", conv_json(&conv));
    st = *out == NULL ? SPX_FAIL(SPX_ENOMEM, "bench: JSON") : SPX_OK;
done:
    transfers_clear(&t);
    spx_prg_clear(&prg);
    return st;
}

static spx_status run(spx_cli *cli, const void *options)
{
    const values *v = options;
    const spx_gc_params p = {(int)v->bits, (int)v->shift, (int)v->keep};
    json_t *j = NULL;
    spx_status st = spx_gc_check(&p);
    if (st != SPX_OK) {
        return spx_cli_usage(cli, "%s", spx_error_message());
    }
    SPX_RETURN_IF(measure(v, &p, &j));
    if (cli->json) {
        return spx_cli_print_json(j);
    }
    print_text(j);
    json_decref(j);
    return SPX_OK;
}

static const spx_option options_table[] = {
    SPX_OPT(INT, values, relus, "relus", "N", "100000", "ReLUs of the layer", .min = 1, .max = 1e7),
    SPX_OPT(INT, values, bits, "bits", "L", "37", "bits of the accumulator", .min = 2, .max = 64),
    SPX_OPT(INT, values, shift, "shift", "F", "20", "bits dropped", .min = 0, .max = 62),
    SPX_OPT(INT, values, keep, "keep", "A", "8", "bits of the output", .min = 1, .max = 32),
    SPX_OPT(INT, values, repeats, "repeats", "N", "5", "rounds; the fastest counts", .min = 1,
            .max = 1000),
    {0}};

const spx_command spx_bench_crypto = {
    .name = "crypto",
    .summary = "Gates, transfers, a layer of ReLUs between two threads, an encrypted convolution.",
    .example = "sphynx bench crypto --json",
    .options = options_table,
    .values_size = sizeof(values),
    .run = run};
