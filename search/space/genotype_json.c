/* The JSON form of a genotype: {"space": "sphynx", "normal": cell, "reduce": cell}, a cell an array
 * of four nodes or of their eight edges, a node an array of two edges, an edge [primitive, state].
 */
#include "search/space/genotype_private.h"

#include <stdlib.h>
#include <string.h>

static spx_status parse_edge(spx_gene *out, const json_t *edge, const char *cell, int node, int j)
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
    const spx_name_verdict verdict = spx_primitive_plain(&out->primitive, s, strlen(s));
    if (verdict == SPX_NAME_UNKNOWN) {
        return SPX_FAIL(SPX_EFORMAT,
                        "genotype: %s cell, node %d, edge %d: unknown primitive '%.64s'", cell,
                        node, j, s);
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

static spx_status parse_cell(spx_cell_genes *out, const json_t *root, const char *cell)
{
    const json_t *nodes = json_object_get(root, cell);
    if (json_array_size(nodes) == (size_t)SPX_CELL_NODES * SPX_NODE_EDGES &&
        json_is_string(json_array_get(json_array_get(nodes, 0), 0))) {
        for (int k = 0; k < SPX_CELL_NODES * SPX_NODE_EDGES; k++) {
            const int i = k / SPX_NODE_EDGES, j = k % SPX_NODE_EDGES;
            SPX_RETURN_IF(
                parse_edge(&out->edge[i][j], json_array_get(nodes, (size_t)k), cell, i + 2, j));
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
            SPX_RETURN_IF(
                parse_edge(&out->edge[i][j], json_array_get(edges, (size_t)j), cell, i + 2, j));
        }
    }
    return SPX_OK;
}

spx_status spx_genotype_of_value(spx_genotype *out, const json_t *root)
{
    const char *space = json_string_value(json_object_get(root, "space"));
    spx_genotype g = {0};
    if (space == NULL) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: expected an object with \"space\": \"sphynx\"");
    }
    if (strcmp(space, "relu-ops") == 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "genotype: the relu-ops space is not in this version");
    }
    if (strcmp(space, "sphynx") != 0) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: unknown space '%.64s', expected 'sphynx'", space);
    }
    SPX_RETURN_IF(parse_cell(&g.normal, root, "normal"));
    SPX_RETURN_IF(parse_cell(&g.reduce, root, "reduce"));
    *out = g;
    return SPX_OK;
}

spx_status spx_genotype_parse_json(spx_genotype *out, const char *text, size_t len)
{
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: line %d, column %d: %s", error.line, error.column,
                        error.text);
    }
    const spx_status st = spx_genotype_of_value(out, root);
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
