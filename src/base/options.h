/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options structs that grow: a caller built against an older header passes a
 * shorter struct, whose missing end takes the defaults; one built against a
 * newer header passes a longer one, whose unknown end must be zero.
 */
#ifndef FBY_BASE_OPTIONS_H
#define FBY_BASE_OPTIONS_H

#include <stddef.h>

#include "base/status.h"

/*
 * Copies `from` (NULL: nothing) over `to`, a struct of `size` bytes that holds
 * the defaults. `name` is for the message. FBY_EINVAL if struct_size is too
 * small to be one, FBY_EUNSUPPORTED if it asks for what this build lacks.
 */
fby_status fby_options_read(void *to, size_t size, const void *from, const char *name);

#endif
