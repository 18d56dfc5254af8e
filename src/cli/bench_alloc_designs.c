/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_alloc_designs.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/platform.h"

enum { CLASSES = 9, SMALLEST = 16, LARGEST = SMALLEST << (CLASSES - 1), CHUNK = 1 << 16 };

/* In front of each block; the link while it is free. */
typedef struct header {
    union {
        struct header *next;
        uint64_t class_index;
    };
    uint64_t reserved; /* blocks stay 16-byte aligned */
} header;

typedef struct shelf {
    _Alignas(FBY_CACHELINE) pthread_mutex_t lock;
    header *free;
    char *at, *end; /* of the chunk in use */
} shelf;

#define OPEN                                                                                       \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                          \
    }
static shelf shared[CLASSES] = {OPEN, OPEN, OPEN, OPEN, OPEN, OPEN, OPEN, OPEN, OPEN};
static pthread_mutex_t everything = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local shelf own[CLASSES];

static uint32_t class_of(size_t size)
{
    uint32_t c = 0;
    while (((size_t)SMALLEST << c) < size)
        c++;
    return c;
}

static void *take(shelf *from, uint32_t c)
{
    header *block = from->free;
    size_t bytes = sizeof(header) + ((size_t)SMALLEST << c);
    if (block != NULL) {
        from->free = block->next;
    } else {
        if (from->at == NULL || (size_t)(from->end - from->at) < bytes) {
            from->at = malloc(CHUNK);
            if (from->at == NULL)
                return NULL;
            from->end = from->at + CHUNK;
        }
        block = (header *)(void *)from->at;
        from->at += bytes;
    }
    block->class_index = c;
    return block + 1;
}

static uint32_t class_of_block(void *block)
{
    return (uint32_t)((header *)block - 1)->class_index;
}

static void put(shelf *to, void *block)
{
    header *head = (header *)block - 1;
    head->next = to->free;
    to->free = head;
}

size_t fby_design_usable(void *block)
{
    return (size_t)SMALLEST << class_of_block(block);
}

void *fby_design_global_malloc(size_t size)
{
    uint32_t c = class_of(size);
    if (c >= CLASSES)
        return NULL;
    pthread_mutex_lock(&everything);
    void *block = take(&shared[c], c);
    pthread_mutex_unlock(&everything);
    return block;
}

void fby_design_global_free(void *block)
{
    pthread_mutex_lock(&everything);
    put(&shared[class_of_block(block)], block);
    pthread_mutex_unlock(&everything);
}

void *fby_design_sharded_malloc(size_t size)
{
    uint32_t c = class_of(size);
    if (c >= CLASSES)
        return NULL;
    pthread_mutex_lock(&shared[c].lock);
    void *block = take(&shared[c], c);
    pthread_mutex_unlock(&shared[c].lock);
    return block;
}

void fby_design_sharded_free(void *block)
{
    shelf *to = &shared[class_of_block(block)];
    pthread_mutex_lock(&to->lock);
    put(to, block);
    pthread_mutex_unlock(&to->lock);
}

void *fby_design_thread_malloc(size_t size)
{
    uint32_t c = class_of(size);
    return c < CLASSES ? take(&own[c], c) : NULL;
}

void fby_design_thread_free(void *block)
{
    put(&own[class_of_block(block)], block);
}

/* The workloads that need these do not fit so simple an allocator. */

static void *aligned_by(void *(*allocate)(size_t), size_t alignment, size_t size)
{
    return alignment <= SMALLEST ? allocate(size) : NULL;
}

static void *realloc_by(void *(*allocate)(size_t), void *block, size_t size)
{
    return block == NULL ? allocate(size) : NULL;
}

void *fby_design_global_aligned(size_t alignment, size_t size)
{
    return aligned_by(fby_design_global_malloc, alignment, size);
}

void *fby_design_global_realloc(void *block, size_t size)
{
    return realloc_by(fby_design_global_malloc, block, size);
}

void *fby_design_sharded_aligned(size_t alignment, size_t size)
{
    return aligned_by(fby_design_sharded_malloc, alignment, size);
}

void *fby_design_sharded_realloc(void *block, size_t size)
{
    return realloc_by(fby_design_sharded_malloc, block, size);
}

void *fby_design_thread_aligned(size_t alignment, size_t size)
{
    return aligned_by(fby_design_thread_malloc, alignment, size);
}

void *fby_design_thread_realloc(void *block, size_t size)
{
    return realloc_by(fby_design_thread_malloc, block, size);
}
