/* sphynx import: published weights become a model. */
#include "data/augment/augment.h"
#include "data/augment/resize.h"
#include "data/pack/pack.h"
#include "host/ckpt/weights.h"
#include "host/cli/commands.h"
#include "host/cli/net_talk.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"
#include "search/final/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    spx_net_values net;
    const char *out, *data, *mean, *std;
    bool raw;
    spx_int_list image;
    int64_t test_resize;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, out, "out", "FILE", NULL, "the model to write",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT, .letter = 'o'),
    SPX_OPT(STRING, values, data, "data", "FILE", NULL,
            "pack it was trained on: size, normalisation and class names of the model's images"),
    SPX_OPT(STRING, values, mean, "mean", "X,...", NULL,
            "subtracted from pixels as 0..1, for each channel: -1000 to 1000"),
    SPX_OPT(STRING, values, std, "std", "X,...", NULL,
            "what the rest is divided by: 0.000001 to 1000"),
    SPX_OPT(FLAG, values, raw, "raw", NULL, "false", "pixels as 0..1 were not normalised"),
    SPX_OPT(SHAPE, values, image, "image", "HxW", NULL,
            "size of images before padding; default: that of --data, or the network's input",
            .min = 1, .max = 4096),
    SPX_OPT(INT, values, test_resize, "test-resize", "N", "0",
            "images of any size: the input's centre of the image resized to N; 0: 8/7 of the input "
            "where --data has such images",
            .min = 0, .max = SPX_RESIZE_MAX),
    SPX_NET_OPTIONS(values, net),
    {0}};

static const spx_need needs[] = {{"test-resize", "!image"}, SPX_NETWORK_NEED, {0}};

/* What the file says of its network, in place of an option that was not given; else NULL. */
static spx_status read_text(spx_cli *cli, const spx_weights *w, const char *key, const char *option,
                            char **out)
{
    *out = NULL;
    return spx_cli_given(cli, option) ? SPX_OK : spx_weights_about(w, key, out);
}

static spx_status read_number(spx_cli *cli, const spx_weights *w, const char *key,
                              const char *option, int64_t *out)
{
    spx_status st = SPX_OK;
    char *text, *end;
    SPX_RETURN_IF(read_text(cli, w, key, option, &text));
    if (text != NULL) {
        const long long v = strtoll(text, &end, 10);
        if (end == text || *end != '\0' || v < 1 || v > 1000000) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: %s: '%.40s', a number of 1 to 1000000 expected",
                          spx_weights_name(w), key, text);
        }
        *out = v;
    }
    spx_free(text);
    return st;
}

/* "[0, 5]" */
static spx_status parse_cells(const spx_weights *w, const char *text, spx_final_spec *s)
{
    json_t *list = json_loads(text, 0, NULL);
    const spx_status st = spx_reduce_at_parse(list, SPX_MAX_LAYERS, s->reduce_at, &s->n_reduce);
    json_decref(list);
    return spx_fail_context(st, "%s: attribute reduce_loc '%.40s'", spx_weights_name(w), text);
}

/* What the file says of its network, where the command line does not. */
static spx_status read_attributes(spx_cli *cli, const spx_weights *w, spx_final_spec *s)
{
    char *text;
    spx_status st = SPX_OK;
    int64_t size = s->input.rows;
    SPX_RETURN_IF(read_number(cli, w, "init_channels", "init-channels", &s->init_channels));
    SPX_RETURN_IF(read_number(cli, w, "layers", "layers", &s->layers));
    SPX_RETURN_IF(read_number(cli, w, "n_classes", "classes", &s->classes));
    SPX_RETURN_IF(read_number(cli, w, "size", "input", &size));
    if (!spx_cli_given(cli, "input")) {
        s->input.rows = s->input.columns = size;
    }
    SPX_RETURN_IF(read_text(cli, w, "genotype", "genotype", &text));
    if (text != NULL) {
        st = spx_genotype_parse(&s->genotype, text, strlen(text));
        spx_free(text);
        SPX_RETURN_IF(st);
    }
    SPX_RETURN_IF(read_text(cli, w, "reduce_loc", "reduce-at", &text));
    if (text != NULL) {
        st = parse_cells(w, text, s);
        spx_free(text);
    }
    return st;
}

/* ---- how its images were made ready ---- */

/* "0.5,0.5,0.5": a number for each channel */
static spx_status parse_reals(spx_cli *cli, const char *option, const char *text, int64_t channels,
                              double *out)
{
    const char *at = text;
    for (int64_t c = 0; c < channels; c++) {
        char *end;
        out[c] = strtod(at, &end);
        if (end == at || *end != (c < channels - 1 ? ',' : '\0')) {
            return spx_cli_usage(cli, "--%s takes %lld numbers with commas between, not '%s'",
                                 option, (long long)channels, text);
        }
        at = end + 1;
    }
    return SPX_OK;
}

