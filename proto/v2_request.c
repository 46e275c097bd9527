/* v2_request.c - an infer request: its document, then its tensors' values, wherever they stand. */
#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "limits.h"
#include "memory.h"
#include "v2.h"
#include "v2_values.h"

enum {
    ARRAYS_MAX = 8,      /* members "data" of one document: one is needed */
    ID_BYTES_MAX = 1024, /* of a request's id */
    QUICK_JSON_BYTES = 64 << 10,
    QUICK_BINARY_BYTES = 256 << 10,
};

/* An array "data" taken out of the document. */
struct array {
    struct tensor numbers;
    struct cJSON *tree; /* NULL: numbers; else booleans or texts */
};

struct request {
    const struct v2_body *body;
    struct decoding decoding;
    struct v2_wanted *wanted;
    struct array arrays[ARRAYS_MAX];
    int array_count;
    const uint8_t *blob; /* what is left of the bytes behind the JSON */
    size_t blob_size;
};

void v2_wanted_clear(struct v2_wanted *wanted)
{
    free(wanted->id);
    *wanted = (struct v2_wanted){0};
}

/* Pictures unfold: few bytes of them may take long. */
bool v2_request_is_quick(const struct v2_body *body)
{
    static const char pictures[] = "\"BYTES\"";
    const bool json = body->head == V2_HEAD_ALL;
    const bool small = body->size <= (json ? QUICK_JSON_BYTES : QUICK_BINARY_BYTES);
    const size_t head = json || (uint64_t)body->head > body->size ? body->size : (size_t)body->head;
    return small && !memmem(body->bytes, head, pictures, sizeof pictures - 1);
}

/* How many values a tensor may have: nothing is allocated for more. */
static size_t values_max(const struct request *r, bool pictures)
{
    return LIMIT_PREDICT_SAMPLES * (pictures ? 1 : r->decoding.elements);
}

/* ---- arrays of the document ---- */

