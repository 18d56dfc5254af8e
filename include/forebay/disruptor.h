/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disruptor: a power-of-two ring of fixed events between threads. An event is
 * written in place, seen in place, and never allocated.
 *
 *     producer --claim--> its slots --publish--> ready --+--> every consumer --release--+
 *        ^                                               |    (a chain: after others)   |
 *        |                                               +--> one member of a group     |
 *        |                                                    copies it: free at once --+
 *        +---------------------- slots that all have let go ----------------------------+
 *
 * A sequence counts events from 0 and only grows; event s lies in slot s modulo
 * the capacity. A slot is 64 or 128 bytes; its last 8 say which event it holds and
 * what that costs, so that what is published arrives with the cache line that it
 * lies in, and a hop costs one line. A consumer sees every event, in order, as many at a time as
 * are there. The members of a group share the events: each goes to one of them, which copies it
 * out. Batches come from load, not from a timer.
 *
 * Threads: with FBY_DISRUPTOR_SINGLE one thread claims and publishes; with
 * FBY_DISRUPTOR_MULTI any. Each consumer and each member is used by one thread.
 * Consumers and groups are added before the first claim. fby_disruptor_alert():
 * any thread. Nothing here blocks but the calls named wait.
 *
 * Algorithm: Thompson, Farley, Barker, Gee, Stewart, "Disruptor: High performance
 * alternative to bounded queues" (LMAX 2011); the sharing group is our own:
 * members claim by compare-and-swap and mark what they have copied, the producer
 * passes the marks in order.
 *
 * Memory order, each release with the acquire that reads it:
 *   P1 -> C1  an event's bytes: the last word of its slot
 *   R1 -> G1  a consumer's reads, before its slots are written again
 *   R2 -> G2  a member's copy, before its slot is written again
 *   R1 -> C3  what a consumer did, for those that come after it in a chain
 *   G3 -> G4  what one producer learnt of the slots let go, for the others
 *   W1 -> W2  an event, for a thread about to sleep
 *   W3 -> W4  what was published before an alert, for those whose wait it ends
 *   N1 -> N2  what was written before a nudge, for the member that it sends away
 */
#ifndef FOREBAY_DISRUPTOR_H
#define FOREBAY_DISRUPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forebay/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fby_disruptor fby_disruptor;
typedef struct fby_consumer fby_consumer;
typedef struct fby_group fby_group;

typedef enum fby_producers { FBY_DISRUPTOR_SINGLE = 0, FBY_DISRUPTOR_MULTI = 1 } fby_producers;

/* How a thread waits for events. */
typedef enum fby_wait {
    FBY_WAIT_ADAPTIVE = 0, /* spins, then yields, then sleeps */
    FBY_WAIT_SPIN = 1,     /* for those who own the core */
    FBY_WAIT_YIELD = 2,
    FBY_WAIT_SLEEP = 3
} fby_wait;

typedef struct fby_disruptor_options {
    size_t struct_size;
    uint32_t slot_bytes; /* 64 or 128: 56 or 120 for the event */
    uint32_t capacity;   /* events, a power of two from 2 to 2^24 */
    fby_producers producers;
    fby_wait wait;
} fby_disruptor_options;
#define FBY_DISRUPTOR_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(fby_disruptor_options), 64, 1024, FBY_DISRUPTOR_SINGLE, FBY_WAIT_ADAPTIVE           \
    }

enum { FBY_DISRUPTOR_READERS_MAX = 16 }; /* consumers and groups together */

/* Maps and touches everything that is ever needed. FBY_EINVAL names the option; FBY_EUNSUPPORTED
 * when a larger struct asks for what this version does not have. NULL: the defaults. */
FBY_API fby_status fby_disruptor_create(const fby_disruptor_options *options,
                                        fby_disruptor **disruptor);

/* Its consumers and groups end with it. NULL is fine. No other call may run. */
FBY_API void fby_disruptor_destroy(fby_disruptor *disruptor);

