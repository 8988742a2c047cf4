#define _POSIX_C_SOURCE 200809L
#include "search/space/draw.h"

#include <stdio.h>
#include <stdlib.h>

/* Name of a state for people: the two inputs by the cells they come from. */
static const char *state_label(int state)
{
    static const char *const label[] = {"cell k-2", "cell k-1", "node 2",
                                        "node 3",   "node 4",   "node 5"};
    return label[state];
}

/* In a reduction cell, edges from the inputs have stride 2. */
static void draw_cell(FILE *f, spx_space space, const spx_cell_genes *c, const char *name)
{
    (void)fprintf(f, "  subgraph cluster_%s {\n    label=\"%s cell\";\n", name, name);
    for (int s = 0; s < SPX_CELL_NODES + 2; s++) {
        (void)fprintf(f, "    %s_%d [label=\"%s\", fillcolor=\"%s\"];\n", name, s, state_label(s),
                      s < 2 ? "#d9e8d0" : "#cfe0f3");
    }
    (void)fprintf(f, "    %s_out [label=\"conv 1x1, BN, ReLU\", fillcolor=\"#f6e3b4\"];\n", name);
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        for (int j = 0; j < SPX_NODE_EDGES; j++) {
            const spx_gene *e = &c->edge[i][j];
            const int stride = name[0] == 'r' && e->from < 2 ? 2 : 1;
            (void)fprintf(f, "    %s_%d -> %s_%d [label=\"%s%s%s\"];\n", name, e->from, name, i + 2,
                          spx_primitive_rectifies(space, e->primitive, stride) ? "ReLU, " : "",
                          spx_primitive_name(space, e->primitive), stride == 2 ? " /2" : "");
        }
        (void)fprintf(f, "    %s_%d -> %s_out;\n", name, i + 2, name);
    }
    (void)fprintf(f, "  }\n");
}

char *spx_genotype_dot(const spx_genotype *g)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL) {
        return NULL;
    }
    (void)fprintf(f, "digraph cells {\n  rankdir=LR;\n  fontname=\"Helvetica\";\n"
                     "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\"];\n"
                     "  edge [fontname=\"Helvetica\", fontsize=10];\n");
    draw_cell(f, g->space, &g->normal, "normal");
    draw_cell(f, g->space, &g->reduce, "reduce");
    (void)fprintf(f, "}\n");
    const int bad = ferror(f);
    if (fclose(f) != 0 || bad) {
        free(text);
        return NULL;
    }
    return text;
}
