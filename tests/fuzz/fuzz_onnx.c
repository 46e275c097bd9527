/* Any bytes as a model: whatever is taken is written, and reads back the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "onnx.h"

enum { PARAMETERS_MAX = 1 << 16 }; /* of nets that are written again */

static void check_again(const struct cnn_net *net, const struct model_meta *meta)
{
    struct buf file = {0};
    struct model_meta meta_again;
    struct err e = {0};
    CHECK(onnx_write(net, meta, &file, &e));
    struct cnn_net *again = onnx_read(file.data, file.size, &meta_again, &e);
    CHECK(again && again->node_count == net->node_count);
    CHECK(again->state_count == net->state_count);
    CHECK(memcmp(again->params, net->params, net->state_count * sizeof *net->params) == 0);
    CHECK(meta_again.label_count == meta->label_count);
    model_meta_clear(&meta_again);
    cnn_net_free(again);
    buf_clear(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct model_meta meta;
    struct err e = {0};
    struct cnn_net *net = onnx_read(bytes, size, &meta, &e);
    if (!net) {
        CHECK(e.code == ERR_UNPROCESSABLE || e.code == ERR_INVALID);
        CHECK(e.detail[0] != '\0');
        return 0;
    }
    CHECK((size_t)meta.label_count == cnn_shape_count(cnn_net_output(net)));
    if (net->state_count <= PARAMETERS_MAX)
        check_again(net, &meta);
    model_meta_clear(&meta);
    cnn_net_free(net);
    return 0;
}
