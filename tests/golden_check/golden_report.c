/* Comparing tensors with stored ones, and saying how it went. */
#include "tests/golden_check/golden.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool golden_section(golden_report *r, const char *section)
{
    const size_t len = strlen(section);
    bool wanted = r->attempt == 0;
    for (int k = 0; k < r->n_pending; k++) {
        wanted = wanted || strncmp(r->pending[k], section, len) == 0;
    }
    r->section = section;
    return wanted;
}

golden_rule golden_rule_at(golden_rule rule, spx_precision p)
{
    static const double unit[SPX_PRECISION_COUNT] = {[SPX_PRECISION_TF32] = 0x1p-11,
                                                     [SPX_PRECISION_F32] = 0x1p-24,
                                                     [SPX_PRECISION_BF16] = 0x1p-9};
    const double u = unit[p];
    if (p == SPX_PRECISION_F32) {
        return rule;
    }
    return (golden_rule){.worst = rule.difference || rule.median > 0 ? DBL_MAX /* a number at all */
                                  : rule.flips                       ? 16 * sqrt(u)
                                                                     : 32 * u,
                         .median = rule.median > 0 ? 6 * sqrt(u) : 0,
                         .zero = rule.zero * u / unit[SPX_PRECISION_F32]};
}

void golden_begin(golden_report *r, const char *quantity, golden_rule rule)
{
    r->quantity = quantity;
    r->rule = golden_rule_at(rule, r->precision);
    r->n = r->zeros = 0;
    r->worst = r->worst_zero = 0;
    r->worst_name[0] = r->worst_zero_name[0] = '\0';
}

/* error >= worst, NaN counting as larger than everything. */
static bool exceeds(double error, double worst)
{
    return !(error < worst);
}

static void add_error(golden_report *r, const char *name, double error)
{
    if (r->n < GOLDEN_MAX_TENSORS) {
        r->error[r->n++] = error == error ? error : INFINITY;
    }
    if (exceeds(error, r->worst)) {
        r->worst = error == error ? error : INFINITY;
        (void)snprintf(r->worst_name, sizeof r->worst_name, "%s", name);
    }
}

static void add_zero(golden_report *r, const char *name, double error)
{
    r->zeros++;
    if (exceeds(error, r->worst_zero)) {
        r->worst_zero = error == error ? error : INFINITY;
        (void)snprintf(r->worst_zero_name, sizeof r->worst_zero_name, "%s", name);
    }
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Notes how a quantity with flips went; returns whether it is still in question. */
static bool still_pending(golden_report *r, bool good)
{
    char name[96];
    int k = 0;
    (void)snprintf(name, sizeof name, "%.15s/%.75s", r->section, r->quantity);
    while (k < r->n_pending && strcmp(r->pending[k], name) != 0) {
        k++;
    }
    const bool known = k < r->n_pending;
    if (good && known) {
        memmove(r->pending[k], r->pending[--r->n_pending], sizeof r->pending[k]);
    } else if (!good && !known && r->attempt == 0 && k < GOLDEN_MAX_PENDING) {
        memcpy(r->pending[r->n_pending++], name, sizeof name);
    } else if (!good && !known && r->attempt == 0) {
        r->failed = true;
    }
    return known || (!good && r->attempt == 0);
}

static void print_line(const golden_report *r, bool good, double median)
{
    char name[96];
    (void)snprintf(name, sizeof name, "%s%s%s", r->section, r->section[0] != '\0' ? ": " : "",
                   r->quantity);
    (void)printf("  %s  %-40s %5d tensors, worst %.2e",
                 good            ? "PASS"
                 : r->rule.flips ? "FLIP"
                                 : "FAIL",
                 name, r->n + r->zeros, r->worst);
    if (r->rule.worst < DBL_MAX) {
        (void)printf(" (<= %.0e)", r->rule.worst);
    }
    if (r->rule.median != 0) {
        (void)printf(", median %.2e (<= %.0e)", median, r->rule.median);
    }
    if (r->zeros > 0) {
        (void)printf(", %d true zeros within %.2e (<= %.0e)", r->zeros, r->worst_zero,
                     r->rule.zero);
    }
    if (!(r->worst <= r->rule.worst)) {
        (void)printf(" in %s", r->worst_name);
    }
    if (!(r->worst_zero <= r->rule.zero)) {
        (void)printf(" in %s", r->worst_zero_name);
    }
    (void)printf("\n");
}

void golden_end(golden_report *r)
{
    double median = 0;
    bool good = r->worst <= r->rule.worst && r->worst_zero <= r->rule.zero;
    if (r->n > 0) {
        qsort(r->error, (size_t)r->n, sizeof r->error[0], compare_doubles);
        median = r->error[r->n / 2];
        good = good && (r->rule.median == 0 || median <= r->rule.median);
    }
    if (r->rule.flips) {
        if (still_pending(r, good) || r->attempt == 0) {
            print_line(r, good, median);
        }
    } else if (r->attempt == 0) {
        print_line(r, good, median);
        r->failed = r->failed || !good;
    }
}

static double norm(const float *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)a[i];
    }
    return sqrt(sum);
}

