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

/* Kinds of files of weights, the best known first: a directory that has two of a model counts once.
 * What a parameter takes is said by a safetensors file; the rest are assumed. */
static const struct {
    const char *end, *note;
    uint64_t bits; /* a parameter; 0: the file says */
} kinds[] = {
    {".safetensors", "", 0},
    {".gguf", "5 bits a parameter assumed, as quantised GGUF has", 5},
    {".bin", "4 bytes a parameter assumed", 32},
    {".pt", "4 bytes a parameter assumed", 32},
    {".onnx", "4 bytes a parameter assumed", 32},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), last = strlen(end);
    return size > last && strcmp(name + size - last, end) == 0;
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

typedef void each_file(void *context, int fd, int kind, uint64_t bytes);

/* Calls for each file of one kind that can be opened. */
static fby_status walk_kind(const char *dir, int kind, each_file *call, void *context,
                            size_t *found)
{
    DIR *entries = opendir(dir);
    if (entries == NULL)
        return fby_error_errno(FBY_ENOENT, errno, "%.200s", dir);
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        struct stat about;
        int fd = ends_with(entry->d_name, kinds[kind].end)
                     ? openat(dirfd(entries), entry->d_name, O_RDONLY | O_CLOEXEC)
                     : -1;
        if (fd < 0)
            continue;
        if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0) {
            call(context, fd, kind, (uint64_t)about.st_size);
            (*found)++;
        }
        close(fd);
    }
    closedir(entries);
    return FBY_OK;
}

/* Of the first kind that is there. */
static fby_status walk(const char *dir, each_file *call, void *context)
{
    size_t found = 0;
    fby_status status = FBY_OK;
    for (int kind = 0; kind < KINDS && found == 0 && status == FBY_OK; kind++)
        status = walk_kind(dir, kind, call, context, &found);
    return status;
}

typedef struct weights {
    uint64_t parameters;
    const char *note;
} weights;

static void add_parameters(void *context, int fd, int kind, uint64_t bytes)
{
    weights *sum = context;
    uint64_t bits = kinds[kind].bits != 0 ? kinds[kind].bits : 8 * bytes_a_parameter(fd);
    sum->parameters += bytes / bits * 8 + bytes % bits * 8 / bits;
    sum->note = kinds[kind].note;
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

fby_status fby_pool_parameters(const char *model, uint64_t *parameters, const char **note)
{
    weights found = {0, ""};
    *note = "";
    if (read_count(model, parameters))
        return FBY_OK;
    fby_status status = walk(model, add_parameters, &found);
    if (status != FBY_OK)
        return fby_error(FBY_EINVAL,
                         "%.200s: neither a number of parameters, such as 7B, nor a "
                         "directory",
                         model);
    if (found.parameters == 0)
        return fby_error(FBY_ENOENT, "%.200s: no files of weights", model);
    *parameters = found.parameters;
    *note = found.note;
    return FBY_OK;
}

typedef struct parts {
    uint64_t *bytes;
    size_t *count;
    bool more; /* than there is room for */
} parts;

static void add_part(void *context, int fd, int kind, uint64_t bytes)
{
    parts *all = context;
    (void)fd;
    (void)kind;
    all->more = all->more || *all->count >= FBY_POOL_PARTS_MAX;
    if (!all->more)
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
    parts all = {bytes, count, false};
    uint64_t one;
    fby_status status = FBY_OK;
    if (read_size(what, &one))
        add_part(&all, -1, 0, one);
    else
        status = walk(what, add_part, &all);
    if (status == FBY_OK && all.more)
        return fby_error(FBY_EINVAL, "%.200s: more than %d parts", what, FBY_POOL_PARTS_MAX);
    return status;
}
