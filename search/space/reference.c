/* The families of reference networks, and how one is named; builders are beside it. */
#include "search/space/cell.h"
#include "search/space/reference_private.h"

#include "kernels/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

/* clang-format off: it takes lists for blocks */
#define SMALL                                                                                      \
    {16, 63},                                                                                      \
    {                                                                                              \
        32, 127                                                                                    \
    }
#define LARGE                                                                                      \
    {                                                                                              \
        64, 4096                                                                                   \
    }
#define RESNET(width)                                                                              \
    {SPX_REF_STEM_RELU, "1", 0}, {SPX_REF_WIDTH, width, 0},                                        \
    {                                                                                              \
        SPX_REF_POOL, "", "max"                                                                    \
    }
#define CNET(width, digits, bits)                                                                  \
    {SPX_REF_WIDTH, width, 0}, {SPX_REF_KERNELS, digits, 0},                                       \
    {                                                                                              \
        SPX_REF_SKIPS, bits, 0                                                                     \
    }
/* clang-format on */

static const spx_ref_family families[] = {
    {"resnet18", {RESNET("64")}, {SMALL, LARGE}, {2, 2, 2, 2}, false, spx_ref_resnet},
    {"resnet34", {RESNET("64")}, {SMALL, LARGE}, {3, 4, 6, 3}, false, spx_ref_resnet},
    {"resnet50", {RESNET("64")}, {SMALL, LARGE}, {3, 4, 6, 3}, true, spx_ref_resnet},
    {"resnet32", {RESNET("16")}, {SMALL}, {5, 5, 5}, false, spx_ref_resnet},
    {"wrn-22-8",
     {{SPX_REF_LAST_RELU, "0", NULL}, {SPX_REF_WIDTH, "16", NULL}},
     {SMALL},
     {3, 3, 3},
     false,
     spx_ref_wide_resnet},
    {"vgg16",
     {{SPX_REF_NORM, "1", "0"}, {SPX_REF_WIDTH, "64", NULL}, {SPX_REF_POOL, "max", NULL}},
     {{32, 63}, {32, 127}, {224, 255}},
     {0},
     false,
     spx_ref_vgg},
    {"densenet121",
     {{SPX_REF_POOL, "max", NULL}},
     {{0, 0}, {0, 0}, LARGE},
     {6, 12, 24, 16},
     false,
     spx_ref_densenet},
    {"squeezenet1_1",
     {{SPX_REF_POOL, "max", NULL}},
     {{0, 0}, {0, 0}, LARGE},
     {0},
     false,
     spx_ref_squeezenet},
    {"mobilenet_v2", {{0}}, {{0, 0}, {0, 0}, LARGE}, {0}, false, spx_ref_mobilenet},
    {"deepreduce",
     {{SPX_REF_CULL, "none", NULL},
      {SPX_REF_THIN, "0", NULL},
      {SPX_REF_SCALE, "1", NULL},
      {SPX_REF_RHO, "1", NULL},
      {SPX_REF_BLOCKS, "2+2+2+2", NULL}},
     {SMALL},
     {0},
     false,
     spx_ref_deepreduce},
    {"hybrenet",
     {{SPX_REF_M, "16", NULL},
      {SPX_REF_ALPHA, "5", NULL},
      {SPX_REF_BETA, "5", NULL},
      {SPX_REF_GAMMA, "3", NULL},
      {SPX_REF_STEM_RELU, "1", NULL}},
     {SMALL},
     {0},
     false,
     spx_ref_hybrenet},
    {"cnet1", {CNET("14", "300011", "x6006")}, {SMALL}, {6}, false, spx_ref_cnet},
    {"cnet2",
     {CNET("28", "332223300013", "x616b34a8d44804540")},
     {SMALL},
     {12},
     false,
     spx_ref_cnet},
    {"cnet3",
     {CNET("56", "123132303230021211010112",
           "x6008aa29b74153a91c054a75a0c8040400c1b98983b7403d6320c109d462fa99c5b05")},
     {SMALL},
     {24},
     false,
     spx_ref_cnet},
    {"cnet",
     {{SPX_REF_LAYERS, "6", NULL}, CNET("14", "0", "none")},
     {SMALL},
     {0},
     false,
     spx_ref_cnet},
};
#define N_FAMILIES (sizeof families / sizeof families[0])

static const int forms[3] = {32, 64, 224};

