/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/heap_pool/tlsf.h"
#include "test.h"

enum { RECORDS = 4096 };
static fby_record records[RECORDS];
static fby_tlsf tlsf;

static void begin(uint32_t records_max, uint32_t granules)
{
    memset(records, 0, sizeof records);
    fby_tlsf_init(&tlsf, records, records_max, granules);
    assert_true(fby_tlsf_is_sound(&tlsf));
}

static void gives_out_everything_and_gets_it_back_as_one(void **state)
{
    (void)state;
    uint32_t blocks[100];
    begin(RECORDS, 100);
    for (uint32_t i = 0; i < 100; i++) {
        blocks[i] = fby_tlsf_take(&tlsf, 1, 0);
        assert_int_not_equal(blocks[i], FBY_TLSF_NONE);
    }
    assert_int_equal(fby_tlsf_take(&tlsf, 1, 0), FBY_TLSF_NONE);
    assert_int_equal(fby_tlsf_largest(&tlsf), 0);
    for (uint32_t i = 0; i < 100; i++) /* odd ones first: every merge on both sides */
        fby_tlsf_give(&tlsf, blocks[(2 * i + 1) % 101 % 100]);
    assert_true(fby_tlsf_is_sound(&tlsf));
    assert_int_equal(fby_tlsf_largest(&tlsf), 100);
}

/* Of sizes between two classes the class above is empty: plain TLSF would say no. */
static void a_block_of_exactly_the_whole_range_is_found(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 31, 32, 33, 1000, 1023, 65537, 1234567, UINT32_MAX - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        begin(16, sizes[i]);
        assert_int_equal(fby_tlsf_take(&tlsf, sizes[i] + 1, 0), FBY_TLSF_NONE);
        assert_int_equal(fby_tlsf_take(&tlsf, sizes[i], 0), 0);
        fby_tlsf_give(&tlsf, 0);
        assert_int_equal(fby_tlsf_take(&tlsf, sizes[i], 6), 0); /* granule 0 is aligned */
    }
}

static void an_aligned_block_begins_where_it_should(void **state)
{
    (void)state;
    begin(RECORDS, 1000);
    for (uint32_t shift = 0; shift <= 6; shift++) {
        assert_int_not_equal(fby_tlsf_take(&tlsf, 1, 0), FBY_TLSF_NONE); /* puts it out of step */
        uint32_t block = fby_tlsf_take(&tlsf, 3, shift);
        assert_int_not_equal(block, FBY_TLSF_NONE);
        assert_int_equal(records[block].first % (1u << shift), 0);
        assert_int_equal(records[block].count, 3);
    }
    assert_true(fby_tlsf_is_sound(&tlsf));
}

static void without_records_nothing_is_taken(void **state)
{
    (void)state;
    uint32_t taken = 0;
    begin(16, 1000);
    while (fby_tlsf_take(&tlsf, 1, 0) < FBY_TLSF_CROWDED)
        taken++;
    assert_int_equal(taken, 15); /* and what is left */
    assert_int_equal(fby_tlsf_take(&tlsf, 1, 0), FBY_TLSF_CROWDED);
    assert_int_equal(fby_tlsf_take(&tlsf, 1001, 0), FBY_TLSF_NONE);
    assert_int_not_equal(fby_tlsf_take(&tlsf, 985, 0),
                         FBY_TLSF_CROWDED); /* nothing is left of it */
    assert_true(fby_tlsf_is_sound(&tlsf));
}

static void a_block_slides_over_the_hole_before_it(void **state)
{
    (void)state;
    uint32_t to;
    begin(RECORDS, 100);
    uint32_t first = fby_tlsf_take(&tlsf, 10, 0), block = fby_tlsf_take(&tlsf, 20, 2);
    assert_int_equal(records[block].first, 12);
    assert_false(fby_tlsf_hold(&tlsf, first, &to));
    assert_false(fby_tlsf_hold(&tlsf, block, &to)); /* two granules are no gain: it is aligned */
    fby_tlsf_give(&tlsf, first);
    assert_true(fby_tlsf_hold(&tlsf, block, &to));
    assert_int_equal(to, 0);
    assert_int_equal(fby_tlsf_largest(&tlsf), 100 - 32); /* what is held is not free */
    fby_tlsf_settle(&tlsf, block);
    assert_int_equal(records[block].first, 0);
    assert_int_equal(fby_tlsf_largest(&tlsf), 80);
    assert_true(fby_tlsf_is_sound(&tlsf));
}

