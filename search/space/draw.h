#ifndef SPX_DRAW_H
#define SPX_DRAW_H
/* Cells as pictures. */
#include "search/space/genotype.h"

/** Graphviz text of both cells, one cluster each; malloc'd, the caller frees; NULL when out of
 * memory. */
char *spx_genotype_dot(const spx_genotype *g);

#endif
