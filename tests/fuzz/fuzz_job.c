/* Any bytes as a job, an architecture and a generator's request: whatever is taken is written in
 * full and read back the same. */
#include <stdint.h>
#include <string.h>

#include "arch_json.h"
#include "check.h"
#include "dataset_json.h"
#include "job_json.h"
#include "net.h"

static void check_error(const struct err *e)
{
    CHECK(e->code == ERR_INVALID || e->code == ERR_NOT_FOUND);
    CHECK(e->detail[0] != '\0');
}

static void write_job(struct buf *out, const struct job_request *request)
{
    struct json_writer w;
    jw_begin(&w, out);
    job_request_write(&w, request);
}

static void read_job(const char *text, size_t size)
{
    struct job_request request, again;
    struct buf once = {0}, twice = {0};
    struct err e = {0};
    if (!job_request_parse(text, size, &request, &e)) {
        check_error(&e);
        return;
    }
    write_job(&once, &request);
    CHECK(job_request_parse(once.data, once.size, &again, &e));
    write_job(&twice, &again);
    CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    job_request_clear(&request);
    job_request_clear(&again);
    buf_clear(&once);
    buf_clear(&twice);
}

static void write_arch(struct buf *out, const struct cnn_spec *spec)
{
    struct json_writer w;
    jw_begin(&w, out);
    arch_write(&w, spec);
}

/* A net that can be made says all it is in its spec. */
static void check_net(const struct cnn_net *net)
{
    struct cnn_spec spec = {0}, again = {0};
    struct buf once = {0}, twice = {0};
    struct err e;
    CHECK(cnn_net_spec(net, &spec, &e));
    write_arch(&once, &spec);
    CHECK(arch_parse_text(once.data, once.size, NULL, 0, &again, &e));
    write_arch(&twice, &again);
    CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    struct cnn_net *same = cnn_net_plan(&again, &e);
    CHECK(same && same->param_count == net->param_count);
    cnn_net_free(same);
    cnn_spec_clear(&spec);
    cnn_spec_clear(&again);
    buf_clear(&once);
    buf_clear(&twice);
}

static void read_arch(const char *text, size_t size)
{
    struct cnn_spec spec = {0};
    struct err e = {0};
    bool ok = arch_parse_text(text, size, NULL, 0, &spec, &e);
    struct cnn_net *net = ok ? cnn_net_plan(&spec, &e) : NULL;
    if (net)
        check_net(net);
    else
        check_error(&e);
    cnn_net_free(net);
    cnn_spec_clear(&spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes;
    struct dataset_request generator;
    struct err e;
    read_job(text, size);
    read_arch(text, size);
    if (dataset_request_parse(text, size, &generator, &e))
        CHECK(generator.generator && generator.train + generator.test <= LIMIT_GENERATED_SAMPLES);
    return 0;
}
