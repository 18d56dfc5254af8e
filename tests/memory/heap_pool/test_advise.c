/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/heap_pool.h"
#include "memory/heap_pool/series.h"
#include "test.h"

#define MIB ((uint64_t)1 << 20)

static fby_heap_advice advice[FBY_HEAP_ADVICE_MAX];
static uint32_t advice_count;

/* Four heaps of 256 MiB, 60 % of them used at the peak, every block from a heap. */
static fby_heap_pool_stats healthy(void)
{
    fby_heap_pool_stats stats = {.struct_size = sizeof stats, .heap_count = 4, .counting = true};
    for (int i = 0; i < 4; i++) {
        stats.heaps[i].present = true;
        stats.heaps[i].capacity_bytes = 256 * MIB;
        stats.heaps[i].used_bytes = 100 * MIB;
        stats.heaps[i].largest_free_bytes = 156 * MIB;
    }
    stats.all.capacity_bytes = 1024 * MIB;
    stats.all.used_bytes = 400 * MIB;
    stats.all.peak_used_bytes = 614 * MIB;
    stats.all.acquired = 10000;
    stats.all.largest_bytes = 30 * MIB;
    return stats;
}

static void advise(fby_heap_pool_stats *stats)
{
    fby_heap_stats_derive(stats);
    advice_count = fby_heap_pool_advise(stats, NULL, 0, advice);
    assert_in_range(advice_count, 1, FBY_HEAP_ADVICE_MAX);
}

/* The first that says so, or NULL. */
static const fby_heap_advice *said(const char *what)
{
    for (uint32_t i = 0; i < advice_count; i++)
        if (strstr(advice[i].what, what) != NULL)
            return &advice[i];
    return NULL;
}

static const char *words_on(const char *what)
{
    const fby_heap_advice *one = said(what);
    return one != NULL ? one->what : "nothing";
}

static void expect(const char *what, fby_heap_grade grade, const char *yaml)
{
    const fby_heap_advice *one = said(what);
    if (one == NULL)
        fail_msg("nobody said \"%s\"", what);
    assert_int_equal(one->grade, grade);
    assert_string_equal(one->yaml, yaml);
}

static void a_healthy_pool_has_nothing_to_change(void **state)
{
    (void)state;
    fby_heap_pool_stats stats = healthy();
    advise(&stats);
    expect("hit rate 100.0 %: excellent", FBY_HEAP_GOOD, "");
    expect("fallback rate 0.0 %: perfect", FBY_HEAP_GOOD, "");
    expect("utilisation 60.0 % at its peak: optimal", FBY_HEAP_GOOD, "");
    assert_int_equal(advice_count, 3);
}

static void rates_are_graded_at_their_bounds(void **state)
{
    (void)state;
    static const struct {
        uint64_t fallback;
        const char *hit, *fallback_word;
        fby_heap_grade grade;
    } cases[] = {
        {1, "excellent", "acceptable", FBY_HEAP_GOOD},
        {499, "excellent", "acceptable", FBY_HEAP_GOOD},
        {500, "good", "increase soon", FBY_HEAP_GOOD},
        {1000, "good", "increase soon", FBY_HEAP_GOOD},
        {1001, "fair", "poor", FBY_HEAP_FAIR},
        {2000, "fair", "poor", FBY_HEAP_FAIR},
        {2001, "poor", "poor", FBY_HEAP_POOR},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fby_heap_pool_stats stats = healthy();
        stats.fallback = cases[i].fallback;
        advise(&stats);
        assert_non_null(strstr(words_on("hit rate"), cases[i].hit));
        assert_non_null(strstr(words_on("fallback rate"), cases[i].fallback_word));
        expect("hit rate", cases[i].grade, cases[i].grade == FBY_HEAP_GOOD ? "" : "num_heaps: 5");
    }
}

