#include "onnx_tensor.h"

#include <string.h>

#include "limits.h"
#include "memory.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw_data is little-endian");

enum { RANK_MAX = 8 };

/* Type, place and number of values; the bytes are checked by the callers. */
static bool check(const Onnx__TensorProto *tensor, int32_t type, size_t *count, struct err *e)
{
    if (tensor->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT ||
        tensor->n_external_data > 0)
        return err_set(e, ERR_UNPROCESSABLE, "external data of tensor '%.64s' is never read",
                       tensor->name);
    if (tensor->data_type != type)
        return err_set(e, ERR_UNPROCESSABLE, "data type %d of tensor '%.64s', expected %d",
                       (int)tensor->data_type, tensor->name, (int)type);
    if (tensor->n_dims > RANK_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "rank %zu of tensor '%.64s'", tensor->n_dims,
                       tensor->name);
    *count = 1;
    for (size_t i = 0; i < tensor->n_dims; i++) {
        int64_t dim = tensor->dims[i];
        if (dim < 1 || dim > CNN_PARAMS_MAX || !memory_mul(*count, (size_t)dim, count) ||
            *count > CNN_PARAMS_MAX)
            return err_set(e, ERR_UNPROCESSABLE, "dimension %lld of tensor '%.64s'", (long long)dim,
                           tensor->name);
    }
    return true;
}

/* `listed` values stand in the typed field, or else raw bytes hold them. */
static bool check_data(const Onnx__TensorProto *tensor, size_t count, size_t listed,
                       size_t value_bytes, struct err *e)
{
    size_t raw = tensor->raw_data.len;
    if (raw > 0 ? raw == count * value_bytes && listed == 0 : listed == count)
        return true;
    return err_set(e, ERR_UNPROCESSABLE, "tensor '%.64s' has %zu bytes, its dimensions ask for %zu",
                   tensor->name, raw > 0 ? raw : listed * value_bytes, count * value_bytes);
}

bool onnx_tensor_floats(const Onnx__TensorProto *tensor, size_t *count, struct err *e)
{
    return check(tensor, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, count, e) &&
           check_data(tensor, *count, tensor->n_float_data, sizeof(float), e);
}

void onnx_tensor_copy(const Onnx__TensorProto *tensor, float *out)
{
    if (tensor->raw_data.len > 0)
        memcpy(out, tensor->raw_data.data, tensor->raw_data.len);
    else
        memcpy(out, tensor->float_data, tensor->n_float_data * sizeof *out);
}

bool onnx_tensor_ints(const Onnx__TensorProto *tensor, int64_t *out, int most, int *count,
                      struct err *e)
{
    size_t size;
    if (!check(tensor, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, &size, e) ||
        !check_data(tensor, size, tensor->n_int64_data, sizeof *out, e))
        return false;
    if (tensor->n_dims > 1 || size > (size_t)most)
        return err_set(e, ERR_UNPROCESSABLE, "tensor '%.64s' of %zu values, at most %d expected",
                       tensor->name, size, most);
    if (tensor->raw_data.len > 0)
        memcpy(out, tensor->raw_data.data, tensor->raw_data.len);
    else
        memcpy(out, tensor->int64_data, size * sizeof *out);
    *count = (int)size;
    return true;
}
