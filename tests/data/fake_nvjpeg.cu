/*
 * What the engine uses of nvJPEG, by libjpeg, with pixels on the emulated device; a library that is
 * loaded at run time. It copies from memory that the next call on a state overwrites, so that who
 * does not wait gets other pixels. SPX_FAKE_NVJPEG is what it does not do: "old" (its version),
 * "device" (decode at all), or a width, of pictures that it takes and then fails on.
 */
#include <cuda_runtime.h>

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "data/loader/nvjpeg_library_private.cuh"

struct nvjpegHandle {
    int states;
};

struct nvjpegJpegState {
    nvjpegHandle *owner;
    int batch;
    nvjpegOutputFormat_t format;
    unsigned char *staged; /* pinned */
    size_t room;
};

extern "C" int spx_fake_nvjpeg_decoded; /* pictures so far */
int spx_fake_nvjpeg_decoded;

namespace {

struct trap {
    jpeg_error_mgr errors;
    jmp_buf back;
};

void on_error(j_common_ptr c)
{
    longjmp(reinterpret_cast<trap *>(c->err)->back, 1);
}

const char *cannot()
{
    const char *what = getenv("SPX_FAKE_NVJPEG");
    return what == NULL ? "" : what;
}

/* Reads the header; with `to` also the pixels. */
nvjpegStatus_t read(const unsigned char *data, size_t length, jpeg_decompress_struct *d,
                    nvjpegOutputFormat_t format, unsigned char *to)
{
    static trap t;
    d->err = jpeg_std_error(&t.errors);
    t.errors.error_exit = on_error;
    if (setjmp(t.back) != 0) {
        jpeg_destroy_decompress(d);
        return NVJPEG_STATUS_BAD_JPEG;
    }
    jpeg_create_decompress(d);
    jpeg_mem_src(d, data, static_cast<unsigned long>(length));
    (void)jpeg_read_header(d, TRUE);
    if (to != NULL) {
        d->out_color_space = format == NVJPEG_OUTPUT_Y ? JCS_GRAYSCALE : JCS_RGB;
        (void)jpeg_start_decompress(d);
        while (d->output_scanline < d->output_height) {
            JSAMPROW row = to + d->output_scanline * static_cast<size_t>(d->output_width) *
                                    static_cast<size_t>(d->output_components);
            (void)jpeg_read_scanlines(d, &row, 1);
        }
        (void)jpeg_finish_decompress(d);
    }
    jpeg_destroy_decompress(d);
    return NVJPEG_STATUS_SUCCESS;
}

/* Queues one picture, staged `at` bytes into the state's memory. */
nvjpegStatus_t decode(nvjpegJpegState *s, const unsigned char *data, size_t length, size_t *at,
                      const nvjpegImage_t *to, cudaStream_t stream)
{
    jpeg_decompress_struct d;
    const size_t depth = s->format == NVJPEG_OUTPUT_Y ? 1 : 3;
    const nvjpegStatus_t header = read(data, length, &d, s->format, NULL);
    const size_t row = d.image_width * depth;
    if (strcmp(cannot(), "device") == 0) {
        return static_cast<nvjpegStatus_t>(6); /* NVJPEG_STATUS_EXECUTION_FAILED */
    }
    if (header != NVJPEG_STATUS_SUCCESS || atoi(cannot()) == static_cast<int>(d.image_width)) {
        return NVJPEG_STATUS_BAD_JPEG;
    }
    if (to->pitch[0] < row || *at + row * d.image_height > s->room ||
        read(data, length, &d, s->format, s->staged + *at) != NVJPEG_STATUS_SUCCESS) {
        return NVJPEG_STATUS_INVALID_PARAMETER;
    }
    for (size_t y = 0; y < d.image_height; y++) {
        (void)cudaMemcpyAsync(to->channel[0] + y * to->pitch[0], s->staged + *at + y * row, row,
                              cudaMemcpyHostToDevice, stream);
    }
    *at += row * d.image_height;
    spx_fake_nvjpeg_decoded++;
    return NVJPEG_STATUS_SUCCESS;
}

} // namespace

