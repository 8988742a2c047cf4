#include "kernels/device/buffer.h"

#include "kernels/base/alloc.h"

spx_status spx_buffer_alloc(spx_buffer *out, spx_stream *s, size_t bytes)
{
    spx_buffer b = {.bytes = bytes, .stream = s};
    *out = (spx_buffer){0};
    if (s != NULL) {
        b.device = spx_stream_device(s);
        SPX_RETURN_IF(spx_device_alloc(s, &b.data, bytes));
    } else {
        SPX_RETURN_IF(spx_calloc(&b.data, bytes, 1));
    }
    if (b.data != NULL) {
        *out = b;
    }
    return SPX_OK;
}

void spx_buffer_free(spx_buffer *b)
{
    if (b->stream != NULL) {
        spx_device_free(b->stream, b->data);
    } else {
        spx_free(b->data);
    }
    *b = (spx_buffer){0};
}

spx_status spx_buffer_check(const spx_buffer *b, spx_device device, size_t bytes, const char *what)
{
    if (bytes > 0 && b->device != device) {
        return SPX_FAIL(SPX_EINVAL, "%s: memory of %s where that of %s is needed", what,
                        spx_device_name(b->device), spx_device_name(device));
    }
    return bytes <= b->bytes
               ? SPX_OK
               : SPX_FAIL(SPX_EINVAL, "%s: %zu bytes of memory, %zu needed", what, b->bytes, bytes);
}
