/* What a query will take, before anything runs: counted work times measured rates. */
#include "host/secure/infer/pi_private.h"

_Static_assert(SPX_PI_RATE_SETS >= SPX_HE_SETS, "rates of every parameter set");

const spx_pi_rates spx_pi_usual_rates = {.garble = 4.4e-9,
                                         .evaluate = 2.4e-9,
                                         .transfer = 8.4e-9,
                                         .request = {60e-6, 60e-6, 60e-6, 60e-6},
                                         .response = {60e-6, 60e-6, 60e-6, 60e-6},
                                         .product = {15e-6, 15e-6, 15e-6, 15e-6},
                                         .mac = 0.3e-9,
                                         .seal = 1.2e-9,
                                         .open = 0.8e-9,
                                         .pass = 0.4e-9};

const spx_pi_width spx_pi_usual_width = {37, 20, 8};

static double linear_seconds(const spx_pi_plan *p, const spx_pi_rates *r, int segment)
{
    double t = 0;
    for (int i = 0; i < p->n_exchanges; i++) {
        const spx_pi_exchange *x = &p->exchange[i];
        if (segment < 0 || x->segment == segment) {
            const int set = x->facts->set;
            t += r->request[set] * (double)x->facts->request_polys +
                 r->product[set] * (double)x->facts->weight_polys +
                 r->response[set] * (double)x->facts->response_polys;
        }
    }
    return t;
}

static double conv_seconds(const spx_pi_plan *p, const spx_pi_rates *r, int segment)
{
    const spx_deploy *m = p->model;
    double macs = 0;
    for (int i = 0; i < m->n_ops; i++) {
        const spx_deploy_op *op = &m->op[i];
        if (op->kind == SPX_DEPLOY_CONV && (segment < 0 || m->value[op->out].segment == segment)) {
            macs += (double)spx_deploy_count(m, op->out) *
                    (double)(m->value[op->in].c * op->size * op->size);
        }
    }
    return macs * r->mac;
}

static double wire_seconds(spx_link link, double bytes, double rounds)
{
    return (link.bytes_per_second > 0 ? bytes / link.bytes_per_second : 0) +
           rounds * link.rtt_seconds;
}

spx_pi_forecast spx_pi_predict(const spx_pi_plan *p, const spx_pi_rates *r, spx_link link,
                               int segment)
{
    const spx_pi_sizes s = segment < 0 ? p->sizes : spx_pi_plan_segment(p, segment);
    const double ands = (double)s.ands, wires = (double)s.wires;
    const double offline = (double)(s.offline_to_server + s.offline_to_client),
                 online = (double)(s.online_to_server + s.online_to_client);
    return (spx_pi_forecast){
        .offline = linear_seconds(p, r, segment) + ands * r->garble + wires * r->transfer +
                   (double)s.server_bytes * r->seal + offline * r->pass +
                   wire_seconds(link, offline, (double)s.offline_rounds),
        .online = conv_seconds(p, r, segment) + ands * r->evaluate + online * r->pass +
                  wire_seconds(link, online, (double)s.online_rounds)};
}

spx_status spx_pi_relu_price(spx_pi_price *out, const spx_pi_rates *r, spx_link link,
                             spx_pi_width w)
{
    const spx_gc_params g = {.l = w.l, .f = w.f, .a = w.a};
    const size_t n = SPX_GC_GROUP; /* so that nothing is padding */
    SPX_RETURN_IF(spx_gc_check(&g));
    const double ands = (double)spx_gc_ands(&g), wires = w.l,
                 table = (double)spx_gc_table_bytes(&g, n) / (double)n,
                 stored = table + wires * (sizeof(spx_block) + 1.0 / 8),
                 offline = table + wires * ((double)spx_ot_bytes(SPX_OT_UNIT) / SPX_OT_UNIT),
                 online = wires * (sizeof(spx_block) + 1.0 / 8);
    *out = (spx_pi_price){
        .offline_bytes = offline,
        .online_bytes = online,
        .offline_ms = 1e3 * (ands * r->garble + wires * r->transfer + stored * r->seal +
                             offline * r->pass + wire_seconds(link, offline, 0)),
        .online_ms = 1e3 * (ands * r->evaluate + online * r->pass + wire_seconds(link, online, 0)),
        .layer_ms = 1e3 * wire_seconds(link, 0, 1)};
    return SPX_OK;
}
