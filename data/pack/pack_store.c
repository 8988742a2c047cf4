/* Reading stored pictures, by pread at the places that the index tells. */
#define _POSIX_C_SOURCE 200809L
#include "data/pack/pack_crc_private.h"
#include "data/pack/pack_private.h"
#include "data/pack/pack_store_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/file.h"
#include "kernels/base/pool.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAME_BLOCK ((size_t)64 << 10)
#define BATCH 256     /* pictures verified at once */
#define WHY_BYTES 480 /* of a message that is kept */

/* ---- moments ---- */

void spx_store_moments_add(spx_store_moments *m, const spx_image *image)
{
    const size_t plane = (size_t)image->height * (size_t)image->width;
    m->pixels += plane;
    for (int c = 0; c < image->channels; c++) {
        const uint8_t *at = image->pixels + (size_t)c * plane;
        uint64_t sum = 0, squares = 0;
        for (size_t j = 0; j < plane; j++) {
            sum += at[j];
            squares += (uint32_t)at[j] * at[j];
        }
        m->sum[c] += sum;
        m->squares[c] += squares;
    }
}

void spx_store_moments_take(const spx_store_moments *m, int channels, double *mean, double *std)
{
    const double n = m->pixels > 0 ? (double)m->pixels : 1;
    for (int c = 0; c < channels; c++) {
        mean[c] = (double)m->sum[c] / n / 255;
        std[c] = sqrt(fmax(0, (double)m->squares[c] / n / (255.0 * 255.0) - mean[c] * mean[c]));
    }
}

/* ---- what there is ---- */

bool spx_pack_has(const spx_pack *p, spx_split split)
{
    const spx_pack_split *s = &p->split[split];
    return s->count > 0 && (p->store != NULL ? s->labels != NULL : s->images != NULL);
}

const spx_store_about *spx_store_describe(const spx_pack *p)
{
    return &p->store->about;
}

bool spx_store_encoded(const spx_pack *p)
{
    return p->store != NULL && p->store->encoded;
}

size_t spx_store_max_bytes(const spx_pack *p, spx_split split)
{
    return p->store->max_bytes[split];
}

/* ---- reading ---- */

static spx_status check_index(const spx_pack *p, spx_split split, uint32_t i)
{
    if ((unsigned)split >= SPX_SPLIT_COUNT || !spx_pack_has(p, split) ||
        i >= p->split[split].count) {
        return SPX_FAIL(SPX_EINVAL, "%s: no image %u of %s", p->dataset, i,
                        (unsigned)split < SPX_SPLIT_COUNT ? spx_split_name(split) : "no split");
    }
    return SPX_OK;
}

/* The file that holds picture i, and its number there. */
static const spx_store_file *file_of(const spx_store *s, spx_split split, uint32_t i, size_t *local)
{
    size_t low = 0, high = s->files; /* the first that ends behind i */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->file[middle].part[split].first + s->file[middle].part[split].count <= i) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    assert(low < s->files);
    *local = i - s->file[low].part[split].first;
    return &s->file[low];
}

void spx_store_size(const spx_pack *p, spx_split split, uint32_t i, int *height, int *width)
{
    size_t local;
    const spx_store_part *part = &file_of(p->store, split, i, &local)->part[split];
    *height = part->height != NULL ? part->height[local] : p->height;
    *width = part->width != NULL ? part->width[local] : p->width;
}

/* Where picture i lies, and its checksum. */
static const spx_store_file *place(const spx_pack *p, spx_split split, uint32_t i, uint64_t *at,
                                   size_t *n, uint32_t *crc)
{
    size_t local;
    const spx_store_file *f = file_of(p->store, split, i, &local);
    const spx_store_part *part = &f->part[split];
    uint64_t begin;
    if (part->end == NULL) {
        *n = spx_pack_image_bytes(p);
        begin = part->begin + (uint64_t)local * *n;
    } else {
        begin = local == 0 ? part->begin : part->end[local - 1];
        *n = (size_t)(part->end[local] - begin);
    }
    *at = f->data + begin;
    *crc = part->crc[local];
    return f;
}

/* Puts the picture's name and file before the thread's message. */
static spx_status name_it(const spx_pack *p, spx_split split, uint32_t i, spx_status st)
{
    char why[512], *name = NULL;
    size_t local;
    const char *path = file_of(p->store, split, i, &local)->path;
    (void)snprintf(why, sizeof why, "%s", spx_error_message());
    if (spx_store_name(p, split, i, &name) != SPX_OK) {
        return SPX_FAIL(st, "%s: image %u of %s: %s", path, i, spx_split_name(split), why);
    }
    st = SPX_FAIL(st, "%s: '%s' (image %u of %s): %s", path, name, i, spx_split_name(split), why);
    spx_free(name);
    return st;
}

