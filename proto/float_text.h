/* float_text.h - a float as the shortest decimal text that reads back the same. */
#ifndef STRIDED_FLOAT_TEXT_H
#define STRIDED_FLOAT_TEXT_H

#include <stddef.h>

enum { FLOAT_TEXT_BYTES = 24 }; /* "-1.17549435e-38" and its NUL */

/* A finite value in the form of printf's %g, with as many digits as it takes that both a reader of
 * floats and one of doubles who then rounds get it back. Returns the length. */
size_t float_text(float value, char text[FLOAT_TEXT_BYTES]);

#endif
