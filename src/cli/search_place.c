/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/search_place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "search/index.h"

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The roots' real paths, sorted, one of each, every one ended by NUL. */
static fby_status join_roots(const fby_search_place *place, char **joined, size_t *size)
{
    size_t count = place->root_count > 0 ? place->root_count : 1, bytes = 1, used = 0;
    char **real = calloc(count, sizeof *real);
    fby_status status = real != NULL ? FBY_OK : fby_error(FBY_ENOMEM, "no memory for paths");

    for (size_t i = 0; i < count && status == FBY_OK; i++) {
        const char *root = place->root_count > 0 ? place->roots[i] : ".";
        real[i] = realpath(root, NULL);
        if (real[i] == NULL)
            status = fby_error_errno(errno == ENOENT ? FBY_ENOENT : FBY_EIO, errno, "%s", root);
        else
            bytes += strlen(real[i]) + 1;
    }
    char *text = status == FBY_OK ? calloc(bytes, 1) : NULL;
    if (status == FBY_OK && text == NULL)
        status = fby_error(FBY_ENOMEM, "no memory for paths");
    if (status == FBY_OK) {
        qsort(real, count, sizeof *real, by_text);
        for (size_t i = 0; i < count; i++)
            if (i == 0 || strcmp(real[i], real[i - 1]) != 0) {
                memcpy(text + used, real[i], strlen(real[i]) + 1);
                used += strlen(real[i]) + 1;
            }
        *joined = text;
        *size = used;
    }
    for (size_t i = 0; real != NULL && i < count; i++)
        free(real[i]);
    free(real);
    return status;
}

/* As mkdir -p. */
static fby_status make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int made = mkdir(path, 0700);
        int why = errno;
        if (made != 0 && why != EEXIST)
            return fby_error_errno(FBY_EIO, why, "%s", path);
        *slash = '/';
    }
    return FBY_OK;
}

fby_status fby_search_place_find(const fby_search_place *place, char *path, size_t size)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool named = base != NULL && base[0] == '/';
    char *roots = NULL;
    size_t roots_size = 0;

    if (!named && (home == NULL || home[0] != '/'))
        return fby_error(FBY_ENOENT, "neither XDG_CACHE_HOME nor HOME names a directory");
    fby_status status = join_roots(place, &roots, &roots_size);
    if (status != FBY_OK)
        return status;
    fby_hash all[3] = {fby_hash_of(place->fingerprint, strlen(place->fingerprint)),
                       fby_hash_of(roots, roots_size),
                       fby_hash_of(&place->settings, sizeof place->settings)};
    free(roots);
    fby_hash hash = fby_hash_of(all, sizeof all);
    int used = snprintf(path, size, "%s%s/forebay/search/%016llx%016llx.index", named ? base : home,
                        named ? "" : "/.cache", (unsigned long long)hash.high,
                        (unsigned long long)hash.low);
    if (used < 0 || (size_t)used >= size)
        return fby_error(FBY_EINVAL, "the cache directory's path is too long");
    return make_directories(path);
}
