#ifndef SPX_VAULT_H
#define SPX_VAULT_H
/*
 * A folder of sealed files: single-use material at rest. Contents are encrypted and authenticated
 * (AES-256-GCM); the name is part of what is authenticated, so files cannot be swapped. The key is
 * a file of the folder, readable by its owner only: who may read it may read all. What the vault
 * cannot notice is a folder put back as it was earlier; the protocol's watermarks are for that.
 *
 * One process at a time (a lock); several threads, if they use different names. A name is 1..100
 * characters of [a-z0-9._-], the first not a dot; '/' is not among them.
 */
#include "kernels/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPX_VAULT_ID_BYTES 16

typedef struct spx_vault spx_vault;

/**
 * Opens the folder, making it (0700), its key and its id the first time. Files that a killed
 * process left half-written are removed.
 * @return SPX_OK; SPX_EINVAL (in use by another process; the folder holds other things; it, its key
 * or its id belongs to another user, or others may read or write it); SPX_EFORMAT (a key that is
 * none); SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_vault_open(spx_vault **out, const char *folder);
void spx_vault_close(spx_vault *v); /* NULL is a no-op */
/** False where the file system has no locks: then nothing keeps a second process out, which would
 * spend the same material. */
bool spx_vault_locked(const spx_vault *v);
/** Removes a vault's folder with all that is in it, as far as it is a vault's. */
void spx_vault_destroy(const char *folder);
/** Random, made with the vault: tells vaults apart. */
const uint8_t *spx_vault_id(const spx_vault *v);
/** Bytes free on the file system, for this user. */
SPX_MUST_CHECK spx_status spx_vault_free_bytes(const spx_vault *v, uint64_t *bytes);

/** Replaces a small record; on return it is on disk. On failure the old one is as it was. */
SPX_MUST_CHECK spx_status spx_vault_put(spx_vault *v, const char *name, const void *data, size_t n);
/** Reads a record of exactly n bytes. @return SPX_OK, SPX_ENOTFOUND, SPX_EFORMAT (damaged, another
 * key, another size), SPX_EIO */
SPX_MUST_CHECK spx_status spx_vault_get(spx_vault *v, const char *name, void *data, size_t n);
/** Removes a file, for good once it returns; one that is not there is no error. */
SPX_MUST_CHECK spx_status spx_vault_remove(spx_vault *v, const char *name);
/** Bytes of a file as it lies there. @return SPX_OK, SPX_EIO (not there, too) */
SPX_MUST_CHECK spx_status spx_vault_size(spx_vault *v, const char *name, uint64_t *bytes);
/** Calls each with every name that begins with prefix, in no order; stops at the first failure. */
SPX_MUST_CHECK spx_status spx_vault_list(spx_vault *v, const char *prefix,
                                         spx_status (*each)(void *ctx, const char *name,
                                                            uint64_t bytes),
                                         void *ctx);

/** A large file, written section by section. */
typedef struct spx_vault_writer spx_vault_writer;
SPX_MUST_CHECK spx_status spx_vault_writer_open(spx_vault_writer **out, spx_vault *v,
                                                const char *name);
SPX_MUST_CHECK spx_status spx_vault_write(spx_vault_writer *w, const void *data, size_t n);
/** Makes the file appear under its name, whole and on disk, and closes the writer, also on failure
 * (then nothing appears, or, where only the folder could not be synced, perhaps not for good). */
SPX_MUST_CHECK spx_status spx_vault_commit(spx_vault_writer *w);
void spx_vault_abort(spx_vault_writer *w); /* removes what was written; NULL is a no-op */

/** Reads it back in sections of the same sizes; the file may be removed meanwhile. */
typedef struct spx_vault_reader spx_vault_reader;
SPX_MUST_CHECK spx_status spx_vault_reader_open(spx_vault_reader **out, spx_vault *v,
                                                const char *name);
SPX_MUST_CHECK spx_status spx_vault_read(spx_vault_reader *r, void *data, size_t n);
/** Passes over a section of n bytes without reading it. */
SPX_MUST_CHECK spx_status spx_vault_skip(spx_vault_reader *r, size_t n);
void spx_vault_reader_close(spx_vault_reader *r); /* NULL is a no-op */

#endif
