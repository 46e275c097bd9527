#include <stdio.h>
#include <string.h>

#include "worker_job.h"

bool worker_checkpoint_open(struct worker_job *job, struct err *e)
{
    if (!file_map_open(&job->from_file, job->checkpoint_file, e))
        return e->code == ERR_NOT_FOUND;
    job->resumed = checkpoint_read(job->from_file.bytes, job->from_file.size, job->id,
                                   &job->request, job->net, &job->from, e);
    if (job->resumed)
        return true;
    const struct err why = *e;
    return err_set(e, why.code, "cannot go on from '%s': %s", job->checkpoint_file, why.detail);
}

void worker_checkpoint_close(struct worker_job *job)
{
    file_map_close(&job->from_file);
}

static void put(void *context, const void *bytes, size_t size)
{
    file_write(context, bytes, size);
}

bool worker_checkpoint_write(const struct worker_job *job, const struct checkpoint *checkpoint,
                             struct err *e)
{
    struct file_writer file;
    char name[64];
    snprintf(name, sizeof name, "job-%s.safetensors", job->id);
    if (!file_begin_again(&file, name, e))
        return false;
    if (checkpoint_write(checkpoint, job->net, &job->request, put, &file, e))
        return file_replace(&file, job->checkpoint_file, e);
    file_abort(&file);
    return false;
}
