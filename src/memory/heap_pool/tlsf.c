/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/heap_pool/tlsf.h"

#include "base/assert.h"
#include "base/bits.h"

enum {
    STEPS_SHIFT = 5,
    LOOKS = 16 /* blocks that are looked at one by one where none is surely large enough */
};
_Static_assert(1 << STEPS_SHIFT == FBY_TLSF_STEPS, "one number, twice");

static unsigned top_bit(uint32_t x)
{
    return 31u - (unsigned)__builtin_clz(x);
}

/* The class that a block of `count` granules is kept in. */
static uint32_t class_of(uint32_t count)
{
    if (count < FBY_TLSF_STEPS)
        return count;
    unsigned top = top_bit(count);
    return ((top - STEPS_SHIFT + 1) << STEPS_SHIFT) +
           ((count >> (top - STEPS_SHIFT)) ^ FBY_TLSF_STEPS);
}

/* The lowest class of which every block has `count` granules; FBY_TLSF_CLASSES: there is none. */
static uint32_t class_above(uint64_t count)
{
    if (count < FBY_TLSF_STEPS)
        return (uint32_t)count;
    if (count > UINT32_MAX)
        return FBY_TLSF_CLASSES;
    count += ((uint64_t)1 << (top_bit((uint32_t)count) - STEPS_SHIFT)) - 1;
    return count <= UINT32_MAX ? class_of((uint32_t)count) : FBY_TLSF_CLASSES;
}

static uint32_t bits_of(const _Atomic uint32_t *map)
{
    return atomic_load_explicit(map, memory_order_relaxed);
}

static void set_bits(_Atomic uint32_t *map, uint32_t bits)
{
    atomic_store_explicit(map, bits, memory_order_relaxed);
}

/* The first class from `class` on that is not empty. */
static uint32_t next_class(const fby_tlsf *tlsf, uint32_t class)
{
    if (class >= FBY_TLSF_CLASSES)
        return FBY_TLSF_NONE;
    uint32_t power = class >> STEPS_SHIFT;
    uint32_t map = bits_of(&tlsf->steps[power]) & UINT32_MAX << class % FBY_TLSF_STEPS;
    while (map == 0) { /* again where another thread emptied it just now */
        uint32_t powers = bits_of(&tlsf->powers) & (uint32_t)((uint64_t)UINT32_MAX << (power + 1));
        if (powers == 0)
            return FBY_TLSF_NONE;
        power = (uint32_t)__builtin_ctz(powers);
        map = bits_of(&tlsf->steps[power]);
    }
    return (power << STEPS_SHIFT) + (uint32_t)__builtin_ctz(map);
}

uint32_t fby_tlsf_nearest(const fby_tlsf *tlsf, uint32_t count)
{
    return next_class(tlsf, class_of(count));
}

/* ---- lists ---- */

static void insert_free(fby_tlsf *tlsf, uint32_t block)
{
    fby_record *record = &tlsf->records[block];
    uint32_t class = class_of(record->count), power = class >> STEPS_SHIFT;
    uint32_t head = tlsf->heads[class];

    record->state = FBY_RECORD_FREE;
    record->prev = FBY_TLSF_NONE;
    record->next = head;
    if (head != FBY_TLSF_NONE)
        tlsf->records[head].prev = block;
    tlsf->heads[class] = block;
    set_bits(&tlsf->steps[power], bits_of(&tlsf->steps[power]) | 1u << class % FBY_TLSF_STEPS);
    set_bits(&tlsf->powers, bits_of(&tlsf->powers) | 1u << power);
}

static void remove_free(fby_tlsf *tlsf, uint32_t block)
{
    const fby_record *record = &tlsf->records[block];
    uint32_t class = class_of(record->count), power = class >> STEPS_SHIFT;

    if (record->next != FBY_TLSF_NONE)
        tlsf->records[record->next].prev = record->prev;
    if (record->prev != FBY_TLSF_NONE) {
        tlsf->records[record->prev].next = record->next;
        return;
    }
    tlsf->heads[class] = record->next;
    if (record->next != FBY_TLSF_NONE)
        return;
    uint32_t steps = bits_of(&tlsf->steps[power]) & ~(1u << class % FBY_TLSF_STEPS);
    set_bits(&tlsf->steps[power], steps);
    if (steps == 0)
        set_bits(&tlsf->powers, bits_of(&tlsf->powers) & ~(1u << power));
}

/* Whether `more` records are to be had. */
static bool has_records(const fby_tlsf *tlsf, uint32_t more)
{
    uint32_t at = tlsf->spare;
    if (tlsf->records_max - tlsf->records_begun >= more)
        return true;
    for (more -= tlsf->records_max - tlsf->records_begun; more > 0 && at != FBY_TLSF_NONE; more--)
        at = tlsf->records[at].next;
    return more == 0;
}

static uint32_t take_record(fby_tlsf *tlsf)
{
    uint32_t taken = tlsf->spare;
    if (taken != FBY_TLSF_NONE)
        tlsf->spare = tlsf->records[taken].next;
    else
        taken = tlsf->records_begun++;
    fby_assert(taken < tlsf->records_max);
    return taken;
}

