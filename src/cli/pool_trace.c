/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pool_trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/digits.h"
#include "memory/heap_pool/recorder.h"

enum { CALLS_MAX = 1 << 26 };

/* Blocks that live, by handle: linear probing over at most half of the places (Knuth, volume 3,
 * 6.4, algorithms L and R). */
typedef struct living {
    uint64_t *handles; /* 0: empty */
    uint32_t *blocks;
    size_t mask;
} living;

typedef struct reader {
    fby_pool_trace *trace;
    living living;
    size_t line, call_room, block_room, live_count;
    uint64_t live_bytes;
} reader;

static fby_status wrong(const reader *self, const char *what)
{
    return fby_error(FBY_EFORMAT, "line %zu: %s", self->line, what);
}

static fby_status no_memory(void)
{
    return fby_error(FBY_ENOMEM, "no memory for a trace of this length");
}

/* ---- blocks that live ---- */

static size_t home_of(const living *all, uint64_t handle)
{
    return (size_t)((handle * 0x9e3779b97f4a7c15u) >> 20) & all->mask;
}

/* Where it is, or the empty place where it would be. */
static size_t place_of(const living *all, uint64_t handle)
{
    size_t at = home_of(all, handle);
    while (all->handles[at] != 0 && all->handles[at] != handle)
        at = (at + 1) & all->mask;
    return at;
}

static void remove_at(living *all, size_t hole)
{
    size_t at = hole;
    for (;;) {
        all->handles[hole] = 0;
        do {
            at = (at + 1) & all->mask;
            if (all->handles[at] == 0)
                return;
            /* Stays while its home lies after the hole, up to itself. */
        } while (((at - home_of(all, all->handles[at])) & all->mask) < ((at - hole) & all->mask));
        all->handles[hole] = all->handles[at];
        all->blocks[hole] = all->blocks[at];
        hole = at;
    }
}

static bool make_places(living *all, size_t count)
{
    living larger = {calloc(count, sizeof *larger.handles), calloc(count, sizeof *larger.blocks),
                     count - 1};
    if (larger.handles == NULL || larger.blocks == NULL) {
        free(larger.handles);
        free(larger.blocks);
        return false;
    }
    for (size_t i = 0; all->handles != NULL && i <= all->mask; i++)
        if (all->handles[i] != 0) {
            size_t at = place_of(&larger, all->handles[i]);
            larger.handles[at] = all->handles[i];
            larger.blocks[at] = all->blocks[i];
        }
    free(all->handles);
    free(all->blocks);
    *all = larger;
    return true;
}

/* ---- lines ---- */

/* The next of the numbers, behind one space; false: there is none. */
static bool take_number(const char **at, uint64_t *x)
{
    return *(*at)++ == ' ' && fby_read_digits(*at, x, at);
}

static fby_status find_label(reader *self, const char *text, uint32_t *label)
{
    fby_pool_trace *trace = self->trace;
    size_t size = strlen(text);
    if (size == 0 || size >= FBY_POOL_LABEL_SIZE || strchr(text, ' ') != NULL)
        return wrong(self, "a label has 1 to 63 characters, and no space");
    for (size_t i = 0; i < trace->label_count; i++)
        if (strcmp(trace->labels[i], text) == 0) {
            *label = (uint32_t)i;
            return FBY_OK;
        }
    if (trace->label_count == FBY_POOL_LABELS_MAX)
        return wrong(self, "too many labels");
    memcpy(trace->labels[trace->label_count], text, size + 1);
    *label = (uint32_t)trace->label_count++;
    return FBY_OK;
}

static bool make_room(reader *self)
{
    fby_pool_trace *trace = self->trace;
    if (trace->call_count == self->call_room) {
        size_t room = self->call_room == 0 ? 1024 : 2 * self->call_room;
        uint32_t *calls = realloc(trace->calls, room * sizeof *calls);
        if (calls == NULL)
            return false;
        trace->calls = calls;
        self->call_room = room;
    }
    if (trace->block_count == self->block_room) {
        size_t room = self->block_room == 0 ? 1024 : 2 * self->block_room;
        fby_pool_trace_block *blocks = realloc(trace->blocks, room * sizeof *blocks);
        if (blocks == NULL)
            return false;
        trace->blocks = blocks;
        self->block_room = room;
    }
    return 2 * (self->live_count + 1) <= self->living.mask + 1 ||
           make_places(&self->living, 2 * (self->living.mask + 1));
}

