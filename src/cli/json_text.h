/* SPDX-License-Identifier: Apache-2.0 */
/* A string as JSON. Any thread. */
#ifndef FBY_CLI_JSON_TEXT_H
#define FBY_CLI_JSON_TEXT_H

#include <stddef.h>

#include "cli/output.h"

/* Writes `size` bytes between quotes, escaped as RFC 8259 asks. What is not UTF-8 becomes U+FFFD
 * as fby_embed() reads it. */
fby_status fby_json_text(fby_output *output, const char *bytes, size_t size);

#endif
