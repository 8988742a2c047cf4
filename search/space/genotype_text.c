/*
 * The published text form of a genotype: a call of Genotype with Python literals, as its repr
 * prints it.
 *
 *   genotype = ANYTHING "Genotype" "(" item {"," item} [","] ")"
 *   item     = ("normal" | "reduce") "=" cell | ("normal_concat" | "reduce_concat") "=" concat
 *   cell     = "[" node {"," node} [","] "]"          SPX_CELL_NODES nodes, or their edges alone
 *   node     = "[" edge {"," edge} [","] "]"          SPX_NODE_EDGES edges; ( ) serve as well
 *   edge     = "(" STRING "," INT [","] ")"           [ ] serve as well
 *   concat   = "range" "(" "2" "," "6" ")" | "[" "2" "," "3" "," "4" "," "5" [","] "]"
 *
 * Spaces, line ends and # comments may stand between any two tokens. What stands before the call, a
 * name and "=" or a log's date and level, says nothing. The text is never evaluated.
 */
#include "search/space/genotype_private.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct parser {
    const char *text;
    size_t len, pos;
    spx_status st;   /* the first error; later steps do nothing */
    spx_space space; /* as names have told; SPX_SPACE_COUNT: not yet */
} parser;

/* Records an error at the current position with its line and column, both from 1. */
static void fail_at(parser *p, spx_status st, const char *fmt, ...) SPX_PRINTF(3, 4);
static void fail_at(parser *p, spx_status st, const char *fmt, ...)
{
    if (p->st != SPX_OK) {
        return;
    }
    size_t line = 1, column = 1;
    for (size_t i = 0; i < p->pos; i++) {
        column = p->text[i] == '\n' ? 1 : column + 1;
        line += p->text[i] == '\n';
    }
    char what[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    p->st = SPX_FAIL(st, "genotype: line %zu, column %zu: %s", line, column, what);
}

static void skip_space(parser *p)
{
    bool comment = false;
    for (; p->pos < p->len; p->pos++) {
        const char c = p->text[p->pos];
        comment = (comment || c == '#') && c != '\n';
        if (!comment && c != ' ' && c != '\t' && c != '\r' && c != '\n') {
            break;
        }
    }
}

/* What stands at the current position, for messages. */
static const char *found(const parser *p, char buffer[static 16])
{
    if (p->pos >= p->len) {
        return "the end";
    }
    const unsigned char c = (unsigned char)p->text[p->pos];
    (void)snprintf(buffer, 16, c >= 0x20 && c < 0x7f ? "'%c'" : "byte 0x%02x", c);
    return buffer;
}

/* Whether the next token begins with c; consumes it. */
static bool accept(parser *p, char c)
{
    skip_space(p);
    if (p->st != SPX_OK || p->pos >= p->len || p->text[p->pos] != c) {
        return false;
    }
    p->pos++;
    return true;
}

static void expect(parser *p, char c)
{
    char b[16];
    if (!accept(p, c)) {
        fail_at(p, SPX_EFORMAT, "expected '%c', found %s", c, found(p, b));
    }
}

/* Consumes '(' or '['; returns the bracket that closes it. */
static char open_bracket(parser *p)
{
    char b[16];
    if (accept(p, '[')) {
        return ']';
    }
    if (!accept(p, '(')) {
        fail_at(p, SPX_EFORMAT, "expected '[' or '(', found %s", found(p, b));
    }
    return ')';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* A run of letters, digits and underscores; it starts at p->pos - *len. */
static const char *word(parser *p, size_t *len)
{
    char b[16];
    skip_space(p);
    const size_t start = p->pos;
    while (p->pos < p->len && is_word(p->text[p->pos])) {
        p->pos++;
    }
    *len = p->pos - start;
    if (*len == 0) {
        fail_at(p, SPX_EFORMAT, "expected a name, found %s", found(p, b));
    }
    return p->text + start;
}

static bool same(const char *s, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(s, name, len) == 0;
}

/* A decimal of at most three digits: states are 0..4. */
static int integer(parser *p)
{
    char b[16];
    int v = 0, digits = 0;
    skip_space(p);
    while (p->pos < p->len && p->text[p->pos] >= '0' && p->text[p->pos] <= '9' && digits < 3) {
        v = 10 * v + (p->text[p->pos++] - '0');
        digits++;
    }
    if (digits == 0 || (p->pos < p->len && is_word(p->text[p->pos]))) {
        fail_at(p, SPX_EFORMAT, "expected a number from 0 to 999, found %s", found(p, b));
    }
    return v;
}

/* The primitive named between quotes. */
static spx_primitive primitive(parser *p)
{
    char b[16];
    skip_space(p);
    const char quote = p->pos < p->len ? p->text[p->pos] : '\0';
    if (quote != '\'' && quote != '"') {
        fail_at(p, SPX_EFORMAT, "expected a quoted primitive, found %s", found(p, b));
        return SPX_NONE;
    }
    const size_t start = ++p->pos;
    while (p->pos < p->len && is_word(p->text[p->pos])) {
        p->pos++;
    }
    const size_t len = p->pos - start;
    expect(p, quote);
    if (p->st != SPX_OK) {
        return SPX_NONE;
    }
    spx_primitive out;
    spx_space space;
    const bool known = spx_primitive_published(&out, &space, p->text + start, len);
    const int shown = len < 64 ? (int)len : 64;
    const size_t after = p->pos;
    p->pos = start; /* for the messages */
    if (known && space != SPX_SPACE_COUNT && p->space != SPX_SPACE_COUNT && space != p->space) {
        fail_at(p, SPX_EFORMAT, "'%.*s' is of the %s space, a primitive before it of %s", shown,
                p->text + start, spx_space_name(space), spx_space_name(p->space));
    } else if (!known) {
        fail_at(p, SPX_EFORMAT, "unknown primitive '%.*s'", shown, p->text + start);
    } else if (out == SPX_NONE) {
        fail_at(p, SPX_EFORMAT, "'none' is no edge of a genotype");
    }
    p->space = known && space != SPX_SPACE_COUNT ? space : p->space;
    p->pos = after;
    return out;
}

/* A comma, or the closing bracket after the last of `count` members (a trailing comma may stand
 * there). */
static void after_member(parser *p, int member, int count, char close, const char *what)
{
    char b[16];
    const bool comma = accept(p, ',');
    if (member + 1 < count) {
        if (!comma) {
            fail_at(p, SPX_EFORMAT, "expected ',' (%s has %d members), found %s", what, count,
                    found(p, b));
        }
    } else if (!accept(p, close)) {
        fail_at(p, SPX_EFORMAT, "expected '%c' after %d members of %s, found %s", close, count,
                what, found(p, b));
    }
}

/* Whether the cell lists its edges without brackets around nodes. */
static bool is_flat(const parser *at)
{
    parser p = *at;
    skip_space(&p);
    if (p.pos >= p.len || (p.text[p.pos] != '(' && p.text[p.pos] != '[')) {
        return false;
    }
    p.pos++;
    skip_space(&p);
    return p.pos < p.len && (p.text[p.pos] == '\'' || p.text[p.pos] == '"');
}

static void parse_edge(parser *p, int node, spx_gene *out)
{
    const char close = open_bracket(p);
    out->primitive = primitive(p);
    expect(p, ',');
    skip_space(p);
    const size_t at = p->pos;
    out->from = integer(p);
    if (p->st == SPX_OK && out->from >= node) {
        p->pos = at;
        fail_at(p, SPX_EFORMAT, "node %d takes states 0 to %d, found %d", node, node - 1,
                out->from);
    }
    after_member(p, 1, 2, close, "an edge");
}

static void parse_cell(parser *p, spx_cell_genes *out)
{
    const char close_cell = open_bracket(p);
    const bool flat = is_flat(p);
    for (int i = 0; i < SPX_CELL_NODES; i++) {
        const char close_node = flat ? close_cell : open_bracket(p);
        for (int j = 0; j < SPX_NODE_EDGES; j++) {
            parse_edge(p, i + 2, &out->edge[i][j]);
            if (flat) {
                after_member(p, i * SPX_NODE_EDGES + j, SPX_CELL_NODES * SPX_NODE_EDGES, close_node,
                             "a flat cell");
            } else {
                after_member(p, j, SPX_NODE_EDGES, close_node, "a node");
            }
        }
        if (!flat) {
            after_member(p, i, SPX_CELL_NODES, close_cell, "a cell");
        }
    }
}

/* Only the concatenation of all four nodes exists in this space. */
static void parse_concat(parser *p)
{
    const size_t at = p->pos;
    bool good = true;
    size_t len;
    skip_space(p);
    if (p->pos < p->len && p->text[p->pos] == 'r') {
        const char *w = word(p, &len);
        good = same(w, len, "range");
        expect(p, '(');
        good = integer(p) == 2 && good;
        expect(p, ',');
        good = integer(p) == SPX_CELL_NODES + 2 && good;
        expect(p, ')');
    } else {
        const char close = open_bracket(p);
        for (int i = 0; i < SPX_CELL_NODES && p->st == SPX_OK; i++) {
            good = integer(p) == i + 2 && good;
            after_member(p, i, SPX_CELL_NODES, close, "a concatenation");
        }
    }
    if (!good && p->st == SPX_OK) {
        p->pos = at;
        fail_at(p, SPX_EFORMAT, "expected the concatenation of nodes 2 to 5, range(2, 6)");
    }
}

static void parse_items(parser *p, spx_genotype *g)
{
    static const char *const key[] = {"normal", "normal_concat", "reduce", "reduce_concat"};
    bool seen[4] = {false};
    expect(p, '(');
    do {
        skip_space(p);
        if (seen[0] && seen[2] && p->pos < p->len && p->text[p->pos] == ')') {
            break; /* after a trailing comma */
        }
        const size_t at = p->pos;
        size_t len, k = 0;
        const char *w = word(p, &len);
        while (k < 4 && !same(w, len, key[k])) {
            k++;
        }
        if (p->st == SPX_OK && (k == 4 || seen[k])) {
            p->pos = at;
            fail_at(p, SPX_EFORMAT, "%s '%.*s'", k == 4 ? "unknown item" : "a second",
                    len < 64 ? (int)len : 64, w);
        }
        if (p->st != SPX_OK) {
            return;
        }
        seen[k] = true;
        expect(p, '=');
        if (k % 2 == 1) {
            parse_concat(p);
        } else {
            parse_cell(p, k == 0 ? &g->normal : &g->reduce);
        }
    } while (accept(p, ','));
    if (p->st == SPX_OK && !(seen[0] && seen[2])) {
        fail_at(p, SPX_EFORMAT, "no '%s' cell before this", seen[0] ? "reduce" : "normal");
    }
    expect(p, ')');
}

/* Goes behind the first "Genotype" before a bracket, past lines of comment. */
static bool find_call(parser *p)
{
    static const char name[] = "Genotype";
    const size_t n = sizeof name - 1;
    bool comment = false, begun = false; /* of the line */
    for (size_t i = 0; i < p->len; i++) {
        const char c = p->text[i];
        comment = c != '\n' && (comment || (!begun && c == '#'));
        begun = c != '\n' && (begun || (c != ' ' && c != '\t'));
        if (!comment && i + n < p->len && memcmp(p->text + i, name, n) == 0 &&
            (i == 0 || !is_word(p->text[i - 1]))) {
            parser after = {.text = p->text, .len = p->len, .pos = i + n};
            if (accept(&after, '(')) {
                p->pos = i + n;
                return true;
            }
        }
    }
    return false;
}

spx_status spx_genotype_parse_text(spx_genotype *out, const char *text, size_t len)
{
    parser p = {.text = text, .len = len, .space = SPX_SPACE_COUNT};
    spx_genotype g = {0};
    char b[16];
    if (!find_call(&p)) {
        size_t n;
        const char *w = word(&p, &n);
        p.pos = (size_t)(w - text);
        fail_at(&p, SPX_EFORMAT, "expected a JSON object or Genotype(normal=[[(..., found '%.*s'",
                n < 64 ? (int)n : 64, w);
    }
    parse_items(&p, &g);
    skip_space(&p);
    if (p.pos < p.len) {
        fail_at(&p, SPX_EFORMAT, "expected the end, found %s", found(&p, b));
    }
    if (p.st == SPX_OK) {
        g.space = p.space < SPX_SPACE_COUNT ? p.space : SPX_SPACE_SPHYNX; /* pools alone: either */
        *out = g;
    }
    return p.st;
}
