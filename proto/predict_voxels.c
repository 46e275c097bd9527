/* predict_voxels.c - meshes, points and lists of occupied voxels, each to one grid. */
#include <cJSON.h>
#include <stdlib.h>

#include "json_read.h"
#include "limits.h"
#include "memory.h"
#include "mesh.h"
#include "predict_decode.h"
#include "tensor_lift.h"

/* Where one sample's voxels go; NULL with *e unless the model takes grids. */
static uint8_t *grid_new(const struct decoding *d, const char *what, struct err *e)
{
    char text[CNN_SHAPE_TEXT];
    if (d->shape->rank == CNN_AXES && d->shape->c == 1)
        return memory_new(d->elements, 1, e);
    err_set(e, ERR_INVALID, "%s do not fit the input %s, only [1,D,H,W]", what,
            cnn_shape_text(d->shape, text));
    return NULL;
}

static bool add_grid(struct decoding *d, const uint8_t *grid, struct err *e)
{
    float *x = predict_extend(d, 1, e);
    if (!x)
        return false;
    preprocess_grid(d->pre, d->shape, grid, x);
    d->batch->count++;
    return true;
}

/* Points cost time, wherever they come from. */
static bool count_points(struct decoding *d, size_t points, struct err *e)
{
    d->points += points;
    return d->points <= LIMIT_PREDICT_POINTS ||
           err_set(e, ERR_TOO_LARGE, "%zu points or more, at most %d are taken at a time",
                   d->points, LIMIT_PREDICT_POINTS);
}

bool predict_add_mesh(struct decoding *d, const void *bytes, size_t size, struct err *e)
{
    struct cnn_mesh mesh = {0};
    uint8_t *grid = grid_new(d, "meshes", e);
    bool ok = grid && count_points(d, d->voxelize.samples, e) &&
              mesh_parse(bytes, size, &mesh, e) &&
              cnn_voxels_from_mesh(&mesh, &d->voxelize, d->shape, grid, e) && add_grid(d, grid, e);
    cnn_mesh_clear(&mesh);
    free(grid);
    return ok;
}

static bool is_triples(const struct tensor *tensor, int rank, struct err *e)
{
    if (tensor->rank == rank && tensor->dims[rank - 1] == CNN_AXES)
        return true;
    if (tensor->rank != rank)
        return err_set(e, ERR_INVALID, "expected a list of [x,y,z], got numbers nested %d deep",
                       tensor->rank);
    err_set(e, ERR_INVALID, "expected [x,y,z], got %zu numbers", tensor->dims[rank - 1]);
    return err_within(e, rank == 2 ? "[0]" : "[0][0]");
}

/* [n,3], or [batch,n,3] where all samples have as many points. */
bool predict_add_points(struct decoding *d, const struct tensor *points, struct err *e)
{
    const bool batch = points->rank == 3;
    const size_t samples = batch ? points->dims[0] : 1, count = points->dims[batch ? 1 : 0];
    uint8_t *grid = NULL;
    bool ok = is_triples(points, batch ? 3 : 2, e) && count_points(d, samples * count, e) &&
              (grid = grid_new(d, "points", e));
    for (size_t i = 0; ok && i < samples; i++) {
        ok = cnn_voxels_from_points(points->data + 3 * count * i, count, &d->voxelize, d->shape,
                                    grid, e) &&
             add_grid(d, grid, e);
        if (!ok && batch)
            err_within(e, "[%zu]", i);
    }
    free(grid);
    return ok;
}

/* [D,H,W] or [1,D,H,W]: the model's own grid. */
static bool check_shape(const struct decoding *d, const struct cJSON *shape, struct err *e)
{
    const struct cJSON *item;
    char text[CNN_SHAPE_TEXT];
    int dims[1 + CNN_AXES], rank = cnn_shape_dims(d->shape, dims);
    int at = cJSON_GetArraySize(shape) == CNN_AXES ? 1 : 0;
    bool same = cJSON_IsArray(shape) && cJSON_GetArraySize(shape) == rank - at;
    cJSON_ArrayForEach(item, shape)
    {
        same = same && at < rank && cJSON_IsNumber(item) && item->valuedouble == dims[at];
        at++;
    }
    return same ||
           err_field(e, ERR_INVALID, "shape", "not the grid %s", cnn_shape_text(d->shape, text));
}

bool predict_add_voxels(struct decoding *d, const struct cJSON *voxels,
                        const struct tensor_list *lifted, struct err *e)
{
    static const char *const keys[] = {"shape", "occupied", NULL};
    if (!json_is_object(voxels, "", e) || !json_only(voxels, keys, e))
        return false;
    const struct cJSON *shape = json_get(voxels, "shape"), *place = json_get(voxels, "occupied");
    uint8_t *grid = grid_new(d, "voxels", e);
    bool ok = grid && (!shape || check_shape(d, shape, e));
    if (ok && !cJSON_IsNumber(place))
        ok = err_field(e, ERR_INVALID, "occupied", "expected a list of [x,y,z]");
    if (ok) {
        const struct tensor *occupied = &lifted->items[place->valueint];
        ok = (is_triples(occupied, 2, e) && count_points(d, occupied->dims[0], e) &&
              cnn_voxels_from_list(occupied->data, occupied->dims[0], d->shape, grid, e)) ||
             err_within(e, "occupied");
    }
    ok = ok && add_grid(d, grid, e);
    free(grid);
    return ok;
}
