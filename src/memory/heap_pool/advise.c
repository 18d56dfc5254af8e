/* SPDX-License-Identifier: Apache-2.0 */
/* What statistics mean, and what to change. Each rule looks at one thing and says at most once. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "forebay/heap_pool.h"

#define MIB        ((uint64_t)1 << 20)
#define SUSPICIOUS ((uint64_t)4 << 30) /* bytes of one block */

typedef struct adviser {
    const fby_heap_pool_stats *stats;
    uint64_t heap_bytes; /* of the largest heap */
    fby_heap_advice *advice;
    uint32_t count;
    /* The most that any rule proposes (0: none does), and which advice says so, a bit each: all of
     * them get that number, since a key is written once. */
    uint32_t heaps, heaps_said;
    uint64_t mib;
    uint32_t mib_said, lower_said; /* a smaller heap: unless another rule wants a larger */
    uint64_t lower_mib;
} adviser;

static fby_heap_advice *say(adviser *self, fby_heap_grade grade, const char *fmt, ...)
    FBY_PRINTF(3, 4);

static fby_heap_advice *say(adviser *self, fby_heap_grade grade, const char *fmt, ...)
{
    va_list args;
    fby_assert(self->count < FBY_HEAP_ADVICE_MAX);
    fby_heap_advice *advice = &self->advice[self->count++];
    *advice = (fby_heap_advice){.grade = grade};
    va_start(args, fmt);
    vsnprintf(advice->what, sizeof advice->what, fmt, args);
    va_end(args);
    return advice;
}

static uint32_t bit_of(const adviser *self, const fby_heap_advice *advice)
{
    return 1u << (advice - self->advice);
}

static void raise_heap(adviser *self, const fby_heap_advice *advice, uint64_t mib)
{
    self->mib = fby_max_size(self->mib, mib);
    self->mib_said |= bit_of(self, advice);
}

static void because(fby_heap_advice *advice, const char *why)
{
    snprintf(advice->why, sizeof advice->why, "%s", why);
}

static unsigned long long mib_up(double bytes)
{
    double mib = bytes / (double)MIB;
    unsigned long long whole = mib < 1e15 ? (unsigned long long)mib : 1000000000000000ull;
    return whole + (mib > (double)whole || whole == 0);
}

/* A quarter more heaps, or as many as the share that is wanting asks for; larger ones where there
 * are as many as a pool can have. */
static void propose_heaps(adviser *self, const fby_heap_advice *advice, double more)
{
    uint32_t heaps = self->stats->heap_count;
    if (heaps >= FBY_HEAP_HEAPS_MAX) {
        raise_heap(self, advice, mib_up(1.5 * (double)self->heap_bytes));
        return;
    }
    double wanted = (double)heaps * (1.0 + (more > 0.25 ? more : 0.25));
    uint32_t raised = wanted < FBY_HEAP_HEAPS_MAX ? (uint32_t)wanted : FBY_HEAP_HEAPS_MAX;
    self->heaps = (uint32_t)fby_max_size(self->heaps, raised > heaps ? raised : heaps + 1);
    self->heaps_said |= bit_of(self, advice);
}

/* One number a key. */
static void write_proposals(adviser *self)
{
    for (uint32_t i = 0; i < self->count; i++) {
        fby_heap_advice *advice = &self->advice[i];
        if (self->heaps_said >> i & 1)
            snprintf(advice->yaml, sizeof advice->yaml, "num_heaps: %u", self->heaps);
        if (self->mib_said >> i & 1)
            snprintf(advice->yaml, sizeof advice->yaml, "heap_size_mb: %llu",
                     (unsigned long long)self->mib);
        else if ((self->lower_said >> i & 1) && self->mib == 0 && self->heaps == 0)
            snprintf(advice->yaml, sizeof advice->yaml, "heap_size_mb: %llu",
                     (unsigned long long)self->lower_mib);
    }
}

static void look_at_hits(adviser *self)
{
    double rate = self->stats->hit_rate;
    const char *word = rate > 0.95    ? "excellent"
                       : rate >= 0.90 ? "good"
                       : rate >= 0.80 ? "fair"
                                      : "poor";
    fby_heap_grade grade = rate >= 0.90   ? FBY_HEAP_GOOD
                           : rate >= 0.80 ? FBY_HEAP_FAIR
                                          : FBY_HEAP_POOR;
    fby_heap_advice *advice = say(self, grade, "hit rate %.1f %%: %s", 100 * rate, word);
    if (grade != FBY_HEAP_GOOD) {
        because(advice, "blocks that no heap serves cost a mapping and its page faults");
        if (self->stats->all.largest_bytes <= self->heap_bytes)
            propose_heaps(self, advice, 1.0 - rate);
    }
}

