/* openapi.h - the OpenAPI document (proto/openapi.yaml) as JSON, put into the binary by make. */
#ifndef STRIDED_OPENAPI_H
#define STRIDED_OPENAPI_H

extern const char openapi_json[], openapi_json_end[]; /* [begin, end) */

#endif