/* What a key's value may be. */
static const struct key_rule {
    const char *name;
    enum { CHOICE, WHOLE, REAL, LIST, OWN } kind;
    const char *possible; /* of a choice "a|b"; for messages of the others */
    double least, most;   /* of numbers, also in lists */
    int items;            /* of lists: so many, or 0: an ascending set */
} keys[SPX_REF_KEYS] = {
    [SPX_REF_FORM] = {"form", CHOICE, "32|64|224", 0, 0, 0},
    [SPX_REF_STEM_RELU] = {"stem_relu", CHOICE, "0|1", 0, 0, 0},
    [SPX_REF_LAST_RELU] = {"last_relu", CHOICE, "0|1", 0, 0, 0},
    [SPX_REF_WIDTH] = {"width", WHOLE, "a whole number of 1 to 1024", 1, 1024, 0},
    [SPX_REF_POOL] = {"pool", CHOICE, "max|avg", 0, 0, 0},
    [SPX_REF_NORM] = {"bn", CHOICE, "0|1", 0, 0, 0},
    [SPX_REF_CULL] = {"cull", LIST, "none or stages of 1 to 4, ascending, such as 1+4", 1, 4, 0},
    [SPX_REF_THIN] = {"thin", CHOICE, "0|1", 0, 0, 0},
    [SPX_REF_SCALE] = {"alpha", REAL, "0.015625 (one channel) to 16", 0.015625, 16, 0},
    [SPX_REF_RHO] = {"rho", CHOICE, "1|0.5|0.25", 0, 0, 0},
    [SPX_REF_BLOCKS] = {"blocks", LIST, "four numbers of 1 to 64 such as 2+1+1+1", 1, 64, 4},
    [SPX_REF_M] = {"m", WHOLE, "a whole number of 1 to 256", 1, 256, 0},
    [SPX_REF_ALPHA] = {"alpha", WHOLE, "a whole number of 1 to 16", 1, 16, 0},
    [SPX_REF_BETA] = {"beta", WHOLE, "a whole number of 1 to 16", 1, 16, 0},
    [SPX_REF_GAMMA] = {"gamma", WHOLE, "a whole number of 1 to 16", 1, 16, 0},
    [SPX_REF_LAYERS] = {"layers", WHOLE, "a whole number of 1 to 24", 1, SPX_REF_LAYERS_MAX, 0},
    [SPX_REF_KERNELS] = {"kernels", OWN, "", 0, 0, 0},
    [SPX_REF_SKIPS] = {"skips", OWN, "", 0, 0, 0},
};

/* ---- reading ---- */

/* A network being read. */
typedef struct reading {
    const spx_ref_family *f;
    spx_ref_value v[SPX_REF_KEYS];
    bool given[SPX_REF_KEYS];
} reading;

static void append(char *text, size_t room, const char *part)
{
    const size_t used = strlen(text);
    (void)snprintf(text + used, room - used, "%s%s", used > 0 ? ", " : "", part);
}

bool spx_reference_describe(size_t i, char out[SPX_REFERENCE_CHARS])
{
    if (i >= N_FAMILIES) {
        return false;
    }
    const spx_ref_family *f = &families[i];
    size_t n = (size_t)snprintf(out, SPX_REFERENCE_CHARS, "%-13s", f->name);
    for (const spx_ref_default *d = f->key; d->text != NULL; d++) {
        const char *usual = d->text[0] != '\0' ? d->text : d->large;
        if (d->text[0] != '\0' || f->side[2].most > 0) {
            n += (size_t)snprintf(out + n, SPX_REFERENCE_CHARS - n, " %s=%.24s%s",
                                  keys[d->key].name, usual, strlen(usual) > 24 ? "..." : "");
        }
    }
    n += (size_t)snprintf(out + n, SPX_REFERENCE_CHARS - n, "; form");
    for (int k = 0; k < 3; k++) {
        if (f->side[k].most > 0) {
            n += (size_t)snprintf(out + n, SPX_REFERENCE_CHARS - n, " %d", forms[k]);
        }
    }
    return true;
}

static spx_status find_family(reading *r, const char *name, size_t n)
{
    char all[256] = "";
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (strlen(families[i].name) == n && memcmp(families[i].name, name, n) == 0) {
            r->f = &families[i];
            return SPX_OK;
        }
        append(all, sizeof all, families[i].name);
    }
    return SPX_FAIL(SPX_EINVAL, "network '%.*s': unknown; there are %s", n < 64 ? (int)n : 64, name,
                    all);
}

