/* Any bytes as a dataset's file, and as safetensors in general. */
#include <string.h>

#include "check.h"
#include "dataset_file.h"
#include "safetensors.h"

static void read_safetensors(const uint8_t *bytes, size_t size)
{
    struct safetensors st;
    struct err e;
    if (!safetensors_parse(bytes, size, &st, &e)) {
        CHECK(e.code == ERR_UNPROCESSABLE);
        return;
    }
    for (int i = 0; i < st.count; i++) {
        CHECK(st.tensors[i].begin <= st.tensors[i].end);
        CHECK(st.tensors[i].end <= (uint64_t)(bytes + size - st.data));
        CHECK(safetensors_find(&st, st.tensors[i].name));
    }
    safetensors_clear(&st);
}

/* The last sample can be read, as training would. */
static void touch(const struct cnn_samples *samples)
{
    enum { VALUES_MAX = 1 << 12 };
    float x[VALUES_MAX];
    if (samples->count == 0)
        return;
    CHECK(samples->labels[samples->count - 1] < samples->classes);
    if (cnn_shape_count(&samples->shape) <= VALUES_MAX)
        cnn_samples_gather(samples, NULL, samples->count - 1, 1, x);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct dataset_info info = {0};
    struct cnn_samples samples[SPLIT_COUNT];
    struct err e;
    read_safetensors(bytes, size);
    if (dataset_file_parse(bytes, size, &info, samples, &e)) {
        for (int split = 0; split < SPLIT_COUNT; split++)
            touch(&samples[split]);
        dataset_info_clear(&info);
    } else {
        CHECK(e.code == ERR_UNPROCESSABLE && !info.labels);
    }
    return 0;
}
