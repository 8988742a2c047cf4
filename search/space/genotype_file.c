/* Genotypes as text: names of primitives, telling the two forms apart, files, and writing both. */
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/text.h"
#include "search/space/cell_masks.h"
#include "search/space/genotype_private.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 * 1024)
#define SUFFIX "_NR"

bool spx_primitive_plain(spx_space space, spx_primitive *out, const char *name, size_t len)
{
    for (int p = 0; p < SPX_PRIMITIVE_COUNT; p++) {
        const char *known = spx_primitive_name(space, (spx_primitive)p);
        if (strlen(known) == len && memcmp(known, name, len) == 0) {
            *out = (spx_primitive)p;
            return true;
        }
    }
    *out = SPX_NONE;
    return false;
}

/* Whether the published name tells the space: that of every primitive whose ReLU may be. */
static bool is_marked(spx_primitive p)
{
    return p != SPX_AVG_POOL_3X3 && p != SPX_NONE;
}

bool spx_primitive_published(spx_primitive *out, spx_space *space, const char *name, size_t len)
{
    const size_t suffix = strlen(SUFFIX);
    const bool has = len > suffix && memcmp(name + len - suffix, SUFFIX, suffix) == 0;
    *space = has ? SPX_SPACE_SPHYNX : SPX_SPACE_RELU_OPS;
    if (!spx_primitive_plain(*space, out, name, has ? len - suffix : len)) {
        return false;
    }
    if (!is_marked(*out)) {
        *space = SPX_SPACE_COUNT;
        *out = has ? SPX_NONE : *out;
        return !has;
    }
    return true;
}

/* Whether it is the JSON form. */
static bool is_json(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && strchr(" \t\r\n", text[i]) != NULL && text[i] != '\0') {
        i++;
    }
    return i < len && text[i] == '{';
}

static spx_status parse(spx_genotype *g, spx_cell_masks *m, const char *text, size_t len)
{
    m->n = 0;
    if (len > TEXT_MAX) {
        return SPX_FAIL(SPX_EFORMAT, "genotype: longer than %zu bytes", TEXT_MAX);
    }
    return is_json(text, len) ? spx_genotype_parse_json(g, m, text, len)
                              : spx_genotype_parse_text(g, text, len);
}

spx_status spx_genotype_parse(spx_genotype *out, const char *text, size_t len)
{
    spx_cell_masks unused;
    return parse(out, &unused, text, len);
}

spx_status spx_genotype_load_masked(spx_genotype *g, spx_cell_masks *m, const char *name_or_path)
{
    m->n = 0;
    if (strcmp(name_or_path, "published") == 0) {
        *g = spx_genotype_published;
        return SPX_OK;
    }
    char path[4096], *text;
    size_t len;
    SPX_RETURN_IF(spx_file_within(path, sizeof path, name_or_path, "genotype.json"));
    spx_status st = spx_text_read(path, TEXT_MAX, &text, &len);
    if (st != SPX_OK) {
        return spx_fail_context(st, "genotype");
    }
    st = parse(g, m, text, len);
    spx_free(text);
    return st == SPX_OK ? st : spx_fail_context(st, "%s", path);
}

spx_status spx_genotype_load(spx_genotype *out, const char *name_or_path)
{
    spx_cell_masks unused;
    return spx_genotype_load_masked(out, &unused, name_or_path);
}

/* Writing: appends to a buffer that is large enough for every genotype. */
typedef struct writer {
    char *text;
    size_t len, cap;
} writer;

static void put(writer *w, const char *fmt, ...) SPX_PRINTF(2, 3);
static void put(writer *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(w->text + w->len, w->cap - w->len, fmt, args);
    va_end(args);
    w->len += n > 0 ? (size_t)n : 0;
}

/* How one form writes a genotype. */
typedef struct style {
    const char *head, *between, *tail; /* around the cells */
    const char *space;                 /* behind the space's name, which follows head; NULL: none */
    const char *open_cell, *open_node, *close_node, *close_cell;
    const char *open_edge, *mid_edge, *close_edge; /* around the primitive and the state */
} style;

static const style json_style = {.head = "{\n  \"space\": \"",
                                 .space = "\",\n  \"normal\": ",
                                 .between = ",\n  \"reduce\": ",
                                 .tail = "\n}\n",
                                 .open_cell = "[\n    [",
                                 .open_node = ",\n    [",
                                 .close_node = "]",
                                 .close_cell = "\n  ]",
                                 .open_edge = "[\"",
                                 .mid_edge = "\", ",
                                 .close_edge = "]"};
static const style text_style = {.head = "Genotype(normal=",
                                 .between = ", normal_concat=range(2, 6), reduce=",
                                 .tail = ", reduce_concat=range(2, 6))\n",
                                 .open_cell = "[[",
                                 .open_node = ", [",
                                 .close_node = "]",
                                 .close_cell = "]",
                                 .open_edge = "('",
                                 .mid_edge = "', ",
                                 .close_edge = ")"};

static void put_cell(writer *w, const style *s, spx_space space, const spx_cell_genes *c)
{
    const bool suffix = s->space == NULL && space == SPX_SPACE_SPHYNX;
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        put(w, "%s", i == 0 ? s->open_cell : s->open_node);
        for (int j = 0; j < SPX_NODE_EDGES; j++) {
            const spx_gene *e = &c->edge[i][j];
            put(w, "%s%s%s%s%s%d%s", j > 0 ? ", " : "", s->open_edge,
                spx_primitive_name(space, e->primitive),
                suffix && is_marked(e->primitive) ? SUFFIX : "", s->mid_edge, e->from,
                s->close_edge);
        }
        put(w, "%s", s->close_node);
    }
    put(w, "%s", s->close_cell);
}

/* Of the JSON form: a line a mask. */
static void put_masks(writer *w, const spx_cell_masks *m)
{
    for (int i = 0; i < m->n; i++) {
        json_t *states = spx_cell_sites_value(m->mask[i].keep);
        char *text = json_dumps(states, JSON_COMPACT);
        json_decref(states);
        put(w, "%s{\"sites\": %d, \"value\": %.6f, %s",
            i == 0 ? ",\n  \"masks\": [\n    " : ",\n    ", spx_cell_sites_count(m->mask[i].keep),
            m->mask[i].value, text != NULL ? text + 1 : "}");
        free(text);
    }
    put(w, "%s", m->n > 0 ? "\n  ]" : "");
}

/* malloc'd; NULL when out of memory. */
static char *written(const spx_genotype *g, const style *s, const spx_cell_masks *m)
{
    writer w = {.text = malloc(8192), .cap = 8192}; /* edges, masks of under 128 bytes, frame */
    if (w.text != NULL) {
        put(&w, "%s", s->head);
        if (s->space != NULL) {
            put(&w, "%s%s", spx_space_name(g->space), s->space);
        }
        put_cell(&w, s, g->space, &g->normal);
        put(&w, "%s", s->between);
        put_cell(&w, s, g->space, &g->reduce);
        if (m != NULL) {
            put_masks(&w, m);
        }
        put(&w, "%s", s->tail);
    }
    return w.text;
}

char *spx_genotype_masked_json(const spx_genotype *g, const spx_cell_masks *m)
{
    return written(g, &json_style, m);
}

char *spx_genotype_json(const spx_genotype *g)
{
    return written(g, &json_style, NULL);
}

char *spx_genotype_text(const spx_genotype *g)
{
    return written(g, &text_style, NULL);
}
