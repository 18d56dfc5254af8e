/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's cache: for each size class a bounded stack of pointers to free
 * blocks. malloc pops, free pushes, whoever allocated the block; neither writes
 * into free blocks, takes a lock or makes an atomic exchange. The tops of the
 * stacks are thread-local, so that no pointer is followed to find them; the
 * cache, with the slots, outlives its thread.
 *
 *     base        top            limit
 *      v           v               v
 *  NULL [p][p][p][p]|              |
 *                 ^ pop        ^ push
 *
 * A stack that runs empty takes a magazine from the depot of its class, or
 * carves; one that is full hands its older half over as a magazine.
 *
 *     made --> shut <------------> open --> (its thread ends) shut --> next thread
 *              tops in kept[],     tops in the thread's
 *              every call is       fby_stacks_mine
 *              a slow one
 *
 * A stack gets its slots when its class is first used; until then it is empty and
 * full at once. A cache is shut while no thread has it, and while there is a reason to look at
 * each call (the gate).
 *
 * Another thread may empty the stacks of a thread that does not move, so that
 * memory goes back while the owner sleeps. The owner pays nothing for it:
 *
 *     owner, pop                          thief, holding the cache's lock
 *       top = top - 1          (store)      v[i] = exchange(slot[i], NULL), each i below top
 *       block = *top           (load)       membarrier: all that the owner did before is seen
 *       NULL? slow path, lock               t = top
 *     owner, push                           i < t and slot[i] is NULL still: v[i] is the thief's
 *       *top = block           (store)      i < t and slot[i] is not NULL: v[i] was popped
 *       top = top + 1          (store)      i == t: v[i] goes back if slot[i] is NULL
 *                                           i > t: v[i] was popped
 *
 * The owner's store of `top` precedes its load of the slot in program order, so
 * once the barrier has passed, an owner whose pop the thief cannot see in `top`
 * has yet to load its slot, finds NULL, and waits for the lock. Slot t alone is
 * in doubt: either the owner has its block already, then what is put back lies
 * above `top` where nobody reads before writing; or it saw NULL, waits, and
 * finds the block when it has the lock. tests/spin/alloc_steal.pml checks it.
 */
#ifndef FBY_MEMORY_ALLOCATOR_CACHE_H
#define FBY_MEMORY_ALLOCATOR_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/allocator/counts.h"
#include "memory/allocator/large.h"
#include "memory/allocator/owner.h"
#include "memory/allocator/pool.h"
#include "memory/allocator/size_class.h"

#if defined(__SANITIZE_THREAD__)
#define FBY_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FBY_TSAN 1
#endif
#endif
#ifndef FBY_TSAN
#define FBY_TSAN 0
#endif

/* TSan knows nothing of membarrier: there, both sides are sequentially consistent instead. */
#if FBY_TSAN
#define FBY_STEAL_ORDER memory_order_seq_cst
#else
#define FBY_STEAL_ORDER memory_order_relaxed
#endif

typedef _Atomic(void *) fby_slot;

/* By class; [0] is always empty and full. While the thread's cache is shut, or it has none, each
 * top is the gate, which has nothing but NULL below it.
 *
 * Processors compare the last 12 bits of an address first: a load waits for an earlier store that
 * agrees in them, as if the store were to the same place. What a program stores just before its
 * next malloc is the first word of a block, at a multiple of 64 for many sizes, of 16 for all: the
 * tops of most classes stand 8 bytes after such. */
typedef struct fby_stacks {
    _Alignas(FBY_CACHELINE) uint64_t apart;
    _Atomic(fby_slot *) top[FBY_CLASSES]; /* the next slot to write; below lie free blocks */
    fby_slot *limit[FBY_CLASSES];         /* one past the last slot; NULL: shut */
} fby_stacks;

enum {
    FBY_GATE_STATS = 1,  /* each call is counted */
    FBY_GATE_SECURE = 2, /* each block is checked, filled and zeroed */
    FBY_GATE_SCOPE = 4,  /* allocations go to the thread's scope */
    FBY_GATE_TRACE = 8,  /* each call is recorded */
};