static fby_status add_block(reader *self, const char *at)
{
    fby_pool_trace *trace = self->trace;
    fby_pool_trace_block block;
    uint64_t handle, ns, align;

    if (!take_number(&at, &handle) || !take_number(&at, &ns) || !take_number(&at, &block.bytes) ||
        !take_number(&at, &align) || *at++ != ' ' || handle == 0)
        return wrong(self, "expected + BLOCK NS BYTES ALIGNMENT LABEL");
    if (block.bytes == 0 || block.bytes > (uint64_t)1 << 50 || !fby_is_pow2(align) ||
        align > FBY_HEAP_ALIGN_MAX)
        return wrong(self, "no block has such a size or alignment");
    block.align = (uint32_t)align;
    fby_status status = find_label(self, at, &block.label);
    if (status != FBY_OK)
        return status;
    size_t place = place_of(&self->living, handle);
    if (self->living.handles[place] != 0)
        return wrong(self, "this block is acquired already");
    self->living.handles[place] = handle;
    self->living.blocks[place] = (uint32_t)trace->block_count;
    trace->calls[trace->call_count++] = (uint32_t)trace->block_count << 1;
    trace->blocks[trace->block_count++] = block;
    self->live_count++;
    self->live_bytes += block.bytes;
    if (self->live_bytes > trace->peak_bytes) {
        trace->peak_bytes = self->live_bytes;
        trace->peak_call = trace->call_count;
    }
    return FBY_OK;
}

static fby_status end_block(reader *self, const char *at)
{
    fby_pool_trace *trace = self->trace;
    uint64_t handle, ns;
    if (!take_number(&at, &handle) || !take_number(&at, &ns) || *at != '\0' || handle == 0)
        return wrong(self, "expected - BLOCK NS");
    size_t place = place_of(&self->living, handle);
    if (self->living.handles[place] == 0)
        return wrong(self, "this block is not acquired");
    uint32_t block = self->living.blocks[place];
    remove_at(&self->living, place);
    trace->calls[trace->call_count++] = block << 1 | 1;
    self->live_count--;
    self->live_bytes -= trace->blocks[block].bytes;
    return FBY_OK;
}

static fby_status read_line(reader *self, const char *text)
{
    if (self->line == 1)
        return strcmp(text, FBY_HEAP_TRACE_HEAD) == 0
                   ? FBY_OK
                   : wrong(self, "expected \"" FBY_HEAP_TRACE_HEAD "\"");
    if (self->trace->call_count == CALLS_MAX)
        return wrong(self, "too many calls");
    if (!make_room(self))
        return no_memory();
    if (text[0] == '+')
        return add_block(self, text + 1);
    if (text[0] == '-')
        return end_block(self, text + 1);
    return wrong(self, "expected + or -");
}

static fby_status read_lines(reader *self, const char *bytes, size_t size)
{
    char text[256];
    const char *end = bytes + size;
    while (bytes < end) {
        const char *stop = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t length = (size_t)((stop != NULL ? stop : end) - bytes);
        self->line++;
        if (length >= sizeof text || memchr(bytes, '\0', length) != NULL)
            return wrong(self, "no line of a trace");
        memcpy(text, bytes, length);
        text[length] = '\0';
        fby_status status = read_line(self, text);
        if (status != FBY_OK)
            return status;
        bytes += length + 1;
    }
    return self->line > 0 ? FBY_OK : fby_error(FBY_EFORMAT, "the trace is empty");
}

fby_status fby_pool_trace_read(const char *bytes, size_t size, fby_pool_trace *trace)
{
    reader self = {.trace = trace};
    *trace = (fby_pool_trace){0};
    trace->labels = calloc(FBY_POOL_LABELS_MAX, sizeof *trace->labels);
    fby_status status =
        trace->labels != NULL && make_places(&self.living, 1024) ? FBY_OK : no_memory();
    if (status == FBY_OK)
        status = read_lines(&self, bytes, size);
    free(self.living.handles);
    free(self.living.blocks);
    return status;
}

void fby_pool_trace_clear(fby_pool_trace *trace)
{
    free(trace->labels);
    free(trace->calls);
    free(trace->blocks);
    *trace = (fby_pool_trace){0};
}
