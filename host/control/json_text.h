#ifndef SPX_CONTROL_JSON_TEXT_H
#define SPX_CONTROL_JSON_TEXT_H
/* JSON as people read it. */
#include <jansson.h>

/**
 * json_dumps with each real in the shortest form that reads back the same: jansson alone writes 17
 * digits, 0.10000000000000001 for 0.1.
 * @return freed by the caller with free; NULL: no memory, or j is NULL
 */
char *spx_json_text(const json_t *j, size_t flags);

#endif