struct fby_scope;

typedef struct fby_cache {
    _Alignas(FBY_CACHELINE) fby_lock lock; /* the slow paths, the thief */
    uint32_t gate;                         /* why each call is looked at; 0: it is not */
    fby_stacks *open;                      /* its thread's; NULL: shut */
    fby_owner owner;                       /* of what `open` points to */
    uint16_t number;                       /* from 1 on; 65,535: that one or a later one */
    bool used;                             /* by a thread */
    bool untraced;               /* inside a call that is recorded as a whole; the owner's */
    bool robbed[FBY_CLASSES];    /* the stack may have gaps, which the next slow path closes */
    uint64_t seen;               /* digest of the tops when the purge last looked */
    fby_slot *base[FBY_CLASSES]; /* first slot; the one before it is always NULL */
    fby_slot *end[FBY_CLASSES];  /* one past the last slot */
    fby_slot *kept[FBY_CLASSES]; /* the tops while shut */
    fby_slot *unused;            /* slots from here on are no stack's */
    fby_pool *pool;
    struct fby_scope *scope;     /* innermost; NULL: none */
    struct fby_cache *all_next;  /* constant */
    struct fby_cache *free_next; /* while unused */
    fby_arena arena;
    fby_counts counts; /* under the lock */
} fby_cache;

#define FBY_THREAD_LOCAL                                                                           \
    _Thread_local __attribute__((tls_model("initial-exec"), visibility("hidden")))

/* The calling thread's; before its first call and after its end &fby_cache_none, which has no gate
 * and no blocks. */
extern fby_cache fby_cache_none;
extern FBY_THREAD_LOCAL fby_cache *fby_cache_mine;
extern FBY_THREAD_LOCAL fby_stacks fby_stacks_mine;

/* ---- the owner's access to its tops ----
 * gcc adds up the address of an atomic thread-local object before it uses it; written out, it is
 * part of the instruction. */
#if defined(__x86_64__) && !defined(__clang__) && !FBY_TSAN

typedef uint64_t fby_place; /* from the thread pointer */

static inline fby_place fby_stacks_place(void)
{
    fby_place place;
    __asm__("movq fby_stacks_mine@GOTTPOFF(%%rip), %0" : "=r"(place));
    return place;
}

static inline fby_slot *fby_top_of(fby_place place, uint64_t class_index)
{
    fby_slot *top;
    __asm__ volatile("movq %%fs:%c3(%1,%2,8), %0"
                     : "=r"(top)
                     : "r"(place), "r"(class_index), "i"(offsetof(fby_stacks, top)));
    return top;
}

static inline fby_slot *fby_limit_of(fby_place place, uint64_t class_index)
{
    fby_slot *limit;
    __asm__ volatile("movq %%fs:%c3(%1,%2,8), %0"
                     : "=r"(limit)
                     : "r"(place), "r"(class_index), "i"(offsetof(fby_stacks, limit)));
    return limit;
}

/* A release: x86-64 keeps the order of stores, the clobber the compiler's. */
static inline void fby_set_top(fby_place place, uint64_t class_index, fby_slot *top)
{
    __asm__ volatile("movq %2, %%fs:%c3(%0,%1,8)"
                     :
                     : "r"(place), "r"(class_index), "r"(top), "i"(offsetof(fby_stacks, top))
                     : "memory");
}

#else

typedef fby_stacks *fby_place;

static inline fby_place fby_stacks_place(void)
{
    return &fby_stacks_mine;
}

static inline fby_slot *fby_top_of(fby_place stacks, uint32_t class_index)
{
    return atomic_load_explicit(&stacks->top[class_index], memory_order_relaxed);
}

static inline fby_slot *fby_limit_of(fby_place stacks, uint32_t class_index)
{
    return stacks->limit[class_index];
}

static inline void fby_set_top(fby_place stacks, uint32_t class_index, fby_slot *top)
{
    atomic_store_explicit(&stacks->top[class_index], top,
                          FBY_TSAN ? memory_order_seq_cst : memory_order_release);
}

