/* sphynx data info, sphynx data check: what a pack holds, and whether it is whole. */
#include "data/pack/pack_store.h"
#include "host/cli/data_talk.h"
#include "host/cli/progress.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    bool deep;
} values;

static const spx_option check_options[] = {
    SPX_OPT(FLAG, values, deep, "deep", NULL, "false",
            "also read and decode every stored picture, comparing its checksum"),
    {0}};

/* ---- the report, as JSON ---- */

static json_t *reals(const double *v, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(list, json_real(v[i]));
    }
    return list;
}

/* {"images": N, "per_class": [...], "mean": [...], "std": [...]}, the latter two as measured. */
static json_t *about_split(const spx_pack *p, spx_split split)
{
    double mean[SPX_PACK_MAX_CHANNELS], std[SPX_PACK_MAX_CHANNELS];
    json_t *counts = json_array();
    void *memory;
    if (spx_calloc(&memory, (size_t)p->classes, sizeof(size_t)) != SPX_OK) {
        json_decref(counts);
        return NULL;
    }
    spx_pack_histogram(p, split, memory);
    for (int k = 0; k < p->classes; k++) {
        (void)json_array_append_new(counts, json_integer((json_int_t)((size_t *)memory)[k]));
    }
    spx_free(memory);
    spx_pack_moments(p, split, mean, std);
    return json_pack("{s:I, s:o, s:o, s:o}", "images", (json_int_t)p->split[split].count,
                     "per_class", counts, "mean", reals(mean, p->channels), "std",
                     reals(std, p->channels));
}

static json_t *names(const spx_pack *p)
{
    json_t *list = json_array();
    for (int k = 0; k < p->classes; k++) {
        size_t n;
        const char *name = spx_pack_class(p, k, &n);
        (void)json_array_append_new(list, json_stringn(name, n));
    }
    return list;
}

/* Paths of pictures that were left out. */
static json_t *left_out(const spx_store_about *about)
{
    json_t *list = json_array();
    const char *name = about != NULL ? about->bad_names : NULL;
    for (size_t i = 0; about != NULL && i < about->bad; i++, name += strlen(name) + 1) {
        (void)json_array_append_new(list, spx_cli_name_json(name));
    }
    return list;
}

/* NULL when out of memory or where a name is not UTF-8. */
static json_t *report(const spx_pack *p)
{
    const spx_store_about *about = p->store != NULL ? spx_store_describe(p) : NULL;
    json_t *all =
        json_pack("{s:s, s:s, s:[iii], s:i, s:o, s:o, s:o, s:s, s:s, s:I, s:o}", "dataset",
                  p->dataset, "hash", p->hash, "shape", p->channels, p->height, p->width, "classes",
                  p->classes, "class_names", names(p), "mean", reals(p->mean, p->channels), "std",
                  reals(p->std, p->channels), "sources", p->sources, "store",
                  about != NULL ? about->form : "tensors", "shards",
                  (json_int_t)(about != NULL ? about->shards : 0), "bad", left_out(about));
    for (int s = 0; s < SPX_SPLIT_COUNT && all != NULL; s++) {
        if (spx_pack_has(p, (spx_split)s) &&
            json_object_set_new(all, spx_split_name((spx_split)s), about_split(p, (spx_split)s)) !=
                0) {
            json_decref(all);
            all = NULL;
        }
    }
    return all;
}

spx_status spx_pack_print_json(const spx_pack *p)
{
    json_t *all = report(p);
    if (all == NULL) {
        return SPX_FAIL(SPX_EFORMAT, "%s: the description is not UTF-8 text", p->dataset);
    }
    return spx_cli_print_json(all);
}

/* ---- as text ---- */

