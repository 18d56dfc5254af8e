/* SPDX-License-Identifier: Apache-2.0 */
/* How large a model is, from its files or its name. One thread. */
#ifndef FBY_CLI_POOL_MODEL_H
#define FBY_CLI_POOL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { FBY_POOL_PARTS_MAX = 4096 };

/* "7B", "335M", "22713216", or a directory: its weights' bytes by those of a parameter, 4, or 2 of
 * a safetensors file that says so; `*note` says what was assumed of other files, "" nothing. Of a
 * directory with several kinds of files one kind counts, safetensors first. */
fby_status fby_pool_parameters(const char *model, uint64_t *parameters, const char **note);

/* A size with K, M or G; a directory: the sizes of its files of weights. Adds to `parts`,
 * of which FBY_POOL_PARTS_MAX have room: FBY_EINVAL where there are more. */
fby_status fby_pool_parts(const char *what, uint64_t *parts, size_t *count);

#endif
