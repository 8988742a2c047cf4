/* Identity paths: which convolutions only copy channels, and clips by which a copy is a shift. */
#include "host/model/quantise_private.h"
#include "kernels/base/alloc.h"

#include <math.h>
#include <string.h>

/* The column of row k's only weight, where that is 1; -1 of zeros; -2 of anything else. */
static int64_t copied_column(const double *row, int64_t n)
{
    int64_t found = -1;
    for (int64_t i = 0; i < n; i++) {
        if (row[i] != 0) {
            if (found >= 0 || row[i] != 1) {
                return -2;
            }
            found = i;
        }
    }
    return found;
}

int spx_copy_runs(const spx_fold *f, const spx_fold_op *op, spx_copy_run run[SPX_COPY_RUNS])
{
    const spx_deploy_op *d = &op->d;
    int n = 0;
    if (d->kind != SPX_DEPLOY_CONV || d->size != 1 || d->stride != 1 || d->pad != 0) {
        return 0;
    }
    const int64_t columns = f->value[d->in].c;
    for (int64_t k = 0; k < f->value[d->out].c; k++) {
        const int64_t c = copied_column(op->w + k * columns, columns);
        spx_copy_run *last = n > 0 ? &run[n - 1] : NULL;
        if (c == -1) {
            continue;
        }
        if (c >= 0 && last != NULL && k == last->out_first + last->channels &&
            c == last->in_first + last->channels) {
            last->channels++;
            continue;
        }
        if (c < 0 || n == SPX_COPY_RUNS) {
            return 0;
        }
        run[n++] = (spx_copy_run){.in_first = c, .out_first = k, .channels = 1};
    }
    return n;
}

/* ---- ties ---- */

/* The channels of all RELU ops, one after another. A channel's clip is its root's times
 * 2^exponent; roots have exponent 0. */
typedef struct ties {
    const spx_fold *f;
    double *clip;   /* [channels] */
    int *relu;      /* [n_values] for an activation, its RELU's number; for what a RELU reads, the
                       first's; -1 elsewhere */
    size_t *begin;  /* [relus + 1] */
    double *most;   /* [channels] largest outputs of what is kept */
    size_t *parent; /* [channels] */
    int *exponent;
    int relus;
} ties;

/* No clip is above what the RELU itself lets through: there it is the clamp.
 * @param i  among the channels of all RELUs */
static double clip_of(const ties *t, size_t i)
{
    return fmin(t->clip[i], t->most[i]);
}

static size_t root_of(const ties *t, size_t at, int *exponent)
{
    *exponent = 0;
    while (t->parent[at] != at) {
        *exponent += t->exponent[at];
        at = t->parent[at];
    }
    return at;
}

/* The channel of an activation that channel c of value v is, unchanged; false: of none. */
static bool origin(const ties *t, int v, int64_t c, int *relu, int64_t *channel)
{
    const spx_fold *f = t->f;
    for (int i = f->n_ops - 1; i >= 0 && f->value[v].kind == SPX_DEPLOY_LINEAR; i--) {
        const spx_deploy_op *d = &f->op[i].d;
        if (d->out != v) {
            continue;
        }
        if (d->kind != SPX_DEPLOY_PICK) {
            return false;
        }
        if (c >= d->out_first && c < d->out_first + d->channels) {
            c += d->in_first - d->out_first;
            v = d->in;
        }
    }
    *relu = t->relu[v];
    *channel = c;
    return f->value[v].kind == SPX_DEPLOY_ACTIVATION;
}

/* Channels that are to be tied, pair by pair. */
typedef struct pairs {
    size_t *in, *out; /* of all channels of all RELUs */
    int n;
    double ratio; /* sum of log2 of out's clip over in's */
} pairs;

static bool find_pairs(const ties *t, const spx_fold_op *op, const spx_copy_run *run, int runs,
                       pairs *p)
{
    const int to = t->relu[op->d.out];
    p->n = 0;
    p->ratio = 0;
    for (int r = 0; r < runs; r++) {
        for (int64_t i = 0; i < run[r].channels; i++) {
            int from;
            int64_t c;
            if (!origin(t, op->d.in, run[r].in_first + i, &from, &c)) {
                return false;
            }
            const int64_t k = run[r].out_first + i;
            const size_t in = t->begin[from] + (size_t)c, out = t->begin[to] + (size_t)k;
            p->in[p->n] = in;
            p->out[p->n++] = out;
            p->ratio += log2(clip_of(t, out) / clip_of(t, in));
        }
    }
    return p->n > 0;
}

/* Ties all pairs with one exponent; where some are tied already, with that, or none at all. Nor
 * where what one lets through would cut off what the other shall hold. */
static void tie(ties *t, const pairs *p)
{
    int by = (int)lround(p->ratio / p->n);
    bool fixed = false;
    for (int i = 0; i < p->n; i++) {
        int in, out;
        if (root_of(t, p->in[i], &in) == root_of(t, p->out[i], &out)) {
            if (fixed && out - in != by) {
                return;
            }
            by = out - in;
            fixed = true;
        }
    }
    for (int i = 0; i < p->n; i++) {
        if (ldexp(clip_of(t, p->in[i]), by) > t->most[p->out[i]] ||
            ldexp(clip_of(t, p->out[i]), -by) > t->most[p->in[i]]) {
            return;
        }
    }
    for (int i = 0; i < p->n; i++) {
        int in, out;
        const size_t a = root_of(t, p->in[i], &in), b = root_of(t, p->out[i], &out);
        if (a != b) {
            t->parent[b] = a;
            t->exponent[b] = in + by - out;
        }
    }
}

