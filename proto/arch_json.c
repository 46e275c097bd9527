#include "arch_json.h"

#include <cJSON.h>
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "json_read.h"
#include "name.h"
#include "presets.h"
#include "utf8.h"

enum { TYPE_TEXT = 32, NOT_FOUND = -2 };
_Static_assert((int)NOT_FOUND != (int)CNN_FROM_INPUT, "an input of its own");

static bool is_windowed(enum cnn_layer_type type)
{
    return type == CNN_CONV || type == CNN_MAX_POOL || type == CNN_AVG_POOL;
}

/* "conv2d" -> CNN_CONV and 2; dims is 0 for layers without a window. -1 if unknown. */
static int type_find(const char *text, int *dims)
{
    char base[TYPE_TEXT];
    size_t size = strlen(text);
    *dims = 0;
    if (size > 2 && size < sizeof base && text[size - 1] == 'd' && text[size - 2] >= '1' &&
        text[size - 2] <= '3') {
        *dims = text[size - 2] - '0';
        memcpy(base, text, size - 2);
        base[size - 2] = '\0';
        text = base;
    }
    int type = cnn_layer_type_find(text);
    if (type < 0 || is_windowed((enum cnn_layer_type)type) != (*dims > 0))
        return -1;
    return type;
}

static bool fields_check(const cJSON *json, enum cnn_layer_type type, struct err *e)
{
#define COMMON "type", "name", "inputs"
    static const char *const common[] = {COMMON, NULL};
    static const char *const conv[] = {COMMON,     "filters", "kernel", "stride", "padding",
                                       "dilation", "groups",  "bias",   NULL};
    static const char *const max_pool[] = {COMMON, "size", "kernel", "stride", "padding", NULL};
    static const char *const avg_pool[] = {
        COMMON, "size", "kernel", "stride", "padding", "count_include_pad", NULL};
    static const char *const dense[] = {COMMON, "units", "bias", NULL};
    static const char *const leaky[] = {COMMON, "slope", NULL};
    static const char *const dropout[] = {COMMON, "rate", "p", NULL};
    static const char *const norm[] = {COMMON, "epsilon", "momentum", NULL};
#undef COMMON
    switch (type) {
    case CNN_CONV:
        return json_only(json, conv, e);
    case CNN_MAX_POOL:
        return json_only(json, max_pool, e);
    case CNN_AVG_POOL:
        return json_only(json, avg_pool, e);
    case CNN_DENSE:
        return json_only(json, dense, e);
    case CNN_LEAKY_RELU:
        return json_only(json, leaky, e);
    case CNN_DROPOUT:
        return json_only(json, dropout, e);
    case CNN_BATCH_NORM:
        return json_only(json, norm, e);
    default:
        return json_only(json, common, e);
    }
}

static bool required(const cJSON *json, const char *key, struct err *e)
{
    return json_get(json, key) || err_field(e, ERR_INVALID, key, "missing '%s'", key);
}

static bool int_parse(const cJSON *json, const char *key, int low, int high, int *value,
                      struct err *e)
{
    int64_t number = *value;
    if (!json_get_int(json, key, low, high, &number, e))
        return false;
    *value = (int)number;
    return true;
}

static bool float_parse(const cJSON *json, const char *key, double low, double high, float *value,
                        struct err *e)
{
    double number = (double)*value;
    if (!json_get_double(json, key, low, high, &number, e))
        return false;
    *value = (float)number;
    return true;
}

/* One integer or a list of `count` of them, into values[0..count). */
static bool ints_parse(const cJSON *json, const char *key, int count, int low, int high,
                       int *values, struct err *e)
{
    int64_t number;
    if (!cJSON_IsArray(json)) {
        char expected[96];
        snprintf(expected, sizeof expected, "an integer from %d to %d%s", low, high,
                 count > 1 ? " or a list of them, one per axis" : "");
        if (!json_int(json, key, low, high, &number, e))
            return json_wrong(key, json, expected, e);
        for (int i = 0; i < count; i++)
            values[i] = (int)number;
        return true;
    }
    if (cJSON_GetArraySize(json) != count)
        return err_field(e, ERR_INVALID, key, "expected %d numbers, one per axis, got %d", count,
                         cJSON_GetArraySize(json));
    int i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        char field[48];
        snprintf(field, sizeof field, "%s[%d]", key, i);
        if (!json_int(item, field, low, high, &number, e))
            return false;
        values[i++] = (int)number;
    }
    return true;
}

