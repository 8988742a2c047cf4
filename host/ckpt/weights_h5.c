/* Weights in HDF5. */
#include "host/ckpt/weights_private.h"

#include "kernels/base/alloc.h"

#include <stdio.h>
#include <string.h>

static spx_status read_array(const spx_weights *w, const spx_weights_array *a, float *dst)
{
    return spx_h5_read(w->h5, a->name, SPX_H5_F32, dst, a->count);
}

static spx_status about(const spx_weights *w, const char *key, char **out)
{
    enum { DIGITS = 24 };
    int64_t number;
    void *text = NULL;
    if (!spx_h5_has_attr(w->h5, "", key)) {
        return SPX_OK;
    }
    if (spx_h5_read_attr(w->h5, "", key, SPX_H5_I64, &number, 1, NULL) != SPX_OK) {
        return spx_h5_read_text(w->h5, "", key, out);
    }
    SPX_RETURN_IF(spx_alloc(&text, DIGITS));
    *out = text;
    (void)snprintf(*out, DIGITS, "%lld", (long long)number);
    return SPX_OK;
}

spx_status spx_weights_open_h5(spx_weights *w)
{
    static const spx_weights_form form = {"HDF5", read_array, about};
    spx_h5_names names;
    spx_status st = SPX_OK;
    w->form = &form;
    SPX_RETURN_IF(spx_h5_open_image(&w->h5, w->path, w->bytes, w->size, SPX_H5_FOREIGN));
    spx_free(w->bytes);
    w->bytes = NULL;
    SPX_RETURN_IF(spx_h5_list(w->h5, "", &names));
    for (size_t i = 0; i < names.count && st == SPX_OK; i++) {
        spx_weights_array *a = spx_weights_add(w, names.name[i]);
        spx_h5_info info;
        st = a != NULL ? spx_h5_stat(w->h5, names.name[i], &info)
                       : SPX_FAIL(SPX_ENOMEM, "%s: names", w->path);
        if (st == SPX_OK) {
            a->rank = info.rank;
            a->count = info.count;
            memcpy(a->dims, info.dims, sizeof a->dims);
        }
    }
    spx_h5_names_clear(&names);
    return st;
}
