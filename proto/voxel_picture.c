#include "voxel_picture.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "limits.h"

enum {
    LONGEST_PX_MIN = 192,
    CELLS_MAX = 2 * LONGEST_PX_MIN - 1, /* along one axis of a view */
    MARGIN_PX = 24,                     /* around a view: room for a letter and its gap */
    GLYPH_SCALE = 2,
    GLYPH_WIDTH = 5,
    GLYPH_HEIGHT = 7,
    PAPER = 255,
    FRAME = 208,
    INK = 0,
    NEAR_GREY = 40, /* of the nearest occupied cell; the farthest has FAR_GREY */
    FAR_GREY = 190,
    VIEWS = 3,
};

/* 5 x 7 dots, a byte a row, the leftmost dot in bit 4. */
static const uint8_t glyphs[3][GLYPH_HEIGHT] = {
    {0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11}, /* X */
    {0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04}, /* Y */
    {0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f}, /* Z */
};

struct view {
    int right, up, deep; /* axes */
    bool from_high;      /* the eye is at the high end of `deep` */
};
static const struct view views[VIEWS] = {{0, 2, 1, false}, {1, 2, 0, true}, {0, 1, 2, true}};

struct drawing {
    int size[3];         /* voxels */
    int cells[3];        /* of a view along each axis */
    int thin;            /* voxels a cell, each way; 1 unless an axis is too long */
    int scale;           /* pixels a cell */
    int *nearest[VIEWS]; /* [cells up, cells right]: voxels from the eye, -1 = none */
    struct image image;
};

static bool plan_cells(struct drawing *d, struct err *e)
{
    int longest = 1;
    for (int a = 0; a < 3; a++)
        longest = d->size[a] > longest ? d->size[a] : longest;
    d->thin = (longest + CELLS_MAX - 1) / CELLS_MAX;
    for (int a = 0; a < 3; a++)
        d->cells[a] = (d->size[a] + d->thin - 1) / d->thin;
    longest = (longest + d->thin - 1) / d->thin;
    d->scale = (LONGEST_PX_MIN + longest - 1) / longest;

    for (int v = 0; v < VIEWS; v++) {
        size_t count = (size_t)d->cells[views[v].right] * (size_t)d->cells[views[v].up];
        d->nearest[v] = malloc(count * sizeof *d->nearest[v]);
        if (!d->nearest[v])
            return err_no_memory(e);
        memset(d->nearest[v], 0xff, count * sizeof *d->nearest[v]); /* -1 */
    }
    return true;
}

static void see_voxel(struct drawing *d, const int at[3])
{
    for (int v = 0; v < VIEWS; v++) {
        const struct view *view = &views[v];
        int right = at[view->right] / d->thin, up = at[view->up] / d->thin;
        int depth = view->from_high ? d->size[view->deep] - 1 - at[view->deep] : at[view->deep];
        int *nearest = &d->nearest[v][(size_t)up * (size_t)d->cells[view->right] + (size_t)right];
        if (*nearest < 0 || depth < *nearest)
            *nearest = depth;
    }
}

static void see_grid(struct drawing *d, const void *grid, enum cnn_dtype dtype)
{
    const uint8_t *bytes = grid;
    const float *floats = grid;
    size_t i = 0;
    for (int x = 0; x < d->size[0]; x++)
        for (int y = 0; y < d->size[1]; y++)
            for (int z = 0; z < d->size[2]; z++, i++)
                if (dtype == CNN_U8 ? bytes[i] > 0 : floats[i] > 0)
                    see_voxel(d, (int[]){x, y, z});
}

/* Rows count downwards from the top of the picture. */
static void fill(struct image *image, int x, int y, int width, int height, uint8_t grey)
{
    for (int row = y; row < y + height; row++)
        memset(image->pixels + (size_t)row * (size_t)image->width + x, grey, (size_t)width);
}

static void draw_letter(struct image *image, int axis, int x, int y)
{
    for (int row = 0; row < GLYPH_HEIGHT; row++)
        for (int column = 0; column < GLYPH_WIDTH; column++)
            if (glyphs[axis][row] >> (GLYPH_WIDTH - 1 - column) & 1)
                fill(image, x + column * GLYPH_SCALE, y + row * GLYPH_SCALE, GLYPH_SCALE,
                     GLYPH_SCALE, INK);
}

static uint8_t shade(int depth, int depths)
{
    if (depth < 0)
        return PAPER;
    return (uint8_t)(NEAR_GREY + (int64_t)(FAR_GREY - NEAR_GREY) * depth / depths);
}

/* One view, its frame's upper left corner at (left, top). */
static void draw_view(struct drawing *d, int v, int left, int top)
{
    const struct view *view = &views[v];
    int columns = d->cells[view->right], rows = d->cells[view->up];
    int width = columns * d->scale, height = rows * d->scale;
    fill(&d->image, left - 1, top - 1, width + 2, height + 2, FRAME);
    for (int up = 0; up < rows; up++)
        for (int right = 0; right < columns; right++) {
            int depth = d->nearest[v][(size_t)up * (size_t)columns + (size_t)right];
            fill(&d->image, left + right * d->scale, top + (rows - 1 - up) * d->scale, d->scale,
                 d->scale, shade(depth, d->size[view->deep]));
        }
    const int gap = (MARGIN_PX - GLYPH_WIDTH * GLYPH_SCALE) / 2;
    draw_letter(&d->image, view->right, left + (width - GLYPH_WIDTH * GLYPH_SCALE) / 2,
                top + height + gap - 1);
    draw_letter(&d->image, view->up, left - MARGIN_PX + gap,
                top + (height - GLYPH_HEIGHT * GLYPH_SCALE) / 2);
}

/* The views stand on one base line; a margin lies around each. */
static bool draw_views(struct drawing *d, struct err *e)
{
    int width = MARGIN_PX, tallest = GLYPH_HEIGHT * GLYPH_SCALE;
    for (int v = 0; v < VIEWS; v++) {
        int height = d->cells[views[v].up] * d->scale;
        width += d->cells[views[v].right] * d->scale + MARGIN_PX;
        tallest = height > tallest ? height : tallest;
    }
    struct image *image = &d->image;
    *image = (struct image){.width = width, .height = tallest + 2 * MARGIN_PX, .channels = 1};
    size_t pixels = (size_t)image->width * (size_t)image->height;
    image->pixels = malloc(pixels);
    if (!image->pixels)
        return err_no_memory(e);
    memset(image->pixels, PAPER, pixels);
    int left = MARGIN_PX;
    for (int v = 0; v < VIEWS; v++) {
        draw_view(d, v, left, MARGIN_PX + tallest - d->cells[views[v].up] * d->scale);
        left += d->cells[views[v].right] * d->scale + MARGIN_PX;
    }
    return true;
}

bool voxel_picture_draw(const void *grid, enum cnn_dtype dtype, const int size[3],
                        struct image *image, struct err *e)
{
    struct drawing d = {0};
    for (int a = 0; a < 3; a++) {
        CHECK(size[a] >= 1 && size[a] <= CNN_DIM_MAX);
        d.size[a] = size[a];
    }
    bool ok = plan_cells(&d, e);
    if (ok) {
        see_grid(&d, grid, dtype);
        ok = draw_views(&d, e);
    }
    for (int v = 0; v < VIEWS; v++)
        free(d.nearest[v]);
    if (ok)
        *image = d.image;
    return ok;
}
