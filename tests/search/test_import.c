#define _POSIX_C_SOURCE 200809L
/* sphynx import: every array arrives unchanged, whichever way the file groups them; what does not
 * fit is refused and leaves nothing behind. */
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include "search/final/model.h"

#include <sys/wait.h>

/* SPHYNX: the program; GOLDEN_DIR: the folder of golden files; both from the build. */

static const char source[] = GOLDEN_DIR "/aug_tiny.h5";

/* The exit code of the program given words, the last NULL. */
static int run(const char *const *word)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *argv[16] = {(char *)(uintptr_t) "sphynx"};
        for (int i = 0; i < 14 && word[i] != NULL; i++) {
            argv[i + 1] = (char *)(uintptr_t)word[i];
        }
        if (freopen("/dev/null", "w", stdout) != NULL && /* a sanitizer's verdict is no plain 1 */
            freopen("/dev/null", "w", stderr) != NULL &&
            setenv("ASAN_OPTIONS", "exitcode=99", 1) == 0) {
            (void)execv(SPHYNX, argv);
        }
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Of sphynx import SOURCE -o OUT --raw and up to three more words. */
static int import(const char *from, const char *out, const char *a, const char *b, const char *c)
{
    return run((const char *const[]){"import", from, "-o", out, "--raw", a, b, c, NULL});
}

static float *read_floats(const spx_h5 *f, const char *name, spx_h5_info *info)
{
    CHECK_OK(spx_h5_stat(f, name, info));
    float *x = malloc(info->count * sizeof *x);
    assert_non_null(x);
    CHECK_OK(spx_h5_read(f, name, SPX_H5_F32, x, info->count));
    return x;
}

/* Every array of the model equals the source's, and none of the source's is missing. */
static void check_arrays(const char *model)
{
    static const char *const groups[] = {"param", "buffer"};
    spx_h5 *a, *b;
    CHECK_OK(spx_h5_open(&a, source, SPX_H5_FOREIGN));
    CHECK_OK(spx_h5_open(&b, model, SPX_H5_CHECKED));
    for (int g = 0; g < 2; g++) {
        spx_h5_names names, own;
        CHECK_OK(spx_h5_list(a, groups[g], &names));
        CHECK_OK(spx_h5_list(b, groups[g], &own));
        assert_int_equal(names.count, own.count);
        for (size_t i = 0; i < names.count; i++) {
            char path[256];
            spx_h5_info ia, ib;
            (void)snprintf(path, sizeof path, "%s/%s", groups[g], names.name[i]);
            float *x = read_floats(a, path, &ia), *y = read_floats(b, path, &ib);
            assert_int_equal(ia.count, ib.count);
            assert_memory_equal(x, y, ia.count * sizeof *x);
            free(x);
            free(y);
        }
        spx_h5_names_clear(&names);
        spx_h5_names_clear(&own);
    }
    spx_h5_close(a);
    spx_h5_close(b);
}

SPX_TEST(a_file_that_describes_itself_needs_no_options)
{
    SPX_UNUSED;
    spx_scratch t;
    spx_model m;
    assert_int_equal(spx_scratch_make(&t), 0);
    const char *model = spx_scratch_path(&t, "model.h5");
    assert_int_equal(import(source, model, NULL, NULL, NULL), 0);
    check_arrays(model);
    CHECK_OK(spx_model_open(&m, model));
    assert_int_equal(m.spec.init_channels, 1);
    assert_int_equal(m.spec.layers, 3);
    assert_int_equal(m.spec.n_reduce, 2);
    assert_int_equal(m.spec.reduce_at[1], 2);
    assert_int_equal(m.spec.classes, 5);
    assert_memory_equal(&m.spec.genotype, &spx_genotype_published, sizeof m.spec.genotype);
    spx_model_close(&m);
    spx_scratch_remove(&t);
}