static void tie_all(ties *t, pairs *p)
{
    spx_copy_run run[SPX_COPY_RUNS];
    for (int i = 0, relu = 0; i < t->f->n_ops; i++) {
        const spx_fold_op *op = &t->f->op[i];
        if (op->d.kind == SPX_DEPLOY_RELU && t->relu[op->d.in] != relu++) {
            *p = (pairs){.in = p->in, .out = p->out}; /* a second one that reads the same */
            for (int64_t c = 0; c < t->f->value[op->d.in].c; c++) {
                p->in[p->n] = t->begin[t->relu[op->d.in]] + (size_t)c;
                p->out[p->n++] = t->begin[relu - 1] + (size_t)c;
            }
            tie(t, p);
        }
        const int runs = t->relu[op->d.out] >= 0 ? spx_copy_runs(t->f, op, run) : 0;
        if (runs > 0 && find_pairs(t, op, run, runs, p)) {
            tie(t, p);
        }
    }
}

/* The largest of a tie's clips decides, since to cut off costs more than coarser steps; but none is
 * above what its RELU lets through. out: [channels] */
static void settle(const ties *t, double *most, double *out)
{
    const size_t n = t->begin[t->relus];
    for (int pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < n; i++) {
            int exponent;
            double *root = &most[root_of(t, i, &exponent)];
            if (pass == 0) {
                *root = fmax(*root, ldexp(clip_of(t, i), -exponent));
            } else if (pass == 1) {
                *root = fmin(*root, ldexp(t->most[i], -exponent));
            } else {
                out[i] = ldexp(*root, exponent);
            }
        }
    }
}

/* Channels that a mask drops as a whole let anything through. */
static spx_status find_most(ties *t)
{
    double *most;
    SPX_RETURN_IF(SPX_NEW(t->most, t->begin[t->relus] + 1));
    most = t->most;
    for (int i = 0; i < t->f->n_ops; i++) {
        const spx_fold_op *op = &t->f->op[i];
        const spx_deploy_value *v = &t->f->value[op->d.out];
        for (int64_t c = 0; c < v->c && op->d.kind == SPX_DEPLOY_RELU; c++) {
            bool keeps = false;
            for (int64_t j = c * v->h * v->w; j < (c + 1) * v->h * v->w && !keeps; j++) {
                keeps = spx_deploy_keeps(&op->d, (size_t)j);
            }
            *most++ = keeps && op->most > 0 ? op->most : INFINITY;
        }
    }
    return SPX_OK;
}

static spx_status number_relus(ties *t)
{
    const spx_fold *f = t->f;
    SPX_RETURN_IF(SPX_NEW(t->relu, (size_t)f->n_values));
    SPX_RETURN_IF(SPX_NEW(t->begin, (size_t)f->n_ops + 1));
    memset(t->relu, -1, (size_t)f->n_values * sizeof *t->relu);
    for (int i = 0; i < f->n_ops; i++) {
        const spx_deploy_op *d = &f->op[i].d;
        if (d->kind == SPX_DEPLOY_RELU) {
            t->relu[d->out] = t->relus;
            t->relu[d->in] = t->relu[d->in] >= 0 ? t->relu[d->in] : t->relus;
            t->begin[t->relus + 1] = t->begin[t->relus] + (size_t)f->value[d->out].c;
            t->relus++;
        }
    }
    return find_most(t);
}

spx_status spx_tie_clips(double ***out, const spx_fold *f, const double *const *clip)
{
    ties t = {.f = f};
    pairs p = {0};
    double *most = NULL, **list;
    void *memory = NULL;
    spx_status st;
    SPX_TRY(st, number_relus(&t), end);
    const size_t n = t.begin[t.relus];
    SPX_TRY(st, SPX_NEW(t.clip, n + 1), end);
    for (int r = 0; r < t.relus; r++) {
        memcpy(t.clip + t.begin[r], clip[r], (t.begin[r + 1] - t.begin[r]) * sizeof *t.clip);
    }
    SPX_TRY(st, SPX_NEW(t.parent, n + 1), end);
    SPX_TRY(st, SPX_NEW(t.exponent, n + 1), end);
    SPX_TRY(st, SPX_NEW(p.in, n + 1), end);
    SPX_TRY(st, SPX_NEW(p.out, n + 1), end);
    SPX_TRY(st, SPX_NEW(most, n + 1), end);
    SPX_TRY(st, spx_calloc(&memory, (size_t)t.relus * sizeof *list + n * sizeof **list + 1, 1),
            end);
    list = memory;
    for (size_t i = 0; i < n; i++) {
        t.parent[i] = i;
    }
    for (int r = 0; r < t.relus; r++) {
        list[r] = (double *)(void *)(list + t.relus) + t.begin[r];
    }
    tie_all(&t, &p);
    settle(&t, most, (double *)(void *)(list + t.relus));
    *out = list;
end:
    spx_free(t.relu);
    spx_free(t.begin);
    spx_free(t.clip);
    spx_free(t.most);
    spx_free(t.parent);
    spx_free(t.exponent);
    spx_free(p.in);
    spx_free(p.out);
    spx_free(most);
    return st;
}
