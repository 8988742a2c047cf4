#include "host/cli/picture_talk.h"

spx_status spx_picture_read(const spx_cli *cli, spx_image *image, const char *path, int channels)
{
    SPX_RETURN_IF(spx_image_read(image, path, channels));
    if (image->transparent) {
        spx_cli_talk(cli, "%s: transparent pixels, laid over black", path);
    }
    return SPX_OK;
}
