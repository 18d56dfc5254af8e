/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's dialect, and the path that dialects share. */
#include "fuzz_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"/v1/embeddings", "/embeddings"};
    return fuzz_api(data, size, paths, sizeof paths / sizeof paths[0]);
}
