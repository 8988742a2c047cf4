#include "host/cli/options_private.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const spx_option spx_common_options[] = {
    SPX_OPT(FLAG, spx_cli, help, "help", NULL, NULL, "show this text", .letter = 'h',
            .flags = SPX_OPT_TRANSIENT),
    SPX_OPT(STRING, spx_cli, config, "config", "FILE", NULL,
            "read options from an INI file; the command line wins", .flags = SPX_OPT_TRANSIENT),
    SPX_OPT(FLAG, spx_cli, print_config, "print-config", NULL, NULL,
            "print the options as such a file has them, and do nothing else",
            .flags = SPX_OPT_TRANSIENT),
    SPX_OPT(FLAG, spx_cli, json, "json", NULL, NULL, "print JSON on stdout",
            .flags = SPX_OPT_TRANSIENT),
    SPX_OPT(DEVICE, spx_cli, device, "device", "auto|cpu|cuda[:N]", "auto", "where to compute"),
    SPX_OPT(ENUM, spx_cli, precision, "precision", "tf32|f32|bf16", "tf32",
            "arithmetic of convolutions and products on a GPU"),
    SPX_OPT(FLAG, spx_cli, deterministic, "deterministic", NULL, "false",
            "the same bits from run to run on a GPU too"),
    SPX_OPT(INT, spx_cli, threads, "threads", "N", "0", "worker threads, 0 = one per processor",
            .max = 256),
    SPX_OPT(INT, spx_cli, seed, "seed", "N", "1", "seed of every random draw", .max = INFINITY),
    {0}};

const spx_option *spx_option_at(const spx_cli *cli, size_t i, void **field)
{
    const size_t commons = sizeof spx_common_options / sizeof spx_common_options[0] - 1;
    const spx_option *o;
    if (i < commons) {
        *field = (char *)(uintptr_t)cli + spx_common_options[i].offset;
        return &spx_common_options[i];
    }
    if (cli->command->options == NULL) {
        return NULL;
    }
    o = &cli->command->options[i - commons]; /* callers stop at the first NULL */
    if (o->name == NULL) {
        return NULL;
    }
    *field = (char *)cli->values + o->offset;
    return o;
}

bool spx_option_find(const spx_cli *cli, const char *name, size_t *index)
{
    const spx_option *o;
    void *field;
    for (size_t i = 0; (o = spx_option_at(cli, i, &field)) != NULL; i++) {
        if (strcmp(o->name, name) == 0 || (o->old != NULL && strcmp(o->old, name) == 0)) {
            *index = i;
            return true;
        }
    }
    return false;
}

static spx_status bad_value(const spx_option *o, const char *text, const char *expected)
{
    return SPX_FAIL(SPX_EINVAL, "--%s '%.200s%s': expected %s", o->name, text,
                    strlen(text) > 200 ? "..." : "", expected);
}

static spx_status check_range(const spx_option *o, const char *text, double v)
{
    if (o->min < o->max && !(v >= o->min && v <= o->max)) {
        if (isinf(o->max)) {
            return SPX_FAIL(SPX_EINVAL, "--%s '%.200s': must be at least %g", o->name, text,
                            o->min);
        }
        if (isinf(o->min)) {
            return SPX_FAIL(SPX_EINVAL, "--%s '%.200s': must be at most %g", o->name, text, o->max);
        }
        return SPX_FAIL(SPX_EINVAL, "--%s '%.200s': must be in %.10g..%.10g", o->name, text, o->min,
                        o->max);
    }
    return SPX_OK;
}

static spx_status parse_flag(const spx_option *o, const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return SPX_OK;
        }
    }
    return bad_value(o, text, "true or false");
}

static bool scan_int(const char *text, int64_t *out, const char **end)
{
    char *stop;
    const char first = text[0] == '-' ? text[1] : text[0];
    if (first < '0' || first > '9') { /* strtoll would skip blanks and take a plus sign */
        return false;
    }
    errno = 0;
    *out = strtoll(text, &stop, 10);
    *end = stop;
    return errno == 0;
}