/* A number per axis: the user's order is that of the window, its last `dims` axes. */
static bool axes_parse(const cJSON *json, const char *key, int dims, int axes[CNN_AXES],
                       struct err *e)
{
    const cJSON *value = json_get(json, key);
    return !value || ints_parse(value, key, dims, 1, CNN_KERNEL_MAX, axes + CNN_AXES - dims, e);
}

static const char *const padding_names[] = {
    [CNN_PAD_VALID] = "valid", [CNN_PAD_SAME] = "same", [CNN_PAD_FULL] = "full"};

static bool padding_parse(const cJSON *json, struct cnn_window *window, struct err *e)
{
    const cJSON *value = json_get(json, "padding");
    if (!value)
        return true;
    if (cJSON_IsString(value)) {
        for (int mode = CNN_PAD_VALID; mode <= CNN_PAD_FULL; mode++) {
            if (strcmp(value->valuestring, padding_names[mode]) == 0) {
                window->padding = (enum cnn_padding)mode;
                return true;
            }
        }
        return json_wrong("padding", value, "'valid', 'same', 'full' or numbers", e);
    }
    int dims = window->dims, first = CNN_AXES - dims;
    window->padding = CNN_PAD_NUMBER;
    if (cJSON_GetArraySize(value) == 2 * dims && cJSON_IsArray(value)) {
        int both[2 * CNN_AXES];
        if (!ints_parse(value, "padding", 2 * dims, 0, CNN_KERNEL_MAX, both, e))
            return false;
        memcpy(window->before + first, both, (size_t)dims * sizeof *both);
        memcpy(window->after + first, both + dims, (size_t)dims * sizeof *both);
        return true;
    }
    if (!ints_parse(value, "padding", dims, 0, CNN_KERNEL_MAX, window->before + first, e))
        return false;
    memcpy(window->after, window->before, sizeof window->after);
    return true;
}

/* kernel_key is "kernel" or "size"; without "stride" a pool's stride is its kernel, else 1. */
static bool window_parse(const cJSON *json, int dims, const char *kernel_key, bool stride_is_kernel,
                         struct cnn_window *window, struct err *e)
{
    cnn_window_set(window, CNN_AXES, 1, 1);
    window->dims = dims;
    if (!required(json, kernel_key, e) || !axes_parse(json, kernel_key, dims, window->kernel, e))
        return false;
    if (stride_is_kernel)
        memcpy(window->stride, window->kernel, sizeof window->stride);
    return axes_parse(json, "stride", dims, window->stride, e) &&
           axes_parse(json, "dilation", dims, window->dilation, e) &&
           padding_parse(json, window, e);
}

static bool pool_parse(const cJSON *json, int dims, struct cnn_layer_spec *layer, struct err *e)
{
    const char *key = json_get(json, "kernel") ? "kernel" : "size";
    if (json_get(json, "kernel") && json_get(json, "size"))
        return err_field(e, ERR_INVALID, "kernel", "both 'size' and its other name 'kernel'");
    return window_parse(json, dims, key, true, &layer->u.pool.window, e) &&
           json_get_bool(json, "count_include_pad", &layer->u.pool.count_padding, e);
}

static bool options_parse(const cJSON *json, int dims, struct cnn_layer_spec *layer, struct err *e)
{
    switch (layer->type) {
    case CNN_CONV:
        return required(json, "filters", e) &&
               int_parse(json, "filters", 1, CNN_DIM_MAX, &layer->u.conv.filters, e) &&
               window_parse(json, dims, "kernel", false, &layer->u.conv.window, e) &&
               int_parse(json, "groups", 1, CNN_DIM_MAX, &layer->u.conv.groups, e) &&
               json_get_bool(json, "bias", &layer->u.conv.bias, e);
    case CNN_MAX_POOL:
    case CNN_AVG_POOL:
        return pool_parse(json, dims, layer, e);
    case CNN_DENSE:
        return required(json, "units", e) &&
               int_parse(json, "units", 1, CNN_DIM_MAX, &layer->u.dense.units, e) &&
               json_get_bool(json, "bias", &layer->u.dense.bias, e);
    case CNN_LEAKY_RELU:
        return float_parse(json, "slope", -FLT_MAX, FLT_MAX, &layer->u.leaky.slope, e);
    case CNN_DROPOUT:
        if (json_get(json, "rate") && json_get(json, "p"))
            return err_field(e, ERR_INVALID, "p", "both 'rate' and its other name 'p'");
        return float_parse(json, "rate", 0, 1, &layer->u.dropout.rate, e) &&
               float_parse(json, "p", 0, 1, &layer->u.dropout.rate, e);
    case CNN_BATCH_NORM:
        return float_parse(json, "epsilon", 0, 1, &layer->u.norm.epsilon, e) &&
               float_parse(json, "momentum", 0, 1, &layer->u.norm.momentum, e);
    default:
        return true;
    }
}