/* A consumer that sees each event once the `count` consumers in `after` have released it; all
 * published ones if count is 0. FBY_EINVAL after the first claim, for a foreign `after`, and when
 * there are FBY_DISRUPTOR_READERS_MAX already. */
FBY_API fby_status fby_disruptor_add_consumer(fby_disruptor *disruptor, fby_consumer *const *after,
                                              uint32_t count, fby_consumer **consumer);

/* A group whose members share the events. Errors as above. */
FBY_API fby_status fby_disruptor_add_group(fby_disruptor *disruptor, fby_group **group);

/* ---- private: what the inline calls below need; sizes are part of the ABI ---- */

struct fby_disruptor {
    /* Constant once the first event is claimed. */
    unsigned char *slots_;
    uint64_t mask_;
    uint32_t shift_, capacity_shift_;
    uint32_t multi_, sleeps_; /* sleeps_: the wait strategy may put a thread to sleep */
    struct fby_disruptor_slow_ *slow_;
    uint64_t reserved0_[3];

    /* The producers'. */
    uint64_t claimed_;   /* next sequence to claim */
    uint64_t gate_seen_; /* all below were let go, at least; may lag */
    uint64_t reserved1_[6];

    /* Written by whoever falls asleep. */
    uint32_t sleepers_, epoch_, alerted_;
    uint32_t reserved2_[13];
} __attribute__((aligned(64)));

struct fby_consumer {
    uint64_t released_; /* all below are let go */
    uint64_t ready_;    /* all below may be read, at least; may lag */
    fby_disruptor *disruptor_;
    const struct fby_consumer_slow_ *slow_;
    uint64_t wakes_; /* somebody may sleep until this one releases */
    uint64_t reserved_[3];
} __attribute__((aligned(64)));

#ifdef __cplusplus
static_assert(sizeof(fby_disruptor) == 192 && sizeof(fby_consumer) == 64, "layout is ABI");
#else
_Static_assert(sizeof(fby_disruptor) == 192 && sizeof(fby_consumer) == 64, "layout is ABI");
#endif

FBY_API fby_status fby_disruptor_claim_slow_(fby_disruptor *disruptor, uint32_t count,
                                             uint64_t *sequence);
FBY_API void fby_disruptor_wake_(fby_disruptor *disruptor, uint32_t count);
FBY_API uint64_t fby_consumer_ready_slow_(fby_consumer *consumer);

/* ---- producing ---- */

/*
 * Claims `count` events (1 to the capacity), the first being `*sequence`.
 * FBY_EAGAIN when they are not all free: nothing is claimed then. What is
 * claimed must be published.
 */
static inline fby_status fby_disruptor_claim(fby_disruptor *disruptor, uint32_t count,
                                             uint64_t *sequence)
{
    if (__builtin_expect(disruptor->multi_, 0))
        return fby_disruptor_claim_slow_(disruptor, count, sequence);
    uint64_t first = disruptor->claimed_;
    if (__builtin_expect(first + count - disruptor->gate_seen_ > disruptor->mask_ + 1, 0))
        return fby_disruptor_claim_slow_(disruptor, count, sequence);
    disruptor->claimed_ = first + count;
    *sequence = first;
    return FBY_OK;
}

/* The event of a sequence that the caller has claimed, or may read: slot_bytes - 8 bytes, aligned
 * to 64. */
static inline void *fby_disruptor_event(const fby_disruptor *disruptor, uint64_t sequence)
{
    return disruptor->slots_ + ((sequence & disruptor->mask_) << disruptor->shift_);
}

/* A slot's last word: in its upper half the round of the event that it holds, which is how often
 * the slot was published; in its lower half the event's cost. */
static inline uint64_t *fby_disruptor_word_(const fby_disruptor *disruptor, uint64_t sequence)
{
    return (uint64_t *)(void *)((unsigned char *)fby_disruptor_event(disruptor, sequence) +
                                ((size_t)1 << disruptor->shift_) - sizeof(uint64_t));
}

