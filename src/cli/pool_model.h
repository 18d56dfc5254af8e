/* SPDX-License-Identifier: Apache-2.0 */
/* How large a model is, from its files or its name. One thread. */
#ifndef FBY_CLI_POOL_MODEL_H
#define FBY_CLI_POOL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { FBY_POOL_PARTS_MAX = 4096 };

/* "7B", "335M", "22713216", or a directory: its weights' bytes by those of a parameter, 4, or 2 of
 * a file that says so. */
fby_status fby_pool_parameters(const char *model, uint64_t *parameters);

/* A size with K, M or G; a directory: the sizes of its files of weights. Adds to `parts`
 * (FBY_POOL_PARTS_MAX). */
fby_status fby_pool_parts(const char *what, uint64_t *parts, size_t *count);

#endif
