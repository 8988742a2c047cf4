#define _DEFAULT_SOURCE /* strdup */
#include "host/graph/tuning_private.h"

#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"
#include "kernels/base/rng.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_NUMBERS SPX_TUNING_KEY
#define CUDA_WORDS 24 /* of a key: "cuda", 8 of device and pass, 15 numbers */
#define LINE_BYTES 1024
#define TIMED_RUNS 3
/* Winograd's rounding averages out over channels: with fewer than these it reached 3e-5 in a
 * gradient, against 1e-5 asked of the engine, for little or no gain in time. */
#define WINOGRAD_LEAST 4

spx_status spx_tuning_create(spx_tuning **out)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "tuning table");
}

void spx_tuning_destroy(spx_tuning *t)
{
    if (t == NULL) {
        return;
    }
    for (int i = 0; i < t->n_cuda; i++) {
        free(t->cuda[i].key);
        free(t->cuda[i].choice);
    }
#ifdef SPX_HAVE_CUDA
    spx_tuning_release_plans(t);
#endif
    free(t->cuda);
    free(t->cpu);
    free(t);
}

int spx_tuning_measured(const spx_tuning *t)
{
    return t->measured;
}

static spx_tuning_cpu *find(const spx_tuning *t, const int64_t key[KEY_NUMBERS])
{
    for (int i = 0; i < t->n_cpu; i++) {
        if (memcmp(t->cpu[i].key, key, sizeof t->cpu[i].key) == 0) {
            return &t->cpu[i];
        }
    }
    return NULL;
}

static spx_status put(spx_tuning *t, const int64_t key[KEY_NUMBERS], spx_conv2d_algo algo)
{
    spx_tuning_cpu *c = find(t, key);
    if (c == NULL) {
        SPX_RETURN_IF(SPX_GROW(t->cpu, (size_t)t->n_cpu, t->room_cpu));
        c = &t->cpu[t->n_cpu++];
        memcpy(c->key, key, sizeof c->key);
    }
    c->algo = algo;
    return SPX_OK;
}

static spx_tuning_cuda *find_cuda(const spx_tuning *t, const char *key)
{
    for (int i = 0; i < t->n_cuda; i++) {
        if (strcmp(t->cuda[i].key, key) == 0) {
            return &t->cuda[i];
        }
    }
    return NULL;
}

const char *spx_tuning_cuda_find(const spx_tuning *t, const char *key)
{
    const spx_tuning_cuda *c = find_cuda(t, key);
    return c != NULL ? c->choice : NULL;
}

spx_status spx_tuning_cuda_put(spx_tuning *t, const char *key, const char *choice)
{
    spx_tuning_cuda *c = find_cuda(t, key);
    char *copy = strdup(choice), *key_copy = c == NULL ? strdup(key) : NULL;
    if (copy == NULL || (c == NULL && key_copy == NULL)) {
        free(copy);
        free(key_copy);
        return SPX_FAIL(SPX_ENOMEM, "tuning table");
    }
    if (c == NULL) {
        const spx_status st = SPX_GROW(t->cuda, (size_t)t->n_cuda, t->room_cuda);
        if (st != SPX_OK) {
            free(copy);
            free(key_copy);
            return st;
        }
        c = &t->cuda[t->n_cuda++];
        *c = (spx_tuning_cuda){.key = key_copy};
    }
    free(c->choice);
    c->choice = copy;
    return SPX_OK;
}

/* "cuda ...", words of printable characters with one space between; cuts the choice off. */
static bool parse_cuda(char *line, const char **choice)
{
    int words = 1;
    char *last = line;
    for (char *c = line; *c != '\0'; c++) {
        if (*c == ' ') {
            last = c;
            words++;
        }
        if (*c < ' ' || *c > '~' || (*c == ' ' && (c[1] == ' ' || c[1] == '\0'))) {
            return false;
        }
    }
    *last = '\0';
    *choice = last + 1;
    return words == CUDA_WORDS + 1;
}

