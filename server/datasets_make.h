/* datasets_make.h - how every import writes a dataset version; private to datasets*.c. */
#ifndef STRIDED_DATASETS_MAKE_H
#define STRIDED_DATASETS_MAKE_H

#include "datasets.h"

/* Where a version's values come from, asked in order and in pieces. */
struct dataset_source {
    const void *context;
    void (*labels)(const struct dataset_source *source, enum dataset_split split, uint32_t first,
                   uint32_t n, uint16_t *labels);
    /* n samples of u8; may fill `buffer`, which has room for them, and return it. */
    const uint8_t *(*samples)(const struct dataset_source *source, enum dataset_split split,
                              uint32_t first, uint32_t n, uint8_t *buffer);
};

/* Writes the next version of `name`: u8 samples of info's shape and counts. Labels must be below
 * info->label_count. Durable when it returns true. */
bool datasets_make(struct store *store, const char *name, const struct dataset_info *info,
                   const struct dataset_source *source, int *version, struct err *e);

#endif
