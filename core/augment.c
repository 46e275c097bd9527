/* DESIGN: one pass over a plane of cells.
 *
 * The two axes that a sample turns in span a plane: a picture's or signal's H and W, with cells of
 * C floats; a voxel grid's x and y (D and H), with cells of W*C floats, one column of voxels each.
 * The sample is copied into scratch with one more cell on every side; the third axis of voxel grids
 * (z) is shifted and zoomed by that copy. Then each cell of the plane is read back from where the
 * inverse map says. The cells around hold what lies beyond the edge, so that a clamped coordinate
 * is all the care that edges need.
 */
#include "augment.h"

#include <math.h>
#include <string.h>

#include "limits.h"
#include "memory.h"
#include "rng.h"

enum { STREAM_AUGMENT = 0x617567 }; /* of the training seed; train.c has the others */

static const double degree = 3.14159265358979323846 / 180;

static const char *const flip_names[CNN_FLIP_COUNT] = {
    [CNN_FLIP_NONE] = "none",
    [CNN_FLIP_HORIZONTAL] = "horizontal",
    [CNN_FLIP_VERTICAL] = "vertical",
    [CNN_FLIP_X] = "x",
    [CNN_FLIP_Y] = "y",
    [CNN_FLIP_BOTH] = "both",
};
static const char *const fill_names[CNN_FILL_COUNT] = {
    [CNN_FILL_ZERO] = "zero", [CNN_FILL_EDGE] = "edge"};

const char *cnn_flip_name(enum cnn_flip flip)
{
    return flip_names[flip];
}

const char *cnn_fill_name(enum cnn_fill fill)
{
    return fill_names[fill];
}

struct cnn_augment cnn_augment_none(void)
{
    return (struct cnn_augment){.scale = {1, 1}};
}

static bool moves(const struct cnn_augment *augment)
{
    return augment->shift > 0 || augment->flip != CNN_FLIP_NONE || augment->rotate90 ||
           augment->rotate > 0 || augment->rotate_z > 1 || augment->scale[0] != 1 ||
           augment->scale[1] != 1;
}

bool cnn_augment_any(const struct cnn_augment *augment)
{
    return moves(augment) || augment->noise > 0 || augment->cutout > 0;
}

/* ---- what may be asked for ---- */

static bool check_number(const char *field, double value, double low, double high, struct err *e)
{
    if (value >= low && value <= high)
        return true;
    return err_field(e, ERR_INVALID, field, "%g is not in %g..%g", value, low, high);
}

bool cnn_augment_check(const struct cnn_augment *augment, struct err *e)
{
    const double zoom = CNN_ZOOM_MAX;
    if (!check_number("augment.shift", augment->shift, 0, CNN_DIM_MAX, e) ||
        !check_number("augment.rotate", augment->rotate, 0, 180, e) ||
        !check_number("augment.rotate_z", augment->rotate_z, 0, CNN_TURNS_MAX, e) ||
        !check_number("augment.scale[0]", augment->scale[0], 1 / zoom, zoom, e) ||
        !check_number("augment.scale[1]", augment->scale[1], 1 / zoom, zoom, e) ||
        !check_number("augment.noise", augment->noise, 0, CNN_NOISE_MAX, e) ||
        !check_number("augment.cutout", augment->cutout, 0, CNN_DIM_MAX, e))
        return false;
    if (augment->scale[0] > augment->scale[1])
        return err_field(e, ERR_INVALID, "augment.scale", "%g..%g is no range", augment->scale[0],
                         augment->scale[1]);
    if ((int)augment->flip < 0 || augment->flip >= CNN_FLIP_COUNT)
        return err_field(e, ERR_INVALID, "augment.flip", "unknown axis");
    if ((int)augment->fill < 0 || augment->fill >= CNN_FILL_COUNT)
        return err_field(e, ERR_INVALID, "augment.fill", "unknown fill");
    return true;
}

static bool no_fit(const char *field, const char *what, const struct cnn_shape *shape,
                   struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    return err_field(e, ERR_INVALID, field, "%s, the samples are %s", what,
                     cnn_shape_text(shape, text));
}

