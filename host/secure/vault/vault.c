#define _DEFAULT_SOURCE
#include "host/secure/vault/vault.h"

#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/lock.h"
#include "kernels/crypto/secret_memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/*
 * File: magic (8), salt (32), then sections: sealed bytes, tag (16). The file's key is the keyed
 * BLAKE2b of (salt, name) under the vault's key; section k has nonce k. A section's size is not
 * stored: the reader knows it.
 */
#define MAGIC "SPXVLT01"
#define MAGIC_BYTES 8
#define SALT_BYTES 32
#define TAG_BYTES 16
#define KEY_BYTES 32
#define NAME_MAX_BYTES 100
#define FOLDER_BYTES 1024
#define TEMPORARY_BYTES (NAME_MAX_BYTES + 8)
#define TEMPORARY ".tmp-"
#define CHUNK ((size_t)1 << 18)

/* Everything is opened in the folder `dir` means, whose owner and mode were looked at: whatever
 * becomes of the path afterwards, and no symbolic link is followed inside. */
struct spx_vault {
    char folder[FOLDER_BYTES]; /* for messages */
    int dir, lock;
    spx_lock held;
    uint8_t key[KEY_BYTES], id[SPX_VAULT_ID_BYTES];
};

typedef struct sealed {
    EVP_CIPHER_CTX *cipher;
    uint8_t key[KEY_BYTES];
    uint64_t section;
    int fd;
    unsigned char *chunk; /* CHUNK + TAG_BYTES */
} sealed;

struct spx_vault_writer {
    spx_vault *vault;
    sealed s;
    char name[NAME_MAX_BYTES + 1], temporary[TEMPORARY_BYTES];
};

struct spx_vault_reader {
    sealed s;
    char name[NAME_MAX_BYTES + 1];
};

/* ---- names and folders ---- */

static spx_status check_name(const char *name)
{
    const size_t n = strlen(name);
    if (n < 1 || n > NAME_MAX_BYTES || name[0] == '.' ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != n) {
        return SPX_FAIL(SPX_EINVAL, "vault: bad name %s", name);
    }
    return SPX_OK;
}

static spx_status io_error(const spx_vault *v, const char *name)
{
    return SPX_FAIL(SPX_EIO, "%s/%s: %s", v->folder, name, strerror(errno));
}

static spx_status sync_folder(const spx_vault *v)
{
    return spx_file_sync(v->dir, v->folder);
}

/* A new file that was never anyone else's to read, not even while it is written; what lay under
 * the name, be it a symbolic link to elsewhere, is unlinked, never opened. */
static spx_status open_temporary(const spx_vault *v, const char *name, char temporary[], int *fd)
{
    (void)snprintf(temporary, TEMPORARY_BYTES, TEMPORARY "%s", name);
    (void)unlinkat(v->dir, temporary, 0);
    *fd = openat(v->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *fd >= 0 ? SPX_OK : io_error(v, temporary);
}

static spx_status write_fully(int fd, const unsigned char *p, size_t n, const char *name)
{
    return spx_write_fully(fd, p, n) ? SPX_OK
                                     : SPX_FAIL(SPX_EIO, "vault: %s: %s", name, strerror(errno));
}

static spx_status read_fully(int fd, unsigned char *p, size_t n, const char *name)
{
    while (n > 0) {
        const ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return SPX_FAIL(SPX_EIO, "vault: %s: %s", name, strerror(errno));
        }
        if (got == 0) {
            return SPX_FAIL(SPX_EFORMAT, "vault: %s: shorter than expected", name);
        }
        p += got;
        n -= (size_t)got;
    }
    return SPX_OK;
}

/* Random bytes as a file of the vault itself. */
static spx_status make_file(const spx_vault *v, const char *name, uint8_t *out, size_t n)
{
    char temporary[TEMPORARY_BYTES];
    spx_status st;
    int fd;
    SPX_RETURN_IF(open_temporary(v, name, temporary, &fd));
    randombytes_buf(out, n);
    st = write_fully(fd, out, n, name);
    if (st == SPX_OK) {
        st = spx_file_sync(fd, v->folder);
    }
    if (st == SPX_OK && renameat(v->dir, temporary, v->dir, name) != 0) {
        st = io_error(v, temporary);
    }
    (void)close(fd);
    return st == SPX_OK ? sync_folder(v) : st;
}

