#ifndef SPX_DEPLOY_H
#define SPX_DEPLOY_H
/*
 * The deployed model: a network as integer values and the ops between them. It is the specification
 * of private inference: the integer executor below and the two parties give the same logits, bit
 * for bit.
 *
 * VALUES are integer maps (c, h, w), row after row, channel after channel. OPS stand in an order in
 * which they can run. An op reads one value and ADDS to another; only RELU sets its output. So a
 * value is the sum of what its ops give it, and it is complete before any op reads it. Arithmetic
 * is modulo 2^64. Only what a RELU reads and the logits are proven to fit their width; linear
 * values in between may wrap, which is harmless modulo 2^ring.
 *
 *   CONV  out += W * in       secret weights, public geometry (kernels/nn/conv2d_ring)
 *   BIAS  out += map          secret map of out's shape; holds the rounding offset 2^(f-1) of a
 *                             RELU that reads out
 *   POOL  out += D_y*D_x * box sum of in
 *                             D = denominator / rows (columns) of the window inside the map: sums
 *                             without padding have denominator == size, so the factor is 1
 *   PICK  out[out_first + i][y][x] += in[in_first + i][y*stride + offset][..] << shift
 *                             i < channels: adding, shifting, slices, concatenations, subsampling
 *   RELU  out = clamp(in >> shift, 0, 2^bits - 1)
 *                             arithmetic shift; an element that a mask drops keeps its sign:
 *                             clamp(in >> shift, -2^bits, 2^bits - 1)
 *
 * POOL and PICK are public and linear: each party applies them to its own share. A SEGMENT is what
 * lies between values the client can mask beforehand (image, activations) and one RELU (or the
 * logits). An EXCHANGE is one offline step of a segment: the convolutions into values of equal
 * depth; depth 1 reads images and activations only (after public ops), depth d+1 also what depth d
 * gave.
 */
#include "kernels/base/pool.h"
#include "kernels/base/status.h"
#include "kernels/nn/conv2d_ring/conv2d_ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spx_h5; /* host/h5/h5_file.h */

#define SPX_DEPLOY_SCHEMA 3 /* 2: no masks; 1: nor preprocessing, as files of 0.1.0 */
#define SPX_DEPLOY_MAX_PREPROCESSING ((size_t)1 << 20) /* bytes */
#define SPX_DEPLOY_HASH_BYTES 32
#define SPX_DEPLOY_MAX_VALUES 4096
#define SPX_DEPLOY_MAX_OPS 16384
#define SPX_DEPLOY_MAX_ACTIVATION_BITS 16

typedef enum spx_deploy_kind {
    SPX_DEPLOY_IMAGE,     /* value 0: pixels 0..255, the client's */
    SPX_DEPLOY_LINEAR,    /* sum of CONV, BIAS, POOL and PICK ops */
    SPX_DEPLOY_ACTIVATION /* set by one RELU */
} spx_deploy_kind;

typedef struct spx_deploy_value {
    spx_deploy_kind kind;
    int64_t c, h, w;
    int bits; /* IMAGE, ACTIVATION: unsigned width. LINEAR: signed width that is proven to hold
                    the value, 1..64; 64 where nothing less is proven. Of what a RELU with a mask
                    reads: it holds the value plus 2^(shift + bits) too */
    bool is_signed; /* ACTIVATION: a mask drops some elements, which take one bit more, signed */
    int ring;       /* shares of it are modulo 2^ring: the widest need of its consumers, 1..64 */
    int segment;    /* LINEAR: the segment it first serves; ACTIVATION: the one whose RELU sets it;
                    IMAGE: -1 */
    int depth; /* convolutions in series behind the nearest maskable value; 0: no secret weights
                    (image, activations, public ops of them) */
} spx_deploy_value;

typedef enum spx_deploy_op_kind {
    SPX_DEPLOY_CONV,
    SPX_DEPLOY_BIAS,
    SPX_DEPLOY_POOL,
    SPX_DEPLOY_PICK,
    SPX_DEPLOY_RELU,
    SPX_DEPLOY_OP_KINDS
} spx_deploy_op_kind;

/** Fields an op kind has no use for are 0. */
typedef struct spx_deploy_op {
    spx_deploy_op_kind kind;
    int in, out;                           /* values; in is -1 for BIAS */
    int64_t size, stride, dilation, pad;   /* CONV; POOL (dilation 1); PICK: stride */
    int64_t denominator;                   /* POOL: 1..2520, or size */
    int64_t in_first, out_first, channels; /* PICK */
    int64_t offset;                        /* PICK: first row and column */
    int shift;                             /* PICK: left; RELU: right (f), 0..62 */
    int bits;                              /* RELU: a, width of the output, 1..16 */
    int width;                             /* RELU: l; in fits signed l bits, f + a < l <= 64,
                                              f + a + 1 < l with a mask.
                                              CONV: signed bits of the largest weight (public) */
    int64_t dropped;     /* RELU: elements that the mask drops; 0: there is none */
    const uint8_t *keep; /* RELU with a mask: element j is kept where bit j % 8 of byte j / 8 is 1;
                            [(elements + 7) / 8], the last byte filled up with zeros. Public */
    const int32_t *weights;        /* CONV: [out.c][in.c][size][size]; NULL in a public model */
    const int64_t *bias;           /* BIAS: [out.c][out.h][out.w]; NULL in a public model */
    const spx_conv2d_ring *filter; /* CONV: the weights made ready; NULL in a public model */
} spx_deploy_op;

