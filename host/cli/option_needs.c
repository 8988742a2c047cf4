/* What of a command line does not go together: options that mean nothing without, or beside,
 * another (spx_command.needs), and inputs that are one stream. */
#define _POSIX_C_SOURCE 200809L
#include "host/cli/options_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the word is one of the list's, which stand between blanks. */
static bool lists(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list + strspn(list, "^ "); *at != '\0'; at += strspn(at, " ")) {
        const size_t length = strcspn(at, " ");
        if (length == n && memcmp(at, word, n) == 0) {
            return true;
        }
        at += length;
    }
    return false;
}

/* What means nothing whatever stands beside it: a flag that is off, as it is by default, too; an
 * empty text. */
static bool is_off(const spx_option *o, const void *field)
{
    const char *const *text = field;
    const bool usually_on = o->def != NULL && strcmp(o->def, "true") == 0;
    return (o->type == SPX_OPT_FLAG && !*(const bool *)field && !usually_on) ||
           (o->type == SPX_OPT_STRING && *text != NULL && **text == '\0');
}

/* How a value would be typed, in `room` bytes or where it lies; NULL for what is not set: absent,
 * off, 0 or empty. The first operand for "operands". */
static const char *typed(const spx_cli *cli, const char *name, char *text, size_t room)
{
    void *field;
    size_t index;
    json_t *value;
    bool is_set;
    if (strcmp(name, "operands") == 0) {
        return cli->arg_count > 0 ? cli->args[0] : NULL;
    }
    if (!spx_option_find(cli, name, &index)) {
        assert(!"a need names no option");
        return NULL;
    }
    const spx_option *o = spx_option_at(cli, index, &field);
    if (o->type == SPX_OPT_STRING) { /* JSON holds only UTF-8 */
        const char *own = *(const char *const *)field;
        return own != NULL && *own != '\0' ? own : NULL;
    }
    value = spx_option_json(o, field);
    is_set = json_is_string(value) || json_is_true(value) || json_array_size(value) > 0 ||
             (json_is_number(value) && json_number_value(value) != 0);
    if (json_is_string(value)) {
        (void)snprintf(text, room, "%s", json_string_value(value));
    } else {
        (void)snprintf(text, room, "%lld", (long long)json_integer_value(value));
    }
    json_decref(value);
    return is_set ? text : NULL;
}

/* One alternative, n bytes: "option" or "option=value". */
static bool holds_one(const spx_cli *cli, const char *condition, size_t n)
{
    char name[64], room[64];
    const char *equals = memchr(condition, '=', n), *text;
    const size_t length = equals != NULL ? (size_t)(equals - condition) : n;
    (void)snprintf(name, sizeof name, "%.*s", (int)length, condition);
    text = typed(cli, name, room, sizeof room);
    return text != NULL && (equals == NULL || (strlen(text) == n - length - 1 &&
                                               memcmp(text, equals + 1, n - length - 1) == 0));
}

static bool holds(const spx_cli *cli, const char *condition)
{
    const bool none = condition[0] == '!';
    const char *at = condition + none;
    for (;; at++) {
        const bool hidden = *at == '~';
        const size_t n = strcspn(at, "|");
        if (holds_one(cli, at + hidden, n - hidden)) {
            return !none;
        }
        at += n;
        if (*at == '\0') {
            return none;
        }
    }
}

/* "schedule=cosine|operands" as a user writes it: "--schedule cosine or [IMAGE...]";
 * "operands=a|operands=b" is "operand a or b". */
