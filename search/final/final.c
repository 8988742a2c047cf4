#include "search/final/final.h"

#include "data/augment/augment.h"
#include "host/train/memory.h"
#include "search/final/teacher.h"

#include <string.h>

#define OUTPUTS_MAX (4 + SPX_DISTANCES_MAX)

/* For images of side x side in place of the network's own; 0 leaves those. */
static void set_side(spx_final_config *c, int side)
{
    if (side > 0) {
        c->whole = c->input;
        c->input.rows = c->input.columns = side;
    }
}

/* Puts what is differentiated into seed, what is reported into output, and counts both. */
static spx_status weigh_losses(const spx_network *net, const spx_final_losses *l,
                               spx_loss_seed seed[4], spx_tid output[OUTPUTS_MAX], int *n_loss,
                               int *n_output)
{
    const float labels = l->teacher != NULL ? 1.0f - spx_teacher_options(l->teacher)->weight : 1.0f;
    int n = 0, k = 0;
    output[k++] = net->logits;
    output[k++] = net->loss;
    seed[n++] = (spx_loss_seed){net->loss, labels};
    if (l->aux_weight > 0) {
        seed[n++] = (spx_loss_seed){net->aux_loss, labels * l->aux_weight};
    }
    if (l->teacher != NULL) {
        const spx_distill_options *o = spx_teacher_options(l->teacher);
        spx_taught taught;
        SPX_RETURN_IF(spx_teacher_attach(l->teacher, net, &taught));
        seed[n++] = (spx_loss_seed){taught.distillation, o->weight};
        output[k++] = taught.distillation;
        if (taught.attention != SPX_NO_TENSOR) {
            seed[n++] = (spx_loss_seed){taught.attention, o->attention};
            output[k++] = taught.attention;
        }
        memcpy(output + k, taught.distance, sizeof *output * (size_t)taught.n_distances);
        k += taught.n_distances;
    }
    *n_loss = n;
    *n_output = k;
    return SPX_OK;
}

spx_status spx_final_train_program(spx_program **out, spx_stream *stream, const spx_final_spec *f,
                                   int64_t batch, const spx_final_losses *losses,
                                   struct spx_tuning *tuning)
{
    spx_final_config c = spx_spec_config(f, batch);
    spx_loss_seed seed[4];
    spx_tid output[OUTPUTS_MAX];
    spx_program_options o = {.loss = seed,
                             .grad_weights = true,
                             .grad_arch = losses->train_masks,
                             .score_relus = losses->score_relus,
                             .output = output,
                             .tuning = tuning};
    spx_network net;
    spx_status st;
    c.training = true;
    set_side(&c, losses->side);
    c.auxiliary = losses->aux_weight > 0;
    c.drop_path = losses->drop_path ? SPX_DROP_PATH_DRAWN : SPX_DROP_PATH_OFF;
    c.label_smoothing = losses->smoothing;
    *out = NULL;
    SPX_RETURN_IF(spx_build_spec(&net, f, &c));
    SPX_TRY(st, spx_memory_check(net.graph, stream, 3), end);
    SPX_TRY(st, weigh_losses(&net, losses, seed, output, &o.n_loss, &o.n_output), end);
    st = spx_program_create(out, net.graph, stream, &o);
end:
    spx_network_clear(&net);
    return st;
}

spx_status spx_final_eval_program(spx_program **out, spx_stream *stream, const spx_final_spec *f,
                                  int64_t batch, bool auxiliary, struct spx_tuning *tuning)
{
    spx_final_config c = spx_spec_config(f, batch);
    spx_network net;
    spx_status st;
    c.auxiliary = auxiliary;
    *out = NULL;
    SPX_RETURN_IF(spx_build_spec(&net, f, &c));
    st = spx_memory_check(net.graph, stream, 1);
    if (st == SPX_OK) {
        const spx_program_options o = {.output = &net.logits, .n_output = 1, .tuning = tuning};
        st = spx_program_create(out, net.graph, stream, &o);
    }
    spx_network_clear(&net);
    return st;
}

spx_status spx_final_build(spx_network *out, const spx_final_spec *f, int64_t batch)
{
    return spx_final_build_at(out, f, batch, 0);
}

spx_status spx_final_build_at(spx_network *out, const spx_final_spec *f, int64_t batch, int side)
{
    spx_final_config c = spx_spec_config(f, batch);
    set_side(&c, side);
    return spx_build_spec(out, f, &c);
}

