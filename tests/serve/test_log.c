/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "serve/log.h"
#include "test.h"

static int ends[2];
static char read_bytes[1 << 16];

static void open_pipe(fby_log_format format, fby_log_level level)
{
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    fby_log_open(ends[1], format, level);
}

/* What was logged since; the pipe ends. */
static const char *logged(void)
{
    size_t used = 0;
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], read_bytes + used, sizeof read_bytes - 1 - used)) > 0;)
        used += (size_t)got;
    close(ends[0]);
    read_bytes[used] = '\0';
    return read_bytes;
}

static void a_line_of_json_has_the_fields_in_order(void **state)
{
    (void)state;
    open_pipe(FBY_LOG_JSON, FBY_LOG_INFO);
    fby_log(FBY_LOG_WARN, "slow client", fby_log_text("address", "127.0.0.1"),
            fby_log_text("none", NULL), fby_log_uint("n", 18446744073709551615u),
            fby_log_ms("waited_ms", 1002003999));
    const char *line = logged();
    /* {"time":"2026-11-21T12:00:01.123Z" */
    assert_memory_equal(line, "{\"time\":\"20", 11);
    assert_true(line[19] == 'T' && line[28] == '.' && line[32] == 'Z');
    assert_string_equal(line + 33, "\",\"level\":\"warn\",\"message\":\"slow client\","
                                   "\"address\":\"127.0.0.1\",\"n\":18446744073709551615,"
                                   "\"waited_ms\":1002.003}\n");
}

static void a_line_of_text_is_for_people(void **state)
{
    (void)state;
    open_pipe(FBY_LOG_TEXT, FBY_LOG_INFO);
    fby_log(FBY_LOG_INFO, "listening", fby_log_text("host", "::1"), fby_log_uint("port", 8080));
    fby_log_say(FBY_LOG_ERROR, "stopped");
    const char *line = logged();
    const char *second = strchr(line, '\n') + 1;
    assert_memory_equal(line + 12, " info  listening  host=\"::1\" port=8080\n", 39);
    assert_string_equal(second + 12, " error stopped \n");
}

static void nothing_is_said_below_the_level(void **state)
{
    (void)state;
    open_pipe(FBY_LOG_TEXT, FBY_LOG_ERROR);
    assert_false(fby_log_on(FBY_LOG_WARN));
    fby_log_say(FBY_LOG_WARN, "not this");
    fby_log_say(FBY_LOG_INFO, "nor this");
    assert_string_equal(logged(), "");
}

static void no_text_breaks_the_line_or_drives_the_terminal(void **state)
{
    static const char bytes[] = "a\"b\\c\n\x1b[2J\xc2\x9b\xff\xc3\xa4\xed\xa0\x80\0z";
    (void)state;
    open_pipe(FBY_LOG_JSON, FBY_LOG_INFO);
    fby_log(FBY_LOG_INFO, "m", fby_log_bytes("x", bytes, sizeof bytes - 1));
    assert_non_null(strstr(logged(),
                           "\"x\":\"a\\\"b\\\\c\\u000a\\u001b[2J\\u009b\xef\xbf\xbd\xc3\xa4"
                           "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\u0000z\"}\n"));
}

static void a_line_that_is_too_long_is_cut_at_a_field(void **state)
{
    static char text[3000];
    (void)state;
    memset(text, 'x', sizeof text);
    for (int json = 0; json < 2; json++) {
        open_pipe(json ? FBY_LOG_JSON : FBY_LOG_TEXT, FBY_LOG_INFO);
        fby_log(FBY_LOG_INFO, "m", fby_log_bytes("a", text, sizeof text),
                fby_log_bytes("b", text, sizeof text), fby_log_uint("c", 1));
        const char *line = logged();
        assert_true(strlen(line) < 4096);
        assert_null(strstr(line, "b="));
        assert_null(strstr(line, "\"b\""));
        assert_string_equal(strrchr(line, 'x') + 1, json ? "\",\"cut\":1}\n" : "\" ...\n");
    }
}

static void every_length_ends_as_a_line(void **state)
{
    static char text[4096];
    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t size = 3800; size < sizeof text; size++) {
        open_pipe(FBY_LOG_JSON, FBY_LOG_INFO);
        fby_log(FBY_LOG_INFO, "m", fby_log_uint("a", 1), fby_log_bytes("b", text, size));
        const char *line = logged();
        size_t length = strlen(line);
        assert_true(length <= 4096);
        assert_string_equal(line + length - 2, "}\n");
    }
}

