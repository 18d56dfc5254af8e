/* SPDX-License-Identifier: Apache-2.0 */
#include "base/suggest.h"

#include <string.h>

enum { LONGEST = 31 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned fby_edit_distance(const char *a, const char *b, unsigned limit)
{
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > LONGEST || b_size > LONGEST)
        return limit + 1;

    unsigned d[LONGEST + 1][LONGEST + 1]; /* d[i][j]: a's first i bytes to b's first j */
    for (unsigned j = 0; j <= b_size; j++)
        d[0][j] = j;
    for (unsigned i = 1; i <= a_size; i++) {
        d[i][0] = i;
        for (unsigned j = 1; j <= b_size; j++) {
            unsigned change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least(change, least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return least(d[a_size][b_size], limit + 1);
}

bool fby_is_near(const char *typed, const char *known)
{
    size_t size = strlen(typed);
    unsigned limit = (unsigned)(strlen(known) + 2) / 3;

    if (size == 0)
        return false;
    return strncmp(typed, known, size) == 0 || fby_edit_distance(typed, known, limit) <= limit;
}
