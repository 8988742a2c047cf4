/* Messages, sections of files and small records of fixed form: each by the function that names its
 * fields. */
#include "host/secure/infer/pi_private.h"
#include "kernels/base/log.h"
#include "kernels/crypto/ct.h"

#include <assert.h>
#include <string.h>

#define MOST_BYTES ((size_t)4096)
#define FIRST_VERSION 2 /* whose records did not say: data alone */

void spx_pi_name_messages(spx_channel *c)
{
    static const char *const name[] = {
        [SPX_PI_HELLO] = "HELLO",       [SPX_PI_WELCOME] = "WELCOME",
        [SPX_PI_MODEL] = "MODEL",       [SPX_PI_STATE] = "STATE",
        [SPX_PI_COMMAND] = "COMMAND",   [SPX_PI_ALLOW] = "ALLOW",
        [SPX_PI_OT_HELLO] = "OT_HELLO", [SPX_PI_OT_POINTS] = "OT_POINTS",
        [SPX_PI_OT_TREES] = "OT_TREES", [SPX_PI_START] = "START",
        [SPX_PI_KEYS] = "KEYS",         [SPX_PI_REQUEST] = "REQUEST",
        [SPX_PI_RESPONSE] = "RESPONSE", [SPX_PI_EXTEND] = "EXTEND",
        [SPX_PI_TABLES] = "TABLES",     [SPX_PI_STORED] = "STORED",
        [SPX_PI_READY] = "READY",       [SPX_PI_SHARE] = "SHARE",
        [SPX_PI_CHOICE] = "CHOICE",     [SPX_PI_LABELS] = "LABELS",
        [SPX_PI_LOGITS] = "LOGITS"};
    spx_channel_name_messages(c, name, sizeof name / sizeof name[0]);
}

void spx_pi_trace(const spx_channel *c, uint64_t verb, uint64_t arg)
{
    static const char *const phase[] = {[SPX_PI_PREPARE] = "prepare, so many queries:",
                                        [SPX_PI_INFER] = "infer, by unit",
                                        [SPX_PI_BYE] = "bye"};
    SPX_LOG(PI, INFO, "%s%sphase %s %llu", spx_channel_address(c),
            spx_channel_address(c)[0] != '\0' ? " " : "",
            verb >= SPX_PI_PREPARE && verb <= SPX_PI_BYE ? phase[verb] : "unknown",
            (unsigned long long)arg);
}

void spx_pi_block_fields(spx_wire *w, void *block)
{
    spx_block *b = block;
    spx_wire_u64(w, &b->w[0]);
    spx_wire_u64(w, &b->w[1]);
}

void spx_pi_number_fields(spx_wire *w, void *number)
{
    spx_wire_u64(w, number);
}

/* Into data, of MOST_BYTES; how many they are. */
static size_t put(spx_wire_fields *fields, void *m, uint8_t *data)
{
    const size_t n = spx_wire_size(fields, m);
    assert(n <= MOST_BYTES);
    const bool whole = n <= MOST_BYTES && spx_wire_put(fields, m, data, n);
    return whole ? n : 0;
}

/* From data, of as many bytes as they are. */
static spx_status get(spx_wire_fields *fields, void *m, const uint8_t *data, size_t n)
{
    return spx_wire_get(fields, m, data, n) ? SPX_OK
                                            : SPX_FAIL(SPX_EFORMAT, "%zu bytes of another form", n);
}

spx_status spx_pi_send(spx_channel *c, uint32_t type, spx_wire_fields *fields, void *m)
{
    uint8_t data[MOST_BYTES];
    return spx_channel_send(c, type, data, put(fields, m, data));
}

spx_status spx_pi_recv(spx_channel *c, uint32_t type, spx_wire_fields *fields, void *m)
{
    uint8_t data[MOST_BYTES];
    const size_t n = spx_wire_size(fields, m);
    SPX_RETURN_IF(spx_channel_recv(c, type, data, n));
    return get(fields, m, data, n);
}

spx_status spx_pi_write(spx_vault_writer *w, spx_wire_fields *fields, void *m)
{
    uint8_t data[MOST_BYTES];
    const spx_status st = spx_vault_write(w, data, put(fields, m, data));
    spx_wipe(data, sizeof data);
    return st;
}

spx_status spx_pi_read(spx_vault_reader *r, spx_wire_fields *fields, void *m)
{
    uint8_t data[MOST_BYTES];
    const size_t n = spx_wire_size(fields, m);
    spx_status st = spx_vault_read(r, data, n);
    if (st == SPX_OK) {
        st = get(fields, m, data, n);
    }
    spx_wipe(data, sizeof data);
    return st;
}

/* A record: the version that wrote it, then its fields. */
spx_status spx_pi_record_put(spx_vault *v, const char *name, spx_wire_fields *fields, void *m)
{
    uint8_t data[sizeof(uint64_t) + MOST_BYTES];
    uint64_t version = SPX_PI_VERSION;
    const size_t head = put(spx_pi_number_fields, &version, data);
    return spx_vault_put(v, name, data, head + put(fields, m, data + head));
}

spx_status spx_pi_record_get(spx_vault *v, const char *name, spx_wire_fields *fields, void *m,
                             uint64_t *version)
{
    uint8_t data[sizeof(uint64_t) + MOST_BYTES];
    const size_t n = spx_wire_size(fields, m), head = sizeof *version;
    const spx_status st = spx_vault_get(v, name, data, head + n);
    if (st == SPX_EFORMAT) {
        *version = FIRST_VERSION;
        SPX_RETURN_IF(spx_vault_get(v, name, data, n));
        return get(fields, m, data, n);
    }
    SPX_RETURN_IF(st);
    SPX_RETURN_IF(get(spx_pi_number_fields, version, data, head));
    return get(fields, m, data + head, n);
}

void spx_pi_put_word(uint64_t x, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(x >> (8 * i));
    }
}

uint64_t spx_pi_get_word(const uint8_t *in, size_t n)
{
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++) {
        x |= (uint64_t)in[i] << (8 * i);
    }
    return x;
}
