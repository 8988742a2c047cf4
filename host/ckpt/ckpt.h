#ifndef SPX_CKPT_H
#define SPX_CKPT_H
/*
 * Checkpoints and models: one checksummed HDF5 file, written whole or not at all.
 *
 *   /              attribute format = "sphynx-model", schema = SPX_CKPT_SCHEMA
 *   /meta          u8 [n]: a JSON object; "kind" says what the file is, the rest is the writer's
 *                  (network, genotype, resolved options, progress, ...)
 *   /GROUP/NAME    f32 arrays of an arena, NAME and shape as in the layout: parameters and running
 *                  statistics carry the published implementation's names
 *
 * Groups in use: param (weights and architecture parameters), buffer (running statistics),
 * momentum, adam_m, adam_v, ema_param, ema_buffer.
 */
#include "host/graph/layout.h"
#include "host/h5/h5_file.h"

#include <jansson.h>

#define SPX_CKPT_SCHEMA 1

/** Pairs a group of the file with an arena of a layout: all entries of that role. Saving and
 * loading
 * want it in host memory (host/train/device_arenas.h brings it there). */
typedef struct spx_ckpt_arena {
    const char *group;
    spx_role role;   /* WEIGHT, ARCH or STATE: which entries, and the arena's shape */
    spx_buffer data; /* arena of the layout's size; read by save, written by load; empty: skipped */
} spx_ckpt_arena;

/**
 * Writes a checkpoint over path.
 * @param meta  an object with a string "kind"; borrowed
 * @param keep_previous  the file it replaces stays as path + ".prev"
 * @return SPX_OK, SPX_EINVAL (meta; an arena not of the host), SPX_ENUMERIC (numbers that
 * loading would refuse), SPX_ENOMEM,
 *         SPX_EIO (path holds what it held)
 */
SPX_MUST_CHECK spx_status spx_ckpt_save(const char *path, const json_t *meta, const spx_layout *l,
                                        const spx_ckpt_arena *arena, size_t n, bool keep_previous);

typedef struct spx_ckpt {
    spx_h5 *file;        /* owned */
    json_t *meta;        /* owned; an object */
    spx_status fallback; /* why path + ".prev" was opened instead: SPX_ENOTFOUND, SPX_EFORMAT (path
                            was absent, damaged); SPX_OK: it was not */
} spx_ckpt;

/**
 * Where a model or checkpoint is: a folder stands for model.h5 in it, or last.h5 where its run is
 * not finished, or was a search.
 * @return SPX_OK, SPX_EINVAL (longer than room), SPX_ENOTFOUND (a folder with neither)
 */
SPX_MUST_CHECK spx_status spx_ckpt_path(const char *given, char *path, size_t room);

/**
 * Opens path, its checksum verified before it is parsed.
 * @return SPX_OK, SPX_ENOTFOUND, SPX_EIO, SPX_EFORMAT (checksum, format, schema, meta), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_ckpt_open(spx_ckpt *out, const char *path);
/** The same of an open file, which is taken over, also on failure. */
SPX_MUST_CHECK spx_status spx_ckpt_take(spx_ckpt *out, spx_h5 *file);
/**
 * The same for going on with a run. If path is missing or damaged, path + ".prev" is opened. A
 * damaged file is renamed to its name + ".damaged", so that the next save keeps the good one.
 */
SPX_MUST_CHECK spx_status spx_ckpt_open_latest(spx_ckpt *out, const char *path);
void spx_ckpt_close(spx_ckpt *c); /* zeroed or opened */

/** meta's "kind"; never NULL for an open checkpoint. */
const char *spx_ckpt_kind(const spx_ckpt *c);

/**
 * Fills arenas from an open checkpoint; gaps of the arenas stay as they are.
 * @return SPX_OK; SPX_EFORMAT naming the first array that is missing, has another shape, or holds
 *         what spx_array_check refuses; SPX_EINVAL: an arena that is not in host memory
 */
SPX_MUST_CHECK spx_status spx_ckpt_load(const spx_ckpt *c, const spx_layout *l,
                                        const spx_ckpt_arena *arena, size_t n);

/** spx_ckpt_load of any HDF5 file with groups of named arrays, such as published weights. */
SPX_MUST_CHECK spx_status spx_arrays_load(const spx_h5 *f, const spx_layout *l,
                                          const spx_ckpt_arena *arena, size_t n);

/** "4x3x3x3", for messages. */
void spx_shape_text(int rank, const int64_t *dim, char *out, size_t room);

/**
 * Whether an array holds numbers to compute with: all finite; none negative where it is called
 * running_var, whose root is taken. Where it is called mask, and is a state ("buffer"): 0 or 1.
 * @param file  for messages
 * @param name  likewise, with its group: "buffer/relu.mask"
 * @param dim         [rank], 0 <= rank <= SPX_H5_MAX_RANK
 * @param x           product of dim elements
 * @return SPX_OK; SPX_EFORMAT naming the array and the index of the first that is not
 */
SPX_MUST_CHECK spx_status spx_array_check(const char *file, const char *name, int rank,
                                          const int64_t *dim, const float *x);

#endif
