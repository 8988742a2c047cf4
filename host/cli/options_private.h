#ifndef SPX_CLI_OPTIONS_PRIVATE_H
#define SPX_CLI_OPTIONS_PRIVATE_H
/* Values of options: text to field and back. Shared by cli.c and its tests. */
#include "host/cli/cli.h"

/* Where an option was given: spx_cli.given. */
enum { SPX_GIVEN_CONFIG = 1, SPX_GIVEN_TYPED = 2, SPX_GIVEN_RECIPE = 3 };

/** The options every command has; their fields lie in spx_cli. */
extern const spx_option spx_common_options[];

/** Visits commons, then the command's own: NULL past the last. Field is where the value lives. */
const spx_option *spx_option_at(const spx_cli *cli, size_t i, void **field);

/** Index for spx_option_at of the option with this name; false if there is none. */
bool spx_option_find(const spx_cli *cli, const char *name, size_t *index);

/**
 * Parses text into *field by the option's type and range.
 * @return SPX_OK, SPX_EINVAL with a message naming the option and what it takes
 */
SPX_MUST_CHECK spx_status spx_option_parse(const spx_option *o, const char *text, void *field);

/** *to = *from, of two options of one type.
 * @return SPX_OK, SPX_EINVAL (they are not), SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_option_copy(const spx_option *o, const spx_option *like,
                                          const void *from, void *to);

/** Frees what a value holds besides the field. */
void spx_option_clear(const spx_option *o, void *field);

/** The value as JSON; NULL when out of memory. A string never given is json_null. */
json_t *spx_option_json(const spx_option *o, const void *field);

/** The value of an option that is not given, likewise. */
json_t *spx_option_default_json(const spx_option *o);

/** Sets every option to its default. */
SPX_MUST_CHECK spx_status spx_options_default(spx_cli *cli);

/**
 * Applies an INI file: keys before any section, and those of the section named after the verb.
 * Sections of other commands are skipped, so one file can serve a whole project.
 * @return SPX_OK, SPX_EIO, SPX_ENOMEM, SPX_EINVAL naming file:line (then cli->usage_error is set)
 */
SPX_MUST_CHECK spx_status spx_options_load(spx_cli *cli, const char *path,
                                           const spx_command *const *commands);

/** Likewise applies the recipe that the option --recipe names, where it does: to options that are
 * not given otherwise. */
SPX_MUST_CHECK spx_status spx_options_load_recipe(spx_cli *cli, const spx_command *const *commands);

/** What the first of a command's needs asks of an option, "--schedule step or ..."; false: none
 * does. */
bool spx_option_need(const spx_command *c, const spx_option *o, char *text, size_t room);

/** A usage error where an option was typed that the command's needs refuse. */
SPX_MUST_CHECK spx_status spx_options_check_needs(spx_cli *cli);

/** A usage error where two inputs are one stream: standard input, or one pipe by its name. */
SPX_MUST_CHECK spx_status spx_options_check_streams(spx_cli *cli);

#endif
