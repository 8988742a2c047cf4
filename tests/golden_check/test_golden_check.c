#define _POSIX_C_SOURCE 200809L
/* golden_check itself: it says yes to what is stored and no to anything else,
 * without falling over. */
#include "tests/support/spx_scratch.h"
#include "tests/support/spx_test.h"

#include "host/h5/h5_file.h"

#include <sys/wait.h>

/* GOLDEN_CHECK: the program; GOLDEN_DIR: the folder of golden files; both from the build. */

typedef struct bytes {
    unsigned char *data;
    size_t size;
} bytes;

static bytes read_all(const char *path)
{
    bytes b = {0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    b.size = (size_t)ftell(f);
    rewind(f);
    b.data = malloc(b.size);
    assert_non_null(b.data);
    assert_int_equal(fread(b.data, 1, b.size, f), b.size);
    (void)fclose(f);
    return b;
}

static void write_all(const char *path, const unsigned char *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* Sanitizers end a program with a code of their own, not with golden_check's 1. libhdf5 leaks some
 * bytes on damaged files: that is not looked for here. */
#define SANITIZERS "exitcode=99:detect_leaks=0"

/* The exit code of golden_check on one file; fails if it was killed. */
static int check(const char *path)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stdout) != NULL &&
            setenv("ASAN_OPTIONS", SANITIZERS, 1) == 0) {
            (void)execl(GOLDEN_CHECK, "golden_check", "--threads=1", path, (char *)NULL);
        }
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status)) {
        fail_msg("golden_check %s: killed by signal %d", path, WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}

/* Where the first 16 bytes of a dataset lie in the file. */
static size_t find_dataset(const bytes *b, const char *path, const char *name)
{
    spx_h5 *f;
    spx_h5_info info;
    CHECK_OK(spx_h5_open(&f, path, SPX_H5_FOREIGN));
    CHECK_OK(spx_h5_stat(f, name, &info));
    assert_int_equal(info.type, SPX_H5_F32);
    float *x = malloc(info.count * sizeof *x);
    assert_non_null(x);
    CHECK_OK(spx_h5_read(f, name, SPX_H5_F32, x, info.count));
    size_t at = 0;
    while (at + 16 <= b->size && memcmp(b->data + at, x, 16) != 0) {
        at++;
    }
    assert_true(at + 16 <= b->size);
    free(x);
    spx_h5_close(f);
    return at;
}

static void golden_path(char out[static 512], const char *file)
{
    (void)snprintf(out, 512, "%s/%s", GOLDEN_DIR, file);
}

SPX_TEST(an_untouched_copy_passes)
{
    SPX_UNUSED;
    spx_scratch t;
    char path[512];
    assert_int_equal(spx_scratch_make(&t), 0);
    golden_path(path, "search_cell_reduce.h5");
    bytes b = read_all(path);
    const char *copy = spx_scratch_path(&t, "copy.h5");
    write_all(copy, b.data, b.size);
    assert_int_equal(check(copy), 0);
    free(b.data);
    spx_scratch_remove(&t);
}

/* A bit of the highest mantissa byte: the value changes by 1/64 to 1/2. */
SPX_TEST(one_changed_number_of_any_quantity_fails)
{
    SPX_UNUSED;
    static const char *const cases[][2] = {
        {"search_cell_reduce.h5", "output_train"},
        {"search_cell_reduce.h5", "output_eval"},
        {"search_cell_reduce.h5", "grad_s0"},
        {"search_cell_reduce.h5", "grad_output"},
        {"search_cell_reduce.h5", "s1"},
        {"search_cell_reduce.h5", "alpha/2"},
        {"search_cell_reduce.h5", "grad_w_dag/3"},
        {"search_cell_reduce.h5", "f64/grad_alpha/3"},
        {"search_cell_reduce.h5", "param/dag.0.0._ops.2.net.0.weight"},
        {"search_cell_reduce.h5", "grad_param/dag.0.0._ops.2.net.0.weight"},
        {"aug_tiny.h5", "logits_eval"},
        {"aug_tiny.h5", "eval_cell_output_image0/1"},
        {"ops.h5", "van_conv_3x3_NR/s2/affine1/grad_input"},
        {"ops.h5", "skip_connect_NR/s1/affine0/output_train"},
        {"search_cnn.h5", "logits_train"},
        {"search_cnn.h5", "logits_eval_after_that_forward"},
    };
    spx_scratch t;
    assert_int_equal(spx_scratch_make(&t), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[512];
        golden_path(path, cases[i][0]);
        bytes b = read_all(path);
        /* little-endian float: byte 2 holds the exponent's last bit and the mantissa's top */
        b.data[find_dataset(&b, path, cases[i][1]) + 2] ^= 0x20;
        const char *copy = spx_scratch_path(&t, "copy.h5");
        write_all(copy, b.data, b.size);
        if (check(copy) != 1) {
            fail_msg("%s: %s changed and passed", cases[i][0], cases[i][1]);
        }
        free(b.data);
    }
    spx_scratch_remove(&t);
}

/* A NaN compares as neither larger nor smaller than anything. */
SPX_TEST(a_number_that_is_none_fails)
{
    SPX_UNUSED;
    static const unsigned char nan[] = {0x00, 0x00, 0xc0, 0x7f};
    spx_scratch t;
    char path[512];
    assert_int_equal(spx_scratch_make(&t), 0);
    golden_path(path, "aug_tiny.h5");
    bytes b = read_all(path);
    memcpy(b.data + find_dataset(&b, path, "logits_eval"), nan, sizeof nan);
    const char *copy = spx_scratch_path(&t, "copy.h5");
    write_all(copy, b.data, b.size);
    assert_int_equal(check(copy), 1);
    free(b.data);
    spx_scratch_remove(&t);
}

SPX_TEST(what_is_no_golden_file_fails)
{
    SPX_UNUSED;
    spx_scratch t;
    char path[512];
    assert_int_equal(spx_scratch_make(&t), 0);
    golden_path(path, "search_cell_reduce.h5");
    bytes b = read_all(path);
    for (size_t part = 0; part < 4; part++) { /* empty, and cut */
        const char *copy = spx_scratch_path(&t, "cut.h5");
        write_all(copy, b.data, part * b.size / 4);
        assert_int_equal(check(copy), 1);
    }
    assert_int_equal(check(spx_scratch_path(&t, "absent.h5")), 1);
    const char *copy = spx_scratch_path(&t, "text.h5");
    spx_scratch_write_text(copy, "no HDF5");
    assert_int_equal(check(copy), 1);
    free(b.data);
    spx_scratch_remove(&t);
}

/* A training pass needs the weights beside it. */
SPX_TEST(a_file_without_its_companion_fails)
{
    SPX_UNUSED;
    static const char *const files[] = {"aug_tiny_train.h5", "search_step1_correct.h5"};
    spx_scratch t;
    assert_int_equal(spx_scratch_make(&t), 0);
    for (int i = 0; i < 2; i++) {
        char path[512];
        golden_path(path, files[i]);
        bytes b = read_all(path);
        const char *copy = spx_scratch_path(&t, files[i]);
        write_all(copy, b.data, b.size);
        assert_int_equal(check(copy), 1);
        free(b.data);
    }
    spx_scratch_remove(&t);
}

/* Bookkeeping of the file, names and attributes: whatever a bad byte does to them, the program
 * ends. */
SPX_TEST(random_damage_never_kills_it)
{
    SPX_UNUSED;
    spx_scratch t;
    char path[512];
    assert_int_equal(spx_scratch_make(&t), 0);
    golden_path(path, "search_cell_normal_after_reduce.h5");
    const bytes whole = read_all(path);
    unsigned char *data = malloc(whole.size);
    assert_non_null(data);
    uint32_t x = 1;
    for (int i = 0; i < 40; i++) {
        memcpy(data, whole.data, whole.size);
        for (int k = 0; k < 1 + i; k++) {
            x = x * 1664525u +
                1013904223u; /* Numerical Recipes' generator: which bytes matters little */
            data[(x >> 4) % whole.size] ^= (unsigned char)(1u << (x >> 29));
        }
        const char *copy = spx_scratch_path(&t, "copy.h5");
        write_all(copy, data, whole.size);
        assert_in_range(check(copy), 0, 1);
    }
    free(data);
    free(whole.data);
    spx_scratch_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(an_untouched_copy_passes),
        SPX_UNIT(one_changed_number_of_any_quantity_fails),
        SPX_UNIT(a_number_that_is_none_fails),
        SPX_UNIT(what_is_no_golden_file_fails),
        SPX_UNIT(a_file_without_its_companion_fails),
        SPX_UNIT(random_damage_never_kills_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
