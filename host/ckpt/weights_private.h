#ifndef SPX_WEIGHTS_PRIVATE_H
#define SPX_WEIGHTS_PRIVATE_H
/* Shared by the files that read other programs' weights. */
#include "host/ckpt/weights.h"

typedef struct spx_weights_array {
    char *name; /* owned */
    int rank;
    int64_t dims[SPX_H5_MAX_RANK];
    size_t count;
    size_t begin; /* safetensors: of its bytes in the file */
    int type;     /* safetensors: which row of its table */
} spx_weights_array;

/** A form of file. */
typedef struct spx_weights_form {
    const char *name;
    spx_status (*read)(const spx_weights *w, const spx_weights_array *a, float *dst);
    spx_status (*about)(const spx_weights *w, const char *key, char **out);
} spx_weights_form;

struct spx_weights {
    const spx_weights_form *form;
    char *path;
    spx_weights_array *array; /* [count], by name */
    size_t count, room;
    char *prefix;
    unsigned char *bytes; /* [size], the file; let go of where h5 has its copy */
    size_t size;
    spx_h5 *h5;       /* HDF5 */
    json_t *metadata; /* safetensors; or NULL */
};

/** Appends an array (name copied) for the form to fill; NULL when out of memory. */
spx_weights_array *spx_weights_add(spx_weights *w, const char *name);

/* Each makes w out of its bytes; what fails half-way is closed by the caller. */
SPX_MUST_CHECK spx_status spx_weights_open_h5(spx_weights *w);
SPX_MUST_CHECK spx_status spx_weights_open_safetensors(spx_weights *w);

#endif
