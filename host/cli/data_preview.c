/* sphynx data preview: a contact sheet of a pack. */
#include "data/image/image.h"
#include "host/cli/data_talk.h"
#include "kernels/base/alloc.h"

#include <stdio.h>
#include <string.h>

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

#define GAP 2 /* pixels around each image of a preview */

static void place(const spx_pack *p, const uint8_t *from, spx_image *grid, size_t row,
                  size_t column)
{
    const size_t h = (size_t)p->height, w = (size_t)p->width, width = (size_t)grid->width;
    for (size_t c = 0; c < (size_t)p->channels; c++) {
        for (size_t y = 0; y < h; y++) {
            const size_t to = (c * (size_t)grid->height + GAP + row * (h + GAP) + y) * width + GAP +
                              column * (w + GAP);
            memcpy(grid->pixels + to, from + (c * h + y) * w, w);
        }
    }
}

/* One row a class: its first images in the order of the split. */
static spx_status draw_grid(const spx_pack *p, const values *v, spx_image *grid)
{
    const spx_pack_split *split = &p->split[v->split];
    const size_t bytes = (size_t)p->channels * (size_t)p->height * (size_t)p->width;
    size_t *drawn;
    if (p->classes > SPX_IMAGE_MAX_SIDE) {
        return SPX_FAIL(SPX_EUNSUPPORTED, "a picture of %d classes, at most %d fit", p->classes,
                        SPX_IMAGE_MAX_SIDE);
    }
    SPX_RETURN_IF(spx_image_create(grid, p->channels, GAP + p->classes * (p->height + GAP),
                                   GAP + (int)v->columns * (p->width + GAP)));
    memset(grid->pixels, 96, (size_t)p->channels * (size_t)grid->height * (size_t)grid->width);
    SPX_RETURN_IF(SPX_NEW(drawn, (size_t)p->classes));
    for (size_t i = 0; i < split->count; i++) {
        const size_t k = split->labels[i];
        if (drawn[k] < (size_t)v->columns) {
            place(p, split->images + i * bytes, grid, k, drawn[k]++);
        }
    }
    spx_free(drawn);
    return SPX_OK;
}

static spx_status run(spx_cli *cli, const void *given)
{
    const values *v = given;
    spx_image grid = {0};
    spx_pack *p = NULL;
    spx_status st;
    SPX_RETURN_IF(spx_cli_distinct(cli, v->output, cli->args[0]));
    SPX_TRY(st, spx_pack_open(&p, cli->args[0], SPX_PACK_NEED(v->split)), done);
    st = spx_fail_context(draw_grid(p, v, &grid), "%s", cli->args[0]);
    if (st == SPX_OK) {
        st = spx_image_write(&grid, v->output);
    }
    if (st == SPX_OK && cli->json) {
        st =
            spx_cli_print_json(json_pack("{s:i, s:i}", "height", grid.height, "width", grid.width));
    } else if (st == SPX_OK) {
        (void)printf("%s: %d classes, one a row, %dx%d pixels\n", v->output, p->classes,
                     grid.height, grid.width);
    }
done:
    spx_image_clear(&grid);
    spx_pack_close(p);
    return st;
}

const spx_command spx_data_preview = {
    .name = "preview",
    .args = "PACK",
    .summary = "Draws the first images of every class into one picture.",
    .example = "sphynx data preview fashion.h5 -o fashion.png",
    .options = options,
    .values_size = sizeof(values),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
