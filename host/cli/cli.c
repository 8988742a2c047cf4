#define _XOPEN_SOURCE 700 /* realpath */
#include "host/cli/cli.h"

#include "host/cli/options_private.h"
#include "host/control/build_info.h"
#include "host/control/json_text.h"
#include "kernels/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERB_BYTES 64
#define LEAST_CAPABILITY 75 /* ten times a GPU's: scripts/cmake/SpxCuda.cmake starts there */

spx_status spx_cli_usage(spx_cli *cli, const char *fmt, ...)
{
    char text[4608];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cli->usage_error = true;
    return SPX_FAIL(SPX_EINVAL, "%s", text);
}

/* Whether a file that is there lies below the folder, and is no pack that an earlier call may have
 * left: what is read from the folder would go lost. */
static bool is_of_folder(const char *file, const char *folder)
{
    static const char hdf5[8] = "\211HDF\r\n\032\n"; /* HDF5 File Format Specification, II.A */
    char *const f = realpath(file, NULL), *const d = realpath(folder, NULL);
    char head[sizeof hdf5] = {0};
    bool below = false;
    if (f != NULL && d != NULL && strncmp(f, d, strlen(d)) == 0 && f[strlen(d)] == '/') {
        FILE *const in = fopen(f, "rbe");
        below = in == NULL || fread(head, 1, sizeof head, in) != sizeof head ||
                memcmp(head, hdf5, sizeof hdf5) != 0;
        if (in != NULL) {
            (void)fclose(in);
        }
    }
    free(f);
    free(d);
    return below;
}

spx_status spx_cli_distinct(spx_cli *cli, const char *out, const char *in)
{
    struct stat a, b;
    if (in == NULL || stat(out, &a) != 0 || stat(in, &b) != 0 || !S_ISREG(a.st_mode)) {
        return SPX_OK;
    }
    if (S_ISDIR(b.st_mode) && is_of_folder(out, in)) {
        return spx_cli_usage(cli, "%s is a file of the input %s: write to another file", out, in);
    }
    if (a.st_dev != b.st_dev || a.st_ino != b.st_ino) {
        return SPX_OK;
    }
    return spx_cli_usage(cli, "%s is the input %s: write to another file", out, in);
}

bool spx_cli_given(const spx_cli *cli, const char *name)
{
    size_t i;
    return spx_option_find(cli, name, &i) && cli->given[i] != 0;
}

/* The first GPU, if there is a driver under it and it is of a generation that is built for; else
 * the CPU. */
static spx_device device_at_hand(void)
{
    spx_device_info gpu;
    return spx_device_count(SPX_DEVICE_CUDA) > 0 &&
                   spx_device_describe(SPX_DEVICE_CUDA, 0, &gpu) == SPX_OK && gpu.driver > 0 &&
                   10 * gpu.major + gpu.minor >= LEAST_CAPABILITY
               ? SPX_DEVICE_CUDA
               : SPX_DEVICE_CPU;
}

spx_status spx_cli_stream_options(spx_cli *cli, spx_stream_options *out)
{
    const spx_device_choice *d = &cli->device;
    *out = (spx_stream_options){.device = d->automatic ? device_at_hand() : d->device,
                                .index = d->automatic ? 0 : d->index,
                                .threads = (int)cli->threads,
                                .precision = (spx_precision)cli->precision,
                                .deterministic = cli->deterministic};
    if (out->device == SPX_DEVICE_CPU && out->precision == SPX_PRECISION_BF16) {
        return spx_cli_usage(cli, "--precision bf16 needs a GPU; the CPU computes in f32");
    }
    return spx_stream_check(out);
}

spx_status spx_cli_stream(spx_cli *cli, spx_stream **out)
{
    spx_stream_options o;
    *out = NULL;
    SPX_RETURN_IF(spx_cli_stream_options(cli, &o));
    return spx_stream_open(out, &o);
}

