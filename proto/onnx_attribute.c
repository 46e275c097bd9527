#include "onnx_attribute.h"

#include <string.h>

#include "limits.h"

enum { ATTRIBUTES_MAX = 16 };

const Onnx__AttributeProto *onnx_attribute_find(const Onnx__NodeProto *node, const char *name,
                                                Onnx__AttributeProto__AttributeType type, bool *ok,
                                                struct err *e)
{
    *ok = true;
    for (size_t i = 0; i < node->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = node->attribute[i];
        if (strcmp(attribute->name, name) != 0)
            continue;
        if (attribute->type == type)
            return attribute;
        *ok = err_set(e, ERR_UNPROCESSABLE, "attribute '%s' has type %d, expected %d", name,
                      (int)attribute->type, (int)type);
        break;
    }
    return NULL;
}

bool onnx_attribute_int(const Onnx__NodeProto *node, const char *name, int64_t low, int64_t high,
                        int64_t *value, struct err *e)
{
    bool ok;
    const Onnx__AttributeProto *attribute =
        onnx_attribute_find(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, &ok, e);
    if (!attribute)
        return ok;
    if (attribute->i < low || attribute->i > high)
        return err_set(e, ERR_UNPROCESSABLE, "unsupported %s %lld", name, (long long)attribute->i);
    *value = attribute->i;
    return true;
}

bool onnx_attribute_float(const Onnx__NodeProto *node, const char *name, float *value,
                          struct err *e)
{
    bool ok;
    const Onnx__AttributeProto *attribute =
        onnx_attribute_find(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT, &ok, e);
    if (attribute)
        *value = attribute->f;
    return ok;
}

bool onnx_attribute_want(const Onnx__NodeProto *node, const char *name, int64_t only, struct err *e)
{
    int64_t value;
    return onnx_attribute_int(node, name, only, only, &value, e);
}

bool onnx_attribute_want_one(const Onnx__NodeProto *node, const char *name, struct err *e)
{
    float value = 1;
    if (!onnx_attribute_float(node, name, &value, e))
        return false;
    return value == 1 || err_set(e, ERR_UNPROCESSABLE, "unsupported %s %g", name, (double)value);
}

bool onnx_attribute_ints(const Onnx__NodeProto *node, const char *name, int count, int low,
                         int *out, bool *present, struct err *e)
{
    bool ok;
    const Onnx__AttributeProto *attribute =
        onnx_attribute_find(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS, &ok, e);
    *present = attribute != NULL;
    if (!attribute)
        return ok;
    if (attribute->n_ints != (size_t)count)
        return err_set(e, ERR_UNPROCESSABLE, "%zu numbers in '%s', expected %d", attribute->n_ints,
                       name, count);
    for (int i = 0; i < count; i++) {
        if (attribute->ints[i] < low || attribute->ints[i] > CNN_KERNEL_MAX)
            return err_set(e, ERR_UNPROCESSABLE, "%s %lld, expected %d to %d", name,
                           (long long)attribute->ints[i], low, CNN_KERNEL_MAX);
        out[i] = (int)attribute->ints[i];
    }
    return true;
}

bool onnx_attributes_known(const Onnx__NodeProto *node, const struct onnx_op *op, struct err *e)
{
    size_t listed = sizeof op->attributes / sizeof op->attributes[0];
    if (node->n_attribute > ATTRIBUTES_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "%zu attributes", node->n_attribute);
    for (size_t i = 0; i < node->n_attribute; i++) {
        bool known = false;
        for (size_t k = 0; k < listed && op->attributes[k]; k++)
            known |= strcmp(node->attribute[i]->name, op->attributes[k]) == 0;
        if (!known)
            return err_set(e, ERR_UNPROCESSABLE, "unsupported attribute '%.64s' of %s",
                           node->attribute[i]->name, op->op_type);
    }
    return true;
}
