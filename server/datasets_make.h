/* datasets_make.h - how every import writes a dataset version; private to datasets*.c. */
#ifndef STRIDED_DATASETS_MAKE_H
#define STRIDED_DATASETS_MAKE_H

#include "datasets.h"

/* Where a version's values come from, asked in pieces, and more than once. */
struct dataset_source {
    const void *context;
    void (*labels)(const struct dataset_source *source, enum dataset_split split, uint32_t first,
                   uint32_t n, uint16_t *labels);
    /* n samples of info's dtype; may fill `buffer`, which has room for them, and return it. NULL
     * fails the import. */
    const void *(*samples)(const struct dataset_source *source, enum dataset_split split,
                           uint32_t first, uint32_t n, void *buffer, struct err *e);
};

/* Fills info->preprocess from the training samples: background, scale and, if wanted, each
 * channel's mean and deviation (of scaled values; 1 where a channel is constant). */
bool dataset_measure(struct dataset_info *info, const struct dataset_source *source,
                     const struct dataset_scaling *scaling, struct err *e);

/* Only the background, 0..1000 samples deep. */
bool dataset_measure_background(struct dataset_info *info, const struct dataset_source *source,
                                struct err *e);

/* Whether samples of info's shape, dtype and counts are within bounds and find room now: to be
 * asked before they are computed. */
bool datasets_check_room(const struct dataset_info *info, struct err *e);

/* Writes the next version of `name`: samples of info's shape, dtype and counts. Labels must be
 * below info->label_count. Durable when it returns true. */
bool datasets_make(struct store *store, const char *name, const struct dataset_info *info,
                   const struct dataset_source *source, int *version, struct err *e);
/* The same for a caller that has locked: nothing becomes a version between. */
bool datasets_make_locked(struct store *store, const char *name, const struct dataset_info *info,
                          const struct dataset_source *source, int *version, struct err *e);
void datasets_lock(void);
void datasets_unlock(void);

size_t dataset_sample_bytes(const struct dataset_info *info);

#endif
