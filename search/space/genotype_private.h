#ifndef SPX_GENOTYPE_PRIVATE_H
#define SPX_GENOTYPE_PRIVATE_H
/* Names and the two written forms; shared by the files of this folder only. */
#include "search/space/genotype.h"

typedef enum spx_name_verdict {
    SPX_NAME_KNOWN,
    SPX_NAME_RELU, /* a primitive of the ReLU-bearing space */
    SPX_NAME_UNKNOWN
} spx_name_verdict;

/**
 * The primitive with this name as our JSON form writes it ("van_conv_3x3").
 * @param name len bytes; *out is SPX_NONE where the name is not known
 */
spx_name_verdict spx_primitive_plain(spx_primitive *out, const char *name, size_t len);

/**
 * As the published text form writes it: convolutions and skip end in _NR ("no ReLU"), avg_pool_3x3
 * and none do not. An unsuffixed convolution or skip there is the ReLU-bearing primitive.
 */
spx_name_verdict spx_primitive_published(spx_primitive *out, const char *name, size_t len);

/* One form each; *out is unchanged on failure. Statuses of spx_genotype_parse. */
SPX_MUST_CHECK spx_status spx_genotype_parse_text(spx_genotype *out, const char *text, size_t len);
SPX_MUST_CHECK spx_status spx_genotype_parse_json(spx_genotype *out, const char *text, size_t len);

#endif
