/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/runs.h"

#include "base/assert.h"

/* ---- pairing heaps ---- */

static uint32_t meld(const fby_run_set *set, uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0)
        return a | b;
    uint32_t low = a < b ? a : b, high = a < b ? b : a;
    fby_run *parent = fby_run_at(set, low), *child = fby_run_at(set, high);
    child->prev = low;
    child->next = parent->child;
    if (child->next != 0)
        fby_run_at(set, child->next)->prev = high;
    parent->child = high;
    parent->next = parent->prev = 0;
    return low;
}

/* The heap of all children in the list that begins with `first`: pairs left to right, the pairs
 * right to left. */
static uint32_t meld_list(const fby_run_set *set, uint32_t first)
{
    uint32_t pairs = 0;
    while (first != 0) {
        uint32_t a = first, b = fby_run_at(set, a)->next;
        first = b != 0 ? fby_run_at(set, b)->next : 0;
        fby_run_at(set, a)->next = fby_run_at(set, a)->prev = 0;
        if (b != 0)
            fby_run_at(set, b)->next = fby_run_at(set, b)->prev = 0;
        uint32_t pair = meld(set, a, b);
        fby_run_at(set, pair)->next = pairs;
        pairs = pair;
    }
    uint32_t root = 0;
    while (pairs != 0) {
        uint32_t next = fby_run_at(set, pairs)->next;
        fby_run_at(set, pairs)->next = 0;
        root = meld(set, root, pairs);
        pairs = next;
    }
    return root;
}

uint32_t fby_order_insert(const fby_run_set *set, uint32_t root, uint32_t at)
{
    fby_run *node = fby_run_at(set, at);
    node->child = node->next = node->prev = 0;
    return meld(set, root, at);
}

uint32_t fby_order_remove(const fby_run_set *set, uint32_t root, uint32_t at)
{
    fby_run *node = fby_run_at(set, at);
    uint32_t children = meld_list(set, node->child);
    if (root == at)
        return children;
    fby_run *before = fby_run_at(set, node->prev);
    if (before->child == at)
        before->child = node->next;
    else
        before->next = node->next;
    if (node->next != 0)
        fby_run_at(set, node->next)->prev = node->prev;
    return meld(set, root, children);
}

/* ---- bins ---- */

static uint32_t bin_of(uint32_t length)
{
    return length <= FBY_RUN_BINS ? length : 0;
}

static void set_bin(fby_run_set *set, uint32_t bin, uint32_t root)
{
    uint64_t bit = (uint64_t)1 << (bin % 64);
    set->bin[bin] = root;
    if (root != 0)
        set->occupied[bin / 64] |= bit;
    else
        set->occupied[bin / 64] &= ~bit;
}

/* When a dirty run was freed and its place in the list of those, which is in that order. */
typedef struct run_age {
    uint32_t since_ms;
    uint32_t older; /* the run it stands behind; NEWEST: all */
} run_age;

enum { NEWEST = -1 };

static run_age age_of(const fby_run_set *set, uint32_t at)
{
    const fby_run *run = fby_run_at(set, at);
    return (run_age){.since_ms = run->since_ms, .older = run->older};
}

static void list_dirty(fby_run_set *set, uint32_t at, uint32_t older)
{
    fby_run *run = fby_run_at(set, at);
    older = older == (uint32_t)NEWEST ? set->newest : older;
    run->older = older;
    run->newer = older != 0 ? fby_run_at(set, older)->newer : set->oldest;
    if (older != 0)
        fby_run_at(set, older)->newer = at;
    else
        set->oldest = at;
    if (run->newer != 0)
        fby_run_at(set, run->newer)->older = at;
    else
        set->newest = at;
    set->dirty += run->length;
}

static void unlist_dirty(fby_run_set *set, uint32_t at)
{
    fby_run *run = fby_run_at(set, at);
    if (run->older != 0)
        fby_run_at(set, run->older)->newer = run->newer;
    else
        set->oldest = run->newer;
    if (run->newer != 0)
        fby_run_at(set, run->newer)->older = run->older;
    else
        set->newest = run->older;
    set->dirty -= run->length;
}

static void insert(fby_run_set *set, uint32_t at, uint32_t length, enum fby_run_state state,
                   run_age age)
{
    fby_run *head = fby_run_at(set, at), *tail = fby_run_at(set, at + length - 1);
    uint32_t bin = bin_of(length);
    head->length = tail->length = length;
    head->state = tail->state = (uint8_t)state;
    head->since_ms = age.since_ms;
    set->free_pieces += length;
    set_bin(set, bin, fby_order_insert(set, set->bin[bin], at));
    if (state == FBY_RUN_DIRTY)
        list_dirty(set, at, age.older);
}

static void take_out(fby_run_set *set, uint32_t at)
{
    fby_run *head = fby_run_at(set, at);
    uint32_t bin = bin_of(head->length);
    fby_assert(head->state != FBY_RUN_USED);
    set->free_pieces -= head->length;
    if (head->state == FBY_RUN_DIRTY)
        unlist_dirty(set, at);
    set_bin(set, bin, fby_order_remove(set, set->bin[bin], at));
    fby_run_at(set, at + head->length - 1)->state = FBY_RUN_USED;
    head->state = FBY_RUN_USED;
}

static bool is_dirty(const fby_run_set *set, uint32_t at)
{
    return at != 0 && fby_run_at(set, at)->state == FBY_RUN_DIRTY;
}

/* The longest dirty part of a merged run says how old it is: memory in use beside it does not keep
 * a longer run from growing old, nor does a short old one make that of all the rest. */
