#include "host/train/device_text.h"

#include <stdio.h>
#include <string.h>

void spx_device_text(const spx_stream *s, char *out, size_t room)
{
    const spx_device kind = spx_stream_device(s);
    spx_device_info info;
    if (kind == SPX_DEVICE_CPU) {
        (void)snprintf(out, room, "%s", spx_device_name(kind));
    } else if (spx_device_describe(kind, spx_stream_index(s), &info) == SPX_OK) {
        (void)snprintf(out, room, "%s:%d %s", spx_device_name(kind), spx_stream_index(s),
                       info.name);
    } else {
        (void)snprintf(out, room, "%s:%d", spx_device_name(kind), spx_stream_index(s));
    }
}

bool spx_device_text_agrees(const char *a, const char *b)
{
    const size_t kind = strcspn(a, ": ");
    const char *model = strchr(a, ' '), *other = strchr(b, ' ');
    return kind == strcspn(b, ": ") && memcmp(a, b, kind) == 0 &&
           (model == NULL || other == NULL || strcmp(model, other) == 0);
}