/* ||a - b|| / sqrt(||b||^2 + floor^2); the difference alone where that is zero. */
static double relative(const float *a, const float *b, size_t n, double floor_norm)
{
    double diff = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];
        diff += d * d;
    }
    const double base = hypot(norm(b, n), floor_norm);
    return base > 0 ? sqrt(diff) / base : sqrt(diff);
}

static double largest(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        if (exceeds(d, most)) {
            most = d == d ? d : INFINITY; /* a NaN would give way to the next difference */
        }
    }
    return most;
}

/* The stored float32's own distance from float64; -1 where the file does not say. */
static spx_status own_error(const spx_h5 *f, const char *name, double *out)
{
    static const char attr[] = "relerr_f32_vs_f64";
    *out = -1;
    return spx_h5_has_attr(f, name, attr)
               ? spx_h5_read_attr(f, name, attr, SPX_H5_F64, out, 1, NULL)
               : SPX_OK;
}

/* Marked as a true zero, or unmarked and as small as one. */
static spx_status find_zero(const spx_h5 *f, const char *name, bool *zero)
{
    spx_h5_info info;
    double error;
    float *ref;
    SPX_RETURN_IF(own_error(f, name, &error));
    *zero = error > 1e-2;
    if (error < 0) {
        SPX_RETURN_IF(spx_h5_stat(f, name, &info));
        SPX_RETURN_IF(golden_floats(f, name, info.count, &ref));
        *zero = norm(ref, info.count) < 1e-6;
        free(ref);
    }
    return SPX_OK;
}

/* 0.1 * ||sqrt(running_var)|| beside a running_mean; 0 for others. */
static spx_status mean_floor(const spx_h5 *f, const char *name, size_t count, double *out)
{
    static const char mean[] = "running_mean";
    const size_t len = strlen(name), tail = sizeof mean - 1;
    char var_name[256];
    float *var;
    *out = 0;
    if (len < tail || strcmp(name + len - tail, mean) != 0) {
        return SPX_OK;
    }
    (void)snprintf(var_name, sizeof var_name, "%.*srunning_var", (int)(len - tail), name);
    SPX_RETURN_IF(golden_floats(f, var_name, count, &var));
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)var[i];
    }
    *out = sum > 0 ? 0.1 * sqrt(sum) : 0;
    free(var);
    return SPX_OK;
}

/* One stored version of a quantity; `allowed` is taken off the error. */
static spx_status compare_with(golden_report *r, const char *name, bool zero, double allowed,
                               const float *got, size_t count)
{
    float *ref;
    double least;
    SPX_RETURN_IF(mean_floor(r->file, name, count, &least));
    SPX_RETURN_IF(golden_floats(r->file, name, count, &ref));
    if (zero) {
        add_zero(r, name, largest(got, ref, count));
    } else {
        const double error = relative(got, ref, count, least) - allowed;
        add_error(r, name, error < 0 ? 0 : error); /* not fmax, which takes 0 for a NaN */
    }
    free(ref);
    return SPX_OK;
}

