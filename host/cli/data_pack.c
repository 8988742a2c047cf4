/* sphynx data pack: a published data set, or own pictures or arrays, become one file. */
#include "data/pack/pack_build.h"
#include "data/pack/pack_list.h"
#include "data/pack/pack_write.h"
#include "host/cli/data_talk.h"
#include "host/cli/progress.h"
#include "host/control/interrupt.h"
#include "kernels/base/pool.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *output, *store;
    uint64_t shard;
    int64_t allow_bad;
    double test_fraction;
    int channels;
    bool resume;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, output, "output", "FILE", NULL,
            "the pack to write (.h5), in the place of one that is there",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT, .letter = 'o'),
    SPX_OPT(STRING, values, store, "store", "FORM", NULL,
            "pictures as original (their files' bytes), jpeg:256:95 (short side, quality) or "
            "raw:64 (middle square, pixels); default: original, of tiny-imagenet raw:64"),
    SPX_OPT(SIZE, values, shard, "shard", "BYTES", "4G", "what one file of the pack holds at most",
            .min = 1 << 16, .max = 0x1p50),
    SPX_OPT(INT, values, allow_bad, "allow-bad", "N", "0",
            "leave out up to so many pictures that do not decode", .min = 0, .max = 1e9),
    SPX_OPT(FLAG, values, resume, "resume", NULL, "false",
            "go on where an earlier call was stopped; do nothing where it was done"),
    SPX_OPT(FLOAT, values, test_fraction, "test-fraction", "F", "0.1",
            "of each class, to test on where the source has no test split; --seed draws it",
            .min = 0, .max = 0.9, .old = "held-out"),
    SPX_OPT(ENUM, values, channels, "channels", "auto|1|3", "auto",
            "auto: 1 where every picture is grey, else 3"),
    {0}};

#define OF_PICTURES "operands=imagefolder|~operands=folder|operands=tiny-imagenet|operands=imagenet"
static const spx_need needs[] = {
    {"store shard allow-bad resume channels", OF_PICTURES},
    {"test-fraction", "operands=imagefolder|~operands=folder|operands=arrays|~operands=npz"},
    {0}};

/* ---- the two ways ---- */

typedef struct talk {
    spx_progress progress;
    bool begun;
    uint64_t done;
} talk;

static void show(void *ctx, uint64_t done, uint64_t total)
{
    talk *t = ctx;
    if (t->begun && done < t->done) { /* were looked at; now they are packed */
        spx_progress_end(&t->progress);
        t->begun = false;
    }
    t->done = done;
    if (!t->begun) {
        spx_progress_begin(&t->progress, stderr, "pictures", done, total);
        t->begun = true;
    }
    spx_progress_show(&t->progress, done, "%s", "");
}

static bool stop(void *ctx)
{
    (void)ctx;
    return spx_interrupt_signal() != 0;
}

/* All pictures that did not decode before there were too many. */
static void tell_bad(const spx_cli *cli, const spx_store_report *r)
{
    const char *bad = r->bad_names;
    for (size_t i = 0; i < r->bad; i++, bad += strlen(bad) + 1) {
        spx_cli_talk(cli, "does not decode: %s", bad);
    }
}

/* What was left out, and what else the list of pictures does not tell. */
static void tell(const spx_cli *cli, const values *v, const spx_pack_list *list,
                 const spx_store_report *r)
{
    enum { MOST = 10 };
    const char *bad = r->bad_names;
    const size_t passed = spx_pack_list_passed_over(list);
    if (r->finished_before) {
        spx_cli_talk(cli, "%s is whole already: nothing to do", v->output);
    } else if (r->resumed_at > 0) {
        spx_cli_talk(cli, "went on at picture %zu of %zu", r->resumed_at,
                     spx_pack_list_count(list));
    }
    for (size_t i = 0; i < r->bad && i < MOST; i++, bad += strlen(bad) + 1) {
        spx_cli_talk(cli, "left out, does not decode: %s", bad);
    }
    if (r->bad > MOST) {
        spx_cli_talk(cli, "left out, does not decode: %zu more; data info --json lists all",
                     r->bad - MOST);
    }
    if (passed > 0) {
        spx_cli_talk(cli, "passed over %zu file%s not called .jpg, .jpeg or .png", passed,
                     passed > 1 ? "s" : "");
    }
}