static void look_at_fallbacks(adviser *self)
{
    double rate = self->stats->fallback_rate;
    const char *word = rate == 0.0    ? "perfect"
                       : rate < 0.05  ? "acceptable"
                       : rate <= 0.10 ? "increase soon"
                                      : "poor";
    fby_heap_grade grade = rate < 0.05    ? FBY_HEAP_GOOD
                           : rate <= 0.10 ? FBY_HEAP_FAIR
                                          : FBY_HEAP_POOR;
    fby_heap_advice *advice = say(self, grade, "fallback rate %.1f %%: %s", 100 * rate, word);
    if (grade != FBY_HEAP_GOOD) {
        because(advice, "what the heaps have is too little, or in pieces too small");
        if (self->stats->all.largest_bytes <= self->heap_bytes)
            propose_heaps(self, advice, rate);
    }
}

static void look_at_use(adviser *self)
{
    const fby_heap_pool_stats *stats = self->stats;
    /* At its peak, where that was counted: a moment without load says nothing. */
    uint64_t used = fby_max_size(stats->all.used_bytes, stats->all.peak_used_bytes);
    if (stats->all.capacity_bytes == 0) {
        because(say(self, FBY_HEAP_POOR, "no heaps: every block is the system's"),
                "the pool is not enabled");
        snprintf(self->advice[self->count - 1].yaml, sizeof self->advice[0].yaml, "enabled: true");
        return;
    }
    double use = (double)used / (double)stats->all.capacity_bytes;
    use = use < 1.0 ? use : 1.0; /* heaps that were given back had their peaks too */
    const char *word = use < 0.50    ? "over-provisioned"
                       : use <= 0.80 ? "optimal"
                       : use <= 0.95 ? "under-provisioned"
                                     : "critical";
    fby_heap_grade grade = use < 0.50    ? FBY_HEAP_FAIR
                           : use <= 0.80 ? FBY_HEAP_GOOD
                           : use <= 0.95 ? FBY_HEAP_FAIR
                                         : FBY_HEAP_POOR;
    fby_heap_advice *advice =
        say(self, grade, "utilisation %.1f %% at its peak: %s", 100 * use, word);
    if (use < 0.50) {
        double fit = (double)self->heap_bytes * use / 0.65,
               least = (double)stats->all.largest_bytes;
        because(advice, "memory lies idle, unless busier times are to come");
        if (stats->fallback == 0 && (fit > least ? fit : least) < (double)self->heap_bytes) {
            self->lower_mib = mib_up(fit > least ? fit : least);
            self->lower_said |= bit_of(self, advice);
        }
    } else if (use > 0.80) {
        because(advice, "little is left for a burst, and fragmentation grows with use");
        propose_heaps(self, advice, use / 0.65 - 1.0);
    }
}

static void look_at_sizes(adviser *self)
{
    uint64_t largest = self->stats->all.largest_bytes;
    if (largest > SUSPICIOUS)
        because(say(self, FBY_HEAP_POOR, "a block of %llu MiB: suspicious",
                    (unsigned long long)(largest / MIB)),
                "above 4 GB a size is more often a mistake in the program than a need");
    if (self->heap_bytes != 0 && largest > self->heap_bytes) {
        fby_heap_advice *advice =
            say(self, FBY_HEAP_POOR, "a block of %llu MiB is larger than a heap of %llu MiB",
                mib_up((double)largest), (unsigned long long)(self->heap_bytes / MIB));
        because(advice, "no heap can ever serve it");
        if (largest <= SUSPICIOUS)
            raise_heap(self, advice, mib_up(1.5 * (double)largest));
    }
}

/* The sizes that are used and, where it would be warmed, the largest block: "4, 16, 30". False: no
 * room for so many. */
static bool list_warmup(const adviser *self, char *list, size_t room)
{
    const fby_heap_stats *all = &self->stats->all;
    uint32_t count = fby_min_u32(self->stats->warmup_count, FBY_HEAP_WARMUP_MAX);
    size_t used = 0;

    list[0] = '\0';
    for (uint32_t i = 0; i <= count; i++) {
        uint64_t bytes = i < count ? self->stats->warmup_bytes[i] : all->largest_bytes;
        if (all->by_warmup[i] == 0 || bytes == 0 || (i == count && bytes > self->heap_bytes))
            continue;
        int size = snprintf(list + used, room - used, "%s%llu", used > 0 ? ", " : "",
                            mib_up((double)bytes));
        if (size < 0 || (size_t)size >= room - used)
            return false;
        used += (size_t)size;
    }
    return used > 0;
}

