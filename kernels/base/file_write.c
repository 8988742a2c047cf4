#define _GNU_SOURCE /* getentropy, fchown */
#include "kernels/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40   /* as many as Linux follows */
#define NAME_KEPT 200  /* of the target's name in the temporary one; NAME_MAX is 255 */
#define RANDOM_TEXT 16 /* hexadecimal digits */
#define LEFT_SECONDS 3600
#define SUFFIX ".tmp"

/* One file being replaced. */
typedef struct target {
    const char *asked;     /* as the caller named it, for messages */
    char path[PATH_MAX];   /* what it means: no symbolic link */
    char folder[PATH_MAX]; /* that one's */
    const char *name;      /* in it; points into path */
    bool exists;
    struct stat old;
} target;

/* ---- which file is meant ---- */

static void split(target *t)
{
    const char *slash = strrchr(t->path, '/');
    t->name = slash != NULL ? slash + 1 : t->path;
    if (slash == NULL) {
        (void)strcpy(t->folder, ".");
    } else {
        const size_t n = slash == t->path ? 1 : (size_t)(slash - t->path);
        memcpy(t->folder, t->path, n);
        t->folder[n] = '\0';
    }
}

/* Takes the place that the link at t->path tells. */
static bool step_to(target *t, const char *place)
{
    char joined[2 * PATH_MAX];
    int n = 0;
    if (place[0] != '/') {
        split(t);
        n = snprintf(joined, sizeof joined, "%s/%s", t->folder, place);
    } else {
        n = snprintf(joined, sizeof joined, "%s", place);
    }
    if (n < 0 || (size_t)n >= sizeof t->path) {
        return false;
    }
    memcpy(t->path, joined, (size_t)n + 1);
    return true;
}

/* N of /dev/fd/N and /proc/self/fd/N, which /dev/stdout is a link to; -1 for other paths. */
static int own_descriptor(const char *path)
{
    static const char *const prefix[] = {"/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < sizeof prefix / sizeof prefix[0]; i++) {
        const size_t n = strlen(prefix[i]);
        char *end;
        long fd;
        if (strncmp(path, prefix[i], n) == 0 && path[n] >= '0' && path[n] <= '9') {
            fd = strtol(path + n, &end, 10);
            return *end == '\0' && fd <= INT_MAX ? (int)fd : -1;
        }
    }
    return -1;
}

/* Fills t, following links by hand: realpath refuses those whose end is absent. */
static spx_status resolve(target *t, const char *path, int *descriptor)
{
    *descriptor = -1;
    t->asked = path;
    if (strlen(path) >= sizeof t->path) {
        return SPX_FAIL(SPX_EINVAL, "path of %zu bytes is too long", strlen(path));
    }
    (void)strcpy(t->path, path);
    for (int links = 0; links <= LINKS_MAX; links++) {
        char place[PATH_MAX];
        ssize_t n;
        *descriptor = own_descriptor(t->path);
        if (*descriptor >= 0) {
            return SPX_OK;
        }
        n = readlink(t->path, place, sizeof place - 1);
        if (n < 0) { /* no link, or nothing there, or what opening it will tell */
            split(t);
            t->exists = stat(t->path, &t->old) == 0;
            return SPX_OK;
        }
        place[n] = '\0';
        if (!step_to(t, place)) {
            return SPX_FAIL(SPX_EINVAL, "%s: a link to a path that is too long", path);
        }
    }
    return SPX_FAIL(SPX_EIO, "%s: %s", path, strerror(ELOOP));
}

/* ---- writing ---- */

bool spx_write_fully(int fd, const void *data, size_t n)
{
    const char *at = data;
    while (n > 0) {
        const ssize_t put = write(fd, at, n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return false;
        }
        at += put;
        n -= (size_t)put;
    }
    return true;
}

/* Bytes in memory. */
typedef struct pieces {
    const spx_span *part;
    size_t parts;
} pieces;

static spx_status write_parts(void *ctx, int fd, const char *path)
{
    const pieces *p = ctx;
    for (size_t i = 0; i < p->parts; i++) {
        if (!spx_write_fully(fd, p->part[i].data, p->part[i].size)) {
            return SPX_FAIL(SPX_EIO, "%s: cannot write: %s", path, strerror(errno));
        }
    }
    return SPX_OK;
}

spx_status spx_file_sync(int fd, const char *path)
{
    static const int lacking[] = {EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP, EROFS};
    if (fsync(fd) == 0) {
        return SPX_OK;
    }
    for (size_t i = 0; i < sizeof lacking / sizeof lacking[0]; i++) {
        if (errno == lacking[i]) {
            return SPX_OK;
        }
    }
    return SPX_FAIL(SPX_EIO, "%s: cannot sync: %s", path, strerror(errno));
}