static bool flip_fits(enum cnn_flip flip, const struct cnn_shape *shape, struct err *e)
{
    static const struct {
        int rank_min, rank_max;
        const char *what;
    } needs[CNN_FLIP_COUNT] = {
        [CNN_FLIP_NONE] = {0, 3, ""},
        [CNN_FLIP_HORIZONTAL] = {1, 2, "'horizontal' flips pictures and signals"},
        [CNN_FLIP_VERTICAL] = {2, 2, "'vertical' flips pictures"},
        [CNN_FLIP_X] = {3, 3, "'x' flips voxel grids"},
        [CNN_FLIP_Y] = {3, 3, "'y' flips voxel grids"},
        [CNN_FLIP_BOTH] = {2, 3, "'both' flips pictures and voxel grids"},
    };
    return (shape->rank >= needs[flip].rank_min && shape->rank <= needs[flip].rank_max) ||
           no_fit("augment.flip", needs[flip].what, shape, e);
}

/* A shift or side must leave something of the sample on every axis that has more than one pixel. */
static bool length_fits(const char *field, int length, const struct cnn_shape *shape, struct err *e)
{
    if (length == 0)
        return true;
    if (shape->rank == 0)
        return no_fit(field, "it takes samples with axes", shape, e);
    for (int axis = 0; axis < CNN_AXES; axis++) {
        const int size = shape->size[axis];
        if (size > 1 && length >= size)
            return err_field(e, ERR_INVALID, field, "%d is not below the samples' size of %d",
                             length, size);
    }
    return true;
}

bool cnn_augment_fits(const struct cnn_augment *augment, const struct cnn_shape *shape,
                      struct err *e)
{
    const bool zooms = augment->scale[0] != 1 || augment->scale[1] != 1;
    if (!length_fits("augment.shift", augment->shift, shape, e) ||
        !length_fits("augment.cutout", augment->cutout, shape, e) ||
        !flip_fits(augment->flip, shape, e))
        return false;
    if (augment->rotate90 && (shape->rank != 2 || shape->size[1] != shape->size[2]))
        return no_fit("augment.rotate90", "'rotate90' turns square pictures", shape, e);
    if (augment->rotate > 0 && shape->rank < 2)
        return no_fit("augment.rotate", "'rotate' turns pictures and voxel grids", shape, e);
    if (augment->rotate_z > 0 && shape->rank != 3)
        return no_fit("augment.rotate_z", "'rotate_z' turns voxel grids", shape, e);
    if (zooms && shape->rank == 0)
        return no_fit("augment.scale", "it takes samples with axes", shape, e);
    return true;
}

/* ---- the map ---- */

/* A sample as cells of a plane; a and b are the plane's axes, the latter running faster. */
struct plane {
    const struct cnn_augment *augment;
    int a, b;        /* cells along each */
    int depth;       /* pixels of a cell: along z */
    size_t channels; /* floats of a pixel */
    size_t cell;     /* floats of a cell */
    bool grid;       /* of voxels */
    /* In scratch: */
    float *cells;      /* [a+2, b+2, cell] */
    float *background; /* [channels]: a pixel of it */
    int *depths;       /* [depth]: where the pixels of a cell come from */
};

/* From offsets in the result to offsets in the sample, both from the middle. */
struct map {
    double m[2][2];
    double zoom; /* > 1: larger */
    int shift[CNN_AXES];
    bool whole; /* cells go to cells: nothing lies between */
    bool still; /* nothing moves */
};

static struct plane plane_of(const struct cnn_augment *augment, const struct cnn_shape *shape)
{
    const bool grid = shape->rank == 3;
    return (struct plane){
        .augment = augment,
        .a = shape->size[grid ? 0 : 1],
        .b = shape->size[grid ? 1 : 2],
        .depth = grid ? shape->size[2] : 1,
        .channels = (size_t)shape->c,
        .cell = (size_t)shape->c * (size_t)(grid ? shape->size[2] : 1),
        .grid = grid,
    };
}

static size_t cells_bytes(const struct plane *plane)
{
    const size_t cells = (size_t)(plane->a + 2) * (size_t)(plane->b + 2);
    return memory_aligned(cells * plane->cell * sizeof *plane->cells);
}

