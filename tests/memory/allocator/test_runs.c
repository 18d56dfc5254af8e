/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/runs.h"
#include "test.h"

enum { PIECES = 3000 };

static fby_run nodes[PIECES + 1];
/* The plain model: what each piece is. */
static enum fby_run_state model[PIECES + 1];

static fby_run_set started(void)
{
    memset(nodes, 0, sizeof nodes);
    memset(model, 0, sizeof model);
    return (fby_run_set){.nodes = (char *)nodes, .stride = sizeof *nodes};
}

static void mark(uint32_t at, uint32_t length, enum fby_run_state as)
{
    for (uint32_t i = 0; i < length; i++)
        model[at + i] = as;
}

static uint32_t run_length(uint32_t at)
{
    uint32_t end = at;
    while (end <= PIECES && model[end] != FBY_RUN_USED)
        end++;
    return end - at;
}

/* The lowest of the shortest free runs of at least `length`; 0: none. */
static uint32_t model_best(uint32_t length)
{
    uint32_t best = 0, best_length = UINT32_MAX;
    for (uint32_t at = 1; at <= PIECES; at++) {
        uint32_t have = run_length(at);
        if (have == 0)
            continue;
        if (have >= length && have < best_length) {
            best = at;
            best_length = have;
        }
        at += have;
    }
    return best;
}

static void free_both(fby_run_set *set, uint32_t at, uint32_t length, enum fby_run_state as)
{
    mark(at, length, as);
    uint32_t merged = fby_runs_free(set, at, length, as, 1, PIECES + 1, 0);
    /* A merged run is dirty if any part of it was. */
    uint32_t whole = run_length(merged);
    assert_true(merged <= at && merged + whole >= at + length);
    for (uint32_t i = 0; i < whole; i++)
        if (model[merged + i] == FBY_RUN_DIRTY)
            as = FBY_RUN_DIRTY;
    mark(merged, whole, as);
    assert_int_equal(nodes[merged].state, as);
    assert_int_equal(nodes[merged].length, whole);
}

static void takes_the_shortest_run_that_fits_and_the_lowest_of_those(void **state)
{
    (void)state;
    fby_run_set set = started();
    enum fby_run_state what;
    free_both(&set, 10, 8, FBY_RUN_CLEAN);
    free_both(&set, 40, 5, FBY_RUN_CLEAN);
    free_both(&set, 30, 5, FBY_RUN_DIRTY);
    assert_int_equal(fby_runs_take(&set, 4, 1, &what), 30);
    assert_int_equal(what, FBY_RUN_DIRTY);
    assert_int_equal(fby_runs_take(&set, 5, 1, &what), 40);
    assert_int_equal(what, FBY_RUN_CLEAN);
    assert_int_equal(fby_runs_take(&set, 9, 1, &what), 0);
}

static void grows_only_into_what_is_free_behind(void **state)
{
    (void)state;
    fby_run_set set = started();
    free_both(&set, 20, 4, FBY_RUN_CLEAN);
    assert_false(fby_runs_take_at(&set, 19, 1));
    assert_false(fby_runs_take_at(&set, 20, 5));
    assert_true(fby_runs_take_at(&set, 20, 3));
    assert_true(fby_runs_take_at(&set, 23, 1));
    assert_int_equal(set.free_pieces, 0);
}

static void takes_from_the_last_run_only_what_it_has(void **state)
{
    (void)state;
    fby_run_set set = started();
    enum fby_run_state what;
    free_both(&set, 20, 10, FBY_RUN_DIRTY);
    assert_false(fby_runs_take_last(&set, 30, 19, 5, &what));
    assert_false(fby_runs_take_last(&set, 30, 26, 5, &what));
    assert_false(fby_runs_take_last(&set, 20, 16, 4, &what));
    assert_true(fby_runs_take_last(&set, 30, 24, 4, &what));
    assert_int_equal(what, FBY_RUN_DIRTY);
    assert_int_equal(set.free_pieces, 6);
    assert_true(fby_runs_take_last(&set, 30, 28, 2, &what));
    assert_true(fby_runs_take_last(&set, 24, 20, 4, &what));
    assert_int_equal(set.dirty, 0);
}

static void the_oldest_dirty_run_is_the_first_to_be_purged(void **state)
{
    (void)state;
    fby_run_set set = started();
    uint32_t length = 0;
    fby_runs_free(&set, 50, 2, FBY_RUN_DIRTY, 1, PIECES + 1, 100);
    fby_runs_free(&set, 60, 3, FBY_RUN_DIRTY, 1, PIECES + 1, 200);
    fby_runs_free(&set, 70, 4, FBY_RUN_CLEAN, 1, PIECES + 1, 50);
    assert_int_equal(fby_runs_take_oldest(&set, 150, 100, &length), 0);
    assert_int_equal(fby_runs_take_oldest(&set, 200, 100, &length), 50);
    assert_int_equal(length, 2);
    assert_int_equal(fby_runs_take_oldest(&set, 300, 100, &length), 60);
    assert_int_equal(fby_runs_take_oldest(&set, 900, 100, &length), 0);
}

