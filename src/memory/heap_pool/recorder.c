/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/heap_pool/recorder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/status.h"

struct fby_heap_recorder {
    FILE *file; /* has a lock of its own */
    uint64_t started_ns;
};

fby_status fby_heap_recorder_open(const char *path, fby_heap_recorder **out)
{
    fby_heap_recorder *recorder = malloc(sizeof *recorder);
    if (recorder == NULL)
        return fby_error(FBY_ENOMEM, "no memory to record a heap pool's calls");
    recorder->started_ns = fby_now_ns();
    recorder->file = fopen(path, "we");
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
