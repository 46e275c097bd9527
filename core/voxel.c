#include "voxel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "memory.h"
#include "rng.h"

enum { SAMPLES_DEFAULT = 2048 };
enum { EMPTY = 0, OCCUPIED = 1, OUTSIDE = 2 }; /* the last only while filling */

void cnn_mesh_clear(struct cnn_mesh *mesh)
{
    free(mesh->vertices);
    free(mesh->triangles);
    *mesh = (struct cnn_mesh){0};
}

struct cnn_voxelize cnn_voxelize_defaults(void)
{
    return (struct cnn_voxelize){.axes = {0, 1, 2}, .samples = SAMPLES_DEFAULT};
}

bool cnn_voxel_shape_check(const struct cnn_shape *shape, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (shape->rank != CNN_AXES || shape->c != 1)
        return err_set(e, ERR_INVALID, "no grid of voxels has the shape %s, expected [1,D,H,W]",
                       cnn_shape_text(shape, text));
    return cnn_shape_check(shape, e);
}

static bool check_finite(const float *points, size_t count, struct err *e)
{
    for (size_t i = 0; i < 3 * count; i++) {
        if (isfinite(points[i]))
            continue;
        err_set(e, ERR_INVALID, "coordinate %c of point %zu is not a finite number", "xyz"[i % 3],
                i / 3);
        return err_within(e, "[%zu][%zu]", i / 3, i % 3);
    }
    return true;
}

/* ---- surface ---- */

struct corners {
    const float *a, *b, *c;
};

static struct corners triangle_corners(const struct cnn_mesh *mesh, uint32_t t)
{
    const uint32_t *index = mesh->triangles + 3 * (size_t)t;
    return (struct corners){
        mesh->vertices + 3 * (size_t)index[0],
        mesh->vertices + 3 * (size_t)index[1],
        mesh->vertices + 3 * (size_t)index[2],
    };
}

/* In double nothing here overflows or vanishes: floats lie between 1e-45 and 4e38, so the squares
 * of products of their differences between 1e-180 and 1e156. */
static double triangle_area(const struct cnn_mesh *mesh, uint32_t t)
{
    struct corners k = triangle_corners(mesh, t);
    double u[3], v[3];
    for (int i = 0; i < 3; i++) {
        u[i] = (double)k.b[i] - k.a[i];
        v[i] = (double)k.c[i] - k.a[i];
    }
    double x = u[1] * v[2] - u[2] * v[1];
    double y = u[2] * v[0] - u[0] * v[2];
    double z = u[0] * v[1] - u[1] * v[0];
    return sqrt(x * x + y * y + z * z) / 2;
}

/* Uniform in the triangle: a point of the parallelogram, mirrored into its lower half. */
static void triangle_point(const struct cnn_mesh *mesh, uint32_t t, struct cnn_rng *rng, float *p)
{
    struct corners k = triangle_corners(mesh, t);
    double u = (double)cnn_rng_uniform(rng, 0, 1), v = (double)cnn_rng_uniform(rng, 0, 1);
    if (u + v > 1) {
        u = 1 - u;
        v = 1 - v;
    }
    for (int i = 0; i < 3; i++)
        p[i] = (float)(k.a[i] + u * ((double)k.b[i] - k.a[i]) + v * ((double)k.c[i] - k.a[i]));
}

static void sample_vertices(const struct cnn_mesh *mesh, uint32_t count, float *points)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t vertex = (size_t)((uint64_t)i * mesh->vertex_count / count);
        memcpy(points + 3 * (size_t)i, mesh->vertices + 3 * vertex, 3 * sizeof *points);
    }
}

