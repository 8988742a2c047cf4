/* The JSON form of a genotype: {"space": SPACE, "normal": cell, "reduce": cell}, a cell an array
 * of four nodes or of their eight edges, a node an array of two edges, an edge [primitive, state].
 */
#include "search/space/genotype_private.h"

#include <stdlib.h>
#include <string.h>

static spx_status parse_edge(spx_space space, spx_gene *out, const json_t *edge, const char *cell,
                             int node, int j)
{
    const json_t *name = json_array_get(edge, 0);
    const json_t *from = json_array_get(edge, 1);
    if (json_array_size(edge) != 2 || !json_is_string(name) || !json_is_integer(from)) {
        return SPX_FAIL(SPX_EFORMAT,
                        "genotype: %s cell, node %d, edge %d: expected [\"primitive\", state]",
                        cell, node, j);
    }
    const char *s = json_string_value(name);
    const json_int_t state = json_integer_value(from);
    if (!spx_primitive_plain(space, &out->primitive, s, strlen(s))) {
        return SPX_FAIL(
            SPX_EFORMAT,
            "genotype: %s cell, node %d, edge %d: unknown primitive '%.64s' of space %s", cell,
            node, j, s, spx_space_name(space));
    }
    if (out->primitive == SPX_NONE) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: %s cell, node %d, edge %d: 'none' is no edge", cell,
                        node, j);
    }
    if (state < 0 || state >= node) {
        return SPX_FAIL(SPX_EFORMAT,
                        "genotype: %s cell, node %d, edge %d: state %" JSON_INTEGER_FORMAT
                        ", must be 0 to %d",
                        cell, node, j, state, node - 1);
    }
    out->from = (int)state;
    return SPX_OK;
}

static spx_status parse_cell(spx_space space, spx_cell_genes *out, const json_t *root,
                             const char *cell)
{
    const json_t *nodes = json_object_get(root, cell);
    if (json_array_size(nodes) == (size_t)SPX_CELL_NODES * SPX_NODE_EDGES &&
        json_is_string(json_array_get(json_array_get(nodes, 0), 0))) {
        for (int k = 0; k < SPX_CELL_NODES * SPX_NODE_EDGES; k++) {
            const int i = k / SPX_NODE_EDGES, j = k % SPX_NODE_EDGES;
            SPX_RETURN_IF(parse_edge(space, &out->edge[i][j], json_array_get(nodes, (size_t)k),
                                     cell, i + 2, j));
        }
        return SPX_OK;
    }
    if (json_array_size(nodes) != SPX_CELL_NODES) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: '%s' must be an array of %d nodes", cell,
                        SPX_CELL_NODES);
    }
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        const json_t *edges = json_array_get(nodes, (size_t)i);
        if (json_array_size(edges) != SPX_NODE_EDGES) {
            return SPX_FAIL(SPX_EFORMAT, "genotype: %s cell, node %d must be an array of %d edges",
                            cell, i + 2, SPX_NODE_EDGES);
        }
        for (int j = 0; j < SPX_NODE_EDGES; j++) {
            SPX_RETURN_IF(parse_edge(space, &out->edge[i][j], json_array_get(edges, (size_t)j),
                                     cell, i + 2, j));
        }
    }
    return SPX_OK;
}

spx_status spx_genotype_of_value(spx_genotype *out, const json_t *root)
{
    const char *space = json_string_value(json_object_get(root, "space"));
    spx_genotype g = {0};
    if (space == NULL) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: expected an object with \"space\": \"sphynx\" or "
                                     "\"relu-ops\"");
    }
    while (g.space < SPX_SPACE_COUNT && strcmp(space, spx_space_name(g.space)) != 0) {
        g.space++;
    }
    if (g.space == SPX_SPACE_COUNT) {
        return SPX_FAIL(SPX_EFORMAT,
                        "genotype: unknown space '%.64s', expected 'sphynx' or 'relu-ops'", space);
    }
    SPX_RETURN_IF(parse_cell(g.space, &g.normal, root, "normal"));
    SPX_RETURN_IF(parse_cell(g.space, &g.reduce, root, "reduce"));
    *out = g;
    return SPX_OK;
}

spx_status spx_genotype_parse_json(spx_genotype *out, spx_cell_masks *m, const char *text,
                                   size_t len)
{
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: line %d, column %d: %s", error.line, error.column,
                        error.text);
    }
    spx_genotype g;
    spx_status st = spx_genotype_of_value(&g, root);
    if (st == SPX_OK) {
        st = spx_cell_masks_of_value(m, json_object_get(root, "masks"), &g);
    }
    if (st == SPX_OK) {
        *out = g;
    }
    json_decref(root);
    return st;
}

json_t *spx_genotype_value(const spx_genotype *g)
{
    char *text = spx_genotype_json(g);
    json_t *value = text != NULL ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return value;
}