static size_t background_bytes(const struct plane *plane)
{
    return memory_aligned(plane->channels * sizeof *plane->background);
}

size_t cnn_augment_scratch_bytes(const struct cnn_shape *shape)
{
    const struct plane plane = plane_of(NULL, shape);
    return cells_bytes(&plane) + background_bytes(&plane) +
           memory_aligned((size_t)plane.depth * sizeof *plane.depths);
}

static void use_scratch(struct plane *plane, const struct cnn_normalize *normalize, char *scratch)
{
    plane->cells = (float *)(void *)scratch;
    plane->background = (float *)(void *)(scratch + cells_bytes(plane));
    plane->depths = (int *)(void *)(scratch + cells_bytes(plane) + background_bytes(plane));
    for (size_t c = 0; c < plane->channels; c++) {
        const bool normalized = c < (size_t)normalize->channels;
        plane->background[c] = normalized ? (0 - normalize->mean[c]) / normalize->deviation[c] : 0;
    }
}

/* Quarter turns and an angle below one, so that quarter turns alone are exact. */
static void draw_turn(const struct cnn_augment *augment, struct cnn_rng *rng, int *quarters,
                      double *degrees)
{
    *quarters = augment->rotate90 ? (int)cnn_rng_below(rng, 4) : 0;
    *degrees = 0;
    if (augment->rotate_z > 1) {
        const int of = augment->rotate_z, turn = (int)cnn_rng_below(rng, (uint32_t)of);
        *quarters += 4 * turn / of;
        *degrees += 90.0 * (4 * turn % of) / of;
    }
    if (augment->rotate > 0)
        *degrees += cnn_rng_uniform(rng, (float)-augment->rotate, (float)augment->rotate);
}

static void rotation(double m[2][2], int quarters, double degrees, double zoom)
{
    double c = degrees == 0 ? 1 : cos(degrees * degree);
    double s = degrees == 0 ? 0 : sin(degrees * degree);
    for (int i = 0; i < quarters % 4; i++) {
        const double held = c;
        c = -s;
        s = held;
    }
    m[0][0] = m[1][1] = c / zoom;
    m[0][1] = s / zoom;
    m[1][0] = -s / zoom;
}

static void flip_axis(double row[2], struct cnn_rng *rng, bool may)
{
    if (may && cnn_rng_below(rng, 2) == 1) {
        row[0] = -row[0];
        row[1] = -row[1];
    }
}

static int draw_shift(int most, int size, struct cnn_rng *rng)
{
    return most == 0 || size == 1 ? 0 : (int)cnn_rng_below(rng, 2 * (uint32_t)most + 1) - most;
}

static struct map draw_map(const struct plane *plane, struct cnn_rng *rng)
{
    const struct cnn_augment *augment = plane->augment;
    const enum cnn_flip flip = augment->flip;
    struct map map = {.zoom = augment->scale[0]};
    int quarters;
    double degrees;
    draw_turn(augment, rng, &quarters, &degrees);
    if (augment->scale[0] < augment->scale[1])
        map.zoom = cnn_rng_uniform(rng, (float)augment->scale[0], (float)augment->scale[1]);
    rotation(map.m, quarters, degrees, map.zoom);
    flip_axis(map.m[0], rng,
              flip == CNN_FLIP_VERTICAL || flip == CNN_FLIP_X || flip == CNN_FLIP_BOTH);
    flip_axis(map.m[1], rng,
              flip == CNN_FLIP_HORIZONTAL || flip == CNN_FLIP_Y || flip == CNN_FLIP_BOTH);
    const int sizes[CNN_AXES] = {plane->a, plane->b, plane->depth};
    bool shifted = false;
    for (int i = 0; i < CNN_AXES; i++) {
        map.shift[i] = draw_shift(augment->shift, sizes[i], rng);
        shifted = shifted || map.shift[i] != 0;
    }
    map.whole = map.zoom == 1 && degrees == 0 && (quarters % 2 == 0 || plane->a == plane->b);
    map.still = map.whole && !shifted && map.m[0][0] == 1 && map.m[1][1] == 1;
    return map;
}