/* One line without its newline; false if it is not of the form. */
static bool parse_line(const char *line, int64_t key[KEY_NUMBERS], spx_conv2d_algo *algo)
{
    const char *at = line;
    for (int i = 0; i < KEY_NUMBERS; i++) {
        char *end;
        key[i] = strtoll(at, &end, 10);
        if (end == at || *end != ' ') {
            return false;
        }
        at = end + 1;
    }
    for (int a = 0; a < SPX_CONV2D_ALGO_COUNT; a++) {
        if (strcmp(at, spx_conv2d_algo_name((spx_conv2d_algo)a)) == 0) {
            *algo = (spx_conv2d_algo)a;
            return key[0] >= 0 && key[0] < SPX_CONV2D_PASS_COUNT;
        }
    }
    return false;
}

spx_status spx_tuning_parse(spx_tuning *t, const char *text, size_t len)
{
    size_t at = 0;
    for (int number = 1; at < len; number++) {
        const char *nl = memchr(text + at, '\n', len - at);
        const size_t n = nl != NULL ? (size_t)(nl - (text + at)) : len - at;
        char line[LINE_BYTES];
        int64_t key[KEY_NUMBERS];
        spx_conv2d_algo algo;
        if (n >= sizeof line) {
            return SPX_FAIL(SPX_EFORMAT, "tuning table, line %d: too long", number);
        }
        memcpy(line, text + at, n);
        line[n] = '\0';
        at += n + 1;
        if (n == 0) {
            continue;
        }
        if (strncmp(line, "cuda ", 5) == 0) {
            const char *choice;
            if (memchr(line, '\0', n) != NULL || !parse_cuda(line, &choice)) {
                return SPX_FAIL(SPX_EFORMAT,
                                "tuning table, line %d: expected %d words and a choice", number,
                                CUDA_WORDS);
            }
            SPX_RETURN_IF(spx_tuning_cuda_put(t, line, choice));
            continue;
        }
        if (!parse_line(line, key, &algo)) {
            return SPX_FAIL(SPX_EFORMAT,
                            "tuning table, line %d: expected %d numbers and an algorithm", number,
                            KEY_NUMBERS);
        }
        SPX_RETURN_IF(put(t, key, algo));
    }
    return SPX_OK;
}

char *spx_tuning_text(const spx_tuning *t)
{
    size_t size = (size_t)t->n_cpu * (KEY_NUMBERS + 1) * 24 + 1, at = 0;
    char *text;
    for (int i = 0; i < t->n_cuda; i++) {
        size += strlen(t->cuda[i].key) + strlen(t->cuda[i].choice) + 2;
    }
    text = malloc(size);
    if (text == NULL) {
        return NULL;
    }
    text[0] = '\0';
    for (int i = 0; i < t->n_cpu; i++) {
        for (int k = 0; k < KEY_NUMBERS; k++) {
            at += (size_t)snprintf(text + at, size - at, "%lld ", (long long)t->cpu[i].key[k]);
        }
        at += (size_t)snprintf(text + at, size - at, "%s\n", spx_conv2d_algo_name(t->cpu[i].algo));
    }
    for (int i = 0; i < t->n_cuda; i++) {
        at += (size_t)snprintf(text + at, size - at, "%s %s\n", t->cuda[i].key, t->cuda[i].choice);
    }
    return text;
}

typedef struct operands {
    float *x, *w, *y;
    void *scratch;
} operands;

static spx_status run_once(spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass,
                           spx_conv2d_algo algo, const operands *o)
{
    const int64_t xs = d->c * d->h * d->w, ys = d->k * d->p * d->q;
    const spx_conv2d_input in = {.x = o->x, .stride_n = xs};
    switch (pass) {
    case SPX_CONV2D_FORWARD:
        return spx_conv2d_forward(s, d, algo, &in, o->w, NULL, o->y, ys, o->scratch);
    case SPX_CONV2D_BACKWARD_DATA:
        return spx_conv2d_backward_data(s, d, algo, o->y, ys, o->w, false, o->x, xs, o->scratch);
    default:
        return spx_conv2d_backward_weights(s, d, algo, &in, o->y, ys, false, o->w, NULL,
                                           o->scratch);
    }
}

/*
 * oneDNN is asked on one thread only: with more, its OpenMP workers keep spinning after a call on
 * the processors of the next op's workers. Measured alone it may win; a whole step loses, and on a
 * busy machine by a factor.
 */