spx_status spx_store_read(const spx_pack *p, spx_split split, uint32_t i, void *buffer, size_t room,
                          size_t *size)
{
    const spx_store_file *f;
    uint64_t at;
    uint32_t crc;
    *size = 0;
    if (p->store == NULL) {
        return SPX_FAIL(SPX_EINVAL, "%s: has no stored pictures", p->dataset);
    }
    SPX_RETURN_IF(check_index(p, split, i));
    f = place(p, split, i, &at, size, &crc);
    if (*size > room) {
        return SPX_FAIL(SPX_EINVAL, "%s: image %u of %s has %zu bytes, room is for %zu", p->dataset,
                        i, spx_split_name(split), *size, room);
    }
    SPX_RETURN_IF(spx_file_read_at(f->fd, f->path, at, buffer, *size));
    if (spx_pack_crc(buffer, *size) != crc) {
        return name_it(p, split, i,
                       SPX_FAIL(SPX_EFORMAT,
                                "bytes %llu to %llu do not match their checksum: the file is "
                                "damaged",
                                (unsigned long long)at, (unsigned long long)(at + *size - 1)));
    }
    return SPX_OK;
}

/* ---- names ---- */

/* Name number `wanted` in a list of such, each ended by 0, that is read block by block. */
static spx_status find_name(const spx_store_file *f, const spx_h5_range *names, size_t wanted,
                            char *block, char **name)
{
    uint64_t at = 0, start = 0;
    size_t length, seen = 0;
    bool found = false;
    while (at < names->length && !found) {
        const uint64_t left = names->length - at;
        const size_t n = left < NAME_BLOCK ? (size_t)left : NAME_BLOCK;
        SPX_RETURN_IF(spx_file_read_at(f->fd, f->path, names->start + at, block, n));
        for (size_t j = 0; j < n && !found; j++, at++) {
            if (block[j] == '\0' && seen++ == wanted) {
                found = true;
            } else if (block[j] == '\0') {
                start = at + 1;
            }
        }
    }
    if (!found) {
        return SPX_FAIL(SPX_EFORMAT, "%s: no name of image %zu", f->path, wanted);
    }
    length = (size_t)(at - start); /* with its 0 */
    SPX_RETURN_IF(SPX_NEW(*name, length));
    SPX_RETURN_IF(spx_file_read_at(f->fd, f->path, names->start + start, *name, length));
    (*name)[length - 1] = '\0';
    return SPX_OK;
}

spx_status spx_store_name(const spx_pack *p, spx_split split, uint32_t i, char **name)
{
    const spx_store_file *f;
    size_t local;
    char *block;
    spx_status st;
    *name = NULL;
    SPX_RETURN_IF(check_index(p, split, i));
    if (p->store == NULL) {
        SPX_RETURN_IF(SPX_NEW(*name, 16));
        (void)snprintf(*name, 16, "%u", i);
        return SPX_OK;
    }
    f = file_of(p->store, split, i, &local);
    SPX_RETURN_IF(SPX_NEW(block, NAME_BLOCK));
    st = find_name(f, &f->part[split].names, local, block, name);
    spx_free(block);
    if (st != SPX_OK) {
        spx_free(*name);
        *name = NULL;
    }
    return st;
}

/* ---- images ---- */

static spx_status read_encoded(const spx_pack *p, spx_split split, uint32_t i, spx_image *out)
{
    int height, width;
    uint64_t at;
    uint32_t crc;
    size_t size;
    void *bytes;
    spx_status st;
    (void)place(p, split, i, &at, &size, &crc);
    SPX_RETURN_IF(spx_alloc(&bytes, size));
    st = spx_store_read(p, split, i, bytes, size, &size);
    if (st == SPX_OK) {
        st = spx_image_decode(out, "", bytes, size, p->channels);
        spx_store_size(p, split, i, &height, &width);
        if (st == SPX_OK && (out->height != height || out->width != width)) {
            st = SPX_FAIL(SPX_EFORMAT, "%dx%d pixels, the index says %dx%d", out->height,
                          out->width, height, width);
            spx_image_clear(out);
        }
        if (st != SPX_OK) {
            st = name_it(p, split, i, st);
        }
    }
    spx_free(bytes);
    return st;
}

