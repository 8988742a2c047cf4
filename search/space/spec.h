#ifndef SPX_SPEC_H
#define SPX_SPEC_H
/* Which final network: what describes one in options, plans, runs and model files, and the one
 * place where a description becomes a graph. */
#include "search/space/network.h"

#define SPX_REFERENCE_CHARS 256

/** What a model file says about its network and the images it expects. */
typedef struct spx_final_spec {
    /** A reference network in canonical form, all keys written out ("resnet18,form=32,..."); then
     * genotype, init_channels, layers and reduce_at mean nothing. "": cells of the genotype. */
    char reference[SPX_REFERENCE_CHARS];
    spx_genotype genotype;
    spx_input_shape input;
    int64_t classes, init_channels, layers;
    int n_reduce;
    int reduce_at[SPX_MAX_REDUCE];
    bool masked;            /* every ReLU has a mask */
    bool masks_trained;     /* the masks are architecture parameters, not states: within a program
                               that trains them; files never say so */
    spx_cell_sites dropped; /* of cells, masked: what a new network begins without; files of models
                               have the masks themselves */
    double mean[4], std[4]; /* [input.channels], of pixels scaled to 0..1 */
} spx_final_spec;

/** The configuration for evaluation, without auxiliary head. */
spx_final_config spx_spec_config(const spx_final_spec *f, int64_t batch);

/**
 * Builds the network that f describes. Whoever needs a final network's graph comes here.
 * @param c  spx_spec_config's, or that with training, head, smaller images and so on
 * @return as spx_build_final
 */
SPX_MUST_CHECK spx_status spx_build_spec(spx_network *out, const spx_final_spec *f,
                                         const spx_final_config *c);

#endif
