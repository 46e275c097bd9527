#include "datasets_sample.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "limits.h"
#include "memory.h"
#include "mesh.h"

const char *const sample_kind_names[SAMPLE_KIND_COUNT] = {
    [SAMPLE_OTHER] = "other files",
    [SAMPLE_PICTURE] = "pictures",
    [SAMPLE_MESH] = "meshes",
    [SAMPLE_ARRAY] = "npy arrays",
};

const char *const sample_suffixes[] = {"png", "jpg", "jpeg", "off", "stl", "obj", "npy", NULL};
static const enum sample_kind suffix_kinds[] = {SAMPLE_PICTURE, SAMPLE_PICTURE, SAMPLE_PICTURE,
                                                SAMPLE_MESH,    SAMPLE_MESH,    SAMPLE_MESH,
                                                SAMPLE_ARRAY};

enum sample_kind sample_kind_of_path(const char *path)
{
    const char *dot = strrchr(path, '.');
    for (int i = 0; dot && sample_suffixes[i]; i++)
        if (strcasecmp(dot + 1, sample_suffixes[i]) == 0)
            return suffix_kinds[i];
    return SAMPLE_OTHER;
}

enum sample_kind sample_kind_of_bytes(const void *bytes, size_t size)
{
    if (image_sniff(bytes, size))
        return SAMPLE_PICTURE;
    if (npy_sniff(bytes, size))
        return SAMPLE_ARRAY;
    return mesh_sniff(bytes, size) != MESH_UNKNOWN ? SAMPLE_MESH : SAMPLE_OTHER;
}

/* ---- arrays ---- */

bool sample_array_shape(const struct npy *npy, int lead, struct cnn_shape *shape, struct err *e)
{
    long long dims[1 + CNN_AXES] = {1};
    int rank = npy->rank - lead, channels = rank <= 2 ? 1 : 0;
    if (rank < 1 || rank > 1 + CNN_AXES)
        return err_set(e, ERR_UNPROCESSABLE,
                       "array of %d axes, expected [W], [H,W], [C,H,W] or [C,D,H,W]", rank);
    for (int i = 0; i < rank; i++) {
        size_t dim = npy->dims[lead + i];
        dims[channels + i] = dim <= CNN_DIM_MAX ? (long long)dim : -1;
    }
    if (cnn_shape_from_dims(shape, dims, channels + rank, e))
        return true;
    e->code = ERR_UNPROCESSABLE;
    return false;
}

enum cnn_dtype sample_array_dtype(const struct npy *npy)
{
    return npy->dtype == NPY_U8 || npy->dtype == NPY_BOOL ? CNN_U8 : CNN_F32;
}

bool sample_from_array(const struct dataset_info *info, const struct npy *npy, size_t first,
                       size_t count, void *out, struct err *e)
{
    return info->dtype == CNN_U8 ? npy_read_u8(npy, first, count, out, e)
                                 : npy_read_f32(npy, first, count, out, e);
}

static bool convert_array(const struct dataset_info *info, const void *bytes, size_t size,
                          void *out, struct err *e)
{
    struct npy npy;
    struct cnn_shape shape;
    char ours[CNN_SHAPE_TEXT], theirs[CNN_SHAPE_TEXT];
    if (!npy_parse(bytes, size, &npy, e) || !sample_array_shape(&npy, 0, &shape, e))
        return false;
    if (!cnn_shape_equal(&shape, &info->shape) || shape.rank != info->shape.rank)
        return err_set(e, ERR_UNPROCESSABLE, "array of shape %s among those of %s",
                       cnn_shape_text(&shape, theirs), cnn_shape_text(&info->shape, ours));
    return sample_from_array(info, &npy, 0, npy.count, out, e);
}

/* ---- pictures ---- */

static void round_bytes(const float *x, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)(x[i] <= 0 ? 0 : x[i] >= 255 ? 255 : x[i] + 0.5f);
}

bool sample_from_picture(const struct dataset_info *info, enum invert invert, const void *bytes,
                         size_t size, void *out, struct err *e)
{
    /* The pixels as they are: what belongs to the net's input is done when a batch is gathered. */
    const struct preprocess plain = {.normalize = {.scale = 1}};
    struct image image = {0};
    if (!image_decode(bytes, size, &image, e))
        return false;
    size_t count = cnn_shape_count(&info->shape);
    float *x = info->dtype == CNN_F32 ? out : memory_new(count, sizeof *x, e);
    bool ok = x && preprocess_image(&plain, &info->shape, &image, invert, x, e);
    if (ok && info->dtype == CNN_U8)
        round_bytes(x, count, out);
    if (x != out)
        free(x);
    image_clear(&image);
    return ok;
}

/* ---- meshes ---- */

static bool convert_mesh(const struct dataset_info *info, const void *bytes, size_t size,
                         uint8_t *out, struct err *e)
{
    struct cnn_mesh mesh;
    char text[CNN_SHAPE_TEXT];
    const struct cnn_voxelize voxelize = preprocess_voxelize(&info->preprocess);
    if (info->dtype != CNN_U8)
        return err_set(e, ERR_INVALID, "a mesh does not fit samples of floats");
    if (info->shape.rank != CNN_AXES || info->shape.c != 1)
        return err_set(e, ERR_INVALID, "a mesh does not fit samples of shape %s",
                       cnn_shape_text(&info->shape, text));
    if (!mesh_parse(bytes, size, &mesh, e))
        return false;
    bool ok = cnn_voxels_from_mesh(&mesh, &voxelize, &info->shape, out, e);
    cnn_mesh_clear(&mesh);
    return ok;
}

bool sample_convert(const struct dataset_info *info, enum sample_kind kind, const void *bytes,
                    size_t size, void *out, struct err *e)
{
    switch (kind) {
    case SAMPLE_PICTURE:
        return sample_from_picture(info, info->preprocess.invert ? INVERT_YES : INVERT_NO, bytes,
                                   size, out, e);
    case SAMPLE_MESH:
        return convert_mesh(info, bytes, size, out, e);
    case SAMPLE_ARRAY:
        return convert_array(info, bytes, size, out, e);
    default:
        return err_set(e, ERR_UNPROCESSABLE, "neither a picture, nor a mesh, nor an npy array");
    }
}