static spx_status read_planes(const spx_pack *p, spx_split split, uint32_t i, spx_image *out)
{
    const size_t n = spx_pack_image_bytes(p);
    size_t size;
    spx_status st;
    if (p->channels != 1 && p->channels != 3) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "%s: %d channels make no picture: 1 or 3 do", p->dataset,
                        p->channels);
    }
    SPX_RETURN_IF(spx_image_create(out, p->channels, p->height, p->width));
    if (p->store == NULL) {
        memcpy(out->pixels, p->split[split].images + i * n, n);
        return SPX_OK;
    }
    st = spx_store_read(p, split, i, out->pixels, n, &size);
    if (st != SPX_OK) {
        spx_image_clear(out);
    }
    return st;
}

spx_status spx_pack_image(const spx_pack *p, spx_split split, uint32_t i, spx_image *out)
{
    *out = (spx_image){0};
    SPX_RETURN_IF(check_index(p, split, i));
    return spx_store_encoded(p) ? read_encoded(p, split, i, out) : read_planes(p, split, i, out);
}

/* ---- verifying ---- */

/* Pictures [first, first + n) of a split, and what is wrong with each. */
typedef struct batch {
    const spx_pack *p;
    spx_split split;
    size_t first, n;
    spx_status st[BATCH];
    char why[BATCH][WHY_BYTES];
} batch;

static void verify_some(void *ctx, int worker, size_t begin, size_t end)
{
    batch *b = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        spx_image image;
        b->st[i] = spx_pack_image(b->p, b->split, (uint32_t)(b->first + i), &image);
        if (b->st[i] != SPX_OK) {
            (void)snprintf(b->why[i], WHY_BYTES, "%s", spx_error_message());
        }
        spx_image_clear(&image);
    }
}

/* What verifying gathers, and whom it tells. */
typedef struct findings {
    spx_verify_bad bad;
    void (*show)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
    size_t n, done, total; /* damaged; verified of all */
    char first[WHY_BYTES];
} findings;

static spx_status tell(const batch *b, findings *f)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->st[i] == SPX_ENOMEM) {
            return SPX_FAIL(SPX_ENOMEM, "%s", b->why[i]);
        }
        if (b->st[i] != SPX_OK && f->n++ == 0) {
            memcpy(f->first, b->why[i], WHY_BYTES);
        }
        if (b->st[i] != SPX_OK && f->bad != NULL) {
            f->bad(f->ctx, b->split, (uint32_t)(b->first + i), b->why[i]);
        }
    }
    return SPX_OK;
}

static spx_status verify_split(spx_pool *pool, batch *b, findings *f)
{
    const size_t count = spx_pack_has(b->p, b->split) ? b->p->split[b->split].count : 0;
    for (b->first = 0; b->first < count; b->first += b->n) {
        b->n = count - b->first < BATCH ? count - b->first : BATCH;
        spx_pool_run(pool, b->n, verify_some, b);
        SPX_RETURN_IF(tell(b, f));
        f->done += b->n;
        if (f->show != NULL) {
            f->show(f->ctx, f->done, f->total);
        }
    }
    return SPX_OK;
}

spx_status spx_pack_verify(const spx_pack *p, spx_verify_bad bad,
                           void (*show)(void *ctx, uint64_t done, uint64_t total), void *ctx)
{
    findings f = {.bad = bad, .show = show, .ctx = ctx};
    const int processors = spx_pool_processors();
    spx_pool *pool = NULL;
    batch *b = NULL;
    spx_status st;
    if (p->store == NULL) {
        return SPX_OK;
    }
    SPX_TRY(st, SPX_NEW(b, 1), done);
    SPX_TRY(st,
            spx_pool_create(&pool,
                            processors < SPX_POOL_MAX_THREADS ? processors : SPX_POOL_MAX_THREADS),
            done);
    b->p = p;
    for (int s = 0; s < SPX_SPLIT_COUNT; s++) {
        f.total += spx_pack_has(p, (spx_split)s) ? p->split[s].count : 0;
    }
    for (int s = 0; s < SPX_SPLIT_COUNT && st == SPX_OK; s++) {
        b->split = (spx_split)s;
        st = verify_split(pool, b, &f);
    }
    if (st == SPX_OK && f.n > 0) {
        st = f.n == 1 ? SPX_FAIL(SPX_EFORMAT, "%s", f.first)
                      : SPX_FAIL(SPX_EFORMAT, "%s (and %zu more are damaged)", f.first, f.n - 1);
    }
done:
    spx_pool_destroy(pool);
    spx_free(b);
    return st;
}