static void what_cannot_be_written_is_counted(void **state)
{
    uint64_t before = fby_log_dropped();
    (void)state;
    fby_log_open(-1, FBY_LOG_TEXT, FBY_LOG_INFO);
    fby_log_say(FBY_LOG_INFO, "lost");
    assert_int_equal(fby_log_dropped(), before + 1);
}

static void a_reader_that_does_not_read_keeps_nobody_waiting(void **state)
{
    uint64_t before = fby_log_dropped();
    (void)state;
    assert_int_equal(pipe2(ends, 0), 0); /* a write to it would wait */
    fby_log_open(ends[1], FBY_LOG_TEXT, FBY_LOG_INFO);
    for (int i = 0; i < 5000; i++)
        fby_log(FBY_LOG_INFO, "unread", fby_log_uint("i", (uint64_t)i));
    assert_true(fby_log_dropped() > before);
    close(ends[0]);
    close(ends[1]);
}

static void what_repeats_is_said_once_in_a_while(void **state)
{
    static fby_log_limit limit;
    const uint64_t second = 1000000000;
    (void)state;
    open_pipe(FBY_LOG_TEXT, FBY_LOG_INFO);
    for (uint64_t now = 100 * second; now < 122 * second; now += second)
        fby_log_limited(&limit, now, FBY_LOG_WARN, "again", fby_log_uint("at", now / second));
    const char *line = logged();
    assert_non_null(strstr(line, "again  at=100\n"));
    assert_non_null(strstr(line, "again  not_said=9 at=110\n"));
    assert_non_null(strstr(line, "again  not_said=9 at=120\n"));
    assert_null(strstr(line, "at=121"));
}

static void a_request_is_a_line(void **state)
{
    (void)state;
    open_pipe(FBY_LOG_TEXT, FBY_LOG_INFO);
    fby_log_request_line(&(fby_log_request){.method = "POST",
                                            .path = "/v1/embeddings",
                                            .status = 200,
                                            .texts = 2,
                                            .tokens = 9,
                                            .total_ns = 1500000,
                                            .id = "r-1"});
    assert_string_equal(logged() + 12,
                        " info  request  method=\"POST\" path=\"/v1/embeddings\" status=200 "
                        "total_ms=1.500 queue_ms=0.000 compute_ms=0.000 texts=2 tokens=9 "
                        "received_bytes=0 sent_bytes=0 request_id=\"r-1\"\n");
}

enum { THREADS = 4, LINES = 100 };

static void *log_some(void *context)
{
    for (int i = 0; i < LINES; i++)
        fby_log(FBY_LOG_INFO, "line", fby_log_uint("thread", *(uint64_t *)context));
    return NULL;
}

static void lines_of_several_threads_do_not_mix(void **state)
{
    pthread_t threads[THREADS];
    uint64_t names[THREADS];
    unsigned lines = 0;
    (void)state;

    open_pipe(FBY_LOG_JSON, FBY_LOG_INFO);
    for (int i = 0; i < THREADS; i++) {
        names[i] = (uint64_t)i;
        assert_int_equal(pthread_create(&threads[i], NULL, log_some, &names[i]), 0);
    }
    const size_t line_size = strlen("{\"time\":\"2026-11-21T12:00:01.123Z\",\"level\":\"info\","
                                    "\"message\":\"line\",\"thread\":0}\n");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    const char *text = logged();
    for (const char *line = text; *line != '\0'; line += line_size) {
        assert_memory_equal(line, "{\"time\":\"", 9);
        assert_memory_equal(line + line_size - 2, "}\n", 2);
        lines++;
    }
    assert_int_equal(lines, THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_json_has_the_fields_in_order),
        cmocka_unit_test(a_line_of_text_is_for_people),
        cmocka_unit_test(nothing_is_said_below_the_level),
        cmocka_unit_test(no_text_breaks_the_line_or_drives_the_terminal),
        cmocka_unit_test(a_line_that_is_too_long_is_cut_at_a_field),
        cmocka_unit_test(every_length_ends_as_a_line),
        cmocka_unit_test(what_cannot_be_written_is_counted),
        cmocka_unit_test(a_reader_that_does_not_read_keeps_nobody_waiting),
        cmocka_unit_test(what_repeats_is_said_once_in_a_while),
        cmocka_unit_test(a_request_is_a_line),
        cmocka_unit_test(lines_of_several_threads_do_not_mix),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
