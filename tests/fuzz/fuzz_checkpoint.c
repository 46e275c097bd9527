/* Any bytes as the checkpoint of one job: whatever is taken lies inside the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch_json.h"
#include "check.h"
#include "checkpoint.h"
#include "net.h"

#include <zlib.h>

enum { SUM_BYTES = 4 };

/* The sum at the end is right again: else nothing behind it would be read. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed)
{
    size = LLVMFuzzerMutate(bytes, size, size_max);
    if (size < SUM_BYTES || seed % 8 == 0)
        return size;
    uint32_t sum = (uint32_t)crc32(0, bytes, (uInt)(size - SUM_BYTES));
    for (int i = 0; i < SUM_BYTES; i++)
        bytes[size - SUM_BYTES + (size_t)i] = (uint8_t)(sum >> (8 * i));
    return size;
}

static struct cnn_net *net_new(void)
{
    static const char text[] =
        "{\"input\":[3],\"layers\":[{\"type\":\"dense\",\"units\":2},{\"type\":\"softmax\"}]}";
    struct cnn_spec spec;
    struct err e;
    CHECK(arch_parse_text(text, strlen(text), NULL, 0, &spec, &e));
    struct cnn_net *net = cnn_net_new(&spec, &e);
    CHECK(net);
    cnn_spec_clear(&spec);
    return net;
}

static void check_inside(const void *block, size_t size, const uint8_t *bytes, size_t file_size)
{
    const uint8_t *at = block;
    CHECK(!at || (at >= bytes && at + size <= bytes + file_size));
}

static void read_file(const uint8_t *bytes, size_t size)
{
    static const char job[] = "{\"model\":\"m\",\"dataset\":\"d\"}";
    static const struct cnn_net *net;
    struct job_request request;
    struct checkpoint c;
    struct err e = {0};
    if (!net)
        net = net_new();
    CHECK(job_request_parse(job, strlen(job), &request, &e));
    if (checkpoint_read(bytes, size, "1", &request, net, &c, &e)) {
        size_t block = net->state_count * sizeof(float);
        check_inside(c.state.params, block, bytes, size);
        check_inside(c.state.best, block, bytes, size);
        check_inside(c.points, (size_t)c.point_count * sizeof *c.points, bytes, size);
    } else {
        CHECK(e.code == ERR_UNPROCESSABLE || e.code == ERR_CONFLICT);
        CHECK(e.detail[0] != '\0');
    }
    job_request_clear(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *aligned = malloc(size + 1); /* on 8 bytes, as checkpoint.h asks */
    CHECK(aligned);
    memcpy(aligned, bytes, size);
    read_file(aligned, size);
    free(aligned);
    return 0;
}