void spx_pack_print_summary(const spx_pack *p, const char *path)
{
    const char *plus = "";
    (void)printf("%s: %s, ", path, p->dataset);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        if (p->split[s].count > 0) {
            (void)printf("%s%zu %s", plus, p->split[s].count, spx_split_name((spx_split)s));
            plus = " + ";
        }
    }
    if (p->height > 0) {
        (void)printf(" images of %dx%dx%d, %d classes", p->channels, p->height, p->width,
                     p->classes);
    } else {
        (void)printf(" images of %d channel%s and differing sizes, %d classes", p->channels,
                     p->channels > 1 ? "s" : "", p->classes);
    }
    if (p->store != NULL) {
        const spx_store_about *about = spx_store_describe(p);
        (void)printf(", stored as %s in %zu file%s, %zu left out", about->form, about->shards + 1,
                     about->shards > 0 ? "s" : "", about->bad);
    }
    (void)printf("\n");
}

static void print_moments(const char *label, const double *mean, const double *std, int channels)
{
    (void)printf("%-18s", label);
    for (int c = 0; c < channels; c++) {
        (void)printf(" %.4f", mean[c]);
    }
    (void)printf(" /");
    for (int c = 0; c < channels; c++) {
        (void)printf(" %.4f", std[c]);
    }
    (void)printf("\n");
}

static spx_status print_classes(const spx_pack *p)
{
    void *memory[SPX_SPLIT_COUNT] = {NULL};
    spx_status st = SPX_OK;
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        SPX_TRY(st, spx_calloc(&memory[s], (size_t)p->classes, sizeof(size_t)), done);
        spx_pack_histogram(p, (spx_split)s, memory[s]);
    }
    (void)printf("%5s %-32s %9s %9s\n", "label", "class", "train", "test");
    for (int k = 0; k < p->classes; k++) {
        size_t n;
        const char *name = spx_pack_class(p, k, &n);
        (void)printf("%5d %-32.*s %9zu %9zu\n", k, (int)n, name,
                     ((size_t *)memory[SPX_SPLIT_TRAIN])[k], ((size_t *)memory[SPX_SPLIT_TEST])[k]);
    }
done:
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        spx_free(memory[s]);
    }
    return st;
}

static void print_left_out(const spx_store_about *about)
{
    const char *name = about->bad_names;
    (void)printf("left out, since they do not decode\n");
    for (size_t i = 0; i < about->bad; i++, name += strlen(name) + 1) {
        (void)printf("%s\n", name);
    }
}

static spx_status print_text(const spx_pack *p, const char *path)
{
    double mean[SPX_PACK_MAX_CHANNELS], std[SPX_PACK_MAX_CHANNELS];
    spx_pack_print_summary(p, path);
    (void)printf("hash %s\n", p->hash);
    print_moments("normalised by", p->mean, p->std, p->channels);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        if (spx_pack_has(p, (spx_split)s)) {
            spx_pack_moments(p, (spx_split)s, mean, std);
            print_moments(s == SPX_SPLIT_TRAIN ? "measured in train" : "measured in test", mean,
                          std, p->channels);
        }
    }
    SPX_RETURN_IF(print_classes(p));
    (void)printf("made from\n%s", p->sources);
    if (p->store != NULL && spx_store_describe(p)->bad > 0) {
        print_left_out(spx_store_describe(p));
    }
    return SPX_OK;
}

/* ---- sub-commands ---- */

spx_status spx_pack_warn_classes(const spx_cli *cli, const spx_pack *p, size_t *empty)
{
    size_t *counts;
    *empty = 0;
    SPX_RETURN_IF(SPX_NEW(counts, (size_t)p->classes));
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        size_t lacking = 0, n;
        int first = -1;
        spx_pack_histogram(p, (spx_split)s, counts);
        for (int k = 0; k < p->classes && spx_pack_has(p, (spx_split)s); k++) {
            lacking += counts[k] == 0;
            first = counts[k] == 0 && first < 0 ? k : first;
        }
        if (lacking > 0) {
            const char *name = spx_pack_class(p, first, &n);
            spx_cli_talk(cli, "warning: the %s split has no image of label %d (%.*s)%s",
                         spx_split_name((spx_split)s), first, (int)n, name,
                         lacking > 1 ? " and of others; data info lists them" : "");
        }
        *empty += lacking;
    }
    spx_free(counts);
    return SPX_OK;
}