extern "C" {
nvjpegStatus_t nvjpegGetProperty(libraryPropertyType type, int *value)
{
    *value = type != MAJOR_VERSION ? 1 : strcmp(cannot(), "old") == 0 ? 11 : 12;
    return NVJPEG_STATUS_SUCCESS;
}

nvjpegStatus_t nvjpegCreateEx(nvjpegBackend_t, nvjpegDevAllocator_t *, nvjpegPinnedAllocator_t *,
                              unsigned flags, nvjpegHandle_t *handle)
{
    if (flags != NVJPEG_FLAGS_UPSAMPLING_WITH_INTERPOLATION) {
        return NVJPEG_STATUS_INVALID_PARAMETER;
    }
    *handle = static_cast<nvjpegHandle_t>(calloc(1, sizeof(nvjpegHandle)));
    return NVJPEG_STATUS_SUCCESS;
}

nvjpegStatus_t nvjpegDestroy(nvjpegHandle_t handle)
{
    if (handle->states != 0) {
        abort(); /* a state outlives it */
    }
    free(handle);
    return NVJPEG_STATUS_SUCCESS;
}

nvjpegStatus_t nvjpegJpegStateCreate(nvjpegHandle_t handle, nvjpegJpegState_t *state)
{
    void *p;
    *state = static_cast<nvjpegJpegState_t>(calloc(1, sizeof(nvjpegJpegState)));
    (*state)->owner = handle;
    (*state)->room = static_cast<size_t>(4) << 20;
    if (cudaMallocHost(&p, (*state)->room) != cudaSuccess) {
        abort();
    }
    (*state)->staged = static_cast<unsigned char *>(p);
    handle->states++;
    return NVJPEG_STATUS_SUCCESS;
}

nvjpegStatus_t nvjpegJpegStateDestroy(nvjpegJpegState_t state)
{
    (void)cudaFreeHost(state->staged);
    state->owner->states--;
    free(state);
    return NVJPEG_STATUS_SUCCESS;
}

nvjpegStatus_t nvjpegGetImageInfo(nvjpegHandle_t, const unsigned char *data, size_t length,
                                  int *components, nvjpegChromaSubsampling_t *subsampling,
                                  int *widths, int *heights)
{
    trap t;
    jpeg_decompress_struct d;
    d.err = jpeg_std_error(&t.errors);
    t.errors.error_exit = on_error;
    if (setjmp(t.back) != 0) {
        jpeg_destroy_decompress(&d);
        return NVJPEG_STATUS_BAD_JPEG;
    }
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, data, static_cast<unsigned long>(length));
    (void)jpeg_read_header(&d, TRUE);
    *components = d.num_components;
    *subsampling =
        d.num_components == 1 ? NVJPEG_CSS_GRAY : static_cast<nvjpegChromaSubsampling_t>(2);
    widths[0] = static_cast<int>(d.image_width);
    heights[0] = static_cast<int>(d.image_height);
    jpeg_destroy_decompress(&d);
    return NVJPEG_STATUS_SUCCESS;
}

nvjpegStatus_t nvjpegDecode(nvjpegHandle_t, nvjpegJpegState_t state, const unsigned char *data,
                            size_t length, nvjpegOutputFormat_t format, nvjpegImage_t *to,
                            cudaStream_t stream)
{
    size_t at = 0;
    state->format = format;
    return decode(state, data, length, &at, to, stream);
}

nvjpegStatus_t nvjpegDecodeBatchedInitialize(nvjpegHandle_t, nvjpegJpegState_t state, int batch,
                                             int threads, nvjpegOutputFormat_t format)
{
    state->batch = batch;
    state->format = format;
    return batch < 1 || threads < 1 ? NVJPEG_STATUS_INVALID_PARAMETER : NVJPEG_STATUS_SUCCESS;
}

nvjpegStatus_t nvjpegDecodeBatched(nvjpegHandle_t, nvjpegJpegState_t state,
                                   const unsigned char *const *data, const size_t *lengths,
                                   nvjpegImage_t *to, cudaStream_t stream)
{
    size_t at = 0;
    memset(state->staged, 0xee, state->room);
    for (int i = 0; i < state->batch; i++) {
        const nvjpegStatus_t st = decode(state, data[i], lengths[i], &at, &to[i], stream);
        if (st != NVJPEG_STATUS_SUCCESS) {
            return st;
        }
    }
    return NVJPEG_STATUS_SUCCESS;
}
}
