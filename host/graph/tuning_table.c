#define _DEFAULT_SOURCE /* strdup */
#include "host/graph/tuning_table_private.h"

#include "kernels/base/alloc.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU_WORDS 13  /* of a key: numbers, the first of them a pass */
#define CUDA_WORDS 24 /* "cuda", 8 of device and pass, 15 numbers */
#define LINE_BYTES 1024

void spx_tuning_table_clear(spx_tuning_table *t)
{
    for (int i = 0; i < t->rows; i++) {
        free(t->row[i].key);
        free(t->row[i].choice);
    }
    free(t->row);
    *t = (spx_tuning_table){0};
}

static spx_tuning_row *find(const spx_tuning_table *t, const char *key)
{
    for (int i = 0; i < t->rows; i++) {
        if (strcmp(t->row[i].key, key) == 0) {
            return &t->row[i];
        }
    }
    return NULL;
}

const char *spx_tuning_table_find(const spx_tuning_table *t, const char *key)
{
    const spx_tuning_row *r = find(t, key);
    return r != NULL ? r->choice : NULL;
}

spx_status spx_tuning_table_put(spx_tuning_table *t, const char *key, const char *choice)
{
    spx_tuning_row *r = find(t, key), new = {NULL, strdup(choice)};
    if (r == NULL) {
        const spx_status st = SPX_GROW(t->row, (size_t)t->rows, t->room);
        new.key = strdup(key);
        if (st != SPX_OK || new.key == NULL || new.choice == NULL) {
            free(new.key);
            free(new.choice);
            return st != SPX_OK ? st : SPX_FAIL(SPX_ENOMEM, "tuning table");
        }
        t->row[t->rows++] = new;
        return SPX_OK;
    }
    if (new.choice == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "tuning table");
    }
    free(r->choice);
    r->choice = new.choice;
    return SPX_OK;
}

/* Words of printable characters with one space between; cuts the last off. @return how many are
 * before it, or 0 */
static int cut_choice(char *line, const char **choice)
{
    int words = 0;
    char *last = line;
    for (char *c = line; *c != '\0'; c++) {
        if (*c == ' ') {
            last = c;
            words++;
        }
        if (*c < ' ' || *c > '~' || (*c == ' ' && (c[1] == ' ' || c[1] == '\0'))) {
            return 0;
        }
    }
    *last = '\0';
    *choice = last + 1;
    return words;
}

/* "0 2 4 ...": a pass and other numbers. */
static bool are_numbers(const char *key)
{
    if (key[0] < '0' || key[0] > '2' || key[1] != ' ') {
        return false;
    }
    for (const char *at = key; *at != '\0';) {
        char *end;
        (void)strtoll(at, &end, 10);
        if (end == at || (*end != ' ' && *end != '\0')) {
            return false;
        }
        at = *end == ' ' ? end + 1 : end;
    }
    return true;
}

/* Where the word about groups begins, the space before it; the end where there is none. */
static char *groups_at(char *key)
{
    char *last = strrchr(key, ' ');
    const size_t n = strlen(SPX_TUNING_GROUPS);
    return last != NULL && strncmp(last + 1, SPX_TUNING_GROUPS, n) == 0 && last[1 + n] != '\0' &&
                   last[1 + n + strspn(last + 1 + n, "0123456789")] == '\0'
               ? last
               : key + strlen(key);
}

/* One line without its newline. */
static spx_status parse_line(spx_tuning_table *t, char *line, size_t n, int number)
{
    const bool cuda = strncmp(line, "cuda ", 5) == 0, zero = memchr(line, '\0', n) != NULL;
    const char *choice = NULL;
    int words = zero ? 0 : cut_choice(line, &choice);
    char *groups = groups_at(line), space = *groups;
    words -= space != '\0';
    *groups = '\0'; /* looked at without it */
    if (cuda && words != CUDA_WORDS) {
        return SPX_FAIL(SPX_EFORMAT, "tuning table, line %d: expected %d words and a choice",
                        number, CUDA_WORDS);
    }
    if (!cuda && (words != CPU_WORDS || !are_numbers(line))) {
        return SPX_FAIL(SPX_EFORMAT, "tuning table, line %d: expected %d numbers and an algorithm",
                        number, CPU_WORDS);
    }
    *groups = space;
    return spx_tuning_table_put(t, line, choice);
}

spx_status spx_tuning_table_parse(spx_tuning_table *t, const char *text, size_t len)
{
    size_t at = 0;
    for (int number = 1; at < len; number++) {
        const char *nl = memchr(text + at, '\n', len - at);
        const size_t n = nl != NULL ? (size_t)(nl - (text + at)) : len - at;
        char line[LINE_BYTES];
        if (n >= sizeof line) {
            return SPX_FAIL(SPX_EFORMAT, "tuning table, line %d: too long", number);
        }
        memcpy(line, text + at, n);
        line[n] = '\0';
        at += n + 1;
        if (n > 0) {
            SPX_RETURN_IF(parse_line(t, line, n, number));
        }
    }
    return SPX_OK;
}

char *spx_tuning_table_text(const spx_tuning_table *t)
{
    size_t size = 1, at = 0;
    for (int i = 0; i < t->rows; i++) {
        size += strlen(t->row[i].key) + strlen(t->row[i].choice) + 2;
    }
    char *text = malloc(size);
    if (text == NULL) {
        return NULL;
    }
    text[0] = '\0';
    for (int i = 0; i < t->rows; i++) {
        at += (size_t)snprintf(text + at, size - at, "%s %s\n", t->row[i].key, t->row[i].choice);
    }
    return text;
}
