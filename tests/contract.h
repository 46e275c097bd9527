/* contract.h - holds every reply that a test receives against the OpenAPI document: the status and
 * the content type are listed, a JSON body fits its schema. Every failure fails the test. */
#ifndef STRIDED_TESTS_CONTRACT_H
#define STRIDED_TESTS_CONTRACT_H

#include <cJSON.h>

#include "client.h"

/* The document as the binary under test serves it; cJSON_Delete it. */
cJSON *contract_document(void);
/* The operation of this method in an item of "paths"; NULL: there is none. */
const cJSON *contract_operation(const cJSON *path, const char *method);

/* A reply to this request. Of an error, "default" is listing enough. Routes that the document does
 * not have (a test may serve its own) are not looked at, and errors without a route must be problem
 * documents. */
void contract_check(const char *method, const char *target, const struct reply *reply);

#endif