static void utilisation_is_graded_by_its_peak(void **state)
{
    (void)state;
    static const struct {
        uint64_t mib;
        const char *word;
    } cases[] = {
        {500, "over-"}, {512, "optimal"}, {819, "optimal"}, {900, "under-"}, {1000, "critical"}};
    for (size_t i = 0; i < 5; i++) {
        fby_heap_pool_stats stats = healthy();
        stats.all.peak_used_bytes = cases[i].mib * MIB;
        advise(&stats);
        assert_non_null(strstr(words_on("utilisation"), cases[i].word));
    }
    expect("utilisation", FBY_HEAP_POOR, "num_heaps: 6");
}

static void sizes_that_no_heap_holds_are_named(void **state)
{
    (void)state;
    fby_heap_pool_stats stats = healthy();
    stats.all.largest_bytes = 300 * MIB;
    advise(&stats);
    expect("300 MiB is larger than a heap of 256", FBY_HEAP_POOR, "heap_size_mb: 450");
    stats.all.largest_bytes = 5000 * MIB;
    advise(&stats);
    expect("5000 MiB: suspicious", FBY_HEAP_POOR, "");
}

static void warm_up_sizes_unused_or_missing_are_named(void **state)
{
    (void)state;
    fby_heap_pool_stats stats = healthy();
    stats.warmup_count = 3;
    stats.warmup_bytes[0] = 4 * MIB;
    stats.warmup_bytes[1] = 8 * MIB;
    stats.warmup_bytes[2] = 16 * MIB;
    stats.all.by_warmup[0] = 500;
    stats.all.by_warmup[2] = 500;
    stats.all.by_warmup[3] = 9;
    advise(&stats);
    expect("1 of 3 warm-up sizes never used", FBY_HEAP_FAIR, "warmup_sizes: [4, 16, 30]");
    expect("9 blocks larger than every warm-up size", FBY_HEAP_FAIR, "warmup_sizes: [4, 16, 30]");
}

static void what_was_not_counted_proposes_nothing(void **state)
{
    (void)state;
    fby_heap_pool_stats stats = healthy();
    stats.warmup_count = 2;
    stats.warmup_bytes[0] = stats.warmup_bytes[1] = MIB;
    stats.counting = false;
    stats.fallback = 9000;
    advise(&stats);
    assert_int_equal(advice_count, 1);
    expect("statistics are off", FBY_HEAP_FAIR, "");
    stats = healthy();
    stats.warmup_count = 2;
    stats.warmup_bytes[0] = stats.warmup_bytes[1] = MIB;
    stats.all.acquired = stats.all.used_bytes = stats.all.peak_used_bytes = 0;
    stats.all.largest_bytes = 0;
    advise(&stats);
    assert_int_equal(advice_count, 1);
    expect("no block was acquired", FBY_HEAP_FAIR, "");
}

static void a_key_is_proposed_once_with_the_larger_number(void **state)
{
    (void)state;
    fby_heap_pool_stats stats = healthy();
    const uint64_t parts[] = {3000 * MIB};
    stats.fallback = 1001;                  /* num_heaps: 5 */
    stats.all.peak_used_bytes = 1000 * MIB; /* num_heaps: 6 */
    advise(&stats);
    expect("hit rate", FBY_HEAP_FAIR, "num_heaps: 6");
    expect("utilisation", FBY_HEAP_POOR, "num_heaps: 6");
    stats = healthy();
    stats.all.peak_used_bytes = 100 * MIB; /* a smaller heap, were it alone */
    fby_heap_stats_derive(&stats);
    advice_count = fby_heap_pool_advise(&stats, parts, 1, advice);
    expect("utilisation", FBY_HEAP_FAIR, "");
    expect("parts take 3000 MiB", FBY_HEAP_POOR, "heap_size_mb: 3000");
    stats.all.largest_bytes = 2500 * MIB;
    advice_count = fby_heap_pool_advise(&stats, parts, 1, advice);
    expect("larger than a heap", FBY_HEAP_POOR, "heap_size_mb: 3750");
    expect("parts take 3000 MiB", FBY_HEAP_POOR, "heap_size_mb: 3750");
}

