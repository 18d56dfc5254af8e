/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/heap_pool/series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/digits.h"
#include "base/status.h"

#define PREFIX "forebay_heap_pool_"

typedef enum kind { WORD, HALF, FLAG, RATE } kind; /* uint64_t, uint32_t, bool, double */

/* A number of the pool's, at `offset` of fby_heap_pool_stats. */
typedef struct pool_series {
    const char *name, *type, *help;
    size_t offset;
    kind kind;
} pool_series;

/* A number of a heap's, at `offset` of fby_heap_stats, as the pool's `all` has it and as each heap
 * has: two names, so that a sum over either is a sum. */
typedef struct heap_series {
    const char *name, *heap_name, *type, *help;
    size_t offset;
} heap_series;

#define OF_POOL(field, kind) offsetof(fby_heap_pool_stats, field), kind
static const pool_series of_pool[] = {
    {PREFIX "fallback_total", "counter", "Blocks of the system or device", OF_POOL(fallback, WORD)},
    {PREFIX "refused_total", "counter", "Blocks that nobody had", OF_POOL(refused, WORD)},
    {PREFIX "crowded_total", "counter", "Blocks of the system for want of a record (blocks_max)",
     OF_POOL(crowded, WORD)},
    {PREFIX "fallback_active", "gauge", "Blocks of the system or device now",
     OF_POOL(fallback_active, WORD)},
    {PREFIX "fallback_active_bytes", "gauge", "Their bytes", OF_POOL(fallback_active_bytes, WORD)},
    {PREFIX "heaps_grown_total", "counter", "Heaps added", OF_POOL(grown, WORD)},
    {PREFIX "heaps_shrunk_total", "counter", "Heaps given back", OF_POOL(shrunk, WORD)},
    {PREFIX "growth_failures_total", "counter", "Heaps that could not be had",
     OF_POOL(growth_failures, WORD)},
    {PREFIX "heaps", "gauge", "Heaps there", OF_POOL(heap_count, HALF)},
    {PREFIX "active_heaps", "gauge", "Heaps with a block", OF_POOL(active_heaps, HALF)},
    {PREFIX "max_heaps", "gauge", "Heaps that there may be", OF_POOL(max_heaps, HALF)},
    {PREFIX "statistics", "gauge", "1 when they are on", OF_POOL(counting, FLAG)},
    {PREFIX "hit_rate", "gauge", "Blocks served by a heap, of all", OF_POOL(hit_rate, RATE)},
    {PREFIX "fallback_rate", "gauge", "Blocks served by system or device, of all",
     OF_POOL(fallback_rate, RATE)},
    {PREFIX "utilisation", "gauge", "Used bytes of the capacity", OF_POOL(utilisation, RATE)},
    {PREFIX "fragmentation", "gauge", "1 - largest free block / free",
     OF_POOL(fragmentation, RATE)},
    {PREFIX "average_bytes", "gauge", "Of a block", OF_POOL(average_bytes, RATE)},
};

#define OF_HEAP(field) offsetof(fby_heap_stats, field)
#define BOTH(name)     PREFIX name, PREFIX "heap_" name
static const heap_series of_heap[] = {
    {BOTH("acquired_total"), "counter", "Blocks acquired", OF_HEAP(acquired)},
    {BOTH("released_total"), "counter", "Blocks released", OF_HEAP(released)},
    {BOTH("acquired_bytes_total"), "counter", "Bytes acquired", OF_HEAP(acquired_bytes)},
    {BOTH("busy_total"), "counter", "Times that another thread was in a heap", OF_HEAP(busy)},
    {BOTH("lock_waits_total"), "counter", "Times that a call waited for a heap",
     OF_HEAP(lock_waits)},
    {BOTH("moved_total"), "counter", "Blocks moved by compaction", OF_HEAP(moved)},
    {BOTH("moved_bytes_total"), "counter", "Bytes moved by compaction", OF_HEAP(moved_bytes)},
    {BOTH("active"), "gauge", "Blocks now", OF_HEAP(active)},
    {BOTH("active_bytes"), "gauge", "Bytes asked for by the blocks now", OF_HEAP(active_bytes)},
    {BOTH("used_bytes"), "gauge", "Bytes that blocks take up", OF_HEAP(used_bytes)},
    {BOTH("peak_used_bytes"), "gauge", "The most that blocks took up", OF_HEAP(peak_used_bytes)},
    {BOTH("capacity_bytes"), "gauge", "Bytes of the heaps", OF_HEAP(capacity_bytes)},
    {BOTH("largest_free_bytes"), "gauge", "Largest free block", OF_HEAP(largest_free_bytes)},
    {BOTH("largest_bytes"), "gauge", "Largest block acquired", OF_HEAP(largest_bytes)},
};
static const heap_series by_warmup = {PREFIX "acquired_by_warmup_total", NULL, "counter",
                                      "Blocks by the smallest warm-up size that holds them", 0};

