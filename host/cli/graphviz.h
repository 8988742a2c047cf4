#ifndef SPX_GRAPHVIZ_H
#define SPX_GRAPHVIZ_H
#include "kernels/base/status.h"

/**
 * Lays out a picture with Graphviz' program `dot`.
 * @param text  in the dot language
 * @param path  receives SVG, as a whole or not at all
 * @return SPX_OK; SPX_EUNSUPPORTED where dot is not installed; SPX_EDEVICE where it failed;
 * SPX_EIO, SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_graphviz_svg(const char *text, const char *path);

#endif
