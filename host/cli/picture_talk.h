#ifndef SPX_CLI_PICTURE_TALK_H
#define SPX_CLI_PICTURE_TALK_H
/* What commands that take pictures share. */
#include "data/preprocess/preprocess.h"
#include "host/cli/cli.h"

/**
 * Reads a JPEG or PNG file, or a stream of one, as the model takes it (spx_preprocess_encoded),
 * telling on stderr where transparency was laid over black.
 * @param out  (channels, rows, columns) of the model
 */
SPX_MUST_CHECK spx_status spx_picture_take(const spx_cli *cli, const spx_preprocess *model,
                                           const char *path, bool resize, uint8_t *out);

#endif