static spx_status find_key(const reading *r, const char *name, size_t n, spx_ref_key *out)
{
    char all[256] = "form";
    if (n == 4 && memcmp(name, "form", n) == 0) {
        *out = SPX_REF_FORM;
        return SPX_OK;
    }
    for (const spx_ref_default *d = r->f->key; d->text != NULL; d++) {
        const char *known = keys[d->key].name;
        if (strlen(known) == n && memcmp(known, name, n) == 0) {
            *out = d->key;
            return SPX_OK;
        }
        append(all, sizeof all, known);
    }
    return SPX_FAIL(SPX_EINVAL, "network %s: no key '%.*s'; it has %s", r->f->name,
                    n < 64 ? (int)n : 64, name, all);
}

/* "resnet18,width=4" into family and texts of values. */
static spx_status split(reading *r, const char *text)
{
    size_t n = strcspn(text, ",");
    SPX_RETURN_IF(find_family(r, text, n));
    while (text[n] == ',') {
        text += n + 1;
        n = strcspn(text, ",");
        const char *equals = memchr(text, '=', n);
        const size_t name = equals != NULL ? (size_t)(equals - text) : n, rest = n - name;
        spx_ref_key k;
        SPX_RETURN_IF(find_key(r, text, name, &k));
        if (rest < 2 || rest > SPX_REF_TEXT) {
            return SPX_FAIL(SPX_EINVAL,
                            "network %s: %s: expected %s=VALUE of at most %d characters",
                            r->f->name, keys[k].name, keys[k].name, SPX_REF_TEXT - 1);
        }
        if (r->given[k]) {
            return SPX_FAIL(SPX_EINVAL, "network %s: %s is given twice", r->f->name, keys[k].name);
        }
        r->given[k] = true;
        memcpy(r->v[k].text, equals + 1, rest - 1);
        r->v[k].text[rest - 1] = '\0';
    }
    return SPX_OK;
}

static bool is_choice(const char *possible, const char *text)
{
    const size_t n = strlen(text);
    while (*possible != '\0') {
        const size_t m = strcspn(possible, "|");
        if (m == n && memcmp(possible, text, n) == 0) {
            return true;
        }
        possible += m + (possible[m] == '|');
    }
    return false;
}

/* A number at `text`, written as nothing but digits and at most one point. */
static bool take_number(const char *text, char **end, const struct key_rule *rule, double *out)
{
    *out = *text >= '0' && *text <= '9' ? strtod(text, end) : -1;
    if (!(*out >= rule->least && *out <= rule->most) ||
        strspn(text, "0123456789.") < (size_t)(*end - text)) {
        return false;
    }
    return rule->kind == REAL || floor(*out) == *out;
}

static bool take_list(spx_ref_value *v, const struct key_rule *rule)
{
    char *at = v->text;
    double number;
    v->n = 0;
    if (rule->items == 0 && strcmp(at, "none") == 0) {
        return true;
    }
    for (;;) {
        if (v->n == SPX_REF_STAGES || !take_number(at, &at, rule, &number) ||
            (rule->items == 0 && v->n > 0 && (int)number <= v->list[v->n - 1])) {
            return false;
        }
        v->list[v->n++] = (int)number;
        if (*at != '+') {
            return *at == '\0' && (rule->items == 0 || v->n == rule->items);
        }
        at++;
    }
}

/* Checks a value and reads what its text says. */
static spx_status take(const spx_ref_family *f, spx_ref_key k, spx_ref_value *v)
{
    const struct key_rule *rule = &keys[k];
    char *end = v->text;
    bool good = true;
    switch (rule->kind) {
    case CHOICE:
        good = is_choice(rule->possible, v->text);
        v->number = strtod(v->text, NULL);
        break;
    case WHOLE:
    case REAL:
        good = take_number(v->text, &end, rule, &v->number) && *end == '\0';
        if (good) {
            (void)spx_real_text(v->number, v->text);
        }
        break;
    case LIST:
        good = take_list(v, rule);
        break;
    default:
        break;
    }
    return good ? SPX_OK
                : SPX_FAIL(SPX_EINVAL, "network %s: %s=%s: expected %s", f->name, rule->name,
                           v->text, rule->possible);
}

static bool fits(const spx_ref_family *f, int form, const spx_input_shape *in)
{
    return in->rows >= f->side[form].least && in->rows <= f->side[form].most &&
           in->columns >= f->side[form].least && in->columns <= f->side[form].most;
}