/* What is tested must have been trained on. */
static spx_status check_classes(const spx_pack *p, const char *path)
{
    size_t *train, *test = NULL;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(train, (size_t)p->classes));
    SPX_TRY(st, SPX_NEW(test, (size_t)p->classes), done);
    spx_pack_histogram(p, SPX_SPLIT_TRAIN, train);
    spx_pack_histogram(p, SPX_SPLIT_TEST, test);
    for (int k = 0; k < p->classes && spx_pack_has(p, SPX_SPLIT_TRAIN); k++) {
        if (train[k] == 0 && test[k] > 0) {
            st = SPX_FAIL(SPX_EFORMAT,
                          "%s: the train split has no image of label %d, the test split has", path,
                          k);
            break;
        }
    }
done:
    spx_free(train);
    spx_free(test);
    return st;
}

typedef struct damage {
    const spx_cli *cli;
    spx_progress progress;
    size_t n;
} damage;

static void tell_damage(void *ctx, spx_split split, uint32_t i, const char *why)
{
    damage *d = ctx;
    d->n++;
    spx_progress_end(&d->progress);
    spx_cli_talk(d->cli, "%s image %lu: %s", spx_split_name(split), (unsigned long)i, why);
}

static void show_verified(void *ctx, uint64_t done, uint64_t total)
{
    damage *d = ctx;
    (void)total;
    spx_progress_show(&d->progress, done, "%s", "");
}

/* Every damaged picture is told; then how many there are. */
static spx_status check_pictures(const spx_cli *cli, const spx_pack *p, const char *path)
{
    const size_t all = p->split[SPX_SPLIT_TRAIN].count + p->split[SPX_SPLIT_TEST].count;
    damage d = {.cli = cli};
    spx_status st;
    spx_progress_begin(&d.progress, stderr, "pictures", 0, all);
    st = spx_pack_verify(p, tell_damage, show_verified, &d);
    spx_progress_end(&d.progress);
    return d.n == 0 ? st
                    : SPX_FAIL(SPX_EFORMAT, "%s: %zu of %zu pictures %s damaged", path, d.n, all,
                               SPX_PLURAL(d.n, "is", "are"));
}

static spx_status run_check(spx_cli *cli, const void *given)
{
    const values *v = given;
    const char *path = cli->args[0];
    spx_pack *p = NULL;
    size_t empty;
    spx_status st;
    SPX_TRY(st, spx_pack_open(&p, path, SPX_PACK_LOAD_ALL), done);
    if (v->deep) {
        SPX_TRY(st, check_pictures(cli, p, path), done);
    }
    SPX_TRY(st, check_classes(p, path), done);
    SPX_TRY(st, spx_pack_warn_classes(cli, p, &empty), done);
    if (cli->json) {
        st = spx_pack_print_json(p);
    } else {
        spx_pack_print_summary(p, path);
        (void)printf("checksum, shapes and labels are right%s%s\n",
                     v->deep            ? ", every picture decodes"
                     : p->store != NULL ? "; pictures were not looked at (--deep)"
                                        : "",
                     empty == 0 ? "; every class has images" : "");
    }
done:
    spx_pack_close(p);
    return st;
}

static spx_status run_info(spx_cli *cli, const void *given)
{
    spx_pack *p = NULL;
    spx_status st;
    (void)given;
    SPX_TRY(st, spx_pack_open(&p, cli->args[0], SPX_PACK_LOAD_ALL), done);
    st = cli->json ? spx_pack_print_json(p) : print_text(p, cli->args[0]);
done:
    spx_pack_close(p);
    return st;
}

const spx_command spx_data_check = {
    .name = "check",
    .args = "PACK",
    .summary =
        "Verifies a pack: checksum, shapes, labels, classes; its stored pictures with --deep.",
    .example = "sphynx data check fashion.h5 --deep",
    .options = check_options,
    .values_size = sizeof(values),
    .min_args = 1,
    .max_args = 1,
    .run = run_check,
};

const spx_command spx_data_info = {
    .name = "info",
    .args = "PACK",
    .summary = "Describes a pack: shapes, images per class, moments, sources.",
    .example = "sphynx data info fashion.h5 --json",
    .min_args = 1,
    .max_args = 1,
    .run = run_info,
};
