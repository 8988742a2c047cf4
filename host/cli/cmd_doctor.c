/* sphynx doctor: what this machine offers, what it lacks, and how to get it. */
#define _POSIX_C_SOURCE 200809L
#include "host/cli/commands.h"
#include "host/cli/gpu_talk.h"
#include "host/control/build_info.h"
#include "kernels/base/cpu.h"
#include "kernels/base/pool.h"

#include <hdf5.h>
#include <openssl/crypto.h>
#include <png.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include <jpeglib.h> /* asks for stdio.h before it */

#define LINE_BYTES 512
#define PATH_BYTES 1024
#define TEXT_OF_TOKENS(tokens) #tokens
#define TEXT_OF(macro) TEXT_OF_TOKENS(macro)

/* First line of a small file that starts with prefix, without the prefix; false if
 * there is none. */
static bool read_line(const char *path, const char *prefix, char line[LINE_BYTES])
{
    const size_t n = strlen(prefix);
    bool found = false;
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return false;
    }
    while (!found && fgets(line, LINE_BYTES, f) != NULL) {
        found = strncmp(line, prefix, n) == 0;
    }
    (void)fclose(f);
    if (found) {
        memmove(line, line + n, strlen(line + n) + 1);
        line[strcspn(line, "\n")] = '\0';
        memmove(line, line + strspn(line, " \t:"), strlen(line + strspn(line, " \t:")) + 1);
    }
    return found;
}

/* "12345 kB" of /proc/meminfo in bytes; 0 if absent. */
static json_int_t meminfo(const char *key)
{
    char line[LINE_BYTES];
    return read_line("/proc/meminfo", key, line) ? strtoll(line, NULL, 10) * 1024 : 0;
}

/*
 * A limit of this process's control group (version 2): the tightest on the way up to the root, as
 * the kernel applies them all; 0 if there is none.
 */
static double cgroup_limit(const char *file, double (*parse)(const char *))
{
    char group[LINE_BYTES], path[PATH_BYTES], line[LINE_BYTES];
    double best = 0;
    if (!read_line("/proc/self/cgroup", "0::", group)) {
        return 0;
    }
    for (;;) {
        char *slash;
        (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, file);
        if (read_line(path, "", line)) {
            const double limit = parse(line);
            best = limit > 0 && (best == 0 || limit < best) ? limit : best;
        }
        slash = strrchr(group, '/');
        if (slash == NULL) {
            return best;
        }
        *slash = '\0';
    }
}

static double parse_memory_max(const char *line)
{
    return strtod(line, NULL); /* "max" is 0 */
}

static double parse_cpu_max(const char *line)
{
    char *end;
    const double quota = strtod(line, &end), period = strtod(end, NULL); /* "100000 100000" */
    return period > 0 ? quota / period : 0;
}

static bool in_path(const char *program, char found[PATH_BYTES])
{
    const char *path = getenv("PATH");
    for (const char *p = path != NULL ? path : ""; *p != '\0';) {
        const size_t n = strcspn(p, ":");
        (void)snprintf(found, PATH_BYTES, "%.*s/%s", (int)n, p, program);
        if (access(found, X_OK) == 0) {
            return true;
        }
        p += n + (p[n] == ':');
    }
    return false;
}

static json_t *tool(const char *program)
{
    char found[PATH_BYTES];
    return in_path(program, found) ? spx_cli_name_json(found) : json_null();
}

static json_t *about_build(void)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "version", spx_build_version(), "commit",
                     spx_build_commit(), "compiler", spx_build_compiler(), "type",
                     spx_build_type());
}

