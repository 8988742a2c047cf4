/*
 * CryptoNAS' networks: a chain of ReLU, convolution, batch norm, whose layers join the outputs of
 * earlier ones by a 1x1 convolution without ReLU. Where the map is halved all states so far are,
 * each by its own factorized reduction, to four times the channels: every layer has as many ReLUs.
 * After zghodsi/CryptoNAS.
 */
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"
#include "search/space/cell.h"
#include "search/space/reference_private.h"

#include <stdio.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 16)

/* Bit j of layer i > 0 is whether it joins state j < i: state 0 is the stem, state i its input. */
static int bit_of(int layer, int state)
{
    return layer * (layer - 1) / 2 + state;
}

static int nibble_of(char c)
{
    const char *digits = "0123456789abcdef", *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* Of text that spx_ref_skips made: none, all, or 'x' and four bits a digit. */
static bool joins(const char *text, int layer, int state)
{
    const int bit = bit_of(layer, state);
    return text[0] == 'x' ? (nibble_of(text[1 + bit / 4]) >> (3 - bit % 4)) & 1 : text[0] == 'a';
}

/* ---- keys ---- */

spx_status spx_ref_kernels(int n, spx_ref_value *v)
{
    const size_t given = strlen(v->text);
    if ((given != 1 && given != (size_t)n) || strspn(v->text, "0123") != given) {
        return SPX_FAIL(SPX_EINVAL,
                        "kernels=%s: expected %d %s of 0 to 3, one a layer, or one for all",
                        v->text, n, SPX_PLURAL(n, "digit", "digits"));
    }
    memset(v->text, v->text[0], given == 1 ? (size_t)n : 0);
    v->text[n] = '\0';
    return SPX_OK;
}

static void write_skips(int n, const bool *bit, char *text)
{
    const int bits = bit_of(n, 0);
    char *at = text;
    int sum = 0;
    for (int i = 0; i < bits; i++) {
        sum += bit[i];
    }
    if (sum == 0 || sum == bits) {
        memcpy(text, sum == 0 ? "none" : "all", sum == 0 ? 5 : 4);
        return;
    }
    *at++ = 'x';
    for (int i = 0; i < bits; i += 4) {
        int nibble = 0;
        for (int k = 0; k < 4; k++) {
            nibble = nibble << 1 | (i + k < bits && bit[i + k]);
        }
        *at++ = "0123456789abcdef"[nibble];
    }
    *at = '\0';
}

/* The digit at *p behind blanks; -1 where the line has no other, -2 for what is none. */
static int next_digit(const char **p, int most)
{
    *p += strspn(*p, " \t");
    if (**p == '\0' || **p == '\n') {
        return -1;
    }
    const int d = **p - '0';
    ++*p;
    return d >= 0 && d <= most && strchr(" \t\n", **p) != NULL ? d : -2;
}

/* A line of layer i: its kernel's digit, then i bits. */
static bool read_line(const char **p, int i, char *kernel, bool *bit)
{
    const int code = next_digit(p, 3);
    bool good = code >= 0;
    *kernel = (char)('0' + code);
    for (int j = 0; j < i && good; j++) {
        const int d = next_digit(p, 1);
        good = d >= 0;
        bit[bit_of(i, j)] = d == 1;
    }
    good = good && next_digit(p, 1) == -1;
    *p += **p == '\n';
    return good;
}

static spx_status read_file(int n, spx_ref_value *skips, spx_ref_value *kernels)
{
    bool bit[SPX_REF_LAYERS_MAX * (SPX_REF_LAYERS_MAX - 1) / 2] = {false};
    char *text;
    size_t size;
    spx_status st = SPX_OK;
    SPX_RETURN_IF(spx_fail_context(spx_text_read(skips->text, MAX_FILE, &text, &size),
                                   "skips: neither none nor all nor x and %zu digits nor a file",
                                   (size_t)(bit_of(n, 0) + 3) / 4));
    const char *p = text;
    for (int i = 0; i < n && st == SPX_OK; i++) {
        if (!read_line(&p, i, &kernels->text[i], bit)) {
            st = SPX_FAIL(SPX_EFORMAT,
                          "%s: line %d: expected a kernel of 0 to 3 and %d %s of 0 or 1, with "
                          "blanks between",
                          skips->text, i + 1, i, SPX_PLURAL(i, "bit", "bits"));
        }
    }
    if (st == SPX_OK && p[strspn(p, " \t\n")] != '\0') {
        st = SPX_FAIL(SPX_EFORMAT, "%s: line %d: the network has %d %s", skips->text, n + 1, n,
                      SPX_PLURAL(n, "layer", "layers"));
    }
    spx_free(text);
    SPX_RETURN_IF(st);
    kernels->text[n] = '\0';
    write_skips(n, bit, skips->text);
    return SPX_OK;
}

spx_status spx_ref_skips(int n, bool may_read, spx_ref_value *skips, spx_ref_value *kernels)
{
    const char *text = skips->text;
    const size_t digits = (size_t)(bit_of(n, 0) + 3) / 4;
    if (strcmp(text, "none") == 0 || strcmp(text, "all") == 0 ||
        (text[0] == 'x' && strlen(text) == 1 + digits &&
         strspn(text + 1, "0123456789abcdef") == digits)) {
        return SPX_OK;
    }
    return may_read ? read_file(n, skips, kernels)
                    : SPX_FAIL(SPX_EINVAL, "skips=%s: neither none nor all nor x and %zu digits",
                               text, digits);
}

/* ---- the network ---- */

static void reduce_all(const spx_ref_net *r, spx_tid *state, int n, int halving)
{
    char prefix[48];
    for (int i = 0; i < n; i++) {
        (void)snprintf(prefix, sizeof prefix, "reduce.%d.%d.", halving, i);
        state[i] = spx_build_factorized_reduce(r->g, state[i], 4 * spx_ref_channels(r, state[i]),
                                               true, prefix);
    }
}

/* Layer i of what came before: state[0..i]. */
static spx_tid layer(const spx_ref_net *r, const spx_tid *state, int i)
{
    const int size = r->v[SPX_REF_KERNELS].text[i] >= '2' ? 5 : 3;
    const int64_t channels = spx_ref_channels(r, state[i]);
    spx_tid part[SPX_REF_LAYERS_MAX];
    int n = 0;
    spx_g_scope(r->g, "layers.%d.", i);
    const spx_tid x = spx_g_relu(r->g, state[i], "relu");
    part[n] = spx_ref_conv_bn(r, x, "conv", "bn", channels, size, 1);
    if (i == 0) {
        return part[0];
    }
    const spx_tid own = part[0];
    for (int j = 0; j < i; j++) {
        if (joins(r->v[SPX_REF_SKIPS].text, i, j)) {
            part[n++] = state[j];
        }
    }
    part[n++] = own;
    const spx_tid all = n > 1 ? spx_g_concat(r->g, n, part, "concat") : own;
    return spx_ref_conv_bn(r, all, "skip.conv", "skip.bn", channels, 1, 1);
}

void spx_ref_cnet(spx_ref_net *r)
{
    const int n = spx_ref_layers(r->f, r->v);
    spx_tid state[SPX_REF_LAYERS_MAX + 1];
    state[0] = spx_ref_conv_bn(r, r->n->image, "stem.conv", "stem.bn",
                               spx_ref_int(r, SPX_REF_WIDTH), 3, 1);
    spx_ref_stage(r);
    for (int i = 0; i < n; i++) {
        state[i + 1] = layer(r, state, i);
        if (i == n / 3 - 1 || i == 2 * n / 3 - 1) {
            spx_ref_stage_end(r, state[i + 1]);
            spx_ref_stage(r);
            spx_g_scope(r->g, "%s", "");
            reduce_all(r, state, i + 2, r->n->n_stages - 1);
        }
    }
    spx_ref_stage_end(r, state[n]);
    spx_ref_classify(r, state[n], "fc");
}
