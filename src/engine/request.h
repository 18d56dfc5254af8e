/* SPDX-License-Identifier: Apache-2.0 */
/* An embed call as the engine takes it. */
#ifndef FBY_ENGINE_REQUEST_H
#define FBY_ENGINE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forebay/embed.h"

/* Which vector has length 1. */
typedef enum fby_unit {
    FBY_UNIT_NONE,
    FBY_UNIT_BEFORE_CUT, /* the model's; what is left of it after the cut is shorter */
    FBY_UNIT_AFTER_CUT   /* what is returned */
} fby_unit;

/* What is asked, checked and with every default resolved. */
typedef struct fby_request {
    const fby_text *texts;
    size_t count;
    float *vectors; /* (count, dimensions) */
    fby_text_info *infos;
    const char *prompt;
    size_t prompt_size;
    uint32_t dimensions;
    uint32_t limit; /* tokens a text */
    uint32_t threads;
    fby_unit normalize;
    bool truncate;
    bool left;
    bool strict_utf8;
} fby_request;

#endif
