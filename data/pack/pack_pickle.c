/*
 * A reader of the pickles that CIFAR's python version is (and of those that numpy writes anew from
 * it): a dictionary of numbers, texts, lists and one array of bytes. Opcodes are those of
 * protocols 2 to 5 as Python's module pickletools lists them, no more than such files hold. Nothing
 * is imported or called: the few names that numpy's arrays go by are known here and stand for what
 * they would make; every other name or opcode is refused.
 */
#include "data/pack/pack_private.h"
#include "kernels/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What other protocols than these two write of a numpy array is another thing. */
#define ADVICE                                                                                     \
    "take the published archive, or pickle it anew: pickle.dump(batch, file, protocol=4), data "   \
    "being a numpy array of uint8 and labels a list"
#define MAX_OBJECTS ((size_t)2 << 20) /* CIFAR-100's have a fifth of that */

typedef enum kind { NOTHING, MARK, INTEGER, TEXT, LIST, DICT, NAME, DTYPE, ARRAY } kind;

/* What a NAME stands for. */
typedef enum maker { MAKE_ARRAY, ARRAY_TYPE, MAKE_DTYPE, MAKE_SCALAR } maker;

typedef struct object {
    kind kind;
    int64_t value;    /* of an INTEGER; the maker of a NAME */
    const char *text; /* of a TEXT or DTYPE, in the file */
    size_t n, room;   /* bytes of text; items of a LIST (or tuple), twice the pairs of a DICT */
    uint32_t *item;   /* an ARRAY's are those of its state: version, shape, dtype, order, bytes */
} object;

typedef struct numbers {
    uint32_t *v;
    size_t n, room;
} numbers;

struct spx_pickle {
    const char *path;
    const uint8_t *bytes;
    size_t size, at, objects, room;
    object *object;
    numbers stack, memo;
    object nowhere; /* written to after a failure */
    spx_status st;  /* the first failure; later steps do nothing */
};

static void refuse(spx_pickle *p, const char *found)
{
    if (p->st == SPX_OK) {
        p->st =
            SPX_FAIL(SPX_EFORMAT,
                     "%s: offset %zu: expected CIFAR's batch as it is published, found %s: " ADVICE,
                     p->path, p->at, found);
    }
}

static bool has_room(spx_pickle *p, spx_status grown)
{
    if (grown != SPX_OK && p->st == SPX_OK) {
        p->st = spx_fail_context(grown, "%s", p->path);
    }
    return grown == SPX_OK;
}

static void add(spx_pickle *p, numbers *to, uint32_t v)
{
    if (has_room(p, SPX_GROW(to->v, to->n, to->room))) {
        to->v[to->n++] = v;
    }
}

static void add_item(spx_pickle *p, object *to, uint32_t v)
{
    if (has_room(p, SPX_GROW(to->item, to->n, to->room))) {
        to->item[to->n++] = v;
    }
}

/* A new object on the stack. Indices stay, pointers do not outlive the next one. */
static object *push(spx_pickle *p, kind k)
{
    p->nowhere = (object){0};
    if (p->objects >= MAX_OBJECTS) {
        refuse(p, "more parts than any such file has");
    }
    if (p->st != SPX_OK || !has_room(p, SPX_GROW(p->object, p->objects, p->room))) {
        return &p->nowhere;
    }
    p->object[p->objects] = (object){.kind = k};
    add(p, &p->stack, (uint32_t)p->objects);
    return &p->object[p->objects++];
}

/* Takes the top off the stack: a copy, its items still the object's own. */
static object pop(spx_pickle *p)
{
    if (p->st != SPX_OK || p->stack.n == 0) {
        refuse(p, "an empty stack");
        return (object){0};
    }
    return p->object[p->stack.v[--p->stack.n]];
}

/* Pops down to the mark: the index on the stack of what was above it. */
static size_t pop_mark(spx_pickle *p)
{
    size_t i = p->stack.n;
    while (i > 0 && p->object[p->stack.v[i - 1]].kind != MARK) {
        i--;
    }
    if (i == 0) {
        refuse(p, "no mark");
        return p->stack.n;
    }
    return i;
}