/* The float64 twin of a dataset: "group/f64/rest" for "group/rest" of an op, else "f64/rest". */
static bool find_f64(const spx_h5 *f, const char *name, char out[static 256])
{
    for (const char *at = name; (at = strchr(at, '/')) != NULL; at++) {
        (void)snprintf(out, 256, "%.*s/f64%s", (int)(at - name), name, at);
        if (spx_h5_has(f, out)) {
            return true;
        }
    }
    (void)snprintf(out, 256, "f64/%s", name);
    return spx_h5_has(f, out);
}

static spx_status compare(golden_report *r, const char *name, const float *got, size_t count,
                          bool zero)
{
    char f64[256];
    double own;
    SPX_RETURN_IF(compare_with(r, name, zero, 0, got, count));
    if (!find_f64(r->file, name, f64)) {
        return SPX_OK;
    }
    /* What equals the float32 number is as far from the float64 one as that is. */
    SPX_RETURN_IF(own_error(r->file, name, &own));
    return compare_with(r, f64, zero, fmax(0, own), got, count);
}

spx_status golden_compare(golden_report *r, const char *name, const float *got, size_t count)
{
    bool zero = false;
    if (r->rule.zero > 0) {
        SPX_RETURN_IF(find_zero(r->file, name, &zero));
    }
    return compare(r, name, got, count, zero);
}

spx_status golden_compare_one(golden_report *r, const char *name, golden_rule rule,
                              const float *got, size_t count)
{
    golden_begin(r, name, rule);
    SPX_RETURN_IF(golden_compare(r, name, got, count));
    golden_end(r);
    return SPX_OK;
}

static const float *entry_data(const spx_layout_entry *e, const float *weights, const float *arch,
                               const float *state)
{
    const float *arena = e->role == SPX_ROLE_WEIGHT ? weights
                         : e->role == SPX_ROLE_ARCH ? arch
                                                    : state;
    return arena != NULL ? arena + e->offset : NULL;
}

spx_status golden_compare_group(golden_report *r, const char *group, golden_rule rule,
                                const spx_layout *l, const float *weights, const float *arch,
                                const float *state, const char *zero_of)
{
    spx_h5_names names;
    spx_status st;
    golden_begin(r, group, rule);
    SPX_RETURN_IF(spx_h5_list(r->file, group, &names));
    for (size_t i = 0; i < names.count; i++) {
        char path[256];
        const spx_layout_entry *e = spx_layout_find(l, names.name[i]);
        const float *got = e != NULL ? entry_data(e, weights, arch, state) : NULL;
        if (got == NULL) {
            st = SPX_FAIL(SPX_EFORMAT, "%s: %s/%s: the network has no such tensor",
                          spx_h5_name(r->file), group, names.name[i]);
            goto done;
        }
        bool zero = false;
        (void)snprintf(path, sizeof path, "%s/%s", zero_of != NULL ? zero_of : group,
                       names.name[i]);
        if (rule.zero > 0) {
            SPX_TRY(st, find_zero(r->file, path, &zero), done);
        }
        (void)snprintf(path, sizeof path, "%s/%s", group, names.name[i]);
        SPX_TRY(st, compare(r, path, got, (size_t)e->count, zero), done);
    }
    golden_end(r);
    st = SPX_OK;
done:
    spx_h5_names_clear(&names);
    return st;
}

double golden_zero_noise(const float *v, const int64_t dims[4])
{
    const int64_t terms = dims[0] * dims[2] * dims[3];
    return 4 * 0x1p-24 * sqrt((double)terms) * norm(v, (size_t)(terms * dims[1]));
}
