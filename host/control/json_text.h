#ifndef SPX_CONTROL_JSON_TEXT_H
#define SPX_CONTROL_JSON_TEXT_H
/* JSON as people read it. */
#include "kernels/base/status.h"

#include <jansson.h>
#include <stddef.h>

/**
 * json_dumps with each real in the shortest form that reads back the same: jansson alone writes 17
 * digits, 0.10000000000000001 for 0.1.
 * @return freed by the caller with free; NULL: no memory, or j is NULL
 */
char *spx_json_text(const json_t *j, size_t flags);

/**
 * Reads a file of JSON, an object or a list.
 * @param out   the caller's; NULL on failure
 * @param most  bytes it may have
 * @return SPX_OK; SPX_EFORMAT naming the line; what spx_text_read returns
 */
SPX_MUST_CHECK spx_status spx_json_read(json_t **out, const char *path, size_t most);

#endif
