#ifndef SPX_TUNING_H
#define SPX_TUNING_H
/*
 * Which way of doing a convolution to take for which shape, pass, device and thread count, by
 * measurement. Different ways add in different orders, so a run is bit-exact only with the same
 * choices: they are saved with checkpoints as text, one line a choice:
 *
 *   pass threads n c h w k r s stride dilation pad_begin pad_end algorithm
 *   cuda device driver runtime precision deterministic pass accumulate bias n c h w k r s stride
 *        dilation pad_begin pad_end x_pixel y_pixel x_first y_first choice
 *
 * The device's name has no spaces ('_'); algorithm and choice are spx_conv2d_plan_choice's word. A
 * word that does not fit this machine or build is measured anew when it is asked for. Every build
 * keeps the lines of every device.
 */
#include "kernels/base/status.h"

#include <stddef.h>

typedef struct spx_tuning spx_tuning;

SPX_MUST_CHECK spx_status spx_tuning_create(spx_tuning **out);
void spx_tuning_destroy(spx_tuning *t); /* NULL is a no-op */

/**
 * Adds the choices of a text (later lines win).
 * @return SPX_OK; SPX_EFORMAT naming the line; SPX_ENOMEM
 */
SPX_MUST_CHECK spx_status spx_tuning_parse(spx_tuning *t, const char *text, size_t len);

/** All choices as text, malloc'd, the caller frees; NULL when out of memory. */
char *spx_tuning_text(const spx_tuning *t);

/** Choices measured (not parsed) so far. */
int spx_tuning_measured(const spx_tuning *t);

#endif
