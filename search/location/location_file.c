#include "search/location/location_file.h"

#include "host/control/json_text.h"
#include "kernels/base/file.h"

#define LOCATION_BYTES ((size_t)16 << 20)

json_t *spx_location_json(const spx_final_spec *f, const spx_location_pair *pair, int n,
                          const float *beta, int best, const json_t *history)
{
    json_t *pairs = json_array(), *betas = json_array();
    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(pairs, spx_reduce_at_json(pair[i].at, 2));
        (void)json_array_append_new(betas, json_real((double)beta[i]));
    }
    return json_pack("{s:o, s:I, s:I, s:[I,I,I], s:I, s:o, s:o, s:o, s:o}", "reduce_at",
                     spx_reduce_at_json(pair[best].at, 2), "layers", (json_int_t)f->layers,
                     "init_channels", (json_int_t)f->init_channels, "input",
                     (json_int_t)f->input.channels, (json_int_t)f->input.rows,
                     (json_int_t)f->input.columns, "classes", (json_int_t)f->classes, "genotype",
                     spx_genotype_value(&f->genotype), "pairs", pairs, "beta", betas, "history",
                     json_deep_copy(history));
}

static spx_status check_genotype(const char *path, const spx_genotype *found, const spx_genotype *g)
{
    json_t *a = spx_genotype_value(found), *b = spx_genotype_value(g);
    const bool same = json_equal(a, b) == 1;
    json_decref(a);
    json_decref(b);
    return same ? SPX_OK : SPX_FAIL(SPX_EINVAL, "%s: it was found for another --genotype", path);
}

static spx_status parse(const char *path, const json_t *j, const spx_genotype *g, int64_t *layers,
                        spx_location_pair *out)
{
    json_int_t count = 0;
    json_t *at, *genotype;
    json_error_t err;
    spx_genotype found;
    int all[SPX_MAX_REDUCE], n;
    if (json_unpack_ex((json_t *)(uintptr_t)j, &err, 0, "{s:I, s:o, s:o}", "layers", &count,
                       "reduce_at", &at, "genotype", &genotype) != 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: no location (sphynx locate): %s", path, err.text);
    }
    if (count < 1 || count > SPX_MAX_LAYERS) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %lld layers, expected 1 to %d", path, (long long)count,
                        SPX_MAX_LAYERS);
    }
    SPX_RETURN_IF(spx_fail_context(spx_reduce_at_parse(at, count, all, &n), "%s", path));
    SPX_RETURN_IF(spx_fail_context(spx_genotype_of_value(&found, genotype), "%s", path));
    if (n != 2) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %d cells that reduce, expected 2", path, n);
    }
    SPX_RETURN_IF(check_genotype(path, &found, g));
    *layers = count;
    *out = (spx_location_pair){{all[0], all[1]}};
    return SPX_OK;
}

spx_status spx_location_load(const char *path_or_folder, const spx_genotype *g, int64_t *layers,
                             spx_location_pair *out)
{
    char path[4096];
    json_t *j;
    spx_status st;
    SPX_RETURN_IF(spx_file_within(path, sizeof path, path_or_folder, "location.json"));
    SPX_RETURN_IF(spx_json_read(&j, path, LOCATION_BYTES));
    st = parse(path, j, g, layers, out);
    json_decref(j);
    return st;
}
