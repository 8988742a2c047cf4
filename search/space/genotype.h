#ifndef SPX_GENOTYPE_H
#define SPX_GENOTYPE_H
/* Cells as data: which primitives join which states. Source: Sphynx, arXiv 2106.11755. */
#include "kernels/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Where ReLUs are. */
typedef enum spx_space {
    SPX_SPACE_SPHYNX,   /* one, on a cell's output; none in a primitive */
    SPX_SPACE_RELU_OPS, /* besides, one on every state that primitives read rectified, shared by all
                           of them */
    SPX_SPACE_COUNT
} spx_space;

/** "sphynx", "relu-ops"; "?" for a number that is no space. */
const char *spx_space_name(spx_space s);

/** Primitives in the published order (the index of an alpha row's column). The dilated ones of
 * RELU_OPS are depthwise separable, "dil_conv_3x3" and "dil_conv_5x5". */
typedef enum spx_primitive {
    SPX_AVG_POOL_3X3,
    SPX_SKIP_CONNECT,
    SPX_VAN_CONV_3X3,
    SPX_VAN_CONV_5X5,
    SPX_VAN_DIL_CONV_3X3,
    SPX_VAN_DIL_CONV_5X5,
    SPX_NONE,
    SPX_PRIMITIVE_COUNT
} spx_primitive;

#define SPX_CELL_NODES 4  /* intermediate nodes; node i has 2 + i candidate inputs */
#define SPX_NODE_EDGES 2  /* edges kept per node in a genotype */
#define SPX_CELL_EDGES 14 /* candidate edges of a cell: 2 + 3 + 4 + 5 */

/** "avg_pool_3x3"; "?" for a number that is no primitive. */
const char *spx_primitive_name(spx_space s, spx_primitive p);

/** Whether it reads its input through the state's ReLU: in RELU_OPS all but pool and identity. */
bool spx_primitive_rectifies(spx_space s, spx_primitive p, int64_t stride);

typedef struct spx_gene {
    spx_primitive primitive; /* never SPX_NONE */
    int from;                /* state: 0, 1 the cell's inputs, 2.. its earlier nodes */
} spx_gene;

typedef struct spx_cell_genes {
    spx_gene edge[SPX_CELL_NODES][SPX_NODE_EDGES];
} spx_cell_genes;

typedef struct spx_genotype {
    spx_space space;
    spx_cell_genes normal, reduce;
} spx_genotype;

#define SPX_CELL_SITES 5 /* states that primitives read; the last node only goes to the output */

/** ReLUs on states, by kind of cell: bit i is that of state i. A cell's output keeps its own. */
typedef struct spx_cell_sites {
    uint8_t normal, reduce;
} spx_cell_sites;

/** Those that the cells of a genotype have; none in SPHYNX. */
spx_cell_sites spx_genotype_sites(const spx_genotype *g);

/** The genotype of every published network. */
extern const spx_genotype spx_genotype_published;

/** SPX_EINVAL, naming the space, or cell, node and edge, where a primitive is none or unknown or a
 * state is not earlier. */
SPX_MUST_CHECK spx_status spx_genotype_check(const spx_genotype *g);

/**
 * Reads the JSON form ({"space": "sphynx", "normal": [[["skip_connect", 0], ...) or the published
 * text form (Genotype(normal=[[('skip_connect_NR', 0), ...; without _NR, of RELU_OPS). Keys of a
 * JSON object other than space, normal, reduce and masks (cell_masks.h) are ignored.
 * @param text len bytes, any content; at most 64 KiB
 * @return SPX_OK; SPX_EFORMAT with line and column (in JSON of good syntax: cell, node and edge),
 * what was found and what was expected; SPX_ENOMEM. On failure *out is unchanged
 */
SPX_MUST_CHECK spx_status spx_genotype_parse(spx_genotype *out, const char *text, size_t len);

/** "published", or a file in either form, or a folder whose genotype.json it is. @return as parse,
 * naming the file; SPX_EIO, SPX_ENOTFOUND */
SPX_MUST_CHECK spx_status spx_genotype_load(spx_genotype *out, const char *name_or_path);

/** JSON text ending in a newline, malloc'd, the caller frees; NULL when out of memory. */
char *spx_genotype_json(const spx_genotype *g);
/** The published text form, likewise. */
char *spx_genotype_text(const spx_genotype *g);

/** The JSON form as a part of other JSON, a new reference; NULL when out of memory. */
json_t *spx_genotype_value(const spx_genotype *g);
/** Reads it back, as spx_genotype_parse; NULL is SPX_EFORMAT. */
SPX_MUST_CHECK spx_status spx_genotype_of_value(spx_genotype *out, const json_t *value);

/**
 * The genotype of trained alphas, said to be of SPHYNX: per edge the largest raw alpha other than
 * none; per node the two edges with the largest such alpha, in descending order (ties: lower
 * index).
 * @param normal, reduce SPX_CELL_NODES pointers to (2 + i) x SPX_PRIMITIVE_COUNT rows, host memory
 */
void spx_genotype_from_alphas(spx_genotype *out, const float *const normal[SPX_CELL_NODES],
                              const float *const reduce[SPX_CELL_NODES]);

#endif
