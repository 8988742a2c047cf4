#ifndef SPX_QUANTISE_FIXTURE_H
#define SPX_QUANTISE_FIXTURE_H
/* From a network with random weights to a deployed model. */
#include "tests/model/net_fixture.h"

#include "host/model/calibrate.h"
#include "host/model/dropped.h"
#include "host/model/quantise.h"

enum { MADE_BATCH = 4 };

/** A network, its fold, clips from a batch of noise, and the model made of them. */
typedef struct made {
    net_fixture net;
    pile pile;
    spx_fold *fold;
    double **clip;
    float *images; /* (MADE_BATCH, c, h, w), normalised, of the pixels */
    uint8_t *pixels;
    spx_deploy *m;
    spx_quantise_segment segment[256];
} made;

static inline spx_status made_next(void *ctx, int64_t step, const float **images)
{
    const made *t = ctx;
    (void)step;
    *images = t->images;
    return SPX_OK;
}

static inline spx_calibrate_source made_calibration(made *t)
{
    const spx_fold_input s = net_source(&t->net);
    return (spx_calibrate_source){.graph = s.graph,
                                  .fold = t->fold,
                                  .layout = s.layout,
                                  .weights = s.weights,
                                  .state = s.state,
                                  .next = made_next,
                                  .ctx = t,
                                  .steps = 1};
}

/* From the network and its images to the model, where there is one. clamp: as folding takes it. */
static inline spx_status made_try(made *t, const bool *clamp, const spx_quantise_options *o)
{
    spx_fold_input s = net_source(&t->net);
    s.clamp = clamp;
    spx_deploy_destroy(t->m);
    spx_fold_destroy(t->fold);
    spx_free(t->clip);
    CHECK_OK(spx_fold_create(&t->fold, &s));
    const spx_calibrate_source cs = made_calibration(t);
    const int bits = o->activation_bits > 0 ? o->activation_bits : 8;
    CHECK_OK(spx_calibrate(&t->clip, &cs, t->net.stream, bits));
    return spx_quantise(&t->m, t->fold, (const double *const *)t->clip, o, NULL, t->segment);
}

static inline void made_deploy(made *t, const bool *clamp, const spx_quantise_options *o)
{
    CHECK_OK(made_try(t, clamp, o));
}

/* Of the network that t has, noise as images, and the rest. */
static inline void made_start(made *t, const spx_quantise_options *o)
{
    const spx_input_shape *in = &t->net.config.input;
    const size_t n = (size_t)(in->channels * in->rows * in->columns),
                 map = (size_t)(in->rows * in->columns);
    void *memory;
    CHECK_OK(spx_alloc(&memory, MADE_BATCH * n * sizeof *t->images));
    t->images = memory;
    t->pixels = pile_bytes(&t->pile, MADE_BATCH * n);
    for (size_t i = 0; i < MADE_BATCH * n; i++) {
        const size_t channel = i / map % (size_t)in->channels;
        t->pixels[i] = (uint8_t)spx_rng_u32(&t->net.rng);
        t->images[i] = (float)((t->pixels[i] / 255.0 - t->net.mean[channel]) / t->net.std[channel]);
    }
    const spx_fold_input s = net_source(&t->net);
    bool *clamp = pile_bytes(&t->pile, (size_t)s.graph->n_nodes * sizeof *clamp);
    spx_status st = SPX_ENUMERIC;
    for (int tried = 0; st == SPX_ENUMERIC && tried < SPX_CHOOSE_TRIES;
         tried++) { /* as export does */
        const spx_choose_options choice = {.weight_bits = o->weight_bits,
                                           .activation_bits = o->activation_bits,
                                           .limit = o->most_bits,
                                           .tried = tried};
        CHECK_OK(spx_fold_choose(clamp, NULL, &s, &choice));
        st = made_try(t, clamp, o);
    }
    CHECK_OK(st);
}

/* g NULL: the residual network; masks: of a masked one (net_mask), else NULL. */
static inline void made_open_masked(made *t, const spx_genotype *g, const spx_final_config *config,
                                    uint64_t seed, const spx_quantise_options *o, const char *masks)
{
    spx_final_config c = *config;
    memset(t, 0, sizeof *t);
    c.batch = MADE_BATCH;
    c.masked = masks != NULL;
    if (g != NULL) {
        net_open(&t->net, g, &c, seed);
    } else {
        net_open_residual(&t->net, &c, seed);
    }
    if (masks != NULL) {
        net_mask(&t->net, masks);
    }
    made_start(t, o);
}

/* A published network; masks as above. */
static inline void made_open_reference(made *t, const char *text, const spx_final_config *config,
                                       uint64_t seed, const spx_quantise_options *o,
                                       const char *masks)
{
    spx_final_config c = *config;
    memset(t, 0, sizeof *t);
    c.batch = MADE_BATCH;
    c.masked = masks != NULL;
    net_open_reference(&t->net, text, &c, seed);
    if (masks != NULL) {
        net_mask(&t->net, masks);
    }
    made_start(t, o);
}

static inline void made_open(made *t, const spx_genotype *g, const spx_final_config *config,
                             uint64_t seed, const spx_quantise_options *o)
{
    made_open_masked(t, g, config, seed, o, NULL);
}

static inline void made_drop(made *t)
{
    spx_deploy_destroy(t->m);
    spx_fold_destroy(t->fold);
    spx_free(t->clip);
    spx_free(t->images);
    net_close(&t->net);
    pile_clear(&t->pile);
}

static const spx_final_config made_small = {.input = {3, 16, 16},
                                            .classes = 7,
                                            .init_channels = 3,
                                            .layers = 4,
                                            .n_reduce = 2,
                                            .reduce_at = {0, 2}};

/* Relative distance of integer logits from the float network's, over the batch. */
static inline double made_distance(made *t)
{
    const size_t classes = (size_t)t->net.config.classes;
    const void *input[2] = {t->images, NULL};
    float got[MADE_BATCH * 16];
    int64_t logits[MADE_BATCH * 16];
    spx_binding b = {.weights = t->net.weights,
                     .state = t->net.state,
                     .workspace = t->net.workspace,
                     .input = input};
    CHECK_OK(spx_program_run(t->net.program, &b));
    CHECK_OK(spx_deploy_run_integer(t->m, NULL, MADE_BATCH, t->pixels, logits));
    for (size_t i = 0; i < MADE_BATCH * classes; i++) {
        got[i] = (float)((double)logits[i] * t->m->logit_scale);
    }
    return spx_relative_error(got, spx_program_output(t->net.program, &b, 0).data,
                              MADE_BATCH * classes);
}

#endif
