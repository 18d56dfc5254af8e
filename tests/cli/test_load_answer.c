/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load_answer.h"
#include "test.h"

/* Takes `text` in two parts, cut at `cut`. */
static fby_answer_state take(fby_load_answer *answer, const char *text, size_t cut, size_t *taken)
{
    size_t size = strlen(text), first = 0, second = 0;
    fby_load_answer_begin(answer);
    fby_answer_state state = fby_load_answer_take(answer, text, cut, &first);
    if (state == FBY_ANSWER_PART) {
        assert_int_equal(first, cut);
        state = fby_load_answer_take(answer, text + cut, size - cut, &second);
    }
    *taken = first + second;
    return state;
}

static const char pipelined[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdeHTTP/1.1 404 ";
static const char chunked[] = "HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n";

static void finds_the_end_wherever_the_bytes_are_cut(void **state)
{
    (void)state;
    fby_load_answer answer;
    size_t taken;

    for (size_t cut = 0; cut < strlen(pipelined); cut++) {
        assert_int_equal(take(&answer, pipelined, cut, &taken), FBY_ANSWER_WHOLE);
        assert_int_equal(taken, strstr(pipelined, "HTTP/1.1 404") - pipelined);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.body_size, 5);
    }
    for (size_t cut = 0; cut < strlen(chunked); cut++) {
        assert_int_equal(take(&answer, chunked, cut, &taken), FBY_ANSWER_WHOLE);
        assert_int_equal(taken, strlen(chunked));
        assert_int_equal(answer.body_size, 13);
        assert_false(answer.close);
    }
}

static void answers_without_a_body_end_with_their_header(void **state)
{
    (void)state;
    fby_load_answer answer;
    size_t taken;
    const char *empty = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
    const char *none = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

    assert_int_equal(take(&answer, empty, 0, &taken), FBY_ANSWER_WHOLE);
    assert_int_equal(answer.status, 429);
    assert_int_equal(take(&answer, none, 0, &taken), FBY_ANSWER_WHOLE);
    assert_true(answer.close);
}

static void what_is_said_before_the_answer_is_passed_over(void **state)
{
    (void)state;
    fby_load_answer answer;
    size_t taken;
    const char *text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    for (size_t cut = 0; cut < strlen(text); cut++) {
        assert_int_equal(take(&answer, text, cut, &taken), FBY_ANSWER_WHOLE);
        assert_int_equal(answer.status, 200);
    }
}

static void without_a_length_the_connection_ends_it(void **state)
{
    (void)state;
    fby_load_answer answer;
    size_t taken;
    assert_int_equal(take(&answer, "HTTP/1.0 200 OK\r\n\r\nabc", 7, &taken), FBY_ANSWER_PART);
    assert_true(fby_load_answer_ends(&answer));
    assert_true(answer.close);
    assert_int_equal(take(&answer, "HTTP/1.1 200 OK\r\nContent-", 7, &taken), FBY_ANSWER_PART);
    assert_false(fby_load_answer_ends(&answer));
}

static void what_is_not_http_is_broken(void **state)
{
    (void)state;
    fby_load_answer answer;
    size_t taken;
    assert_int_equal(take(&answer, "SSH-2.0-OpenSSH\r\n", 3, &taken), FBY_ANSWER_BROKEN);
    assert_int_equal(take(&answer, "HTTP/1.1 20\r\n\r\n", 3, &taken), FBY_ANSWER_BROKEN);
    assert_int_equal(
        take(&answer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 3, &taken),
        FBY_ANSWER_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_end_wherever_the_bytes_are_cut),
        cmocka_unit_test(answers_without_a_body_end_with_their_header),
        cmocka_unit_test(what_is_said_before_the_answer_is_passed_over),
        cmocka_unit_test(without_a_length_the_connection_ends_it),
        cmocka_unit_test(what_is_not_http_is_broken),
    };
    return cmocka_run_group_tests_name("load_answer", tests, NULL, NULL);
}
