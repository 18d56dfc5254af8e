/* SPDX-License-Identifier: Apache-2.0 */
/* What libFuzzer calls, and replay.c where there is no libFuzzer; checks, and the input as a
 * stream. */
#ifndef FBY_TEST_FUZZ_H
#define FBY_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* For what must hold of any input: ends the run, in every build. */
#define FUZZ_CHECK(x)                                                                              \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #x);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Takes a byte off the input's beginning; 0 at its end. */
static inline uint8_t fuzz_byte(const uint8_t **data, size_t *size)
{
    if (*size == 0)
        return 0;
    --*size;
    return *(*data)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