/* A number with an optional suffix of one letter; *scale is what the letter multiplies by. */
static bool scan_scaled(const char *text, const char *letters, const double *scales, double *out)
{
    char *end;
    const char *letter;
    if (strchr("+- \t\n", text[0]) != NULL) { /* also the empty text */
        return false;
    }
    *out = strtod(text, &end);
    if (end == text || !isfinite(*out)) {
        return false;
    }
    if (*end == '\0') {
        return true;
    }
    letter = strchr(letters, *end);
    if (letter == NULL || end[1] != '\0') {
        return false;
    }
    *out *= scales[letter - letters];
    return true;
}

static spx_status parse_size(const spx_option *o, const char *text, uint64_t *out)
{
    static const double scales[] = {0x1p10, 0x1p20, 0x1p30, 0x1p40};
    double v;
    if (!scan_scaled(text, "KMGT", scales, &v) || v != floor(v) || v > 0x1p53) {
        return bad_value(o, text, "bytes, such as 4096, 64K, 16M or 2G");
    }
    *out = (uint64_t)v;
    return check_range(o, text, v);
}

/* "M:S", "H:M:S", "D-H", "D-H:M", "D-H:M:S", as Slurm writes times, into seconds. */
static bool scan_clock(const char *text, double *out)
{
    static const int64_t scales[] = {3600, 60, 1};
    int64_t field[3] = {0, 0, 0}, days = 0;
    size_t n = 0;
    const char *at = text, *end;
    const bool has_days = scan_int(at, &days, &end) && *end == '-';
    if (has_days) {
        at = end + 1;
    } else {
        days = 0;
    }
    for (;; at = end + 1) {
        if (n == 3 || !scan_int(at, &field[n], &end) || field[n] < 0 || field[n] > 1000000 ||
            (n > 0 && field[n] > 59)) {
            return false;
        }
        n++;
        if (*end != ':') {
            break;
        }
    }
    if (*end != '\0' || days < 0 || days > 1000000 || (!has_days && n < 2)) {
        return false;
    }
    *out = 86400.0 * (double)days;
    for (size_t i = 0; i < n; i++) { /* two fields alone are minutes and seconds */
        *out += (double)(field[i] * scales[i + (!has_days && n == 2 ? 1 : 0)]);
    }
    return true;
}

static spx_status parse_time(const spx_option *o, const char *text, double *out)
{
    static const double scales[] = {1, 60, 3600, 86400};
    if (!scan_clock(text, out) && !scan_scaled(text, "smhd", scales, out)) {
        return bad_value(o, text, "a time, such as 90, 15m, 2h or 01:30:00");
    }
    return check_range(o, text, *out);
}

static spx_status parse_float(const spx_option *o, const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(*out)) {
        return bad_value(o, text, "a number");
    }
    if (fabs(*out) > FLT_MAX) { /* what computes with it would take it for infinite */
        return bad_value(o, text, "a number of at most 3.4e38");
    }
    return check_range(o, text, *out);
}

static spx_status parse_int(const spx_option *o, const char *text, int64_t *out)
{
    const char *end;
    errno = 0;
    if (!scan_int(text, out, &end) && errno == ERANGE) {
        return SPX_FAIL(SPX_EINVAL, "--%s '%.200s': out of range", o->name, text);
    }
    if (!scan_int(text, out, &end) || *end != '\0') {
        return bad_value(o, text, "a whole number");
    }
    return check_range(o, text, (double)*out);
}

/* Goes past what may stand between two numbers: the separator, with blanks around it in a list, or
 * the end of a line there, as of $(cat file). False where there is none. */
static bool skip_separator(char separator, const char **at)
{
    const size_t blanks = separator == ',' ? strspn(*at, " \t\r\n") : 0;
    const bool line = memchr(*at, '\n', blanks) != NULL;
    *at += blanks;
    if (**at == separator) {
        *at += 1;
        *at += separator == ',' ? strspn(*at, " \t\r\n") : 0;
        return true;
    }
    return line || **at == '\0';
}

