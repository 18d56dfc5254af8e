/* SPDX-License-Identifier: Apache-2.0 */
/* What libFuzzer calls; replay.c calls it where there is no libFuzzer. */
#ifndef FBY_TEST_FUZZ_H
#define FBY_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
