/* SPDX-License-Identifier: Apache-2.0 */
/* What the command says on stderr: one line, "forebay embed: what". Any thread; a line is written
 * by one call. */
#ifndef FBY_CLI_SAY_H
#define FBY_CLI_SAY_H

#include <stdint.h>

#include "forebay/status.h"

/* Names the command for all that is said from here on. `name` must stay. */
void fby_say_as(const char *name);

void fby_say(const char *fmt, ...) FBY_PRINTF(1, 2);

/* What became of `texts` texts, where it should be known: cut to `max_tokens`, or mended. */
void fby_say_texts(uint64_t texts, uint64_t truncated, uint64_t replaced, uint32_t max_tokens);

#endif