/* Appends forms and what sides they take; *side receives that of the form whose own is nearest. */
static void list_forms(const spx_ref_family *f, int64_t rows, char *all, size_t room, int *side)
{
    char part[64];
    *side = 0;
    for (int i = 0; i < 3; i++) {
        if (f->side[i].most == 0) {
            continue;
        }
        (void)snprintf(part, sizeof part, "form=%d of %lld to %lld", forms[i],
                       (long long)f->side[i].least, (long long)f->side[i].most);
        append(all, room, part);
        if (*side == 0 || llabs(rows - forms[i]) < llabs(rows - *side)) {
            *side = forms[i];
        }
    }
}

/* Sets the form where none is given; one that is must be the network's and, with an input, fit. */
static spx_status choose_form(reading *r, const spx_input_shape *in)
{
    spx_ref_value *v = &r->v[SPX_REF_FORM];
    char all[160] = "", given[SPX_REF_TEXT + 8] = "";
    int side;
    SPX_RETURN_IF(r->given[SPX_REF_FORM] ? take(r->f, SPX_REF_FORM, v) : SPX_OK);
    for (int i = 0; i < 3; i++) {
        const bool meant = !r->given[SPX_REF_FORM] || (int)v->number == forms[i];
        if (r->f->side[i].most > 0 && meant && (in == NULL || fits(r->f, i, in))) {
            v->number = forms[i];
            (void)snprintf(v->text, sizeof v->text, "%d", forms[i]);
            return SPX_OK;
        }
    }
    if (r->given[SPX_REF_FORM]) {
        (void)snprintf(given, sizeof given, ",form=%s", v->text);
    }
    list_forms(r->f, in != NULL ? in->rows : 0, all, sizeof all, &side);
    return in == NULL ? SPX_FAIL(SPX_EINVAL, "network %s%s: takes rows and columns: %s", r->f->name,
                                 given, all)
                      : SPX_FAIL(SPX_EINVAL,
                                 "network %s%s: does not take inputs of %lldx%lld; rows and "
                                 "columns: %s (such as --input %lldx%dx%d)",
                                 r->f->name, given, (long long)in->rows, (long long)in->columns,
                                 all, (long long)in->channels, side, side);
}

/* Defaults for what is not given; checks all. */
static spx_status complete(reading *r, bool may_read)
{
    const bool large = (int)r->v[SPX_REF_FORM].number == 224;
    for (const spx_ref_default *d = r->f->key; d->text != NULL; d++) {
        spx_ref_value *v = &r->v[d->key];
        const char *text = large && d->large != NULL ? d->large : d->text;
        if (*text == '\0' && r->given[d->key]) {
            return SPX_FAIL(SPX_EINVAL, "network %s: %s means nothing with form=%s", r->f->name,
                            keys[d->key].name, r->v[SPX_REF_FORM].text);
        }
        if (!r->given[d->key]) {
            (void)snprintf(v->text, sizeof v->text, "%s", text);
        }
        SPX_RETURN_IF(*text != '\0' ? take(r->f, d->key, v) : SPX_OK);
    }
    if (r->v[SPX_REF_KERNELS].text[0] == '\0') {
        return SPX_OK;
    }
    const int n = spx_ref_layers(r->f, r->v);
    spx_status st = spx_ref_kernels(n, &r->v[SPX_REF_KERNELS]);
    st = st == SPX_OK ? spx_ref_skips(n, may_read, &r->v[SPX_REF_SKIPS], &r->v[SPX_REF_KERNELS])
                      : st;
    return spx_fail_context(st, "network %s", r->f->name);
}

static spx_status read(reading *r, const char *text, const spx_input_shape *in)
{
    memset(r, 0, sizeof *r);
    SPX_RETURN_IF(split(r, text));
    SPX_RETURN_IF(choose_form(r, in));
    return complete(r, in != NULL);
}

static void append_value(char *out, const reading *r, spx_ref_key k)
{
    const size_t used = strlen(out);
    (void)snprintf(out + used, SPX_REFERENCE_CHARS - used, ",%s=%s", keys[k].name, r->v[k].text);
}

