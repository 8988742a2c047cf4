#include "kernels/base/wire.h"

#include <string.h>

/* Room for n bytes, at *at; false where there are not so many, or none. */
static bool take(spx_wire *w, size_t n, size_t *at)
{
    *at = w->at;
    if (w->out == NULL && w->in == NULL) {
        w->at += n;
        return false;
    }
    if (w->failed || n > w->size - w->at) {
        w->failed = true;
        return false;
    }
    w->at += n;
    return true;
}

void spx_wire_bytes(spx_wire *w, void *p, size_t n)
{
    size_t at;
    const bool room = take(w, n, &at);
    if (n == 0) {
        return;
    }
    if (room && w->out != NULL) {
        memcpy(w->out + at, p, n);
    } else if (room) {
        memcpy(p, w->in + at, n);
    } else if (w->in != NULL) {
        memset(p, 0, n);
    }
}

static void integer(spx_wire *w, uint64_t *v, size_t n)
{
    unsigned char byte[8] = {0};
    for (size_t i = 0; i < n && w->in == NULL; i++) {
        byte[i] = (unsigned char)(*v >> (8 * i));
    }
    spx_wire_bytes(w, byte, n);
    if (w->in != NULL) {
        *v = 0;
    }
    for (size_t i = 0; i < n && w->in != NULL; i++) {
        *v |= (uint64_t)byte[i] << (8 * i);
    }
}

void spx_wire_u32(spx_wire *w, uint32_t *v)
{
    uint64_t wide = w->in == NULL ? *v : 0;
    integer(w, &wide, sizeof *v);
    if (w->in != NULL) {
        *v = (uint32_t)wide;
    }
}

void spx_wire_u64(spx_wire *w, uint64_t *v)
{
    integer(w, v, sizeof *v);
}

bool spx_wire_done(const spx_wire *w)
{
    return !w->failed && w->at == w->size;
}

size_t spx_wire_size(spx_wire_fields *fields, void *message)
{
    spx_wire w = {0};
    fields(&w, message);
    return w.at;
}

bool spx_wire_put(spx_wire_fields *fields, void *message, void *data, size_t size)
{
    spx_wire w = spx_wire_to(data, size);
    fields(&w, message);
    return spx_wire_done(&w);
}

bool spx_wire_get(spx_wire_fields *fields, void *message, const void *data, size_t size)
{
    spx_wire w = spx_wire_from(data, size);
    fields(&w, message);
    return spx_wire_done(&w);
}