static spx_status parse_list(const spx_option *o, const char *text, spx_int_list *out)
{
    const char separator = o->type == SPX_OPT_SHAPE ? 'x' : ',';
    const char *expected =
        o->type == SPX_OPT_SHAPE ? "sizes such as 3x32x32" : "whole numbers such as 0,5";
    const char *p = text;
    spx_int_list list = {0};
    spx_status st = SPX_OK;
    size_t most = 1;
    for (const char *at = text; *at != '\0'; at++) {
        most += *at == separator || *at == '\n';
    }
    list.v = calloc(most, sizeof *list.v);
    if (list.v == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "--%s: %zu numbers", o->name, most);
    }
    for (;;) {
        const char *end;
        if (!scan_int(p, &list.v[list.n], &end)) {
            st = bad_value(o, text, expected);
            break;
        }
        SPX_TRY(st, check_range(o, text, (double)list.v[list.n]), done);
        list.n++;
        if (*end == '\0') {
            break;
        }
        p = end;
        if (!skip_separator(separator, &p)) {
            st = bad_value(o, text, expected);
            break;
        }
        if (*p == '\0' && strchr(end, separator) == NULL) {
            break; /* the file's last line end */
        }
    }
done:
    if (st == SPX_OK) {
        free(out->v);
        *out = list;
    } else {
        free(list.v);
    }
    return st;
}

/* Choice i of "a|b|c": its length, and *start; 0 past the last. */
static size_t choice(const char *choices, int i, const char **start)
{
    while (i-- > 0) {
        choices = strchr(choices, '|');
        if (choices == NULL) {
            return 0;
        }
        choices++;
    }
    *start = choices;
    return strcspn(choices, "|");
}

static spx_status parse_enum(const spx_option *o, const char *text, int *out)
{
    const char *start;
    size_t n;
    for (int i = 0; (n = choice(o->arg, i, &start)) != 0; i++) {
        if (strlen(text) == n && memcmp(text, start, n) == 0) {
            *out = i;
            return SPX_OK;
        }
    }
    return bad_value(o, text, o->arg);
}

static spx_status parse_device(const spx_option *o, const char *text, spx_device_choice *out)
{
    spx_device_choice choice = {.automatic = strcmp(text, "auto") == 0};
    const char *end = text;
    int64_t index = 0;
    for (int d = 0; !choice.automatic && d < SPX_DEVICE_COUNT && end == text; d++) {
        const char *name = spx_device_name((spx_device)d);
        const size_t n = strlen(name);
        if (strncmp(text, name, n) == 0 && (text[n] == '\0' || text[n] == ':')) {
            choice.device = (spx_device)d;
            end = text + n;
        }
    }
    if (!choice.automatic &&
        (end == text || (*end == ':' && (!scan_int(end + 1, &index, &end) || *end != '\0')) ||
         index < 0 || index > 1023)) {
        return bad_value(o, text, "auto, cpu, cuda or cuda:N");
    }
    choice.index = (int)index;
    *out = choice;
    return SPX_OK;
}

static spx_status parse_text(const spx_option *o, const char *text, const char **out)
{
    if (text[0] == '\0' && (strstr(o->arg, "FILE") != NULL || strcmp(o->arg, "DIR") == 0)) {
        return SPX_FAIL(SPX_EINVAL, "--%s: empty", o->name);
    }
    if ((o->flags & SPX_OPT_OUTPUT) != 0 && strcmp(text, "-") == 0) {
        return SPX_FAIL(SPX_EINVAL,
                        "--%s '-': expected a name: it is not written to standard output (./- is "
                        "called -)",
                        o->name);
    }
    *out = text;
    return SPX_OK;
}

spx_status spx_option_parse(const spx_option *o, const char *text, void *field)
{
    switch (o->type) {
    case SPX_OPT_FLAG:
        return parse_flag(o, text, field);
    case SPX_OPT_INT:
        return parse_int(o, text, field);
    case SPX_OPT_FLOAT:
        return parse_float(o, text, field);
    case SPX_OPT_SIZE:
        return parse_size(o, text, field);
    case SPX_OPT_TIME:
        return parse_time(o, text, field);
    case SPX_OPT_STRING:
        return parse_text(o, text, field);
    case SPX_OPT_LIST:
    case SPX_OPT_SHAPE:
        return parse_list(o, text, field);
    case SPX_OPT_ENUM:
        return parse_enum(o, text, field);
    case SPX_OPT_DEVICE:
        return parse_device(o, text, field);
    }
    return SPX_FAIL(SPX_EINVAL, "--%s: unknown option type %d", o->name, (int)o->type);
}

