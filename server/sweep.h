/* sweep.h - the data directory and the catalogue made to agree, at start.
 *
 * A crash between a file's rename and its row, or between a row's end and the file's removal,
 * leaves a file that no row names: it was never acknowledged, or deleted, and is removed. A file
 * whose version this catalogue never gave stays where it is and is named in the log: then the
 * database was lost or is an older one, and the file may be all there is. Checkpoints of jobs that
 * succeeded or are gone are removed too, and so are empty folders. Datasets whose file is missing
 * or of another size are named in the log.
 */
#ifndef STRIDED_SWEEP_H
#define STRIDED_SWEEP_H

#include "store.h"

/* Before anything else uses the data directory, after files_open. */
bool sweep_run(struct store *store, struct err *e);

#endif
