/*
 * A driver by which libhdf5 writes into sparse memory: pages that nothing is written to are not
 * there. libhdf5's own drivers in memory hold all bytes, and its files can be full.
 */
#define _POSIX_C_SOURCE 200809L
#include "host/h5/h5_private.h"
#include "kernels/base/alloc.h"

#include <string.h>

#define PAGE ((size_t)64 << 10)
#define MAX_ADDRESS ((haddr_t)1 << 52)

/* What libhdf5 has open. */
typedef struct opened {
    H5FD_t pub; /* first: libhdf5's own */
    spx_h5_sparse *memory;
    haddr_t eoa;
} opened;

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t fapl, haddr_t maxaddr)
{
    spx_h5_sparse *const *memory = H5Pget_driver_info(fapl);
    opened *f = NULL;
    (void)name, (void)flags, (void)maxaddr;
    if (memory == NULL || SPX_NEW(f, 1) != SPX_OK) {
        return NULL;
    }
    f->memory = *memory;
    return &f->pub;
}

static herr_t driver_close(H5FD_t *file)
{
    spx_free(file);
    return 0;
}

static herr_t driver_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const opened *)file)->eoa;
}

static herr_t driver_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t address)
{
    opened *f = (opened *)file;
    (void)type;
    f->eoa = address;
    if (address > f->memory->end) {
        f->memory->end = address;
    }
    return 0;
}

static haddr_t driver_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const opened *)file)->memory->end;
}

void spx_h5_sparse_read(const spx_h5_sparse *m, uint64_t at, void *to, size_t n)
{
    unsigned char *out = to;
    while (n > 0) {
        const size_t page = (size_t)(at / PAGE), from = (size_t)(at % PAGE);
        const size_t some = n < PAGE - from ? n : PAGE - from;
        if (page < m->pages && m->page[page] != NULL) {
            memcpy(out, m->page[page] + from, some);
        } else {
            memset(out, 0, some);
        }
        out += some;
        at += some;
        n -= some;
    }
}

static herr_t driver_read(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t at, size_t n, void *to)
{
    (void)type, (void)dxpl;
    spx_h5_sparse_read(((const opened *)file)->memory, at, to, n);
    return 0;
}

/* The page, made where it is not there; NULL without memory. */
static unsigned char *page_at(spx_h5_sparse *m, size_t page)
{
    if (page >= m->pages) {
        const size_t pages = page + 1 + page / 2;
        unsigned char **more;
        if (SPX_NEW(more, pages) != SPX_OK) {
            return NULL;
        }
        if (m->pages > 0) {
            memcpy(more, m->page, m->pages * sizeof *more);
        }
        spx_free(m->page);
        m->page = more;
        m->pages = pages;
    }
    if (m->page[page] == NULL && SPX_NEW(m->page[page], PAGE) != SPX_OK) {
        return NULL;
    }
    return m->page[page];
}

static herr_t driver_write(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t at, size_t n,
                           const void *from)
{
    spx_h5_sparse *m = ((const opened *)file)->memory;
    const unsigned char *in = from;
    (void)type, (void)dxpl;
    while (n > 0) {
        const size_t start = (size_t)(at % PAGE), some = n < PAGE - start ? n : PAGE - start;
        unsigned char *page = page_at(m, (size_t)(at / PAGE));
        if (page == NULL) {
            return -1;
        }
        memcpy(page + start, in, some);
        in += some;
        at += some;
        n -= some;
    }
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)H5_VFD_RESERVED + 1,
#endif
    .name = "sphynx-sparse",
    .maxaddr = MAX_ADDRESS,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(spx_h5_sparse *),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_eof,
    .read = driver_read,
    .write = driver_write,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

bool spx_h5_sparse_use(spx_h5_sparse *m, hid_t fapl)
{
    m->driver = H5FDregister(&driver);
    return m->driver >= 0 && H5Pset_driver(fapl, m->driver, &m) >= 0;
}

void spx_h5_sparse_clear(spx_h5_sparse *m)
{
    for (size_t i = 0; i < m->pages; i++) {
        spx_free(m->page[i]);
    }
    spx_free(m->page);
    if (m->driver > 0) {
        (void)H5FDunregister(m->driver);
    }
    *m = (spx_h5_sparse){0};
}
