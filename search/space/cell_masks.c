#include "search/space/cell_masks.h"

#include <stdio.h>

static int count(uint8_t sites)
{
    int n = 0;
    for (int i = 0; i < SPX_CELL_SITES; i++) {
        n += sites >> i & 1;
    }
    return n;
}

int spx_cell_sites_count(spx_cell_sites s)
{
    return count(s.normal) + count(s.reduce);
}

spx_cell_sites spx_cell_mask_dropped(const spx_genotype *g, spx_cell_sites keep)
{
    const spx_cell_sites all = spx_genotype_sites(g);
    return (spx_cell_sites){(uint8_t)(all.normal & ~keep.normal),
                            (uint8_t)(all.reduce & ~keep.reduce)};
}

/* ---- sites ---- */

static json_t *states(uint8_t sites)
{
    json_t *list = json_array();
    for (int i = 0; i < SPX_CELL_SITES; i++) {
        if ((sites >> i & 1) != 0) {
            (void)json_array_append_new(list, json_integer(i));
        }
    }
    return list;
}

json_t *spx_cell_sites_value(spx_cell_sites s)
{
    return json_pack("{s:o, s:o}", "normal", states(s.normal), "reduce", states(s.reduce));
}

static spx_status parse_states(uint8_t *out, const json_t *value, const char *cell, uint8_t there,
                               const char *what)
{
    const json_t *list = json_object_get(value, cell), *v;
    json_int_t before = -1;
    size_t i;
    *out = 0;
    if (!json_is_array(list)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: expected \"%s\": a list of states", what, cell);
    }
    json_array_foreach(list, i, v)
    {
        const json_int_t state = json_is_integer(v) ? json_integer_value(v) : -1;
        if (state <= before || state >= SPX_CELL_SITES) {
            return SPX_FAIL(SPX_EFORMAT, "%s: \"%s\": expected states of 0 to %d, ascending", what,
                            cell, SPX_CELL_SITES - 1);
        }
        if ((there >> state & 1) == 0) {
            return SPX_FAIL(SPX_EFORMAT,
                            "%s: \"%s\": state %d has no ReLU in this genotype's %s cell (a mask "
                            "goes with the genotype it was found for)",
                            what, cell, (int)state, cell);
        }
        *out = (uint8_t)(*out | 1u << state);
        before = state;
    }
    return SPX_OK;
}

spx_status spx_cell_sites_of_value(spx_cell_sites *out, const json_t *value, const spx_genotype *g,
                                   const char *what)
{
    const spx_cell_sites all = spx_genotype_sites(g);
    SPX_RETURN_IF(parse_states(&out->normal, value, "normal", all.normal, what));
    return parse_states(&out->reduce, value, "reduce", all.reduce, what);
}

/* ---- masks ---- */

json_t *spx_cell_masks_value(const spx_cell_masks *m)
{
    json_t *list = json_array();
    for (int i = 0; i < m->n; i++) {
        json_t *o = spx_cell_sites_value(m->mask[i].keep);
        (void)json_object_set_new(o, "sites", json_integer(spx_cell_sites_count(m->mask[i].keep)));
        (void)json_object_set_new(o, "value", json_real(m->mask[i].value));
        if (json_array_append_new(list, o) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static spx_status parse_mask(spx_cell_masks *m, const json_t *o, const spx_genotype *g,
                             const char *what)
{
    const json_t *sites = json_object_get(o, "sites"), *value = json_object_get(o, "value");
    spx_cell_mask *k = &m->mask[m->n];
    const int before = m->n > 0 ? spx_cell_sites_count(k[-1].keep) : -1;
    SPX_RETURN_IF(spx_cell_sites_of_value(&k->keep, o, g, what));
    const int n = spx_cell_sites_count(k->keep);
    if (!json_is_integer(sites) || json_integer_value(sites) != n) {
        return SPX_FAIL(SPX_EFORMAT, "%s: expected \"sites\": %d, as many as it lists", what, n);
    }
    if (n <= before) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %d sites behind a mask of %d; expected them ascending",
                        what, n, before);
    }
    k->value = json_number_value(value);
    if (!json_is_number(value) || !(k->value > 0 && k->value <= 1)) {
        return SPX_FAIL(SPX_EFORMAT, "%s: expected \"value\": a number above 0 and at most 1",
                        what);
    }
    m->n++;
    return SPX_OK;
}

spx_status spx_cell_masks_of_value(spx_cell_masks *out, const json_t *list, const spx_genotype *g)
{
    const json_t *o;
    spx_cell_masks m = {.n = 0};
    size_t i;
    if (list != NULL && (!json_is_array(list) || json_array_size(list) > SPX_MAX_CELL_MASKS)) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: expected \"masks\": a list of at most %d",
                        SPX_MAX_CELL_MASKS);
    }
    if (json_array_size(list) > 0 && g->space != SPX_SPACE_RELU_OPS) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: masks are of cells of space relu-ops, not %s",
                        spx_space_name(g->space));
    }
    json_array_foreach(list, i, o)
    {
        char what[40];
        (void)snprintf(what, sizeof what, "genotype: mask %d", (int)i);
        SPX_RETURN_IF(parse_mask(&m, o, g, what));
    }
    *out = m;
    return SPX_OK;
}