/* Bytes of a plain file of the vault itself (key, id): made at random the first time.
 * @param allowed  what its mode may grant to group and others */
static spx_status load_or_make(spx_vault *v, const char *name, mode_t allowed, uint8_t *out,
                               size_t n)
{
    struct stat info;
    spx_status st = SPX_OK;
    /* O_NONBLOCK so that a pipe in its place is refused rather than waited for. */
    const int fd = openat(v->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? make_file(v, name, out, n) : io_error(v, name);
    }
    if (fstat(fd, &info) != 0) {
        st = io_error(v, name);
    } else if (!S_ISREG(info.st_mode) || info.st_size != (off_t)n) {
        st = SPX_FAIL(SPX_EFORMAT, "%s/%s: %lld bytes, expected %zu; is this folder a vault?",
                      v->folder, name, (long long)info.st_size, n);
    } else if (info.st_uid != geteuid()) {
        st = SPX_FAIL(SPX_EINVAL, "%s/%s: belongs to another user: refused", v->folder, name);
    } else if ((info.st_mode & (S_IRWXG | S_IRWXO) & ~allowed) != 0) {
        st = SPX_FAIL(SPX_EINVAL, "%s/%s: others can %s it; chmod go-rwx it first", v->folder, name,
                      allowed == 0 ? "read or write" : "write");
    } else {
        st = read_fully(fd, out, n, name);
    }
    (void)close(fd);
    return st;
}

typedef spx_status each_name(void *ctx, const char *name, uint64_t bytes);