static void give_record(fby_tlsf *tlsf, uint32_t record)
{
    tlsf->records[record].state = FBY_RECORD_SPARE;
    tlsf->records[record].next = tlsf->spare;
    tlsf->spare = record;
}

void fby_tlsf_init(fby_tlsf *tlsf, fby_record *records, uint32_t records_max, uint32_t granules)
{
    fby_assert(records_max >= 1 && granules >= 1);
    set_bits(&tlsf->powers, 0);
    for (uint32_t i = 0; i < FBY_TLSF_POWERS; i++)
        set_bits(&tlsf->steps[i], 0);
    for (uint32_t i = 0; i < FBY_TLSF_CLASSES; i++)
        tlsf->heads[i] = FBY_TLSF_NONE;
    tlsf->records = records;
    tlsf->records_max = records_max;
    tlsf->records_begun = 1;
    tlsf->spare = FBY_TLSF_NONE;
    tlsf->lowest = 0;
    tlsf->granules = granules;
    records[0] = (fby_record){.count = granules, .before = FBY_TLSF_NONE, .after = FBY_TLSF_NONE};
    insert_free(tlsf, 0);
}

/* ---- neighbours ---- */

/* `block`, which is in no list, keeps what begins at granule `at`; a new record, in no list either,
 * stands for what comes before. */
static uint32_t split_front(fby_tlsf *tlsf, uint32_t block, uint32_t at)
{
    uint32_t front = take_record(tlsf);
    fby_record *back = &tlsf->records[block], *new = &tlsf->records[front];

    *new = (fby_record){
        .first = back->first,
        .count = at - back->first,
        .before = back->before,
        .after = block,
    };
    if (new->before != FBY_TLSF_NONE)
        tlsf->records[new->before].after = front;
    else
        tlsf->lowest = front;
    back->count -= new->count;
    back->first = at;
    back->before = front;
    return front;
}

/* The same with the first `count` granules left to `block`. */
static uint32_t split_back(fby_tlsf *tlsf, uint32_t block, uint32_t count)
{
    uint32_t rest = take_record(tlsf);
    fby_record *front = &tlsf->records[block];

    tlsf->records[rest] = (fby_record){
        .first = front->first + count,
        .count = front->count - count,
        .before = block,
        .after = front->after,
    };
    if (front->after != FBY_TLSF_NONE)
        tlsf->records[front->after].before = rest;
    front->after = rest;
    front->count = count;
    return rest;
}

/* `from`, a neighbour that is in no list, becomes a part of `into`. */
static void swallow(fby_tlsf *tlsf, uint32_t into, uint32_t from)
{
    fby_record *record = &tlsf->records[into];
    const fby_record *gone = &tlsf->records[from];

    record->count += gone->count;
    if (gone->after == into) {
        record->first = gone->first;
        record->before = gone->before;
        if (record->before != FBY_TLSF_NONE)
            tlsf->records[record->before].after = into;
        else
            tlsf->lowest = into;
    } else {
        record->after = gone->after;
        if (record->after != FBY_TLSF_NONE)
            tlsf->records[record->after].before = into;
    }
    give_record(tlsf, from);
}

static bool is_free(const fby_tlsf *tlsf, uint32_t block)
{
    return block != FBY_TLSF_NONE && tlsf->records[block].state == FBY_RECORD_FREE;
}

/* ---- taking and giving ---- */

static uint64_t aligned(const fby_record *record, uint32_t align_shift)
{
    uint64_t mask = ((uint64_t)1 << align_shift) - 1;
    return (record->first + mask) & ~mask;
}

static bool holds(const fby_record *record, uint32_t count, uint32_t align_shift)
{
    return aligned(record, align_shift) + count <= (uint64_t)record->first + record->count;
}

/* Some block below class `end` that happens to hold `count` granules. */
static uint32_t look(const fby_tlsf *tlsf, uint32_t count, uint32_t align_shift, uint32_t end)
{
    int looks = LOOKS;
    uint32_t class = fby_tlsf_nearest(tlsf, count);

    for (; class < end; class = next_class(tlsf, class + 1))
        for (uint32_t i = tlsf->heads[class]; i != FBY_TLSF_NONE; i = tlsf->records[i].next) {
            if (holds(&tlsf->records[i], count, align_shift))
                return i;
            if (--looks == 0)
                return FBY_TLSF_NONE;
        }
    return FBY_TLSF_NONE;
}

uint32_t fby_tlsf_take(fby_tlsf *tlsf, uint32_t count, uint32_t align_shift)
{
    uint64_t most = (uint64_t)count + ((uint64_t)1 << align_shift) - 1;
    uint32_t sure = class_above(most), class = next_class(tlsf, sure);
    uint32_t block =
        class != FBY_TLSF_NONE ? tlsf->heads[class] : look(tlsf, count, align_shift, sure);
    if (block == FBY_TLSF_NONE)
        return FBY_TLSF_NONE;
    fby_record *record = &tlsf->records[block];
    uint32_t first = (uint32_t)aligned(record, align_shift);
    uint32_t pieces = (uint32_t)(first != record->first) +
                      (uint32_t)(first - record->first + count != record->count);
    if (!has_records(tlsf, pieces))
        return FBY_TLSF_CROWDED;

    remove_free(tlsf, block);
    if (first != record->first)
        insert_free(tlsf, split_front(tlsf, block, first));
    if (record->count != count)
        insert_free(tlsf, split_back(tlsf, block, count));
    record->state = FBY_RECORD_USED;
    record->align_shift = (uint8_t)align_shift;
    return block;
}

