#ifndef SPX_TUNING_TABLE_PRIVATE_H
#define SPX_TUNING_TABLE_PRIVATE_H
/* Private to host/graph: kept choices of convolutions as lines of text (tuning.h). */
#include "kernels/base/status.h"

#include <stddef.h>

#define SPX_TUNING_KEY_BYTES 464    /* with its zero */
#define SPX_TUNING_GROUPS "groups=" /* begins the last word of a grouped convolution's key */

typedef struct spx_tuning_row {
    char *key, *choice; /* a line before its last word, and that word */
} spx_tuning_row;

typedef struct spx_tuning_table {
    spx_tuning_row *row;
    int rows;
    size_t room;
} spx_tuning_table;

void spx_tuning_table_clear(spx_tuning_table *t);
/** The choice kept for a key, or NULL. */
const char *spx_tuning_table_find(const spx_tuning_table *t, const char *key);
/** Keeps a choice, in place of an older one of the same key. @return SPX_OK, SPX_ENOMEM */
SPX_MUST_CHECK spx_status spx_tuning_table_put(spx_tuning_table *t, const char *key,
                                               const char *choice);
/** As spx_tuning_parse and spx_tuning_text. */
SPX_MUST_CHECK spx_status spx_tuning_table_parse(spx_tuning_table *t, const char *text, size_t len);
char *spx_tuning_table_text(const spx_tuning_table *t);

#endif