bool cnn_mesh_sample(const struct cnn_mesh *mesh, uint64_t seed, uint32_t count, float *points,
                     struct err *e)
{
    if (mesh->vertex_count == 0)
        return err_set(e, ERR_INVALID, "the mesh has no vertices");
    if (!check_finite(mesh->vertices, mesh->vertex_count, e))
        return false;
    double total = 0;
    uint32_t last = 0; /* with an area: where rounding must not lead past */
    for (uint32_t t = 0; t < mesh->triangle_count; t++) {
        double area = triangle_area(mesh, t);
        total += area;
        last = area > 0 ? t : last;
    }
    if (!(total > 0)) {
        sample_vertices(mesh, count, points);
        return true;
    }
    struct cnn_rng rng;
    cnn_rng_init(&rng, seed, 0);
    uint32_t t = 0;
    double end = triangle_area(mesh, 0); /* of triangle t, on the way over the whole surface */
    for (uint32_t i = 0; i < count; i++) {
        double at = total * (i + (double)cnn_rng_uniform(&rng, 0, 1)) / count;
        while (at >= end && t < last)
            end += triangle_area(mesh, ++t);
        triangle_point(mesh, t, &rng, points + 3 * (size_t)i);
    }
    return true;
}

/* ---- points to voxels ---- */

/* Along one axis: voxel floor((x - origin) * scale + offset), kept inside [0, size). */
struct axis {
    int from;         /* which coordinate runs along it */
    double low, high; /* the object's bounds */
    double origin, scale, offset;
    int size;
};

static void find_bounds(const float *points, size_t count, struct axis *axis)
{
    axis->low = axis->high = points[axis->from];
    for (size_t i = 0; i < count; i++) {
        double x = points[3 * i + (size_t)axis->from];
        axis->low = x < axis->low ? x : axis->low;
        axis->high = x > axis->high ? x : axis->high;
    }
}

static void fit_stretch(struct axis *axes)
{
    for (int a = 0; a < CNN_AXES; a++) {
        double extent = axes[a].high - axes[a].low;
        axes[a].origin = axes[a].low;
        axes[a].scale = extent > 0 ? axes[a].size / extent : 0;
    }
}

static void fit_aspect(struct axis *axes)
{
    double scale = INFINITY;
    for (int a = 0; a < CNN_AXES; a++) {
        double extent = axes[a].high - axes[a].low;
        scale = extent > 0 ? fmin(scale, axes[a].size / extent) : scale;
    }
    for (int a = 0; a < CNN_AXES; a++) {
        axes[a].origin = (axes[a].low + axes[a].high) / 2;
        axes[a].scale = isfinite(scale) ? scale : 0; /* every axis flat: all in the middle */
        axes[a].offset = axes[a].size / 2.0;
    }
}

static size_t axis_voxel(const struct axis *axis, const float *point)
{
    double at = floor(((double)point[axis->from] - axis->origin) * axis->scale + axis->offset);
    return (size_t)fmin(fmax(at, 0), axis->size - 1);
}

static void set_voxel(const struct cnn_shape *shape, uint8_t *grid, size_t x, size_t y, size_t z)
{
    grid[(x * (size_t)shape->size[1] + y) * (size_t)shape->size[2] + z] = OCCUPIED;
}

static bool axes_init(struct axis *axes, const struct cnn_voxelize *how,
                      const struct cnn_shape *shape, struct err *e)
{
    unsigned seen = 0;
    for (int a = 0; a < CNN_AXES; a++) {
        axes[a] = (struct axis){.from = how->axes[a], .size = shape->size[a]};
        seen |= how->axes[a] < CNN_AXES ? 1u << how->axes[a] : 0;
    }
    return seen == 7 || err_field(e, ERR_INVALID, "axes", "axes are not x, y and z in some order");
}

/* ---- filling ---- */

struct flood {
    uint8_t *grid;
    uint32_t *queue; /* [voxels]: each enters at most once */
    size_t queued;
};

static void flood_visit(struct flood *flood, size_t voxel)
{
    if (flood->grid[voxel] != EMPTY)
        return;
    flood->grid[voxel] = OUTSIDE;
    flood->queue[flood->queued++] = (uint32_t)voxel;
}

static void flood_border(struct flood *flood, const struct cnn_shape *shape)
{
    int d = shape->size[0], h = shape->size[1], w = shape->size[2];
    size_t voxel = 0;
    for (int x = 0; x < d; x++)
        for (int y = 0; y < h; y++)
            for (int z = 0; z < w; z++, voxel++)
                if (x == 0 || x == d - 1 || y == 0 || y == h - 1 || z == 0 || z == w - 1)
                    flood_visit(flood, voxel);
}

