#include "data/pack/pack_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/rng.h"

/* What is to be drawn yet of one class. */
typedef struct class {
    spx_rng rng;
    size_t left, out;
} class;

spx_status spx_pack_no_share(const spx_pack_build_options *o, const char *src)
{
    return o == NULL || !o->asked
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "%s: has a test split of its own: leave out --test-fraction",
                          src);
}

spx_status spx_pack_hold_out(const uint16_t *label, size_t n, int classes,
                             const spx_pack_build_options *o, bool *out)
{
    class *of;
    SPX_RETURN_IF(SPX_NEW(of, (size_t)classes));
    for (size_t i = 0; i < n; i++) {
        of[label[i]].left++;
    }
    for (int k = 0; k < classes; k++) {
        const size_t all = of[k].left, share = (size_t)(o->held_out * (double)all + 0.5);
        of[k].out = share == 0 && o->held_out > 0 && all > 1 ? 1 : share;
        of[k].out = of[k].out < all || all == 0 ? of[k].out : all - 1;
        spx_rng_init(&of[k].rng, o->seed, SPX_RNG_SPLIT, (uint64_t)k);
    }
    for (size_t i = 0; i < n; i++) { /* any set of a class is as likely */
        class *c = &of[label[i]];
        out[i] = c->out > 0 && spx_rng_below(&c->rng, (uint32_t)c->left) < c->out;
        c->out -= out[i];
        c->left--;
    }
    spx_free(of);
    return SPX_OK;
}
