#include "dataset_json.h"

#include <cJSON.h>
#include <string.h>

#include "buf.h"
#include "json_read.h"
#include "limits.h"
#include "utf8.h"

enum { TRAIN_DEFAULT = 1000, TEST_DEFAULT = 200 };

static bool generator_parse(const cJSON *json, struct dataset_request *request, struct err *e)
{
    const char *name = NULL;
    char quoted[UTF8_QUOTE_BYTES];
    if (!json_get_string(json, "generator", &name, e))
        return false;
    if (!name)
        return err_field(e, ERR_INVALID, "generator", "missing 'generator'");
    request->generator = cnn_generator_find(name);
    if (request->generator)
        return true;
    struct buf names = {0};
    for (int i = 0; cnn_generator_at(i); i++)
        buf_fmt(&names, "%s%s", i > 0 ? ", " : "", cnn_generator_at(i)->name);
    err_field(e, ERR_INVALID, "generator", "unknown generator '%s', expected one of %s",
              utf8_quote(quoted, name, strlen(name)), buf_text(&names));
    buf_clear(&names);
    return false;
}

static bool request_parse(const cJSON *json, struct dataset_request *request, struct err *e)
{
    static const char *const fields[] = {"generator", "train", "test", "seed", NULL};
    int64_t train = TRAIN_DEFAULT, test = TEST_DEFAULT, seed = 0;
    if (!json_is_object(json, "", e) || !json_only(json, fields, e) ||
        !generator_parse(json, request, e) ||
        !json_get_int(json, "train", 1, LIMIT_GENERATED_SAMPLES, &train, e) ||
        !json_get_int(json, "test", 0, LIMIT_GENERATED_SAMPLES, &test, e) ||
        !json_get_int(json, "seed", 0, (int64_t)1 << 53, &seed, e))
        return false;
    if (train + test > LIMIT_GENERATED_SAMPLES)
        return err_field(e, ERR_INVALID, "train", "%lld samples exceed %d",
                         (long long)(train + test), LIMIT_GENERATED_SAMPLES);
    request->train = (uint32_t)train;
    request->test = (uint32_t)test;
    request->seed = (uint64_t)seed;
    return true;
}

bool dataset_request_parse(const char *text, size_t size, struct dataset_request *request,
                           struct err *e)
{
    *request = (struct dataset_request){0};
    cJSON *json = json_parse(text, size, e);
    if (!json)
        return false;
    bool ok = request_parse(json, request, e);
    json_free(json);
    return ok;
}
