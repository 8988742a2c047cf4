#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_labels_private.h"

#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLANKS " \t,"

/* One line of a label file. */
typedef struct spx_labels_row {
    const char *name;
    size_t length, line;
    uint16_t label;
    bool used;
} row;

/* What of a path is compared: neither folders nor the suffix of a picture. */
static const char *core(const char *path, size_t *length)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    *length = strlen(name);
    if (spx_list_is_picture(name, *length)) {
        *length = (size_t)(strrchr(name, '.') - name);
    }
    return name;
}

static int by_name(const void *a, const void *b)
{
    const row *x = a, *y = b;
    const size_t n = x->length < y->length ? x->length : y->length;
    const int order = memcmp(x->name, y->name, n);
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

static int by_name_and_line(const void *a, const void *b)
{
    const row *x = a, *y = b;
    const int order = by_name(a, b);
    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

/* The next line of text as a string, its end behind it; NULL after the last. */
static char *next_line(char **text)
{
    char *line = *text;
    const size_t n = strcspn(line, "\n");
    if (*line == '\0') {
        return NULL;
    }
    *text += n + (line[n] == '\n');
    line[n] = '\0';
    return line;
}

static spx_status read_label(const spx_labels *t, const spx_pack_list *l, const char *token,
                             row *to)
{
    const size_t n = strlen(token);
    char shown[80];
    int label = spx_list_label(l, token, n);
    (void)spx_pack_escape(shown, sizeof shown, token, n);
    if (label < 0 && n > 0 && strspn(token, "0123456789") == n) {
        const int classes = spx_pack_list_about(l)->classes;
        const long v = n < 9 ? strtol(token, NULL, 10) : classes;
        if (v >= classes) {
            return SPX_FAIL(SPX_EFORMAT, "%s: line %zu: label %s, expected 0 to %d", t->where,
                            to->line, shown, classes - 1);
        }
        label = (int)v;
    }
    if (label < 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: line %zu: '%s' is no class of the train split", t->where,
                        to->line, shown);
    }
    to->label = (uint16_t)label;
    return SPX_OK;
}

static spx_status read_lines(spx_labels *t, const spx_pack_list *l, char *at)
{
    char *line;
    for (size_t number = 1; (line = next_line(&at)) != NULL; number++) {
        const size_t n = strcspn(line, BLANKS);
        char *token = line + n + strspn(line + n, BLANKS);
        row r = {.line = number};
        if (line[strspn(line, BLANKS)] == '\0' ||
            (number == 1 && strncmp(line, "ImageId", 7) == 0)) {
            continue;
        }
        line[n] = '\0';
        token[strcspn(token, BLANKS)] = '\0';
        r.name = core(line, &r.length);
        SPX_RETURN_IF(read_label(t, l, token, &r));
        SPX_RETURN_IF(SPX_GROW(t->row, t->n, t->room));
        t->row[t->n++] = r;
    }
    return SPX_OK;
}

spx_status spx_labels_read(spx_labels *t, const spx_pack_list *l, spx_side_text *from)
{
    *t = (spx_labels){.where = from->where};
    SPX_RETURN_IF(spx_text_tidy(from->where, from->text, &from->size));
    SPX_RETURN_IF(read_lines(t, l, from->text));
    if (t->n == 0) {
        return SPX_FAIL(SPX_EFORMAT, "%s: no line names a picture and its class", t->where);
    }
    qsort(t->row, t->n, sizeof *t->row, by_name_and_line);
    for (const row *a = t->row; a + 1 < t->row + t->n; a++) {
        if (by_name(a, a + 1) == 0) {
            return SPX_FAIL(SPX_EFORMAT, "%s: line %zu: %.80s is named by line %zu, too", t->where,
                            a[1].line, a->name, a->line);
        }
    }
    return SPX_OK;
}

spx_status spx_labels_find(void *labels, const spx_pack_list *l, const char *name, uint16_t *label)
{
    const spx_labels *t = labels;
    row key = {0}, *found;
    char shown[PATH_MAX];
    key.name = core(name, &key.length);
    found = bsearch(&key, t->row, t->n, sizeof *t->row, by_name);
    if (found != NULL && !found->used) {
        found->used = true;
        *label = found->label;
        return SPX_OK;
    }
    (void)spx_pack_escape(shown, sizeof shown, name, strlen(name));
    return SPX_FAIL(SPX_EFORMAT, "%s: %s: %s in %s", spx_pack_list_source(l), shown,
                    found == NULL ? "no line names it" : "a second picture of one line", t->where);
}

spx_status spx_labels_all_used(const spx_labels *t)
{
    bool any = false;
    for (size_t i = 0; i < t->n; i++) {
        any = any || t->row[i].used;
    }
    for (size_t i = 0; any && i < t->n; i++) {
        if (!t->row[i].used) {
            return SPX_FAIL(SPX_EFORMAT, "%s: line %zu: no picture %.80s is there", t->where,
                            t->row[i].line, t->row[i].name);
        }
    }
    return SPX_OK;
}

void spx_labels_clear(spx_labels *t)
{
    spx_free(t->row);
    *t = (spx_labels){0};
}

static spx_status take_names(spx_pack_list *l, const char *where, char *text, char **name)
{
    char *line;
    for (size_t number = 1; (line = next_line(&text)) != NULL; number++) {
        const size_t n = strcspn(line, BLANKS);
        const int k = spx_list_label(l, line, n);
        if (k >= 0 && name[k] != NULL) {
            return SPX_FAIL(SPX_EFORMAT, "%s: line %zu: %.*s is named twice", where, number,
                            n < 80 ? (int)n : 80, line);
        }
        if (k >= 0 && line[n + strspn(line + n, BLANKS)] != '\0') {
            name[k] = line + n + strspn(line + n, BLANKS);
        }
    }
    return SPX_OK;
}

static spx_status read_names(spx_pack_list *l, spx_side_text *t)
{
    char **name;
    spx_status st;
    SPX_RETURN_IF(spx_text_tidy(t->where, t->text, &t->size));
    SPX_RETURN_IF(SPX_NEW(name, (size_t)spx_pack_list_about(l)->classes));
    st = take_names(l, t->where, t->text, name);
    st = st == SPX_OK ? spx_list_name_classes(l, name) : st;
    spx_free(name);
    return st;
}

spx_status spx_list_read_classes(spx_pack_list *l, spx_side_text *t)
{
    char *at = t->text, *line;
    SPX_RETURN_IF(spx_text_tidy(t->where, t->text, &t->size));
    while ((line = next_line(&at)) != NULL) {
        const size_t n = strcspn(line, BLANKS);
        if (n > 0) {
            SPX_RETURN_IF(spx_list_add_class(l, line, n));
        }
    }
    return SPX_OK;
}

spx_status spx_list_finish_labelled(spx_pack_list *l, spx_side_text *labels, spx_side_text *names,
                                    const char *unlabelled)
{
    spx_labels table = {0};
    const spx_list_labels by_table = {spx_labels_find, &table};
    const spx_list_rules rules = {.depth = 1,
                                  .labels = labels->text != NULL ? &by_table : NULL,
                                  .unlabelled = labels->text != NULL ? NULL : unlabelled};
    spx_status st;
    SPX_RETURN_IF(spx_list_number_classes(l));
    if (labels->text != NULL) {
        SPX_TRY(st, spx_labels_read(&table, l, labels), done);
    }
    if (names->text != NULL) {
        SPX_TRY(st, read_names(l, names), done);
    }
    SPX_TRY(st, spx_list_finish(l, &rules), done);
    if (spx_pack_list_about(l)->split[SPX_SPLIT_TEST].count == 0) {
        st = SPX_FAIL(SPX_ENOTFOUND, "%s: no pictures in val", spx_pack_list_source(l));
        goto done;
    }
    st = spx_labels_all_used(&table);
done:
    spx_labels_clear(&table);
    return st;
}

/* ---- the files themselves ---- */

spx_status spx_side_text_take(spx_side_text *t, spx_pack_list *l, const char *where, void *bytes,
                              size_t size)
{
    spx_side_text_clear(t);
    t->text = bytes;
    t->size = size;
    SPX_RETURN_IF(spx_pack_copy_text(&t->where, where));
    return spx_pack_add_source(spx_list_describe(l), where, bytes, size);
}

spx_status spx_side_text_read(spx_side_text *t, spx_pack_list *l, const char *folder,
                              const char *name)
{
    char path[PATH_MAX];
    void *bytes;
    size_t size;
    if (t->text != NULL || !spx_path_join(path, folder, name) || access(path, F_OK) != 0) {
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_file_read(path, SPX_SIDE_TEXT_MAX, &bytes, &size));
    return spx_side_text_take(t, l, path, bytes, size);
}

void spx_side_text_clear(spx_side_text *t)
{
    spx_free(t->where);
    spx_free(t->text);
    *t = (spx_side_text){0};
}
