#ifndef SPX_NN_CONV2D_PRIVATE_H
#define SPX_NN_CONV2D_PRIVATE_H
/* Private to this folder: what a device, and on the CPU an algorithm, offers to the dispatch. */
#include "kernels/nn/conv2d/conv2d.h"

/** One checked run; a pass reads only its own operands, the others are absent. */
typedef struct spx_conv2d_call {
    const spx_conv2d_shape *d;
    spx_conv2d_pass pass;
    bool accumulate;
    spx_conv2d_input in; /* in.x: x, or dx */
    spx_operand y;       /* or dy */
    const void *w;       /* forward, backward-data */
    const float *bias;   /* forward; NULL for none */
    float *dw, *dbias;   /* backward-weights; dbias may be NULL */
    void *workspace;
} spx_conv2d_call;

typedef struct spx_conv2d_backend spx_conv2d_backend;

/** What the plans of all devices begin with. */
struct spx_conv2d_plan {
    const spx_conv2d_backend *backend;
    spx_conv2d_want want;
    spx_type type; /* of activations */
    double seconds;
    char choice[SPX_CONV2D_CHOICE];
    size_t bytes; /* of workspace */
};

/** What a device gives; wants are checked. */
struct spx_conv2d_backend {
    spx_device device;
    bool fuses;        /* the input's normalisation and ReLU */
    bool adds_forward; /* forward can add to its output */
    spx_status (*candidates)(spx_stream *s, const spx_conv2d_want *want, spx_conv2d_choices *out);
    spx_status (*create)(spx_conv2d_plan **out, spx_stream *s, const spx_conv2d_want *want,
                         const char *choice);
    void (*destroy)(spx_conv2d_plan *p);
    spx_status (*run)(const spx_conv2d_plan *p, spx_stream *s, const spx_conv2d_call *call);
};
extern const spx_conv2d_backend spx_conv2d_cpu;
extern const spx_conv2d_backend spx_conv2d_cuda; /* where SPX_HAVE_CUDA */

/** An algorithm on the CPU. NULL functions: yes. */
typedef struct spx_conv2d_algorithm {
    const char *name;
    bool (*supports)(const spx_conv2d_shape *d);
    /** Whether a count of cycles says that it is faster than those behind it in the list. */
    bool (*pays)(const spx_conv2d_shape *d, spx_conv2d_pass pass);
    /** Whether it is to be measured. */
    bool (*worth)(const spx_conv2d_shape *d);
    size_t (*workspace)(const spx_conv2d_shape *d, spx_conv2d_pass pass, int threads);
    void (*run)(spx_stream *s, const spx_conv2d_call *call);
} spx_conv2d_algorithm;

extern const spx_conv2d_algorithm spx_conv2d_ref;
extern const spx_conv2d_algorithm spx_conv2d_planar, spx_conv2d_winograd; /* on x86-64 */

#endif