/* Behind the ']' that ends the array begun at text[at]; size when none does. */
static size_t array_end(const char *text, size_t size, size_t at)
{
    int depth = 0;
    bool quoted = false;
    for (; at < size; at++) {
        const char c = text[at];
        if (quoted) {
            if (c == '\\')
                at++;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[') {
            depth++;
        } else if (c == ']' && --depth == 0) {
            return at + 1;
        }
    }
    return size;
}

/* Booleans and texts become a tree, bounded like any other. */
static bool take_tree(struct array *array, const char *text, size_t size, size_t *at, struct err *e)
{
    const size_t end = array_end(text, size, *at);
    array->tree = json_parse(text + *at, end - *at, e);
    *at = end;
    return array->tree != NULL;
}

static bool take_array(void *context, int name, const char *path, const char *text, size_t size,
                       size_t *at, struct err *e)
{
    struct request *r = context;
    (void)name;
    if (r->array_count == ARRAYS_MAX)
        return err_field(e, ERR_TOO_LARGE, path, "more than %d arrays of data", ARRAYS_MAX);
    struct array *array = &r->arrays[r->array_count++];
    size_t first = *at;
    while (first < size && memchr("[ \t\r\n", text[first], 5))
        first++;
    if (first < size && memchr("\"tf", text[first], 3))
        return take_tree(array, text, size, at, e) || err_within(e, "%s", path);
    return tensor_json_read(text, size, at, path, values_max(r, false), &array->numbers, e);
}

static void clear_arrays(struct request *r)
{
    for (int i = 0; i < r->array_count; i++) {
        tensor_clear(&r->arrays[i].numbers);
        json_free(r->arrays[i].tree);
    }
}

/* ---- inputs ---- */

static bool read_shape(const struct cJSON *shape, struct v2_tensor *tensor, struct err *e)
{
    const struct cJSON *item;
    tensor->rank = 0;
    tensor->count = 1;
    if (!cJSON_IsArray(shape))
        return err_field(e, ERR_INVALID, "shape", "expected an array of whole numbers");
    cJSON_ArrayForEach(item, shape)
    {
        int64_t size;
        if (tensor->rank == NPY_RANK_MAX)
            return err_field(e, ERR_INVALID, "shape", "more than %d axes", NPY_RANK_MAX);
        if (!json_int(item, "shape", 0, CNN_ELEMENTS_MAX, &size, e))
            return false;
        tensor->dims[tensor->rank++] = (size_t)size;
        if (!memory_mul(tensor->count, (size_t)size, &tensor->count) ||
            tensor->count > LIMIT_PREDICT_BATCH_BYTES)
            return err_field(e, ERR_TOO_LARGE, "shape", "more than %d values",
                             LIMIT_PREDICT_BATCH_BYTES);
    }
    return true;
}

static bool read_tensor(const struct request *r, const struct cJSON *input,
                        struct v2_tensor *tensor, struct err *e)
{
    const char *name = "", *type = "";
    if (!json_is_object(input, "input", e) || !json_get_string(input, "name", &name, e) ||
        !json_get_string(input, "datatype", &type, e))
        return false;
    if (strcmp(name, V2_INPUT) != 0)
        return err_field(e, ERR_INVALID, "name",
                         "unexpected inference input '%.64s', expected '%s'", name, V2_INPUT);
    if (!(tensor->type = v2_type_of(type)))
        return err_field(e, ERR_INVALID, "datatype",
                         "unknown datatype '%.32s', expected FP32, UINT8, INT64, BYTES, ...", type);
    if (!read_shape(json_get(input, "shape"), tensor, e))
        return false;
    const size_t most = values_max(r, tensor->type->size == 0);
    return tensor->count <= most ||
           err_field(e, ERR_TOO_LARGE, "shape", "%zu values, at most %zu are taken at a time",
                     tensor->count, most);
}

static bool add_blob(struct request *r, const struct v2_tensor *tensor, int64_t size, struct err *e)
{
    if ((uint64_t)size > r->blob_size)
        return err_field(e, ERR_INVALID, "parameters.binary_data_size",
                         "%lld bytes of binary data, and %zu are there", (long long)size,
                         r->blob_size);
    if (!v2_add_binary(&r->decoding, tensor, r->blob, (size_t)size, e))
        return false;
    r->blob += size;
    r->blob_size -= (size_t)size;
    return true;
}

static bool add_data(struct request *r, const struct v2_tensor *tensor, const struct cJSON *data,
                     struct err *e)
{
    if (!cJSON_IsNumber(data))
        return err_field(e, ERR_INVALID, "data", "expected an array");
    const struct array *array = &r->arrays[data->valueint];
    if (array->tree)
        return v2_add_tree(&r->decoding, tensor, array->tree, e) || err_within(e, "data");
    if (array->numbers.count != tensor->count)
        return err_field(e, ERR_INVALID, "data", "%zu values, its shape has %zu",
                         array->numbers.count, tensor->count);
    return v2_add_numbers(&r->decoding, tensor, array->numbers.data, e) || err_within(e, "data");
}

static bool add_input(struct request *r, const struct cJSON *input, struct err *e)
{
    struct v2_tensor tensor;
    if (!read_tensor(r, input, &tensor, e))
        return false;
    const struct cJSON *parameters = json_get(input, "parameters"), *data = json_get(input, "data");
    int64_t size = -1;
    if (parameters && (!json_is_object(parameters, "parameters", e) ||
                       !json_get_int(parameters, "binary_data_size", 0, INT64_MAX, &size, e)))
        return false;
    if (size >= 0 && data)
        return err_field(e, ERR_INVALID, "data", "'data' stands beside 'binary_data_size'");
    if (size < 0 && !data)
        return err_field(e, ERR_INVALID, "data", "neither 'data' nor 'binary_data_size' is given");
    return size >= 0 ? add_blob(r, &tensor, size, e) : add_data(r, &tensor, data, e);
}

static bool add_inputs(struct request *r, const struct cJSON *inputs, struct err *e)
{
    if (cJSON_GetArraySize(inputs) != 1)
        return err_field(e, ERR_INVALID, "inputs", "expected an array of one input, '%s'",
                         V2_INPUT);
    if (!add_input(r, inputs->child, e))
        return err_within(e, "inputs[0]");
    return r->blob_size == 0 ||
           err_set(e, ERR_INVALID, "%zu bytes are left behind the inputs' data", r->blob_size);
}

/* ---- outputs and parameters ---- */

static bool read_output(struct v2_wanted *wanted, const struct cJSON *output, struct err *e)
{
    const char *name = "";
    int64_t classes = 0;
    if (!json_is_object(output, "output", e) || !json_get_string(output, "name", &name, e))
        return false;
    if (strcmp(name, V2_OUTPUT) != 0)
        return err_field(e, ERR_INVALID, "name",
                         "unexpected inference output '%.64s', expected '%s'", name, V2_OUTPUT);
    const struct cJSON *parameters = json_get(output, "parameters");
    if (parameters &&
        (!json_is_object(parameters, "parameters", e) ||
         !json_get_bool(parameters, "binary_data", &wanted->binary, e) ||
         !json_get_int(parameters, "classification", 0, CNN_CLASSES_MAX, &classes, e)))
        return false;
    wanted->classification = (int)classes;
    return true;
}

static bool read_outputs(struct v2_wanted *wanted, const struct cJSON *outputs, struct err *e)
{
    if (!outputs)
        return true;
    if (!cJSON_IsArray(outputs) || cJSON_GetArraySize(outputs) > 1)
        return err_field(e, ERR_INVALID, "outputs", "expected an array of one output, '%s'",
                         V2_OUTPUT);
    return !outputs->child || read_output(wanted, outputs->child, e) || err_within(e, "outputs[0]");
}

static bool read_wanted(struct v2_wanted *wanted, const struct cJSON *document, struct err *e)
{
    const struct cJSON *parameters = json_get(document, "parameters");
    const char *id = NULL;
    if (!json_get_string(document, "id", &id, e))
        return false;
    if (id && strlen(id) > ID_BYTES_MAX)
        return err_field(e, ERR_INVALID, "id", "id is longer than %d bytes", ID_BYTES_MAX);
    if (id && !(wanted->id = strdup(id)))
        return err_no_memory(e);
    if (parameters && (!json_is_object(parameters, "parameters", e) ||
                       !json_get_bool(parameters, "binary_data_output", &wanted->binary, e) ||
                       !json_get_int(parameters, "timeout", 0, INT64_MAX, &wanted->timeout_us, e)))
        return err_within(e, "parameters");
    return read_outputs(wanted, json_get(document, "outputs"), e);
}

/* ---- the whole ---- */

static bool read_document(struct request *r, size_t head, struct err *e)
{
    static const char *const names[] = {"data", NULL};
    const struct json_lift lift = {names, take_array, r};
    const char *text = r->body->bytes;
    r->blob = (const uint8_t *)text + head;
    r->blob_size = r->body->size - head;
    struct cJSON *document = json_parse_lifted(text, head, &lift, e);
    const bool ok = document && json_is_object(document, "request", e) &&
                    read_wanted(r->wanted, document, e) &&
                    add_inputs(r, json_get(document, "inputs"), e);
    json_free(document);
    return ok;
}

/* The body is the input, in float32; the reply is binary as well. */
static bool read_raw(struct request *r, struct err *e)
{
    static const struct predict_body floats = {.dtype = PREDICT_FLOAT32};
    r->decoding.body = &floats;
    r->wanted->binary = true;
    return predict_add_raw(&r->decoding, r->body->bytes, r->body->size, e);
}

static bool read_any(struct request *r, struct err *e)
{
    const struct v2_body *body = r->body;
    if (body->head == V2_HEAD_ALL)
        return read_document(r, body->size, e);
    if (body->head < 0 || (uint64_t)body->head > body->size)
        return err_field(e, ERR_INVALID, "Inference-Header-Content-Length",
                         "%lld bytes of JSON in a body of %zu", (long long)body->head, body->size);
    return body->head == 0 ? read_raw(r, e) : read_document(r, (size_t)body->head, e);
}

bool v2_request_read(const struct v2_body *body, const struct cnn_shape *shape,
                     const struct preprocess *pre, struct predict_batch *batch,
                     struct v2_wanted *wanted, struct err *e)
{
    static const struct predict_body plain;
    struct request r = {.body = body,
                        .wanted = wanted,
                        .decoding = {.body = &plain,
                                     .shape = shape,
                                     .pre = pre,
                                     .voxelize = preprocess_voxelize(pre),
                                     .batch = batch,
                                     .elements = cnn_shape_count(shape)}};
    *batch = (struct predict_batch){0};
    *wanted = (struct v2_wanted){0};
    const bool ok = read_any(&r, e);
    clear_arrays(&r);
    if (!ok) {
        predict_batch_clear(batch);
        v2_wanted_clear(wanted);
    }
    return ok;
}

/* ---- the repository ---- */

bool v2_index_read(const char *text, size_t size, bool *only_ready, struct err *e)
{
    *only_ready = false;
    if (size == 0)
        return true;
    struct cJSON *json = json_parse(text, size, e);
    const bool ok =
        json && json_is_object(json, "request", e) && json_get_bool(json, "ready", only_ready, e);
    json_free(json);
    return ok;
}

bool v2_load_check(const char *text, size_t size, struct err *e)
{
    if (size == 0)
        return true;
    struct cJSON *json = json_parse(text, size, e);
    bool ok = json && json_is_object(json, "request", e);
    const struct cJSON *parameters = ok ? json_get(json, "parameters") : NULL;
    if (parameters && parameters->child)
        ok = err_field(e, ERR_INVALID, "parameters",
                       "load parameter '%.64s' is not supported: models come by PUT /models/NAME",
                       parameters->child->string ? parameters->child->string : "");
    json_free(json);
    return ok;
}
