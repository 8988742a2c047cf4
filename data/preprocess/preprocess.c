#include "data/preprocess/preprocess.h"

#include "data/augment/augment.h"
#include "kernels/base/alloc.h"

#include <stdio.h>
#include <string.h>

void spx_preprocess_clear(spx_preprocess *p)
{
    spx_free(p->name);
    memset(p, 0, sizeof *p);
}

const char *spx_preprocess_class(const spx_preprocess *p, int64_t i)
{
    return p->name != NULL && i >= 0 && i < p->classes ? p->name[i] : "";
}

/* ---- writing ---- */

static json_t *pair(int a, int b)
{
    return a > 0 ? json_pack("[i,i]", a, b) : json_null();
}

static json_t *text(const char *t)
{
    return t[0] != '\0' ? json_string(t) : json_null();
}

static json_t *reals(const spx_preprocess *p, const double *x)
{
    json_t *a = p->normalised ? json_array() : json_null();
    for (int c = 0; p->normalised && c < p->channels; c++) {
        (void)json_array_append_new(a, json_real(x[c]));
    }
    return a;
}

json_t *spx_preprocess_json(const spx_preprocess *p)
{
    json_t *names = p->name != NULL ? json_array() : json_null();
    for (int k = 0; p->name != NULL && k < p->classes; k++) {
        (void)json_array_append_new(names, json_string(p->name[k]));
    }
    json_t *all =
        json_pack("{s:i, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o}", "channels", p->channels, "size",
                  pair(p->height, p->width), "input", pair(p->rows, p->columns), "mean",
                  reals(p, p->mean), "std", reals(p, p->std), "classes", p->classes, "names", names,
                  "dataset", text(p->dataset), "data_hash", text(p->data_hash));
    if (spx_preprocess_any_size(p) &&
        json_object_set_new(all, "centre", pair(p->centre_crop, p->centre_resize)) != 0) {
        json_decref(all);
        return NULL;
    }
    return all;
}

/* ---- reading ---- */

#define BAD(...) SPX_FAIL(SPX_EFORMAT, "preprocessing: " __VA_ARGS__)

/* Names are printed, also those that a peer sends: no escape sequence may hide in one. */
static bool is_plain(const char *t)
{
    for (const unsigned char *c = (const unsigned char *)t; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)) {
            return false; /* C0, DEL, C1 as UTF-8 */
        }
    }
    return true;
}

static spx_status parse_pair(const json_t *j, const char *field, int *a, int *b)
{
    json_int_t x = 0, y = 0;
    if (j == NULL || json_is_null(j)) {
        return SPX_OK;
    }
    if (json_unpack((json_t *)(uintptr_t)j, "[I,I!]", &x, &y) != 0 || x < 1 || y < 1 ||
        x > INT16_MAX || y > INT16_MAX) {
        return BAD("%s: two sides expected", field);
    }
    *a = (int)x;
    *b = (int)y;
    return SPX_OK;
}

static spx_status parse_reals(const json_t *j, const char *field, spx_preprocess *p, double *out)
{
    if (json_array_size(j) != (size_t)p->channels) {
        return BAD("%s: %d numbers expected", field, p->channels);
    }
    for (int c = 0; c < p->channels; c++) {
        const json_t *x = json_array_get(j, (size_t)c);
        out[c] = json_number_value(x);
        if (!json_is_number(x)) {
            return BAD("%s: numbers expected", field);
        }
    }
    return SPX_OK;
}

static spx_status parse_moments(const json_t *mean, const json_t *std, spx_preprocess *p)
{
    if ((mean == NULL || json_is_null(mean)) && (std == NULL || json_is_null(std))) {
        return SPX_OK;
    }
    SPX_RETURN_IF(parse_reals(mean, "mean", p, p->mean));
    SPX_RETURN_IF(parse_reals(std, "std", p, p->std));
    p->normalised = true;
    return spx_normalise_check(p->channels, p->mean, p->std) == SPX_OK
               ? SPX_OK
               : spx_fail_context(SPX_EFORMAT, "preprocessing");
}