static void refusals_and_lacking_records_are_named(void **state)
{
    (void)state;
    fby_heap_pool_stats stats = healthy();
    stats.refused = 3;
    stats.crowded = 4;
    advise(&stats);
    expect("3 blocks were refused", FBY_HEAP_POOR, "");
    expect("4 blocks found room but no record", FBY_HEAP_POOR, "");
}

static void counts_from_outside_are_bounded(void **state)
{
    (void)state;
    fby_heap_pool_stats stats = healthy();
    stats.warmup_count = UINT32_MAX;
    for (int i = 0; i <= FBY_HEAP_WARMUP_MAX; i++)
        stats.all.by_warmup[i] = 1;
    for (int i = 0; i < FBY_HEAP_WARMUP_MAX; i++)
        stats.warmup_bytes[i] = UINT64_MAX - 16 + (uint64_t)i; /* too long for a line */
    advise(&stats);
    expect("1 blocks larger than every", FBY_HEAP_FAIR, "");
}

static void waits_and_holes_are_named(void **state)
{
    (void)state;
    fby_heap_pool_stats stats = healthy();
    stats.all.lock_waits = 250;
    stats.heaps[0].largest_free_bytes = stats.heaps[1].largest_free_bytes = MIB;
    stats.heaps[2].largest_free_bytes = stats.heaps[3].largest_free_bytes = MIB;
    advise(&stats);
    expect("2.5 waits for a heap's lock", FBY_HEAP_FAIR, "num_heaps: 5");
    expect("fragmentation 99 %", FBY_HEAP_FAIR, "compaction: { enabled: true }");
}

static void parts_that_exceed_the_capacity_get_a_size(void **state)
{
    (void)state;
    fby_heap_pool_stats stats = healthy();
    const uint64_t fits[] = {500 * MIB, 500 * MIB}, many[] = {900 * MIB, 900 * MIB, 200 * MIB},
                   one[] = {1500 * MIB};
    advise(&stats);
    uint32_t before = advice_count;
    assert_int_equal(fby_heap_pool_advise(&stats, fits, 2, advice), before);
    advice_count = fby_heap_pool_advise(&stats, many, 3, advice);
    expect("the model's 3 parts take 2000 MiB, the pool has 1024", FBY_HEAP_POOR,
           "heap_size_mb: 900"); /* 2000 / 4 × 1.5 is less than the largest */
    advice_count = fby_heap_pool_advise(&stats, one, 1, advice);
    expect("parts take 1500 MiB", FBY_HEAP_POOR, "heap_size_mb: 1500");
}

static void a_proposal_keeps_to_its_ranges_and_a_quarter_of_the_memory(void **state)
{
    (void)state;
    fby_heap_proposal made;
    const uint64_t gib = 1024 * MIB;
    assert_int_equal(fby_heap_pool_propose(335000000, 16 * gib, &made), FBY_OK);
    assert_string_equal(made.model, "small");
    assert_int_equal(made.heap_bytes, 256 * MIB);
    assert_int_equal(made.num_heaps, 3);
    assert_int_equal(fby_heap_pool_propose(70000000000, 16 * gib, &made), FBY_OK);
    assert_string_equal(made.model, "very large");
    assert_int_equal(made.heap_bytes, 2 * gib);
    assert_int_equal(made.num_heaps, 2);
    assert_int_equal(fby_heap_pool_propose(13000000000, 64 * gib, &made), FBY_OK);
    assert_string_equal(made.model, "large");
    assert_int_equal(made.num_heaps, 8);
    assert_int_equal(fby_heap_pool_propose(0, gib, &made), FBY_EINVAL);
}

/* ---- statistics as text ---- */

static char text[64 << 10];
static size_t text_size;

