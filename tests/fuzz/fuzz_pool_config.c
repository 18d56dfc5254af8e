/* SPDX-License-Identifier: Apache-2.0 */
/* A heap pool's YAML: what is read makes a pool, or is refused with a word. */
#include "fuzz.h"

#include "cli/pool_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fby_pool_config config;
    fby_pool_config_init(&config);
    if (fby_pool_config_read((const char *)data, size, "fuzz", &config) == FBY_OK)
        (void)fby_pool_config_options(&config);
    return 0;
}