spx_status spx_cli_print_json(json_t *object)
{
    char *text = spx_json_text(object, JSON_INDENT(2));
    int printed;
    json_decref(object);
    if (text == NULL) {
        return SPX_FAIL(SPX_ENUMERIC, "no JSON: a number that is not finite, or no memory");
    }
    printed = printf("%s\n", text);
    free(text);
    return printed >= 0 ? SPX_OK : SPX_FAIL(SPX_EIO, "standard output: %s", strerror(errno));
}

json_t *spx_cli_name_json(const char *name)
{
    json_t *j = json_string(name);
    char *copy = j == NULL ? strdup(name) : NULL;
    for (char *c = copy; c != NULL && *c != '\0'; c++) {
        *c = (unsigned char)*c >= 0x80 ? '?' : *c;
    }
    if (copy != NULL) {
        j = json_string(copy);
        free(copy);
    }
    return j;
}

static void print_option(const spx_command *c, const spx_option *o)
{
    char left[64], letter[8] = "", needed[256];
    if (o->letter != 0) {
        (void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
    }
    (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->arg != NULL ? " " : "",
                   o->arg != NULL ? o->arg : "");
    if (strlen(left) > 28) { /* its text then begins below */
        (void)printf("  %s\n  %-28s %s", left, "", o->help);
    } else {
        (void)printf("  %-28s %s", left, o->help);
    }
    if ((o->flags & SPX_OPT_REQUIRED) != 0) {
        (void)printf(" (required)");
    } else if (o->def != NULL) {
        (void)printf(" (default %s)", o->def);
    }
    if (c != NULL && spx_option_need(c, o, needed, sizeof needed)) {
        (void)printf(" (needs %s)", needed);
    }
    (void)putchar('\n');
}

static void print_help(const spx_command *c, const char *verb)
{
    (void)printf("usage: sphynx %s%s%s [options]\n%s\n", verb, c->args != NULL ? " " : "",
                 c->args != NULL ? c->args : "", c->summary);
    if (c->example != NULL) {
        (void)printf("\nexample: %s\n", c->example);
    }
    if (c->more != NULL) {
        c->more();
    }
    if (c->options != NULL) {
        (void)printf("\noptions:\n");
    }
    for (const spx_option *o = c->options; o != NULL && o->name != NULL; o++) {
        print_option(c, o);
    }
    (void)printf("\nevery command:\n");
    for (const spx_option *o = spx_common_options; o->name != NULL; o++) {
        print_option(NULL, o);
    }
}

/* The table of commands under verb ("" at the top). */
static void print_commands(const spx_command *const *commands, const char *verb)
{
    const char *gap = verb[0] != '\0' ? " " : "";
    (void)printf("usage: sphynx%s%s COMMAND [options]\n\ncommands:\n", gap, verb);
    for (size_t i = 0; commands[i] != NULL; i++) {
        (void)printf("  %-16s %s\n", commands[i]->name, commands[i]->summary);
    }
    (void)printf("\n'sphynx%s%s COMMAND --help' tells its options and gives an example.\n", gap,
                 verb);
    if (verb[0] == '\0') {
        (void)printf(
            "\nenvironment:\n"
            "  SPHYNX_LOG=graph:info,pi:debug  tell on stderr of programs (graph) and of the "
            "messages of\n"
            "                                  private inference (pi): off, info, debug; "
            "json: as JSON\n");
    }
}

/* A configuration file is read before the command line is applied, so look for it first. */
static const char *find_config(int argc, char **argv)
{
    const char *found = NULL;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0) {
            found = argv[i] + 9;
        } else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            found = argv[++i];
        }
    }
    return found;
}

/* Splits "--name=value", "--name", "--no-name" or "-x" into an option index and its
 * value, if any. */
