/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over the files of a directory, in any build: its corpus as a unit test. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 1 << 20 };

static int replay(const char *dir, const char *name)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
        return 1;
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_MAX);
    if (file == NULL || data == NULL)
        return 1;
    size_t size = fread(data, 1, INPUT_MAX, file);
    fclose(file);
    uint8_t *exact = realloc(data, size == 0 ? 1 : size); /* ASan sees a byte too many */
    if (exact == NULL)
        return 1;
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    int count = 0;
    DIR *listing = argc == 2 ? opendir(argv[1]) : NULL;
    if (listing == NULL) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (replay(argv[1], entry->d_name) != 0) {
            fprintf(stderr, "%s/%s: cannot read it\n", argv[1], entry->d_name);
            return 1;
        }
        count++;
    }
    closedir(listing);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