static void look_at_warmup(adviser *self)
{
    const fby_heap_pool_stats *stats = self->stats;
    uint32_t count = fby_min_u32(stats->warmup_count, FBY_HEAP_WARMUP_MAX), unused = 0;
    fby_heap_advice *advice;
    char list[96];
    bool listed = list_warmup(self, list, sizeof list);

    for (uint32_t i = 0; i < count; i++)
        unused += stats->all.by_warmup[i] == 0;
    if (unused > 0) {
        advice = say(self, FBY_HEAP_FAIR, "%u of %u warm-up sizes never used", unused, count);
        because(advice, "no block was as large as they are and larger than those below");
        if (listed)
            snprintf(advice->yaml, sizeof advice->yaml, "warmup_sizes: [%s]", list);
    }
    if (count > 0 && stats->all.by_warmup[count] > 0 && stats->all.largest_bytes > 0) {
        advice = say(self, FBY_HEAP_FAIR, "%llu blocks larger than every warm-up size",
                     (unsigned long long)stats->all.by_warmup[count]);
        because(advice, "a size that is used is missing among those that are warmed");
        if (listed)
            snprintf(advice->yaml, sizeof advice->yaml, "warmup_sizes: [%s]", list);
    }
}

static void look_at_waits(adviser *self)
{
    const fby_heap_stats *all = &self->stats->all;
    if (all->acquired == 0 || all->lock_waits * 100 < all->acquired)
        return;
    fby_heap_advice *advice =
        say(self, FBY_HEAP_FAIR, "%.1f waits for a heap's lock a hundred blocks",
            100.0 * (double)all->lock_waits / (double)all->acquired);
    because(advice, "more threads are in the pool at once than it has heaps");
    propose_heaps(self, advice, 0.25);
}

static void look_at_holes(adviser *self)
{
    const fby_heap_pool_stats *stats = self->stats;
    if (stats->fragmentation <= 0.5 || stats->all.capacity_bytes == 0)
        return;
    fby_heap_advice *advice =
        say(self, FBY_HEAP_FAIR, "fragmentation %.0f %%", 100 * stats->fragmentation);
    because(advice,
            "free memory lies in pieces; compaction joins them where blocks are not pinned");
    snprintf(advice->yaml, sizeof advice->yaml, "compaction: { enabled: true }");
}

/* heap_size_mb = model_mb / num_heaps × 1.5, at least the largest part. */
static void look_at_parts(adviser *self, const uint64_t *parts, size_t count)
{
    double sum = 0.0, largest = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)parts[i];
        largest = (double)parts[i] > largest ? (double)parts[i] : largest;
    }
    if (sum <= (double)self->stats->all.capacity_bytes)
        return;
    uint32_t heaps = self->stats->heap_count > 0 ? self->stats->heap_count : 1;
    double each = 1.5 * sum / heaps;
    fby_heap_advice *advice =
        say(self, FBY_HEAP_POOR, "the model's %zu parts take %llu MiB, the pool has %llu", count,
            mib_up(sum), (unsigned long long)(self->stats->all.capacity_bytes / MIB));
    because(advice, "together they exceed the capacity");
    raise_heap(self, advice, mib_up(each > largest ? each : largest));
}

static void look_at_refusals(adviser *self)
{
    const fby_heap_pool_stats *stats = self->stats;
    if (stats->refused > 0)
        because(say(self, FBY_HEAP_POOR, "%llu blocks were refused",
                    (unsigned long long)stats->refused),
                "neither a heap nor the system had them: the callers failed");
    if (stats->crowded > 0)
        because(say(self, FBY_HEAP_POOR, "%llu blocks found room but no record",
                    (unsigned long long)stats->crowded),
                "a heap had as many blocks and free pieces as it can: raise blocks_max, in YAML "
                "too; 0 or auto is one a 4 KiB");
}

static void look_at_load(adviser *self)
{
    look_at_hits(self);
    look_at_fallbacks(self);
    look_at_use(self);
    look_at_sizes(self);
    look_at_warmup(self);
    look_at_waits(self);
    look_at_holes(self);
}

uint32_t fby_heap_pool_advise(const fby_heap_pool_stats *stats, const uint64_t *parts,
                              size_t part_count, fby_heap_advice advice[FBY_HEAP_ADVICE_MAX])
{
    adviser self = {.stats = stats, .advice = advice};
    for (uint32_t i = 0; i < FBY_HEAP_HEAPS_MAX; i++)
        self.heap_bytes = fby_max_size(self.heap_bytes, stats->heaps[i].capacity_bytes);
    look_at_refusals(&self);
    if (!stats->counting)
        because(say(&self, FBY_HEAP_FAIR, "statistics are off"),
                "sizes, waits and warm-up were not counted: track_statistics: true");
    else if (stats->all.acquired == 0)
        because(say(&self, FBY_HEAP_FAIR, "no block was acquired yet"),
                "advice wants statistics of some time under load");
    else
        look_at_load(&self);
    if (part_count > 0)
        look_at_parts(&self, parts, part_count);
    write_proposals(&self);
    return self.count;
}
