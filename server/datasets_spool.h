/* datasets_spool.h - samples on their way into a version, kept in a file without a name because
 * neither their number nor their split is known before the last one; private to datasets*.c. */
#ifndef STRIDED_DATASETS_SPOOL_H
#define STRIDED_DATASETS_SPOOL_H

#include "datasets_make.h"

struct spool_sample {
    uint64_t key; /* by which a share of its class is drawn */
    uint16_t label;
    uint8_t split;
};

struct spool {
    struct file_writer file;
    size_t sample_bytes;
    uint32_t count, room;
    struct spool_sample *samples; /* [count] */
    const uint8_t *map;           /* all samples' bytes, after spool_finish */
    uint32_t *order;              /* [count]: those of training, then those of testing */
    uint32_t first[SPLIT_COUNT], counts[SPLIT_COUNT];
};

bool spool_open(struct spool *spool, size_t sample_bytes, struct err *e);
void spool_close(struct spool *spool); /* also one that was never opened, if zeroed */
bool spool_add(struct spool *spool, const void *sample, struct spool_sample about, struct err *e);

/* Moves the share 0..1 of each class into testing, those with the lowest keys; a class keeps one
 * sample at least. */
bool spool_split(struct spool *spool, double share, struct err *e);
/* Labels without a sample are dropped from info->labels, the others numbered anew. */
bool spool_drop_labels(struct spool *spool, struct dataset_info *info, struct err *e);
/* After the last change: maps the samples and counts the splits. At least one sample. */
bool spool_finish(struct spool *spool, struct err *e);
struct dataset_source spool_source(const struct spool *spool); /* of a finished one */

#endif