/* The folder, to be read from its beginning. */
static spx_status open_listing(const spx_vault *v, DIR **d)
{
    const int fd = openat(v->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (*d == NULL) {
        const spx_status st = SPX_FAIL(SPX_EIO, "%s: %s", v->folder, strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return st;
    }
    return SPX_OK;
}

static spx_status each_file(spx_vault *v, const char *prefix, each_name *each, void *ctx)
{
    DIR *d;
    spx_status st = SPX_OK;
    SPX_RETURN_IF(open_listing(v, &d));
    for (struct dirent *e; st == SPX_OK && (e = readdir(d)) != NULL;) {
        struct stat info;
        if (strlen(e->d_name) < TEMPORARY_BYTES &&
            strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
            fstatat(v->dir, e->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode)) {
            st = each(ctx, e->d_name, (uint64_t)info.st_size);
        }
    }
    (void)closedir(d);
    return st;
}

static spx_status remove_left(void *ctx, const char *name, uint64_t bytes)
{
    const spx_vault *v = ctx;
    (void)bytes;
    (void)unlinkat(v->dir, name, 0);
    return SPX_OK;
}

/* Whoever names a folder by mistake gets no files into it: one that has no key yet holds nothing
 * but what making one may have left. */
static spx_status check_ours(const spx_vault *v)
{
    struct stat info;
    const bool keyed = fstatat(v->dir, ".key", &info, AT_SYMLINK_NOFOLLOW) == 0;
    bool ours = true;
    DIR *d;
    SPX_RETURN_IF(open_listing(v, &d));
    for (struct dirent *e; !keyed && ours && (e = readdir(d)) != NULL;) {
        const char *name = e->d_name;
        ours = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".lock") == 0 ||
               strncmp(name, TEMPORARY, strlen(TEMPORARY)) == 0;
    }
    (void)closedir(d);
    return ours ? SPX_OK
                : SPX_FAIL(SPX_EINVAL,
                           "%s: not empty, and no state folder of this program: name a new one",
                           v->folder);
}

/* Opens the folder, made where there is none, and refuses one that is not the user's alone. */
static spx_status open_folder(spx_vault *v)
{
    struct stat info;
    if ((mkdir(v->folder, 0700) != 0 && errno != EEXIST) ||
        (v->dir = open(v->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
        fstat(v->dir, &info) != 0) {
        return SPX_FAIL(SPX_EIO, "%s: %s", v->folder, strerror(errno));
    }
    if (info.st_uid != geteuid()) {
        return SPX_FAIL(SPX_EINVAL, "%s: another user's folder; chown it, or name another",
                        v->folder);
    }
    SPX_RETURN_IF(check_ours(v)); /* first: nobody should chmod /etc */
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return SPX_FAIL(SPX_EINVAL, "%s: others can read or write it; chmod go-rwx it first",
                        v->folder);
    }
    return SPX_OK;
}

spx_status spx_vault_open(spx_vault **out, const char *folder)
{
    spx_status st;
    spx_vault *v;
    void *memory;
    *out = NULL;
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EDEVICE, "libsodium cannot start: no source of randomness");
    }
    SPX_RETURN_IF(spx_secret_alloc(&memory, sizeof *v));
    v = memory;
    v->dir = v->lock = -1;
    if (strlen(folder) >= sizeof v->folder) {
        st = SPX_FAIL(SPX_EINVAL, "%.60s...: the path is too long", folder);
        goto fail;
    }
    memcpy(v->folder, folder, strlen(folder) + 1);
    SPX_TRY(st, open_folder(v), fail);
    v->lock = openat(v->dir, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (v->lock < 0) {
        st = SPX_FAIL(SPX_EIO, "%s/.lock: %s", folder, strerror(errno));
        goto fail;
    }
    SPX_TRY(st, spx_lock_take(v->lock, folder, &v->held), fail);
    if (v->held == SPX_LOCK_IN_USE) {
        st = SPX_FAIL(SPX_EINVAL, "%s: in use by another process", folder);
        goto fail;
    }
    SPX_TRY(st, load_or_make(v, ".key", 0, v->key, sizeof v->key), fail);
    SPX_TRY(st, load_or_make(v, ".id", S_IRGRP | S_IROTH, v->id, sizeof v->id), fail);
    SPX_TRY(st, each_file(v, TEMPORARY, remove_left, v), fail);
    *out = v;
    return SPX_OK;
fail:
    spx_vault_close(v);
    return st;
}

void spx_vault_close(spx_vault *v)
{
    if (v != NULL) {
        if (v->lock >= 0) {
            (void)close(v->lock);
        }
        if (v->dir >= 0) {
            (void)close(v->dir);
        }
        spx_secret_free(v);
    }
}

bool spx_vault_locked(const spx_vault *v)
{
    return v->held == SPX_LOCK_HELD;
}

void spx_vault_destroy(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e = NULL; d != NULL && (e = readdir(d)) != NULL;) {
        (void)unlinkat(dirfd(d), e->d_name, 0); /* leaves folders alone */
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    (void)rmdir(folder);
}

const uint8_t *spx_vault_id(const spx_vault *v)
{
    return v->id;
}

spx_status spx_vault_free_bytes(const spx_vault *v, uint64_t *bytes)
{
    struct statvfs f;
    if (fstatvfs(v->dir, &f) != 0) {
        return SPX_FAIL(SPX_EIO, "%s: %s", v->folder, strerror(errno));
    }
    *bytes = (uint64_t)f.f_bavail * f.f_frsize;
    return SPX_OK;
}

spx_status spx_vault_remove(spx_vault *v, const char *name)
{
    SPX_RETURN_IF(check_name(name));
    if (unlinkat(v->dir, name, 0) != 0 && errno != ENOENT) {
        return io_error(v, name);
    }
    return sync_folder(v);
}

spx_status spx_vault_size(spx_vault *v, const char *name, uint64_t *bytes)
{
    struct stat info;
    SPX_RETURN_IF(check_name(name));
    if (fstatat(v->dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return io_error(v, name);
    }
    *bytes = (uint64_t)info.st_size;
    return SPX_OK;
}

spx_status spx_vault_list(spx_vault *v, const char *prefix, each_name *each, void *ctx)
{
    SPX_RETURN_IF(check_name(prefix));
    return each_file(v, prefix, each, ctx);
}

/* ---- sealing ---- */

static void sealed_clear(sealed *s)
{
    EVP_CIPHER_CTX_free(s->cipher);
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    spx_free(s->chunk);
    sodium_memzero(s, sizeof *s);
    s->fd = -1;
}

/* Takes fd, also on failure. */
static spx_status sealed_init(sealed *s, const spx_vault *v, const char *name, int fd,
                              const uint8_t salt[SALT_BYTES])
{
    crypto_generichash_state h;
    void *chunk = NULL;
    spx_status st;
    memset(s, 0, sizeof *s);
    s->fd = fd;
    s->cipher = EVP_CIPHER_CTX_new();
    st = spx_alloc(&chunk, CHUNK + TAG_BYTES);
    s->chunk = chunk;
    if (st == SPX_OK && s->cipher == NULL) {
        st = SPX_FAIL(SPX_ENOMEM, "cipher");
    }
    if (st != SPX_OK) {
        sealed_clear(s);
        return st;
    }
    (void)crypto_generichash_init(&h, v->key, KEY_BYTES, KEY_BYTES);
    (void)crypto_generichash_update(&h, salt, SALT_BYTES);
    (void)crypto_generichash_update(&h, (const unsigned char *)name, strlen(name));
    (void)crypto_generichash_final(&h, s->key, KEY_BYTES);
    sodium_memzero(&h, sizeof h);
    return SPX_OK;
}

static bool begin_section(sealed *s, int encrypt)
{
    uint8_t nonce[12] = {0};
    for (int i = 0; i < 8; i++) {
        nonce[i] = (uint8_t)(s->section >> (8 * i));
    }
    s->section++;
    return EVP_CipherInit_ex(s->cipher, EVP_aes_256_gcm(), NULL, s->key, nonce, encrypt) == 1;
}

spx_status spx_vault_writer_open(spx_vault_writer **out, spx_vault *v, const char *name)
{
    uint8_t head[MAGIC_BYTES + SALT_BYTES];
    spx_status st;
    int fd;
    spx_vault_writer *w;
    *out = NULL;
    SPX_RETURN_IF(check_name(name));
    w = calloc(1, sizeof *w);
    if (w == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "vault writer");
    }
    w->vault = v;
    w->s.fd = -1;
    memcpy(w->name, name, strlen(name) + 1);
    st = open_temporary(v, name, w->temporary, &fd);
    if (st != SPX_OK) {
        free(w);
        return st;
    }
    memcpy(head, MAGIC, MAGIC_BYTES);
    randombytes_buf(head + MAGIC_BYTES, SALT_BYTES);
    st = sealed_init(&w->s, v, name, fd, head + MAGIC_BYTES);
    if (st == SPX_OK) {
        st = write_fully(fd, head, sizeof head, name);
    }
    if (st != SPX_OK) {
        spx_vault_abort(w);
        return st;
    }
    *out = w;
    return SPX_OK;
}

spx_status spx_vault_write(spx_vault_writer *w, const void *data, size_t n)
{
    const unsigned char *p = data;
    bool ok = begin_section(&w->s, 1);
    int len;
    for (size_t done = 0; ok && done < n;) {
        const size_t k = n - done < CHUNK ? n - done : CHUNK;
        ok = EVP_EncryptUpdate(w->s.cipher, w->s.chunk, &len, p + done, (int)k) == 1;
        if (ok) {
            SPX_RETURN_IF(write_fully(w->s.fd, w->s.chunk, k, w->name));
        }
        done += k;
    }
    ok = ok && EVP_EncryptFinal_ex(w->s.cipher, w->s.chunk, &len) == 1 &&
         EVP_CIPHER_CTX_ctrl(w->s.cipher, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, w->s.chunk) == 1;
    return ok ? write_fully(w->s.fd, w->s.chunk, TAG_BYTES, w->name)
              : SPX_FAIL(SPX_EDEVICE, "vault: %s: the cipher failed", w->name);
}

void spx_vault_abort(spx_vault_writer *w)
{
    if (w != NULL) {
        (void)unlinkat(w->vault->dir, w->temporary, 0);
        sealed_clear(&w->s);
        free(w);
    }
}

spx_status spx_vault_commit(spx_vault_writer *w)
{
    const spx_vault *v = w->vault;
    spx_status st = spx_file_sync(w->s.fd, v->folder);
    if (st == SPX_OK && renameat(v->dir, w->temporary, v->dir, w->name) != 0) {
        st = io_error(v, w->name);
    }
    if (st != SPX_OK) {
        spx_vault_abort(w);
        return st;
    }
    st = sync_folder(v);
    sealed_clear(&w->s);
    free(w);
    return st;
}

spx_status spx_vault_reader_open(spx_vault_reader **out, spx_vault *v, const char *name)
{
    uint8_t head[MAGIC_BYTES + SALT_BYTES];
    spx_status st;
    int fd;
    spx_vault_reader *r;
    *out = NULL;
    SPX_RETURN_IF(check_name(name));
    fd = openat(v->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? SPX_FAIL(SPX_ENOTFOUND, "%s/%s: not there", v->folder, name)
                               : io_error(v, name);
    }
    st = read_fully(fd, head, sizeof head, name);
    if (st == SPX_OK && memcmp(head, MAGIC, MAGIC_BYTES) != 0) {
        st = SPX_FAIL(SPX_EFORMAT, "vault: %s is no sealed file of this version", name);
    }
    r = st == SPX_OK ? calloc(1, sizeof *r) : NULL;
    if (r == NULL) {
        (void)close(fd);
        return st != SPX_OK ? st : SPX_FAIL(SPX_ENOMEM, "vault reader");
    }
    memcpy(r->name, name, strlen(name) + 1);
    st = sealed_init(&r->s, v, name, fd, head + MAGIC_BYTES);
    if (st != SPX_OK) {
        free(r);
        return st;
    }
    *out = r;
    return SPX_OK;
}

spx_status spx_vault_read(spx_vault_reader *r, void *data, size_t n)
{
    unsigned char *p = data, tag[TAG_BYTES];
    bool ok = begin_section(&r->s, 0);
    int len;
    for (size_t done = 0; ok && done < n;) {
        const size_t k = n - done < CHUNK ? n - done : CHUNK;
        SPX_RETURN_IF(read_fully(r->s.fd, p + done, k, r->name));
        ok = EVP_DecryptUpdate(r->s.cipher, p + done, &len, p + done, (int)k) == 1;
        done += k;
    }
    if (ok) {
        SPX_RETURN_IF(read_fully(r->s.fd, tag, TAG_BYTES, r->name));
        ok = EVP_CIPHER_CTX_ctrl(r->s.cipher, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
             EVP_DecryptFinal_ex(r->s.cipher, tag, &len) == 1;
    }
    if (!ok) {
        sodium_memzero(data, n);
        return SPX_FAIL(SPX_EFORMAT, "vault: %s is damaged, or was sealed under another key",
                        r->name);
    }
    return SPX_OK;
}

spx_status spx_vault_skip(spx_vault_reader *r, size_t n)
{
    r->s.section++;
    return lseek(r->s.fd, (off_t)n + TAG_BYTES, SEEK_CUR) >= 0
               ? SPX_OK
               : SPX_FAIL(SPX_EIO, "vault: %s: %s", r->name, strerror(errno));
}

void spx_vault_reader_close(spx_vault_reader *r)
{
    if (r != NULL) {
        sealed_clear(&r->s);
        free(r);
    }
}

spx_status spx_vault_put(spx_vault *v, const char *name, const void *data, size_t n)
{
    spx_vault_writer *w;
    spx_status st;
    SPX_RETURN_IF(spx_vault_writer_open(&w, v, name));
    st = spx_vault_write(w, data, n);
    if (st != SPX_OK) {
        spx_vault_abort(w);
        return st;
    }
    return spx_vault_commit(w);
}

spx_status spx_vault_get(spx_vault *v, const char *name, void *data, size_t n)
{
    spx_vault_reader *r;
    char more;
    spx_status st;
    SPX_RETURN_IF(spx_vault_reader_open(&r, v, name));
    st = spx_vault_read(r, data, n);
    if (st == SPX_OK && read(r->s.fd, &more, 1) != 0) {
        sodium_memzero(data, n);
        st = SPX_FAIL(SPX_EFORMAT, "vault: %s: longer than expected", name);
    }
    spx_vault_reader_close(r);
    return st;
}
