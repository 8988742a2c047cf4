#ifndef SPX_GENOTYPE_PRIVATE_H
#define SPX_GENOTYPE_PRIVATE_H
/* Names and the two written forms; shared by the files of this folder only. */
#include "search/space/cell_masks.h"

/** Whether it is the name of a primitive of that space as our JSON form writes it
 * ("van_conv_3x3").
 * @param name len bytes; *out is SPX_NONE where the name is not known */
bool spx_primitive_plain(spx_space space, spx_primitive *out, const char *name, size_t len);

/**
 * The same as the published text form writes it: convolutions and skip of SPHYNX end in _NR ("no
 * ReLU"), those of RELU_OPS do not.
 * @param space  SPX_SPACE_COUNT where the name is of both spaces
 */
bool spx_primitive_published(spx_primitive *out, spx_space *space, const char *name, size_t len);

/* One form each; *out is unchanged on failure. Statuses of spx_genotype_parse. */
SPX_MUST_CHECK spx_status spx_genotype_parse_text(spx_genotype *out, const char *text, size_t len);
SPX_MUST_CHECK spx_status spx_genotype_parse_json(spx_genotype *out, spx_cell_masks *m,
                                                  const char *text, size_t len);

#endif