static json_t *about_processor(const spx_cli *cli)
{
    char model[LINE_BYTES];
    const double quota = cgroup_limit("cpu.max", parse_cpu_max);
    const int usable = spx_pool_processors();
    return json_pack("{s:s, s:s, s:I, s:i, s:o, s:I}", "model",
                     read_line("/proc/cpuinfo", "model name", model) ? model : "unknown", "isa",
                     spx_isa_name(spx_cpu_isa()), "processors",
                     (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "usable", usable, "cgroup_quota",
                     quota > 0 ? json_real(quota) : json_null(), "threads",
                     cli->threads > 0 ? (json_int_t)cli->threads : (json_int_t)usable);
}

static json_t *about_memory(void)
{
    char pages[LINE_BYTES];
    struct rlimit limit;
    const double cgroup = cgroup_limit("memory.max", parse_memory_max);
    const bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return json_pack(
        "{s:I, s:I, s:o, s:o, s:s}", "total_bytes", meminfo("MemTotal"), "available_bytes",
        meminfo("MemAvailable"), "cgroup_bytes",
        cgroup > 0 ? json_integer((json_int_t)cgroup) : json_null(), "address_space_bytes",
        limited ? json_integer((json_int_t)limit.rlim_cur) : json_null(), "huge_pages",
        read_line("/sys/kernel/mm/transparent_hugepage/enabled", "", pages) ? pages : "unknown");
}

static json_t *about_libraries(void)
{
    unsigned major = 0, minor = 0, patch = 0;
    (void)H5get_libversion(&major, &minor, &patch);
    return json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s}", "hdf5",
                     json_sprintf("%u.%u.%u", major, minor, patch), "jansson", JANSSON_VERSION,
                     "libsodium", sodium_version_string(), "openssl",
                     OpenSSL_version(OPENSSL_VERSION_STRING), "zlib", zlibVersion(), "libpng",
                     png_get_libpng_ver(NULL), "libjpeg-turbo", TEXT_OF(LIBJPEG_TURBO_VERSION));
}

/* What is missing, what goes without it, how to get it. */
static json_t *lacks(const json_t *report)
{
    static const struct {
        const char *section, *key, *name, *without, *get;
    } wanted[] = {
        {"tools", "dot", "Graphviz", "inspect cannot draw cells", "install graphviz"},
    };
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const json_t *section = json_object_get(report, wanted[i].section);
        if (json_is_null(json_object_get(section, wanted[i].key))) {
            (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", wanted[i].name,
                                                        "without", wanted[i].without, "get",
                                                        wanted[i].get));
        }
    }
    if (strcmp(spx_isa_name(spx_cpu_isa()), "portable") == 0) {
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "name", "AVX2", "without",
                            "all kernels run in plain C, several times slower", "get",
                            "unset SPHYNX_ISA, or use a processor of 2013 or later"));
    }
    spx_gpu_lacks(json_object_get(report, "gpu"), list);
    return list;
}

static void print_value(const json_t *value)
{
    if (json_is_array(value) && json_array_size(value) > 0) { /* GPUs */
        for (size_t i = 0; i < json_array_size(value); i++) {
            (void)printf("%*s", i == 0 ? 0 : 24, "");
            spx_gpu_print(json_array_get(value, i));
        }
    } else if (json_is_string(value)) {
        (void)puts(json_string_value(value));
    } else if (json_is_real(value)) {
        (void)printf("%.3g\n", json_real_value(value));
    } else if (json_is_integer(value) && json_integer_value(value) >= 1 << 20) {
        (void)printf("%.1f GiB\n", (double)json_integer_value(value) / 0x1p30);
    } else if (json_is_integer(value)) {
        (void)printf("%lld\n", (long long)json_integer_value(value));
    } else {
        (void)puts(json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "none");
    }
}

static void print_report(json_t *report)
{
    const char *section, *key;
    json_t *entries, *value;
    size_t i;
    json_object_foreach(report, section, entries)
    {
        if (!json_is_object(entries)) {
            continue;
        }
        (void)printf("%s\n", section);
        json_object_foreach(entries, key, value)
        {
            (void)printf("  %-22s", key);
            print_value(value);
        }
    }
    entries = json_object_get(report, "lacks");
    (void)puts(json_array_size(entries) > 0 ? "lacks" : "lacks nothing");
    json_array_foreach(entries, i, value)
    {
        (void)printf("  %s: without it %s; %s\n", json_string_value(json_object_get(value, "name")),
                     json_string_value(json_object_get(value, "without")),
                     json_string_value(json_object_get(value, "get")));
    }
}

static spx_status run(spx_cli *cli, const void *values)
{
    json_t *report =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:{s:o}}", "build", about_build(), "processor",
                  about_processor(cli), "memory", about_memory(), "libraries", about_libraries(),
                  "gpu", spx_gpu_json(tool("nvcc")), "tools", "dot", tool("dot"));
    (void)values;
    if (report == NULL || json_object_set_new(report, "lacks", lacks(report)) != 0) {
        json_decref(report);
        return SPX_FAIL(SPX_ENOMEM, "report");
    }
    if (cli->json) {
        return spx_cli_print_json(report);
    }
    print_report(report);
    json_decref(report);
    return SPX_OK;
}

const spx_command spx_cmd_doctor = {
    .name = "doctor",
    .summary = "Says what this machine offers and what it lacks.",
    .example = "sphynx doctor --json",
    .run = run,
};