/* All arrays at the root, PyTorch's counters among them; the description on the command line. */
SPX_TEST(a_flat_file_is_read_with_the_network_given_as_options)
{
    SPX_UNUSED;
    static const char *const groups[] = {"param", "buffer"};
    static const int64_t count = 7;
    spx_scratch t;
    char flat[256];
    spx_h5 *a;
    spx_h5_out *w;
    assert_int_equal(spx_scratch_make(&t), 0);
    (void)snprintf(flat, sizeof flat, "%s", spx_scratch_path(&t, "flat.h5"));
    CHECK_OK(spx_h5_open(&a, source, SPX_H5_FOREIGN));
    CHECK_OK(spx_h5_create(&w));
    CHECK_OK(spx_h5_add(w, "stem.1.num_batches_tracked", SPX_H5_I64, 0, NULL, &count));
    for (int g = 0; g < 2; g++) {
        spx_h5_names names;
        CHECK_OK(spx_h5_list(a, groups[g], &names));
        for (size_t i = 0; i < names.count; i++) {
            char path[256];
            spx_h5_info info;
            (void)snprintf(path, sizeof path, "%s/%s", groups[g], names.name[i]);
            float *x = read_floats(a, path, &info);
            CHECK_OK(spx_h5_add(w, names.name[i], SPX_H5_F32, info.rank, info.dims, x));
            free(x);
        }
        spx_h5_names_clear(&names);
    }
    CHECK_OK(spx_h5_commit(w, flat));
    spx_h5_discard(w);
    spx_h5_close(a);
    const char *model = spx_scratch_path(&t, "model.h5");
    assert_int_equal(import(flat, model, NULL, NULL, NULL), 1); /* not the default network */
    assert_int_equal(import(flat, model, "--classes=5", "--init-channels=1", "--layers=3"), 1);
    FILE *f = fopen(model, "rb");
    assert_null(f); /* nothing half-written */
    char ini[300];
    (void)snprintf(ini, sizeof ini, "--config=%s/net.ini", t.folder);
    spx_scratch_write_text(ini + strlen("--config="), "classes = 5\ninit-channels = 1\nlayers = 3\n"
                                                      "reduce-at = 0,2\n");
    assert_int_equal(import(flat, model, ini, NULL, NULL), 0);
    check_arrays(model);
    spx_scratch_remove(&t);
}

SPX_TEST(weights_of_another_network_are_refused)
{
    SPX_UNUSED;
    spx_scratch t;
    assert_int_equal(spx_scratch_make(&t), 0);
    const char *model = spx_scratch_path(&t, "model.h5");
    assert_int_equal(import(source, model, "--init-channels=2", NULL, NULL), 1);
    assert_int_equal(import(source, model, "--layers=4", NULL, NULL), 1);
    assert_int_equal(import(source, model, "--layers=2", "--reduce-at=0,1", NULL), 1);
    assert_int_equal(import(GOLDEN_DIR "/ops.h5", model, NULL, NULL, NULL), 1);
    assert_int_equal(import("absent.h5", model, NULL, NULL, NULL), 1);
    assert_null(fopen(model, "rb"));
    spx_scratch_remove(&t);
}

/* Copies the source, one array of it bent by a function. */
static void copy_bent(const char *path, const char *which, void (*bend)(float *x, size_t n))
{
    static const char *const groups[] = {"param", "buffer"};
    spx_h5 *a;
    spx_h5_out *w;
    CHECK_OK(spx_h5_open(&a, source, SPX_H5_FOREIGN));
    CHECK_OK(spx_h5_create(&w));
    for (int g = 0; g < 2; g++) {
        spx_h5_names names;
        CHECK_OK(spx_h5_list(a, groups[g], &names));
        for (size_t i = 0; i < names.count; i++) {
            char from[256], to[256];
            spx_h5_info info;
            (void)snprintf(from, sizeof from, "%s/%s", groups[g], names.name[i]);
            (void)snprintf(to, sizeof to, "module.%s", names.name[i]);
            float *x = read_floats(a, from, &info);
            if (strcmp(names.name[i], which) == 0) {
                bend(x, info.count);
            }
            CHECK_OK(spx_h5_add(w, to, SPX_H5_F32, info.rank, info.dims, x));
            free(x);
        }
        spx_h5_names_clear(&names);
    }
    CHECK_OK(spx_h5_commit(w, path));
    spx_h5_discard(w);
    spx_h5_close(a);
}

