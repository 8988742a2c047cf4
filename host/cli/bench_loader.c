/*
 * sphynx bench loader: pictures a second a core, beside what libjpeg-turbo and the resampler need
 * for the same crops in a bare loop. Seconds are those of the processor: whatever else runs on the
 * machine does not count.
 */
#define _POSIX_C_SOURCE 200809L
#include "host/cli/bench_loader.h"
#include "data/augment/resample.h"
#include "data/image/decoder.h"
#include "data/loader/loader.h"
#include "data/pack/pack_store.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

typedef struct values {
    int64_t images, batch, size, workers, rounds;
} values;

/* A picture as it lies in the pack. */
typedef struct stored {
    const uint8_t *bytes; /* encoded, or planes (channels, height, width) */
    size_t size;
    int height, width;
} stored;

/* A bare libjpeg: little is checked, since the loader has read the same boxes just before. */
typedef struct bare {
    struct jpeg_decompress_struct in;
    struct jpeg_error_mgr errors;
    jmp_buf back;
    uint8_t *pixels; /* room for the largest picture, and a row */
    void *scratch;
    size_t scratch_room;
} bare;

typedef struct bench {
    const values *v;
    const spx_pack *pack;
    spx_loader_options o;
    spx_decoder *decoder; /* for what is neither grey nor colour JPEG; NULL: the pack has planes */
    bare limit;
    stored *pictures;         /* a batch of them */
    uint8_t *memory, *sample; /* theirs, where they come from the file; one sample */
    size_t max_bytes;
    double wall, loader, decode, resize; /* seconds; all but the first of the processor */
    size_t images;
} bench;