enum {
    OF_POOL_COUNT = sizeof of_pool / sizeof of_pool[0],
    OF_HEAP_COUNT = sizeof of_heap / sizeof of_heap[0]
};

/* ---- writing ---- */

typedef struct writer {
    void (*call)(void *context, const fby_heap_sample *sample);
    void *context;
} writer;

static fby_heap_sample sample_of(const char *name, const char *type, const char *help, bool first)
{
    return (fby_heap_sample){.name = name, .type = type, .help = help, .first = first};
}

static void say_word(fby_heap_sample *sample, uint64_t x)
{
    snprintf(sample->value, sizeof sample->value, "%llu", (unsigned long long)x);
}

static void write_pool_series(const writer *out, const fby_heap_pool_stats *stats,
                              const pool_series *one)
{
    const char *at = (const char *)stats + one->offset;
    fby_heap_sample sample = sample_of(one->name, one->type, one->help, true);
    uint64_t word;
    uint32_t half;
    double rate;

    switch (one->kind) {
    case WORD:
        memcpy(&word, at, sizeof word);
        say_word(&sample, word);
        break;
    case HALF:
        memcpy(&half, at, sizeof half);
        say_word(&sample, half);
        break;
    case FLAG:
        say_word(&sample, *(const bool *)at);
        break;
    case RATE:
        memcpy(&rate, at, sizeof rate);
        snprintf(sample.value, sizeof sample.value, "%.6g", rate);
        break;
    }
    out->call(out->context, &sample);
}

static uint64_t word_at(const fby_heap_stats *heap, size_t offset)
{
    uint64_t word;
    memcpy(&word, (const char *)heap + offset, sizeof word);
    return word;
}

static void write_heap_series(const writer *out, const fby_heap_pool_stats *stats,
                              const heap_series *one)
{
    fby_heap_sample sample = sample_of(one->name, one->type, one->help, true);
    say_word(&sample, word_at(&stats->all, one->offset));
    out->call(out->context, &sample);
    sample.name = one->heap_name;
    for (uint32_t i = 0; i < FBY_HEAP_HEAPS_MAX; i++) {
        if (!stats->heaps[i].present)
            continue;
        snprintf(sample.label, sizeof sample.label, "heap=\"%u\"", i);
        say_word(&sample, word_at(&stats->heaps[i], one->offset));
        out->call(out->context, &sample);
        sample.first = false;
    }
}

static void write_warmup(const writer *out, const fby_heap_pool_stats *stats)
{
    fby_heap_sample sample = sample_of(by_warmup.name, by_warmup.type, by_warmup.help, true);
    for (uint32_t i = 0; i <= stats->warmup_count; i++) {
        if (i < stats->warmup_count)
            snprintf(sample.label, sizeof sample.label, "bytes=\"%llu\"",
                     (unsigned long long)stats->warmup_bytes[i]);
        else
            snprintf(sample.label, sizeof sample.label, "bytes=\"+Inf\"");
        say_word(&sample, stats->all.by_warmup[i]);
        out->call(out->context, &sample);
        sample.first = false;
    }
}

void fby_heap_series_each(const fby_heap_pool_stats *stats,
                          void (*call)(void *context, const fby_heap_sample *sample), void *context)
{
    const writer out = {call, context};
    for (size_t i = 0; i < OF_POOL_COUNT; i++)
        write_pool_series(&out, stats, &of_pool[i]);
    for (size_t i = 0; i < OF_HEAP_COUNT; i++)
        write_heap_series(&out, stats, &of_heap[i]);
    write_warmup(&out, stats);
}

/* ---- reading ---- */

typedef struct line {
    const char *name, *label; /* not ended by NUL */
    size_t name_size, label_size;
    double value;
} line;

