/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/keys.h"

#include "test.h"

static const uint64_t second_ns = 1000000000;

static char first[] = "first-secret-000", other[] = "other-secret-000",
            third[] = "third-secret-000";
static fby_config_key two[] = {
    {.secret = first, .tokens_per_minute = 600},
    {.secret = other, .requests_per_minute = 2},
};
static const fby_serve_config config = {.keys = two, .key_count = 2, .agents = 1};

static fby_keys *opened(const fby_serve_config *from, const fby_keys *before)
{
    fby_keys *keys = NULL;
    assert_int_equal(fby_keys_open(from, before, &keys), FBY_OK);
    return keys;
}

static void where_no_key_is_configured_everybody_may(void **state)
{
    (void)state;
    const fby_serve_config none = {.agents = 1};
    const fby_config_key *key = two;
    fby_keys *keys = opened(&none, NULL);
    assert_true(fby_keys_find(keys, NULL, &key));
    assert_null(key);
    assert_true(fby_keys_find(keys, "anything", &key));
    for (int i = 0; i < 100; i++)
        assert_true(fby_keys_take_tokens(keys, key, 1000000, 1));
    fby_keys_correct(keys, key, 1000000, 1);
    fby_keys_close(keys);
}

static void a_secret_finds_its_key(void **state)
{
    (void)state;
    const fby_config_key *key = NULL;
    fby_keys *keys = opened(&config, NULL);
    assert_true(fby_keys_find(keys, other, &key));
    assert_ptr_equal(key, &two[1]);
    assert_false(fby_keys_find(keys, "other-secret-00", &key));
    assert_false(fby_keys_find(keys, NULL, &key));
    fby_keys_close(keys);
}

static void a_bucket_holds_a_minute_and_fills_with_time(void **state)
{
    (void)state;
    fby_keys *keys = opened(&config, NULL);
    uint64_t now_ns = second_ns;
    assert_true(fby_keys_take_tokens(keys, &two[0], 600, now_ns));
    assert_false(fby_keys_take_tokens(keys, &two[0], 1, now_ns));
    assert_false(fby_keys_take_request(keys, &two[0], now_ns)); /* not even that */
    now_ns += 10 * second_ns;                                   /* a sixth of a minute */
    assert_false(fby_keys_take_tokens(keys, &two[0], 101, now_ns));
    assert_true(fby_keys_take_tokens(keys, &two[0], 99, now_ns));
    now_ns += 3600 * second_ns;
    assert_true(fby_keys_take_tokens(keys, &two[0], 1000000, now_ns)); /* full: passes, once */
    assert_false(fby_keys_take_tokens(keys, &two[0], 1, now_ns));
    fby_keys_close(keys);
}

static void requests_have_a_rate_of_their_own(void **state)
{
    (void)state;
    fby_keys *keys = opened(&config, NULL);
    assert_true(fby_keys_take_request(keys, &two[1], second_ns));
    assert_true(fby_keys_take_request(keys, &two[1], second_ns));
    assert_false(fby_keys_take_request(keys, &two[1], second_ns));
    fby_keys_close(keys);
}

static void what_a_request_did_not_have_is_given_back(void **state)
{
    (void)state;
    fby_keys *keys = opened(&config, NULL);
    assert_true(fby_keys_take_tokens(keys, &two[0], 500, second_ns));
    fby_keys_correct(keys, &two[0], 500, 100);
    assert_false(fby_keys_take_tokens(keys, &two[0], 501, second_ns));
    assert_true(fby_keys_take_tokens(keys, &two[0], 499, second_ns));
    fby_keys_correct(keys, &two[0], 100000, 0); /* never more than a minute's */
    assert_false(fby_keys_take_tokens(keys, &two[0], 601, second_ns) &&
                 fby_keys_take_tokens(keys, &two[0], 1, second_ns));
    fby_keys_close(keys);
}

static void a_new_configuration_fills_no_bucket(void **state)
{
    (void)state;
    fby_config_key next[] = {{.secret = other, .requests_per_minute = 2},
                             {.secret = first, .tokens_per_minute = 1200},
                             {.secret = third, .tokens_per_minute = 10}};
    const fby_serve_config later = {.keys = next, .key_count = 3, .agents = 1};
    fby_keys *before = opened(&config, NULL);
    assert_true(fby_keys_take_tokens(before, &two[0], 550, second_ns));
    assert_true(fby_keys_take_request(before, &two[1], second_ns));

    fby_keys *keys = opened(&later, before);
    fby_keys_close(before);
    assert_false(fby_keys_take_tokens(keys, &next[1], 51, second_ns));
    assert_true(fby_keys_take_tokens(keys, &next[1], 49, second_ns));
    assert_true(fby_keys_take_request(keys, &next[0], second_ns));
    assert_false(fby_keys_take_request(keys, &next[0], second_ns));
    assert_true(fby_keys_take_tokens(keys, &next[2], 10, second_ns));
    assert_true(
        fby_keys_take_tokens(keys, &two[0], 5000, second_ns)); /* found before: none of these */
    fby_keys_close(keys);
}

static void agents_share_a_rate(void **state)
{
    (void)state;
    fby_serve_config four = config;
    four.agents = 4;
    fby_keys *keys = opened(&four, NULL);
    assert_true(fby_keys_take_tokens(keys, &two[0], 150, second_ns));
    assert_false(fby_keys_take_tokens(keys, &two[0], 1, second_ns));
    assert_true(fby_keys_take_request(keys, &two[1], second_ns)); /* half a request: at least one */
    assert_false(fby_keys_take_request(keys, &two[1], second_ns));
    fby_keys_close(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_no_key_is_configured_everybody_may),
        cmocka_unit_test(a_secret_finds_its_key),
        cmocka_unit_test(a_bucket_holds_a_minute_and_fills_with_time),
        cmocka_unit_test(requests_have_a_rate_of_their_own),
        cmocka_unit_test(what_a_request_did_not_have_is_given_back),
        cmocka_unit_test(a_new_configuration_fills_no_bucket),
        cmocka_unit_test(agents_share_a_rate),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
