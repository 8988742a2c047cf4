#ifndef SPX_PACK_PRIVATE_H
#define SPX_PACK_PRIVATE_H
/* Shared by the readers of this folder. */
#include "data/pack/pack_build.h"

#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

/* ---- folders ---- */

/** SPX_ENOTFOUND: what was looked for in src and what is there instead. */
SPX_MUST_CHECK spx_status spx_pack_not_found(const char *src, const char *wanted);

/** folder/name (folder where name is ".") in PATH_MAX bytes; false where that is too long. */
bool spx_path_join(char *path, const char *folder, const char *name);

/* ---- a source file: plain or gzip, read in order ---- */

/** The most deflate can expand (zlib's technical details: a match of 258 bytes in 2 bits). */
#define SPX_DEFLATE_RATIO 1032

/** Appends a line of sha256sum's output to p->sources. @param path  its last part is what counts */
SPX_MUST_CHECK spx_status spx_pack_add_source(spx_pack *p, const char *path, const void *data,
                                              size_t size);

typedef struct spx_pack_input {
    const char *path; /* borrowed */
    unsigned char *raw;
    size_t raw_size;
    size_t at; /* offset in the uncompressed bytes */
    bool gzip, started, ended;
    z_stream z;
} spx_pack_input;

/** Reads path whole and adds its digest to p->sources (p NULL: not). Close whatever comes back. */
SPX_MUST_CHECK spx_status spx_pack_input_open(spx_pack_input *s, const char *path, spx_pack *p);

/** Most bytes that can still follow, by the file's size; more than a header claims is no bomb. */
size_t spx_pack_input_limit(const spx_pack_input *s);

/** The next n bytes; fewer left is SPX_EFORMAT. */
SPX_MUST_CHECK spx_status spx_pack_input_read(spx_pack_input *s, void *dst, size_t n);

/** SPX_EFORMAT unless everything has been read and the compressed stream ends whole. */
SPX_MUST_CHECK spx_status spx_pack_input_end(spx_pack_input *s);
void spx_pack_input_close(spx_pack_input *s);

/** All uncompressed bytes of a file; more than max_bytes is SPX_EFORMAT. @param bytes  spx_free */
SPX_MUST_CHECK spx_status spx_pack_input_whole(const char *path, size_t max_bytes, void **bytes,
                                               size_t *size);

/* ---- a dictionary that Python pickled ---- */

typedef struct spx_pickle spx_pickle;

/** Takes a pickle apart without executing anything. @param bytes  borrowed until spx_pickle_close
 * @return SPX_OK, SPX_EFORMAT (anything that CIFAR's files do not hold), SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_pickle_open(spx_pickle **out, const char *path, const void *bytes,
                                          size_t size);
void spx_pickle_close(spx_pickle *p); /* NULL is a no-op */

/** The array of u8 (rows, columns) under key; data lies in the pickle's bytes. */
SPX_MUST_CHECK spx_status spx_pickle_bytes(const spx_pickle *p, const char *key, size_t columns,
                                           size_t *rows, const uint8_t **data);
/** The list of n labels under key, each < classes. */
SPX_MUST_CHECK spx_status spx_pickle_labels(const spx_pickle *p, const char *key, size_t n,
                                            int classes, uint16_t *labels);

/* ---- readers ---- */

struct spx_pack_list;

/** What a data set is known to be. Zero and NULL where its files say it: channels, side, classes,
 * their names; std[0] 0 where the moments of what is packed are taken. */
typedef struct spx_pack_kind {
    const char *name;
    int channels, side, classes, coarse_classes;
    const char *class_names, *coarse_names; /* one a line */
    double mean[SPX_PACK_MAX_CHANNELS], std[SPX_PACK_MAX_CHANNELS];
    int first_label;        /* IDX: the label that its files give class 0 */
    const char *home;       /* IDX: the folder that torchvision keeps it in */
    const char *label_hint; /* IDX: what else a label out of range may mean; or NULL */
    const char *old_name;   /* another it had; or NULL */
    const char *layout;     /* what its source must look like */
    const char *store;      /* of a list: how its pictures are stored usually; NULL: original */
    /** Fills p->split, and what the row leaves open; the rest of the description is set. */
    spx_status (*read)(spx_pack *p, const struct spx_pack_kind *k, const char *src,
                       const spx_pack_build_options *o);
    /** Finds the pictures instead (pack_list_private.h). */
    spx_status (*list)(struct spx_pack_list *l, const char *src, const spx_pack_build_options *o);
} spx_pack_kind;

/** What a pack's description knows before anything is read. */
SPX_MUST_CHECK spx_status spx_pack_describe(spx_pack *p, const spx_pack_kind *k);

/** Options where none are given. */
extern const spx_pack_build_options spx_pack_build_usual;

spx_status spx_pack_read_idx(spx_pack *p, const spx_pack_kind *k, const char *src,
                             const spx_pack_build_options *o);
spx_status spx_pack_read_emnist(spx_pack *p, const spx_pack_kind *k, const char *src,
                                const spx_pack_build_options *o);
spx_status spx_pack_read_cifar(spx_pack *p, const spx_pack_kind *k, const char *src,
                               const spx_pack_build_options *o);
spx_status spx_pack_read_arrays(spx_pack *p, const spx_pack_kind *k, const char *src,
                                const spx_pack_build_options *o);

/**
 * Says which of n items become test items: of each class the share o->held_out, drawn by the seed;
 * one stays, and of two or more one goes unless the share is 0.
 * @param label  [n], each < classes
 * @param out    [n]
 */
SPX_MUST_CHECK spx_status spx_pack_hold_out(const uint16_t *label, size_t n, int classes,
                                            const spx_pack_build_options *o, bool *out);

/** SPX_EINVAL where a share was asked for; src has a test split of its own. */
SPX_MUST_CHECK spx_status spx_pack_no_share(const spx_pack_build_options *o, const char *src);

/** The row of a data set in the table of known ones; NULL: none. */
const spx_pack_kind *spx_pack_kind_of(const char *name);

/** Room for count images and labels (coarse too if p has coarse classes) in an empty split. */
SPX_MUST_CHECK spx_status spx_pack_reserve(spx_pack *p, spx_split split, size_t count);

/** Bytes of one image. */
size_t spx_pack_image_bytes(const spx_pack *p);

/** A file's labels under name, n of them, each < classes. */
struct spx_h5;
SPX_MUST_CHECK spx_status spx_pack_read_labels(const struct spx_h5 *f, const char *name,
                                               uint16_t *labels, size_t n, int classes);

/** An empty pack. */
SPX_MUST_CHECK spx_status spx_pack_new(spx_pack **out);

/** Puts '?' for control characters of n bytes of a pack's file, which are printed; new lines and
 * zeros stay. */
void spx_pack_plain(char *text, size_t n);

/** A copy of text for one of p's strings. */
SPX_MUST_CHECK spx_status spx_pack_copy_text(char **out, const char *text);

#endif