/* ---- the copy with a border ---- */

static void fill_pixels(const struct plane *plane, float *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < plane->channels; c++)
            *to++ = plane->background[c];
}

/* Where along z each pixel of a cell comes from, -1 if from beyond; false: from where it is. */
static bool draw_depths(const struct plane *plane, const struct map *map)
{
    const double middle = (plane->depth - 1) / 2.0;
    if (!plane->grid || (map->zoom == 1 && map->shift[2] == 0))
        return false;
    for (int i = 0; i < plane->depth; i++) {
        const double from = (i - map->shift[2] - middle) / map->zoom + middle;
        const int nearest = (int)floor(from + 0.5), last = plane->depth - 1;
        if (plane->augment->fill == CNN_FILL_EDGE)
            plane->depths[i] = nearest < 0 ? 0 : nearest > last ? last : nearest;
        else
            plane->depths[i] = nearest < 0 || nearest > last ? -1 : nearest;
    }
    return true;
}

static void copy_depths(const struct plane *plane, const float *from, float *to)
{
    const size_t channels = plane->channels;
    for (int i = 0; i < plane->depth; i++) {
        const int depth = plane->depths[i];
        const float *pixel = depth < 0 ? plane->background : from + (size_t)depth * channels;
        for (size_t c = 0; c < channels; c++)
            *to++ = pixel[c];
    }
}

/* One row of cells with one more at each end. */
static void copy_row(const struct plane *plane, bool depths, const float *from, float *to)
{
    const size_t cell = plane->cell, row = (size_t)plane->b * cell;
    if (depths) {
        for (int b = 0; b < plane->b; b++)
            copy_depths(plane, from + (size_t)b * cell, to + (size_t)(b + 1) * cell);
    } else {
        memcpy(to + cell, from, row * sizeof *to);
    }
    if (plane->augment->fill == CNN_FILL_EDGE) {
        memcpy(to, to + cell, cell * sizeof *to);
        memcpy(to + cell + row, to + row, cell * sizeof *to);
    } else {
        fill_pixels(plane, to, (size_t)plane->depth);
        fill_pixels(plane, to + cell + row, (size_t)plane->depth);
    }
}

static void copy_cells(const struct plane *plane, const struct map *map, const float *x)
{
    const bool depths = draw_depths(plane, map);
    const size_t row = (size_t)plane->b * plane->cell, wide = row + 2 * plane->cell;
    float *first = plane->cells, *last = plane->cells + (size_t)(plane->a + 1) * wide;
    for (int a = 0; a < plane->a; a++)
        copy_row(plane, depths, x + (size_t)a * row, first + (size_t)(a + 1) * wide);
    if (plane->augment->fill == CNN_FILL_EDGE) {
        memcpy(first, first + wide, wide * sizeof *first);
        memcpy(last, last - wide, wide * sizeof *first);
    } else {
        const size_t pixels = (size_t)(plane->b + 2) * (size_t)plane->depth;
        fill_pixels(plane, first, pixels);
        fill_pixels(plane, last, pixels);
    }
}

/* ---- reading back ---- */

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* Short cells are not worth a call. */
static void copy_cell(float *to, const float *from, size_t cell)
{
    if (cell >= 8) {
        memcpy(to, from, cell * sizeof *to);
        return;
    }
    for (size_t i = 0; i < cell; i++)
        to[i] = from[i];
}

/* at: where a row begins, in cells of the plane; the border's coordinates are -1 and the size. */
static void read_nearest(const struct plane *plane, const struct map *map, const double at[2],
                         float *out)
{
    const size_t cell = plane->cell, wide = (size_t)plane->b + 2;
    for (int i = 0; i < plane->b; i++) {
        const double a = clamp(at[0] + map->m[0][1] * i, -1, plane->a);
        const double b = clamp(at[1] + map->m[1][1] * i, -1, plane->b);
        const size_t from = (size_t)(a + 1.5) * wide + (size_t)(b + 1.5);
        copy_cell(out + (size_t)i * cell, plane->cells + from * cell, cell);
    }
}