static double cpu_seconds(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void on_error(j_common_ptr c)
{
    longjmp(((bare *)c->client_data)->back, 1);
}

static void on_message(j_common_ptr c, int level)
{
    (void)c, (void)level;
}

static void bare_open(bare *b)
{
    b->in.err = jpeg_std_error(&b->errors);
    b->errors.error_exit = on_error;
    b->errors.emit_message = on_message;
    jpeg_create_decompress(&b->in);
    b->in.client_data = b;
}

/* Where of the wanted box [from, from + length) decoding begins and ends, with a margin for smooth
 * colours. */
static void reach(int from, int length, int shrink, unsigned most, unsigned *first, unsigned *end)
{
    const int low = from / shrink - 8, high = (from + length + shrink - 1) / shrink + 8;
    *first = low < 0 ? 0 : (unsigned)low;
    *end = (unsigned)high < most ? (unsigned)high : most;
}

/* Decodes the box's rows and columns; *r then says where it lies in b->pixels. */
static void bare_decode(bare *b, const stored *p, const spx_augment_draw *d, spx_resample *r)
{
    struct jpeg_decompress_struct *const in = &b->in;
    int shrink = 8;
    JDIMENSION left, right, top, bottom, width;
    while (shrink > 1 &&
           (d->box_height < shrink * r->y.wanted || d->box_width < shrink * r->x.wanted)) {
        shrink /= 2;
    }
    jpeg_mem_src(in, p->bytes, (unsigned long)p->size);
    (void)jpeg_read_header(in, TRUE);
    if ((int)in->image_height != p->height || (int)in->image_width != p->width) {
        on_error((j_common_ptr)in); /* another size than the pack's index says */
    }
    in->scale_num = (unsigned)(8 / shrink);
    in->scale_denom = 8;
    in->out_color_space = in->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    (void)jpeg_start_decompress(in);
    reach(d->box_x, d->box_width, shrink, in->output_width, &left, &right);
    reach(d->box_y, d->box_height, shrink, in->output_height, &top, &bottom);
    width = right - left;
    jpeg_crop_scanline(in, &left, &width);
    if (top > 0) {
        (void)jpeg_skip_scanlines(in, top);
    }
    r->channels = in->out_color_components;
    r->row = (ptrdiff_t)width * r->channels;
    r->src = b->pixels;
    for (uint8_t *row = b->pixels; in->output_scanline < bottom; row += r->row) {
        (void)jpeg_read_scanlines(in, &row, 1);
    }
    r->y = (spx_resample_axis){d->box_y - (int)top * shrink, d->box_height, (int)(bottom - top),
                               shrink, r->y.wanted};
    r->x = (spx_resample_axis){d->box_x - (int)left * shrink, d->box_width, (int)width, shrink,
                               r->x.wanted};
    jpeg_abort_decompress(in);
}

static spx_status bare_resize(bare *b, const spx_resample *r)
{
    const size_t room = spx_resample_room(r);
    if (room > b->scratch_room) {
        spx_free(b->scratch);
        b->scratch_room = 0;
        SPX_RETURN_IF(spx_alloc(&b->scratch, room));
        b->scratch_room = room;
    }
    return spx_resample_run(r, b->scratch);
}

/* Whether libjpeg alone made what *r is to resize. */
static bool is_decoded(bare *b, const stored *p, const spx_augment_draw *d, spx_resample *r)
{
    if (setjmp(b->back) != 0) {
        jpeg_abort_decompress(&b->in);
        return false;
    }
    bare_decode(b, p, d, r);
    return true;
}

/* What a sample of picture i costs at the least. */
static spx_status add_limit(bench *b, uint64_t epoch, uint32_t i, const stored *p)
{
    const double began = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
    const spx_augment_shape s = {.channels = b->pack->channels,
                                 .from_height = p->height,
                                 .from_width = p->width,
                                 .height = b->o.height,
                                 .width = b->o.width};
    spx_augment_draw d;
    spx_resample r = {
        .channels = s.channels, .y.wanted = s.height, .x.wanted = s.width, .out = b->sample};
    spx_rng rng;
    double decoded;
    spx_augment_rng(&rng, b->o.seed, epoch, i);
    spx_augment_choose(&b->o.augment, &s, &rng, &d);
    r.flip = d.flip;
    if (b->decoder == NULL) {
        r.row = p->width;
        r.plane = (ptrdiff_t)p->height * p->width;
        r.src = p->bytes + (ptrdiff_t)d.box_y * r.row + d.box_x;
        r.y = (spx_resample_axis){0, d.box_height, d.box_height, 1, s.height};
        r.x = (spx_resample_axis){0, d.box_width, d.box_width, 1, s.width};
    } else if (!is_decoded(&b->limit, p, &d,
                           &r)) { /* a PNG, or inks: all of it counts as decoding */
        const spx_box box = {d.box_y, d.box_x, d.box_height, d.box_width};
        SPX_RETURN_IF(spx_decoder_sample(b->decoder, "picture", p->bytes, p->size, s.channels, &box,
                                         d.flip, s.height, s.width, false, b->sample));
        b->decode += cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - began;
        return SPX_OK;
    }
    decoded = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
    SPX_RETURN_IF(bare_resize(&b->limit, &r));
    b->decode += decoded - began;
    b->resize += cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - decoded;
    return SPX_OK;
}

/* The bare loop over the pictures of one batch; reading them is not counted. */
static spx_status limit_of(bench *b, uint64_t epoch, const uint32_t *indices)
{
    const spx_pack *p = b->pack;
    const size_t volume = (size_t)p->channels * (size_t)p->height * (size_t)p->width;
    for (size_t k = 0; k < b->o.batch; k++) {
        stored *const s = &b->pictures[k];
        if (p->store == NULL) {
            *s = (stored){p->split[b->o.split].images + indices[k] * volume, volume, p->height,
                          p->width};
            continue;
        }
        s->bytes = b->memory + k * b->max_bytes;
        spx_store_size(p, b->o.split, indices[k], &s->height, &s->width);
        SPX_RETURN_IF(spx_store_read(p, b->o.split, indices[k], b->memory + k * b->max_bytes,
                                     b->max_bytes, &s->size));
    }
    for (size_t k = 0; k < b->o.batch; k++) {
        SPX_RETURN_IF(add_limit(b, epoch, indices[k], &b->pictures[k]));
    }
    return SPX_OK;
}

/* The loader's batches [first, first + steps) of an epoch, with the seconds they took. */
static spx_status serve(bench *b, spx_loader *l, uint64_t epoch, size_t first, size_t steps,
                        uint32_t *indices)
{
    double wall, cpu;
    spx_batch batch;
    for (size_t s = 0; s < first; s++) {
        SPX_RETURN_IF(spx_loader_get(l, epoch, s, &batch));
    }
    wall = spx_seconds();
    cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t s = 0; s < steps; s++) {
        SPX_RETURN_IF(spx_loader_get(l, epoch, first + s, &batch));
        memcpy(indices + s * b->o.batch, batch.indices, b->o.batch * sizeof *indices);
    }
    b->wall += spx_seconds() - wall;
    b->loader += cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    b->images += steps * b->o.batch;
    return SPX_OK;
}

