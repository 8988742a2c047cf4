#ifndef SPX_CLI_PICTURE_TALK_H
#define SPX_CLI_PICTURE_TALK_H
/* What commands that take pictures share. */
#include "data/image/image.h"
#include "host/cli/cli.h"

/** spx_image_read, telling on stderr where transparency was laid over black. Same statuses. */
SPX_MUST_CHECK spx_status spx_picture_read(const spx_cli *cli, spx_image *image, const char *path,
                                           int channels);

#endif