static void put(void *context, const fby_heap_sample *sample)
{
    (void)context;
    text_size += (size_t)snprintf(text + text_size, sizeof text - text_size, "%s%s%s%s %s\n",
                                  sample->name, sample->label[0] != '\0' ? "{" : "", sample->label,
                                  sample->label[0] != '\0' ? "}" : "", sample->value);
}

static void statistics_are_read_as_they_were_written(void **state)
{
    (void)state;
    static const uint64_t warmup[] = {MIB, 4 * MIB};
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    fby_heap_pool *pool;
    fby_heap_block block;
    static fby_heap_pool_stats stats, again;
    stats.struct_size = sizeof stats;
    options.num_heaps = 2;
    options.heap_bytes = 4 * MIB;
    options.warmup_bytes = warmup;
    options.warmup_count = 2;
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_OK);
    for (uint64_t bytes = 100; bytes < 8 * MIB; bytes *= 3)
        assert_int_equal(fby_heap_acquire(pool, bytes, 0, "x", &block, NULL), FBY_OK);
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    fby_heap_pool_close(pool, NULL);

    text_size = 0;
    fby_heap_series_each(&stats, put, NULL);
    assert_int_equal(fby_heap_series_read(text, text_size, &again), FBY_OK);
    assert_memory_equal(&again.all.by_warmup, &stats.all.by_warmup, sizeof stats.all.by_warmup);
    assert_int_equal(again.all.acquired, stats.all.acquired);
    assert_int_equal(again.all.peak_used_bytes, stats.all.peak_used_bytes);
    assert_int_equal(again.fallback, stats.fallback);
    assert_int_equal(again.heap_count, 2);
    assert_int_equal(again.heaps[1].used_bytes, stats.heaps[1].used_bytes);
    assert_true(again.hit_rate == stats.hit_rate && again.fragmentation == stats.fragmentation);
    assert_true(again.counting);
}

static void text_that_says_nothing_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "forebay_texts_total 5\n",
        "forebay_heap_pool_unheard_of 5\n",
        "forebay_heap_pool_heaps\n",
        "forebay_heap_pool_heaps -1\n",
        "forebay_heap_pool_heaps nan\n",
        "forebay_heap_pool_heap_used_bytes{heap=\"0\" 4\n",
        "forebay_heap_pool_heaps 4x\n",
    };
    fby_heap_pool_stats stats;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(fby_heap_series_read(wrong[i], strlen(wrong[i]), &stats), FBY_EFORMAT);
    const char odd[] =
        "forebay_heap_pool_heaps 1e300\nforebay_heap_pool_heap_used_bytes{heap=\"99\"} 4";
    assert_int_equal(fby_heap_series_read(odd, strlen(odd), &stats), FBY_OK);
    assert_int_equal(stats.heap_count, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_pool_has_nothing_to_change),
        cmocka_unit_test(rates_are_graded_at_their_bounds),
        cmocka_unit_test(utilisation_is_graded_by_its_peak),
        cmocka_unit_test(sizes_that_no_heap_holds_are_named),
        cmocka_unit_test(warm_up_sizes_unused_or_missing_are_named),
        cmocka_unit_test(what_was_not_counted_proposes_nothing),
        cmocka_unit_test(a_key_is_proposed_once_with_the_larger_number),
        cmocka_unit_test(refusals_and_lacking_records_are_named),
        cmocka_unit_test(counts_from_outside_are_bounded),
        cmocka_unit_test(waits_and_holes_are_named),
        cmocka_unit_test(parts_that_exceed_the_capacity_get_a_size),
        cmocka_unit_test(a_proposal_keeps_to_its_ranges_and_a_quarter_of_the_memory),
        cmocka_unit_test(statistics_are_read_as_they_were_written),
        cmocka_unit_test(text_that_says_nothing_is_refused),
    };
    return cmocka_run_group_tests_name("heap_advise", tests, NULL, NULL);
}
