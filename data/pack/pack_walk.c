/* Pictures in folders, at any depth, links followed. */
#define _DEFAULT_SOURCE /* d_type */
#include "data/pack/pack_list_private.h"
#include "kernels/base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The folders on the way down, to know one that a link leads back into. */
typedef struct level {
    const struct level *up;
    dev_t device;
    ino_t number;
} level;

typedef struct walk {
    spx_pack_list *l;
    char path[PATH_MAX]; /* of where it is */
    size_t root;         /* bytes of it that are above the set, with a slash */
    spx_split split;
} walk;

static spx_status refuse(const char *path, spx_status st, const char *why)
{
    char name[PATH_MAX];
    (void)spx_pack_escape(name, sizeof name, path, strlen(path));
    return SPX_FAIL(st, "%s: %s", name, why);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(((const spx_folder_entry *)a)->name, ((const spx_folder_entry *)b)->name);
}

void spx_folder_free(spx_folder_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(entries[i].name);
    }
    spx_free(entries);
}

bool spx_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* What a name stands for; most file systems say so without being asked for each. */
static spx_status look(const char *folder, const struct dirent *d, spx_folder_entry *e)
{
    char path[PATH_MAX];
    struct stat info;
    e->folder = d->d_type == DT_DIR;
    e->file = d->d_type == DT_REG;
    if (d->d_type != DT_UNKNOWN && d->d_type != DT_LNK) {
        return SPX_OK;
    }
    if (!spx_path_join(path, folder, d->d_name)) {
        return refuse(folder, SPX_EFORMAT, "a path in it is too long");
    }
    if (stat(path, &info) == 0) {
        e->folder = S_ISDIR(info.st_mode);
        e->file = S_ISREG(info.st_mode);
        return SPX_OK;
    }
    return errno == ENOENT && !spx_list_is_picture(d->d_name, strlen(d->d_name))
               ? SPX_OK /* a link to nothing: no picture that would be missed */
               : refuse(path, SPX_EIO, strerror(errno));
}

static spx_status read_open(DIR *d, const char *folder, spx_folder_entry **entries, size_t *n,
                            size_t *hidden)
{
    size_t room = 0;
    for (;;) {
        const struct dirent *at;
        spx_folder_entry e = {0};
        errno = 0;
        at = readdir(d);
        if (at == NULL) {
            return errno == 0 ? SPX_OK : refuse(folder, SPX_EIO, strerror(errno));
        }
        if (at->d_name[0] == '.') {
            *hidden += strcmp(at->d_name, ".") != 0 && strcmp(at->d_name, "..") != 0;
            continue;
        }
        SPX_RETURN_IF(SPX_GROW(*entries, *n, room));
        SPX_RETURN_IF(look(folder, at, &e));
        e.name = strdup(at->d_name);
        if (e.name == NULL) {
            return refuse(folder, SPX_ENOMEM, "names");
        }
        (*entries)[(*n)++] = e;
    }
}

spx_status spx_folder_read(const char *folder, spx_folder_entry **entries, size_t *n,
                           size_t *hidden)
{
    size_t unseen = 0;
    spx_status st;
    DIR *d = opendir(folder);
    *entries = NULL;
    *n = 0;
    if (d == NULL) {
        return refuse(folder, errno == ENOENT ? SPX_ENOTFOUND : SPX_EIO, strerror(errno));
    }
    st = read_open(d, folder, entries, n, hidden != NULL ? hidden : &unseen);
    (void)closedir(d);
    if (st != SPX_OK) {
        spx_folder_free(*entries, *n);
        *entries = NULL;
        *n = 0;
    } else if (*n > 0) {
        qsort(*entries, *n, sizeof **entries, by_bytes); /* the same order in every locale */
    }
    return st;
}

static spx_status enter(walk *w, size_t end, const level *up, bool classes);

/* One name of the folder whose path has `end` bytes. */
static spx_status take(walk *w, size_t end, const level *here, const spx_folder_entry *e,
                       bool classes)
{
    const size_t n = strlen(e->name);
    if (end + 1 + n >= sizeof w->path) {
        return refuse(w->path, SPX_EFORMAT, "a path in it is too long");
    }
    if (!e->folder && (classes || !e->file || !spx_list_is_picture(e->name, n))) {
        spx_list_pass_over(w->l, 1);
        return SPX_OK;
    }
    w->path[end] = '/';
    memcpy(w->path + end + 1, e->name, n + 1);
    if (!e->folder) {
        static const spx_place own = {.form = SPX_PLACE_FILE};
        return spx_list_add(w->l, w->split, w->path + w->root, end + 1 + n - w->root, &own);
    }
    if (classes && w->split == SPX_SPLIT_TRAIN) { /* the others have to be among those */
        SPX_RETURN_IF(spx_list_add_class(w->l, e->name, n));
    }
    return enter(w, end + 1 + n, here, false);
}

static spx_status enter(walk *w, size_t end, const level *up, bool classes)
{
    spx_folder_entry *entries;
    size_t n, hidden = 0;
    struct stat info;
    level here = {.up = up};
    spx_status st;
    if (stat(w->path, &info) != 0) {
        return refuse(w->path, SPX_EIO, strerror(errno));
    }
    here.device = info.st_dev;
    here.number = info.st_ino;
    for (; up != NULL; up = up->up) {
        if (up->device == here.device && up->number == here.number) {
            return refuse(w->path, SPX_EFORMAT,
                          "a loop of folders: a link leads back to a folder above itself");
        }
    }
    SPX_RETURN_IF(spx_folder_read(w->path, &entries, &n, &hidden));
    spx_list_pass_over(w->l, hidden);
    st = SPX_OK;
    for (size_t i = 0; i < n && st == SPX_OK; i++) {
        st = take(w, end, &here, &entries[i], classes);
        w->path[end] = '\0';
    }
    spx_folder_free(entries, n);
    return st;
}

spx_status spx_list_walk(spx_pack_list *l, const char *root, const char *path, spx_split split,
                         bool classes)
{
    walk *w;
    spx_status st;
    SPX_RETURN_IF(SPX_NEW(w, 1));
    w->l = l;
    w->split = split;
    w->root = strlen(root) + 1;
    st = spx_path_join(w->path, root, path) ? enter(w, strlen(w->path), NULL, classes)
                                            : refuse(root, SPX_EFORMAT, "a path is too long");
    spx_free(w);
    return st;
}
