/* SPDX-License-Identifier: Apache-2.0 */
/* What a small file of the system (/proc, /sys) begins with. Any thread. */
#ifndef FBY_BASE_FIRST_LINE_H
#define FBY_BASE_FIRST_LINE_H

#include <stdbool.h>
#include <stdio.h>

/* At most size - 1 bytes of the first line, its line feed too; false, `line` is "", where there is
 * none. */
static inline bool fby_first_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");
    bool read = file != NULL && fgets(line, size, file) != NULL;
    if (file != NULL)
        fclose(file);
    if (!read)
        line[0] = '\0';
    return read;
}

#endif
