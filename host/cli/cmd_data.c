/* sphynx data: turn published data sets into packs, and look into packs. */
#include "data/image/image.h"
#include "data/pack/pack_build.h"
#include "host/cli/commands.h"
#include "kernels/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    const char *output;
    double held_out;
    int64_t columns;
    int split;
} values;

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

static spx_status print_json(const spx_pack *p)
{
    json_t *all = report(p);
    if (all == NULL) {
        return SPX_FAIL(SPX_EFORMAT, "%s: the description is not UTF-8 text", p->dataset);
    }
    return spx_cli_print_json(all);
}

/* ---- as text ---- */

static void print_summary(const spx_pack *p, const char *path)
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
    print_summary(p, path);
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

/* "mnist, fashion-mnist, ..." */
static void list_known(char *text, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; spx_pack_known(i) != NULL && used < room; i++) {
        used += (size_t)snprintf(text + used, room - used, "%s%s", i > 0 ? ", " : "",
                                 spx_pack_known(i));
    }
}

static spx_status run_pack(spx_cli *cli, const void *given)
{
    const values *v = given;
    const spx_pack_build_options o = {.held_out = v->held_out, .seed = (uint64_t)cli->seed};
    char expected[512];
    spx_pack *p = NULL;
    size_t known = 0;
    spx_status st;
    while (spx_pack_known(known) != NULL && strcmp(spx_pack_known(known), cli->args[0]) != 0) {
        known++;
    }
    if (spx_pack_known(known) == NULL) {
        list_known(expected, sizeof expected);
        return spx_cli_usage(cli, "unknown data set '%.64s', expected one of %s", cli->args[0],
                             expected);
    }
    SPX_RETURN_IF(spx_cli_distinct(cli, v->output, cli->args[1]));
    SPX_TRY(st, spx_pack_build(&p, cli->args[0], cli->args[1], &o), done);
    SPX_TRY(st, spx_pack_write(p, v->output), done);
    if (cli->json) {
        st = print_json(p);
    } else {
        print_summary(p, v->output);
    }
done:
    spx_pack_close(p);
    return st;
}

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
        st = print_json(p);
    } else {
        print_summary(p, path);
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
    st = cli->json ? print_json(p) : print_text(p, cli->args[0]);
done:
    spx_pack_close(p);
    return st;
}

#define GAP 2 /* pixels around each image of a preview */

static void place(const spx_pack *p, const uint8_t *from, spx_image *grid, size_t row,
                  size_t column)
{
    const size_t h = (size_t)p->height, w = (size_t)p->width, width = (size_t)grid->width;
    for (size_t c = 0; c < (size_t)p->channels; c++) {
        for (size_t y = 0; y < h; y++) {
            const size_t to = (c * (size_t)grid->height + GAP + row * (h + GAP) + y) * width + GAP +
                              column * (w + GAP);
            memcpy(grid->pixels + to, from + (c * h + y) * w, w);
        }
    }
}

/* One row a class: its first images in the order of the split. */
static spx_status draw_grid(const spx_pack *p, const values *v, spx_image *grid)
{
    const spx_pack_split *split = &p->split[v->split];
    const size_t bytes = (size_t)p->channels * (size_t)p->height * (size_t)p->width;
    size_t *drawn;
    if (p->classes > SPX_IMAGE_MAX_SIDE) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "a picture of %d classes, at most %d fit", p->classes,
                        SPX_IMAGE_MAX_SIDE);
    }
    SPX_RETURN_IF(spx_image_create(grid, p->channels, GAP + p->classes * (p->height + GAP),
                                   GAP + (int)v->columns * (p->width + GAP)));
    memset(grid->pixels, 96, (size_t)p->channels * (size_t)grid->height * (size_t)grid->width);
    SPX_RETURN_IF(SPX_NEW(drawn, (size_t)p->classes));
    for (size_t i = 0; i < split->count; i++) {
        const size_t k = split->labels[i];
        if (drawn[k] < (size_t)v->columns) {
            place(p, split->images + i * bytes, grid, k, drawn[k]++);
        }
    }
    spx_free(drawn);
    return SPX_OK;
}

static spx_status run_preview(spx_cli *cli, const void *given)
{
    const values *v = given;
    spx_image grid = {0};
    spx_pack *p = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_cli_distinct(cli, v->output, cli->args[0]));
    SPX_TRY(st, spx_pack_open(&p, cli->args[0], SPX_PACK_NEED(v->split)), done);
    st = spx_fail_context(draw_grid(p, v, &grid), "%s", cli->args[0]);
    if (st == SPX_OK) {
        st = spx_image_write(&grid, v->output);
    }
    if (st == SPX_OK && cli->json) {
        st =
            spx_cli_print_json(json_pack("{s:i, s:i}", "height", grid.height, "width", grid.width));
    } else if (st == SPX_OK) {
        (void)printf("%s: %d classes, one a row, %dx%d pixels\n", v->output, p->classes,
                     grid.height, grid.width);
    }
done:
    spx_image_clear(&grid);
    spx_pack_close(p);
    return st;
}

static const spx_option pack_options[] = {
    SPX_OPT(STRING, values, output, "output", "FILE", NULL, "the pack to write (.h5)",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT, .letter = 'o'),
    SPX_OPT(FLOAT, values, held_out, "held-out", "SHARE", "0.1",
            "of each class's pictures, to test on where there is no folder test; --seed draws them",
            .min = 0, .max = 0.9),
    {0}};

static const spx_need pack_needs[] = {{"held-out", "operands=folder"}, {0}};

static const spx_option preview_options[] = {
    SPX_OPT(STRING, values, output, "output", "FILE", NULL, "the picture to write (.png)",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT, .letter = 'o'),
    SPX_OPT(INT, values, columns, "columns", "N", "12", "images per class", .min = 1, .max = 1000),
    SPX_OPT(ENUM, values, split, "split", "train|test", "train", "which split to show"),
    {0}};

static const spx_command cmd_pack = {
    .name = "pack",
    .args = "KIND SRC",
    .summary = "Packs a data set into one file. KIND: " SPX_PACK_KINDS_TEXT ".",
    .example = "sphynx data pack fashion-mnist /usr/share/datasets/fashion-mnist -o fashion.h5",
    .options = pack_options,
    .needs = pack_needs,
    .values_size = sizeof(values),
    .min_args = 2,
    .max_args = 2,
    .run = run_pack,
};

static const spx_command cmd_check = {
    .name = "check",
    .args = "PACK",
    .summary = "Verifies a pack: checksum, shapes, label ranges, every class present.",
    .example = "sphynx data check fashion.h5",
    .min_args = 1,
    .max_args = 1,
    .run = run_check,
};

static const spx_command cmd_info = {
    .name = "info",
    .args = "PACK",
    .summary = "Describes a pack: shapes, images per class, moments, sources.",
    .example = "sphynx data info fashion.h5 --json",
    .min_args = 1,
    .max_args = 1,
    .run = run_info,
};

static const spx_command cmd_preview = {
    .name = "preview",
    .args = "PACK",
    .summary = "Draws the first images of every class into one picture.",
    .example = "sphynx data preview fashion.h5 -o fashion.png",
    .options = preview_options,
    .values_size = sizeof(values),
    .min_args = 1,
    .max_args = 1,
    .run = run_preview,
};

static const spx_command *const subcommands[] = {&cmd_pack, &cmd_check, &cmd_info, &cmd_preview,
                                                 NULL};

const spx_command spx_cmd_data = {
    .name = "data",
    .summary = "Packs data sets and inspects packs.",
    .sub = subcommands,
};
