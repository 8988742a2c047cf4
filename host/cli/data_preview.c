/* sphynx data preview: a contact sheet of a pack. */
#include "data/image/image.h"
#include "data/preprocess/preprocess.h"
#include "host/cli/data_talk.h"
#include "kernels/base/alloc.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct values {
    const char *output;
    int64_t columns;
    int split;
} values;

static const spx_option options[] = {
    SPX_OPT(STRING, values, output, "output", "FILE", NULL, "the picture to write (.png)",
            .flags = SPX_OPT_REQUIRED | SPX_OPT_TRANSIENT | SPX_OPT_OUTPUT, .letter = 'o'),
    SPX_OPT(INT, values, columns, "columns", "N", "12", "images per class", .min = 1, .max = 1000),
    SPX_OPT(ENUM, values, split, "split", "train|test", "train", "which split to show"),
    {0}};

#define GAP 2    /* pixels around each image */
#define MOST 96  /* of a thumbnail's sides; smaller images of one size are shown as they are */
#define LEAST 24 /* where many classes make thumbnails small */
#define GREY 96  /* between them */

/* The sheet: blocks of rows side by side; a row is a class, with its first images. */
typedef struct sheet {
    int height, width; /* of a thumbnail */
    int columns;       /* images a class */
    int rows, blocks;
    int classes; /* shown, from the first on */
    spx_image image;
} sheet;

static int sheet_side(int n, int pixels)
{
    return GAP + n * (pixels + GAP);
}

/* As many classes as the largest picture takes at this size; true: all of them. */
static bool lay_out(sheet *s, int height, int width, int64_t columns, int classes)
{
    const int across = (SPX_IMAGE_MAX_SIDE - GAP) / (width + GAP);
    const int rows = (SPX_IMAGE_MAX_SIDE - GAP) / (height + GAP);
    s->height = height;
    s->width = width;
    s->columns = columns < across ? (int)columns : across;
    s->blocks = across / s->columns;
    s->classes = classes < rows * s->blocks ? classes : rows * s->blocks;
    s->blocks = (s->classes + rows - 1) / rows;
    s->rows = (s->classes + s->blocks - 1) / s->blocks;
    return s->classes == classes && s->columns == columns;
}

static void plan(sheet *s, const spx_pack *p, int64_t columns)
{
    const bool as_stored = p->height > 0 && p->height <= MOST && p->width <= MOST;
    if (as_stored && lay_out(s, p->height, p->width, columns, p->classes)) {
        return;
    }
    for (int side = MOST; side >= LEAST; side -= 8) {
        if (lay_out(s, side, side, columns, p->classes)) {
            return;
        }
    }
}

static void place(sheet *s, int class, int column, const uint8_t *thumbnail)
{
    const size_t h = (size_t)s->height, w = (size_t)s->width, width = (size_t)s->image.width;
    const size_t left = (size_t)sheet_side(class / s->rows * s->columns + column, s->width);
    const size_t top = (size_t)sheet_side(class % s->rows, s->height);
    for (size_t c = 0; c < (size_t)s->image.channels; c++) {
        for (size_t y = 0; y < h; y++) {
            const size_t row = c * (size_t)s->image.height + top + y;
            memcpy(s->image.pixels + row * width + left, thumbnail + (c * h + y) * w, w);
        }
    }
}

/* The middle of an image, scaled. */
static spx_status shrink(const sheet *s, const spx_pack *p, spx_split split, uint32_t i,
                         uint8_t *thumbnail)
{
    const spx_preprocess middle = {.channels = p->channels,
                                   .rows = s->height,
                                   .columns = s->width,
                                   .centre_crop = 1,
                                   .centre_resize = 1};
    return spx_preprocess_packed(&middle, p, split, i, thumbnail);
}

static spx_status draw(sheet *s, const spx_pack *p, spx_split split)
{
    const spx_pack_split *from = &p->split[split];
    void *thumbnail = NULL;
    int *drawn = NULL;
    spx_status st;
    SPX_TRY(st,
            spx_image_create(&s->image, p->channels, sheet_side(s->rows, s->height),
                             sheet_side(s->blocks * s->columns, s->width)),
            end);
    memset(s->image.pixels, GREY,
           (size_t)p->channels * (size_t)s->image.height * (size_t)s->image.width);
    SPX_TRY(st, SPX_NEW(drawn, (size_t)p->classes), end);
    SPX_TRY(st, spx_alloc(&thumbnail, (size_t)(p->channels * s->height * s->width)), end);
    for (size_t i = 0; i < from->count; i++) {
        const int k = from->labels[i];
        if (k < s->classes && drawn[k] < s->columns) {
            SPX_TRY(st, shrink(s, p, split, (uint32_t)i, thumbnail), end);
            place(s, k, drawn[k]++, thumbnail);
        }
    }
end:
    spx_free(thumbnail);
    spx_free(drawn);
    return st;
}

static spx_status tell(const spx_cli *cli, const values *v, const sheet *s, const spx_pack *p)
{
    if (cli->json) {
        return spx_cli_print_json(json_pack(
            "{s:i, s:i, s:i, s:i, s:[i,i]}", "height", s->image.height, "width", s->image.width,
            "classes", s->classes, "columns", s->columns, "thumbnail", s->height, s->width));
    }
    (void)printf("%s: %d classes, %s, %d pixels wide and %d high\n", v->output, s->classes,
                 s->blocks == 1 ? "one a row" : "one a row, in columns from left to right",
                 s->image.width, s->image.height);
    if (s->classes < p->classes) {
        (void)printf("left out: classes %d to %d; fewer --columns show more\n", s->classes,
                     p->classes - 1);
    }
    if (s->columns < v->columns) {
        (void)printf("left out: all but the first %d images of a class\n", s->columns);
    }
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *given)
{
    const values *v = given;
    const spx_split split = (spx_split)v->split;
    const char *end = strrchr(v->output, '.');
    sheet s = {0};
    spx_pack *p = NULL;
    spx_status st;
    if (end != NULL && strchr(end, '/') == NULL && strcasecmp(end, ".png") != 0) {
        return spx_cli_usage(cli, "--output %s: the picture is a PNG, name it .png", v->output);
    }
    SPX_RETURN_IF(spx_cli_distinct(cli, v->output, cli->args[0]));
    SPX_TRY(st, spx_pack_open(&p, cli->args[0], SPX_PACK_NEED(split)), done);
    plan(&s, p, v->columns);
    SPX_TRY(st, spx_fail_context(draw(&s, p, split), "%s", cli->args[0]), done);
    SPX_TRY(st, spx_image_write(&s.image, v->output), done);
    st = tell(cli, v, &s, p);
done:
    spx_image_clear(&s.image);
    spx_pack_close(p);
    return st;
}

const spx_command spx_data_preview = {
    .name = "preview",
    .args = "PACK",
    .summary = "Draws the first images of every class into one picture, a contact sheet.",
    .example = "sphynx data preview fashion.h5 -o fashion.png",
    .options = options,
    .values_size = sizeof(values),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
