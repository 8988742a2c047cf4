#ifndef SPX_BASE_WIRE_H
#define SPX_BASE_WIRE_H
/*
 * Messages and records as bytes: fields one after another, little-endian, without padding. One
 * function names the fields in their order and serves both directions, so that what is written and
 * what is read cannot differ. Nothing passes the end of the bytes given: a field that would is
 * zero where it is read, and the whole counts as failed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the fields come from or go to; both NULL: they are only counted. */
typedef struct spx_wire {
    unsigned char *out;
    const unsigned char *in;
    size_t at, size; /* bytes done, and how many there are */
    bool failed;
} spx_wire;

static inline spx_wire spx_wire_to(void *data, size_t size)
{
    return (spx_wire){.out = data, .size = size};
}

static inline spx_wire spx_wire_from(const void *data, size_t size)
{
    return (spx_wire){.in = data, .size = size};
}

/** Each writes *v, or fills it. */
void spx_wire_u32(spx_wire *w, uint32_t *v);
void spx_wire_u64(spx_wire *w, uint64_t *v);
void spx_wire_bytes(spx_wire *w, void *p, size_t n);

/** Whether every field found room and no byte is left over. */
bool spx_wire_done(const spx_wire *w);

/** The fields of *message, a struct of the caller's. */
typedef void spx_wire_fields(spx_wire *w, void *message);

/** Bytes that they take. */
size_t spx_wire_size(spx_wire_fields *fields, void *message);
/** All of them, in exactly size bytes; false where they take another number. */
bool spx_wire_put(spx_wire_fields *fields, void *message, void *data, size_t size);
bool spx_wire_get(spx_wire_fields *fields, void *message, const void *data, size_t size);

#endif