/* The position of the layer of this name among the first `count`. */
static int layer_find(const struct cnn_spec *spec, const char *name, int count)
{
    for (int i = 0; i < count; i++)
        if (name[0] && strcmp(spec->layers[i].name, name) == 0)
            return i;
    return NOT_FOUND;
}

static bool name_parse(const cJSON *json, struct cnn_spec *spec, struct cnn_layer_spec *layer,
                       struct err *e)
{
    const char *name = NULL;
    if (!json_get_string(json, "name", &name, e) || !name)
        return !json_get(json, "name");
    size_t size = strlen(name);
    if (size == 0 || size >= CNN_NAME_MAX)
        return err_field(e, ERR_INVALID, "name", "name of %zu bytes is out of range 1 to %d", size,
                         CNN_NAME_MAX - 1);
    struct err ignored;
    if (!label_check(name, &ignored) || strchr(name, '/')) /* a path segment, and ONNX's names */
        return json_wrong("name", json_get(json, "name"), "neither '/' nor control characters", e);
    if (strcmp(name, "input") == 0)
        return err_field(e, ERR_INVALID, "name", "name 'input' is the net's input");
    int taken = layer_find(spec, name, spec->layer_count - 1);
    if (taken >= 0)
        return err_field(e, ERR_INVALID, "name", "name '%s' is taken by layer %d", name, taken);
    memcpy(layer->name, name, size + 1);
    return true;
}

static bool input_parse(const cJSON *item, const struct cnn_spec *spec, const char *field,
                        int *input, struct err *e)
{
    int earlier = spec->layer_count - 1;
    if (cJSON_IsNumber(item)) {
        int64_t position;
        if (earlier == 0)
            return err_field(e, ERR_INVALID, field, "the first layer's input is 'input'");
        if (!json_int(item, field, 0, earlier - 1, &position, e))
            return false;
        *input = (int)position;
        return true;
    }
    if (!cJSON_IsString(item))
        return json_wrong(field, item, "the name of an earlier layer or 'input'", e);
    const char *name = item->valuestring;
    *input = strcmp(name, "input") == 0 ? CNN_FROM_INPUT : layer_find(spec, name, earlier);
    return *input != NOT_FOUND ||
           json_wrong(field, item, "the name of an earlier layer or 'input'", e);
}

static bool inputs_parse(const cJSON *json, struct cnn_spec *spec, struct cnn_layer_spec *layer,
                         struct err *e)
{
    const cJSON *inputs = json_get(json, "inputs");
    if (!inputs)
        return true;
    if (!cJSON_IsArray(inputs))
        return json_wrong("inputs", inputs, "a list of layer names", e);
    int count = cJSON_GetArraySize(inputs);
    if (count < 1 || count > CNN_INPUTS_MAX)
        return err_field(e, ERR_INVALID, "inputs", "%d inputs are out of range 1 to %d", count,
                         CNN_INPUTS_MAX);
    const cJSON *item;
    cJSON_ArrayForEach(item, inputs)
    {
        char field[32];
        snprintf(field, sizeof field, "inputs[%d]", layer->input_count);
        if (!input_parse(item, spec, field, &layer->inputs[layer->input_count], e))
            return false;
        layer->input_count++;
    }
    return true;
}

static bool layer_parse(const cJSON *json, struct cnn_spec *spec, struct err *e)
{
    int dims;
    const char *text = NULL;
    if (!json_is_object(json, "", e) || !required(json, "type", e) ||
        !json_get_string(json, "type", &text, e))
        return false;
    int type = type_find(text, &dims);
    if (type < 0) {
        char quoted[UTF8_QUOTE_BYTES];
        int base = cnn_layer_type_find(text);
        return err_field(
            e, ERR_INVALID, "type", "unknown layer type '%s'%s",
            utf8_quote(quoted, text, strlen(text)),
            base >= 0 && is_windowed((enum cnn_layer_type)base) ? ", it ends in 1d, 2d or 3d" : "");
    }
    struct cnn_layer_spec *layer = cnn_spec_add(spec, (enum cnn_layer_type)type, e);
    return layer && name_parse(json, spec, layer, e) && fields_check(json, layer->type, e) &&
           inputs_parse(json, spec, layer, e) && options_parse(json, dims, layer, e);
}

