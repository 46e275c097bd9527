/* onnx_attribute.h - a node's attributes, each of the type and range the caller asks for. An absent
 * one leaves what the caller put there, the operator's default. */
#ifndef STRIDED_ONNX_ATTRIBUTE_H
#define STRIDED_ONNX_ATTRIBUTE_H

#include "onnx.pb-c.h"
#include "onnx_ops.h"

/* Refuses attributes that op's row in the table does not name. */
bool onnx_attributes_known(const Onnx__NodeProto *node, const struct onnx_op *op, struct err *e);

/* NULL: absent, or (with *ok false) of another type. */
const Onnx__AttributeProto *onnx_attribute_find(const Onnx__NodeProto *node, const char *name,
                                                Onnx__AttributeProto__AttributeType type, bool *ok,
                                                struct err *e);
bool onnx_attribute_int(const Onnx__NodeProto *node, const char *name, int64_t low, int64_t high,
                        int64_t *value, struct err *e);
bool onnx_attribute_float(const Onnx__NodeProto *node, const char *name, float *value,
                          struct err *e);
/* `count` numbers low..CNN_KERNEL_MAX; *present says whether they were there. */
bool onnx_attribute_ints(const Onnx__NodeProto *node, const char *name, int count, int low,
                         int *out, bool *present, struct err *e);
/* An attribute that is only read with one value, which is also its default; 1 for a float. */
bool onnx_attribute_want(const Onnx__NodeProto *node, const char *name, int64_t only,
                         struct err *e);
bool onnx_attribute_want_one(const Onnx__NodeProto *node, const char *name, struct err *e);

#endif
