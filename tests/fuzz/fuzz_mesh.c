/* Any bytes as a mesh: what is read must be sound, and become a grid both ways. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "mesh.h"

enum { SIDE = 12 };

static void check_sound(const struct cnn_mesh *mesh)
{
    CHECK(mesh->vertex_count > 0);
    for (size_t i = 0; i < 3 * (size_t)mesh->vertex_count; i++)
        CHECK(isfinite(mesh->vertices[i]));
    for (size_t i = 0; i < 3 * (size_t)mesh->triangle_count; i++)
        CHECK(mesh->triangles[i] < mesh->vertex_count);
}

static void check_grid(const struct cnn_mesh *mesh, enum cnn_voxel_fit fit)
{
    static const struct cnn_shape shape = {.c = 1, .size = {SIDE, SIDE, SIDE}, .rank = 3};
    struct cnn_voxelize how = {.fit = fit, .axes = {1, 0, 2}, .solid = true, .samples = 64};
    uint8_t grid[SIDE * SIDE * SIDE];
    struct err e;
    int occupied = 0;
    CHECK(cnn_voxels_from_mesh(mesh, &how, &shape, grid, &e));
    for (size_t i = 0; i < sizeof grid; i++) {
        CHECK(grid[i] <= 1);
        occupied += grid[i];
    }
    CHECK(occupied > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cnn_mesh mesh;
    struct err e = {0};
    if (!mesh_parse(bytes, size, &mesh, &e)) {
        CHECK(e.code == ERR_UNPROCESSABLE || e.code == ERR_NO_MEMORY);
        CHECK(e.detail[0] != '\0' && !mesh.vertices && !mesh.triangles);
        return 0;
    }
    check_sound(&mesh);
    check_grid(&mesh, CNN_VOXEL_STRETCH);
    check_grid(&mesh, CNN_VOXEL_ASPECT);
    cnn_mesh_clear(&mesh);
    return 0;
}