static spx_status match(spx_cli *cli, const char *arg, size_t *index, const char **value)
{
    char name[64];
    const spx_option *o;
    void *field;
    const size_t n = strcspn(arg, "=");
    *value = arg[n] == '=' ? arg + n + 1 : NULL;
    if (arg[1] != '-') {
        *value = arg[2] != '\0' ? arg + 2 : NULL;
        for (size_t i = 0; (o = spx_option_at(cli, i, &field)) != NULL; i++) {
            if (o->letter != 0 && o->letter == arg[1]) {
                *index = i;
                return SPX_OK;
            }
        }
    } else if (n - 2 < sizeof name) {
        memcpy(name, arg + 2, n - 2);
        name[n - 2] = '\0';
        if (spx_option_find(cli, name, index)) {
            return SPX_OK;
        }
        if (strncmp(name, "no-", 3) == 0 && *value == NULL &&
            spx_option_find(cli, name + 3, index) &&
            spx_option_at(cli, *index, &field)->type == SPX_OPT_FLAG) {
            *value = "false";
            return SPX_OK;
        }
    }
    return spx_cli_usage(cli, "unknown option '%.*s'", (int)(n < 64 ? n : 64), arg);
}

/* Applies argv to the values; operands are moved to the front of argv and counted. */
static spx_status parse_args(spx_cli *cli, int argc, char **argv)
{
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        const spx_option *o;
        const char *value;
        void *field;
        size_t index;
        if (only_operands || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[cli->arg_count++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_operands = true;
            continue;
        }
        SPX_RETURN_IF(match(cli, argv[i], &index, &value));
        o = spx_option_at(cli, index, &field);
        if (value == NULL && o->type == SPX_OPT_FLAG) {
            value = "true";
        } else if (value == NULL && i + 1 < argc) {
            value = argv[++i];
        } else if (value == NULL) {
            return spx_cli_usage(cli, "--%s needs a value (%s)", o->name, o->arg);
        }
        if (spx_option_parse(o, value, field) != SPX_OK) {
            cli->usage_error = true;
            return SPX_EINVAL;
        }
        cli->given[index] = SPX_GIVEN_TYPED;
    }
    cli->args = (const char *const *)argv;
    return SPX_OK;
}

static spx_status check_args(spx_cli *cli)
{
    const spx_command *c = cli->command;
    const spx_option *o;
    void *field;
    for (size_t i = 0; (o = spx_option_at(cli, i, &field)) != NULL; i++) {
        if ((o->flags & SPX_OPT_REQUIRED) != 0 && cli->given[i] == 0) {
            return spx_cli_usage(cli, "--%s %s is required", o->name, o->arg);
        }
    }
    if (cli->arg_count < c->min_args) {
        return spx_cli_usage(cli, "expected operands: %s", c->args);
    }
    if (cli->arg_count > c->max_args) {
        return spx_cli_usage(cli, "unexpected operand '%s'", cli->args[c->max_args]);
    }
    SPX_RETURN_IF(spx_options_check_needs(cli));
    return spx_options_check_streams(cli);
}

/* One line on stderr, whatever is in the names it quotes: control characters become '?'. */
SPX_PRINTF(1, 2) static void talk(const char *fmt, ...)
{
    char text[4800]; /* a whole message of the library, and the verb */
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *c = text; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    }
    (void)fprintf(stderr, "%s\n", text);
}

void spx_cli_talk(const spx_cli *cli, const char *fmt, ...)
{
    char text[4608];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    talk("sphynx %s: %s", cli->verb, text);
}

json_t *spx_cli_bad_input(spx_cli *cli, const char *name)
{
    spx_cli_talk(cli, "%s", spx_error_message());
    cli->told = true;
    return json_pack("{s:o, s:o}", "image", spx_cli_name_json(name), "error",
                     spx_cli_name_json(spx_error_message()));
}

static int report(const spx_cli *cli, spx_status st)
{
    const char *message =
        spx_error_message()[0] != '\0' ? spx_error_message() : spx_status_text(st);
    if (cli->told) {
        return st == SPX_EINTERRUPTED ? SPX_EXIT_REQUEUE : SPX_EXIT_FAILED;
    }
    if (cli->usage_error) {
        talk("sphynx %s: %s (see 'sphynx %s --help')", cli->verb, message, cli->verb);
        return SPX_EXIT_USAGE;
    }
    talk("sphynx %s: %s", cli->verb, message);
    return st == SPX_EINTERRUPTED ? SPX_EXIT_REQUEUE : SPX_EXIT_FAILED;
}

