#ifndef SPX_PACK_PRIVATE_H
#define SPX_PACK_PRIVATE_H
/* Shared by the readers of this folder. */
#include "data/pack/pack.h"

#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

/* ---- a source file: plain or gzip, read in order ---- */

typedef struct spx_source {
    const char *path; /* borrowed */
    unsigned char *raw;
    size_t raw_size;
    size_t at; /* offset in the uncompressed bytes */
    bool gzip, started, ended;
    z_stream z;
} spx_source;

/** Reads path whole and adds its digest to p->sources. Close whatever comes back. */
SPX_MUST_CHECK spx_status spx_source_open(spx_source *s, const char *path, spx_pack *p);

/** Most bytes that can still follow, by the file's size; more than a header claims is no bomb. */
size_t spx_source_limit(const spx_source *s);

/** The next n bytes; fewer left is SPX_EFORMAT. */
SPX_MUST_CHECK spx_status spx_source_read(spx_source *s, void *dst, size_t n);

/** SPX_EFORMAT unless everything has been read and the compressed stream ends whole. */
SPX_MUST_CHECK spx_status spx_source_end(spx_source *s);
void spx_source_close(spx_source *s);

/* ---- readers ---- */

/** What a published data set is known to be. */
typedef struct spx_pack_kind {
    const char *name;
    int channels, side, classes, coarse_classes;
    const char *class_names, *coarse_names; /* one a line */
    double mean[SPX_PACK_MAX_CHANNELS], std[SPX_PACK_MAX_CHANNELS];
    /** Fills p->split; name, shape and classes are set. */
    spx_status (*read)(spx_pack *p, const char *src);
} spx_pack_kind;

spx_status spx_pack_read_idx(spx_pack *p, const char *src);
spx_status spx_pack_read_cifar(spx_pack *p, const char *src);

/** The table of known data sets; ends with a row without a name. */
extern const spx_pack_kind spx_pack_kinds[];

/** Room for count images and labels (coarse too if p has coarse classes) in an empty split. */
SPX_MUST_CHECK spx_status spx_pack_reserve(spx_pack *p, spx_split split, size_t count);

/** Bytes of one image. */
size_t spx_pack_image_bytes(const spx_pack *p);

/** An empty pack. */
SPX_MUST_CHECK spx_status spx_pack_new(spx_pack **out);

/** A copy of text for one of p's strings. */
SPX_MUST_CHECK spx_status spx_pack_copy_text(char **out, const char *text);

#endif
