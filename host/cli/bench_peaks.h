#ifndef SPX_BENCH_PEAKS_H
#define SPX_BENCH_PEAKS_H
/* What a device reaches at its best, to hold the parts of a step against. */
#include "kernels/device/stream.h"

typedef struct spx_peaks {
    double bytes; /* a second: read and written by a copy of more than caches hold */
    double flops; /* a second: of a wide 3x3 convolution at the stream's precision */
} spx_peaks;

/** Measures both, best of a few; some tens of milliseconds. @return
 * SPX_OK, SPX_ENOMEM, SPX_EDEVICE */
SPX_MUST_CHECK spx_status spx_measure_peaks(spx_stream *s, spx_peaks *out);

#endif
