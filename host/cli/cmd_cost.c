/* sphynx cost: what a private query of a model will take, segment by segment, beforehand. */
#include "host/cli/commands.h"
#include "host/cli/net_talk.h"
#include "host/cli/pi_talk.h"
#include "kernels/base/file.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct values {
    spx_net_values net;
    const char *model, *link;
    bool usual;
} values;

static const spx_option options[] = {
    SPX_DEPLOYED_OPTION(values, model),
    SPX_NET_OPTIONS(values, net),
    SPX_PLAN_OPTION(values, net.plan),
    SPX_OPT(STRING, values, link, "link", "L", "loopback", "loopback, lan, wan or RATE,RTT"),
    SPX_OPT(FLAG, values, usual, "usual-rates", NULL, "false",
            "by constants instead of rates measured now: the same on every machine"),
    {0}};

static const spx_need needs[] = {SPX_DEPLOYED_NEEDS, {0}};

static json_t *row_json(const spx_pi_sizes *s, spx_pi_forecast f)
{
    return json_pack(
        "{s:I, s:I, s:I, s:{s:f, s:I, s:I, s:I}, s:{s:f, s:I, s:I, s:I}, s:I, s:I, s:I}", "relus",
        (json_int_t)s->relus, "interactive_positions", (json_int_t)s->interactive, "ands",
        (json_int_t)s->ands, "offline", "seconds", f.offline, "bytes_sent",
        (json_int_t)s->offline_to_server, "bytes_received", (json_int_t)s->offline_to_client,
        "rounds", (json_int_t)s->offline_rounds, "online", "seconds", f.online, "bytes_sent",
        (json_int_t)s->online_to_server, "bytes_received", (json_int_t)s->online_to_client,
        "rounds", (json_int_t)s->online_rounds, "storage_bytes", (json_int_t)s->server_bytes,
        "table_bytes", (json_int_t)s->table_bytes, "client_storage_bytes",
        (json_int_t)s->client_bytes);
}

static void print_row(const char *name, int bits, const spx_pi_sizes *s, spx_pi_forecast f)
{
    char width[16] = "";
    if (bits > 0) {
        (void)snprintf(width, sizeof width, "%d", bits);
    }
    (void)printf("%-8s %5s %9llu %11llu %10.3f %9.2f %9.4f %8.3f %6llu %9.2f\n", name, width,
                 (unsigned long long)s->relus, (unsigned long long)s->interactive, f.offline,
                 1e-6 * (double)(s->offline_to_server + s->offline_to_client), f.online,
                 1e-6 * (double)(s->online_to_server + s->online_to_client),
                 (unsigned long long)s->online_rounds, 1e-6 * (double)s->server_bytes);
}

/* Those of one kind by parameter set, us. */
static json_t *set_rates(const double rate[SPX_PI_RATE_SETS])
{
    json_t *list = json_array();
    for (int i = 0; i < SPX_PI_RATE_SETS && rate[i] > 0; i++) {
        (void)json_array_append_new(list, json_real(1e6 * rate[i]));
    }
    return list;
}

/* Of offline work, then of online work; ns, where not said otherwise. */
static json_t *rates_json(const spx_pi_rates *r)
{
    return json_pack(
        "{s:f, s:f, s:f, s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, "
        "s:f, s:f}",
        "garble", 1e9 * r->garble, "transfer", 1e9 * r->transfer, "seal", 1e9 * r->seal,
        "request_us", set_rates(r->request), "response_us", set_rates(r->response), "product_us",
        set_rates(r->product), "evaluate", 1e9 * r->evaluate, "choose", 1e9 * r->choose, "answer",
        1e9 * r->answer, "unmask", 1e9 * r->unmask, "step", 1e9 * r->step, "sum", 1e9 * r->sum,
        "pack", 1e9 * r->pack, "element", 1e9 * r->element, "open", 1e9 * r->open, "drop",
        1e9 * r->drop, "touch", 1e9 * r->touch, "pass", 1e9 * r->pass, "turn", 1e9 * r->turn);
}

