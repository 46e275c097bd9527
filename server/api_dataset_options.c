/* What the queries of uploads to /datasets say. */
#include <stdlib.h>
#include <string.h>

#include "api_datasets.h"
#include "api_query.h"

enum { GRID_DEFAULT = 24 };

/* Digits up to `end`; 0 if there is anything else. */
static int side(const char *text, size_t size)
{
    int value = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || value > LIMIT_IMPORT_SIDE)
            return 0;
        value = 10 * value + (text[i] - '0');
    }
    return value;
}

/* "28" or "32x28": width x height. */
static bool query_size(const struct http_request *request, struct datasets_convert *convert,
                       struct err *e)
{
    const char *text = http_query(request, "size");
    if (!text)
        return true;
    size_t first = strcspn(text, "x");
    convert->width = side(text, first);
    convert->height =
        text[first] ? side(text + first + 1, strlen(text + first + 1)) : convert->width;
    if (convert->width < 1 || convert->width > LIMIT_IMPORT_SIDE || convert->height < 1 ||
        convert->height > LIMIT_IMPORT_SIDE)
        return err_field(e, ERR_INVALID, "size",
                         "expected SIDE or WIDTHxHEIGHT of 1..%d pixels, got '%.40s'",
                         LIMIT_IMPORT_SIDE, text);
    return true;
}

bool api_query_voxelize(const struct http_request *request, struct cnn_voxelize *voxelize,
                        struct err *e)
{
    static const char *const aspects[] = {"stretch", "keep", NULL};
    const char *axes = http_query(request, "axes");
    int points = (int)voxelize->samples, aspect = voxelize->fit == CNN_VOXEL_ASPECT;
    int seed = 0;
    if (!api_query_int(request, "points", 1, LIMIT_IMPORT_POINTS, &points, e) ||
        !api_query_choice(request, "aspect", aspects, &aspect, e) ||
        !api_query_bool(request, "solid", &voxelize->solid, e) ||
        !api_query_int(request, "seed", 0, INT32_MAX, &seed, e))
        return false;
    voxelize->fit = aspect ? CNN_VOXEL_ASPECT : CNN_VOXEL_STRETCH;
    voxelize->samples = (uint32_t)points;
    if (http_query(request, "seed"))
        voxelize->seed = (uint64_t)seed;
    return !axes || preprocess_parse_axes(axes, voxelize->axes) ||
           err_field(e, ERR_INVALID, "axes", "expected xyz in some order, got '%.40s'", axes);
}

bool api_dataset_voxelize(const struct http_request *request, struct cnn_voxelize *voxelize,
                          struct err *e)
{
    static const char *const names[] = {"points", "aspect", "axes", "solid", NULL};
    bool given = false;
    for (int i = 0; names[i]; i++)
        given = given || http_query(request, names[i]);
    *voxelize = given ? cnn_voxelize_defaults() : (struct cnn_voxelize){.samples = 0};
    return !given || api_query_voxelize(request, voxelize, e);
}

bool api_dataset_convert(const struct http_request *request, struct datasets_convert *convert,
                         struct err *e)
{
    *convert = (struct datasets_convert){.grid = GRID_DEFAULT, .voxelize = cnn_voxelize_defaults()};
    if (!query_size(request, convert, e) ||
        !api_query_int(request, "channels", 1, 3, &convert->channels, e) ||
        !api_query_bool(request, "invert", &convert->invert, e) ||
        !api_query_int(request, "grid", 2, LIMIT_IMPORT_GRID, &convert->grid, e) ||
        !api_query_voxelize(request, &convert->voxelize, e))
        return false;
    return convert->channels != 2 ||
           err_field(e, ERR_INVALID, "channels", "expected 1 or 3, got 2");
}

bool api_dataset_scaling(const struct http_request *request, struct dataset_scaling *scaling,
                         struct err *e)
{
    double scale = 0;
    *scaling = (struct dataset_scaling){.normalize = false};
    if (!api_query_double(request, "scale", 1e-6, 1e6, &scale, e) ||
        !api_query_bool(request, "normalize", &scaling->normalize, e))
        return false;
    scaling->scale = (float)scale;
    return true;
}

bool api_dataset_input(const struct http_request *request, struct cnn_shape *shape, struct err *e)
{
    const char *text = http_query(request, "input");
    long long dims[1 + CNN_AXES];
    int count = 0;
    if (!text)
        return true;
    for (const char *at = text; count <= CNN_AXES; at++) {
        char *end;
        dims[count++] = *at >= '0' && *at <= '9' ? strtoll(at, &end, 10) : -1;
        if (dims[count - 1] < 0)
            break;
        at = end;
        if (*at == '\0')
            return cnn_shape_from_dims(shape, dims, count, e) || err_within(e, "input");
        if (*at != ',')
            break;
    }
    return err_field(e, ERR_INVALID, "input",
                     "expected up to %d sizes as in 3,28,28 or 1,24,24,24, got '%.40s'",
                     1 + CNN_AXES, text);
}
