#ifndef SPX_CLI_H
#define SPX_CLI_H
/*
 * Commands of the sphynx program as data: a command is a struct with a table of options, and one
 * parser gives every command the same manners (--help, --config, --json, exit codes).
 * adding-a-command.md shows a whole one.
 */
#include "kernels/base/status.h"
#include "kernels/device/stream.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of the program. */
enum { SPX_EXIT_DONE = 0, SPX_EXIT_FAILED = 1, SPX_EXIT_USAGE = 2, SPX_EXIT_REQUEUE = 75 };

/* What an option holds, and the C type of its field. */
typedef enum spx_opt_type {
    SPX_OPT_FLAG = 1, /* bool: --x, --no-x, --x=true|false */
    SPX_OPT_INT,      /* int64_t, decimal */
    SPX_OPT_FLOAT,    /* double, finite */
    SPX_OPT_SIZE,     /* uint64_t bytes: 4096, 64K, 16M, 2G (powers of 1024) */
    SPX_OPT_TIME,     /* double seconds: 90, 90s, 15m, 2h, 1d, 01:30:00, 1-12:00:00 */
    SPX_OPT_STRING,   /* const char *, valid while the command runs; NULL when not given */
    SPX_OPT_LIST,     /* spx_int_list: 0,5 */
    SPX_OPT_SHAPE,    /* spx_int_list: 3x32x32 */
    SPX_OPT_ENUM,     /* int, index into the choices named by arg ("red|green") */
    SPX_OPT_DEVICE    /* spx_device_choice: auto, cpu, cuda, cuda:1 */
} spx_opt_type;

/* Numbers of an option; the parser owns them while the command runs. */
typedef struct spx_int_list {
    size_t n;
    int64_t *v;
} spx_int_list;

typedef struct spx_device_choice {
    bool automatic; /* then the rest means nothing */
    spx_device device;
    int index;
} spx_device_choice;

enum {
    SPX_OPT_REQUIRED = 1, /* a usage error when absent */
    SPX_OPT_PATH = 4,     /* a text that names a file: recorded from the root */
    SPX_OPT_OUTPUT = 8,   /* a text that names what is written: a file or folder, so not "-" */
    SPX_OPT_TRANSIENT = 2 /* left out of the resolved configuration (where output goes, --json) */
};

/**
 * One row of a command's table; the last row is {0}. A value outside [min, max] is a usage error;
 * min == max means no bound. Bounds apply to numbers and to each element of a list or shape.
 */
typedef struct spx_option {
    const char *name;  /* long name without dashes; also the key in a configuration file */
    const char *old;   /* what it was called before: still taken, never shown; or NULL */
    spx_opt_type type; /* decides the field's C type */
    size_t offset;     /* offsetof the field in the command's values struct */
    const char *def;   /* default, written as on the command line; NULL: field stays zero */
    const char *arg;   /* "N", "FILE"; for an enum its choices, "a|b|c" */
    const char *help;  /* one line */
    double min, max;
    unsigned flags; /* SPX_OPT_REQUIRED, ... */
    char letter;    /* short form, 0 for none */
} spx_option;

/**
 * Options that mean nothing unless a condition holds. One that is typed all the same is a usage
 * error; a configuration file may hold it, since it serves a whole project.
 */
typedef struct spx_need {
    const char *options; /* names with blanks between; after '^': all of the command's but these */
    /**
     * Alternatives with '|' between: "data" is set (not absent, false, 0 or empty), "schedule=step"
     * has that value, "operands" are there, "operands=folder" begin so; after '~' one that messages
     * do not name, such as an old name. After '!': none holds.
     */
    const char *condition;
} spx_need;

/* Field types by option type; SPX_OPT refuses to compile where the field has another one. */
#define SPX_CTYPE_FLAG bool
#define SPX_CTYPE_INT int64_t
#define SPX_CTYPE_FLOAT double
#define SPX_CTYPE_SIZE uint64_t
#define SPX_CTYPE_TIME double
#define SPX_CTYPE_STRING const char *
#define SPX_CTYPE_LIST spx_int_list
#define SPX_CTYPE_SHAPE spx_int_list
#define SPX_CTYPE_ENUM int
#define SPX_CTYPE_DEVICE spx_device_choice

/**
 * A row of the table: SPX_OPT(INT, values_struct, field, "name", "N", "16", "help", .min = 1, ...).
 * The trailing members are optional.
 */
