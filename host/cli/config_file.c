/* The --config file and the resolved configuration: INI in, INI and JSON out. Lines may be of any
 * length, and a text in quotes holds anything that JSON does. */
#define _POSIX_C_SOURCE 200809L
#include "host/cli/options_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define BLANKS " \t\r\v\f"

/* One load. */
typedef struct loader {
    spx_cli *cli;
    const spx_command *const *commands;
    const char *path;
    int line;
    unsigned char source; /* SPX_GIVEN_CONFIG or _RECIPE */
    bool applies;         /* the section's keys are for the running verb */
} loader;

static spx_status complain(const loader *l, const char *fmt, const char *what)
{
    char text[256];
    (void)snprintf(text, sizeof text, fmt, what);
    return SPX_FAIL(SPX_EINVAL, "%s:%d: %s", l->path, l->line, text);
}

/* Whether a section is named like a command that can be run ("plan", "data pack"). */
static bool names_command(const spx_command *const *commands, const char *section)
{
    const size_t n = strcspn(section, " ");
    for (size_t i = 0; commands[i] != NULL; i++) {
        const spx_command *c = commands[i];
        if (strlen(c->name) == n && memcmp(c->name, section, n) == 0) {
            return section[n] == '\0' ? c->sub == NULL
                                      : c->sub != NULL && names_command(c->sub, section + n + 1);
        }
    }
    return false;
}

/* Whether keys of this section are for the running verb; an unknown section is an error. */
static spx_status enter_section(loader *l, const char *section)
{
    l->applies = section[0] == '\0' || strcmp(section, l->cli->verb) == 0;
    return l->applies || names_command(l->commands, section)
               ? SPX_OK
               : complain(l, "section [%s] names no command", section);
}

static spx_status keep_text(spx_cli *cli, const char *text, const char **kept)
{
    char **grown = realloc(cli->owned, (cli->owned_count + 1) * sizeof *grown);
    char *copy = strdup(text);
    if (grown != NULL) {
        cli->owned = grown;
    }
    if (grown == NULL || copy == NULL) {
        free(copy);
        return SPX_FAIL(SPX_ENOMEM, "configuration");
    }
    cli->owned[cli->owned_count++] = copy;
    *kept = copy;
    return SPX_OK;
}

/* Takes one pair; the value's copy lives as long as the command. */
static spx_status take(loader *l, const char *name, const char *value)
{
    const spx_option *o;
    const char *kept = NULL;
    void *field;
    size_t index;
    if (!l->applies) {
        return SPX_OK;
    }
    if (!spx_option_find(l->cli, name, &index) || strcmp(name, "config") == 0 ||
        strcmp(name, "help") == 0 ||
        (l->source == SPX_GIVEN_RECIPE && strcmp(name, "recipe") == 0)) {
        return complain(l, "unknown key '%s'", name);
    }
    if (l->source == SPX_GIVEN_RECIPE && l->cli->given[index] != 0 &&
        l->cli->given[index] != SPX_GIVEN_RECIPE) {
        return SPX_OK;
    }
    o = spx_option_at(l->cli, index, &field);
    SPX_RETURN_IF(keep_text(l->cli, value, &kept));
    l->cli->given[index] = l->source;
    return spx_option_parse(o, kept, field) == SPX_OK
               ? SPX_OK
               : spx_fail_context(SPX_EINVAL, "%s:%d", l->path, l->line);
}

/* Cuts blanks at the end; the text's length. */
static size_t trim(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && strchr(BLANKS, text[n - 1]) != NULL) {
        n--;
    }
    text[n] = '\0';
    return n;
}

/* Cuts a comment: a semicolon behind a blank. */
static void cut_comment(char *text)
{
    for (char *at = strchr(text, ';'); at != NULL; at = strchr(at + 1, ';')) {
        if (at == text || strchr(BLANKS, at[-1]) != NULL) {
            *at = '\0';
            return;
        }
    }
}

