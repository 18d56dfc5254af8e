/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/disruptor.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/options.h"
#include "base/pages.h"
#include "pipeline/waiting.h"

enum { CAPACITY_MAX = 1 << 24 };

struct fby_consumer_slow_ {
    uint32_t after_count;
    const fby_consumer *after[FBY_DISRUPTOR_READERS_MAX];
};

/* The members' line, then the producers'. */
struct fby_group {
    uint64_t claimed; /* next sequence that no member has taken */
    uint32_t waiting; /* members inside fby_group_wait() without events */
    uint32_t *copied; /* slot s holds the round that was last copied out */
    fby_disruptor *disruptor;

    alignas(64) uint64_t passed; /* all below are copied, at least; may lag */
    uint32_t nudges;             /* members that are to return with nothing */
};

struct fby_disruptor_slow_ {
    fby_wait wait;
    uint32_t reader_count, group_count;
    fby_consumer consumers[FBY_DISRUPTOR_READERS_MAX];
    struct fby_consumer_slow_ after[FBY_DISRUPTOR_READERS_MAX];
    uint32_t consumer_count;
    fby_group groups[FBY_DISRUPTOR_READERS_MAX];
    void *pages; /* the slots; each group's marks are apart */
    size_t pages_size;
};

static uint64_t capacity_of(const fby_disruptor *disruptor)
{
    return disruptor->mask_ + 1;
}

/* ---- producing ---- */

/* Passes the marks of what a group's members have copied. Several producers may do so at once:
 * each passes marks that it has itself acquired, and the largest result stays. */
