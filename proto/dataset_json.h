/* dataset_json.h - the JSON body of PUT /datasets/D:
 * {"generator":"shapes","train":1000,"test":200,"seed":0}. */
#ifndef STRIDED_DATASET_JSON_H
#define STRIDED_DATASET_JSON_H

#include "err.h"
#include "synth.h"

struct dataset_request {
    const struct cnn_generator *generator;
    uint32_t train, test; /* defaults 1000, 200; at most LIMIT_GENERATED_SAMPLES together */
    uint64_t seed;
};

bool dataset_request_parse(const char *text, size_t size, struct dataset_request *request,
                           struct err *e);

#endif