static void tell(const spx_command *c, const char *condition, char *text, size_t room)
{
    size_t used = 0;
    for (const char *at = condition + (condition[0] == '!'); *at != '\0' && used < room;) {
        const size_t n = strcspn(at, "|"), length = strcspn(at, "|=");
        if (*at == '~') {
            at += n + (at[n] == '|');
            continue;
        }
        const bool operands = length == 8 && memcmp(at, "operands", length) == 0;
        const char *const before = !operands ? "--" : used > 0 ? "" : "operand ";
        used += operands && length == n
                    ? (size_t)snprintf(text + used, room - used, "%s%s", used > 0 ? " or " : "",
                                       c->args)
                    : (size_t)snprintf(text + used, room - used, "%s%s%.*s%s%.*s",
                                       used > 0 ? " or " : "", before, operands ? 0 : (int)length,
                                       at, length < n && !operands ? " " : "",
                                       length < n ? (int)(n - length - 1) : 0, at + length + 1);
        at += n + (at[n] == '|');
    }
}

bool spx_option_need(const spx_command *c, const spx_option *o, char *text, size_t room)
{
    for (const spx_need *need = c->needs; need != NULL && need->options != NULL; need++) {
        if (need->options[0] != '^' && need->condition[0] != '!' && lists(need->options, o->name)) {
            tell(c, need->condition, text, room);
            return true;
        }
    }
    return false;
}

/* The first of the listed options, or after '^' of the others, that is typed and says something. */
static const char *first_typed(const spx_cli *cli, const char *list)
{
    const bool but = list[0] == '^';
    const spx_option *o;
    void *field;
    size_t i = 0; /* commons belong to every command */
    while (spx_common_options[i].name != NULL) {
        i++;
    }
    for (; (o = spx_option_at(cli, i, &field)) != NULL; i++) {
        if (cli->given[i] == SPX_GIVEN_TYPED && !is_off(o, field) && lists(list, o->name) != but) {
            return o->name;
        }
    }
    return NULL;
}

spx_status spx_cli_exclude(spx_cli *cli, const char *options, const char *what)
{
    const char *name = first_typed(cli, options);
    return name == NULL ? SPX_OK : spx_cli_usage(cli, "--%s means nothing with %s", name, what);
}

spx_status spx_options_check_needs(spx_cli *cli)
{
    for (const spx_need *need = cli->command->needs; need != NULL && need->options != NULL;
         need++) {
        const char *name = holds(cli, need->condition) ? NULL : first_typed(cli, need->options);
        char what[256];
        if (name == NULL) {
            continue;
        }
        tell(cli->command, need->condition, what, sizeof what);
        return need->condition[0] == '!' ? spx_cli_exclude(cli, need->options, what)
                                         : spx_cli_usage(cli, "--%s needs %s", name, what);
    }
    return SPX_OK;
}

/* ---- streams ---- */

/* Input i of the command line, texts of options first, then operands; NULL where that is none. */
static const char *input(const spx_cli *cli, size_t options, size_t i)
{
    const spx_option *o;
    void *field;
    if (i >= options) {
        return cli->args[i - options];
    }
    o = spx_option_at(cli, i, &field);
    return o->type == SPX_OPT_STRING && (o->flags & SPX_OPT_OUTPUT) == 0
               ? *(const char *const *)field
               : NULL;
}

/* Whether it can be read only once: standard input by the name "-", a pipe by any. */
static bool read_once(const char *name, struct stat *info)
{
    return name != NULL &&
           (strcmp(name, "-") == 0 ? fstat(STDIN_FILENO, info) == 0
                                   : stat(name, info) == 0 && S_ISFIFO(info->st_mode));
}

spx_status spx_options_check_streams(spx_cli *cli)
{
    void *field;
    size_t options = 0;
    while (spx_option_at(cli, options, &field) != NULL) {
        options++;
    }
    for (size_t i = 0; i < options + cli->arg_count; i++) {
        struct stat one, other;
        const char *name = input(cli, options, i);
        if (!read_once(name, &one)) {
            continue;
        }
        for (size_t k = 0; k < i; k++) {
            if (read_once(input(cli, options, k), &other) && one.st_dev == other.st_dev &&
                one.st_ino == other.st_ino) {
                return spx_cli_usage(cli, "%s is given as two inputs, but can be read only once",
                                     strcmp(name, "-") == 0 ? "standard input" : name);
            }
        }
    }
    return SPX_OK;
}
