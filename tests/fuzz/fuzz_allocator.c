/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as calls: each three are an operation, a slot and a size. Every block holds
 * a pattern of its own, looked at before it goes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "forebay/allocator.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 64, SCOPES = 4 };

typedef struct slot {
    unsigned char *block;
    size_t size;
    bool scoped;
} slot;

static void need(bool x)
{
    if (!x)
        abort();
}

/* From 0 to some megabytes, every class and both sides of each limit. */
static size_t size_of(uint8_t byte)
{
    size_t base = (size_t)1 << (byte >> 3 & 31) % 23;
    return base + (size_t)(byte & 7) * (base / 8) - (byte == 0);
}

static void fill(slot *s, size_t index)
{
    if (s->block != NULL)
        memset(s->block, (int)(index + 1), s->size < 4096 ? s->size : 4096);
}

static void check(const slot *s, size_t index, size_t size)
{
    for (size_t at = 0; at < size && at < 4096; at++)
        need(s->block[at] == (unsigned char)(index + 1));
}

static void drop(slot *s, size_t index)
{
    if (s->block == NULL)
        return;
    check(s, index, s->size);
    need(fby_usable_size(s->block) >= s->size);
    fby_free(s->block);
    s->block = NULL;
}

/* A scope ends: its blocks are gone, but those that are kept. */
static void end_scope(slot *slots, uint8_t keep)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].block == NULL || !slots[i].scoped)
            continue;
        check(&slots[i], i, slots[i].size);
        slots[i].block = i % 8 == keep % 8 ? fby_scope_keep(slots[i].block) : NULL;
        slots[i].scoped = false;
        if (slots[i].block != NULL)
            check(&slots[i], i, slots[i].size);
    }
    need(fby_scope_end() == FBY_OK);
}

static void resize(slot *s, size_t index, size_t size)
{
    unsigned char *moved = fby_realloc(s->block, size + 1);
    if (moved == NULL)
        return;
    if (s->block != NULL)
        check(&(slot){moved, s->size, false}, index, s->size < size + 1 ? s->size : size + 1);
    s->block = moved;
    s->size = size + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slot slots[SLOTS];
    bool scoped = false;
    for (size_t at = 0; at + 2 < size; at += 3) {
        size_t index = data[at + 1] % SLOTS, bytes = size_of(data[at + 2]);
        slot *s = &slots[index];
        switch (data[at] % 8) {
        case 0:
        case 1:
            drop(s, index);
            *s = (slot){fby_malloc(bytes), bytes, scoped};
            break;
        case 2:
            drop(s, index);
            *s = (slot){fby_calloc(1, bytes), bytes, scoped};
            for (size_t i = 0; s->block != NULL && i < bytes; i += 1 + bytes / 4096)
                need(s->block[i] == 0);
            break;
        case 3:
            drop(s, index);
            *s = (slot){fby_aligned_alloc((size_t)1 << data[at] / 8 % 17, bytes), bytes, scoped};
            need((uintptr_t)s->block % ((size_t)1 << data[at] / 8 % 17) == 0);
            break;
        case 4:
            if (s->block == NULL || s->scoped == scoped) {
                resize(s, index, bytes);
                s->scoped = scoped;
            }
            break;
        case 5:
            drop(s, index);
            break;
        case 6:
            if (scoped)
                end_scope(slots, data[at + 2]);
            else
                need(fby_scope_begin() == FBY_OK);
            scoped = !scoped;
            break;
        default:
            fby_allocator_purge();
        }
        fill(s, index);
    }
    if (scoped)
        end_scope(slots, 0);
    for (size_t i = 0; i < SLOTS; i++)
        drop(&slots[i], i);
    return 0;
}
