/*
 * golden_check [--device=cpu|cuda] [--precision=f32|tf32|bf16] [--threads=N] [--no-fusion]
 *              [--reference] FILE...
 * Rebuilds what the files describe and compares every number; exit code 1 if one differs, 77 where
 * there is no such device.
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

/* "--NAME=value" with one of n names as value: which; -1: another argument. */
static int choice(const char *arg, const char *option, const char *(*name)(int), int n)
{
    const size_t len = strlen(option);
    for (int k = 0; k < n; k++) {
        if (strncmp(arg, option, len) == 0 && strcmp(arg + len, name(k)) == 0) {
            return k;
        }
    }
    return -1;
}

static const char *device_name(int k)
{
    return spx_device_name((spx_device)k);
}

static const char *precision_name(int k)
{
    return spx_precision_name((spx_precision)k);
}

/* Reads options; returns the number of the first file, or 0 where an option is unknown. */
static int parse(int argc, char **argv, golden_options *o, spx_stream_options *s)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        const int device = choice(argv[i], "--device=", device_name, SPX_DEVICE_COUNT);
        const int precision = choice(argv[i], "--precision=", precision_name, SPX_PRECISION_COUNT);
        if (strcmp(argv[i], "--no-fusion") == 0) {
            o->no_fusion = true;
        } else if (strcmp(argv[i], "--reference") == 0) {
            o->reference = true;
        } else if (strncmp(argv[i], "--threads=", 10) == 0) {
            s->threads = atoi(argv[i] + 10);
        } else if (device >= 0) {
            s->device = (spx_device)device;
        } else if (precision >= 0) {
            s->precision = (spx_precision)precision;
        } else {
            return 0;
        }
    }
    return i;
}

int main(int argc, char **argv)
{
    golden_options o = {0};
    spx_stream_options s = {.precision = SPX_PRECISION_F32};
    int failures = 0;
    int first = parse(argc, argv, &o, &s);
    if (first == 0 || first == argc) {
        (void)fprintf(stderr, "usage: golden_check [--device=cpu|cuda] [--precision=f32|tf32|bf16] "
                              "[--threads=N] [--no-fusion] [--reference] FILE...\n");
        return 2;
    }
    if (spx_device_count(s.device) == 0) {
        (void)fprintf(stderr, "golden_check: no device %s here\n", spx_device_name(s.device));
        return 77;
    }
    golden_report *r = calloc(1, sizeof *r);
    if (r == NULL || spx_stream_open(&o.stream, &s) != SPX_OK) {
        (void)fprintf(stderr, "golden_check: %s\n", spx_error_message());
        free(r);
        return 1;
    }
    r->precision = spx_stream_precision(o.stream);
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
