#include "kernels/device/launch_cuda.h"

#include <dlfcn.h>

extern "C" {
#include "data/loader/nvjpeg_cuda_private.h"
#include "kernels/base/alloc.h"
}

#include "data/loader/nvjpeg_library_private.cuh"

namespace {

/* The first that can interpolate chroma. */
constexpr int LEAST_MAJOR = 12, LEAST_MINOR = 1;

struct library {
#define X(name) decltype(&nvjpeg##name) name;
    SPX_NVJPEG_FUNCTIONS(X)
#undef X
};

} // namespace

struct spx_nvjpeg {
    library call;
    spx_stream *stream;
    int threads;
    nvjpegOutputFormat_t format;
    nvjpegHandle_t handle;
    nvjpegJpegState_t batched[SPX_NVJPEG_SLOTS], single;
    /* [most] each */
    const unsigned char **data;
    size_t *lengths;
    nvjpegImage_t *to;
};

namespace {

spx_status find(library *l)
{
    const char *const named = getenv("SPHYNX_NVJPEG");
    char name[256];
    int major = 0, minor = 0;
#if defined(CUDART_VERSION)
    (void)snprintf(name, sizeof name, "libnvjpeg.so.%d", CUDART_VERSION / 1000);
#else
    (void)snprintf(name, sizeof name, "libnvjpeg.so");
#endif
    if (named != NULL && named[0] != '\0') {
        (void)snprintf(name, sizeof name, "%s", named);
    }
    if (strcmp(name, "none") == 0) {
        return SPX_FAIL(SPX_EUNSUPPORTED,
                        "nvJPEG: SPHYNX_NVJPEG=none switches it off; use --decoder cpu");
    }
    void *const file = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (file == NULL) { /* it stays loaded: unloading frees nothing that matters */
        return SPX_FAIL(SPX_EUNSUPPORTED,
                        "nvJPEG: there is no %s; install it with the CUDA toolkit, name the "
                        "library in SPHYNX_NVJPEG, or use --decoder cpu",
                        name);
    }
#define X(function)                                                                                \
    l->function = reinterpret_cast<decltype(l->function)>(dlsym(file, "nvjpeg" #function));        \
    if (l->function == NULL) {                                                                     \
        return SPX_FAIL(SPX_EUNSUPPORTED, "nvJPEG: %s has no nvjpeg%s; use --decoder cpu", name,   \
                        #function);                                                                \
    }
    SPX_NVJPEG_FUNCTIONS(X)
#undef X
    if (l->GetProperty(MAJOR_VERSION, &major) != NVJPEG_STATUS_SUCCESS ||
        l->GetProperty(MINOR_VERSION, &minor) != NVJPEG_STATUS_SUCCESS || major < LEAST_MAJOR ||
        (major == LEAST_MAJOR && minor < LEAST_MINOR)) {
        return SPX_FAIL(SPX_EUNSUPPORTED,
                        "nvJPEG: %s is version %d.%d, expected %d.%d or later; use --decoder cpu",
                        name, major, minor, LEAST_MAJOR, LEAST_MINOR);
    }
    return SPX_OK;
}

spx_status checked(const char *what, nvjpegStatus_t st)
{
    return st == NVJPEG_STATUS_SUCCESS ? SPX_OK
                                       : SPX_FAIL(SPX_EDEVICE, "nvJPEG: %s failed with status %d",
                                                  what, static_cast<int>(st));
}

template <class T> spx_status zeroed(T **out, size_t n)
{
    void *p;
    SPX_RETURN_IF(spx_calloc(&p, n, sizeof(T)));
    *out = static_cast<T *>(p);
    return SPX_OK;
}

spx_status open_all(spx_nvjpeg *v, size_t most)
{
    SPX_RETURN_IF(zeroed(&v->data, most));
    SPX_RETURN_IF(zeroed(&v->lengths, most));
    SPX_RETURN_IF(zeroed(&v->to, most));
    SPX_RETURN_IF(find(&v->call));
    (void)spx_cuda_stream(v->stream); /* its device becomes the thread's */
    SPX_RETURN_IF(
        checked("nvjpegCreateEx",
                v->call.CreateEx(NVJPEG_BACKEND_DEFAULT, NULL, NULL,
                                 NVJPEG_FLAGS_UPSAMPLING_WITH_INTERPOLATION, &v->handle)));
    for (int i = 0; i < SPX_NVJPEG_SLOTS; i++) {
        SPX_RETURN_IF(
            checked("nvjpegJpegStateCreate", v->call.JpegStateCreate(v->handle, &v->batched[i])));
    }
    return checked("nvjpegJpegStateCreate", v->call.JpegStateCreate(v->handle, &v->single));
}

/* Whether a status says something of the picture rather than of the device. */
bool is_of_picture(nvjpegStatus_t st)
{
    return st == NVJPEG_STATUS_BAD_JPEG || st == NVJPEG_STATUS_JPEG_NOT_SUPPORTED ||
           st == NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED ||
           st == NVJPEG_STATUS_INCOMPLETE_BITSTREAM || st == NVJPEG_STATUS_INVALID_PARAMETER;
}

/* After a batch that failed: which of them did. */
spx_status decode_each(spx_nvjpeg *v, spx_nvjpeg_picture *pictures, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        SPX_RETURN_IF(spx_stream_sync(v->stream)); /* the state is in use until then */
        const nvjpegStatus_t st = v->call.Decode(v->handle, v->single, v->data[i], v->lengths[i],
                                                 v->format, &v->to[i], spx_cuda_stream(v->stream));
        pictures[i].left = is_of_picture(st);
        if (!pictures[i].left) {
            SPX_RETURN_IF(checked("nvjpegDecode", st));
        }
    }
    return SPX_OK;
}

} // namespace

extern "C" spx_status spx_nvjpeg_create(spx_nvjpeg **out, spx_stream *s, int channels, size_t most,
                                        int threads)
{
    spx_nvjpeg *v;
    *out = NULL;
    SPX_RETURN_IF(zeroed(&v, 1));
    v->stream = s;
    v->threads = threads;
    v->format = channels == 1 ? NVJPEG_OUTPUT_Y : NVJPEG_OUTPUT_RGBI;
    const spx_status st = open_all(v, most);
    if (st != SPX_OK) {
        spx_nvjpeg_destroy(v);
        return st;
    }
    *out = v;
    return SPX_OK;
}

extern "C" void spx_nvjpeg_destroy(spx_nvjpeg *v)
{
    if (v == NULL) {
        return;
    }
    if (v->handle != NULL) {
        const spx_status done = spx_stream_sync(v->stream);
        (void)done; /* a stream that failed is not working any more */
        nvjpegJpegState_t states[] = {v->batched[0], v->batched[1], v->single};
        for (nvjpegJpegState_t state : states) {
            if (state != NULL) {
                (void)v->call.JpegStateDestroy(state);
            }
        }
        (void)v->call.Destroy(v->handle);
    }
    spx_free(v->data);
    spx_free(v->lengths);
    spx_free(v->to);
    spx_free(v);
}

extern "C" bool spx_nvjpeg_takes(const spx_nvjpeg *v, const uint8_t *bytes, size_t size, int height,
                                 int width)
{
    nvjpegChromaSubsampling_t chroma = NVJPEG_CSS_UNKNOWN;
    int components = 0, widths[NVJPEG_MAX_COMPONENT], heights[NVJPEG_MAX_COMPONENT];
    return v->call.GetImageInfo(v->handle, bytes, size, &components, &chroma, widths, heights) ==
               NVJPEG_STATUS_SUCCESS &&
           (components == 1 || components == 3) && chroma != NVJPEG_CSS_UNKNOWN &&
           heights[0] == height && widths[0] == width;
}

extern "C" spx_status spx_nvjpeg_decode(spx_nvjpeg *v, int slot, spx_nvjpeg_picture *pictures,
                                        size_t n)
{
    nvjpegJpegState_t state = v->batched[slot];
    if (n == 0) {
        return SPX_OK;
    }
    for (size_t i = 0; i < n; i++) {
        pictures[i].left = false;
        v->data[i] = pictures[i].bytes;
        v->lengths[i] = pictures[i].size;
        memset(&v->to[i], 0, sizeof v->to[i]);
        v->to[i].channel[0] = pictures[i].to;
        v->to[i].pitch[0] = pictures[i].row;
    }
    /* Called for each batch: sizes differ, and a batch that failed is to be begun anew. */
    SPX_RETURN_IF(checked("nvjpegDecodeBatchedInitialize",
                          v->call.DecodeBatchedInitialize(v->handle, state, static_cast<int>(n),
                                                          v->threads, v->format)));
    const nvjpegStatus_t st = v->call.DecodeBatched(v->handle, state, v->data, v->lengths, v->to,
                                                    spx_cuda_stream(v->stream));
    return is_of_picture(st) ? decode_each(v, pictures, n) : checked("nvjpegDecodeBatched", st);
}