static void a_merged_run_is_as_old_as_its_longest_part(void **state)
{
    (void)state;
    fby_run_set set = started();
    uint32_t length = 0;
    fby_runs_free(&set, 300, 9, FBY_RUN_DIRTY, 1, PIECES + 1, 90);
    fby_runs_free(&set, 10, 50, FBY_RUN_DIRTY, 1, PIECES + 1, 100);
    fby_runs_free(&set, 400, 1, FBY_RUN_DIRTY, 1, PIECES + 1, 110);
    for (uint32_t now = 120; now < 600; now += 10) {
        assert_true(fby_runs_take_at(&set, 10, 20));
        fby_runs_free(&set, 10, 20, FBY_RUN_DIRTY, 1, PIECES + 1, now);
        assert_true(fby_runs_take_at(&set, 300, 5));
        fby_runs_free(&set, 300, 5, FBY_RUN_DIRTY, 1, PIECES + 1, now);
    }
    assert_int_equal(fby_runs_take_oldest(&set, 600, 500, &length), 10);
    assert_int_equal(length, 50);
    assert_int_equal(fby_runs_take_oldest(&set, 610, 500, &length), 400);
    assert_int_equal(fby_runs_take_oldest(&set, 1000, 500, &length), 0); /* freed at 590 */
    assert_int_equal(fby_runs_take_oldest(&set, 1090, 500, &length), 300);
    assert_int_equal(length, 9);
    /* One that lies between two: the place is found though its neighbour in the list goes too. */
    fby_runs_free(&set, 10, 5, FBY_RUN_DIRTY, 1, PIECES + 1, 2000);
    fby_runs_free(&set, 20, 6, FBY_RUN_DIRTY, 1, PIECES + 1, 2010);
    fby_runs_free(&set, 50, 1, FBY_RUN_DIRTY, 1, PIECES + 1, 2020);
    assert_int_equal(fby_runs_free(&set, 15, 5, FBY_RUN_CLEAN, 1, PIECES + 1, 2030), 10);
    assert_int_equal(fby_runs_take_oldest(&set, 2500, 490, &length), 10);
    assert_int_equal(length, 16);
    assert_int_equal(fby_runs_take_oldest(&set, 2520, 500, &length), 50);
    assert_int_equal(set.dirty, 0);
}

static void what_is_freed_while_the_purge_runs_is_not_old(void **state)
{
    (void)state;
    fby_run_set set = started();
    uint32_t length = 0;
    fby_runs_free(&set, 50, 2, FBY_RUN_DIRTY, 1, PIECES + 1, 5);
    assert_int_equal(fby_runs_take_oldest(&set, UINT32_MAX, 100, &length), 0);
    assert_int_equal(fby_runs_take_oldest(&set, 105, 100, &length), 50);
}

typedef struct held {
    uint32_t at, length;
} held;

static void take_both(fby_run_set *set, held *blocks, uint32_t *count, uint32_t length,
                      uint32_t align)
{
    enum fby_run_state what;
    uint32_t expected = model_best(length);
    uint32_t at = fby_runs_take(set, length, align, &what);
    if (align == 1)
        assert_int_equal(at, expected);
    if (at == 0)
        return;
    assert_int_equal(at % align, 0);
    assert_true(run_length(at) >= length);
    assert_int_equal(what, model[at]);
    mark(at, length, FBY_RUN_USED);
    blocks[(*count)++] = (held){at, length};
}

static void matches_its_model(void **state)
{
    (void)state;
    static held blocks[PIECES];
    fby_rng rng = fby_rng_from_env();
    fby_run_set set = started();
    uint32_t count = 0;
    free_both(&set, 1, PIECES, FBY_RUN_CLEAN);
    for (int step = 0; step < 20000; step++) {
        if (fby_rng_below(&rng, 100) < 52 && count < PIECES) {
            bool wide = fby_rng_below(&rng, 50) == 0;
            uint32_t length = 1 + (uint32_t)fby_rng_below(&rng, wide ? 900 : 40);
            uint32_t align = fby_rng_below(&rng, 4) == 0 ? 1u << fby_rng_below(&rng, 5) : 1;
            take_both(&set, blocks, &count, length, align);
        } else if (count > 0) {
            uint32_t i = (uint32_t)fby_rng_below(&rng, count);
            held chosen = blocks[i];
            blocks[i] = blocks[--count];
            free_both(&set, chosen.at, chosen.length,
                      fby_rng_bool(&rng) ? FBY_RUN_DIRTY : FBY_RUN_CLEAN);
        }
        uint64_t free_pieces = 0;
        for (uint32_t at = 1; at <= PIECES && step % 64 == 0; at++)
            free_pieces += model[at] != FBY_RUN_USED;
        if (step % 64 == 0)
            assert_int_equal(set.free_pieces, free_pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_shortest_run_that_fits_and_the_lowest_of_those),
        cmocka_unit_test(grows_only_into_what_is_free_behind),
        cmocka_unit_test(takes_from_the_last_run_only_what_it_has),
        cmocka_unit_test(the_oldest_dirty_run_is_the_first_to_be_purged),
        cmocka_unit_test(a_merged_run_is_as_old_as_its_longest_part),
        cmocka_unit_test(what_is_freed_while_the_purge_runs_is_not_old),
        cmocka_unit_test(matches_its_model),
    };
    return cmocka_run_group_tests_name("allocator runs", tests, NULL, NULL);
}
