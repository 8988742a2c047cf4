#define _DEFAULT_SOURCE
#include "host/secure/vault/vault.h"

#include "kernels/base/alloc.h"
#include "kernels/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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
#define PATH_BYTES 1024
#define TEMPORARY ".tmp-"
#define CHUNK ((size_t)1 << 18)

struct spx_vault {
    char folder[PATH_BYTES - NAME_MAX_BYTES - 16];
    int lock;
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
    char name[NAME_MAX_BYTES + 1];
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

static const char *path_of(const spx_vault *v, const char *prefix, const char *name,
                           char path[PATH_BYTES])
{
    (void)snprintf(path, PATH_BYTES, "%s/%s%s", v->folder, prefix, name);
    return path;
}

static spx_status sync_folder(const spx_vault *v)
{
    const int fd = open(v->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    const int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok ? SPX_OK : SPX_FAIL(SPX_EIO, "%s: %s", v->folder, strerror(error));
}

static spx_status write_fully(int fd, const unsigned char *p, size_t n, const char *name)
{
    while (n > 0) {
        const ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return SPX_FAIL(SPX_EIO, "vault: %s: %s", name, strerror(errno));
        }
        p += put;
        n -= (size_t)put;
    }
    return SPX_OK;
}

/* Random bytes as a file that was never anyone else's to read, not even while it is written. */
static spx_status make_file(const spx_vault *v, const char *name, uint8_t *out, size_t n)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    const int fd =
        open(path_of(v, TEMPORARY, name, from), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    spx_status st;
    if (fd < 0) {
        return SPX_FAIL(SPX_EIO, "%s: %s", from, strerror(errno));
    }
    randombytes_buf(out, n);
    st = write_fully(fd, out, n, name);
    if (st == SPX_OK && (fsync(fd) != 0 || rename(from, path_of(v, "", name, to)) != 0)) {
        st = SPX_FAIL(SPX_EIO, "%s: %s", from, strerror(errno));
    }
    (void)close(fd);
    return st == SPX_OK ? sync_folder(v) : st;
}

/* Bytes of a plain file of the vault itself (key, id): made at random the first time. */
static spx_status load_or_make(spx_vault *v, const char *name, uint8_t *out, size_t n)
{
    char path[PATH_BYTES];
    void *data;
    size_t size;
    spx_status st = spx_file_read(path_of(v, "", name, path), 4096, &data, &size);
    if (st == SPX_ENOTFOUND) {
        return make_file(v, name, out, n);
    }
    SPX_RETURN_IF(st);
    if (size == n) {
        memcpy(out, data, n);
    } else {
        st = SPX_FAIL(SPX_EFORMAT, "%s: %zu bytes, expected %zu; is this folder a vault?", path,
                      size, n);
    }
    sodium_memzero(data, size);
    spx_free(data);
    return st;
}

static spx_status each_file(spx_vault *v, const char *prefix,
                            spx_status (*each)(void *ctx, const char *name, uint64_t bytes),
                            void *ctx)
{
    DIR *d = opendir(v->folder);
    spx_status st = SPX_OK;
    if (d == NULL) {
        return SPX_FAIL(SPX_EIO, "%s: %s", v->folder, strerror(errno));
    }
    for (struct dirent *e; st == SPX_OK && (e = readdir(d)) != NULL;) {
        struct stat info;
        char path[PATH_BYTES];
        if (strlen(e->d_name) <= NAME_MAX_BYTES + 8 &&
            strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
            stat(path_of(v, "", e->d_name, path), &info) == 0 && S_ISREG(info.st_mode)) {
            st = each(ctx, e->d_name, (uint64_t)info.st_size);
        }
    }
    (void)closedir(d);
    return st;
}

static spx_status remove_left(void *ctx, const char *name, uint64_t bytes)
{
    char path[PATH_BYTES];
    (void)bytes;
    (void)unlink(path_of(ctx, "", name, path));
    return SPX_OK;
}

spx_status spx_vault_open(spx_vault **out, const char *folder)
{
    char path[PATH_BYTES];
    struct stat info;
    spx_status st;
    spx_vault *v;
    *out = NULL;
    if (sodium_init() < 0) {
        return SPX_FAIL(SPX_EDEVICE, "libsodium cannot start: no source of randomness");
    }
    v = calloc(1, sizeof *v);
    if (v == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "vault");
    }
    v->lock = -1;
    if (strlen(folder) >= sizeof v->folder) {
        st = SPX_FAIL(SPX_EINVAL, "%.60s...: the path is too long", folder);
        goto fail;
    }
    memcpy(v->folder, folder, strlen(folder) + 1);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        st = SPX_FAIL(SPX_EIO, "%s: %s", folder, strerror(errno));
        goto fail;
    }
    if (stat(folder, &info) != 0 || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        st = SPX_FAIL(SPX_EINVAL, "%s: others can write into this folder; chmod go-w it first",
                      folder);
        goto fail;
    }
    v->lock = open(path_of(v, "", ".lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (v->lock < 0) {
        st = SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(errno));
        goto fail;
    }
    if (flock(v->lock, LOCK_EX | LOCK_NB) != 0) {
        st = SPX_FAIL(SPX_EINVAL, "%s: in use by another process", folder);
        goto fail;
    }
    SPX_TRY(st, load_or_make(v, ".key", v->key, sizeof v->key), fail);
    SPX_TRY(st, load_or_make(v, ".id", v->id, sizeof v->id), fail);
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
        sodium_memzero(v, sizeof *v);
        free(v);
    }
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
    if (statvfs(v->folder, &f) != 0) {
        return SPX_FAIL(SPX_EIO, "%s: %s", v->folder, strerror(errno));
    }
    *bytes = (uint64_t)f.f_bavail * f.f_frsize;
    return SPX_OK;
}