/* One block: the pointers, then the texts. */
static spx_status parse_names(const json_t *j, spx_preprocess *p)
{
    size_t bytes = (size_t)p->classes * sizeof *p->name, i;
    const json_t *name;
    void *memory = NULL;
    char *at;
    if (j == NULL || json_is_null(j)) {
        return SPX_OK;
    }
    if (json_array_size(j) != (size_t)p->classes) {
        return BAD("%zu names of %d classes", json_array_size(j), p->classes);
    }
    json_array_foreach(j, i, name)
    {
        if (!json_is_string(name) || strlen(json_string_value(name)) != json_string_length(name) ||
            !is_plain(json_string_value(name))) {
            return BAD("name of class %zu: a text without control characters expected", i);
        }
        bytes += json_string_length(name) + 1;
    }
    SPX_RETURN_IF(spx_calloc(&memory, bytes, 1));
    p->name = memory;
    at = (char *)(p->name + p->classes);
    json_array_foreach(j, i, name)
    {
        p->name[i] = at;
        memcpy(at, json_string_value(name), json_string_length(name));
        at += json_string_length(name) + 1;
    }
    return SPX_OK;
}

static spx_status parse_text(const json_t *j, const char *field, char *out, size_t room)
{
    const char *t = json_string_value(j);
    if (j == NULL || json_is_null(j)) {
        return SPX_OK;
    }
    if (t == NULL || !is_plain(t) || strlen(t) >= room) {
        return BAD("%s: a text of at most %zu bytes expected", field, room - 1);
    }
    (void)snprintf(out, room, "%s", t);
    return SPX_OK;
}

static spx_status check_sides(const spx_preprocess *p)
{
    if (spx_preprocess_any_size(p)) {
        return p->centre_crop <= p->centre_resize && p->rows > 0
                   ? SPX_OK
                   : BAD("centre: %d of %d pixels for an input of %d rows", p->centre_crop,
                         p->centre_resize, p->rows);
    }
    return p->rows > 0 && (p->height > p->rows || p->width > p->columns)
               ? BAD("images of %dx%d for an input of %dx%d", p->height, p->width, p->rows,
                     p->columns)
               : SPX_OK;
}

static spx_status parse(spx_preprocess *p, const json_t *j)
{
    const json_int_t channels = json_integer_value(json_object_get(j, "channels"));
    const json_int_t classes = json_integer_value(json_object_get(j, "classes"));
    if (channels < 1 || channels > SPX_PACK_MAX_CHANNELS || classes < 1 || classes > INT32_MAX) {
        return BAD("%lld channels, %lld classes", (long long)channels, (long long)classes);
    }
    p->channels = (int)channels;
    p->classes = (int)classes;
    SPX_RETURN_IF(parse_pair(json_object_get(j, "size"), "size", &p->height, &p->width));
    SPX_RETURN_IF(parse_pair(json_object_get(j, "input"), "input", &p->rows, &p->columns));
    SPX_RETURN_IF(
        parse_pair(json_object_get(j, "centre"), "centre", &p->centre_crop, &p->centre_resize));
    SPX_RETURN_IF(check_sides(p));
    SPX_RETURN_IF(parse_moments(json_object_get(j, "mean"), json_object_get(j, "std"), p));
    SPX_RETURN_IF(
        parse_text(json_object_get(j, "dataset"), "dataset", p->dataset, sizeof p->dataset));
    SPX_RETURN_IF(parse_text(json_object_get(j, "data_hash"), "data_hash", p->data_hash,
                             sizeof p->data_hash));
    return parse_names(json_object_get(j, "names"), p);
}

/* Parses and releases j; out is cleared on failure. */
static spx_status take(spx_preprocess *out, json_t *j)
{
    spx_status st;
    memset(out, 0, sizeof *out);
    st = j != NULL ? parse(out, j) : SPX_FAIL(SPX_ENOMEM, "preprocessing");
    json_decref(j);
    if (st != SPX_OK) {
        spx_preprocess_clear(out);
    }
    return st;
}