/* The number of n bytes, least first. */
static uint64_t number(spx_pickle *p, size_t n)
{
    uint64_t v = 0;
    if (p->st != SPX_OK || n > p->size - p->at) {
        refuse(p, "the end");
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)p->bytes[p->at + i] << (8 * i);
    }
    p->at += n;
    return v;
}

static void push_text(spx_pickle *p, uint64_t n)
{
    if (p->st == SPX_OK && n > p->size - p->at) {
        refuse(p, "a text longer than the file");
    }
    if (p->st == SPX_OK) {
        object *o = push(p, TEXT);
        o->text = (const char *)p->bytes + p->at;
        o->n = (size_t)n;
        p->at += (size_t)n;
    }
}

static bool is_text(const object *o, const char *text)
{
    return o->kind == TEXT && o->n == strlen(text) && memcmp(o->text, text, o->n) == 0;
}

/* The object that stands for module.name. */
static void push_name(spx_pickle *p, const char *module, size_t module_n, const char *name,
                      size_t name_n)
{
    static const struct known {
        const char *module, *name;
        maker maker;
    } known[] = {{"numpy.core.multiarray", "_reconstruct", MAKE_ARRAY},
                 {"numpy._core.multiarray", "_reconstruct", MAKE_ARRAY},
                 {"numpy.core.multiarray", "scalar", MAKE_SCALAR},
                 {"numpy._core.multiarray", "scalar", MAKE_SCALAR},
                 {"numpy", "ndarray", ARRAY_TYPE},
                 {"numpy", "dtype", MAKE_DTYPE}};
    char found[160];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].module) == module_n && strlen(known[i].name) == name_n &&
            memcmp(known[i].module, module, module_n) == 0 &&
            memcmp(known[i].name, name, name_n) == 0) {
            push(p, NAME)->value = known[i].maker;
            return;
        }
    }
    (void)snprintf(found, sizeof found, "a use of %.*s.%.*s, which is not looked at",
                   module_n < 60 ? (int)module_n : 60, module, name_n < 60 ? (int)name_n : 60,
                   name);
    refuse(p, found);
}

/* GLOBAL: two lines. */
static void global(spx_pickle *p, uint64_t unused)
{
    const char *at = (const char *)p->bytes + p->at;
    const char *first = memchr(at, '\n', p->size - p->at);
    const char *second =
        first != NULL ? memchr(first + 1, '\n', p->size - p->at - (size_t)(first + 1 - at)) : NULL;
    (void)unused;
    if (second == NULL) {
        refuse(p, "the end");
        return;
    }
    p->at += (size_t)(second + 1 - at);
    push_name(p, at, (size_t)(first - at), first + 1, (size_t)(second - first - 1));
}

static void stack_global(spx_pickle *p, uint64_t unused)
{
    const object name = pop(p), module = pop(p);
    (void)unused;
    if (p->st != SPX_OK || name.kind != TEXT || module.kind != TEXT) {
        refuse(p, "a name that is no text");
        return;
    }
    push_name(p, module.text, module.n, name.text, name.n);
}

/* A whole number in n bytes of the type named "u1", "i8", ...; false for other types. */
static bool decode(const object *dtype, const char *bytes, size_t n, int64_t *out)
{
    uint64_t v = 0;
    if (dtype->kind != DTYPE || dtype->n != 2 || (dtype->value != 0 && n > 1) ||
        (dtype->text[0] != 'u' && dtype->text[0] != 'i') || n < 1 || n > 8 ||
        dtype->text[1] != (char)('0' + n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)(uint8_t)bytes[i] << (8 * i);
    }
    if (dtype->text[0] == 'i' && n < 8 && v >> (8 * n - 1) != 0) {
        v |= ~UINT64_C(0) << (8 * n);
    }
    *out = (int64_t)v;
    return true;
}

/* Whether items of a list or tuple are of these kinds, one after the other, and no more. */
static bool are(const spx_pickle *p, const object *list, const kind *kinds, size_t n)
{
    bool all = list->kind == LIST && list->n == n;
    for (size_t i = 0; all && i < n; i++) {
        all = p->object[list->item[i]].kind == kinds[i];
    }
    return all;
}

