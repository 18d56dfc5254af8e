/* SPDX-License-Identifier: Apache-2.0 */
#include "model/sample.h"

#include "base/bits.h"

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void fby_sample_make(uint32_t vocabulary, uint32_t max_tokens, const uint32_t *special,
                     uint32_t count, fby_sample *sample)
{
    static const uint32_t lengths[] = {8, 16, 32, 64, 96, 24};
    uint64_t random = 2;
    uint32_t at = 0;
    for (uint32_t text = 0; text < FBY_SAMPLE_TEXTS; text++) {
        uint32_t length = lengths[text % (sizeof lengths / sizeof lengths[0])];
        uint32_t end = at + fby_min_u32(length, max_tokens);
        sample->starts[text] = at;
        for (uint32_t i = at; i < end; i++)
            sample->ids[i] = (uint32_t)(next_random(&random) % vocabulary);
        if (count > 0)
            sample->ids[at] = special[0];
        if (count > 1)
            sample->ids[end - 1] = special[count - 1];
        at = end;
    }
    sample->starts[FBY_SAMPLE_TEXTS] = at;
}
