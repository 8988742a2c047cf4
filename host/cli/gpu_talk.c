#define _DEFAULT_SOURCE
#include "host/cli/gpu_talk.h"

#include "kernels/device/stream.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "13.0" of 13000, CUDA's way of writing it; null of 0. */
static json_t *cuda_version(int v)
{
    return v > 0 ? json_sprintf("%d.%d", v / 1000, v % 1000 / 10) : json_null();
}

static void *symbol(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    return handle != NULL ? dlsym(handle, name) : NULL; /* stays loaded: the program ends soon */
}

/* Libraries are asked by name, as the engine does, so that a build without their headers can tell.
 * Symbols come as object pointers, hence the copies. */
static json_t *cudnn_version(void)
{
    size_t (*get)(void);
    const char *path = getenv("SPHYNX_CUDNN");
    void *found =
        symbol(path != NULL && path[0] != '\0' ? path : "libcudnn.so.9", "cudnnGetVersion");
    if (found == NULL) {
        return json_null();
    }
    memcpy(&get, &found, sizeof get);
    const size_t v = get(); /* 91900: 9.19.0 */
    return json_sprintf("%zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

/* Of a CUDA library: "13.0.2" by its function PREFIXGetProperty; null where none of its names is
 * found. */
static json_t *library_version(const char *name, const char *function, const char *variable)
{
    const char *path = variable != NULL ? getenv(variable) : NULL;
    int (*get)(int property, int *value);
    void *found = NULL;
    int part[3] = {0};
    if (path != NULL && path[0] != '\0') {
        found = symbol(path, function);
    }
    for (int major = 13; major >= 11 && found == NULL && (path == NULL || path[0] == '\0');
         major--) {
        char file[64];
        (void)snprintf(file, sizeof file, "%s.so.%d", name, major);
        found = symbol(file, function);
    }
    if (found == NULL) {
        return json_null();
    }
    memcpy(&get, &found, sizeof get);
    for (int i = 0; i < 3; i++) { /* major, minor, patch */
        if (get(i, &part[i]) != 0) {
            return json_null();
        }
    }
    return json_sprintf("%d.%d.%d", part[0], part[1], part[2]);
}

static json_t *nccl_version(void)
{
    int (*get)(int *version);
    void *found = symbol("libnccl.so.2", "ncclGetVersion");
    int v = 0; /* 22705: 2.27.5 */
    if (found == NULL) {
        return json_null();
    }
    memcpy(&get, &found, sizeof get);
    return get(&v) == 0 ? json_sprintf("%d.%d.%d", v / 10000, v / 100 % 100, v % 100) : json_null();
}

static json_t *devices(spx_device_info *first)
{
    json_t *list = json_array();
    const int n = spx_device_count(SPX_DEVICE_CUDA);
    for (int i = 0; i < n; i++) {
        spx_device_info d;
        if (spx_device_describe(SPX_DEVICE_CUDA, i, &d) != SPX_OK) {
            (void)json_array_append_new(
                list, json_pack("{s:i, s:s}", "index", i, "trouble", spx_error_message()));
            continue;
        }
        *first = i == 0 ? d : *first;
        (void)json_array_append_new(list, json_pack("{s:i, s:s, s:o, s:i, s:I}", "index", i, "name",
                                                    d.name, "compute_capability",
                                                    json_sprintf("%d.%d", d.major, d.minor),
                                                    "multiprocessors", d.multiprocessors,
                                                    "memory_bytes", (json_int_t)d.memory_bytes));
    }
    return list;
}

/* The kernel module's line, also where this build has no CUDA. */
static json_t *kernel_module(void)
{
    char line[256];
    const char *from;
    FILE *f = fopen("/proc/driver/nvidia/version", "r");
    json_t *found = json_null();
    if (f != NULL && fgets(line, sizeof line, f) != NULL) {
        from = line + strcspn(line, ":");
        from += strspn(from, ": ");
        line[strcspn(line, "\n")] = '\0';
        found = json_string(from);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return found;
}

json_t *spx_gpu_json(json_t *nvcc)
{
    spx_device_info first = {0};
    json_t *list = devices(&first);
#ifdef SPX_HAVE_CUDA
    const int built = 1;
#else
    const int built = 0;
#endif
    return json_pack(
        "{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "built_in", built, "devices", list,
        "kernel_module", kernel_module(), "driver", cuda_version(first.driver), "runtime",
        cuda_version(first.runtime), "nvcc", nvcc, "cudnn", cudnn_version(), "cublas",
        library_version("libcublas", "cublasGetProperty", NULL), "nvjpeg",
        library_version("libnvjpeg", "nvjpegGetProperty", "SPHYNX_NVJPEG"), "nccl", nccl_version());
}

/* Whether one of the devices can be used. */
static bool answers(const json_t *devices)
{
    const json_t *d;
    size_t i;
    json_array_foreach(devices, i, d)
    {
        if (json_object_get(d, "trouble") == NULL) {
            return true;
        }
    }
    return false;
}

void spx_gpu_lacks(const json_t *gpu, json_t *list)
{
    const bool module = !json_is_null(json_object_get(gpu, "kernel_module"));
    const bool built = json_is_true(json_object_get(gpu, "built_in"));
    const bool device = answers(json_object_get(gpu, "devices"));
    const struct {
        bool missing;
        const char *name, *without, *get;
    } row[] = {
        {module && !built, "CUDA", "this build computes on the CPU only",
         "install nvcc and build with cmake --preset cuda"},
        {module && built && !device, "a GPU that answers", "the CPU computes",
         "compare the driver with this build's CUDA version (nvidia-smi)"},
        {device && json_is_null(json_object_get(gpu, "cudnn")), "cuDNN",
         "convolutions on the GPU are the engine's own, slower",
         "install cuDNN 9, or name its library in SPHYNX_CUDNN"},
        {device && json_is_null(json_object_get(gpu, "nvjpeg")), "nvJPEG",
         "train and eval have no --decoder nvjpeg",
         "install it with the CUDA toolkit, or name its library in SPHYNX_NVJPEG"},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        if (row[i].missing) {
            (void)json_array_append_new(list,
                                        json_pack("{s:s, s:s, s:s}", "name", row[i].name, "without",
                                                  row[i].without, "get", row[i].get));
        }
    }
}

void spx_gpu_print(const json_t *d)
{
    const json_int_t index = json_integer_value(json_object_get(d, "index"));
    const char *trouble = json_string_value(json_object_get(d, "trouble"));
    if (trouble != NULL) {
        (void)printf("cuda:%d %s\n", (int)index, trouble);
        return;
    }
    (void)printf("cuda:%d %s, compute capability %s, %d multiprocessors, %.1f GiB\n", (int)index,
                 json_string_value(json_object_get(d, "name")),
                 json_string_value(json_object_get(d, "compute_capability")),
                 (int)json_integer_value(json_object_get(d, "multiprocessors")),
                 (double)json_integer_value(json_object_get(d, "memory_bytes")) / 0x1p30);
}
