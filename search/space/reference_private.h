#ifndef SPX_REFERENCE_PRIVATE_H
#define SPX_REFERENCE_PRIVATE_H
/* Reference networks: what their families share; private to search/space. */
#include "search/space/reference.h"

typedef enum spx_ref_key {
    SPX_REF_FORM,
    SPX_REF_STEM_RELU,
    SPX_REF_LAST_RELU,
    SPX_REF_WIDTH,
    SPX_REF_POOL,
    SPX_REF_NORM,
    SPX_REF_CULL,
    SPX_REF_THIN,
    SPX_REF_SCALE, /* deepreduce's alpha */
    SPX_REF_RHO,
    SPX_REF_BLOCKS,
    SPX_REF_M, /* hybrenet's, and three factors */
    SPX_REF_ALPHA,
    SPX_REF_BETA,
    SPX_REF_GAMMA,
    SPX_REF_LAYERS,
    SPX_REF_KERNELS,
    SPX_REF_SKIPS,
    SPX_REF_KEYS
} spx_ref_key;

#define SPX_REF_STAGES 4 /* of a list of stages */
#define SPX_REF_TEXT 96

typedef struct spx_ref_value {
    char text[SPX_REF_TEXT]; /* canonical */
    double number;           /* of numbers */
    int list[SPX_REF_STAGES], n;
} spx_ref_value;

struct spx_ref_net;

typedef struct spx_ref_default {
    spx_ref_key key;
    const char *text;  /* NULL: the list ends here */
    const char *large; /* for form 224, where it is another; with text "": only that form has it */
} spx_ref_default;

#define SPX_REF_FAMILY_KEYS 6 /* with the end */

typedef struct spx_ref_family {
    const char *name;
    spx_ref_default key[SPX_REF_FAMILY_KEYS]; /* beside the form; in canonical order */
    struct {
        int64_t least, most; /* rows and columns that it takes */
    } side[3];               /* of forms 32, 64, 224; most 0: there is no such form */
    int blocks
        [SPX_REF_STAGES]; /* residual ones: of each stage; of a chain: layers, 0: as LAYERS says */
    bool bottleneck;
    void (*build)(struct spx_ref_net *r);
} spx_ref_family;

/** A network in the making. */
typedef struct spx_ref_net {
    spx_network *n;
    spx_graph *g;
    const spx_final_config *c;
    const spx_ref_family *f;
    const spx_ref_value *v; /* [SPX_REF_KEYS] */
} spx_ref_net;

/* Builders of the families: from r->n->image to spx_ref_classify. */
void spx_ref_resnet(spx_ref_net *r);
void spx_ref_deepreduce(spx_ref_net *r);
void spx_ref_hybrenet(spx_ref_net *r);
void spx_ref_wide_resnet(spx_ref_net *r);
void spx_ref_vgg(spx_ref_net *r);
void spx_ref_densenet(spx_ref_net *r);
void spx_ref_mobilenet(spx_ref_net *r);
void spx_ref_squeezenet(spx_ref_net *r);
void spx_ref_cnet(spx_ref_net *r);

static inline int64_t spx_ref_int(const spx_ref_net *r, spx_ref_key k)
{
    return (int64_t)r->v[k].number;
}

/* Parts. All take and give SPX_NO_TENSOR after a failure, as the graph's builders do. */

/** size x size, padded so that stride 1 keeps the map; no bias. */
spx_tid spx_ref_conv(const spx_ref_net *r, spx_tid x, const char *name, int64_t filters,
                     int64_t size, int64_t stride);
spx_tid spx_ref_conv_bias(const spx_ref_net *r, spx_tid x, const char *name, int64_t filters,
                          int64_t size, int64_t stride);
/** spx_ref_conv and an affine batch norm. */
spx_tid spx_ref_conv_bn(const spx_ref_net *r, spx_tid x, const char *conv, const char *bn,
                        int64_t filters, int64_t size, int64_t stride);
spx_tid spx_ref_add(const spx_ref_net *r, spx_tid x, spx_tid y, const char *name);
/** Max pool, or average pool as pool=avg says. */
spx_tid spx_ref_pool(const spx_ref_net *r, spx_tid x, int64_t size, int64_t stride, int64_t pad,
                     const char *name);
int64_t spx_ref_channels(const spx_ref_net *r, spx_tid x); /* 0 after a failure */
/** What follows belongs to the next stage. */
void spx_ref_stage(spx_ref_net *r);
/** x is that stage's output. */
void spx_ref_stage_end(spx_ref_net *r, spx_tid x);
/** Mean of the map, linear layer of that name, loss; NULL: the mean is the logits. */
void spx_ref_classify(spx_ref_net *r, spx_tid x, const char *name);

#define SPX_REF_LAYERS_MAX 24 /* of a chain */
static inline int spx_ref_layers(const spx_ref_family *f, const spx_ref_value *v)
{
    return f->blocks[0] > 0 ? f->blocks[0] : (int)v[SPX_REF_LAYERS].number;
}

/** The kernels' digits and skips of a chain of n layers, checked and in canonical form; skips may
 * be a file where one may be read, which has the kernels, too. */
SPX_MUST_CHECK spx_status spx_ref_kernels(int n, spx_ref_value *v);
SPX_MUST_CHECK spx_status spx_ref_skips(int n, bool may_read, spx_ref_value *skips,
                                        spx_ref_value *kernels);

#endif