/* One round: the loader, then the bare loop over the same samples. Workers are on their way when
 * counting begins and when it ends, so that what they make ahead is counted as often as not. */
static spx_status run_round(bench *b, uint64_t epoch, uint32_t *indices, size_t steps)
{
    spx_loader *l;
    spx_status st;
    SPX_RETURN_IF(spx_loader_open(&l, b->pack, &b->o));
    st = serve(b, l, epoch, b->o.threads > 0 ? 1 : 0, steps, indices);
    spx_loader_close(l); /* before the bare loop, which has the machine to itself */
    for (size_t s = 0; s < steps && st == SPX_OK; s++) {
        st = limit_of(b, epoch, indices + s * b->o.batch);
    }
    return st;
}

static spx_status alloc_bytes(uint8_t **out, size_t n, size_t size)
{
    void *p;
    SPX_RETURN_IF(spx_calloc(&p, n, size));
    *out = p;
    return SPX_OK;
}

/* Pixels of the largest stored picture, and of a row. */
static size_t largest_picture(const bench *b)
{
    size_t largest = 0;
    for (uint32_t i = 0; b->decoder != NULL && i < b->pack->split[b->o.split].count; i++) {
        int h, w;
        spx_store_size(b->pack, b->o.split, i, &h, &w);
        largest = (size_t)h * (size_t)w > largest ? (size_t)h * (size_t)w : largest;
    }
    return largest + SPX_IMAGE_MAX_SIDE;
}

static spx_status measure(bench *b)
{
    const values *v = b->v;
    const size_t count = b->pack->split[b->o.split].count;
    const size_t batch = (size_t)v->batch < count / 2 ? (size_t)v->batch : count / 2;
    const size_t wanted = (size_t)v->images > batch ? (size_t)v->images : batch;
    const size_t most =
        batch < 1 ? 0 : count / batch - (v->workers > 0 ? 1 : 0); /* the first is not counted */
    const size_t steps = batch < 1 ? 0 : wanted / batch < most ? wanted / batch : most;
    uint32_t *indices = NULL;
    spx_status st = SPX_OK;
    if (batch < 1 || steps < 1) {
        return SPX_FAIL(SPX_EINVAL, "%zu training pictures; two batches are needed", count);
    }
    b->o.batch = batch;
    b->max_bytes = b->pack->store != NULL ? spx_store_max_bytes(b->pack, b->o.split) : 0;
    SPX_TRY(st, alloc_bytes(&b->memory, batch, b->max_bytes), end);
    SPX_TRY(st, alloc_bytes(&b->sample, (size_t)v->size * (size_t)v->size, 4), end);
    SPX_TRY(st, alloc_bytes(&b->limit.pixels, 3, largest_picture(b)), end);
    SPX_TRY(st, SPX_NEW(b->pictures, batch), end);
    SPX_TRY(st, SPX_NEW(indices, steps * batch), end);
    for (int64_t r = 0; r < v->rounds && st == SPX_OK; r++) {
        st = run_round(b, (uint64_t)r, indices, steps);
    }
end:
    spx_free(indices);
    return st;
}

