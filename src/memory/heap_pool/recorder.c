/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/heap_pool/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"

enum { FILES_MAX = 99 /* pools at once with one path */ };

struct fby_heap_recorder {
    FILE *file; /* has a lock of its own */
    uint64_t started_ns;
};

/* `path`, or where a pool writes to that, `path`.2, .3 … The lock ends with the file. */
static FILE *open_file(const char *path)
{
    char name[PATH_MAX];
    for (int i = 1; i <= FILES_MAX; i++) {
        int size = i == 1 ? snprintf(name, sizeof name, "%s", path)
                          : snprintf(name, sizeof name, "%s.%d", path, i);
        if (size < 0 || (size_t)size >= sizeof name) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return NULL;
        bool taken = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        FILE *file = !taken && (ftruncate(fd, 0) == 0 || errno == EINVAL) ? fdopen(fd, "w") : NULL;
        if (file != NULL)
            return file;
        int failed = errno;
        close(fd);
        errno = failed;
        if (!taken)
            return NULL;
    }
    errno = EBUSY;
    return NULL;
}

fby_status fby_heap_recorder_open(const char *path, fby_heap_recorder **out)
{
    fby_heap_recorder *recorder = malloc(sizeof *recorder);
    if (recorder == NULL)
        return fby_error(FBY_ENOMEM, "no memory to record a heap pool's calls");
    recorder->started_ns = fby_now_ns();
    recorder->file = open_file(path);
    if (recorder->file == NULL) {
        int failed = errno;
        free(recorder);
        return fby_error_errno(FBY_EIO, failed, "%.200s", path);
    }
    fprintf(recorder->file, "%s\n", FBY_HEAP_TRACE_HEAD);
    *out = recorder;
    return FBY_OK;
}

fby_status fby_heap_recorder_close(fby_heap_recorder *recorder)
{
    if (recorder == NULL)
        return FBY_OK;
    bool failed = ferror(recorder->file) != 0;
    failed = fclose(recorder->file) != 0 || failed;
    free(recorder);
    return failed ? fby_error(FBY_EIO, "a heap pool's trace could not be written") : FBY_OK;
}

/* No line is broken by what a label holds, and none is empty. */
static void print_label(char out[FBY_HEAP_TRACE_LABEL + 1], const char *label)
{
    size_t size = 0;
    for (; label != NULL && label[size] != '\0' && size < FBY_HEAP_TRACE_LABEL; size++) {
        unsigned char byte = (unsigned char)label[size];
        out[size] = byte > ' ' && byte < 0x7f ? label[size] : '_';
    }
    if (size == 0)
        out[size++] = '-';
    out[size] = '\0';
}

void fby_heap_record_acquired(fby_heap_recorder *recorder, fby_heap_block block,
                              const fby_heap_request *request)
{
    char label[FBY_HEAP_TRACE_LABEL + 1];
    print_label(label, request->label);
    fprintf(recorder->file, "+ %llu %llu %llu %u %s\n", (unsigned long long)block,
            (unsigned long long)(fby_now_ns() - recorder->started_ns),
            (unsigned long long)request->bytes, FBY_HEAP_GRANULE << request->align_shift, label);
}

void fby_heap_record_released(fby_heap_recorder *recorder, fby_heap_block block)
{
    fprintf(recorder->file, "- %llu %llu\n", (unsigned long long)block,
            (unsigned long long)(fby_now_ns() - recorder->started_ns));
}
