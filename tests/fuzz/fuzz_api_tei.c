/* SPDX-License-Identifier: Apache-2.0 */
/* TEI's dialect. */
#include "fuzz_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"/embed", "/embed_all", "/similarity", "/tokenize",
                                        "/decode"};
    return fuzz_api(data, size, paths, sizeof paths / sizeof paths[0]);
}