/** One offline step of a segment. Lists are indices; arrays are the model's. */
typedef struct spx_deploy_exchange {
    int segment, depth;
    int n_in, n_out, n_conv;
    const int *in;   /* values the convolutions read, each once */
    const int *out;  /* values they add to; all of this depth */
    const int *conv; /* ops */
} spx_deploy_exchange;

/** Public fields are for reading. */
typedef struct spx_deploy {
    spx_deploy_value *value; /* [n_values]; 0 is the image */
    spx_deploy_op *op;       /* [n_ops] */
    int n_values, n_ops;
    int logits;         /* the value; (classes, 1, 1), LINEAR, the last segment's output */
    double logit_scale; /* logits times this are the network's real ones */
    int n_segments;     /* RELU layers + 1 */
    int *relu;          /* [n_segments - 1]: the RELU op that ends a segment, ascending */
    spx_deploy_exchange *exchange; /* [n_exchanges], by segment, then depth */
    int n_exchanges;
    int max_depth;
    bool has_weights;    /* false: a public model, as the client holds it */
    char *preprocessing; /* JSON object, public: what images it takes and what its answers are
                            called (data/preprocess); "" where the file does not say (schema 1) */
    char *about; /* JSON object of the exporter (network, classes, ...); "{}" in a public model */
    unsigned char hash[SPX_DEPLOY_HASH_BYTES]; /* BLAKE2b-256 of the content; a public model carries
                                                  that of the whole one */
    void *memory;                              /* private */
} spx_deploy;

void spx_deploy_destroy(spx_deploy *m); /* wipes secrets; NULL is a no-op */

/** The schema of its file: the least that holds it, so that the hash of older files stays. */
int spx_deploy_schema(const spx_deploy *m);
/** Elements of value v. */
size_t spx_deploy_count(const spx_deploy *m, int v);
/** Elements of all values together, and where value v begins among them. */
size_t spx_deploy_total(const spx_deploy *m);
size_t spx_deploy_begin(const spx_deploy *m, int v);
/** ReLUs of an image: elements of all activations that no mask drops. */
int64_t spx_deploy_relus(const spx_deploy *m);
/** Elements that a circuit evaluates: those, and the dropped ones that are clamped. */
int64_t spx_deploy_interactive(const spx_deploy *m);
/** Whether a RELU keeps element j. */
static inline bool spx_deploy_keeps(const spx_deploy_op *op, size_t j)
{
    return op->dropped == 0 || (op->keep[j / 8] >> (j % 8) & 1) != 0;
}

/* ---- files and messages ---- */

/**
 * Reads a model file, everything checked: structure, shapes, widths, lengths, hash.
 * @return SPX_OK, SPX_ENOTFOUND, SPX_EIO, SPX_EFORMAT, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_deploy_read(spx_deploy **out, const char *path);
/** The file is its owner's only (mode 0600; one that is there is narrowed). @return SPX_OK,
 * SPX_EINVAL (a public model), SPX_ENOMEM, SPX_EIO; path is whole or as it was */
SPX_MUST_CHECK spx_status spx_deploy_write(const spx_deploy *m, const char *path);

/** Whether an open file is a deployed model by its format attribute (of any schema). */
bool spx_deploy_is(const struct spx_h5 *f);
/** spx_deploy_read of such a file, which stays the caller's. */
SPX_MUST_CHECK spx_status spx_deploy_read_open(spx_deploy **out, const struct spx_h5 *f);

/**
 * The public part (values, ops without weights and biases, hash, preprocessing) as bytes, for the
 * client.
 * @param data  receives *size bytes; free with spx_free
 */
SPX_MUST_CHECK spx_status spx_deploy_encode_public(const spx_deploy *m, void **data, size_t *size);
/** Reads it back from a peer that is not trusted. @return SPX_OK, SPX_EFORMAT, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_deploy_decode_public(spx_deploy **out, const void *data, size_t size);

/* ---- the integer executor ---- */

/**
 * Logits of n images, one image a worker.
 * @param image   u8 (n, c, h, w) of value 0's shape
 * @param logits  [n][classes]
 * @param pool    NULL: the calling thread alone
 * @return SPX_OK, SPX_EINVAL (a public model), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_deploy_run_integer(const spx_deploy *m, spx_pool *pool, size_t n,
                                                 const uint8_t *image, int64_t *logits);

/**
 * One image, keeping every value: value v is values + spx_deploy_begin(m, v), sign-extended where
 * it fits its width. @param values  [spx_deploy_total]
 */
SPX_MUST_CHECK spx_status spx_deploy_run_values(const spx_deploy *m, spx_pool *pool,
                                                const uint8_t *image, int64_t *values);

/** Bytes of scratch that spx_deploy_apply needs for any op of the model. */
size_t spx_deploy_scratch(const spx_deploy *m);

/**
 * One linear op on a share: out += op(in) modulo 2^64; the low `ring` bits of the value are right
 * where those of the operand are. A client applies POOL and PICK to its share; a server applies all
 * (BIAS too: the bias is the server's).
 * @param i        index of an op that is no RELU; CONV and BIAS need has_weights
 * @param in       share of the operand (unused for BIAS); @param out  share of the result
 * @param scratch  spx_deploy_scratch bytes, aligned to SPX_ALIGN; all three are host memory
 * @param pool     NULL: the calling thread alone
 */
void spx_deploy_apply(const spx_deploy *m, int i, const int64_t *in, int64_t *out, void *scratch,
                      spx_pool *pool);

/** RELU op i on its first n elements, plain. @param in  only the low `width` bits are looked at */
void spx_deploy_relu(const spx_deploy *m, int i, size_t n, const int64_t *in, int64_t *out);

#endif
