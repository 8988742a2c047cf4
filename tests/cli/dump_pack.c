/*
 * dump_pack PACK: every image of a pack, decoded, to stdout: five u32 (split, label, channels,
 * height, width), the planes, u32 bytes of its name and the name. What pack_truth.py reads.
 */
#include "data/image/image.h"
#include "data/pack/pack.h"
#include "data/pack/pack_store.h"
#include "kernels/base/alloc.h"

#include <stdio.h>
#include <string.h>

static bool put(const void *bytes, size_t n)
{
    return fwrite(bytes, 1, n, stdout) == n;
}

static spx_status dump_one(const spx_pack *p, spx_split s, uint32_t i)
{
    spx_image image = {0};
    char *name = NULL;
    spx_status st;
    SPX_TRY(st, spx_pack_image(p, s, i, &image), end);
    if (p->store != NULL) {
        SPX_TRY(st, spx_store_name(p, s, i, &name), end);
    }
    const uint32_t head[] = {(uint32_t)s, p->split[s].labels[i], (uint32_t)image.channels,
                             (uint32_t)image.height, (uint32_t)image.width};
    const uint32_t length = name != NULL ? (uint32_t)strlen(name) : 0;
    if (!put(head, sizeof head) ||
        !put(image.pixels, (size_t)head[2] * (size_t)head[3] * (size_t)head[4]) ||
        !put(&length, sizeof length) || !put(name != NULL ? name : "", length)) {
        st = SPX_FAIL(SPX_EIO, "stdout");
    }
end:
    spx_free(name);
    spx_image_clear(&image);
    return st;
}

int main(int argc, char **argv)
{
    spx_pack *p = NULL;
    spx_status st = argc == 2 ? spx_pack_open(&p, argv[1], SPX_PACK_LOAD_ALL) : SPX_EINVAL;
    for (int s = 0; s < SPX_SPLIT_COUNT && st == SPX_OK; s++) {
        for (size_t i = 0; i < p->split[s].count && st == SPX_OK; i++) {
            st = dump_one(p, (spx_split)s, (uint32_t)i);
        }
    }
    spx_pack_close(p);
    if (st != SPX_OK) {
        (void)fprintf(stderr, "dump_pack: %s\n", spx_error_message());
        return 1;
    }
    return 0;
}
