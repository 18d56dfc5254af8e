/* SPDX-License-Identifier: Apache-2.0 */
/* Ollama's and llama-server's dialects. */
#include "fuzz_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"/api/embed", "/embedding"};
    return fuzz_api(data, size, paths, sizeof paths / sizeof paths[0]);
}
