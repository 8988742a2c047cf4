#ifndef SPX_PACK_LABELS_PRIVATE_H
#define SPX_PACK_LABELS_PRIVATE_H
/* Labels and names of classes that published sets keep in text files beside the pictures. */
#include "data/pack/pack_list_private.h"

#define SPX_SIDE_TEXT_MAX ((size_t)64 << 20) /* bytes of one */

/** A file beside the pictures, as it is until it is used; text NULL: there is none. */
typedef struct spx_side_text {
    char *where; /* for messages */
    char *text;  /* size bytes and a 0 */
    size_t size;
} spx_side_text;

/** Which label a file's name has. */
typedef struct spx_labels {
    const char *where;
    struct spx_labels_row *row; /* by rising bytes of names */
    size_t n, room;
} spx_labels;

/**
 * Takes lines apart: a picture's name (folders and suffix do not count), blanks, a tab or a comma,
 * then a class's key or its number; what follows is not looked at (boxes). A first line that begins
 * with ImageId is a heading.
 * @param l     its classes are numbered
 * @param from  borrowed until spx_labels_clear, and changed
 * @return SPX_OK, SPX_EFORMAT (a class that is none, a name twice; with the line), SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_labels_read(spx_labels *t, const spx_pack_list *l,
                                          spx_side_text *from);

/** The label of the picture of that path; SPX_EFORMAT where no line names it. A spx_labels as ctx
 * of spx_list_labels. */
spx_status spx_labels_find(void *labels, const spx_pack_list *l, const char *name, uint16_t *label);

/** SPX_EFORMAT where some lines were asked for and others name no picture that is there. */
SPX_MUST_CHECK spx_status spx_labels_all_used(const spx_labels *t);
void spx_labels_clear(spx_labels *t); /* takes a zeroed one */

/** Names the classes name[k], NULL: by the key. @param name  [classes] or NULL */
SPX_MUST_CHECK spx_status spx_list_name_classes(spx_pack_list *l, char *const *name);

/** Takes bytes over, whatever comes back, and adds their digest to the list's sources. */
SPX_MUST_CHECK spx_status spx_side_text_take(spx_side_text *t, spx_pack_list *l, const char *where,
                                             void *bytes, size_t size);

/** Reads folder/name, if that is there; a text that is there already stays. */
SPX_MUST_CHECK spx_status spx_side_text_read(spx_side_text *t, spx_pack_list *l, const char *folder,
                                             const char *name);
void spx_side_text_clear(spx_side_text *t); /* takes a zeroed one */

/** The classes that the lines of a text are the keys of. */
SPX_MUST_CHECK spx_status spx_list_read_classes(spx_pack_list *l, spx_side_text *t);

/**
 * Finishes a list train/KEY/..., val/... whose test pictures lie in folders of classes or are named
 * by a label file.
 * @param labels  takes part where its text is there; see spx_labels_read
 * @param names   lines of a key, blanks or a tab, and the class's name; keys of other classes are
 * passed over, classes that no line names keep their key as their name
 * @param unlabelled  what to say of a test picture without a class where there are no labels
 */
SPX_MUST_CHECK spx_status spx_list_finish_labelled(spx_pack_list *l, spx_side_text *labels,
                                                   spx_side_text *names, const char *unlabelled);

#endif