#endif

/* NULL: empty, or shut; go on with fby_cache_refill(). */
static inline void *fby_cache_pop(uint32_t class_index)
{
    fby_place mine = fby_stacks_place();
    fby_slot *top = fby_top_of(mine, class_index) - 1;
    fby_set_top(mine, class_index, top);
    /* S1, with S2: the compiler keeps the order, the thief's membarrier makes the processor's
     * agree. */
    atomic_signal_fence(memory_order_seq_cst);
    void *block = atomic_load_explicit(top, FBY_STEAL_ORDER);
    /* The next ones will be written first, and a store that misses holds up those behind it. Below
     * the first slot there are two at least, of nobody or of another stack. */
    if (FBY_LIKELY(block != NULL)) {
        __builtin_prefetch(atomic_load_explicit(top - 1, memory_order_relaxed), 1, 3);
        __builtin_prefetch(atomic_load_explicit(top - 2, memory_order_relaxed), 1, 3);
    }
    return block;
}

/* False: full, or shut; go on with fby_cache_spill(). */
static inline bool fby_cache_push(uint32_t class_index, void *block)
{
    fby_place mine = fby_stacks_place();
    fby_slot *top = fby_top_of(mine, class_index);
    if (FBY_UNLIKELY(top >= fby_limit_of(mine, class_index)))
        return false;
    /* S3, with S4: what this thread did to the block precedes its next use. */
    atomic_store_explicit(top, block, memory_order_release);
    fby_set_top(mine, class_index, top + 1);
    return true;
}

/* The calling thread's cache, made or taken over if need be; NULL for want of memory, or when the
 * thread has given its cache up because it ends. */
fby_cache *fby_cache_self(void);

/* The same for a thread that frees. One that has no cache gets one after some frees only: libc
 * frees on behalf of a thread that ends, when no destructor will give a cache up again. NULL: none,
 * or not yet. */
fby_cache *fby_cache_self_to_free(void);

/* For what a thread does without one, a call at a time: a cache that no thread has, shut; NULL
 * for want of memory. */
fby_cache *fby_cache_borrow(void);
void fby_cache_return(fby_cache *cache);

/* After a pop that gave NULL: a block of the class for a request of `size` bytes at a multiple of
 * `align`; NULL for want of memory. */
void *fby_cache_refill(fby_cache *cache, uint32_t class_index, size_t size, size_t align);
/* After a pop that gave NULL in a thread without a cache. */
void fby_cache_none_popped(uint32_t class_index);
/* After a push that did not: takes the block. */
void fby_cache_spill(fby_cache *cache, uint32_t class_index, void *block);

/* Sets and clears reasons for the gate; the owner, or anyone while it is not in use. */
void fby_cache_set_gate(fby_cache *cache, uint32_t set, uint32_t clear);

/* Pop and push of a shut cache, its lock held; the pop gives NULL for want of memory only. */
void *fby_cache_kept_pop(fby_cache *cache, uint32_t class_index);
void fby_cache_kept_push(fby_cache *cache, uint32_t class_index, void *block);

/* The owner hands all its blocks back to their spans. */
void fby_cache_flush(fby_cache *cache);

/* For the purge, when it has settled all caches: what it needed for that goes back. */
void fby_cache_end_settling(void);

/* For the purge, one thread at a time: if nothing has moved since the last call, every free block
 * of the cache goes back to its span. Whether the cache still holds blocks. */
bool fby_cache_settle(fby_cache *cache);

/* All caches there ever were, through all_next; whether a thread has it now. */
fby_cache *fby_cache_first(void);
bool fby_cache_is_used(fby_cache *cache);

/* In the child of a fork: the caches of threads that are not there wait for the next. */
void fby_cache_after_fork(void);
void fby_cache_lock_all(void);
void fby_cache_unlock_all(void);

/* Reasons that each new cache is gated for. */
extern _Atomic uint32_t fby_cache_gate_always;

#endif