static json_t *reals(const double *x, int64_t n)
{
    json_t *a = json_array();
    for (int64_t i = 0; i < n; i++) {
        (void)json_array_append_new(a, json_real(x[i]));
    }
    return a;
}

json_t *spx_final_spec_json(const spx_final_spec *f)
{
    json_t *j = json_pack("{s:[I,I,I], s:I, s:o, s:o}", "input", (json_int_t)f->input.channels,
                          (json_int_t)f->input.rows, (json_int_t)f->input.columns, "classes",
                          (json_int_t)f->classes, "mean", reals(f->mean, f->input.channels), "std",
                          reals(f->std, f->input.channels));
    json_t *net = f->reference[0] != '\0'
                      ? json_pack("{s:s}", "reference", f->reference)
                      : json_pack("{s:I, s:I, s:o, s:o}", "init_channels",
                                  (json_int_t)f->init_channels, "layers", (json_int_t)f->layers,
                                  "reduce_at", spx_reduce_at_json(f->reduce_at, f->n_reduce),
                                  "genotype", spx_genotype_value(&f->genotype));
    if (j == NULL || net == NULL || json_object_update(j, net) != 0 ||
        (f->masked && json_object_set_new(j, "masked", json_true()) != 0)) {
        json_decref(j);
        j = NULL;
    }
    json_decref(net);
    return j;
}

static spx_status parse_reals(const json_t *a, const char *name, int64_t n, double *out)
{
    if (json_array_size(a) != (size_t)n) {
        return SPX_FAIL(SPX_EFORMAT, "network description: %s: %lld numbers expected", name,
                        (long long)n);
    }
    for (size_t i = 0; i < (size_t)n; i++) {
        if (!json_is_number(json_array_get(a, i))) {
            return SPX_FAIL(SPX_EFORMAT, "network description: %s: a number expected", name);
        }
        out[i] = json_number_value(json_array_get(a, i));
    }
    return SPX_OK;
}

/* What says which network: a reference, or cells. */
static spx_status parse_network(spx_final_spec *f, const json_t *j)
{
    const json_t *reference = json_object_get(j, "reference");
    json_int_t channels, layers;
    json_t *at, *genotype;
    json_error_t err;
    if (reference != NULL) {
        const char *text = json_string_value(reference);
        if (text == NULL || *text == '\0' || strlen(text) >= sizeof f->reference) {
            return SPX_FAIL(SPX_EFORMAT, "reference: a text of 1 to %zu bytes expected",
                            sizeof f->reference - 1);
        }
        memcpy(f->reference, text, strlen(text) + 1);
        return SPX_OK;
    }
    if (json_unpack_ex((json_t *)(uintptr_t)j, &err, 0, "{s:I, s:I, s:o, s:o}", "init_channels",
                       &channels, "layers", &layers, "reduce_at", &at, "genotype",
                       &genotype) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s", err.text);
    }
    f->init_channels = channels;
    f->layers = layers;
    SPX_RETURN_IF(spx_reduce_at_parse(at, SPX_MAX_LAYERS, f->reduce_at, &f->n_reduce));
    return spx_genotype_of_value(&f->genotype, genotype);
}

spx_status spx_final_spec_parse(spx_final_spec *f, const json_t *j)
{
    json_int_t c, h, w, classes;
    json_t *mean, *std;
    json_error_t err;
    int masked = 0;
    memset(f, 0, sizeof *f);
    if (json_unpack_ex((json_t *)(uintptr_t)j, &err, 0, "{s:[I,I,I!], s:I, s:o, s:o, s?b}", "input",
                       &c, &h, &w, "classes", &classes, "mean", &mean, "std", &std, "masked",
                       &masked) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "network description: %s", err.text);
    }
    if (c < 1 || c > 4) {
        return SPX_FAIL(SPX_EFORMAT, "network description: %lld channels, 1 to 4 expected",
                        (long long)c);
    }
    f->input = (spx_input_shape){c, h, w};
    f->classes = classes;
    f->masked = masked != 0;
    SPX_RETURN_IF(parse_reals(mean, "mean", c, f->mean));
    SPX_RETURN_IF(parse_reals(std, "std", c, f->std));
    if (spx_normalise_check((int)c, f->mean, f->std) != SPX_OK) {
        return spx_fail_context(SPX_EFORMAT, "network description");
    }
    return spx_fail_context(parse_network(f, j), "network description");
}