static json_t *json_of_list(const spx_int_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->n; i++) {
        if (json_array_append_new(array, json_integer(list->v[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *json_of_device(const spx_device_choice *d)
{
    if (d->automatic) {
        return json_string("auto");
    }
    return d->index == 0 ? json_string(spx_device_name(d->device))
                         : json_sprintf("%s:%d", spx_device_name(d->device), d->index);
}

json_t *spx_option_json(const spx_option *o, const void *field)
{
    const char *start = NULL;
    size_t n;
    switch (o->type) {
    case SPX_OPT_FLAG:
        return json_boolean(*(const bool *)field);
    case SPX_OPT_INT:
        return json_integer(*(const int64_t *)field);
    case SPX_OPT_SIZE:
        return json_integer((json_int_t) * (const uint64_t *)field);
    case SPX_OPT_FLOAT:
    case SPX_OPT_TIME:
        return json_real(*(const double *)field);
    case SPX_OPT_STRING:
        return *(const char *const *)field == NULL ? json_null()
                                                   : json_string(*(const char *const *)field);
    case SPX_OPT_LIST:
    case SPX_OPT_SHAPE:
        return json_of_list(field);
    case SPX_OPT_ENUM:
        n = choice(o->arg, *(const int *)field, &start);
        return json_stringn(start, n);
    case SPX_OPT_DEVICE:
        return json_of_device(field);
    }
    return NULL;
}

json_t *spx_option_default_json(const spx_option *o)
{
    union { /* a field of any type */
        bool flag;
        int64_t number;
        uint64_t bytes;
        double real;
        const char *text;
        spx_int_list list;
        int choice;
        spx_device_choice device;
    } field;
    json_t *j = NULL;
    memset(&field, 0, sizeof field);
    if (o->def == NULL || spx_option_parse(o, o->def, &field) == SPX_OK) {
        j = spx_option_json(o, &field);
    }
    spx_option_clear(o, &field);
    return j;
}

spx_status spx_option_copy(const spx_option *o, const spx_option *like, const void *from, void *to)
{
    static const size_t bytes[] = {
        [SPX_OPT_FLAG] = sizeof(bool),    [SPX_OPT_INT] = sizeof(int64_t),
        [SPX_OPT_FLOAT] = sizeof(double), [SPX_OPT_SIZE] = sizeof(uint64_t),
        [SPX_OPT_TIME] = sizeof(double),  [SPX_OPT_STRING] = sizeof(const char *),
        [SPX_OPT_ENUM] = sizeof(int),     [SPX_OPT_DEVICE] = sizeof(spx_device_choice)};
    if (o->type != like->type) {
        return SPX_FAIL(SPX_EINVAL, "--%s: of two types", o->name);
    }
    if (o->type == SPX_OPT_LIST || o->type == SPX_OPT_SHAPE) {
        const spx_int_list *l = from;
        spx_int_list copy = {.n = l->n, .v = calloc(l->n + 1, sizeof *l->v)};
        if (copy.v == NULL) {
            return SPX_FAIL(SPX_ENOMEM, "--%s: %zu numbers", o->name, l->n);
        }
        memcpy(copy.v, l->v, l->n * sizeof *l->v);
        spx_option_clear(o, to);
        *(spx_int_list *)to = copy;
        return SPX_OK;
    }
    memcpy(to, from, bytes[o->type]);
    return SPX_OK;
}

void spx_option_clear(const spx_option *o, void *field)
{
    if (o->type == SPX_OPT_LIST || o->type == SPX_OPT_SHAPE) {
        spx_int_list *list = field;
        free(list->v);
        *list = (spx_int_list){0};
    }
}

spx_status spx_options_default(spx_cli *cli)
{
    const spx_option *o;
    void *field;
    for (size_t i = 0; (o = spx_option_at(cli, i, &field)) != NULL; i++) {
        if (o->def != NULL) {
            SPX_RETURN_IF(spx_option_parse(o, o->def, field));
        }
    }
    return SPX_OK;
}
