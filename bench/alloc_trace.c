/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc_trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory/allocator/trace.h"

enum { IDS_MAX = 1 << 24, TABLE = 1 << 25 };

/* Live blocks by address: open addressing, linear probing, entries moved up when one goes. */
typedef struct live_entry {
    uint64_t address; /* 0: empty */
    uint32_t id, size;
} live_entry;

typedef struct loader {
    live_entry *table;
    uint32_t *free_ids;
    uint32_t free_count, ids;
    uint64_t live_bytes;
    alloc_trace *trace;
} loader;

static void *map_zeros(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    return at != MAP_FAILED ? at : NULL;
}

static uint32_t home_of(uint64_t address)
{
    return (uint32_t)((address * 0x9e3779b97f4a7c15u) >> 39) & (TABLE - 1);
}

static uint32_t find(const loader *l, uint64_t address)
{
    uint32_t at = home_of(address);
    while (l->table[at].address != 0 && l->table[at].address != address)
        at = (at + 1) & (TABLE - 1);
    return at;
}

static void remove_at(loader *l, uint32_t hole)
{
    for (uint32_t at = (hole + 1) & (TABLE - 1); l->table[at].address != 0;
         at = (at + 1) & (TABLE - 1)) {
        uint32_t home = home_of(l->table[at].address);
        if (((at - home) & (TABLE - 1)) >= ((at - hole) & (TABLE - 1))) {
            l->table[hole] = l->table[at];
            hole = at;
        }
    }
    l->table[hole].address = 0;
}

static void emit(loader *l, alloc_event_op op, uint32_t id, uint32_t size, uint32_t shift)
{
    alloc_event event = {.size = size, .id = id & (IDS_MAX - 1), .op = op & 3, .shift = shift & 63};
    l->trace->events[l->trace->count++] = event;
}

static void grow_live(loader *l, uint32_t size)
{
    l->live_bytes += size;
    if (l->live_bytes > l->trace->peak_bytes)
        l->trace->peak_bytes = l->live_bytes;
}

static bool add(loader *l, const fby_trace_record *r)
{
    live_entry *entry = &l->table[find(l, r->address)];
    if (entry->address != 0)
        return true; /* freed by a call that was not recorded */
    uint32_t id = l->free_count > 0 ? l->free_ids[--l->free_count] : l->ids++;
    if (id >= IDS_MAX)
        return false;
    *entry = (live_entry){r->address, id, r->size};
    grow_live(l, r->size);
    emit(l, ALLOC_EVENT_MALLOC, id, r->size, r->shift < 63 ? r->shift : 0);
    return true;
}

static void drop(loader *l, const fby_trace_record *r)
{
    uint32_t at = find(l, r->address);
    live_entry entry = l->table[at];
    if (entry.address == 0)
        return; /* allocated before the record began */
    remove_at(l, at);
    l->live_bytes -= entry.size;
    l->free_ids[l->free_count++] = entry.id;
    emit(l, ALLOC_EVENT_FREE, entry.id, 0, 0);
}

static bool move(loader *l, const fby_trace_record *from, const fby_trace_record *to)
{
    uint32_t at = find(l, from->address);
    live_entry entry = l->table[at];
    if (entry.address == 0)
        return add(l, to);
    remove_at(l, at);
    l->live_bytes -= entry.size;
    grow_live(l, to->size);
    l->table[find(l, to->address)] = (live_entry){to->address, entry.id, to->size};
    emit(l, ALLOC_EVENT_REALLOC, entry.id, to->size, 0);
    return true;
}

static bool convert(loader *l, const fby_trace_record *records, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        bool ok = true;
        if (records[i].op == FBY_TRACE_MALLOC)
            ok = add(l, &records[i]);
        else if (records[i].op == FBY_TRACE_FREE)
            drop(l, &records[i]);
        else if (records[i].op == FBY_TRACE_REALLOC_OF && i + 1 < count)
            ok = move(l, &records[i], &records[i + 1]);
        if (!ok)
            return false;
    }
    l->trace->ids = l->ids;
    return true;
}

bool alloc_trace_load(const char *path, uint64_t most, alloc_trace *trace)
{
    struct stat about;
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &about) != 0)
        return fprintf(stderr, "no trace %s\n", path != NULL ? path : "named"), false;
    size_t head = sizeof FBY_TRACE_MAGIC - 1, size = (size_t)about.st_size;
    const char *file = size > head ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (file == MAP_FAILED || memcmp(file, FBY_TRACE_MAGIC, head) != 0)
        return fprintf(stderr, "%s is no trace\n", path), false;
    uint64_t count = (size - head) / sizeof(fby_trace_record);
    count = count < most ? count : most;
    loader l = {
        .table = map_zeros((size_t)TABLE * sizeof(live_entry)),
        .free_ids = map_zeros((size_t)IDS_MAX * sizeof(uint32_t)),
        .trace = trace,
    };
    memset(trace, 0, sizeof *trace);
    trace->events = map_zeros((count + 1) * sizeof(alloc_event));
    if (l.table == NULL || l.free_ids == NULL || trace->events == NULL)
        return fprintf(stderr, "no memory for the trace\n"), false;
    bool ok = convert(&l, (const fby_trace_record *)(const void *)(file + head), count);
    munmap(l.table, (size_t)TABLE * sizeof(live_entry));
    munmap(l.free_ids, (size_t)IDS_MAX * sizeof(uint32_t));
    return ok || (fprintf(stderr, "%s has too many live blocks\n", path), false);
}
