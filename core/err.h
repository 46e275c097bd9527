/* err.h - how a function says what went wrong.
 *
 * A function that can fail returns bool (or a pointer) and takes a `struct err *` last. On
 * failure it fills the struct once and returns false (NULL); on success it leaves it alone.
 * The text is for the user: lowercase, the problem first, the subject quoted, no full stop.
 * `field` is the path of the offending input ("architecture.layers[2].kernel"), or empty.
 *
 * Plain data, no ownership, no locks; each caller has its own.
 */
#ifndef STRIDED_ERR_H
#define STRIDED_ERR_H

#include <stdbool.h>

enum err_code {
    ERR_NONE,
    ERR_INVALID,       /* malformed or out of range input */
    ERR_NOT_FOUND,     /* the named thing does not exist */
    ERR_CONFLICT,      /* name taken, job already ended */
    ERR_TOO_LARGE,     /* past a size limit */
    ERR_MEDIA_TYPE,    /* a content type or encoding we do not read */
    ERR_UNPROCESSABLE, /* well-formed, but decodes to nothing usable */
    ERR_BUSY,          /* a queue is full; try again */
    ERR_UNAVAILABLE,   /* starting or draining; try again */
    ERR_NO_SPACE,      /* disk full */
    ERR_NO_MEMORY,     /* an allocation failed */
    ERR_IO,            /* the file system or database failed */
    ERR_DIVERGED,      /* training met a non-finite loss */
    ERR_CANCELLED,     /* stopped on request */
    ERR_INTERNAL,      /* a bug */
    ERR_CODE_COUNT
};

struct err {
    enum err_code code;
    char field[128];
    char detail[384];
};

/* Fills *e and returns false, so that callers write `return err_set(e, ...)`. */
bool err_set(struct err *e, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, naming the input field at fault. */
bool err_field(struct err *e, enum err_code code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts a path in front of e->field as an error travels outwards: err_within(e, "layers[%d]", 2)
 * turns "kernel" into "layers[2].kernel", and "[1]" into "layers[2][1]". Returns false. */
bool err_within(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ERR_NO_MEMORY with a standard text; returns false. */
bool err_no_memory(struct err *e);

#endif
