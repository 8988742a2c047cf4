#ifndef SPX_PACK_WRITE_H
#define SPX_PACK_WRITE_H
/*
 * Packing pictures into a file of stored ones (pack_store.h), which may be larger than memory. What
 * is written depends on the list and the options alone: not on threads, time or interruptions.
 *
 * While X.h5 is packed, X.h5.part beside it is a log of what is done; with resume a killed packing
 * goes on from there. Shards X.001-<8 digits of its digest>.h5, ... are whole once they are there;
 * X.h5 is the last to be, and a pack that it replaces is whole until then. Afterwards shards that
 * X.h5 does not name are removed.
 */
#include "data/pack/pack_store.h"

typedef struct spx_pack_list spx_pack_list; /* pack_list.h */

typedef enum spx_store_form {
    SPX_STORE_ORIGINAL, /* the files' bytes */
    SPX_STORE_JPEG, /* JPEG, the short side scaled down to `side`, quality 1..100; a JPEG that is
                           no larger stays as it is */
    SPX_STORE_RAW   /* the largest centred square, `side` x `side`, as planes */
} spx_store_form;

typedef struct spx_store_options {
    spx_store_form form;
    int side, quality;    /* side 1..SPX_PACK_MAX_SIDE */
    int channels;         /* 1, 3; 0: 1 where every picture is grey, else 3 */
    uint64_t shard_bytes; /* of pictures in a file; 0: 4 GiB */
    uint64_t allow_bad;   /* pictures that do not decode and may be left out */
    bool resume;          /* go on from X.h5.part; leave a finished X.h5 alone */
    int threads;          /* 1..SPX_POOL_MAX_THREADS */
    /** May be NULL; now and then. From 0 again where pictures were looked at for colours first. */
    void (*show)(void *ctx, uint64_t done, uint64_t total);
    bool (*stop)(void *ctx); /* may be NULL; asked now and then */
    void *ctx;
} spx_store_options;

/** What came of it. */
typedef struct spx_store_report {
    size_t count[SPX_SPLIT_COUNT];
    size_t bad;           /* pictures left out */
    char *bad_names;      /* each ended by 0 */
    size_t resumed_at;    /* pictures that had been packed before */
    bool finished_before; /* the pack was there, nothing was done */
} spx_store_report;

void spx_store_report_clear(spx_store_report *r); /* takes a zeroed one */

/** Reads "original", "jpeg:SIDE:QUALITY", "raw:SIDE" into o's form, side, quality; SPX_EINVAL. */
SPX_MUST_CHECK spx_status spx_store_parse(const char *text, spx_store_options *o);

/**
 * Packs a list's pictures.
 * @param path    X.h5; replaced as spx_file_replace does, but no stream
 * @param report  filled; spx_store_report_clear. After a failure it has the bad pictures, if they
 * were too many
 * @return SPX_OK; SPX_EINVAL (options; with resume: X.h5.part or X.h5 come from other pictures or
 * options; another process is packing); SPX_EFORMAT (bad pictures beyond allow_bad, the first is
 * named; none left); SPX_EIO, SPX_ENOTFOUND, SPX_ENOMEM; SPX_EINTERRUPTED (stop said so). X.h5 is
 * as it was then, and X.h5.part stays after an interruption, or where it has more than 64 MB
 */
SPX_MUST_CHECK spx_status spx_pack_store(const spx_pack_list *list, const char *path,
                                         const spx_store_options *o, spx_store_report *report);

#endif
