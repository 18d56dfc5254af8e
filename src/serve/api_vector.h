/* SPDX-License-Identifier: Apache-2.0 */
/* A vector as JSON, in the number types that an answer may have. Any thread. */
#ifndef FBY_SERVE_API_VECTOR_H
#define FBY_SERVE_API_VECTOR_H

#include "serve/api_json.h"

/* Bytes that one vector of `dim` floats takes at most as `type`, one of FBY_TYPE_. */
size_t fby_vector_json_max(uint32_t type, uint32_t dim);

/* "[0.1,-0.2]" or, for FBY_TYPE_BASE64, its bytes as a string. The sink has room for
 * fby_vector_json_max(). What JSON has no number for is null. */
void fby_vector_json(fby_sink *sink, uint32_t type, const float *vector, uint32_t dim);

/* "float", "base64", "int8" ... */
const char *fby_vector_type_name(uint32_t type);

#endif