/* Says in the text too which layer it was, as cnn_net_new does. */
static bool layer_failed(const cJSON *json, int index, struct err *e)
{
    const cJSON *name = cJSON_IsObject(json) ? json_get(json, "name") : NULL;
    size_t used = strlen(e->detail);
    char quoted[UTF8_QUOTE_BYTES];
    if (cJSON_IsString(name) && name->valuestring[0])
        snprintf(e->detail + used, sizeof e->detail - used, " at layer '%s'",
                 utf8_quote(quoted, name->valuestring, strlen(name->valuestring)));
    else
        snprintf(e->detail + used, sizeof e->detail - used, " at layer %d", index);
    return err_within(e, "layers[%d]", index);
}

static bool layers_parse(const cJSON *layers, struct cnn_spec *spec, struct err *e)
{
    if (!layers)
        return err_field(e, ERR_INVALID, "layers", "missing 'layers'");
    if (!cJSON_IsArray(layers))
        return json_wrong("layers", layers, "a list of layers", e);
    int count = cJSON_GetArraySize(layers);
    if (count < 1 || count > CNN_LAYERS_MAX)
        return err_field(e, ERR_INVALID, "layers", "%d layers are out of range 1 to %d", count,
                         CNN_LAYERS_MAX);
    int index = 0;
    const cJSON *layer;
    cJSON_ArrayForEach(layer, layers)
    {
        if (!layer_parse(layer, spec, e))
            return layer_failed(layer, index, e);
        index++;
    }
    return true;
}

bool arch_shape_parse(const struct cJSON *json, struct cnn_shape *shape, struct err *e)
{
    long long dims[1 + CNN_AXES];
    if (!cJSON_IsArray(json))
        return json_wrong("", json, "a list of sizes, channels first", e);
    int count = cJSON_GetArraySize(json), i = 0;
    if (count < 1 || count > 1 + CNN_AXES)
        return err_set(e, ERR_INVALID, "shape has %d dimensions, expected 1 to %d", count,
                       1 + CNN_AXES);
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        char field[16];
        int64_t size;
        snprintf(field, sizeof field, "[%d]", i);
        if (!json_int(item, field, 1, CNN_DIM_MAX, &size, e))
            return false;
        dims[i++] = size;
    }
    return cnn_shape_from_dims(shape, dims, count, e);
}

static bool object_input(const cJSON *json, const struct cnn_shape *input, struct cnn_spec *spec,
                         struct err *e)
{
    const cJSON *own = json_get(json, "input");
    if (!own && !input)
        return err_field(e, ERR_INVALID, "input", "missing 'input'");
    if (!own) {
        spec->input = *input;
        return true;
    }
    if (!arch_shape_parse(own, &spec->input, e))
        return err_within(e, "input");
    if (!input || (cnn_shape_equal(&spec->input, input) && spec->input.rank == input->rank))
        return true;
    char came[CNN_SHAPE_TEXT], expected[CNN_SHAPE_TEXT];
    return err_field(e, ERR_INVALID, "input", "input %s differs from the dataset's %s",
                     cnn_shape_text(&spec->input, came), cnn_shape_text(input, expected));
}

static bool object_parse(const cJSON *json, const struct cnn_shape *input, struct cnn_spec *spec,
                         struct err *e)
{
    static const char *const keys[] = {"input", "layers", NULL};
    return json_only(json, keys, e) && object_input(json, input, spec, e) &&
           layers_parse(json_get(json, "layers"), spec, e);
}

bool arch_parse(const struct cJSON *json, const struct cnn_shape *input, int classes,
                struct cnn_spec *spec, struct err *e)
{
    *spec = (struct cnn_spec){0};
    bool ok;
    if (cJSON_IsString(json)) {
        char quoted[UTF8_QUOTE_BYTES];
        const struct cnn_preset *preset = cnn_preset_find(json->valuestring);
        ok = preset ? cnn_preset_spec(preset, input, classes, spec, e)
                    : err_set(e, ERR_INVALID,
                              "unknown architecture '%s', expected a preset's name (GET "
                              "/architectures lists them) or an object with layers",
                              utf8_quote(quoted, json->valuestring, strlen(json->valuestring)));
    } else if (cJSON_IsObject(json)) {
        ok = object_parse(json, input, spec, e);
    } else {
        ok = json_wrong("", json, "a preset's name or an object with layers", e);
    }
    if (!ok)
        cnn_spec_clear(spec);
    return ok;
}

bool arch_parse_text(const char *text, size_t size, const struct cnn_shape *input, int classes,
                     struct cnn_spec *spec, struct err *e)
{
    cJSON *json = json_parse(text, size, e);
    if (!json)
        return false;
    bool ok = arch_parse(json, input, classes, spec, e);
    json_free(json);
    return ok;
}
