#ifndef SPX_BASE_TEXT_H
#define SPX_BASE_TEXT_H
/* Text from outside: the one place that knows how editors and other systems save it. And numbers as
 * text. */
#include "kernels/base/status.h"

#include <stddef.h>

/**
 * Reads path (a file or stream, see spx_file_read) as text: a UTF-8 byte-order mark is dropped,
 * line ends of CR LF become LF.
 * @param text  receives a string of *size bytes without a zero inside; free with spx_free. NULL on
 * failure
 * @return statuses of spx_file_read; SPX_EFORMAT also for UTF-16 and for bytes that are no text
 */
SPX_MUST_CHECK spx_status spx_text_read(const char *path, size_t max_bytes, char **text,
                                        size_t *size);

/**
 * The same of text already read: size bytes and a 0, changed in place; what is left over is
 * cleared.
 * @param name  for messages
 * @return SPX_OK, SPX_EFORMAT
 */
SPX_MUST_CHECK spx_status spx_text_tidy(const char *name, char *text, size_t *size);

#define SPX_REAL_CHARS 32

/** What n things are called: SPX_PLURAL(n, "query", "queries"). */
#define SPX_PLURAL(n, one, many) ((n) == 1 ? (one) : (many))

/** The shortest decimal of 15 to 17 digits that strtod reads back as v, so that what a user gave is
 * printed as it was given. @return out */
const char *spx_real_text(double v, char out[SPX_REAL_CHARS]);

#endif
