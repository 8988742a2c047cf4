#define _DEFAULT_SOURCE
#include "kernels/nn/conv2d/cuda/conv2d_library_cuda_private.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADVICE                                                                                     \
    "install cuDNN 9, name its library in SPHYNX_CUDNN, or set SPHYNX_CUDNN=none for the "         \
    "engine's own, slower convolutions"

/* Written once. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static spx_cudnn library;
static char trouble[400]; /* empty: found, or switched off */
static int found;

/* Symbols come as object pointers. */
static int look_up(void *handle, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(handle, name);
    if (symbol == NULL) {
        (void)snprintf(trouble, sizeof trouble, "cuDNN has no %s; " ADVICE, name);
        return 0;
    }
    memcpy(function, &symbol, size);
    return 1;
}

static void find(void)
{
    const char *path = getenv("SPHYNX_CUDNN");
    if (path != NULL && strcmp(path, "none") == 0) {
        return;
    }
    void *handle =
        dlopen(path != NULL && path[0] != '\0' ? path : "libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)snprintf(trouble, sizeof trouble, "cuDNN: %.200s; " ADVICE, dlerror());
        return;
    }
#define X(name, type, parameters)                                                                  \
    if (!look_up(handle, "cudnn" #name, &library.name, sizeof library.name)) {                     \
        return;                                                                                    \
    }
    SPX_CUDNN_FUNCTIONS(X)
#undef X
    library.version = library.GetVersion();
    if (library.version < 90000 || library.version >= 100000) {
        (void)snprintf(trouble, sizeof trouble, "cuDNN's version is %zu, not 9; " ADVICE,
                       library.version);
        return;
    }
    found = 1; /* the library stays loaded: plans of it may outlive any one owner */
}

spx_status spx_cudnn_find(const spx_cudnn **out)
{
    *out = NULL;
    (void)pthread_once(&once, find);
    if (trouble[0] != '\0') {
        return SPX_FAIL(SPX_EDEVICE, "%s", trouble);
    }
    *out = found ? &library : NULL;
    return SPX_OK;
}

spx_status spx_cudnn_status(const spx_cudnn *lib, const char *what, const char *detail,
                            cudnnStatus_t st)
{
    static const struct {
        int first, last;
        spx_status status;
    } kinds[] = {
        {2000, 2999, SPX_EINVAL},
        {3000, 3999, SPX_EUNSUPPORTED},
        {CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED,
         CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, SPX_ENOMEM},
    };
    char words[200] = "";
    spx_status status = SPX_EDEVICE;
    if (st == CUDNN_STATUS_SUCCESS) {
        return SPX_OK;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if ((int)st >= kinds[i].first && (int)st <= kinds[i].last) {
            status = kinds[i].status;
        }
    }
    lib->GetLastErrorString(words, sizeof words);
    words[strcspn(words, "\n")] = '\0';
    return SPX_FAIL(status, "cuDNN %zu: %s%s%s: %s (%s)", lib->version, what,
                    detail[0] != '\0' ? " " : "", detail, lib->GetErrorString(st), words);
}
