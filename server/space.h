/* space.h - how many bytes the data directory holds, and how many it may hold (--quota-mib).
 *
 * Whoever writes a file claims its bytes first and settles the claim when the file is in its place
 * or gone, so that what is counted is never less than what lies there. At the start all files are
 * added up. The database grows by itself; its size is looked up whenever something is claimed.
 *
 * Of a quota the last SPACE_ROWS_MIB are kept from files for the database's rows; of the disk a
 * file of SPACE_RESERVE_MIB, `reserve`, is kept so that jobs can end and things be deleted when it
 * is full.
 *
 * A claim belongs to one thread; the functions may be called by any, once space_open returned.
 */
#ifndef STRIDED_SPACE_H
#define STRIDED_SPACE_H

#include <stdint.h>

#include "err.h"

enum { SPACE_RESERVE_MIB = 4, SPACE_ROWS_MIB = 4, SPACE_QUOTA_MIB_MIN = 16 };

/* After files_open. quota_mib 0: none. */
bool space_open(int quota_mib, struct err *e);

struct space_claim { /* zeroed: nothing */
    uint64_t bytes;
};
/* Makes the claim at least this large. ERR_NO_SPACE when the quota or the disk has no room; the
 * text says how much there is and what was asked for. */
bool space_claim(struct space_claim *claim, uint64_t bytes, struct err *e);
/* Of what was claimed so many bytes stay, in files. */
void space_settle(struct space_claim *claim, uint64_t kept);
/* Files of so many bytes that had stayed are gone. */
void space_freed(uint64_t bytes);

/* Before rows are added that are not needed to end or delete something: ERR_NO_SPACE when the
 * quota is used up. */
bool space_check_rows(struct err *e);
/* After such a failure of ending or deleting: gives the reserve up. True, once, when trying again
 * makes sense. It is made anew when there is room, by space_freed. */
bool space_spend_reserve(const struct err *e);

struct space_usage {
    uint64_t quota;     /* 0: none */
    uint64_t used;      /* by files, claims, the reserve and the database */
    uint64_t available; /* for files: what quota and disk leave */
};
void space_look(struct space_usage *usage);
/* Bytes of all files below a folder of the data directory. */
uint64_t space_of_folder(const char *folder);

#endif
