#ifndef SPX_NVJPEG_LIBRARY_PRIVATE_CUH
#define SPX_NVJPEG_LIBRARY_PRIVATE_CUH
/*
 * What is used of nvJPEG, by the names and numbers of its interface. The library's own header is
 * not needed to build; where the toolkit has it, it stands in for these lines.
 */
#if defined(__has_include) && !defined(SPX_CUDA_EMULATED)
#if __has_include(<nvjpeg.h>)
#include <nvjpeg.h>
#define SPX_HAVE_NVJPEG_HEADER
#endif
#endif

#if !defined(SPX_HAVE_NVJPEG_HEADER)
extern "C" {
enum nvjpegStatus_t {
    NVJPEG_STATUS_SUCCESS = 0,
    NVJPEG_STATUS_INVALID_PARAMETER = 2,
    NVJPEG_STATUS_BAD_JPEG = 3,
    NVJPEG_STATUS_JPEG_NOT_SUPPORTED = 4,
    NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED = 9,
    NVJPEG_STATUS_INCOMPLETE_BITSTREAM = 10
};
enum nvjpegChromaSubsampling_t { NVJPEG_CSS_GRAY = 6, NVJPEG_CSS_UNKNOWN = -1 };
enum nvjpegOutputFormat_t { NVJPEG_OUTPUT_Y = 2, NVJPEG_OUTPUT_RGBI = 5 };
enum nvjpegBackend_t { NVJPEG_BACKEND_DEFAULT = 0 };
#if defined(SPX_CUDA_EMULATED) /* else of the CUDA toolkit */
enum libraryPropertyType { MAJOR_VERSION = 0, MINOR_VERSION = 1 };
#endif

#define NVJPEG_MAX_COMPONENT 4
#define NVJPEG_FLAGS_UPSAMPLING_WITH_INTERPOLATION (1 << 5)

struct nvjpegImage_t {
    unsigned char *channel[NVJPEG_MAX_COMPONENT];
    size_t pitch[NVJPEG_MAX_COMPONENT];
};
struct nvjpegDevAllocator_t;
struct nvjpegPinnedAllocator_t;
typedef struct nvjpegHandle *nvjpegHandle_t;
typedef struct nvjpegJpegState *nvjpegJpegState_t;

nvjpegStatus_t nvjpegGetProperty(libraryPropertyType type, int *value);
nvjpegStatus_t nvjpegCreateEx(nvjpegBackend_t backend, nvjpegDevAllocator_t *device,
                              nvjpegPinnedAllocator_t *pinned, unsigned flags,
                              nvjpegHandle_t *handle);
nvjpegStatus_t nvjpegDestroy(nvjpegHandle_t handle);
nvjpegStatus_t nvjpegJpegStateCreate(nvjpegHandle_t handle, nvjpegJpegState_t *state);
nvjpegStatus_t nvjpegJpegStateDestroy(nvjpegJpegState_t state);
nvjpegStatus_t nvjpegGetImageInfo(nvjpegHandle_t handle, const unsigned char *data, size_t length,
                                  int *components, nvjpegChromaSubsampling_t *subsampling,
                                  int *widths, int *heights);
nvjpegStatus_t nvjpegDecode(nvjpegHandle_t handle, nvjpegJpegState_t state,
                            const unsigned char *data, size_t length, nvjpegOutputFormat_t format,
                            nvjpegImage_t *to, cudaStream_t stream);
nvjpegStatus_t nvjpegDecodeBatchedInitialize(nvjpegHandle_t handle, nvjpegJpegState_t state,
                                             int batch, int threads, nvjpegOutputFormat_t format);
nvjpegStatus_t nvjpegDecodeBatched(nvjpegHandle_t handle, nvjpegJpegState_t state,
                                   const unsigned char *const *data, const size_t *lengths,
                                   nvjpegImage_t *to, cudaStream_t stream);
}
#endif

#define SPX_NVJPEG_FUNCTIONS(X)                                                                    \
    X(GetProperty)                                                                                 \
    X(CreateEx)                                                                                    \
    X(Destroy)                                                                                     \
    X(JpegStateCreate)                                                                             \
    X(JpegStateDestroy)                                                                            \
    X(GetImageInfo)                                                                                \
    X(Decode)                                                                                      \
    X(DecodeBatchedInitialize)                                                                     \
    X(DecodeBatched)

#endif