static uint64_t group_passed(fby_group *group)
{
    const fby_disruptor *disruptor = group->disruptor;
    /* G4, with G3. */
    uint64_t known = __atomic_load_n(&group->passed, __ATOMIC_ACQUIRE);
    uint64_t passed = known, most = known + capacity_of(disruptor);

    /* G2, with R2. */
    while (passed < most &&
           __atomic_load_n(&group->copied[passed & disruptor->mask_], __ATOMIC_ACQUIRE) ==
               fby_disruptor_round_(disruptor, passed))
        passed++;
    while (passed > known &&
           /* G3, with G4. */
           !__atomic_compare_exchange_n(&group->passed, &known, passed, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        continue;
    return passed;
}

/* All below were let go by every reader. */
static uint64_t gate(const fby_disruptor *disruptor, uint64_t newest)
{
    struct fby_disruptor_slow_ *slow = disruptor->slow_;
    uint64_t lowest = newest;

    for (uint32_t i = 0; i < slow->consumer_count; i++) {
        /* G1, with R1. */
        uint64_t released = __atomic_load_n(&slow->consumers[i].released_, __ATOMIC_ACQUIRE);
        lowest = released < lowest ? released : lowest;
    }
    for (uint32_t i = 0; i < slow->group_count; i++) {
        uint64_t passed = group_passed(&slow->groups[i]);
        lowest = passed < lowest ? passed : lowest;
    }
    return lowest;
}

static fby_status claim_single(fby_disruptor *disruptor, uint32_t count, uint64_t *sequence)
{
    uint64_t first = disruptor->claimed_;
    disruptor->gate_seen_ = gate(disruptor, first);
    if (first + count - disruptor->gate_seen_ > capacity_of(disruptor))
        return FBY_EAGAIN;
    disruptor->claimed_ = first + count;
    *sequence = first;
    return FBY_OK;
}

static fby_status claim_multi(fby_disruptor *disruptor, uint32_t count, uint64_t *sequence)
{
    uint64_t first = __atomic_load_n(&disruptor->claimed_, __ATOMIC_RELAXED);
    do {
        /* G4, with G3. It never passes what is claimed, but may pass a `first` that is out of date:
         * the difference is then negative, and the exchange fails. */
        uint64_t seen = __atomic_load_n(&disruptor->gate_seen_, __ATOMIC_ACQUIRE);
        if ((int64_t)(first + count - seen) > (int64_t)capacity_of(disruptor)) {
            seen = gate(disruptor, first);
            if ((int64_t)(first + count - seen) > (int64_t)capacity_of(disruptor))
                return FBY_EAGAIN;
            /* G3, with G4. An older value may overwrite a newer one: it only lags. */
            __atomic_store_n(&disruptor->gate_seen_, seen, __ATOMIC_RELEASE);
        }
    } while (!__atomic_compare_exchange_n(&disruptor->claimed_, &first, first + count, true,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    *sequence = first;
    return FBY_OK;
}

fby_status fby_disruptor_claim_slow_(fby_disruptor *disruptor, uint32_t count, uint64_t *sequence)
{
    fby_assert(count >= 1 && count <= capacity_of(disruptor));
    return disruptor->multi_ ? claim_multi(disruptor, count, sequence)
                             : claim_single(disruptor, count, sequence);
}

void fby_disruptor_wake_(fby_disruptor *disruptor, uint32_t count)
{
    const struct fby_disruptor_slow_ *slow = disruptor->slow_;
    /* With one producer, one group and nobody else, an event wants one member. Several producers
     * publish out of order: a wake-up may find nothing yet, and must not have been the only one. */
    bool all = disruptor->multi_ || slow->consumer_count > 0 || slow->group_count > 1;
    fby_waiting_wake(&disruptor->sleepers_, &disruptor->epoch_, all ? UINT32_MAX : count);
}

/* ---- consuming ---- */

/* Looks at no more than so many events ahead of those that are known: a reader that runs right
 * behind the producer would take the lines that are being written away from it. */
enum { AHEAD_MAX = 64 };

static bool is_published(const fby_disruptor *disruptor, uint64_t sequence, uint32_t *cost)
{
    /* C1, with P1. */
    uint64_t word = __atomic_load_n(fby_disruptor_word_(disruptor, sequence), __ATOMIC_ACQUIRE);
    *cost = (uint32_t)word;
    return (uint32_t)(word >> 32) == fby_disruptor_round_(disruptor, sequence);
}

/* All from `next` up to the result are published; at most `ahead` of them. */
static uint64_t published(const fby_disruptor *disruptor, uint64_t next, uint64_t ahead)
{
    uint64_t ready = next;
    uint32_t cost;
    while (ready < next + ahead && is_published(disruptor, ready, &cost))
        ready++;
    return ready;
}

uint64_t fby_consumer_ready_slow_(fby_consumer *consumer)
{
    const struct fby_consumer_slow_ *slow = consumer->slow_;
    if (slow->after_count == 0)
        return published(consumer->disruptor_, consumer->released_, AHEAD_MAX);
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < slow->after_count; i++) {
        /* C3, with R1. */
        uint64_t released = __atomic_load_n(&slow->after[i]->released_, __ATOMIC_ACQUIRE);
        lowest = released < lowest ? released : lowest;
    }
    return lowest;
}

uint32_t fby_consumer_wait(fby_consumer *consumer, uint64_t timeout_ns, uint64_t *sequence)
{
    fby_disruptor *disruptor = consumer->disruptor_;
    fby_waiting waiting = fby_waiting_begin(disruptor->slow_->wait, timeout_ns);

    for (;;) {
        uint32_t count = fby_consumer_poll(consumer, sequence);
        if (count == 0 && fby_waiting_more(&waiting, &disruptor->sleepers_, &disruptor->epoch_,
                                           &disruptor->alerted_))
            continue;
        fby_waiting_end(&waiting, &disruptor->sleepers_);
        /* Once more: what was published before an alert is seen after it. */
        return count != 0 ? count : fby_consumer_poll(consumer, sequence);
    }
}

/* ---- sharing ---- */

/* How many of the events from `first` on a member takes, `self` being 1 if it counts among those
 * that wait: at least one if there is one. */
static uint32_t portion(const fby_group *group, uint64_t first, uint32_t self, uint64_t budget,
                        uint32_t max)
{
    const fby_disruptor *disruptor = group->disruptor;
    uint64_t members = __atomic_load_n(&group->waiting, __ATOMIC_RELAXED) - self + 1;
    uint64_t cost = 0, ahead = (uint64_t)max * members;
    ahead = ahead < AHEAD_MAX ? ahead : AHEAD_MAX;
    /* Alone, nothing has to be shared out: it need not look beyond what it takes. */
    uint64_t ready = members == 1 ? first + max : published(disruptor, first, ahead);
    uint64_t share = (ready - first + members - 1) / members;
    uint32_t count = 0, one;
    while (count < share && count < max && is_published(disruptor, first + count, &one)) {
        cost += one;
        if (count > 0 && cost > budget)
            break;
        count++;
    }
    return count;
}

static void copy_out(fby_group *group, uint64_t first, uint32_t count, unsigned char *events)
{
    const fby_disruptor *disruptor = group->disruptor;
    size_t stride = (size_t)1 << disruptor->shift_;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t s = first + i;
        memcpy(events + i * stride, fby_disruptor_event(disruptor, s), stride - sizeof(uint64_t));
        /* R2, with G2. */
        __atomic_store_n(&group->copied[s & disruptor->mask_], fby_disruptor_round_(disruptor, s),
                         __ATOMIC_RELEASE);
    }
}

/*
 * The costs that portion() reads may belong to a later round if another member
 * takes these events meanwhile; then `claimed` has moved and the exchange fails.
 * It only grows, so it cannot have come back.
 */
static uint32_t claim_shared(fby_group *group, uint32_t self, uint64_t budget, void *events,
                             uint32_t max)
{
    uint64_t first = __atomic_load_n(&group->claimed, __ATOMIC_RELAXED);
    uint32_t count;
    do {
        count = portion(group, first, self, budget, max);
        if (count == 0) {
            uint64_t now = __atomic_load_n(&group->claimed, __ATOMIC_RELAXED);
            if (now == first)
                return 0;
            first = now;
            continue;
        }
        if (__atomic_compare_exchange_n(&group->claimed, &first, first + count, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            break;
    } while (true);
    copy_out(group, first, count, events);
    return count;
}

uint32_t fby_group_claim(fby_group *group, uint64_t budget, void *events, uint32_t max)
{
    return claim_shared(group, 0, budget, events, max);
}

void fby_group_nudge(fby_group *group, uint32_t count)
{
    fby_disruptor *disruptor = group->disruptor;
    const struct fby_disruptor_slow_ *slow = disruptor->slow_;
    uint32_t nudges = __atomic_load_n(&group->nudges, __ATOMIC_RELAXED), with;
    do
        with = count < FBY_GROUP_NUDGES_MAX - nudges ? nudges + count : FBY_GROUP_NUDGES_MAX;
    /* N1, with N2: replaced also where it stays as it is. */
    while (!__atomic_compare_exchange_n(&group->nudges, &nudges, with, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED));
    bool others = slow->consumer_count > 0 || slow->group_count > 1;
    if (disruptor->sleeps_)
        fby_waiting_wake(&disruptor->sleepers_, &disruptor->epoch_, others ? UINT32_MAX : count);
}

static bool take_nudge(fby_group *group)
{
    uint32_t nudges = __atomic_load_n(&group->nudges, __ATOMIC_RELAXED);
    while (nudges > 0)
        /* N2, with N1. */
        if (__atomic_compare_exchange_n(&group->nudges, &nudges, nudges - 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

uint32_t fby_group_wait(fby_group *group, uint64_t budget, void *events, uint32_t max,
                        uint64_t timeout_ns)
{
    fby_disruptor *disruptor = group->disruptor;
    uint32_t count = fby_group_claim(group, budget, events, max);
    if (count != 0)
        return count;

    fby_waiting waiting = fby_waiting_begin(disruptor->slow_->wait, timeout_ns);
    __atomic_fetch_add(&group->waiting, 1, __ATOMIC_RELAXED);
    do
        count = claim_shared(group, 1, budget, events, max);
    while (count == 0 && !take_nudge(group) &&
           fby_waiting_more(&waiting, &disruptor->sleepers_, &disruptor->epoch_,
                            &disruptor->alerted_));
    __atomic_fetch_sub(&group->waiting, 1, __ATOMIC_RELAXED);
    fby_waiting_end(&waiting, &disruptor->sleepers_);
    return count != 0 ? count : claim_shared(group, 0, budget, events, max);
}

void fby_disruptor_alert(fby_disruptor *disruptor)
{
    /* W3, with W4: what this thread has published. */
    __atomic_store_n(&disruptor->alerted_, 1, __ATOMIC_RELEASE);
    fby_waiting_wake(&disruptor->sleepers_, &disruptor->epoch_, UINT32_MAX);
}

bool fby_disruptor_is_alerted(const fby_disruptor *disruptor)
{
    return __atomic_load_n(&disruptor->alerted_, __ATOMIC_ACQUIRE) != 0; /* W4, with W3 */
}

/* ---- start and end ---- */

static fby_status check_options(const fby_disruptor_options *options)
{
    if (options->slot_bytes != 64 && options->slot_bytes != 128)
        return fby_error(FBY_EINVAL, "slot_bytes is %u: 64 or 128", options->slot_bytes);
    if (!fby_is_pow2(options->capacity) || options->capacity < 2 ||
        options->capacity > CAPACITY_MAX)
        return fby_error(FBY_EINVAL, "capacity is %u: a power of two from 2 to %d",
                         options->capacity, CAPACITY_MAX);
    if ((unsigned)options->producers > FBY_DISRUPTOR_MULTI)
        return fby_error(FBY_EINVAL, "producers is %d", (int)options->producers);
    if ((unsigned)options->wait > FBY_WAIT_SLEEP)
        return fby_error(FBY_EINVAL, "wait is %d", (int)options->wait);
    return FBY_OK;
}

fby_status fby_disruptor_create(const fby_disruptor_options *given, fby_disruptor **out)
{
    fby_disruptor_options read = FBY_DISRUPTOR_OPTIONS_INIT;
    const fby_disruptor_options *options = &read;
    fby_status status = fby_options_read(&read, sizeof read, given, "fby_disruptor_options");
    if (status == FBY_OK)
        status = check_options(options);
    if (status != FBY_OK)
        return status;
    fby_disruptor *disruptor = aligned_alloc(64, sizeof *disruptor);
    struct fby_disruptor_slow_ *slow = aligned_alloc(64, fby_align_up(sizeof *slow, 64));
    if (disruptor == NULL || slow == NULL) {
        status = fby_error(FBY_ENOMEM, "no memory for a disruptor");
        goto free_structs;
    }
    memset(disruptor, 0, sizeof *disruptor);
    memset(slow, 0, sizeof *slow);
    slow->wait = options->wait;
    disruptor->slow_ = slow;
    disruptor->mask_ = options->capacity - 1;
    disruptor->shift_ = options->slot_bytes == 64 ? 6 : 7;
    disruptor->capacity_shift_ = (uint32_t)__builtin_ctz(options->capacity);
    disruptor->multi_ = options->producers == FBY_DISRUPTOR_MULTI;
    disruptor->sleeps_ = options->wait == FBY_WAIT_ADAPTIVE || options->wait == FBY_WAIT_SLEEP;
    slow->pages_size = (size_t)options->capacity * options->slot_bytes;
    status = fby_pages_map(slow->pages_size, &slow->pages);
    if (status != FBY_OK)
        goto free_structs;
    disruptor->slots_ = slow->pages;
    *out = disruptor;
    return FBY_OK;

free_structs:
    free(slow);
    free(disruptor);
    return status;
}

void fby_disruptor_destroy(fby_disruptor *disruptor)
{
    if (disruptor == NULL)
        return;
    struct fby_disruptor_slow_ *slow = disruptor->slow_;
    for (uint32_t i = 0; i < slow->group_count; i++)
        fby_pages_unmap(slow->groups[i].copied, capacity_of(disruptor) * sizeof(uint32_t));
    fby_pages_unmap(slow->pages, slow->pages_size);
    free(slow);
    free(disruptor);
}

static fby_status check_room_for_reader(const fby_disruptor *disruptor)
{
    if (__atomic_load_n(&disruptor->claimed_, __ATOMIC_RELAXED) != 0)
        return fby_error(FBY_EINVAL, "readers are added before the first event is claimed");
    if (disruptor->slow_->reader_count == FBY_DISRUPTOR_READERS_MAX)
        return fby_error(FBY_EINVAL, "a disruptor has at most %d readers",
                         FBY_DISRUPTOR_READERS_MAX);
    return FBY_OK;
}

fby_status fby_disruptor_add_consumer(fby_disruptor *disruptor, fby_consumer *const *after,
                                      uint32_t count, fby_consumer **out)
{
    struct fby_disruptor_slow_ *slow = disruptor->slow_;
    fby_status status = check_room_for_reader(disruptor);
    if (status != FBY_OK)
        return status;
    if (count > slow->consumer_count)
        return fby_error(FBY_EINVAL, "after %u consumers, but there are %u", count,
                         slow->consumer_count);
    for (uint32_t i = 0; i < count; i++)
        if (after[i]->disruptor_ != disruptor)
            return fby_error(FBY_EINVAL, "consumer %u of `after` is another disruptor's", i);

    struct fby_consumer_slow_ *order = &slow->after[slow->consumer_count];
    order->after_count = count;
    for (uint32_t i = 0; i < count; i++) {
        order->after[i] = after[i];
        after[i]->wakes_ = disruptor->sleeps_;
    }
    fby_consumer *consumer = &slow->consumers[slow->consumer_count++];
    consumer->disruptor_ = disruptor;
    consumer->slow_ = order;
    slow->reader_count++;
    *out = consumer;
    return FBY_OK;
}

fby_status fby_disruptor_add_group(fby_disruptor *disruptor, fby_group **out)
{
    struct fby_disruptor_slow_ *slow = disruptor->slow_;
    fby_status status = check_room_for_reader(disruptor);
    if (status != FBY_OK)
        return status;
    fby_group *group = &slow->groups[slow->group_count];
    void *copied;
    status = fby_pages_map(capacity_of(disruptor) * sizeof(uint32_t), &copied);
    if (status != FBY_OK)
        return status;
    group->copied = copied;
    group->disruptor = disruptor;
    slow->group_count++;
    slow->reader_count++;
    *out = group;
    return FBY_OK;
}
