/* schema.h - holds JSON values against the schemas of an OpenAPI document: the keywords that
 * openapi.yaml uses, but for pattern, format and content*. */
#ifndef STRIDED_TESTS_SCHEMA_H
#define STRIDED_TESTS_SCHEMA_H

#include <cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* What "#/components/schemas/Job" names in the document; NULL if nothing. */
const cJSON *schema_resolve(const cJSON *document, const char *reference);
/* Whether the value fits the schema; if not, why (with the path to it) in `reason`. */
bool schema_fits(const cJSON *document, const cJSON *schema, const cJSON *value, char *reason,
                 size_t size);

#endif
