#ifndef SPX_PACK_LIST_PRIVATE_H
#define SPX_PACK_LIST_PRIVATE_H
/* What finds pictures puts them into a list by these calls. */
#include "data/pack/pack_list.h"
#include "data/pack/pack_private.h"

#include <limits.h>

/* ---- bytes of a file that are read in place ---- */

/** An archive: open, or in memory (then nothing is owned). */
typedef struct spx_container {
    char *path;           /* for messages */
    int fd;               /* -1: in memory */
    const uint8_t *bytes; /* borrowed */
    uint64_t size;
} spx_container;

/** Opens a regular file. @return SPX_OK, SPX_ENOTFOUND, SPX_EIO, SPX_EFORMAT, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_container_open(spx_container *c, const char *path);
void spx_container_close(spx_container *c); /* takes a zeroed one, whose fd is not its own */

/** n bytes from offset `at` on; SPX_EFORMAT where the file ends before. Threads may call it. */
SPX_MUST_CHECK spx_status spx_container_read(const spx_container *c, uint64_t at, void *to,
                                             size_t n);

/** The bytes of a range. @param bytes  size + 1 bytes, the last one 0; spx_free. NULL on failure */
struct spx_place;
SPX_MUST_CHECK spx_status spx_container_range(const spx_container *c, const struct spx_place *where,
                                              void **bytes);

/* ---- where a picture's bytes lie ---- */

typedef enum spx_place_form {
    SPX_PLACE_FILE,  /* a file of its own: the list's root and the item's path */
    SPX_PLACE_RANGE, /* size bytes at offset of a container */
    SPX_PLACE_ZIP    /* a member of a ZIP archive, its local header at offset */
} spx_place_form;

typedef struct spx_place {
    uint64_t offset;
    uint32_t size, packed, crc; /* bytes; ZIP: as they lie there, CRC-32 of the inflated */
    uint8_t form, container;
    bool deflated;
} spx_place;

/* ---- a list being made ---- */

/** Folder below which SPX_PLACE_FILE's paths lie. Copied. */
SPX_MUST_CHECK spx_status spx_list_root(spx_pack_list *l, const char *root);

/** Opens an archive that stays open with the list, and gives it a number. */
SPX_MUST_CHECK spx_status spx_list_container(spx_pack_list *l, const char *path,
                                             const spx_container **c, uint8_t *number);

/** Adds a picture. @param name  its path in the set, of n bytes without a zero */
SPX_MUST_CHECK spx_status spx_list_add(spx_pack_list *l, spx_split split, const char *name,
                                       size_t n, const spx_place *where);

/** A class by its key (the name of its folder), in any order and any number of times. */
SPX_MUST_CHECK spx_status spx_list_add_class(spx_pack_list *l, const char *key, size_t n);

/** Counts files that are passed over. */
void spx_list_pass_over(spx_pack_list *l, size_t n);

/** Whether a path of n bytes has the suffix of a picture, and is no hidden file's. */
bool spx_list_is_picture(const char *path, size_t n);

/** The label of a class's key, once spx_list_finish numbered them; -1: none. */
int spx_list_label(const spx_pack_list *l, const char *key, size_t n);

/** What finding the label of a test picture needs that does not lie in its class's folder. */
typedef struct spx_list_labels {
    /** The label of the picture of that path, or a failure that names it. */
    spx_status (*find)(void *ctx, const spx_pack_list *l, const char *name, uint16_t *label);
    void *ctx;
} spx_list_labels;

/** How a list is finished. */
typedef struct spx_list_rules {
    int depth;                     /* folders of a path above that of its class */
    const spx_list_labels *labels; /* of test pictures without a folder of a class; NULL: none */
    const char *unlabelled;        /* what to say more of such; or NULL */
    const spx_pack_build_options *hold; /* a test split is held out by these; NULL: it is there */
} spx_list_rules;

/** Numbers the classes by rising bytes of their keys. To be called once, before labels are asked
 * for. @return SPX_OK, SPX_EFORMAT (none, too many), SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_list_number_classes(spx_pack_list *l);

/** Puts the items in order, gives each its label, holds out a test split where there is to be one,
 * and counts. Keys become the names of classes unless `about` has some.
 * @return SPX_OK, SPX_EFORMAT (no pictures, a path twice, a class that is none), SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_list_finish(spx_pack_list *l, const spx_list_rules *rules);

/** The description, to be filled by the finder. */
spx_pack *spx_list_describe(spx_pack_list *l);

/* ---- walking folders ---- */

/** One name of a folder. */
typedef struct spx_folder_entry {
    char *name;
    bool folder, file; /* neither: a device, a pipe, a link to nothing */
} spx_folder_entry;

/** The names in a folder but for hidden ones, by rising bytes, links followed; free both with
 * spx_folder_free. @param hidden  counted up; may be NULL */
SPX_MUST_CHECK spx_status spx_folder_read(const char *folder, spx_folder_entry **entries, size_t *n,
                                          size_t *hidden);
void spx_folder_free(spx_folder_entry *entries, size_t n);

/** Whether a path is a folder, links followed. */
bool spx_is_folder(const char *path);

/**
 * Adds all pictures below root/path, at any depth, as items of their path below root.
 * @param split    theirs
 * @param classes  the folders in it are classes, and what lies beside them is passed over
 * @return also SPX_EFORMAT: a folder that a link leads back into
 */
SPX_MUST_CHECK spx_status spx_list_walk(spx_pack_list *l, const char *root, const char *path,
                                        spx_split split, bool classes);

/* ---- the finders: fill the list, finish included ---- */

spx_status spx_list_imagenet(spx_pack_list *l, const char *src, const spx_pack_build_options *o);
spx_status spx_list_tiny(spx_pack_list *l, const char *src, const spx_pack_build_options *o);
spx_status spx_list_imagefolder(spx_pack_list *l, const char *src, const spx_pack_build_options *o);

#endif