static spx_status report(spx_cli *cli, const spx_deploy *m, const spx_pi_plan *p,
                         const spx_pi_rates *r, spx_link link)
{
    const spx_pi_sizes *all = spx_pi_plan_sizes(p);
    const spx_pi_forecast total = spx_pi_predict(p, r, link, -1);
    json_t *layers = json_array(), *j;
    if (!cli->json) {
        (void)printf("%-8s %5s %9s %11s %10s %9s %9s %8s %6s %9s\n", "segment", "bits", "ReLUs",
                     "interactive", "offline s", "MB", "online s", "MB", "rounds", "stored MB");
    }
    for (int i = 0; i < m->n_segments; i++) {
        const spx_pi_sizes s = spx_pi_plan_segment(p, i);
        const spx_pi_forecast f = spx_pi_predict(p, r, link, i);
        if (cli->json) {
            (void)json_array_append_new(layers, row_json(&s, f));
        } else {
            char name[16];
            (void)snprintf(name, sizeof name, "%d", i);
            print_row(name, i + 1 < m->n_segments ? m->op[m->relu[i]].width : 0, &s, f);
        }
    }
    if (cli->json) {
        j = row_json(all, total);
        (void)json_object_set_new(j, "layers", layers);
        (void)json_object_set_new(j, "load_seconds", json_real(total.load));
        (void)json_object_set_new(j, "online_parts", spx_pi_parts_json(&total.part));
        (void)json_object_set_new(j, "rates", rates_json(r));
        (void)json_object_set_new(
            j, "batch_bytes",
            json_integer((json_int_t)(all->batch_to_server + all->batch_to_client)));
        return spx_cli_print_json(j);
    }
    json_decref(layers);
    print_row("query", 0, all, total);
    (void)printf(
        "online, ms: linear %.1f, labels %.1f, circuits %.1f, material %.1f, passing %.1f, "
        "link %.1f\n",
        1e3 * total.part.linear, 1e3 * total.part.labels, 1e3 * total.part.circuits,
        1e3 * total.part.material, 1e3 * total.part.pass, 1e3 * total.part.link);
    (void)printf("besides, once a batch: %.2f MB\n",
                 1e-6 * (double)(all->batch_to_server + all->batch_to_client));
    return SPX_OK;
}

static spx_status measure(spx_pi_rates *rates)
{
    char folder[SPX_TEMP_FOLDER];
    spx_vault *vault = NULL;
    SPX_RETURN_IF(spx_temp_folder(folder, "cost"));
    spx_status st = spx_vault_open(&vault, folder);
    if (st == SPX_OK) {
        st = spx_pi_rates_measure(rates, vault);
    }
    spx_vault_close(vault);
    spx_vault_destroy(folder);
    return st;
}

/* The model, or that of the network that options name. */
static spx_status open_model(spx_cli *cli, const values *v, spx_deploy **out)
{
    spx_final_spec spec = {0};
    spx_stream *stream;
    SPX_RETURN_IF(v->model == NULL ? spx_net_random_spec(cli, &v->net, &spec) : SPX_OK);
    SPX_RETURN_IF(spx_stream_create(&stream, SPX_DEVICE_CPU, (int)cli->threads));
    const spx_status st = spx_net_deployed(out, v->model, &spec, stream);
    spx_stream_destroy(stream);
    return st;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_pi_rates rates = spx_pi_usual_rates;
    spx_link link = {0};
    spx_deploy *m = NULL;
    spx_pi_plan *p = NULL;
    spx_status st;
    if (spx_link_parse(v->link, &link) != SPX_OK) {
        return spx_cli_usage(cli, "%s", spx_error_message());
    }
    SPX_TRY(st, open_model(cli, v, &m), done);
    SPX_TRY(st, spx_pi_plan_create(&p, m), done);
    st = v->usual ? SPX_OK : measure(&rates);
    if (st == SPX_OK) {
        st = report(cli, m, p, &rates, link);
    }
done:
    spx_pi_plan_destroy(p);
    spx_deploy_destroy(m);
    return st;
}

const spx_command spx_cmd_cost = {
    .name = "cost",
    .summary =
        "Predicts time, bytes, rounds and storage of a private query of a deployed model, or "
        "of a network with random weights, which takes seconds, for large ones minutes, to make.",
    .example = "sphynx cost --model shoes.h5 --link wan",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .run = run};