spx_status spx_vault_remove(spx_vault *v, const char *name)
{
    char path[PATH_BYTES];
    SPX_RETURN_IF(check_name(name));
    if (unlink(path_of(v, "", name, path)) != 0 && errno != ENOENT) {
        return SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(errno));
    }
    return sync_folder(v);
}

spx_status spx_vault_list(spx_vault *v, const char *prefix,
                          spx_status (*each)(void *ctx, const char *name, uint64_t bytes),
                          void *ctx)
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

spx_status spx_vault_writer_open(spx_vault_writer **out, spx_vault *v, const char *name)
{
    char path[PATH_BYTES];
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
    fd = open(path_of(v, TEMPORARY, name, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        st = SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(errno));
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
    char path[PATH_BYTES];
    if (w != NULL) {
        (void)unlink(path_of(w->vault, TEMPORARY, w->name, path));
        sealed_clear(&w->s);
        free(w);
    }
}

spx_status spx_vault_commit(spx_vault_writer *w)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    spx_status st = SPX_OK;
    (void)path_of(w->vault, TEMPORARY, w->name, from);
    (void)path_of(w->vault, "", w->name, to);
    if (fsync(w->s.fd) != 0 || rename(from, to) != 0) {
        st = SPX_FAIL(SPX_EIO, "%s: %s", to, strerror(errno));
        spx_vault_abort(w);
        return st;
    }
    st = sync_folder(w->vault);
    sealed_clear(&w->s);
    free(w);
    return st;
}

spx_status spx_vault_reader_open(spx_vault_reader **out, spx_vault *v, const char *name)
{
    char path[PATH_BYTES];
    uint8_t head[MAGIC_BYTES + SALT_BYTES];
    spx_status st;
    int fd;
    spx_vault_reader *r;
    *out = NULL;
    SPX_RETURN_IF(check_name(name));
    fd = open(path_of(v, "", name, path), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return SPX_FAIL(errno == ENOENT ? SPX_ENOTFOUND : SPX_EIO, "%s: %s", path, strerror(errno));
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
