#include "search/space/spec.h"

#include "search/space/reference.h"

#include <string.h>

spx_final_config spx_spec_config(const spx_final_spec *f, int64_t batch)
{
    spx_final_config c = {.batch = batch,
                          .input = f->input,
                          .classes = f->classes,
                          .init_channels = f->init_channels,
                          .layers = f->layers,
                          .n_reduce = f->n_reduce,
                          .masked = f->masked,
                          .masks_trained = f->masks_trained,
                          .dropped = f->dropped};
    memcpy(c.reduce_at, f->reduce_at, sizeof c.reduce_at);
    return c;
}

spx_status spx_build_spec(spx_network *out, const spx_final_spec *f, const spx_final_config *c)
{
    return f->reference[0] != '\0' ? spx_build_reference(out, f->reference, c)
                                   : spx_build_final(out, &f->genotype, c);
}