/* Takes a value in quotes, written as a JSON string. */
static spx_status take_quoted(loader *l, const char *name, const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
    const char *rest = value != NULL ? text + error.position : "x";
    spx_status st;
    rest += strspn(rest, BLANKS);
    st = *rest == '\0' || *rest == ';'
             ? take(l, name, json_string_value(value))
             : complain(l, "%s: expected a text in quotes, as JSON writes it", name);
    json_decref(value);
    return st;
}

/* One line, which is cut up in place. */
static spx_status take_line(loader *l, char *line)
{
    char *end;
    line += strspn(line, BLANKS);
    if (*line == '\0' || *line == '#' || *line == ';') {
        return SPX_OK;
    }
    end = line + strcspn(line, *line == '[' ? "]" : "=:");
    if (*end == '\0') {
        return complain(l, "expected %s", "'name = value'");
    }
    *end++ = '\0';
    if (*line == '[') {
        return enter_section(l, line + 1);
    }
    (void)trim(line);
    end += strspn(end, BLANKS);
    if (*end == '"') {
        return take_quoted(l, line, end);
    }
    cut_comment(end);
    (void)trim(end);
    return take(l, line, end);
}

static spx_status take_lines(loader *l, char *text)
{
    char *next;
    for (; text != NULL; text = next) {
        next = strchr(text, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        l->line++;
        SPX_RETURN_IF(take_line(l, text));
    }
    return SPX_OK;
}

/* Takes the file's lines, or those of a text that has its name. */
static spx_status load(loader *l, const char *text)
{
    char *lines;
    size_t bytes;
    spx_status st;
    if (text == NULL) {
        SPX_RETURN_IF(spx_text_read(l->path, FILE_BYTES_MAX, &lines, &bytes));
    } else {
        bytes = strlen(text) + 1;
        SPX_RETURN_IF(spx_alloc((void **)&lines, bytes));
        memcpy(lines, text, bytes);
    }
    st = take_lines(l, lines);
    spx_free(lines);
    if (st == SPX_EINVAL) {
        l->cli->usage_error = true;
    }
    return st;
}

spx_status spx_options_load(spx_cli *cli, const char *path, const spx_command *const *commands)
{
    loader l = {.cli = cli,
                .commands = commands,
                .path = path,
                .source = SPX_GIVEN_CONFIG,
                .applies = true};
    return load(&l, NULL);
}

spx_status spx_options_load_recipe(spx_cli *cli, const spx_command *const *commands)
{
    loader l = {.cli = cli, .commands = commands, .source = SPX_GIVEN_RECIPE, .applies = true};
    const spx_option *o;
    const char *text;
    void *field;
    size_t index;
    if (cli->command->recipe == NULL || !spx_option_find(cli, "recipe", &index)) {
        return SPX_OK;
    }
    o = spx_option_at(cli, index, &field);
    l.path = *(const char *const *)field;
    text = cli->command->recipe(cli->values, l.path);
    if (l.path == NULL) { /* what stands in for none */
        l.path = "the recipe";
        return text != NULL ? load(&l, text) : SPX_OK;
    }
    if (text == NULL && access(l.path, F_OK) != 0) {
        return spx_cli_usage(cli, "--recipe '%.200s': expected %s, and there is no such file",
                             l.path, o->arg);
    }
    return load(&l, text);
}

/* ---- resolved ---- */

/* A file's path from the root, so that a record can be read elsewhere; NULL: no memory. */
static json_t *absolute(const spx_option *o, const char *path)
{
    char *folder = NULL;
    json_t *j;
    if (path[0] == '/' || path[0] == '\0' || strcmp(path, "-") == 0 ||
        (o->def != NULL && strcmp(path, o->def) == 0)) { /* a name, "published" */
        return json_string(path);
    }
    folder = getcwd(NULL, 0);
    j = folder != NULL ? json_sprintf("%s/%s", folder, path) : json_string(path);
    free(folder);
    return j;
}

/* An option's value as JSON; whole: files by their paths from the root. */
static json_t *value_of(const spx_option *o, const void *field, bool whole)
{
    const char *const *text = field;
    return whole && (o->flags & SPX_OPT_PATH) != 0 && *text != NULL ? absolute(o, *text)
                                                                    : spx_option_json(o, field);
}

typedef enum which { RESOLVED, TYPED, DEFAULTS } which;

static json_t *options_json(const spx_cli *cli, which w)
{
    json_t *object = json_object();
    const spx_option *o;
    void *field;
    for (size_t i = 0; (o = spx_option_at(cli, i, &field)) != NULL; i++) {
        if ((o->flags & SPX_OPT_TRANSIENT) == 0 &&
            json_object_set_new(object, o->name,
                                w == DEFAULTS ? spx_option_default_json(o)
                                              : value_of(o, field, w == RESOLVED)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

json_t *spx_cli_resolved_json(const spx_cli *cli)
{
    return options_json(cli, RESOLVED);
}

json_t *spx_cli_typed_json(const spx_cli *cli)
{
    return options_json(cli, TYPED);
}

json_t *spx_cli_default_json(const spx_cli *cli)
{
    return options_json(cli, DEFAULTS);
}

/* Whether "name = text" is read back as it was; else it is put in quotes. */
static bool is_plain(const char *text)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == ';') {
            return false;
        }
    }
    return n == 0 || (text[0] != '"' && text[0] != ' ' && text[n - 1] != ' ');
}

static void print_text(FILE *out, const json_t *value)
{
    char *quoted;
    if (is_plain(json_string_value(value))) {
        (void)fputs(json_string_value(value), out);
    } else {
        quoted = json_dumps(value, JSON_ENCODE_ANY);
        (void)fputs(quoted != NULL ? quoted : "", out);
        free(quoted);
    }
}

/* Writes one value the way --config reads it. */
static void print_value(FILE *out, const spx_option *o, const json_t *value)
{
    char real[SPX_REAL_CHARS];
    if (json_is_boolean(value)) {
        (void)fputs(json_is_true(value) ? "true" : "false", out);
    } else if (json_is_integer(value)) {
        (void)fprintf(out, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        (void)fputs(spx_real_text(json_real_value(value), real), out);
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            (void)fprintf(out, "%s%lld",
                          i == 0                     ? ""
                          : o->type == SPX_OPT_SHAPE ? "x"
                                                     : ",",
                          (long long)json_integer_value(json_array_get(value, i)));
        }
    } else {
        print_text(out, value);
    }
}

/* Unset strings and lists have no INI form: the default is to leave them out. */
static bool has_value(const json_t *value)
{
    return !json_is_null(value) && !(json_is_array(value) && json_array_size(value) == 0);
}

spx_status spx_cli_resolved_ini(const spx_cli *cli, char **text)
{
    spx_status st = SPX_OK;
    size_t bytes;
    const spx_option *o;
    void *field;
    json_t *value;
    FILE *out = open_memstream(text, &bytes);
    if (out == NULL) {
        *text = NULL;
        return SPX_FAIL(SPX_ENOMEM, "configuration");
    }
    (void)fprintf(out, "[%s]\n", cli->verb);
    for (size_t i = 0; st == SPX_OK && (o = spx_option_at(cli, i, &field)) != NULL; i++) {
        if ((o->flags & SPX_OPT_TRANSIENT) != 0) {
            continue;
        }
        value = value_of(o, field, true);
        if (value == NULL) {
            st = SPX_FAIL(SPX_EINVAL, "--%s: not UTF-8 text, as a run's record has to be", o->name);
        } else if (has_value(value)) {
            (void)fprintf(out, "%s = ", o->name);
            print_value(out, o, value);
            (void)fputc('\n', out);
        }
        json_decref(value);
    }
    if (fclose(out) != 0 && st == SPX_OK) {
        st = SPX_FAIL(SPX_ENOMEM, "configuration");
    }
    if (st != SPX_OK) {
        free(*text);
        *text = NULL;
    }
    return st;
}
