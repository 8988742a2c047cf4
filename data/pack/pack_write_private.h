#ifndef SPX_PACK_WRITE_PRIVATE_H
#define SPX_PACK_WRITE_PRIVATE_H
/* Shared by the files that write stored pictures. */
#include "data/pack/pack_list.h"
#include "data/pack/pack_store_private.h"
#include "data/pack/pack_write.h"

#include <limits.h>
#include <sodium.h>

#define SPX_WHY_BYTES 400 /* of a message that is kept */

/** What is known of one picture. */
typedef struct spx_record {
    uint32_t item; /* of the list */
    uint32_t bad;  /* 1: left out; the bytes are the reason */
    uint32_t size, crc, height, width;
    unsigned char sha[crypto_hash_sha256_BYTES]; /* of the file it comes from */
    spx_store_moments moments;
    uint64_t at; /* of its bytes in the log; not written */
} spx_record;

/** A finished shard. */
typedef struct spx_shard {
    char digest[SPX_H5_DIGEST_CHARS];
    uint32_t count[SPX_SPLIT_COUNT];
} spx_shard;

/** What is gathered over all pictures so far; with the records after it, all that a resumed packing
 * needs. */
typedef struct spx_packed {
    uint32_t next, channels; /* next: item */
    uint32_t count[SPX_SPLIT_COUNT];
    uint32_t height, width; /* of all so far; 0: several */
    spx_store_moments moments[SPX_SPLIT_COUNT];
    crypto_hash_sha256_state sources;
    uint32_t bads, shards;
    uint32_t *bad; /* items */
    spx_shard *shard;
    char why[SPX_WHY_BYTES]; /* of the first bad one */
    size_t bad_room, shard_room;
} spx_packed;

/** The log of a packing: X.h5.part. */
typedef struct spx_pack_log {
    char path[PATH_MAX];
    int fd;                  /* -1: none */
    unsigned char print[32]; /* fingerprint of list and options */
    spx_packed sum;          /* of all records */
    spx_record *record;      /* good ones that are in no shard */
    size_t records, record_room;
    uint64_t bytes;               /* of their pictures */
    uint64_t size, synced, total; /* of the file; of all logs of this packing */
} spx_pack_log;

/**
 * Takes the log that is there, if any, so that nobody else can, and with resume reads it.
 * @param log   zeroed but for print
 * @param list  for the splits of its items
 * @param resumed  receives whether one was read; if not, spx_log_begin follows
 * @return SPX_OK, SPX_EINVAL (in use, of another packing), SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_log_open(spx_pack_log *log, const char *pack,
                                       const spx_pack_list *list, bool resume, bool *resumed);
/** Puts a log in place that holds nothing but log->sum. */
SPX_MUST_CHECK spx_status spx_log_begin(spx_pack_log *log);
/** Appends a record with its bytes. @return SPX_OK, SPX_EIO, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_log_append(spx_pack_log *log, const spx_pack_list *list,
                                         const spx_record *r, const void *bytes);
/** All its pictures are in a shard now: begins anew with what is gathered. */
SPX_MUST_CHECK spx_status spx_log_add_shard(spx_pack_log *log, const spx_shard *shard);
void spx_log_remove(spx_pack_log *log); /* the file */
void spx_log_close(spx_pack_log *log);  /* takes a zeroed one with fd -1 */

/** What a file is written from. */
typedef struct spx_shard_job {
    const spx_pack_list *list;
    const spx_store_options *o;
    spx_pack_log *log;
    const char *path; /* X.h5, no link */
    const char *form;
} spx_shard_job;

/** Writes the log's pictures as the next shard. @param shard  filled */
SPX_MUST_CHECK spx_status spx_shard_write(const spx_shard_job *j, spx_shard *shard);
/** Writes them as X.h5, with the description of all. */
SPX_MUST_CHECK spx_status spx_shard_write_last(const spx_shard_job *j);
/** The names of the bad pictures, each ended by 0. @param names  spx_free; NULL: none */
SPX_MUST_CHECK spx_status spx_pack_bad_names(const spx_pack_list *list, const spx_packed *sum,
                                             char **names, size_t *size);

/**
 * The bytes to store of a picture, from its file's; the whole is decoded.
 * @param r      receives size, crc, height, width, sha, moments
 * @param bytes  the file's; replaced where another form is wanted
 * @return SPX_OK, SPX_EFORMAT or SPX_EUNSUPPORTED (a bad picture), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_convert(const spx_store_options *o, int channels, const char *name,
                                      void **bytes, size_t size, spx_record *r);

/** 1 where no picture has colour, else 3; bad ones do not count. @return also SPX_EINTERRUPTED */
SPX_MUST_CHECK spx_status spx_convert_channels(const spx_pack_list *list,
                                               const spx_store_options *o, uint32_t *channels);

#endif