/* The rename is durable only once its folder is. */
static spx_status sync_folder(const char *folder)
{
    spx_status st;
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) { /* a folder may be written without being readable */
        return errno == EACCES
                   ? SPX_OK
                   : SPX_FAIL(SPX_EIO, "%s: cannot open the folder: %s", folder, strerror(errno));
    }
    st = spx_file_sync(fd, folder);
    (void)close(fd);
    return st;
}

/* What cannot be renamed onto, and is there to be written as it is. */
static spx_status write_straight(const target *t, int descriptor, spx_file_fill fill, void *ctx)
{
    spx_status st;
    /* A copy of the descriptor keeps its place in the file and whether it appends. */
    const int fd = descriptor >= 0 ? fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
                                   : open(t->path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return SPX_FAIL(SPX_EIO, "%s: cannot open for writing: %s", t->asked, strerror(errno));
    }
    st = fill(ctx, fd, t->asked);
    if (close(fd) != 0 && st == SPX_OK) {
        st = SPX_FAIL(SPX_EIO, "%s: cannot close: %s", t->asked, strerror(errno));
    }
    return st;
}

/* ---- temporary files ---- */

/* Whether name is ".KEPT.<digits>.tmp"; kept NULL stands for any. */
static bool is_temporary(const char *name, const char *kept, size_t n)
{
    const size_t length = strlen(name), tail = 1 + RANDOM_TEXT + strlen(SUFFIX);
    const char *digits;
    if (name[0] != '.' || length < 1 + n + tail || (kept != NULL && length != 1 + n + tail)) {
        return false;
    }
    digits = name + length - tail + 1;
    return (kept == NULL || memcmp(name + 1, kept, n) == 0) && digits[-1] == '.' &&
           strspn(digits, "0123456789abcdef") == RANDOM_TEXT &&
           strcmp(digits + RANDOM_TEXT, SUFFIX) == 0;
}

bool spx_file_is_leftover(const char *name)
{
    return is_temporary(name, NULL, 0);
}

static size_t name_kept(const target *t)
{
    const size_t n = strlen(t->name);
    return n < NAME_KEPT ? n : NAME_KEPT;
}

/* Removes what killed writers of t left. Their age is told by the file system's own clock: now is
 * the time it gave to a file just written. */
