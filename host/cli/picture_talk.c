#include "host/cli/picture_talk.h"

#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/crypto/ct.h"

#define MAX_FILE_BYTES ((size_t)256 << 20)

spx_status spx_picture_take(const spx_cli *cli, const spx_preprocess *model, const char *path,
                            bool resize, uint8_t *out)
{
    void *bytes;
    size_t size;
    bool transparent;
    spx_status st;
    SPX_RETURN_IF(spx_file_read(path, MAX_FILE_BYTES, &bytes, &size));
    st = spx_preprocess_encoded(model, path, bytes, size, resize, out, &transparent);
    spx_wipe(bytes, size); /* a query's is nobody else's */
    spx_free(bytes);
    if (st == SPX_OK && transparent) {
        spx_cli_talk(cli, "%s: transparent pixels, laid over black", path);
    }
    return st;
}
