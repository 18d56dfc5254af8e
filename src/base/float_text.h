/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as decimal text, for JSON and CSV. Any thread. */
#ifndef FBY_BASE_FLOAT_TEXT_H
#define FBY_BASE_FLOAT_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { FBY_FLOAT_TEXT = 16, FBY_UINT_TEXT = 20 }; /* bytes at most, no NUL */

/* Writes the shortest decimal that reads back as the same float, of several the nearest to it:
 * "-0.0625", "1e-7". Also JSON's grammar, but for "nan", "inf" and "-inf". The number of bytes;
 * those behind them, up to FBY_FLOAT_TEXT, may be written too. */
size_t fby_float_text(float x, char *text);

size_t fby_uint_text(uint64_t x, char *text);

#endif