uint32_t fby_runs_free(fby_run_set *set, uint32_t at, uint32_t length, enum fby_run_state state,
                       uint32_t low, uint32_t high, uint32_t now_ms)
{
    uint32_t end = at + length, longest = state == FBY_RUN_DIRTY ? length : 0, eldest = 0;
    uint32_t beside[2] = {0, 0};
    run_age age = {.since_ms = now_ms, .older = (uint32_t)NEWEST};
    if (end < high && fby_run_at(set, end)->state != FBY_RUN_USED)
        beside[0] = end;
    if (at > low && fby_run_at(set, at - 1)->state != FBY_RUN_USED)
        beside[1] = at - fby_run_at(set, at - 1)->length;
    for (int i = 0; i < 2; i++) {
        if (beside[i] == 0)
            continue;
        uint32_t have = fby_run_at(set, beside[i])->length;
        if (is_dirty(set, beside[i])) {
            state = FBY_RUN_DIRTY;
            if (have >= longest) {
                longest = have;
                eldest = beside[i];
            }
        }
        length += have;
        if (beside[i] < at)
            at = beside[i];
    }
    /* The other one first: the place of this one is the merged run's. */
    for (int i = 0; i < 2; i++)
        if (beside[i] != 0 && beside[i] != eldest)
            take_out(set, beside[i]);
    if (eldest != 0) {
        age = age_of(set, eldest);
        take_out(set, eldest);
    }
    insert(set, at, length, state, age);
    return at;
}

/* Of the runs too long for a bin, the shortest that has `length` pieces, the lowest of those. They
 * are few: a walk over the pairing heap. */
static uint32_t find_long(const fby_run_set *set, uint32_t length)
{
    uint32_t best = 0, best_length = UINT32_MAX, at = set->bin[0];
    while (at != 0) {
        const fby_run *run = fby_run_at(set, at);
        if (run->length >= length &&
            (run->length < best_length || (run->length == best_length && at < best))) {
            best = at;
            best_length = run->length;
        }
        if (run->child != 0) {
            at = run->child;
            continue;
        }
        while (at != 0 && fby_run_at(set, at)->next == 0) {
            /* Up: back along the siblings to the first, whose prev is the parent. */
            uint32_t up = fby_run_at(set, at)->prev;
            while (up != 0 && fby_run_at(set, up)->child != at) {
                at = up;
                up = fby_run_at(set, at)->prev;
            }
            at = up;
        }
        if (at != 0)
            at = fby_run_at(set, at)->next;
    }
    return best;
}

static uint32_t find(const fby_run_set *set, uint32_t length)
{
    if (length <= FBY_RUN_BINS) {
        uint32_t word = length / 64;
        uint64_t bits = set->occupied[word] & (UINT64_MAX << (length % 64));
        if (word == 0)
            bits &= ~(uint64_t)1;
        while (bits == 0 && ++word <= FBY_RUN_BINS / 64)
            bits = set->occupied[word];
        if (bits != 0)
            return set->bin[word * 64 + (uint32_t)__builtin_ctzll(bits)];
    }
    return find_long(set, length);
}

/* Cuts `length` pieces at `from` out of the free run at `at`, giving back what lies around. */
static enum fby_run_state cut(fby_run_set *set, uint32_t at, uint32_t from, uint32_t length)
{
    fby_run *head = fby_run_at(set, at);
    uint32_t end = at + head->length;
    run_age age = age_of(set, at);
    enum fby_run_state state = (enum fby_run_state)head->state;
    take_out(set, at);
    if (from > at)
        insert(set, at, from - at, state, age);
    if (end > from + length)
        insert(set, from + length, end - from - length, state, age);
    fby_run_at(set, from)->length = length;
    fby_run_at(set, from)->state = FBY_RUN_USED;
    fby_run_at(set, from + length - 1)->state = FBY_RUN_USED;
    return state;
}

uint32_t fby_runs_take(fby_run_set *set, uint32_t length, uint32_t align, enum fby_run_state *state)
{
    fby_assert(length != 0);
    uint32_t at = find(set, length);
    if (at == 0)
        return 0;
    uint32_t from = (at + align - 1) & ~(align - 1);
    if (from + length > at + fby_run_at(set, at)->length) {
        /* Any run with room for the worst alignment. */
        if (length + align < length || (at = find(set, length + align - 1)) == 0)
            return 0;
        from = (at + align - 1) & ~(align - 1);
    }
    *state = cut(set, at, from, length);
    return from;
}

bool fby_runs_take_at(fby_run_set *set, uint32_t at, uint32_t length)
{
    const fby_run *head = fby_run_at(set, at);
    if (head->state == FBY_RUN_USED || head->length < length)
        return false;
    cut(set, at, at, length);
    return true;
}

bool fby_runs_take_last(fby_run_set *set, uint32_t end, uint32_t from, uint32_t length,
                        enum fby_run_state *state)
{
    const fby_run *last = fby_run_at(set, end - 1);
    if (last->state == FBY_RUN_USED || from < end - last->length || from + length > end)
        return false;
    *state = cut(set, end - last->length, from, length);
    return true;
}

uint32_t fby_runs_take_oldest(fby_run_set *set, uint32_t now_ms, uint32_t decay_ms,
                              uint32_t *length)
{
    enum { AHEAD_MS = 1 << 20 }; /* freed by another thread since `now_ms` was taken */
    uint32_t at = set->oldest;
    if (at == 0)
        return 0;
    uint32_t since_ms = fby_run_at(set, at)->since_ms;
    if ((since_ms - now_ms < AHEAD_MS ? 0 : now_ms - since_ms) < decay_ms)
        return 0;
    *length = fby_run_at(set, at)->length;
    take_out(set, at);
    return at;
}
