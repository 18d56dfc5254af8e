/* SPDX-License-Identifier: Apache-2.0 */
/* What encoding takes: no allocation, little stack, no byte beyond what it was given. Linked with
 * malloc, calloc and realloc wrapped. */
#include <pthread.h>

#include "tokenizer_test.h"

enum { STACK = 128 << 10, TEXT = 1 << 20 };

static size_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return __real_realloc(memory, size);
}

static fby_tokenizer *tokenizer;

static const char *const patterns[] = {
    "The quick brown fox. ",
    "x",
    "\U0001D165\u302E",
    "\u0301",
    "\xff\xe2\x82",
    "[MASK]",
    "é中",
    " \t\n",
    "[MAS",
    "İstanbul한국",
};
enum { PATTERNS = sizeof patterns / sizeof *patterns };

/* TEXT bytes of a pattern, without room behind them, so that a sanitizer sees a byte read too far.
 */
static char *repeated(const char *pattern)
{
    size_t size = strlen(pattern);
    char *text = malloc(TEXT);
    assert_non_null(text);
    for (size_t i = 0; i < TEXT; i++)
        text[i] = pattern[i % size];
    return text;
}

static void *encode_all(void *context)
{
    char *const *texts = context;
    static uint32_t ids[256];
    for (int i = 0; i < PATTERNS; i++) {
        for (int left = 0; left < 2; left++) {
            fby_encode_options options = {.limit = 256, .left = left, .full_count = true};
            test_encode(tokenizer, texts[i], TEXT, &options, ids, 256);
        }
    }
    return NULL;
}

static void encoding_allocates_nothing_and_needs_little_stack(void **state)
{
    (void)state;
    char *texts[PATTERNS];
    pthread_t thread;
    pthread_attr_t attributes;
    for (int i = 0; i < PATTERNS; i++)
        texts[i] = repeated(patterns[i]);
    tokenizer = test_tokenizer();
    assert_true(allocations > 0);
    size_t before = allocations;

    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attributes, encode_all, texts), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(allocations, before);

    pthread_attr_destroy(&attributes);
    fby_tokenizer_close(tokenizer);
    for (int i = 0; i < PATTERNS; i++)
        free(texts[i]);
}

/* Encodes into memory of `capacity` ids between guards. */
static fby_encoding guarded(const char *text, const fby_encode_options *options, uint32_t *ids,
                            size_t capacity)
{
    uint32_t memory[66];
    assert_true(capacity + 2 <= 66);
    memory[0] = memory[capacity + 1] = 0xDEADBEEF;
    fby_encoding encoding =
        test_encode(tokenizer, text, strlen(text), options, memory + 1, capacity);
    assert_int_equal(memory[0], 0xDEADBEEF);
    assert_int_equal(memory[capacity + 1], 0xDEADBEEF);
    memcpy(ids, memory + 1, capacity * sizeof *ids);
    return encoding;
}

static void without_a_limit_the_first_ids_that_fit_are_written_and_all_are_counted(void **state)
{
    (void)state;
    tokenizer = test_tokenizer();
    const char *text = "one two three four";
    uint32_t all[6], some[6];
    fby_encoding encoding = guarded(text, &(fby_encode_options){0}, all, 6);
    assert_int_equal(encoding.count, 6);
    for (size_t capacity = 0; capacity < 6; capacity++) {
        encoding = guarded(text, &(fby_encode_options){.left = true}, some, capacity);
        assert_int_equal(encoding.count, 6);
        assert_int_equal(encoding.full_count, 6);
        assert_false(encoding.truncated);
        assert_memory_equal(some, all, capacity * sizeof *all);
    }
    fby_tokenizer_close(tokenizer);
}

static void a_capacity_of_0_only_counts(void **state)
{
    (void)state;
    tokenizer = test_tokenizer();
    for (int left = 0; left < 2; left++) {
        fby_encode_options options = {.limit = 4, .left = left, .full_count = true};
        fby_encoding encoding = test_encode(tokenizer, "one two three", 13, &options, NULL, 0);
        assert_int_equal(encoding.count, 4);
        assert_int_equal(encoding.full_count, 5);
        assert_true(encoding.truncated);
        options.limit = 0;
        encoding = test_encode(tokenizer, "one two three", 13, &options, NULL, 0);
        assert_int_equal(encoding.count, 5);
    }
    fby_tokenizer_close(tokenizer);
}

static void a_limit_below_the_special_tokens_cuts_them_too(void **state)
{
    (void)state;
    tokenizer = test_tokenizer();
    uint32_t ids[2];
    for (int left = 0; left < 2; left++) {
        fby_encode_options options = {.limit = 1, .left = left};
        fby_encoding encoding = guarded("fox fox", &options, ids, 1);
        assert_int_equal(encoding.count, 1);
        assert_int_equal(ids[0], TEST_CLS);
        assert_true(encoding.truncated);
        assert_true(guarded("", &options, ids, 1).truncated);

        options.limit = 2;
        encoding = guarded("fox fox", &options, ids, 2);
        assert_int_equal(encoding.count, 2);
        assert_int_equal(ids[1], TEST_SEP);
        assert_true(encoding.truncated);
        assert_false(guarded("", &options, ids, 2).truncated);
    }
    fby_tokenizer_close(tokenizer);
}

static void reading_stops_soon_after_the_limit_unless_all_is_to_be_counted(void **state)
{
    (void)state;
    tokenizer = test_tokenizer();
    uint32_t ids[4];
    fby_encode_options options = {.limit = 4};
    fby_encoding encoding = guarded("fox fox fox fox fox fox \xff", &options, ids, 4);
    assert_true(encoding.truncated);
    assert_in_range(encoding.full_count, 5, 7);
    assert_int_equal(encoding.replaced, 0);
    options.full_count = true;
    encoding = guarded("fox fox fox fox fox fox \xff", &options, ids, 4);
    assert_int_equal(encoding.full_count, 8);
    assert_int_equal(encoding.replaced, 1);
    fby_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_allocates_nothing_and_needs_little_stack),
        cmocka_unit_test(without_a_limit_the_first_ids_that_fit_are_written_and_all_are_counted),
        cmocka_unit_test(a_capacity_of_0_only_counts),
        cmocka_unit_test(a_limit_below_the_special_tokens_cuts_them_too),
        cmocka_unit_test(reading_stops_soon_after_the_limit_unless_all_is_to_be_counted),
    };
    return cmocka_run_group_tests_name("tokenizer_bounds", tests, NULL, NULL);
}
