/*
 * golden_check [--threads=N] [--no-fusion] [--reference] FILE...
 * Rebuilds what the files describe and compares every number; exit code 1 if one differs.
 */
#include "tests/golden_check/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What tells the kinds of files apart: an attribute of the root. */
static const struct kind {
    const char *name, *attribute;
    spx_status (*check)(golden_report *r, const golden_options *o);
} kinds[] = {
    {"operators", "desc", golden_check_ops},
    {"search cell", "C_pp", golden_check_cell},
    {"supernet", "reduction_cells", golden_check_supernet},
    {"final network", "genotype", golden_check_final},
    {"search step", "xi", golden_check_step},
};

/* The kind of a file, or NULL. */
static const struct kind *kind_of(const spx_h5 *f)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (spx_h5_has_attr(f, "", kinds[i].attribute)) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* Attempts after the first look at quantities that a flipped ReLU may have moved. */
static spx_status check_kind(golden_report *r, const golden_options *o, const struct kind *k)
{
    r->failed = false;
    r->n_pending = 0;
    for (r->attempt = 0; r->attempt < GOLDEN_ATTEMPTS; r->attempt++) {
        if (r->attempt == 1) {
            (void)printf("  again, pixels moved by a few units in the last place\n");
        }
        r->section = "";
        SPX_RETURN_IF(k->check(r, o));
        if (r->failed || r->n_pending == 0) {
            return SPX_OK;
        }
    }
    r->failed = true;
    return SPX_OK;
}

static spx_status check_file(golden_report *r, const golden_options *o, const char *path)
{
    spx_h5 *f;
    SPX_RETURN_IF(spx_h5_open(&f, path, SPX_H5_FOREIGN));
    const struct kind *k = kind_of(f);
    spx_status st;
    if (k == NULL) {
        st = SPX_FAIL(SPX_EFORMAT, "%s: no golden file of a known kind", path);
    } else {
        (void)printf("%s: %s\n", path, k->name);
        r->file = f;
        st = check_kind(r, o, k);
    }
    spx_h5_close(f);
    return st;
}

/* Reads options; returns the number of the first file, or 0 where an option is unknown. */
static int parse(int argc, char **argv, golden_options *o, int *threads)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--no-fusion") == 0) {
            o->no_fusion = true;
        } else if (strcmp(argv[i], "--reference") == 0) {
            o->reference = true;
        } else if (strncmp(argv[i], "--threads=", 10) == 0) {
            *threads = atoi(argv[i] + 10);
        } else if (strcmp(argv[i], "--device=cpu") != 0) {
            return 0;
        }
    }
    return i;
}

int main(int argc, char **argv)
{
    golden_options o = {0};
    int threads = 0, failures = 0;
    int first = parse(argc, argv, &o, &threads);
    if (first == 0 || first == argc) {
        (void)fprintf(stderr, "usage: golden_check [--device=cpu] [--threads=N] [--no-fusion] "
                              "[--reference] FILE...\n");
        return 2;
    }
    golden_report *r = calloc(1, sizeof *r);
    if (r == NULL || spx_stream_create(&o.stream, SPX_DEVICE_CPU, threads) != SPX_OK) {
        (void)fprintf(stderr, "golden_check: %s\n", spx_error_message());
        free(r);
        return 1;
    }
    for (int i = first; i < argc; i++) {
        const spx_status st = check_file(r, &o, argv[i]);
        if (st != SPX_OK) {
            (void)printf("  FAIL  %s: %s\n", spx_error_message(), spx_status_text(st));
        }
        const bool bad = st != SPX_OK || r->failed;
        (void)printf("%s %s\n", bad ? "FAIL" : "PASS", argv[i]);
        failures += bad;
    }
    spx_stream_destroy(o.stream);
    free(r);
    return failures > 0 ? 1 : 0;
}