static void sweep(const target *t, time_t now)
{
    DIR *dir = opendir(t->folder);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat info;
        if (is_temporary(entry->d_name, t->name, name_kept(t)) &&
            fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(info.st_mode) && info.st_mtime < now - LEFT_SECONDS) {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* Creates the temporary file; with private only its owner can open it, whatever the umask. */
static spx_status create(const target *t, bool private, char temporary[PATH_MAX], int *fd)
{
    uint64_t random;
    int n;
    do {
        if (getentropy(&random, sizeof random) != 0) {
            return SPX_FAIL(SPX_EIO, "%s: no random name: %s", t->asked, strerror(errno));
        }
        n = snprintf(temporary, PATH_MAX, "%.*s.%.*s.%0*llx" SUFFIX, (int)(t->name - t->path),
                     t->path, (int)name_kept(t), t->name, RANDOM_TEXT, (unsigned long long)random);
        if (n < 0 || n >= PATH_MAX) {
            return SPX_FAIL(SPX_EINVAL, "path of %zu bytes is too long", strlen(t->path));
        }
        *fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, private ? 0600 : 0666);
    } while (*fd < 0 && errno == EEXIST);
    if (*fd < 0 && errno == ENOENT) { /* also what /proc says of any new file */
        return SPX_FAIL(SPX_EIO,
                        access(t->folder, F_OK) != 0 ? "%s: no folder %s"
                                                     : "%s: no files can be created in %s",
                        t->asked, t->folder);
    }
    if (*fd < 0) {
        return SPX_FAIL(SPX_EIO, "%s: cannot create a file beside it: %s", t->asked,
                        strerror(errno));
    }
    return SPX_OK;
}

/* Gives fd the owner and mode of the file it will replace. */
static spx_status take_over(const target *t, int fd, bool secret)
{
    mode_t mode = t->old.st_mode & (secret ? 0700 : 07777);
    struct stat info;
    if (!t->exists) {
        return SPX_OK; /* as created */
    }
    if (fchown(fd, t->old.st_uid, t->old.st_gid) != 0) {
        (void)!fchown(fd, (uid_t)-1, t->old.st_gid); /* only root gives files away */
    }
    if (fstat(fd, &info) != 0) {
        return SPX_FAIL(SPX_EIO, "%s: %s", t->asked, strerror(errno));
    }
    if (info.st_gid != t->old.st_gid) { /* another group than the one that was let in */
        mode = (mode & ~(mode_t)(070 | S_ISGID)) | ((mode & 07) << 3);
    }
    if (info.st_uid != t->old.st_uid) {
        mode &= ~(mode_t)S_ISUID;
    }
    /* Some file systems have one mode for all; they refuse to change it. */
    if ((info.st_mode & 07777) != mode && fchmod(fd, mode) != 0 && errno != EPERM &&
        errno != ENOTSUP && errno != ENOSYS) {
        return SPX_FAIL(SPX_EIO, "%s: cannot keep its mode: %s", t->asked, strerror(errno));
    }
    return SPX_OK;
}

static spx_status put_in_place(const target *t, const char *temporary)
{
    if (rename(temporary, t->path) == 0) {
        return SPX_OK;
    }
    return errno == EBUSY
               ? SPX_FAIL(SPX_EIO,
                          "%s: is a mount point, which cannot be replaced: write beside it, or "
                          "mount its folder instead",
                          t->asked)
               : SPX_FAIL(SPX_EIO, "%s: cannot rename onto it: %s", t->asked, strerror(errno));
}

static spx_status replace_file(const target *t, spx_file_fill fill, void *ctx, bool secret)
{
    char temporary[PATH_MAX];
    struct stat info;
    spx_status st;
    int fd = -1;
    SPX_RETURN_IF(create(t, secret || t->exists, temporary, &fd));
    SPX_TRY(st, fill(ctx, fd, t->asked), fail);
    SPX_TRY(st, take_over(t, fd, secret), fail);
    SPX_TRY(st, spx_file_sync(fd, t->asked), fail);
    if (fstat(fd, &info) == 0) {
        sweep(t, info.st_mtime);
    }
    if (close(fd) != 0) {
        fd = -1;
        st = SPX_FAIL(SPX_EIO, "%s: cannot close: %s", t->asked, strerror(errno));
        goto fail;
    }
    fd = -1;
    SPX_TRY(st, put_in_place(t, temporary), fail);
    return spx_fail_context(sync_folder(t->folder), "%s: is written, but", t->asked);
fail:
    if (fd >= 0) {
        (void)close(fd);
    }
    (void)unlink(temporary);
    return st;
}

static spx_status replace(const char *path, spx_file_fill fill, void *ctx, bool secret)
{
    target t = {0};
    int descriptor;
    SPX_RETURN_IF(resolve(&t, path, &descriptor));
    if (descriptor >= 0 || (t.exists && (S_ISFIFO(t.old.st_mode) || S_ISCHR(t.old.st_mode)))) {
        return write_straight(&t, descriptor, fill, ctx);
    }
    if (t.exists && !S_ISREG(t.old.st_mode)) {
        return SPX_FAIL(SPX_EIO, "%s: exists and is %s", path,
                        S_ISDIR(t.old.st_mode)   ? "a folder"
                        : S_ISBLK(t.old.st_mode) ? "a disk"
                                                 : "not a regular file");
    }
    return replace_file(&t, fill, ctx, secret);
}

spx_status spx_file_replace_by(const char *path, spx_file_fill fill, void *ctx)
{
    return replace(path, fill, ctx, false);
}

spx_status spx_file_replace(const char *path, const spx_span *part, size_t parts)
{
    return replace(path, write_parts, &(pieces){part, parts}, false);
}

spx_status spx_file_replace_secret(const char *path, const spx_span *part, size_t parts)
{
    return replace(path, write_parts, &(pieces){part, parts}, true);
}

spx_status spx_file_sync_folder(const char *path)
{
    target t = {0};
    int descriptor;
    SPX_RETURN_IF(resolve(&t, path, &descriptor));
    return sync_folder(t.folder);
}

spx_status spx_temp_folder(char path[SPX_TEMP_FOLDER], const char *what)
{
    const char *tmp = getenv("TMPDIR");
    tmp = tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp";
    const int n = snprintf(path, SPX_TEMP_FOLDER, "%s/sphynx-%s-XXXXXX", tmp, what);
    if (n < 0 || n >= SPX_TEMP_FOLDER) {
        return SPX_FAIL(SPX_EINVAL, "$TMPDIR is too long: %zu bytes", strlen(tmp));
    }
    return mkdtemp(path) != NULL
               ? SPX_OK
               : SPX_FAIL(SPX_EIO, "a temporary folder in %s ($TMPDIR) cannot be made: %s", tmp,
                          strerror(errno));
}
