/* voxel.h - meshes, points and lists of voxels to occupancy grids.
 *
 * A grid is one canonical sample of shape [1,D,H,W] in bytes, 0 empty and 1 occupied. Its axes are
 * those of the coordinates unless told otherwise: x runs along D, y along H, z along W; voxel
 * (x,y,z) is grid[(x * H + y) * W + z], z fastest, as in ModelNet's published grids, whose z points
 * up.
 *
 * Pure functions: no state, any thread; the same arguments give the same grid. A coordinate that
 * is not finite is ERR_INVALID with its index; finite ones of any size are bounded by arithmetic
 * in double. Cost: points + triangles + voxels, never their product.
 */
#ifndef STRIDED_VOXEL_H
#define STRIDED_VOXEL_H

#include <stdint.h>

#include "shape.h"

struct cnn_mesh {
    uint32_t vertex_count, triangle_count;
    float *vertices;     /* [vertex_count][3], finite */
    uint32_t *triangles; /* [triangle_count][3], each < vertex_count */
};
void cnn_mesh_clear(struct cnn_mesh *mesh);

enum cnn_voxel_fit {
    /* Each axis from the object's own lowest to its highest coordinate: t = (x - min) / (max -
     * min), voxel floor(t * size), the last one for t = 1. Where max = min: voxel 0. */
    CNN_VOXEL_STRETCH,
    /* One scale for all axes, the largest that fits, and the object centred. */
    CNN_VOXEL_ASPECT,
};

struct cnn_voxelize {
    enum cnn_voxel_fit fit;
    uint8_t axes[CNN_AXES]; /* which coordinate, 0 x, 1 y, 2 z, runs along D, H and W. {1,0,2} puts
                               a ModelNet mesh where the published grids have it. */
    bool solid;       /* fill what the occupied voxels enclose; wants samples enough for no holes */
    uint32_t samples; /* points drawn on a mesh's surface, 1..CNN_VOXEL_SAMPLES_MAX */
    uint64_t seed;    /* of drawing them */
};
/* Stretched, x y z, surface only, 2048 samples, seed 0. */
struct cnn_voxelize cnn_voxelize_defaults(void);

/* ERR_INVALID unless grids of this shape can be made: [1,D,H,W] within the bounds of shape.h. */
bool cnn_voxel_shape_check(const struct cnn_shape *shape, struct err *e);

/* Draws `count` points [count][3] on the surface, uniformly by area: the surface, triangle after
 * triangle, is cut into `count` parts of the same area and one point drawn in each. A mesh without
 * area (no triangles, or all degenerate) gives its vertices, evenly chosen or repeated. ERR_INVALID
 * for a mesh with no vertices or one not finite. */
bool cnn_mesh_sample(const struct cnn_mesh *mesh, uint64_t seed, uint32_t count, float *points,
                     struct err *e);

/* Each clears the grid first. Errors of the lists carry the field "[i]" or "[i][axis]". */

/* Points [count][3], at least one; how->samples and seed play no part. */
bool cnn_voxels_from_points(const float *points, size_t count, const struct cnn_voxelize *how,
                            const struct cnn_shape *shape, uint8_t *grid, struct err *e);
/* Points drawn on the surface, then as above; the bounds are those of the points drawn, so
 * vertices that no triangle uses have no effect. */
bool cnn_voxels_from_mesh(const struct cnn_mesh *mesh, const struct cnn_voxelize *how,
                          const struct cnn_shape *shape, uint8_t *grid, struct err *e);
/* Occupied voxels [count][3], whole numbers inside the grid; none is an empty grid. */
bool cnn_voxels_from_list(const float *occupied, size_t count, const struct cnn_shape *shape,
                          uint8_t *grid, struct err *e);

#endif
