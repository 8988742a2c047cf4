/* The --config file and the resolved configuration: INI in, INI and JSON out. */
#define _POSIX_C_SOURCE 200809L
#include "host/cli/options_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/text.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define LINE_BYTES_MAX ((size_t)190) /* inih cuts lines at 200, silently */

/* One load: the text being read, where inih is in it, and the first failure. */
typedef struct loader {
    spx_cli *cli;
    const spx_command *const *commands;
    const char *path;
    const char *next;
    int line;
    spx_status st;
} loader;

static spx_status complain(const loader *l, const char *fmt, const char *what)
{
    char text[256];
    (void)snprintf(text, sizeof text, fmt, what);
    return SPX_FAIL(SPX_EINVAL, "%s:%d: %s", l->path, l->line, text);
}

/* inih's line source. Counts lines and drops indentation, which inih would take
 * for a continuation. */
static char *next_line(char *out, int room, void *stream)
{
    loader *l = stream;
    size_t n = strcspn(l->next, "\n"), indent = strspn(l->next, " \t\r");
    if (*l->next == '\0' || l->st != SPX_OK) {
        return NULL;
    }
    l->line++;
    if (n > LINE_BYTES_MAX || n + 1 > (size_t)room) {
        l->st = complain(l, "line longer than %s bytes", "190");
        return NULL;
    }
    indent = indent < n ? indent : n;
    memcpy(out, l->next + indent, n - indent);
    out[n - indent] = '\0';
    l->next += n + (l->next[n] == '\n');
    return out;
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
static bool section_applies(loader *l, const char *section)
{
    if (section[0] == '\0' || strcmp(section, l->cli->verb) == 0) {
        return true;
    }
    if (!names_command(l->commands, section)) {
        l->st = complain(l, "section [%s] names no command", section);
    }
    return false;
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

/* inih's callback; 1 goes on. Failures are kept in l->st, the first one wins. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
    loader *l = user;
    const spx_option *o;
    const char *kept = NULL;
    void *field;
    size_t index;
    if (l->st != SPX_OK || !section_applies(l, section)) {
        return 1;
    }
    if (!spx_option_find(l->cli, name, &index) || strcmp(name, "config") == 0 ||
        strcmp(name, "help") == 0) {
        l->st = complain(l, "unknown key '%s'", name);
        return 1;
    }
    o = spx_option_at(l->cli, index, &field);
    l->st = keep_text(l->cli, value, &kept);
    if (l->st == SPX_OK && spx_option_parse(o, kept, field) != SPX_OK) {
        l->st = spx_fail_context(SPX_EINVAL, "%s:%d", l->path, l->line);
    }
    l->cli->given[index] = 1;
    return 1;
}

spx_status spx_options_load(spx_cli *cli, const char *path, const spx_command *const *commands)
{
    loader l = {.cli = cli, .commands = commands, .path = path, .st = SPX_OK};
    char *text;
    size_t bytes;
    int bad_line;
    SPX_RETURN_IF(spx_text_read(path, FILE_BYTES_MAX, &text, &bytes));
    l.next = text;
    bad_line = ini_parse_stream(next_line, &l, on_key, &l);
    spx_free(text);
    if (l.st == SPX_OK && bad_line != 0) {
        l.line = bad_line;
        l.st = complain(&l, "expected %s", "'name = value'");
    }
    if (l.st == SPX_EINVAL) {
        cli->usage_error = true;
    }
    return l.st;
}

static json_t *options_json(const spx_cli *cli, bool defaults)
{
    json_t *object = json_object();
    const spx_option *o;
    void *field;
    for (size_t i = 0; (o = spx_option_at(cli, i, &field)) != NULL; i++) {
        if ((o->flags & SPX_OPT_TRANSIENT) == 0 &&
            json_object_set_new(object, o->name,
                                defaults ? spx_option_default_json(o)
                                         : spx_option_json(o, field)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

json_t *spx_cli_resolved_json(const spx_cli *cli)
{
    return options_json(cli, false);
}

json_t *spx_cli_default_json(const spx_cli *cli)
{
    return options_json(cli, true);
}

/* The shortest decimal that reads back to the same number. */
static void print_real(FILE *out, double v)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) { /* always so at 17 */
            break;
        }
    }
    (void)fputs(text, out);
}

/* Whether inih reads "name = text" back as it was. */
static bool fits_a_line(const char *name, const char *text)
{
    static const char blanks[] = " \t\v\f";
    const size_t n = strlen(text);
    return strpbrk(text, "\n\r;") == NULL && strlen(name) + 3 + n <= LINE_BYTES_MAX &&
           (n == 0 || (strchr(blanks, text[0]) == NULL && strchr(blanks, text[n - 1]) == NULL));
}

/* Writes one value the way --config reads it. */
static spx_status print_value(FILE *out, const spx_option *o, const json_t *value)
{
    const char *text = json_string_value(value);
    if (json_is_boolean(value)) {
        (void)fputs(json_is_true(value) ? "true" : "false", out);
    } else if (json_is_integer(value)) {
        (void)fprintf(out, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        print_real(out, json_real_value(value));
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            (void)fprintf(out, "%s%lld",
                          i == 0                     ? ""
                          : o->type == SPX_OPT_SHAPE ? "x"
                                                     : ",",
                          (long long)json_integer_value(json_array_get(value, i)));
        }
    } else {
        if (!fits_a_line(o->name, text)) {
            return SPX_FAIL(SPX_EINVAL,
                            "--%s: a text with ';' or a line break, with blanks around it, or of "
                            "over %zu bytes cannot be kept in a configuration file",
                            o->name, LINE_BYTES_MAX - 3 - strlen(o->name));
        }
        (void)fputs(text, out);
    }
    return SPX_OK;
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
        value = spx_option_json(o, field);
        if (value == NULL) {
            st = SPX_FAIL(SPX_EINVAL, "--%s: not UTF-8 text, as a run's record has to be", o->name);
        } else if (has_value(value)) {
            (void)fprintf(out, "%s = ", o->name);
            st = print_value(out, o, value);
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