static inline uint32_t fby_disruptor_round_(const fby_disruptor *disruptor, uint64_t sequence)
{
    return (uint32_t)(sequence >> disruptor->capacity_shift_) + 1;
}

/* Publishes an event that a claim gave. `cost` counts against a member's budget. */
static inline void fby_disruptor_publish_cost(fby_disruptor *disruptor, uint64_t sequence,
                                              uint32_t cost)
{
    /* P1, with C1: the event's bytes are visible before the event is. */
    __atomic_store_n(fby_disruptor_word_(disruptor, sequence),
                     (uint64_t)fby_disruptor_round_(disruptor, sequence) << 32 | cost,
                     __ATOMIC_RELEASE);
    if (disruptor->sleeps_)
        fby_disruptor_wake_(disruptor, 1);
}

/* Publishes `count` events from `sequence` on, which one claim gave, each of cost 1. */
static inline void fby_disruptor_publish(fby_disruptor *disruptor, uint64_t sequence,
                                         uint32_t count)
{
    for (uint64_t s = sequence; s < sequence + count; s++)
        /* P1, with C1. */
        __atomic_store_n(fby_disruptor_word_(disruptor, s),
                         (uint64_t)fby_disruptor_round_(disruptor, s) << 32 | 1, __ATOMIC_RELEASE);
    if (disruptor->sleeps_)
        fby_disruptor_wake_(disruptor, count);
}

/* ---- consuming: every event ---- */

/* How many events may be read now, the first being `*sequence`; 0 if none. */
static inline uint32_t fby_consumer_poll(fby_consumer *consumer, uint64_t *sequence)
{
    uint64_t next = consumer->released_;
    if (next == consumer->ready_)
        consumer->ready_ = fby_consumer_ready_slow_(consumer);
    *sequence = next;
    return (uint32_t)(consumer->ready_ - next);
}

/* Lets go of the oldest `count` of those that poll gave: producers may write them again. */
static inline void fby_consumer_release(fby_consumer *consumer, uint32_t count)
{
    /* R1, with G1 and C3: the reads are done before the slots are let go. */
    __atomic_store_n(&consumer->released_, consumer->released_ + count, __ATOMIC_RELEASE);
    if (consumer->wakes_)
        fby_disruptor_wake_(consumer->disruptor_, count);
}

/* As fby_consumer_poll(), but waits for an event, at most `timeout_ns` (UINT64_MAX: without end);
 * 0 then, or once alerted. */
FBY_API uint32_t fby_consumer_wait(fby_consumer *consumer, uint64_t timeout_ns, uint64_t *sequence);

/* ---- sharing: each event to one member ---- */

/*
 * Copies the oldest events that no member has taken to `events`, an array of
 * `max` slots of slot_bytes each whose last 8 bytes are not written: at least one, then as long as
 * their costs stay within `budget`, but no more than an even share while other members wait. Their
 * slots are free when it returns. Returns how many; 0 if there is none. Any number of threads,
 * without locks.
 */
FBY_API uint32_t fby_group_claim(fby_group *group, uint64_t budget, void *events, uint32_t max);

/* The same, waiting as fby_consumer_wait() does; 0 for a nudge, too. */
FBY_API uint32_t fby_group_wait(fby_group *group, uint64_t budget, void *events, uint32_t max,
                                uint64_t timeout_ns);

enum { FBY_GROUP_NUDGES_MAX = 64 };

/* Has `count` calls of fby_group_wait() return 0 instead of waiting on, those that wait now or else
 * the next that would: for members that have something else to look at. What the caller wrote
 * before is seen by them. No more than FBY_GROUP_NUDGES_MAX stand over; one that finds so many is
 * as one of these. Any thread. */
FBY_API void fby_group_nudge(fby_group *group, uint32_t count);

/* ---- ending ---- */

/* All that wait return, now and from now on, when they find nothing to read. */
FBY_API void fby_disruptor_alert(fby_disruptor *disruptor);
FBY_API bool fby_disruptor_is_alerted(const fby_disruptor *disruptor);

#ifdef __cplusplus
}
#endif
#endif
