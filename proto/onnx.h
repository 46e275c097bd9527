/* onnx.h - a net and its metadata <-> an ONNX file (protobuf-c over onnx.proto, our subset of the
 * published schema with its field numbers).
 *
 * Written: opset 13, IR 8, one input "input" [N,C,(D,H,)W] float32. Output "scores" is what
 * /predict answers (probabilities); for nets that do not end in softmax or sigmoid it is a Softmax
 * appended to the net, whose own output is the second output "logits", and metadata
 * "strided.head" = "softmax" says so, so that reading gives back the net without it.
 * Read: the operators we write, in the forms other exporters use for them. What is not supported
 * is refused by name ("unsupported operator 'LSTM' at node 'rnn1'"), ERR_UNPROCESSABLE. External
 * data is never followed; every size is checked against the bytes that are there.
 */
#ifndef STRIDED_ONNX_H
#define STRIDED_ONNX_H

#include "buf.h"
#include "model_meta.h"
#include "net.h"

bool onnx_write(const struct cnn_net *net, const struct model_meta *meta, struct buf *out,
                struct err *e);
/* The net (cnn_net_free) and its metadata (model_meta_clear); labels are "0","1",... when the
 * file has none. */
struct cnn_net *onnx_read(const void *bytes, size_t size, struct model_meta *meta, struct err *e);

#endif
