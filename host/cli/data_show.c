/* sphynx data info, sphynx data check: what a pack holds, and whether it is whole. */
#include "host/cli/data_talk.h"
#include "kernels/base/alloc.h"

#include <stdio.h>

static bool has(const spx_pack *p, int split)
{
    return p->split[split].images != NULL;
}

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

/* NULL when out of memory or where a name is not UTF-8. */
static json_t *report(const spx_pack *p)
{
    json_t *all =
        json_pack("{s:s, s:s, s:[iii], s:i, s:o, s:o, s:o, s:s}", "dataset", p->dataset, "hash",
                  p->hash, "shape", p->channels, p->height, p->width, "classes", p->classes,
                  "class_names", names(p), "mean", reals(p->mean, p->channels), "std",
                  reals(p->std, p->channels), "sources", p->sources);
    for (int s = 0; s < SPX_SPLIT_COUNT && all != NULL; s++) {
        if (has(p, s) && json_object_set_new(all, spx_split_name((spx_split)s),
                                             about_split(p, (spx_split)s)) != 0) {
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
    (void)printf(" images of %dx%dx%d, %d classes\n", p->channels, p->height, p->width, p->classes);
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

static spx_status print_text(const spx_pack *p, const char *path)
{
    double mean[SPX_PACK_MAX_CHANNELS], std[SPX_PACK_MAX_CHANNELS];
    spx_pack_print_summary(p, path);
    (void)printf("hash %s\n", p->hash);
    print_moments("normalised by", p->mean, p->std, p->channels);
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        if (has(p, s)) {
            spx_pack_moments(p, (spx_split)s, mean, std);
            print_moments(s == SPX_SPLIT_TRAIN ? "measured in train" : "measured in test", mean,
                          std, p->channels);
        }
    }
    SPX_RETURN_IF(print_classes(p));
    (void)printf("made from\n%s", p->sources);
    return SPX_OK;
}

/* ---- sub-commands ---- */

/* A class that a split lacks makes a network that never learns, or never tests, it. */
static spx_status check_classes(const spx_pack *p, const char *path)
{
    size_t *counts;
    spx_status st = SPX_OK;
    SPX_RETURN_IF(SPX_NEW(counts, (size_t)p->classes));
    for (int s = 0; s < SPX_SPLIT_COUNT && st == SPX_OK; s++) {
        spx_pack_histogram(p, (spx_split)s, counts);
        for (int k = 0; k < p->classes && has(p, s); k++) {
            if (counts[k] == 0) {
                st = SPX_FAIL(SPX_EFORMAT, "%s: the %s split has no image of label %d", path,
                              spx_split_name((spx_split)s), k);
                break;
            }
        }
    }
    spx_free(counts);
    return st;
}

static spx_status run_check(spx_cli *cli, const void *given)
{
    const char *path = cli->args[0];
    spx_pack *p = NULL;
    spx_status st;
    (void)given;
    SPX_TRY(st, spx_pack_open(&p, path, SPX_PACK_LOAD_ALL), done);
    SPX_TRY(st, check_classes(p, path), done);
    if (cli->json) {
        st = spx_pack_print_json(p);
    } else {
        spx_pack_print_summary(p, path);
        (void)printf("checksum, shapes and labels are right; every class has images\n");
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
    .summary = "Verifies a pack: checksum, shapes, label ranges, every class present.",
    .example = "sphynx data check fashion.h5",
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