void fby_tlsf_give(fby_tlsf *tlsf, uint32_t block)
{
    uint32_t before = tlsf->records[block].before, after = tlsf->records[block].after;

    if (is_free(tlsf, before)) {
        remove_free(tlsf, before);
        swallow(tlsf, block, before);
    }
    if (is_free(tlsf, after)) {
        remove_free(tlsf, after);
        swallow(tlsf, block, after);
    }
    insert_free(tlsf, block);
}

uint32_t fby_tlsf_largest(const fby_tlsf *tlsf)
{
    uint32_t powers = bits_of(&tlsf->powers), largest = 0;
    if (powers == 0)
        return 0;
    uint32_t power = top_bit(powers);
    uint32_t class = (power << STEPS_SHIFT) + top_bit(bits_of(&tlsf->steps[power]));
    if (class < 2 * FBY_TLSF_STEPS) /* all of one size */
        return class;
    int looks = FBY_TLSF_LOOKS_LARGEST;
    for (uint32_t i = tlsf->heads[class]; i != FBY_TLSF_NONE && looks > 0; looks--) {
        if (tlsf->records[i].count > largest)
            largest = tlsf->records[i].count;
        i = tlsf->records[i].next;
    }
    return largest;
}

/* ---- moving ---- */

bool fby_tlsf_hold(fby_tlsf *tlsf, uint32_t block, uint32_t *to)
{
    const fby_record *record = &tlsf->records[block];
    uint32_t hole = record->before;
    if (!is_free(tlsf, hole))
        return false;
    uint64_t first = aligned(&tlsf->records[hole], record->align_shift);
    if (first >= record->first || !has_records(tlsf, 1))
        return false;

    remove_free(tlsf, hole);
    if (first != tlsf->records[hole].first) /* what alignment leaves stays free */
        insert_free(tlsf, split_front(tlsf, hole, (uint32_t)first));
    tlsf->records[hole].state = FBY_RECORD_HELD;
    *to = (uint32_t)first;
    return true;
}

/*     before | hole | block | after   -->   before | block | hole | after     */
void fby_tlsf_settle(fby_tlsf *tlsf, uint32_t block)
{
    fby_record *record = &tlsf->records[block];
    uint32_t hole = record->before, before = tlsf->records[hole].before, after = record->after;
    fby_record *gap = &tlsf->records[hole];

    fby_assert(gap->state == FBY_RECORD_HELD);
    record->first = gap->first;
    gap->first = record->first + record->count;
    record->before = before;
    record->after = hole;
    gap->before = block;
    gap->after = after;
    if (before != FBY_TLSF_NONE)
        tlsf->records[before].after = block;
    else
        tlsf->lowest = block;
    if (after != FBY_TLSF_NONE)
        tlsf->records[after].before = hole;
    fby_tlsf_give(tlsf, hole);
}

/* ---- soundness ---- */

static bool chain_is_sound(const fby_tlsf *tlsf, uint32_t *free_blocks)
{
    uint32_t before = FBY_TLSF_NONE;
    uint64_t at = 0;

    *free_blocks = 0;
    for (uint32_t i = tlsf->lowest; i != FBY_TLSF_NONE; i = tlsf->records[i].after) {
        const fby_record *record = &tlsf->records[i];
        if (record->before != before || record->first != at || record->count == 0 ||
            record->state == FBY_RECORD_SPARE || (is_free(tlsf, i) && is_free(tlsf, before)))
            return false;
        *free_blocks += record->state == FBY_RECORD_FREE;
        at += record->count;
        before = i;
    }
    return at == tlsf->granules;
}

bool fby_tlsf_is_sound(const fby_tlsf *tlsf)
{
    uint32_t free_blocks, listed = 0;
    if (!chain_is_sound(tlsf, &free_blocks))
        return false;
    for (uint32_t class = 0; class < FBY_TLSF_CLASSES; class ++) {
        uint32_t power = class >> STEPS_SHIFT, prev = FBY_TLSF_NONE;
        bool marked = bits_of(&tlsf->steps[power]) >> class % FBY_TLSF_STEPS & 1;
        bool powered = bits_of(&tlsf->powers) >> power & 1;
        if (marked != (tlsf->heads[class] != FBY_TLSF_NONE) ||
            powered != (bits_of(&tlsf->steps[power]) != 0))
            return false;
        for (uint32_t i = tlsf->heads[class]; i != FBY_TLSF_NONE; i = tlsf->records[i].next) {
            if (tlsf->records[i].prev != prev || !is_free(tlsf, i) ||
                class_of(tlsf->records[i].count) != class)
                return false;
            prev = i;
            listed++;
        }
    }
    return listed == free_blocks;
}
