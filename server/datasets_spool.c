#include "datasets_spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"

bool spool_open(struct spool *spool, size_t sample_bytes, struct err *e)
{
    *spool = (struct spool){.sample_bytes = sample_bytes};
    return file_begin_unnamed(&spool->file, e);
}

void spool_close(struct spool *spool)
{
    if (spool->sample_bytes == 0)
        return;
    if (spool->map)
        munmap((void *)spool->map, spool->count * spool->sample_bytes);
    file_abort(&spool->file);
    free(spool->samples);
    free(spool->order);
    *spool = (struct spool){.sample_bytes = 0};
}

bool spool_add(struct spool *spool, const void *sample, struct spool_sample about, struct err *e)
{
    if (spool->count == spool->room) {
        uint32_t room = spool->room ? 2 * spool->room : 1024;
        struct spool_sample *samples = realloc(spool->samples, room * sizeof *samples);
        if (!samples)
            return err_no_memory(e);
        spool->samples = samples;
        spool->room = room;
    }
    file_write(&spool->file, sample, spool->sample_bytes);
    if (spool->file.error.code != ERR_NONE) {
        *e = spool->file.error;
        return false;
    }
    spool->samples[spool->count++] = about;
    return true;
}

/* ---- splits ---- */

struct drawn {
    uint64_t key;
    uint32_t sample;
    uint16_t label;
};

static int by_label_and_key(const void *a, const void *b)
{
    const struct drawn *p = a, *q = b;
    if (p->label != q->label)
        return p->label < q->label ? -1 : 1;
    if (p->key != q->key)
        return p->key < q->key ? -1 : 1;
    return p->sample < q->sample ? -1 : 1;
}

bool spool_split(struct spool *spool, double share, struct err *e)
{
    struct drawn *drawn = memory_new(spool->count, sizeof *drawn, e);
    if (!drawn)
        return false;
    for (uint32_t i = 0; i < spool->count; i++)
        drawn[i] = (struct drawn){spool->samples[i].key, i, spool->samples[i].label};
    qsort(drawn, spool->count, sizeof *drawn, by_label_and_key);
    uint32_t end;
    for (uint32_t first = 0; first < spool->count; first = end) {
        for (end = first; end < spool->count && drawn[end].label == drawn[first].label;)
            end++;
        uint32_t tests = (uint32_t)((end - first) * share + 0.5);
        if (tests == end - first)
            tests--;
        for (uint32_t i = 0; i < end - first; i++)
            spool->samples[drawn[first + i].sample].split = i < tests ? SPLIT_TEST : SPLIT_TRAIN;
    }
    free(drawn);
    return true;
}

/* ---- the end ---- */

bool spool_drop_labels(struct spool *spool, struct dataset_info *info, struct err *e)
{
    const char *labels[CNN_CLASSES_MAX];
    int renamed[CNN_CLASSES_MAX], count = 0;
    bool used[CNN_CLASSES_MAX] = {false};
    for (uint32_t i = 0; i < spool->count; i++)
        used[spool->samples[i].label] = true;
    for (int i = 0; i < info->label_count; i++) {
        renamed[i] = count;
        if (used[i])
            labels[count++] = info->labels[i];
    }
    if (count == info->label_count)
        return true;
    for (uint32_t i = 0; i < spool->count; i++)
        spool->samples[i].label = (uint16_t)renamed[spool->samples[i].label];
    return dataset_info_set_labels(info, labels, count, e);
}

static bool map_samples(struct spool *spool, struct err *e)
{
    void *map =
        mmap(NULL, spool->count * spool->sample_bytes, PROT_READ, MAP_PRIVATE, spool->file.fd, 0);
    if (map == MAP_FAILED)
        return err_set(e, ERR_IO, "cannot map the samples: %s", strerror(errno));
    spool->map = map;
    return true;
}

bool spool_finish(struct spool *spool, struct err *e)
{
    uint32_t at = 0;
    spool->order = memory_new(spool->count, sizeof *spool->order, e);
    if (!spool->order || !map_samples(spool, e))
        return false;
    for (int split = 0; split < SPLIT_COUNT; split++) {
        spool->first[split] = at;
        for (uint32_t i = 0; i < spool->count; i++)
            if (spool->samples[i].split == split)
                spool->order[at++] = i;
        spool->counts[split] = at - spool->first[split];
    }
    return true;
}

/* ---- source ---- */

static void spool_labels(const struct dataset_source *source, enum dataset_split split,
                         uint32_t first, uint32_t n, uint16_t *labels)
{
    const struct spool *spool = source->context;
    const uint32_t *order = spool->order + spool->first[split] + first;
    for (uint32_t i = 0; i < n; i++)
        labels[i] = spool->samples[order[i]].label;
}

static const void *spool_samples(const struct dataset_source *source, enum dataset_split split,
                                 uint32_t first, uint32_t n, void *buffer, struct err *e)
{
    const struct spool *spool = source->context;
    const uint32_t *order = spool->order + spool->first[split] + first;
    (void)e;
    for (uint32_t i = 0; i < n; i++)
        memcpy((uint8_t *)buffer + i * spool->sample_bytes,
               spool->map + order[i] * spool->sample_bytes, spool->sample_bytes);
    return buffer;
}

struct dataset_source spool_source(const struct spool *spool)
{
    return (struct dataset_source){
        .context = spool, .labels = spool_labels, .samples = spool_samples};
}
