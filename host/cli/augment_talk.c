#include "host/cli/augment_talk.h"

#include <stdlib.h>

static bool is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

/* "0.08,1" as n numbers; none where it is not given, or empty. */
static spx_status fill_numbers(spx_cli *cli, const char *name, const char *text, int n, double *out)
{
    const char *at = text;
    for (int i = 0; is_given(text) && i < n; i++) {
        char *end;
        out[i] = strtod(at, &end);
        if (end == at || *end != (i + 1 < n ? ',' : '\0')) {
            return spx_cli_usage(cli, "--%s '%.100s': expected %d numbers with commas between",
                                 name, text, n);
        }
        at = end + 1;
    }
    return SPX_OK;
}

spx_status spx_augment_of(spx_cli *cli, const spx_augment_values *v, int64_t rows, spx_augment *out)
{
    const bool boxes = is_given(v->resized_crop);
    *out = (spx_augment){.pad_crop = boxes ? 0 : (int)v->pad_crop,
                         .flip = v->flip,
                         .alternate = v->flip && v->alternate_flip,
                         .cutout = (int)v->cutout,
                         .resized_crop = boxes ? SPX_RESIZED_CROP_RANDOM : SPX_RESIZED_CROP_NONE};
    if (v->test_resize > 0) {
        out->centre_crop = (int)rows;
        out->centre_resize = (int)v->test_resize;
    }
    if (boxes) {
        SPX_RETURN_IF(fill_numbers(cli, "resized-crop", v->resized_crop, 2, out->scale));
        SPX_RETURN_IF(fill_numbers(cli, "crop-ratio", v->crop_ratio, 2, out->ratio));
    }
    return fill_numbers(cli, "colour-jitter", v->jitter, 3, out->jitter);
}
