/* number.h - JSON numbers to correctly rounded floats. */
#ifndef STRIDED_NUMBER_H
#define STRIDED_NUMBER_H

#include <stddef.h>

/* Bytes of the JSON number that text begins with, 0 if there is none. *value is the float nearest
 * to it, ties to even, as strtof gives; infinite when it overflows. Any length, linear time. */
size_t number_read(const char *text, size_t size, float *value);

/* The same for up to `most` numbers with commas between them, and white space: into values, how
 * many into *count. Returns the bytes up to the end of the last one read; stops before what
 * overflows, what is no number, and what stands where a comma should. */
size_t number_list_read(const char *text, size_t size, float *values, size_t most, size_t *count);

#endif