/* Occupies what cannot be reached from outside through faces of empty voxels. */
static bool fill_inside(uint8_t *grid, const struct cnn_shape *shape, struct err *e)
{
    const size_t voxels = cnn_shape_pixels(shape);
    const size_t step[CNN_AXES] = {(size_t)shape->size[1] * (size_t)shape->size[2],
                                   (size_t)shape->size[2], 1};
    struct flood flood = {.grid = grid, .queue = memory_new(voxels, sizeof(uint32_t), e)};
    if (!flood.queue)
        return false;
    flood_border(&flood, shape);
    for (size_t i = 0; i < flood.queued; i++) {
        size_t voxel = flood.queue[i];
        for (int a = 0; a < CNN_AXES; a++) {
            size_t at = voxel / step[a] % (size_t)shape->size[a];
            if (at > 0)
                flood_visit(&flood, voxel - step[a]);
            if (at + 1 < (size_t)shape->size[a])
                flood_visit(&flood, voxel + step[a]);
        }
    }
    free(flood.queue);
    for (size_t i = 0; i < voxels; i++)
        grid[i] = grid[i] != OUTSIDE;
    return true;
}

bool cnn_voxels_from_points(const float *points, size_t count, const struct cnn_voxelize *how,
                            const struct cnn_shape *shape, uint8_t *grid, struct err *e)
{
    struct axis axes[CNN_AXES];
    if (!cnn_voxel_shape_check(shape, e) || !axes_init(axes, how, shape, e))
        return false;
    if (count == 0)
        return err_set(e, ERR_INVALID, "no points to make voxels of");
    if (!check_finite(points, count, e))
        return false;
    for (int a = 0; a < CNN_AXES; a++)
        find_bounds(points, count, &axes[a]);
    if (how->fit == CNN_VOXEL_ASPECT)
        fit_aspect(axes);
    else
        fit_stretch(axes);
    memset(grid, EMPTY, cnn_shape_count(shape));
    for (const float *p = points; p < points + 3 * count; p += 3)
        set_voxel(shape, grid, axis_voxel(&axes[0], p), axis_voxel(&axes[1], p),
                  axis_voxel(&axes[2], p));
    return !how->solid || fill_inside(grid, shape, e);
}

bool cnn_voxels_from_mesh(const struct cnn_mesh *mesh, const struct cnn_voxelize *how,
                          const struct cnn_shape *shape, uint8_t *grid, struct err *e)
{
    if (!cnn_voxel_shape_check(shape, e))
        return false;
    if (how->samples < 1 || how->samples > CNN_VOXEL_SAMPLES_MAX)
        return err_field(e, ERR_INVALID, "samples", "%u points are out of range 1 to %d",
                         how->samples, CNN_VOXEL_SAMPLES_MAX);
    float *points = memory_new(how->samples, 3 * sizeof *points, e);
    bool ok = points && cnn_mesh_sample(mesh, how->seed, how->samples, points, e) &&
              cnn_voxels_from_points(points, how->samples, how, shape, grid, e);
    free(points);
    return ok;
}

bool cnn_voxels_from_list(const float *occupied, size_t count, const struct cnn_shape *shape,
                          uint8_t *grid, struct err *e)
{
    if (!cnn_voxel_shape_check(shape, e))
        return false;
    memset(grid, EMPTY, cnn_shape_count(shape));
    for (size_t i = 0; i < count; i++) {
        const float *voxel = occupied + 3 * i;
        for (int a = 0; a < CNN_AXES; a++) {
            float x = voxel[a];
            if (x >= 0 && x < (float)shape->size[a] && x == floorf(x))
                continue;
            err_set(e, ERR_INVALID, "voxel %zu has %c = %g, expected a whole number 0 to %d", i,
                    "xyz"[a], (double)x, shape -> size[a] - 1);
            return err_within(e, "[%zu][%d]", i, a);
        }
        set_voxel(shape, grid, (size_t)voxel[0], (size_t)voxel[1], (size_t)voxel[2]);
    }
    return true;
}