/* False: `text` is no sample. */
static bool parse_line(const char *text, line *out)
{
    *out = (line){.name = text, .name_size = strcspn(text, "{ ")};
    const char *at = text + out->name_size;
    char *end;
    if (*at == '{') {
        out->label = ++at;
        out->label_size = strcspn(at, "}");
        at += out->label_size;
        if (*at++ != '}')
            return false;
    }
    if (*at != ' ')
        return false;
    out->value = strtod(at, &end);
    return end != at && (*end == '\0' || *end == ' ');
}

static bool is_named(const line *one, const char *name)
{
    return strlen(name) == one->name_size && memcmp(name, one->name, one->name_size) == 0;
}

/* The number in heap="3" or bytes="32"; UINT64_MAX for "+Inf" and anything else. */
static uint64_t label_number(const line *one, const char *key)
{
    size_t size = strlen(key);
    const char *end;
    uint64_t x;
    if (one->label_size < size || memcmp(one->label, key, size) != 0 ||
        !fby_read_digits(one->label + size, &x, &end) || *end != '"')
        return UINT64_MAX;
    return x;
}

static uint64_t word_of(double x)
{
    return x >= 0x1p64 ? UINT64_MAX : (uint64_t)x;
}

static void store(const line *one, kind as, void *at)
{
    uint64_t word = word_of(one->value);
    uint32_t half = word < UINT32_MAX ? (uint32_t)word : UINT32_MAX;
    bool flag = word != 0;
    if (as == WORD)
        memcpy(at, &word, sizeof word);
    else if (as == HALF)
        memcpy(at, &half, sizeof half);
    else if (as == FLAG)
        memcpy(at, &flag, sizeof flag);
    else
        memcpy(at, &one->value, sizeof one->value);
}

static void store_heap(const line *one, const heap_series *series, fby_heap_pool_stats *stats)
{
    fby_heap_stats *heap = &stats->all;
    if (is_named(one, series->heap_name)) {
        uint64_t at = label_number(one, "heap=\"");
        if (at >= FBY_HEAP_HEAPS_MAX)
            return;
        heap = &stats->heaps[at];
        heap->present = true;
    }
    store(one, WORD, (char *)heap + series->offset);
}

/* Sizes come in ascending order, the count of those above all last. */
static void store_warmup(const line *one, fby_heap_pool_stats *stats)
{
    uint64_t bytes = label_number(one, "bytes=\"");
    uint32_t at = stats->warmup_count;
    if (bytes != UINT64_MAX && at < FBY_HEAP_WARMUP_MAX) {
        stats->warmup_bytes[at] = bytes;
        stats->warmup_count++;
    }
    stats->all.by_warmup[at] = word_of(one->value);
}

static bool store_line(const line *one, fby_heap_pool_stats *stats)
{
    for (size_t i = 0; i < OF_POOL_COUNT; i++)
        if (is_named(one, of_pool[i].name)) {
            store(one, of_pool[i].kind, (char *)stats + of_pool[i].offset);
            return true;
        }
    for (size_t i = 0; i < OF_HEAP_COUNT; i++)
        if (is_named(one, of_heap[i].name) || is_named(one, of_heap[i].heap_name)) {
            store_heap(one, &of_heap[i], stats);
            return true;
        }
    if (!is_named(one, by_warmup.name))
        return false;
    store_warmup(one, stats);
    return true;
}

static fby_status read_line(const char *text, fby_heap_pool_stats *stats, bool *found)
{
    line one;
    if (strncmp(text, PREFIX, sizeof PREFIX - 1) != 0)
        return FBY_OK;
    if (!parse_line(text, &one) || !isfinite(one.value) || one.value < 0)
        return fby_error(FBY_EFORMAT, "no number in \"%.80s\"", text);
    *found = store_line(&one, stats) || *found;
    return FBY_OK;
}

fby_status fby_heap_series_read(const char *text, size_t size, fby_heap_pool_stats *out)
{
    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    bool found = false;
    char piece[256];

    for (const char *at = text, *end = text + size; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop != NULL ? stop : end) - at);
        if (length < sizeof piece) { /* ours are shorter */
            memcpy(piece, at, length);
            piece[length] = '\0';
            fby_status status = read_line(piece, &stats, &found);
            if (status != FBY_OK)
                return status;
        }
        at += length + 1;
    }
    if (!found)
        return fby_error(FBY_EFORMAT, "no statistics of a heap pool (" PREFIX "...)");
    fby_heap_stats_derive(&stats);
    *out = stats;
    return FBY_OK;
}