static void to_nan(float *x, size_t n)
{
    x[n - 1] = NAN;
}

static void to_negative(float *x, size_t n)
{
    x[n - 1] = -1;
}

static void to_huge(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = 3e38f; /* finite, but what it is multiplied to need not be */
    }
}

/* A pack of one 3x32x32 image. */
static void write_pack(const char *path)
{
    static uint8_t pixels[3 * 32 * 32];
    static uint16_t label[1];
    static char names[] = "a\nb\nc\nd\ne", sources[] = "";
    spx_pack p = {.dataset = "one",
                  .channels = 3,
                  .height = 32,
                  .width = 32,
                  .classes = 5,
                  .class_names = names,
                  .sources = sources,
                  .mean = {0.5, 0.5, 0.5},
                  .std = {0.2, 0.2, 0.2}};
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    }
    p.split[SPX_SPLIT_TEST] = (spx_pack_split){.count = 1, .images = pixels, .labels = label};
    CHECK_OK(spx_pack_write(&p, path));
}

SPX_TEST(numbers_that_give_no_answer_are_refused_at_the_entry_or_at_the_exit)
{
    SPX_UNUSED;
    static const char *const net[] = {"--classes=5", "--init-channels=1"};
    spx_scratch t;
    char bent[256], model[256], pack[256], ini[300];
    assert_int_equal(spx_scratch_make(&t), 0);
    (void)snprintf(bent, sizeof bent, "%s", spx_scratch_path(&t, "bent.h5"));
    (void)snprintf(model, sizeof model, "%s", spx_scratch_path(&t, "model.h5"));
    (void)snprintf(pack, sizeof pack, "%s", spx_scratch_path(&t, "pack.h5"));
    (void)snprintf(ini, sizeof ini, "--config=%s/net.ini", t.folder);
    spx_scratch_write_text(ini + strlen("--config="), "layers = 3\nreduce-at = 0,2\n");
    write_pack(pack);
    copy_bent(bent, "linear.weight", to_nan);
    assert_int_equal(import(bent, model, ini, net[0], net[1]), 1);
    copy_bent(bent, "stem.1.running_var", to_negative);
    assert_int_equal(import(bent, model, ini, net[0], net[1]), 1);
    assert_int_equal(access(model, F_OK), -1);
    copy_bent(bent, "linear.weight", to_huge);
    assert_int_equal(import(bent, model, ini, net[0], net[1]), 0);
    for (int json = 0; json < 2; json++) {
        const char *last = json != 0 ? "--json" : NULL;
        assert_int_equal(run((const char *const[]){"predict", "--model", model, "--data", pack,
                                                   "--allow-changed", last, NULL}),
                         1);
        assert_int_equal(run((const char *const[]){"eval", "--model", model, "--data", pack,
                                                   "--allow-changed", last, NULL}),
                         1);
    }
    copy_bent(bent, "", to_nan); /* as it was */
    assert_int_equal(import(bent, model, ini, net[0], net[1]), 0);
    check_arrays(model);
    assert_int_equal(run((const char *const[]){"predict", "--model", model, "--data", pack,
                                               "--allow-changed", NULL}),
                     0);
    spx_scratch_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_file_that_describes_itself_needs_no_options),
        SPX_UNIT(a_flat_file_is_read_with_the_network_given_as_options),
        SPX_UNIT(weights_of_another_network_are_refused),
        SPX_UNIT(numbers_that_give_no_answer_are_refused_at_the_entry_or_at_the_exit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