static void the_largest_of_many_is_at_most_a_32nd_more(void **state)
{
    (void)state;
    enum { HOLES = RECORDS / 2 - 1 };
    static uint32_t holes[HOLES];
    uint32_t largest = 0;
    begin(RECORDS, HOLES * 1056);
    for (uint32_t i = 0; i < HOLES; i++) {
        uint32_t size = 1024 + i % 31; /* one class */
        holes[i] = fby_tlsf_take(&tlsf, size, 0);
        assert_int_not_equal(holes[i], FBY_TLSF_NONE);
        largest = size > largest ? size : largest;
        assert_int_not_equal(fby_tlsf_take(&tlsf, 1, 0), FBY_TLSF_NONE); /* keeps them apart */
    }
    uint32_t rest = fby_tlsf_largest(&tlsf);
    if (rest > 0)
        (void)fby_tlsf_take(&tlsf, rest, 0);
    for (uint32_t i = 0; i < HOLES; i++)
        fby_tlsf_give(&tlsf, holes[i]);
    assert_in_range(fby_tlsf_largest(&tlsf), largest - largest / 32, largest);
}

/* A map of granules says who has which. */
enum { RANGE = 3000, STEPS = 60000 };
static uint32_t owner[RANGE];

static void mark(uint32_t block, uint32_t is, uint32_t becomes)
{
    for (uint32_t i = 0; i < records[block].count; i++) {
        assert_int_equal(owner[records[block].first + i], is);
        owner[records[block].first + i] = becomes;
    }
}

static uint32_t longest_free_run(void)
{
    uint32_t run = 0, longest = 0;
    for (uint32_t i = 0; i < RANGE; i++) {
        run = owner[i] == 0 ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

static void take_random(fby_rng *rng, uint32_t *live, uint32_t *count)
{
    uint32_t size = 1 + (uint32_t)fby_rng_below(rng, fby_rng_below(rng, 8) == 0 ? 900 : 40);
    uint32_t shift = fby_rng_below(rng, 4) == 0 ? (uint32_t)fby_rng_below(rng, 7) : 0;
    uint32_t block = fby_tlsf_take(&tlsf, size, shift);
    if (block >= FBY_TLSF_CROWDED)
        return;
    assert_int_equal(records[block].count, size);
    assert_int_equal(records[block].first % (1u << shift), 0);
    mark(block, 0, block + 1);
    live[(*count)++] = block;
}

static void slide_random(fby_rng *rng, const uint32_t *live, uint32_t count)
{
    uint32_t block = live[fby_rng_below(rng, count)], to;
    uint32_t before = records[block].first;
    if (!fby_tlsf_hold(&tlsf, block, &to))
        return;
    assert_true(to < before);
    mark(block, block + 1, 0);
    fby_tlsf_settle(&tlsf, block);
    mark(block, 0, block + 1);
    assert_int_equal(records[block].first, to);
}

static void matches_its_model(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    static uint32_t live[RECORDS];
    uint32_t count = 0;

    begin(RECORDS, RANGE);
    memset(owner, 0, sizeof owner);
    for (int step = 0; step < STEPS; step++) {
        uint64_t what = fby_rng_below(&rng, 16);
        if (what < 8) {
            take_random(&rng, live, &count);
        } else if (count > 0 && what < 15) {
            uint32_t at = (uint32_t)fby_rng_below(&rng, count), block = live[at];
            mark(block, block + 1, 0);
            fby_tlsf_give(&tlsf, block);
            live[at] = live[--count];
        } else if (count > 0) {
            slide_random(&rng, live, count);
        }
        if (step % 64 == 0) {
            assert_true(fby_tlsf_is_sound(&tlsf));
            assert_int_equal(fby_tlsf_largest(&tlsf), longest_free_run());
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_out_everything_and_gets_it_back_as_one),
        cmocka_unit_test(a_block_of_exactly_the_whole_range_is_found),
        cmocka_unit_test(an_aligned_block_begins_where_it_should),
        cmocka_unit_test(without_records_nothing_is_taken),
        cmocka_unit_test(a_block_slides_over_the_hole_before_it),
        cmocka_unit_test(the_largest_of_many_is_at_most_a_32nd_more),
        cmocka_unit_test(matches_its_model),
    };
    return cmocka_run_group_tests_name("tlsf", tests, NULL, NULL);
}