/* Before required options are asked for: so a file to begin with is made. */
static spx_status print_config(spx_cli *cli)
{
    char *text;
    SPX_RETURN_IF(spx_options_check_needs(cli));
    if (cli->json) {
        return spx_cli_print_json(spx_cli_resolved_json(cli));
    }
    SPX_RETURN_IF(spx_cli_resolved_ini(cli, &text));
    (void)fputs(text, stdout);
    free(text);
    return SPX_OK;
}

static spx_status parse_and_run(spx_cli *cli, int argc, char **argv,
                                const spx_command *const *commands)
{
    const char *config = find_config(argc, argv);
    SPX_RETURN_IF(spx_options_default(cli));
    if (config != NULL) {
        SPX_RETURN_IF(spx_options_load(cli, config, commands));
    }
    SPX_RETURN_IF(parse_args(cli, argc, argv));
    if (cli->help) {
        print_help(cli->command, cli->verb);
        return SPX_OK;
    }
    SPX_RETURN_IF(spx_options_load_recipe(cli, commands));
    if (cli->print_config) {
        return print_config(cli);
    }
    SPX_RETURN_IF(check_args(cli));
    return cli->command->run(cli, cli->values);
}

static spx_status make_cli(spx_cli *cli)
{
    const spx_command *c = cli->command;
    size_t options = 0;
    while (c->options != NULL && c->options[options].name != NULL) {
        options++;
    }
    cli->values = calloc(1, c->values_size + 1);
    cli->given = calloc(options + 16, 1); /* 16: more than the common options */
    return cli->values != NULL && cli->given != NULL ? SPX_OK : SPX_FAIL(SPX_ENOMEM, "options");
}

static void clear_cli(spx_cli *cli)
{
    const spx_option *o;
    void *field;
    for (size_t i = 0; i < cli->owned_count; i++) {
        free(cli->owned[i]);
    }
    for (size_t i = 0; cli->values != NULL && (o = spx_option_at(cli, i, &field)) != NULL; i++) {
        spx_option_clear(o, field);
    }
    free(cli->owned);
    free(cli->values);
    free(cli->given);
}

static int run_command(const spx_command *c, const char *verb, int argc, char **argv,
                       const spx_command *const *commands)
{
    spx_cli cli = {.command = c, .verb = verb};
    spx_status st = make_cli(&cli);
    int code;
    st = st == SPX_OK ? parse_and_run(&cli, argc, argv, commands) : st;
    code = st == SPX_OK ? SPX_EXIT_DONE : report(&cli, st);
    clear_cli(&cli);
    return code;
}

/* What is given of the outer command's own options, where the inner one has them, too. */
static spx_status adopt_given(spx_cli *cli, const spx_cli *outer)
{
    const spx_option *o;
    void *from, *to;
    size_t i = 0, k;
    while (spx_common_options[i].name != NULL) {
        i++;
    }
    for (; (o = spx_option_at(outer, i, &from)) != NULL; i++) {
        if (outer->given[i] != 0 && spx_option_find(cli, o->name, &k)) {
            const spx_option *own = spx_option_at(cli, k, &to);
            SPX_RETURN_IF(spx_option_copy(own, o, from, to));
            cli->given[k] = outer->given[i];
        }
    }
    return SPX_OK;
}

static spx_status parse_inner(spx_cli *cli, const spx_cli *adopted, int argc, char **argv)
{
    const spx_command *const commands[] = {cli->command, NULL};
    SPX_RETURN_IF(spx_options_default(cli));
    SPX_RETURN_IF(adopted != NULL ? adopt_given(cli, adopted) : SPX_OK);
    SPX_RETURN_IF(parse_args(cli, argc, argv));
    SPX_RETURN_IF(spx_options_load_recipe(cli, commands));
    return check_args(cli);
}