static spx_status store(const spx_cli *cli, const values *v, spx_store_options *o,
                        const spx_pack_build_options *build)
{
    spx_pack_list *list = NULL;
    spx_store_report report = {0};
    talk t = {.begun = false};
    spx_status st;
    SPX_RETURN_IF(spx_pack_list_open(&list, cli->args[0], cli->args[1], build));
    SPX_TRY(st, spx_interrupt_install(), done); /* before, there is nothing to keep */
    o->show = show;
    o->stop = stop;
    o->ctx = &t;
    st = spx_pack_store(list, v->output, o, &report);
    if (t.begun) {
        spx_progress_end(&t.progress);
    }
    if (st == SPX_OK) {
        tell(cli, v, list, &report);
    } else if (report.bad > 1 && report.bad_names != NULL) { /* one alone is named by the failure */
        tell_bad(cli, &report);
    }
done:
    spx_store_report_clear(&report);
    spx_pack_list_close(list);
    return st;
}

static spx_status build_whole(const spx_cli *cli, const values *v, const spx_pack_build_options *o)
{
    spx_pack *p = NULL;
    spx_status st;
    SPX_TRY(st, spx_pack_build(&p, cli->args[0], cli->args[1], o), done);
    st = spx_pack_write(p, v->output);
done:
    spx_pack_close(p);
    return st;
}

/* As it lies there: its hash is that of the file. */
static spx_status print(const spx_cli *cli, const char *path)
{
    spx_pack *p = NULL;
    size_t empty;
    spx_status st;
    SPX_TRY(st, spx_pack_open(&p, path, SPX_PACK_LOAD_ALL), done);
    SPX_TRY(st, spx_pack_warn_classes(cli, p, &empty), done);
    if (cli->json) {
        st = spx_pack_print_json(p);
    } else {
        spx_pack_print_summary(p, path);
    }
done:
    spx_pack_close(p);
    return st;
}

/* ---- the command ---- */

static bool is_known(const char *kind)
{
    size_t i = 0;
    while (spx_pack_known(i) != NULL && strcmp(spx_pack_known(i), kind) != 0) {
        i++;
    }
    return spx_pack_known(i) != NULL;
}

/* "mnist, fashion-mnist, ..." */
static void list_known(char *text, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; spx_pack_known(i) != NULL && used < room; i++) {
        used += (size_t)snprintf(text + used, room - used, "%s%s", i > 0 ? ", " : "",
                                 spx_pack_known(i));
    }
}

/* What each source must look like: names that share a form, then the form. */
static void print_sources(void)
{
    size_t first = 0;
    (void)printf("\nKIND, and what SRC is:\n");
    for (size_t i = 0; spx_pack_known(i) != NULL; i++) {
        if (i > 0 && spx_pack_layout(i) != NULL) { /* old names end the list, without a form */
            first = i;
        }
    }
    for (size_t i = 0; i <= first; i++) {
        const char *form = spx_pack_layout(i);
        size_t last = i;
        while (last < first && spx_pack_layout(last + 1) == NULL) {
            last++;
        }
        for (; i < last; i++) {
            (void)printf("%s, ", spx_pack_known(i));
        }
        (void)printf("%s\n    ", spx_pack_known(i));
        for (; form != NULL && *form != '\0'; form++) {
            (void)printf(*form == '\n' ? "\n    " : "%c", *form);
        }
        (void)printf("\n");
    }
}

static spx_status run(spx_cli *cli, const void *given)
{
    const values *v = given;
    const spx_pack_build_options build = {.held_out = v->test_fraction,
                                          .seed = (uint64_t)cli->seed,
                                          .asked = v->test_fraction > 0 &&
                                                   spx_cli_given(cli, "test-fraction")};
    spx_store_options o = {.channels = v->channels == 2 ? 3 : v->channels,
                           .shard_bytes = v->shard,
                           .allow_bad = (uint64_t)v->allow_bad,
                           .resume = v->resume,
                           .threads = cli->threads > 0 ? (int)cli->threads : spx_pool_processors()};
    const char *form = v->store != NULL ? v->store : spx_pack_usual_store(cli->args[0]);
    char expected[512];
    if (!is_known(cli->args[0])) {
        list_known(expected, sizeof expected);
        return spx_cli_usage(cli, "unknown data set '%.64s', expected one of %s", cli->args[0],
                             expected);
    }
    if (spx_store_parse(form, &o) != SPX_OK) {
        return spx_cli_usage(cli, "--store %s", spx_error_message());
    }
    SPX_RETURN_IF(spx_cli_distinct(cli, v->output, cli->args[1]));
    SPX_RETURN_IF(spx_pack_is_list(cli->args[0]) ? store(cli, v, &o, &build)
                                                 : build_whole(cli, v, &build));
    return print(cli, v->output);
}

const spx_command spx_data_pack = {
    .name = "pack",
    .args = "KIND SRC",
    .summary = "Packs a data set into one file, or several that belong together.",
    .example = "sphynx data pack imagefolder photographs -o photographs.h5 --store jpeg:256:95",
    .more = print_sources,
    .options = options,
    .needs = needs,
    .values_size = sizeof(values),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