/* The names of a pack are one a line; bytes that are no UTF-8 make an element NULL. */
static json_t *pack_names(const spx_pack *pack)
{
    json_t *names = json_array();
    for (int k = 0; k < pack->classes; k++) {
        size_t n = 0;
        const char *name = spx_pack_class(pack, k, &n);
        json_t *j = json_stringn(name, n);
        (void)json_array_append_new(names, j != NULL ? j : json_null());
    }
    return names;
}

spx_status spx_preprocess_of_pack(spx_preprocess *out, const spx_pack *pack)
{
    spx_preprocess plain = {.channels = pack->channels,
                            .height = pack->height,
                            .width = pack->width,
                            .normalised = true,
                            .classes = pack->classes};
    json_t *j;
    memcpy(plain.mean, pack->mean, sizeof plain.mean);
    memcpy(plain.std, pack->std, sizeof plain.std);
    (void)snprintf(plain.dataset, sizeof plain.dataset, "%s", pack->dataset);
    (void)snprintf(plain.data_hash, sizeof plain.data_hash, "%s", pack->hash);
    j = spx_preprocess_json(&plain);
    if (j != NULL && json_object_set_new(j, "names", pack_names(pack)) != 0) {
        json_decref(j);
        j = NULL;
    }
    return spx_fail_context(take(out, j), "pack");
}

/* Of 0.1.0: the stored size is known by the data set's name alone, if it is a published one. */
static json_t *of_old_meta(const json_t *meta)
{
    json_t *network = json_object_get(meta, "network"), *j = json_object();
    const json_t *input = json_object_get(network, "input");
    json_t *names = json_object_get(meta, "classes");
    const char *dataset = json_string_value(json_object_get(meta, "dataset"));
    const int side = dataset != NULL ? spx_pack_published_side(dataset) : 0;
    if (side > 0 && side <= json_integer_value(json_array_get(input, 1)) &&
        side <= json_integer_value(json_array_get(input, 2))) {
        (void)json_object_set_new(j, "size", pair(side, side));
    }
    (void)json_object_set(j, "channels", json_array_get(input, 0));
    (void)json_object_set_new(
        j, "input", json_pack("[O,O]", json_array_get(input, 1), json_array_get(input, 2)));
    (void)json_object_set(j, "mean", json_object_get(network, "mean"));
    (void)json_object_set(j, "std", json_object_get(network, "std"));
    (void)json_object_set(j, "classes", json_object_get(network, "classes"));
    if (json_array_size(names) == (size_t)json_integer_value(json_object_get(network, "classes"))) {
        (void)json_object_set(j, "names", names);
    }
    (void)json_object_set(j, "dataset", json_object_get(meta, "dataset"));
    return j;
}

spx_status spx_preprocess_of_meta(spx_preprocess *out, const json_t *meta)
{
    json_t *j = json_object_get(meta, "preprocessing");
    return take(out, j != NULL ? json_incref(j) : of_old_meta(meta));
}

/* What a deployed model's own shapes say. */
static json_t *of_shapes(const spx_deploy *m)
{
    const spx_deploy_value *in = &m->value[0];
    return json_pack("{s:I, s:[I,I], s:I}", "channels", (json_int_t)in->c, "input",
                     (json_int_t)in->h, (json_int_t)in->w, "classes",
                     (json_int_t)m->value[m->logits].c);
}

spx_status spx_preprocess_of_deployed(spx_preprocess *out, const spx_deploy *m)
{
    const spx_deploy_value *in = &m->value[0];
    json_t *about, *j = NULL;
    if (m->preprocessing[0] != '\0') {
        j = json_loads(m->preprocessing, JSON_REJECT_DUPLICATES, NULL);
        SPX_RETURN_IF(take(out, j != NULL ? j : json_object()));
    } else {
        about = json_loads(m->about, 0, NULL);
        j = json_object_get(about, "network") != NULL ? of_old_meta(about) : of_shapes(m);
        json_decref(about);
        SPX_RETURN_IF(take(out, j));
    }
    if (out->channels != in->c || out->rows != in->h || out->columns != in->w ||
        out->classes != m->value[m->logits].c) {
        spx_preprocess_clear(out);
        return BAD("not of this model's shape");
    }
    return SPX_OK;
}
