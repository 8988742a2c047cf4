#ifndef SPX_DEVICE_TEXT_H
#define SPX_DEVICE_TEXT_H

#include "kernels/device/stream.h"

/** A stream's device for people and records: "cpu", "cuda:0 NVIDIA H100 80GB HBM3". */
void spx_device_text(const spx_stream *s, char *out, size_t room);

/** Whether two such texts are of the same kind of device, and of the same model where both tell it;
 * which one of several it is does not count. */
bool spx_device_text_agrees(const char *a, const char *b);

#endif
