/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pool_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digits.h"

static bool is_weights(const char *name)
{
    static const char *const ends[] = {".safetensors", ".gguf", ".bin", ".onnx", ".pt"};
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t end = strlen(ends[i]);
        if (size > end && strcmp(name + size - end, ends[i]) == 0)
            return true;
    }
    return false;
}

/* A safetensors file's header, which lies at its beginning, names the type of each tensor. */
static uint64_t bytes_a_parameter(int fd)
{
    char head[4096];
    ssize_t size = pread(fd, head, sizeof head - 1, 8);
    if (size <= 0)
        return 4;
    for (ssize_t i = 0; i < size; i++) /* strstr() shall see all of it */
        head[i] = head[i] != '\0' ? head[i] : ' ';
    head[size] = '\0';
    return strstr(head, "\"F16\"") != NULL || strstr(head, "\"BF16\"") != NULL ? 2 : 4;
}

typedef void each_file(void *context, int fd, uint64_t bytes);

/* Calls for each file of weights that can be opened. */
static fby_status walk(const char *dir, each_file *call, void *context)
{
    DIR *entries = opendir(dir);
    if (entries == NULL)
        return fby_error_errno(FBY_ENOENT, errno, "%.200s", dir);
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        struct stat about;
        int fd = is_weights(entry->d_name)
                     ? openat(dirfd(entries), entry->d_name, O_RDONLY | O_CLOEXEC)
                     : -1;
        if (fd < 0)
            continue;
        if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0)
            call(context, fd, (uint64_t)about.st_size);
        close(fd);
    }
    closedir(entries);
    return FBY_OK;
}

static void add_parameters(void *context, int fd, uint64_t bytes)
{
    *(uint64_t *)context += bytes / bytes_a_parameter(fd);
}

/* "7B", "1.5B", "335M", "22713216". */
static bool read_count(const char *text, uint64_t *count)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    double x = strtod(text, &end);
    double unit = *end == 'B' || *end == 'b' ? 1e9 : *end == 'M' || *end == 'm' ? 1e6 : 1.0;
    end += unit > 1.0;
    if (*end != '\0' || !(x * unit >= 1.0 && x * unit <= 1e15))
        return false;
    *count = (uint64_t)(x * unit);
    return true;
}

fby_status fby_pool_parameters(const char *model, uint64_t *parameters)
{
    uint64_t found = 0;
    if (read_count(model, parameters))
        return FBY_OK;
    fby_status status = walk(model, add_parameters, &found);
    if (status != FBY_OK)
        return fby_error(FBY_EINVAL,
                         "%.200s: neither a number of parameters, such as 7B, nor a "
                         "directory",
                         model);
    if (found == 0)
        return fby_error(FBY_ENOENT, "%.200s: no files of weights", model);
    *parameters = found;
    return FBY_OK;
}

typedef struct parts {
    uint64_t *bytes;
    size_t *count;
} parts;

static void add_part(void *context, int fd, uint64_t bytes)
{
    parts *all = context;
    (void)fd;
    if (*all->count < FBY_POOL_PARTS_MAX)
        all->bytes[(*all->count)++] = bytes;
}

static bool read_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMG";
    const char *end;
    if (!fby_read_digits(text, bytes, &end))
        return false;
    const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
    if (unit != NULL &&
        __builtin_mul_overflow(*bytes, (uint64_t)1 << 10 * (unit - units + 1), bytes))
        return false;
    return end[unit != NULL] == '\0' && *bytes > 0;
}

fby_status fby_pool_parts(const char *what, uint64_t *bytes, size_t *count)
{
    parts all = {bytes, count};
    uint64_t one;
    if (read_size(what, &one)) {
        add_part(&all, -1, one);
        return FBY_OK;
    }
    return walk(what, add_part, &all);
}
