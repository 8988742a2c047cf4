#ifndef SPX_WEIGHTS_H
#define SPX_WEIGHTS_H
/*
 * Weights that other programs wrote: named arrays in HDF5 or safetensors, under the spellings that
 * PyTorch users have.
 *
 * HDF5: every dataset; a group is a prefix ending in "/". safetensors
 * (https://github.com/huggingface/safetensors, "Format"): u64 little-endian length of a JSON
 * header, the header {"NAME": {"dtype", "shape", "data_offsets": [begin, end]}, ...,
 * "__metadata__": {text: text}}, the arrays' bytes, little-endian, in C order, without gaps or
 * overlaps.
 */
#include "host/ckpt/ckpt.h"

typedef struct spx_weights spx_weights;

/**
 * Opens a file by what it holds, not by its name. A safetensors header is checked whole: lengths,
 * shapes, offsets, duplicate names.
 * @return SPX_OK; SPX_ENOTFOUND, SPX_EIO; SPX_EFORMAT (neither; what PyTorch pickled is told how to
 *         convert); SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_weights_open(spx_weights **out, const char *path);
void spx_weights_close(spx_weights *w);             /* NULL is a no-op */
const char *spx_weights_name(const spx_weights *w); /* the path */

/**
 * What the file says of its network: an attribute of an HDF5 file's root or an entry of a
 * safetensors file's metadata, numbers as decimal text.
 * @param out  NULL where there is none; else to be freed with spx_free
 */
SPX_MUST_CHECK spx_status spx_weights_about(const spx_weights *w, const char *key, char **out);

/**
 * Finds what precedes the parameters' names ("", "module.", "state_dict/", "param/"): what precedes
 * the classifier's.
 * @param classifier  what the network calls it, such as "linear.weight"
 * @return SPX_OK; SPX_EFORMAT (no such array)
 */
SPX_MUST_CHECK spx_status spx_weights_find(spx_weights *w, const char *classifier);
/** That prefix; "" before it is found. */
const char *spx_weights_prefix(const spx_weights *w);
/** Whether the network's array of that name is there. */
bool spx_weights_has(const spx_weights *w, const char *name);
/** Arrays in other groups than the parameters', which are left alone. */
size_t spx_weights_elsewhere(const spx_weights *w);

/**
 * Fills the arenas of weights and statistics: every entry of the layout must be there with its
 * shape, and nothing else but PyTorch's counters (num_batches_tracked, n_averaged). f16, bf16
 * and f64 are converted, rounding to nearest.
 * @param weights, state  arenas of the layout's sizes, in host memory
 * @return SPX_OK; SPX_EFORMAT naming the first few arrays that are missing or too many and how many
 *         they are, one of another shape or type, or what spx_array_check refuses; SPX_EINVAL: an
 *         arena that is not in host memory
 */
SPX_MUST_CHECK spx_status spx_weights_load(const spx_weights *w, const spx_layout *l,
                                           const spx_buffer *weights, const spx_buffer *state);

#endif