static bool candidate(const spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass,
                      spx_conv2d_algo algo)
{
    if (algo == SPX_CONV2D_WINOGRAD && (d->c < WINOGRAD_LEAST || d->k < WINOGRAD_LEAST)) {
        return false;
    }
    return algo != SPX_CONV2D_REFERENCE &&
           (algo != SPX_CONV2D_ONEDNN || spx_stream_threads(s) == 1) &&
           spx_conv2d_supports(s, d, pass, algo);
}

static spx_status measure(spx_stream *s, const spx_conv2d_shape *d, spx_conv2d_pass pass,
                          const operands *o, spx_conv2d_algo *out)
{
    double best = 0;
    *out = spx_conv2d_default_algo(s, d, pass);
    for (int a = 0; a < SPX_CONV2D_ALGO_COUNT; a++) {
        const spx_conv2d_algo algo = (spx_conv2d_algo)a;
        double least = 0;
        if (!candidate(s, d, pass, algo)) {
            continue;
        }
        for (int r = 0; r <= TIMED_RUNS; r++) { /* the first run warms up */
            const double start = spx_seconds();
            SPX_RETURN_IF(run_once(s, d, pass, algo, o));
            const double took = spx_seconds() - start;
            if (r == 1 || (r > 1 && took < least)) {
                least = took;
            }
        }
        if (best == 0 || least < best) {
            best = least;
            *out = algo;
        }
    }
    return SPX_OK;
}

static void fill_random(float *x, int64_t n, uint64_t key)
{
    spx_rng r;
    spx_rng_init(&r, 1, SPX_RNG_BENCH, key);
    for (int64_t i = 0; i < n; i++) {
        x[i] = spx_rng_uniform(&r) - 0.5f;
    }
}

static spx_status measure_on_random_data(spx_stream *s, const spx_conv2d_shape *d,
                                         spx_conv2d_pass pass, spx_conv2d_algo *out)
{
    const int64_t nx = d->n * d->c * d->h * d->w, nw = d->k * d->c * d->r * d->s,
                  ny = d->n * d->k * d->p * d->q;
    operands o = {0};
    size_t bytes = 0;
    spx_status st;
    for (int a = 0; a < SPX_CONV2D_ALGO_COUNT; a++) {
        if (spx_conv2d_supports(s, d, pass, (spx_conv2d_algo)a)) {
            const size_t b = spx_conv2d_workspace(s, d, pass, (spx_conv2d_algo)a);
            bytes = b > bytes ? b : bytes;
        }
    }
    SPX_TRY(st, spx_alloc((void **)&o.x, sizeof(float) * (size_t)nx), done);
    SPX_TRY(st, spx_alloc((void **)&o.w, sizeof(float) * (size_t)nw), done);
    SPX_TRY(st, spx_alloc((void **)&o.y, sizeof(float) * (size_t)ny), done);
    SPX_TRY(st, spx_alloc(&o.scratch, bytes), done);
    fill_random(o.x, nx, 1);
    fill_random(o.w, nw, 2);
    fill_random(o.y, ny, 3);
    st = measure(s, d, pass, &o, out);
done:
    spx_free(o.x);
    spx_free(o.w);
    spx_free(o.y);
    spx_free(o.scratch);
#if defined(__GLIBC__)
    (void)malloc_trim(0); /* the operands were large: give them back before the workspace is made */
#endif
    return st;
}

spx_status spx_tuning_choose(spx_tuning *t, spx_stream *s, const spx_conv2d_shape *d,
                             spx_conv2d_pass pass, spx_conv2d_algo *out)
{
    const int64_t key[KEY_NUMBERS] = {
        (int64_t)pass, spx_stream_threads(s), d->n,         d->c,      d->h, d->w, d->k, d->r, d->s,
        d->stride,     d->dilation,           d->pad_begin, d->pad_end};
    const spx_tuning_cpu *c = find(t, key);
    if (c != NULL) {
        *out = spx_conv2d_supports(s, d, pass, c->algo) ? c->algo
                                                        : spx_conv2d_default_algo(s, d, pass);
        return SPX_OK;
    }
    SPX_RETURN_IF(measure_on_random_data(s, d, pass, out));
    t->measured++;
    SPX_LOG(GRAPH, DEBUG, "conv2d %lldx%lld, %lld to %lld channels, pass %d: algorithm %d",
            (long long)d->h, (long long)d->w, (long long)d->c, (long long)d->k, (int)pass,
            (int)*out);
    return put(t, key, *out);
}