#define SPX_OPT(TYPE, STRUCT, FIELD, NAME, ARG, DEFAULT, HELP, ...)                                \
    {                                                                                              \
        .name = (NAME), .type = SPX_OPT_##TYPE, .arg = (ARG), .def = (DEFAULT), .help = (HELP),    \
        .offset =                                                                                  \
            offsetof(STRUCT, FIELD) + 0 * sizeof((SPX_CTYPE_##TYPE *)0 == &((STRUCT *)0)->FIELD),  \
        __VA_ARGS__                                                                                \
    }

typedef struct spx_command spx_command;

/** What the parser hands to a running command. */
typedef struct spx_cli {
    const spx_command *command;
    const char *verb;        /* "plan", "data pack" */
    const char *const *args; /* operands, arg_count of them */
    size_t arg_count;
    /* Options every command has. */
    bool json;                /* print JSON on stdout instead of text */
    spx_device_choice device; /* these three: use spx_cli_stream or spx_cli_stream_options */
    int precision;            /* spx_precision */
    bool deterministic;
    int64_t threads; /* 0: one per processor */
    int64_t seed;    /* >= 0 */
    const char *config;
    bool help, print_config;
    /* Private to cli.c and options.c. */
    void *values;
    unsigned char *given; /* per option, commons first: from where */
    char **owned;         /* texts read from the configuration file */
    size_t owned_count;
    bool usage_error;
    bool told; /* spx_cli_bad_input told why the command fails */
} spx_cli;

struct spx_command {
    const char *name;
    const char *args;          /* operands in the usage line ("FAMILY SRC"), or NULL */
    const char *summary;       /* one line */
    const char *example;       /* one whole command line */
    void (*more)(void);        /* prints what its help says besides, or NULL */
    const spx_option *options; /* or NULL */
    const spx_need *needs;     /* or NULL; ends with {0} */
    size_t values_size;        /* sizeof the values struct the options point into */
    size_t min_args, max_args; /* operands */
    /**
     * Does the work. SPX_OK exits 0; SPX_EINTERRUPTED exits 75 (checkpointed, run again to go on);
     * spx_cli_usage exits 2; all else exits 1. The thread's error message is printed, so return
     * failures as they come. Data goes to stdout (main checks that it was written), talk to stderr.
     * @param values  the filled values struct; freed after the run
     */
    spx_status (*run)(spx_cli *cli, const void *values);
    /**
     * Of a command with an option --recipe NAME|FILE: the text, as a configuration file has it,
     * that NAME stands for, or NULL where there is none such, so that it is a file. Recipes come
     * before --config and the command line, which overrule them.
     * @param values  as these have filled it
     * @param name    NULL: the text that stands in where the option is not given, or NULL
     */
    const char *(*recipe)(const void *values, const char *name);
    const spx_command *const *sub; /* sub-commands, NULL-terminated; then run is NULL */
};

/** Runs argv against a NULL-terminated table of commands; the return value is the exit code. */
int spx_cli_main(int argc, char **argv, const spx_command *const *commands);

/**
 * Reads words as the options of another command, recipes, needs and required ones included, and
 * hands them over: how a command does what another one does. Device, threads, precision and seed
 * are the outer command's.
 * @param adopt  what is given of the outer command's own options is of the other command's options
 *               of the same names, which are the same rows
 * @param run  called with the values filled in; both hold until it returns
 * @return what run returns; usage errors are the outer command's
 */
SPX_MUST_CHECK spx_status
spx_cli_inner(spx_cli *outer, const spx_command *c, bool adopt, int argc, char **argv,
              spx_status (*run)(spx_cli *inner, const void *values, void *ctx), void *ctx);

/** Records a usage error found by a command (two options that exclude each other): exit code 2. */
SPX_MUST_CHECK spx_status spx_cli_usage(spx_cli *cli, const char *fmt, ...) SPX_PRINTF(2, 3);

/**
 * The same where one of the options is typed: "--NAME means nothing with WHAT", for what only files
 * tell (spx_need has the rest).
 * @param options  as of an spx_need
 */
SPX_MUST_CHECK spx_status spx_cli_exclude(spx_cli *cli, const char *options, const char *what);

/** Writes "sphynx VERB: text" to stderr as one line, whatever is in the names it quotes. */
void spx_cli_talk(const spx_cli *cli, const char *fmt, ...) SPX_PRINTF(2, 3);

/**
 * One input of several failed: tells the failure now, so that the others can be answered; a failure
 * that the command returns is then not told again. Clear cli->told to have a later one told.
 * @return {"image": name, "error": message}, what its place in a list of answers holds; NULL: no
 * memory
 */
json_t *spx_cli_bad_input(spx_cli *cli, const char *name);

/**
 * Refuses an output that would take the place of an input, by whatever names and links they go.
 * @param in  a file, or a folder whose files are inputs unless they are HDF5; may be NULL.
 * @return SPX_OK, or a usage error
 */
SPX_MUST_CHECK spx_status spx_cli_distinct(spx_cli *cli, const char *out, const char *in);

/** Whether the option was given on the command line or in the configuration file. */
bool spx_cli_given(const spx_cli *cli, const char *name);

/**
 * What --device, --precision, --deterministic and --threads ask for. `auto` is the first GPU where
 * it is of compute capability 7.5 or more, else the CPU; an emulated or older GPU is taken only by
 * name.
 * @return SPX_OK, SPX_EINVAL (a usage error: bf16 on the CPU), SPX_EUNSUPPORTED (not built in),
 * SPX_EDEVICE (there is no such device)
 */
SPX_MUST_CHECK spx_status spx_cli_stream_options(spx_cli *cli, spx_stream_options *out);
/** Opens that stream; the caller destroys it. Statuses of the above and of spx_stream_open. */
SPX_MUST_CHECK spx_status spx_cli_stream(spx_cli *cli, spx_stream **out);

/**
 * Writes object to stdout with a newline and releases it.
 * @param object  NULL is what jansson makes of a number that is not finite, and without memory
 * @return SPX_OK, SPX_ENUMERIC (NULL), SPX_EIO
 */
SPX_MUST_CHECK spx_status spx_cli_print_json(json_t *object);

/** A name as JSON: bytes that are no UTF-8 become '?', which JSON cannot hold. NULL: no memory. */
json_t *spx_cli_name_json(const char *name);

/**
 * All options with their final values, for a run directory. The text can be read back by --config.
 * @param text  NUL-terminated, freed by the caller with free
 * @return SPX_OK, SPX_ENOMEM, SPX_EINVAL (a string that is not UTF-8)
 */
SPX_MUST_CHECK spx_status spx_cli_resolved_ini(const spx_cli *cli, char **text);
/** The same as a JSON object (numbers, booleans, arrays); NULL when out of memory, or refused as
 * above. */
json_t *spx_cli_resolved_json(const spx_cli *cli);
/** Likewise, with files named as they were given. */
json_t *spx_cli_typed_json(const spx_cli *cli);
/** Likewise, with the values that options have when they are not given. */
json_t *spx_cli_default_json(const spx_cli *cli);

#endif
