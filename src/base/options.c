/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <stdbool.h>
#include <string.h>

#include "base/bits.h"

static bool is_zero(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

fby_status fby_options_read(void *to, size_t size, const void *from, const char *name)
{
    if (from == NULL)
        return FBY_OK;
    size_t given;
    memcpy(&given, from, sizeof given);
    if (given < sizeof given)
        return fby_error(FBY_EINVAL, "%s.struct_size is %zu: set it with %s_INIT's value", name,
                         given, name);
    if (given > size && !is_zero((const unsigned char *)from + size, given - size))
        return fby_error(FBY_EUNSUPPORTED, "%s asks for a field that this version does not have",
                         name);
    memcpy(to, from, fby_min_size(given, size));
    memcpy(to, &size, sizeof size);
    return FBY_OK;
}