static void clear(bench *b)
{
    jpeg_destroy_decompress(&b->limit.in);
    spx_decoder_destroy(b->decoder);
    spx_free(b->limit.pixels);
    spx_free(b->limit.scratch);
    spx_free(b->memory);
    spx_free(b->sample);
    spx_free(b->pictures);
}

static spx_status tell(const spx_cli *cli, const bench *b)
{
    const double n = (double)b->images, limit = b->decode + b->resize;
    const size_t a_round = b->images / (size_t)b->v->rounds;
    if (a_round != (size_t)b->v->images) {
        spx_cli_talk(cli, "%zu pictures in a round, not %lld: whole batches of the pack's", a_round,
                     (long long)b->v->images);
    }
    if (cli->json) {
        return spx_cli_print_json(json_pack(
            "{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "images", (json_int_t)b->images, "workers",
            (json_int_t)b->v->workers, "size", (json_int_t)b->v->size, "images_per_second",
            n / b->wall, "images_per_core_second", n / b->loader, "limit_per_core_second",
            n / limit, "share_of_limit", limit / b->loader, "resize_share", b->resize / limit));
    }
    (void)printf("loader             %8.0f images/s a core, %.0f images/s by the clock\n",
                 n / b->loader, n / b->wall);
    (void)printf("decode and resize  %8.0f images/s a core, %.0f %% of it resizing\n", n / limit,
                 100 * b->resize / limit);
    (void)printf("the loader reaches %.3f of that\n", limit / b->loader);
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *options)
{
    const values *v = options;
    bench b = {.v = v};
    spx_pack *p = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_pack_open(&p, cli->args[0], SPX_PACK_NEED(SPX_SPLIT_TRAIN)));
    b.pack = p;
    b.o = (spx_loader_options){.split = SPX_SPLIT_TRAIN,
                               .train = true,
                               .height = (int)v->size,
                               .width = (int)v->size,
                               .augment = {.flip = true, .resized_crop = SPX_RESIZED_CROP_RANDOM},
                               .bytes = true,
                               .seed = (uint64_t)cli->seed,
                               .threads = (int)v->workers};
    bare_open(&b.limit);
    if (p->store != NULL && spx_store_encoded(p)) {
        SPX_TRY(st, spx_decoder_create(&b.decoder), end);
    }
    SPX_TRY(st, spx_fail_context(measure(&b), "%s", cli->args[0]), end);
    st = tell(cli, &b);
end:
    clear(&b);
    spx_pack_close(p);
    return st;
}

static const spx_option options_table[] = {
    SPX_OPT(INT, values, images, "images", "N", "1024", "pictures in a round", .min = 1,
            .max = 1e7),
    SPX_OPT(INT, values, rounds, "rounds", "N", "3", "rounds of both by turns", .min = 1,
            .max = 1e3),
    SPX_OPT(INT, values, batch, "batch", "N", "64", "pictures in a batch", .min = 1, .max = 4096),
    SPX_OPT(INT, values, size, "size", "N", "224", "height and width of the samples", .min = 1,
            .max = SPX_RESIZE_MAX),
    SPX_OPT(INT, values, workers, "workers", "N", "0", "threads; 0: none but the caller's",
            .min = 0, .max = 64),
    {0}};

const spx_command spx_bench_loader = {
    .name = "loader",
    .summary = "Random boxes of a pack's pictures: images a second, beside bare decoding.",
    .args = "PACK",
    .min_args = 1,
    .max_args = 1,
    .example = "sphynx bench loader photos.h5 --workers 2 --json",
    .options = options_table,
    .values_size = sizeof(values),
    .run = run};