/* REDUCE: what calling the name with the tuple would make. */
static void reduce(spx_pickle *p, uint64_t unused)
{
    static const kind array[] = {NAME, LIST, TEXT}, dtype[] = {TEXT, INTEGER, INTEGER};
    const object with = pop(p), name = pop(p);
    const object *first = with.kind == LIST && with.n > 0 ? &p->object[with.item[0]] : NULL;
    int64_t v = 0;
    (void)unused;
    if (p->st != SPX_OK || name.kind != NAME || first == NULL) {
        refuse(p, "a call of what is no name");
    } else if (name.value == MAKE_ARRAY && are(p, &with, array, 3) && first->value == ARRAY_TYPE) {
        (void)push(p, ARRAY);
    } else if (name.value == MAKE_DTYPE && are(p, &with, dtype, 3)) {
        const object text = *first;
        object *o = push(p, DTYPE);
        o->text = text.text;
        o->n = text.n;
    } else if (name.value == MAKE_SCALAR && with.n == 2 && p->object[with.item[1]].kind == TEXT &&
               decode(first, p->object[with.item[1]].text, p->object[with.item[1]].n, &v)) {
        push(p, INTEGER)->value = v;
    } else {
        refuse(p, "a call with other arguments");
    }
}

/* BUILD: an array takes its state, once; of a dtype's, which is that of plain numbers, the byte
 * order counts. */
static void build(spx_pickle *p, uint64_t unused)
{
    static const kind array[] = {INTEGER, LIST, DTYPE, INTEGER, TEXT};
    static const kind plain[] = {INTEGER, TEXT,    NOTHING, NOTHING,
                                 NOTHING, INTEGER, INTEGER, INTEGER};
    const object from = pop(p);
    object *to = p->st == SPX_OK && p->stack.n > 0 ? &p->object[p->stack.v[p->stack.n - 1]] : NULL;
    (void)unused;
    if (to != NULL && to->kind == DTYPE && are(p, &from, plain, 8)) {
        to->value = is_text(&p->object[from.item[1]], ">"); /* big-endian */
        return;
    }
    if (to == NULL || to->kind != ARRAY || to->n > 0 || !are(p, &from, array, 5) ||
        p->object[from.item[0]].value != 1) {
        refuse(p, "a state of what has none");
        return;
    }
    for (size_t i = 0; i < from.n; i++) {
        add_item(p, to, from.item[i]);
    }
}

/* Moves what is on the stack from `from` on into the list or dictionary below `below`. */
static void collect(spx_pickle *p, size_t from, size_t below, kind k)
{
    if (p->st != SPX_OK || below == 0 || below > p->stack.n ||
        p->object[p->stack.v[below - 1]].kind != k || (k == DICT && (p->stack.n - from) % 2 != 0)) {
        refuse(p, "items without their list");
        return;
    }
    for (size_t i = from; i < p->stack.n; i++) {
        add_item(p, &p->object[p->stack.v[below - 1]], p->stack.v[i]);
    }
    p->stack.n = below;
}

/* A tuple of what is on the stack from `from` on; what lies from `below` on is gone. */
static void tuple(spx_pickle *p, size_t from, size_t below)
{
    const size_t end = p->stack.n;
    object *o;
    if (p->st != SPX_OK || from > end) {
        refuse(p, "an empty stack");
        return;
    }
    o = push(p, LIST);
    for (size_t i = from; i < end && p->st == SPX_OK; i++) {
        add_item(p, o, p->stack.v[i]);
    }
    if (p->st == SPX_OK) {
        p->stack.v[below] = p->stack.v[end];
        p->stack.n = below + 1;
    }
}

static void remember(spx_pickle *p, uint64_t key)
{
    if (p->st != SPX_OK || p->stack.n == 0 || key >= MAX_OBJECTS) {
        refuse(p, "a memo out of order");
        return;
    }
    while (p->st == SPX_OK && p->memo.n <= key) {
        add(p, &p->memo, UINT32_MAX);
    }
    if (p->st == SPX_OK) {
        p->memo.v[key] = p->stack.v[p->stack.n - 1];
    }
}

static void memoize(spx_pickle *p, uint64_t unused)
{
    (void)unused;
    remember(p, p->memo.n);
}

static void recall(spx_pickle *p, uint64_t key)
{
    if (p->st != SPX_OK || key >= p->memo.n || p->memo.v[key] == UINT32_MAX) {
        refuse(p, "a memo that was not made");
    } else {
        add(p, &p->stack, p->memo.v[key]);
    }
}

