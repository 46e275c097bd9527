#include "job_space.h"

#include <stdio.h>
#include <unistd.h>

#include "files.h"

enum {
    CHECKPOINT_BLOCKS = 4,  /* weights, the best ones, two moments: checkpoint.h */
    REST_BYTES = 256 << 10, /* heads, labels, requests, points */
};

static uint64_t bytes_of(size_t floats)
{
    return floats * sizeof(float) * (2 * CHECKPOINT_BLOCKS + 1) + REST_BYTES;
}

bool job_space_check(size_t floats, struct err *e)
{
    struct space_claim claim = {0};
    bool ok = space_claim(&claim, bytes_of(floats), e);
    space_settle(&claim, 0);
    return ok;
}

static uint64_t checkpoint_bytes(int64_t job)
{
    char path[FILES_PATH_BYTES];
    files_checkpoint_path(path, sizeof path, job);
    return file_size(path);
}

/* A checkpoint that is there counts within the claim from now on. */
bool job_space_claim(struct space_claim *claim, int64_t job, size_t floats, struct err *e)
{
    uint64_t there = checkpoint_bytes(job);
    space_freed(there);
    bool ok = space_claim(claim, bytes_of(floats), e);
    if (!ok)
        space_settle(claim, there);
    return ok;
}

void job_space_settle(struct space_claim *claim, int64_t job, const char *model)
{
    char half[FILES_PATH_BYTES];
    if (claim->bytes == 0)
        return;
    snprintf(half, sizeof half, "%s/tmp/job-%lld.safetensors", files_data_dir(), (long long)job);
    unlink(half); /* mostly there is none */
    space_settle(claim, checkpoint_bytes(job) + file_size(model));
}