/* What only a person or the data set can know. */
static spx_status check_said(spx_cli *cli, const values *v)
{
    if ((v->mean != NULL) != (v->std != NULL) || (v->raw && v->mean != NULL)) {
        return spx_cli_usage(cli, "either --mean with --std, or --raw");
    }
    return v->data != NULL || v->mean != NULL || v->raw
               ? SPX_OK
               : spx_cli_usage(cli,
                               "how were the images normalised? --data PACK, --mean and --std, "
                               "or --raw where they were not (pixels as 0..1)");
}

/* Size, class names and normalisation of --data, which --mean or --raw overrule. */
static spx_status read_pack(const values *v, spx_final_spec *s, spx_preprocess *images)
{
    char sizes[32] = "differing sizes";
    spx_pack *p;
    spx_status st;
    SPX_RETURN_IF(spx_pack_open(&p, v->data, 0));
    if (p->height > 0) {
        (void)snprintf(sizes, sizeof sizes, "%dx%d", p->height, p->width);
    }
    SPX_TRY(st, spx_preprocess_of_pack(images, p), end);
    if (p->height == 0) { /* several sizes: as ImageNet's published networks are tested */
        images->centre_crop = 224;
        images->centre_resize = 256;
    }
    if (p->channels != s->input.channels || p->classes != s->classes ||
        (v->test_resize == 0 && (p->height > s->input.rows || p->width > s->input.columns))) {
        st = SPX_FAIL(
            SPX_EINVAL,
            "%s: %d classes, images of %d channels and %s; the network takes %lld classes, "
            "%lldx%lldx%lld",
            v->data, p->classes, p->channels, sizes, (long long)s->classes,
            (long long)s->input.channels, (long long)s->input.rows, (long long)s->input.columns);
    }
    memcpy(s->mean, p->mean, sizeof p->mean);
    memcpy(s->std, p->std, sizeof p->std);
end:
    spx_pack_close(p);
    return st;
}

static spx_status read_size(spx_cli *cli, const values *v, const spx_final_spec *s,
                            spx_preprocess *images)
{
    const spx_int_list *l = &v->image;
    if (v->test_resize > 0) {
        images->centre_crop = (int)s->input.rows;
        images->centre_resize = (int)v->test_resize;
    }
    if (images->centre_crop > images->centre_resize) {
        return spx_cli_usage(cli, "--test-resize takes at least the input's %lld rows",
                             (long long)s->input.rows);
    }
    if (l->n == 0 && (images->height > 0 || spx_preprocess_any_size(images))) {
        return SPX_OK; /* the pack's */
    }
    images->centre_crop = images->centre_resize = 0;
    if (l->n != 0 && (l->n != 2 || l->v[0] > s->input.rows || l->v[1] > s->input.columns)) {
        return spx_cli_usage(cli, "--image takes HxW, at most the network's %lldx%lld",
                             (long long)s->input.rows, (long long)s->input.columns);
    }
    images->height = (int)(l->n == 2 ? l->v[0] : s->input.rows);
    images->width = (int)(l->n == 2 ? l->v[1] : s->input.columns);
    return SPX_OK;
}

static spx_status preprocessing(spx_cli *cli, const values *v, spx_final_spec *s,
                                spx_preprocess *images)
{
    if (v->data != NULL) {
        SPX_RETURN_IF(read_pack(v, s, images));
    }
    SPX_RETURN_IF(read_size(cli, v, s, images));
    if (v->mean != NULL) {
        SPX_RETURN_IF(parse_reals(cli, "mean", v->mean, s->input.channels, s->mean));
        SPX_RETURN_IF(parse_reals(cli, "std", v->std, s->input.channels, s->std));
        return spx_normalise_check((int)s->input.channels, s->mean, s->std) == SPX_OK
                   ? SPX_OK
                   : spx_cli_usage(cli, "--mean, --std: %s", spx_error_message());
    }
    for (int i = 0; v->raw && i < SPX_PACK_MAX_CHANNELS; i++) {
        s->mean[i] = 0;
        s->std[i] = 1;
    }
    return SPX_OK;
}

/* How the file was understood, where that is not as it stands. */
static void say(const spx_weights *w)
{
    const size_t elsewhere = spx_weights_elsewhere(w);
    if (spx_weights_prefix(w)[0] != '\0' && strcmp(spx_weights_prefix(w), "param/") != 0) {
        (void)fprintf(stderr, "import: parameters are called \"%s...\": that is dropped\n",
                      spx_weights_prefix(w));
    }
    if (elsewhere > 0) {
        (void)fprintf(stderr, "import: %zu %s outside \"%s\" left alone\n", elsewhere,
                      SPX_PLURAL(elsewhere, "array", "arrays"), spx_weights_prefix(w));
    }
}