spx_status spx_cli_inner(spx_cli *outer, const spx_command *c, bool adopt, int argc, char **argv,
                         spx_status (*run)(spx_cli *inner, const void *values, void *ctx),
                         void *ctx)
{
    spx_cli cli = {.command = c, .verb = c->name};
    spx_status st = make_cli(&cli);
    st = st == SPX_OK ? parse_inner(&cli, adopt ? outer : NULL, argc, argv) : st;
    if (st == SPX_OK) {
        cli.device = outer->device;
        cli.precision = outer->precision;
        cli.deterministic = outer->deterministic;
        cli.threads = outer->threads;
        cli.seed = outer->seed;
        st = run(&cli, cli.values, ctx);
    }
    outer->usage_error = outer->usage_error || cli.usage_error;
    clear_cli(&cli);
    return st;
}

static bool is_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0 || strcmp(arg, "help") == 0;
}

/* Finds the command named by argv[0], descending into sub-commands, and runs it. */
static int dispatch(const spx_command *const *commands, int argc, char **argv)
{
    const spx_command *const *level = commands;
    char verb[VERB_BYTES] = "";
    static char help_option[] = "--help";
    char *help_argv[] = {help_option};
    const bool help = argc > 0 && is_help(argv[0]);
    int i = help ? 1 : 0;
    for (; i < argc; i++) {
        const spx_command *c = NULL;
        const size_t used = strlen(verb);
        if (is_help(argv[i])) {
            print_commands(level, verb);
            return SPX_EXIT_DONE;
        }
        for (size_t k = 0; level[k] != NULL; k++) {
            if (strcmp(level[k]->name, argv[i]) == 0) {
                c = level[k];
            }
        }
        if (c == NULL) {
            const char *gap = used != 0 ? " " : "";
            talk("sphynx%s%s: unknown command '%.64s' (see 'sphynx%s%s --help')", gap, verb,
                 argv[i], gap, verb);
            return SPX_EXIT_USAGE;
        }
        (void)snprintf(verb + used, sizeof verb - used, "%s%s", used != 0 ? " " : "", c->name);
        if (c->sub == NULL) {
            return help ? run_command(c, verb, 1, help_argv, commands)
                        : run_command(c, verb, argc - i - 1, argv + i + 1, commands);
        }
        level = c->sub;
    }
    if (help) {
        print_commands(level, verb);
        return SPX_EXIT_DONE;
    }
    talk("sphynx%s%s: which command? (see 'sphynx%s%s --help')", verb[0] != '\0' ? " " : "", verb,
         verb[0] != '\0' ? " " : "", verb);
    return SPX_EXIT_USAGE;
}

/* A file opened while descriptor 0, 1 or 2 is closed would take its place and
 * receive our output. */
static void occupy_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
            /* opened the wrong way round, so that using it still fails */
            (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
        }
    }
}

/* Grows the stack now: where a limit of the address space forbids it later, the program would die
 * of a signal in the midst of its work. */
static void grow_stack(void)
{
    volatile char room[1 << 20];
    for (size_t i = sizeof room; i > 0; i -= 1024) {
        room[i - 1] = 0;
    }
}

int spx_cli_main(int argc, char **argv, const spx_command *const *commands)
{
    int code;
    grow_stack();
    occupy_standard_descriptors();
    (void)signal(SIGXFSZ, SIG_IGN); /* a full disk is an error to report, not a reason to die */
    (void)signal(SIGPIPE, SIG_IGN); /* likewise a peer that is gone */
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("sphynx %s (commit %s, %s, %s)\n", spx_build_version(), spx_build_commit(),
                     spx_build_compiler(), spx_build_type());
        code = SPX_EXIT_DONE;
    } else if (spx_log_setup(getenv("SPHYNX_LOG"), stderr) != SPX_OK) {
        talk("sphynx: %s", spx_error_message());
        code = SPX_EXIT_USAGE;
    } else {
        code = dispatch(commands, argc - 1, argv + 1);
    }
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        if (code == SPX_EXIT_DONE) {
            talk("sphynx: standard output: %s", strerror(errno));
            code = SPX_EXIT_FAILED;
        }
    }
    return code;
}
