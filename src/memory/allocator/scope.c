/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/scope.h"

#include "base/assert.h"
#include "base/bits.h"
#include "memory/allocator/cache.h"
#include "memory/allocator/harden.h"

enum { HEADER = 16, MAGIC = 0x5c09e };

typedef struct block_header {
    size_t size;    /* usable */
    uint64_t magic; /* so that a pointer to elsewhere is noticed */
} block_header;
_Static_assert(sizeof(block_header) == HEADER, "blocks stay 16-byte aligned");

typedef struct chunk {
    struct chunk *before; /* of the same scope */
    uint32_t units;
} chunk;

/* Lies at the beginning of the scope's first chunk, behind the chunk's header. */
struct fby_scope {
    fby_scope *outer;
    chunk *chunks; /* the newest first */
    char *next, *end;
    void *last; /* block; NULL: none that could be taken back */
};

static chunk *new_chunk(size_t bytes)
{
    size_t units = (bytes + FBY_UNIT - 1) >> FBY_UNIT_SHIFT;
    bool clean;
    if (units > fby_the_region.unit_count)
        return NULL;
    uint32_t unit = fby_region_take((uint32_t)units, 1, &clean);
    if (unit == 0)
        return NULL;
    for (uint32_t i = 0; i < units; i++)
        fby_span_at(unit + i)->kind = FBY_UNIT_SCOPE;
    chunk *made = fby_unit_address(unit);
    made->units = (uint32_t)units;
    return made;
}

static void free_chunk(chunk *old)
{
    uint32_t unit = fby_unit_of(old), units = old->units;
    for (uint32_t i = 0; i < units; i++)
        fby_span_at(unit + i)->kind = FBY_UNIT_NONE;
    fby_region_give(unit, units, false);
}

bool fby_scope_open(fby_cache *cache)
{
    chunk *first = new_chunk(FBY_UNIT);
    if (first == NULL)
        return false;
    fby_scope *scope = (fby_scope *)(void *)(first + 1);
    first->before = NULL;
    scope->outer = cache->scope;
    scope->chunks = first;
    scope->next = (char *)(scope + 1);
    scope->end = (char *)first + FBY_UNIT;
    scope->last = NULL;
    cache->scope = scope;
    if (scope->outer == NULL)
        fby_cache_set_gate(cache, FBY_GATE_SCOPE, 0);
    return true;
}

void fby_scope_close(fby_cache *cache)
{
    fby_scope *scope = cache->scope;
    fby_assert(scope != NULL);
    cache->scope = scope->outer;
    if (cache->scope == NULL)
        fby_cache_set_gate(cache, 0, FBY_GATE_SCOPE);
    for (chunk *at = scope->chunks, *before; at != NULL; at = before) {
        before = at->before;
        free_chunk(at);
    }
}

void fby_scope_end_all(fby_cache *cache)
{
    while (cache->scope != NULL)
        fby_scope_close(cache);
}

/* The block of `size` bytes that begins at the first multiple of `align` with room for a header
 * after `from`; NULL if it ends after `end`. */
static void *place(char *from, const char *end, size_t size, size_t align)
{
    uintptr_t block = fby_align_up((uintptr_t)from + HEADER, align);
    if (block > (uintptr_t)end || size > (uintptr_t)end - block)
        return NULL;
    block_header *header = (block_header *)(block - HEADER);
    header->size = size;
    header->magic = MAGIC;
    return (void *)block;
}

void *fby_scope_malloc(fby_cache *cache, size_t size, size_t align)
{
    fby_scope *scope = cache->scope;
    if (size > PTRDIFF_MAX / 2 || align > PTRDIFF_MAX / 4)
        return NULL;
    size = fby_align_up(fby_max_size(size, 1), 16);
    align = fby_max_size(align, 16);
    void *block = place(scope->next, scope->end, size, align);
    if (block != NULL) {
        scope->next = (char *)block + size;
        scope->last = block;
        return block;
    }
    bool large = size + align > FBY_UNIT / 4;
    chunk *more = new_chunk(large ? size + align + HEADER + sizeof(chunk) : FBY_UNIT);
    if (more == NULL)
        return NULL;
    char *end = (char *)more + ((size_t)more->units << FBY_UNIT_SHIFT);
    more->before = scope->chunks;
    scope->chunks = more;
    block = place((char *)(more + 1), end, size, align);
    fby_assert(block != NULL);
    if (large)
        return block; /* the chunk in use stays in use */
    scope->next = (char *)block + size;
    scope->end = end;
    scope->last = block;
    return block;
}

static block_header *header_of(const void *block)
{
    block_header *header = (block_header *)((uintptr_t)block - HEADER);
    if ((uintptr_t)block % 16 != 0 || header->magic != MAGIC)
        fby_harden_fail(block, FBY_NOT_A_BLOCK);
    return header;
}

size_t fby_scope_usable(const void *block)
{
    return header_of(block)->size;
}

bool fby_scope_resize(fby_cache *cache, void *block, size_t size)
{
    fby_scope *scope = cache->scope;
    if (scope == NULL || block != scope->last || size > PTRDIFF_MAX / 2)
        return false;
    size = fby_align_up(fby_max_size(size, 1), 16);
    if (size > (size_t)(scope->end - (char *)block))
        return false;
    header_of(block)->size = size;
    scope->next = (char *)block + size;
    return true;
}

void fby_scope_drop(fby_cache *cache, void *block)
{
    block_header *header = header_of(block);
    fby_scope *scope = cache != NULL ? cache->scope : NULL;
    if (scope == NULL || block != scope->last)
        return;
    header->magic = 0;
    scope->next = (char *)header;
    scope->last = NULL;
}