/* Finds where the network's parameters are, by its classifier's, which an auxiliary head's ends
 * like. */
static spx_status find_weights(spx_weights *w, const spx_final_spec *s)
{
    spx_network n;
    spx_status st = SPX_OK;
    SPX_RETURN_IF(spx_final_build(&n, s, 1));
    for (int i = 0; i < n.graph->n_nodes; i++) {
        const spx_node *nd = &n.graph->node[i];
        if (nd->out[0] == n.logits) {
            st = spx_weights_find(w, n.graph->tensor[nd->in[SPX_LINEAR_W]].name);
        }
    }
    spx_network_clear(&n);
    return st;
}

static spx_status convert(spx_cli *cli, const spx_weights *w, const spx_final_spec *s,
                          const spx_preprocess *images, const char *out)
{
    const bool auxiliary = spx_weights_has(w, "aux_head.linear.weight");
    spx_stream *stream = NULL;
    spx_program *p = NULL; /* for its layout */
    spx_buffer weights = {0}, state = {0};
    spx_status st;
    SPX_TRY(st, spx_cli_stream(cli, &stream), done);
    SPX_TRY(st, spx_final_eval_program(&p, stream, s, 1, auxiliary, NULL), done);
    const spx_layout *l = spx_program_layout(p);
    SPX_TRY(st, spx_layout_arena(l, NULL, SPX_ROLE_WEIGHT, &weights), done);
    SPX_TRY(st, spx_layout_arena(l, NULL, SPX_ROLE_STATE, &state), done);
    SPX_TRY(st, spx_weights_load(w, l, &weights, &state), done);
    st = spx_model_save(out, s, images, NULL, l, &weights, &state);
done:
    spx_buffer_free(&weights);
    spx_buffer_free(&state);
    spx_program_destroy(p);
    spx_stream_destroy(stream);
    return st;
}

static spx_status describe(spx_cli *cli, const spx_weights *w, const values *v, spx_final_spec *s)
{
    SPX_RETURN_IF(spx_net_spec(cli, &v->net, s));
    if (v->net.network == NULL) { /* others' files do not tell */
        SPX_RETURN_IF(read_attributes(cli, w, s));
    }
    if (s->input.channels > 4) {
        return SPX_FAIL(SPX_EINVAL, "images of at most 4 channels, not %lld",
                        (long long)s->input.channels);
    }
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *options_values)
{
    const values *v = options_values;
    spx_weights *w = NULL;
    spx_final_spec s;
    spx_preprocess images = {0};
    spx_counts n;
    spx_status st;
    SPX_RETURN_IF(check_said(cli, v));
    SPX_RETURN_IF(spx_cli_distinct(cli, v->out, cli->args[0]));
    SPX_RETURN_IF(spx_cli_distinct(cli, v->out, v->data));
    SPX_RETURN_IF(spx_cli_distinct(cli, v->out, v->net.genotype));
    SPX_TRY(st, spx_weights_open(&w, cli->args[0]), done);
    SPX_TRY(st, describe(cli, w, v, &s), done);
    SPX_TRY(st, preprocessing(cli, v, &s, &images), done);
    SPX_TRY(st, spx_final_count(&s, false, &n), done);
    SPX_TRY(st, find_weights(w, &s), done);
    SPX_TRY(st, convert(cli, w, &s, &images, v->out), done);
    say(w);
    if (cli->json) {
        st = spx_cli_print_json(json_pack(
            "{s:o, s:I, s:I, s:I}", "model", spx_cli_name_json(v->out), "relus",
            (json_int_t)n.relus, "params", (json_int_t)n.params, "macs", (json_int_t)n.macs));
    } else {
        (void)printf("%s: %lld parameters, %lld %s\n", v->out, (long long)n.params,
                     (long long)n.relus, SPX_PLURAL(n.relus, "ReLU", "ReLUs"));
    }
done:
    spx_preprocess_clear(&images);
    spx_weights_close(w);
    return st;
}

const spx_command spx_cmd_import = {
    .name = "import",
    .args = "WEIGHTS",
    .summary = "Makes a model of weights under PyTorch's parameter names, in safetensors or HDF5.",
    .example = "sphynx import weights.safetensors --out model.h5 --init-channels 5 --layers 10 "
               "--reduce-at 0,5 --input 3x32x32 --classes 100 --data cifar100.h5",
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