static void skip(spx_pickle *p, uint64_t unused)
{
    (void)p, (void)unused;
}

static void protocol(spx_pickle *p, uint64_t version)
{
    if (p->at != 2 || version < 2 || version > 5) {
        refuse(p, "another protocol of pickles");
    }
}

static void empty(spx_pickle *p, uint64_t k)
{
    (void)push(p, (kind)k);
}

static void integer(spx_pickle *p, uint64_t v)
{
    push(p, INTEGER)->value = (int64_t)v;
}

static void integer32(spx_pickle *p, uint64_t v)
{
    push(p, INTEGER)->value = (int32_t)(uint32_t)v;
}

static void tuple_from_mark(spx_pickle *p, uint64_t unused)
{
    const size_t from = pop_mark(p);
    (void)unused;
    tuple(p, from, from - 1);
}

static void tuple_of(spx_pickle *p, uint64_t n)
{
    tuple(p, p->stack.n - n, p->stack.n - n);
}

static void one_item(spx_pickle *p, uint64_t k)
{
    const size_t below = p->stack.n - (k == DICT ? 2 : 1);
    collect(p, below, below, (kind)k);
}

static void items(spx_pickle *p, uint64_t k)
{
    const size_t from = pop_mark(p);
    collect(p, from, from - 1, (kind)k);
}

/* The opcodes, with the bytes of their argument, or where they have none a fixed one. */
static const struct opcode {
    uint8_t op, bytes;
    void (*run)(spx_pickle *p, uint64_t argument);
    uint64_t fixed;
} opcodes[] = {
    {0x80, 1, protocol, 0},       /* PROTO */
    {0x95, 8, skip, 0},           /* FRAME */
    {'(', 0, empty, MARK},        /* MARK */
    {'}', 0, empty, DICT},        /* EMPTY_DICT */
    {']', 0, empty, LIST},        /* EMPTY_LIST */
    {')', 0, empty, LIST},        /* EMPTY_TUPLE */
    {'N', 0, empty, NOTHING},     /* NONE */
    {0x88, 0, integer, 1},        /* NEWTRUE */
    {0x89, 0, integer, 0},        /* NEWFALSE */
    {'K', 1, integer, 0},         /* BININT1 */
    {'M', 2, integer, 0},         /* BININT2 */
    {'J', 4, integer32, 0},       /* BININT */
    {'U', 1, push_text, 0},       /* SHORT_BINSTRING */
    {'C', 1, push_text, 0},       /* SHORT_BINBYTES */
    {0x8c, 1, push_text, 0},      /* SHORT_BINUNICODE */
    {'T', 4, push_text, 0},       /* BINSTRING */
    {'B', 4, push_text, 0},       /* BINBYTES */
    {'X', 4, push_text, 0},       /* BINUNICODE */
    {0x8e, 8, push_text, 0},      /* BINBYTES8 */
    {'c', 0, global, 0},          /* GLOBAL */
    {0x93, 0, stack_global, 0},   /* STACK_GLOBAL */
    {'q', 1, remember, 0},        /* BINPUT */
    {'r', 4, remember, 0},        /* LONG_BINPUT */
    {0x94, 0, memoize, 0},        /* MEMOIZE */
    {'h', 1, recall, 0},          /* BINGET */
    {'j', 4, recall, 0},          /* LONG_BINGET */
    {'t', 0, tuple_from_mark, 0}, /* TUPLE */
    {0x85, 0, tuple_of, 1},       /* TUPLE1 */
    {0x86, 0, tuple_of, 2},       /* TUPLE2 */
    {0x87, 0, tuple_of, 3},       /* TUPLE3 */
    {'a', 0, one_item, LIST},     /* APPEND */
    {'s', 0, one_item, DICT},     /* SETITEM */
    {'e', 0, items, LIST},        /* APPENDS */
    {'u', 0, items, DICT},        /* SETITEMS */
    {'R', 0, reduce, 0},          /* REDUCE */
    {'b', 0, build, 0},           /* BUILD */
};