spx_status spx_reference_parse(char out[SPX_REFERENCE_CHARS], const char *text,
                               const spx_input_shape *input)
{
    reading r;
    SPX_RETURN_IF(read(&r, text, input));
    (void)snprintf(out, SPX_REFERENCE_CHARS, "%s", r.f->name);
    append_value(out, &r, SPX_REF_FORM);
    for (const spx_ref_default *d = r.f->key; d->text != NULL; d++) {
        if (r.v[d->key].text[0] != '\0') {
            append_value(out, &r, d->key);
        }
    }
    return SPX_OK;
}

/* ---- building ---- */

spx_status spx_build_reference(spx_network *out, const char *canonical, const spx_final_config *c)
{
    reading r;
    memset(out, 0, sizeof *out);
    SPX_RETURN_IF(read(&r, canonical, NULL));
    SPX_RETURN_IF(spx_check_sizes(c->batch, &c->input, c->classes, 1, 1, 0));
    if (c->auxiliary) {
        return SPX_FAIL(SPX_EINVAL, "network %s: it has no auxiliary head", r.f->name);
    }
    SPX_RETURN_IF(spx_network_begin_final(out, c));
    spx_ref_net net = {.n = out, .g = out->graph, .c = c, .f = r.f, .v = r.v};
    spx_g_section(net.g, -1, false);
    spx_g_scope(net.g, "%s", "");
    r.f->build(&net);
    return spx_network_end(out);
}

/* ---- parts ---- */

static spx_tid conv(const spx_ref_net *r, spx_tid x, const char *name, int64_t filters,
                    int64_t size, int64_t stride, bool bias)
{
    const spx_conv_options o = {.filters = filters,
                                .size = size,
                                .stride = stride,
                                .dilation = 1,
                                .pad_begin = (size - 1) / 2,
                                .pad_end = (size - 1) / 2,
                                .bias = bias};
    return spx_g_conv2d(r->g, x, name, &o);
}

spx_tid spx_ref_conv(const spx_ref_net *r, spx_tid x, const char *name, int64_t filters,
                     int64_t size, int64_t stride)
{
    return conv(r, x, name, filters, size, stride, false);
}

spx_tid spx_ref_conv_bias(const spx_ref_net *r, spx_tid x, const char *name, int64_t filters,
                          int64_t size, int64_t stride)
{
    return conv(r, x, name, filters, size, stride, true);
}

spx_tid spx_ref_conv_bn(const spx_ref_net *r, spx_tid x, const char *name, const char *bn,
                        int64_t filters, int64_t size, int64_t stride)
{
    return spx_g_batch_norm(r->g, spx_ref_conv(r, x, name, filters, size, stride), bn, true);
}

spx_tid spx_ref_add(const spx_ref_net *r, spx_tid x, spx_tid y, const char *name)
{
    const spx_sum_term term[2] = {{.x = x, .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR},
                                  {.x = y, .coef = SPX_NO_TENSOR, .mask = SPX_NO_TENSOR}};
    return spx_g_sum(r->g, 2, term, name);
}

spx_tid spx_ref_pool(const spx_ref_net *r, spx_tid x, int64_t size, int64_t stride, int64_t pad,
                     const char *name)
{
    const spx_max_pool_options o = {{size, size}, {stride, stride}, {pad, pad}, false};
    return r->v[SPX_REF_POOL].text[0] == 'a' ? spx_g_avg_pool(r->g, x, size, stride, pad, name)
                                             : spx_g_max_pool(r->g, x, &o, name);
}

int64_t spx_ref_channels(const spx_ref_net *r, spx_tid x)
{
    return x != SPX_NO_TENSOR ? r->g->tensor[x].dim[1] : 0;
}

void spx_ref_stage(spx_ref_net *r)
{
    spx_g_section(r->g, r->n->n_stages, false);
}

void spx_ref_stage_end(spx_ref_net *r, spx_tid x)
{
    assert(r->n->n_stages < SPX_MAX_STAGES);
    r->n->stage[r->n->n_stages++] = x;
}

void spx_ref_classify(spx_ref_net *r, spx_tid x, const char *name)
{
    spx_g_section(r->g, -1, false);
    spx_g_scope(r->g, "%s", "");
    x = spx_g_global_avg_pool(r->g, x, "avgpool");
    r->n->logits = name != NULL ? spx_g_linear(r->g, x, name, r->c->classes)
                                : spx_g_flatten(r->g, x, "logits");
    r->n->loss = spx_g_cross_entropy(r->g, r->n->logits, r->n->label,
                                     r->c->training ? r->c->label_smoothing : 0.0f, "loss");
}
