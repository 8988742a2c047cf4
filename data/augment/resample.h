#ifndef SPX_RESAMPLE_H
#define SPX_RESAMPLE_H
/*
 * A box of an image at another size: the bytes of spx_resize_pixel (resize.h), computed along one
 * axis and then along the other. Sums are exact: integers below 2^53 in double.
 *
 * What is given may be the picture at 1/2, 1/4 or 1/8 of its size, as a JPEG is decoded. The box is
 * said at full size all the same; it need not begin or end where a given pixel does.
 */
#include "data/augment/resize.h"
#include "kernels/base/status.h"

#include <stdbool.h>

/** One axis. */
typedef struct spx_resample_axis {
    int from;   /* where the box begins: picture's pixels behind the edge of given pixel 0. At least
                   0, less than shrink beyond what a given pixel spans */
    int box;    /* picture's pixels of the box, 1..SPX_RESIZE_MAX */
    int given;  /* pixels there are; they span the box, but for the last one's missing part */
    int shrink; /* picture's pixels that a given one spans: 1, 2, 4 or 8 */
    int wanted; /* pixels, 1..SPX_RESIZE_MAX */
} spx_resample_axis;

/** What to compute. */
typedef struct spx_resample {
    spx_resample_axis y, x;
    int channels;       /* 1..4; given interleaved: 1 or 3 */
    const uint8_t *src; /* given pixel (0, 0) */
    ptrdiff_t row;      /* bytes between given rows */
    ptrdiff_t plane;    /* bytes between given planes; 0: the channels are interleaved */
    bool flip;          /* mirrored left-right */
    bool planes;  /* out is (channels, y.wanted, x.wanted), else (y.wanted, x.wanted, channels) */
    uint8_t *out; /* no overlap with src */
} spx_resample;

/** Bytes of scratch memory that spx_resample_run needs. */
size_t spx_resample_room(const spx_resample *r);

/**
 * Writes all of r->out.
 * @param scratch  spx_resample_room(r) bytes, aligned to 32
 * @return SPX_OK, SPX_EINVAL (a field outside its range)
 */
SPX_MUST_CHECK spx_status spx_resample_run(const spx_resample *r, void *scratch);

/** The taps of wanted pixel o: given pixels and their weights, as spx_resize_at where nothing
 * shrank before. */
static inline spx_resize_taps spx_resample_at(const spx_resample_axis *a, int o)
{
    const int64_t begin = a->from / a->shrink;
    const int64_t end = ((int64_t)a->from + a->box + a->shrink - 1) / a->shrink;
    spx_resize_taps t;
    int64_t low, high;
    t.step = (int64_t)a->shrink * a->wanted;
    t.centre = 2 * (int64_t)a->wanted * a->from + (2 * (int64_t)o + 1) * a->box;
    t.support = 2 * (a->box > t.step ? a->box : t.step);
    low = t.centre - t.support - t.step;
    high = (t.centre + t.support + t.step - 1) / (2 * t.step);
    t.first = low < 0 ? 0 : low / (2 * t.step) + 1;
    t.first = t.first < begin ? begin : t.first;
    t.end = high < end ? high : end;
    t.end = t.end < a->given ? t.end : a->given;
    return t;
}

#endif