/* One opcode; false after the last. */
static bool step(spx_pickle *p)
{
    const uint8_t op = (uint8_t)number(p, 1);
    char found[24];
    if (op == '.') { /* STOP */
        return false;
    }
    for (size_t i = 0; p->st == SPX_OK && i < sizeof opcodes / sizeof *opcodes; i++) {
        if (opcodes[i].op == op) {
            const uint64_t argument =
                opcodes[i].bytes > 0 ? number(p, opcodes[i].bytes) : opcodes[i].fixed;
            opcodes[i].run(p, argument);
            return p->st == SPX_OK;
        }
    }
    (void)snprintf(found, sizeof found, "opcode 0x%02x", op);
    refuse(p, found);
    return false;
}

void spx_pickle_close(spx_pickle *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->objects; i++) {
        free(p->object[i].item);
    }
    free(p->object);
    free(p->stack.v);
    free(p->memo.v);
    spx_free(p);
}

spx_status spx_pickle_open(spx_pickle **out, const char *path, const void *bytes, size_t size)
{
    spx_pickle *p;
    spx_status st;
    *out = NULL;
    SPX_RETURN_IF(SPX_NEW(p, 1));
    *p = (spx_pickle){.path = path, .bytes = bytes, .size = size};
    while (step(p)) {
    }
    if (p->st == SPX_OK && p->at != p->size) {
        refuse(p, "more behind its end");
    }
    if (p->st == SPX_OK && (p->stack.n != 1 || p->object[p->stack.v[0]].kind != DICT)) {
        refuse(p, "no dictionary");
    }
    st = p->st;
    if (st != SPX_OK) {
        spx_pickle_close(p);
        return st;
    }
    *out = p;
    return SPX_OK;
}

/* The value of a key that is there once; else NULL. */
static const object *find(const spx_pickle *p, const char *key)
{
    const object *d = &p->object[p->stack.v[0]], *value = NULL;
    size_t found = 0;
    for (size_t i = 0; i + 1 < d->n; i += 2) {
        if (is_text(&p->object[d->item[i]], key)) {
            value = &p->object[d->item[i + 1]];
            found++;
        }
    }
    return found == 1 ? value : NULL;
}

static const object *item(const spx_pickle *p, const object *of, size_t i, kind k)
{
    return of != NULL && i < of->n && p->object[of->item[i]].kind == k ? &p->object[of->item[i]]
                                                                       : NULL;
}

spx_status spx_pickle_bytes(const spx_pickle *p, const char *key, size_t columns, size_t *rows,
                            const uint8_t **data)
{
    const object *array = find(p, key);
    const object *shape = item(p, array, 1, LIST), *dtype = item(p, array, 2, DTYPE),
                 *order = item(p, array, 3, INTEGER), *bytes = item(p, array, 4, TEXT);
    const object *r = item(p, shape, 0, INTEGER), *c = item(p, shape, 1, INTEGER);
    if (array == NULL || array->kind != ARRAY || r == NULL || c == NULL || shape->n != 2 ||
        dtype == NULL || dtype->n != 2 || memcmp(dtype->text, "u1", 2) != 0 || order == NULL ||
        order->value != 0 || bytes == NULL || r->value < 1 || c->value != (int64_t)columns ||
        bytes->n / columns != (size_t)r->value || bytes->n % columns != 0) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: expected '%s', an array of bytes of (N, %zu), N > 0: " ADVICE, p->path,
                        key, columns);
    }
    *rows = (size_t)r->value;
    *data = (const uint8_t *)bytes->text;
    return SPX_OK;
}

spx_status spx_pickle_labels(const spx_pickle *p, const char *key, size_t n, int classes,
                             uint16_t *labels)
{
    const object *list = find(p, key);
    if (list == NULL || list->kind != LIST || list->n != n) {
        return SPX_FAIL(SPX_EFORMAT,
                        "%s: expected '%s', a list of %zu labels, one an image: " ADVICE, p->path,
                        key, n);
    }
    for (size_t i = 0; i < n; i++) {
        const object *v = item(p, list, i, INTEGER);
        if (v == NULL || v->value < 0 || v->value >= classes) {
            return SPX_FAIL(SPX_EFORMAT, "%s: '%s': image %zu: expected a label of 0 to %d",
                            p->path, key, i, classes - 1);
        }
        labels[i] = (uint16_t)v->value;
    }
    return SPX_OK;
}