static void read_linear(const struct plane *plane, const struct map *map, const double at[2],
                        float *out)
{
    const size_t cell = plane->cell, wide = ((size_t)plane->b + 2) * cell;
    for (int i = 0; i < plane->b; i++) {
        const double a = clamp(at[0] + map->m[0][1] * i, -1, plane->a) + 1;
        const double b = clamp(at[1] + map->m[1][1] * i, -1, plane->b) + 1;
        const int row = a < plane->a ? (int)a : plane->a, col = b < plane->b ? (int)b : plane->b;
        const float down = (float)(a - row), right = (float)(b - col);
        const float *from = plane->cells + (size_t)row * wide + (size_t)col * cell;
        for (size_t c = 0; c < cell; c++, from++) {
            const float upper = from[0] + right * (from[cell] - from[0]);
            const float lower = from[wide] + right * (from[wide + cell] - from[wide]);
            *out++ = upper + down * (lower - upper);
        }
    }
}

static void move(const struct plane *plane, const struct map *map, float *x)
{
    const double middle_a = (plane->a - 1) / 2.0, middle_b = (plane->b - 1) / 2.0;
    const double b = -map->shift[1] - middle_b;
    copy_cells(plane, map, x);
    for (int i = 0; i < plane->a; i++) {
        const double a = i - map->shift[0] - middle_a;
        const double at[2] = {map->m[0][0] * a + map->m[0][1] * b + middle_a,
                              map->m[1][0] * a + map->m[1][1] * b + middle_b};
        float *row = x + (size_t)i * (size_t)plane->b * plane->cell;
        if (plane->grid || map->whole)
            read_nearest(plane, map, at, row);
        else
            read_linear(plane, map, at, row);
    }
}

/* ---- noise and cutout ---- */

/* The sum of a draw's eight bytes: near enough to normal (Irwin and Hall), and far quicker than
 * logarithms and cosines; its mean is 1020, its variance 8 * (256^2 - 1) / 12. */
static void add_noise(double deviation, struct cnn_rng *rng, float *x, size_t count)
{
    const float unit = (float)(deviation / sqrt(8 * 65535 / 12.0));
    for (size_t i = 0; i < count; i++) {
        const uint64_t bytes = cnn_rng_next(rng), mask = 0x00ff00ff00ff00ff;
        const uint64_t pairs = (bytes & mask) + (bytes >> 8 & mask);
        const int sum = (int)(pairs * 0x0001000100010001 >> 48);
        x[i] += unit * (float)(sum - 1020);
    }
}

static void cut_out(const struct plane *plane, const struct cnn_shape *shape, struct cnn_rng *rng,
                    float *x)
{
    int first[CNN_AXES], count[CNN_AXES];
    for (int i = 0; i < CNN_AXES; i++) {
        const int size = shape->size[i];
        count[i] = size == 1 ? 1 : plane->augment->cutout;
        first[i] = (int)cnn_rng_below(rng, (uint32_t)(size - count[i] + 1));
    }
    for (int d = first[0]; d < first[0] + count[0]; d++) {
        for (int h = first[1]; h < first[1] + count[1]; h++) {
            const size_t line = (size_t)d * (size_t)shape->size[1] + (size_t)h;
            const size_t at = line * (size_t)shape->size[2] + (size_t)first[2];
            fill_pixels(plane, x + at * plane->channels, (size_t)count[2]);
        }
    }
}

void cnn_augment_apply(const struct cnn_augment *augment, const struct cnn_samples *samples,
                       uint64_t seed, uint64_t step, int place, float *x, void *scratch)
{
    const struct cnn_shape *shape = &samples->shape;
    struct plane plane = plane_of(augment, shape);
    struct cnn_rng rng;
    use_scratch(&plane, &samples->normalize, scratch);
    cnn_rng_init(&rng, seed, cnn_rng_mix(cnn_rng_mix(STREAM_AUGMENT, step), (uint64_t)place));
    if (moves(augment)) {
        const struct map map = draw_map(&plane, &rng);
        if (!map.still)
            move(&plane, &map, x);
    }
    if (augment->noise > 0)
        add_noise(augment->noise, &rng, x, cnn_shape_count(shape));
    if (augment->cutout > 0)
        cut_out(&plane, shape, &rng, x);
}
