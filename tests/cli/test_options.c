/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"
#include "test.h"

struct fields {
    const char *model;
    uint64_t threads, bytes, profile;
    double seconds;
    int format, normalize;
    bool strict, quiet;
    fby_cli_list origins, logs;
};

#define AT(field) .offset = offsetof(struct fields, field)
static const fby_cli_option options[] = {
    {.kind = FBY_CLI_TEXT,
     .letter = 'm',
     .name = "model",
     .argument = "DIR",
     .help =
         "the model's directory, which may be a long story that has to be wrapped at some point",
     AT(model)},
    {.kind = FBY_CLI_UINT,
     .name = "threads",
     .argument = "N",
     .help = "at work",
     AT(threads),
     .min = 1,
     .max = 64},
    {.kind = FBY_CLI_SIZE, .name = "bytes", .argument = "SIZE", .help = "room", AT(bytes)},
    {.kind = FBY_CLI_UINT_OR,
     .name = "profile",
     .argument = "N",
     .help = "a loop",
     AT(profile),
     .value = 100},
    {.kind = FBY_CLI_REAL,
     .name = "seconds",
     .argument = "S",
     .help = "time",
     AT(seconds),
     .max = 60},
    {.kind = FBY_CLI_CHOICE,
     .name = "format",
     .argument = "F",
     .help = "of the output",
     AT(format),
     .choices = "npy|jsonl|csv"},
    {.kind = FBY_CLI_SET, .name = "normalize", .help = "yes", AT(normalize), .value = 1},
    {.kind = FBY_CLI_SET, .name = "no-normalize", .help = "no", AT(normalize), .value = 2},
    {.kind = FBY_CLI_FLAG, .letter = 's', .name = "strict", .help = "refuse", AT(strict)},
    {.kind = FBY_CLI_FLAG, .letter = 'q', .name = "quiet", .help = "say less", AT(quiet)},
    {.kind = FBY_CLI_LIST, .name = "origin", .argument = "O", .help = "several", AT(origins)},
    {.kind = FBY_CLI_LIST_OR, .name = "log", .argument = "BOOL", .help = "yes or no", AT(logs)},
    {.kind = FBY_CLI_END},
};
static const fby_cli_command command = {.name = "forebay try",
                                        .summary = "a command for the test",
                                        .operands = "[FILE...]",
                                        .options = options,
                                        .details = "Example:\n  forebay try\n"};

enum { MOST = FBY_CLI_LIST_MAX + 16 };
static struct fields fields;
static char *words[MOST];
static int operands, code;

/* Parses the words of `line`, which spaces part. */
static bool parse(const char *line)
{
    static char text[1024];
    int count = 0;

    snprintf(text, sizeof text, "try %s", line);
    for (char *word = strtok(text, " "); word != NULL && count < MOST; word = strtok(NULL, " "))
        words[count++] = word;
    fields = (struct fields){.threads = 7};
    operands = -1;
    return fby_cli_parse(&command, count, words, &fields, &operands, &code);
}

static void refuses(const char *line)
{
    assert_false(parse(line));
    assert_int_equal(code, FBY_EXIT_USAGE);
}

static void reads_each_kind(void **state)
{
    (void)state;
    assert_true(parse("-m dir --threads 3 --bytes 2M --seconds 1.5 --format csv --strict"));
    assert_string_equal(fields.model, "dir");
    assert_int_equal(fields.threads, 3);
    assert_int_equal(fields.bytes, 2 << 20);
    assert_true(fields.seconds == 1.5);
    assert_int_equal(fields.format, 2);
    assert_true(fields.strict && !fields.quiet);
}

static void takes_an_attached_argument(void **state)
{
    (void)state;
    assert_true(parse("-mdir --threads=3 --format=jsonl -sq"));
    assert_string_equal(fields.model, "dir");
    assert_int_equal(fields.threads, 3);
    assert_int_equal(fields.format, 1);
    assert_true(fields.strict && fields.quiet);
}

static void leaves_a_default_that_was_not_named(void **state)
{
    (void)state;
    assert_true(parse(""));
    assert_int_equal(fields.threads, 7);
    assert_null(fields.model);
}

static void the_last_of_two_settings_holds(void **state)
{
    (void)state;
    assert_true(parse("--normalize --no-normalize"));
    assert_int_equal(fields.normalize, 2);
    assert_true(parse("--no-normalize --normalize"));
    assert_int_equal(fields.normalize, 1);
}

static void gathers_operands_in_order_wherever_they_stand(void **state)
{
    (void)state;
    assert_true(parse("one --threads 2 - -s -- --two"));
    assert_int_equal(operands, 3);
    assert_string_equal(words[1], "one");
    assert_string_equal(words[2], "-");
    assert_string_equal(words[3], "--two");
}

static void a_list_gathers_what_each_option_says(void **state)
{
    char line[FBY_CLI_LIST_MAX * 12 + 32] = "";
    (void)state;

    assert_true(parse("--origin a --origin=b --log file --log=no"));
    assert_int_equal(fields.origins.count, 2);
    assert_string_equal(fields.origins.items[1], "b");
    assert_int_equal(fields.logs.count, 2);
    assert_string_equal(fields.logs.items[0], "yes");
    assert_string_equal(fields.logs.items[1], "no");
    assert_int_equal(operands, 1); /* a word that is not attached is none of it */
    refuses("--origin");
    for (int i = 0; i <= FBY_CLI_LIST_MAX; i++)
        strcat(line, "--origin=a ");
    refuses(line);
}

static void an_argument_may_be_left_out_where_the_kind_allows_it(void **state)
{
    (void)state;
    assert_true(parse("--profile --strict"));
    assert_int_equal(fields.profile, 100);
    assert_true(fields.strict);
    assert_true(parse("--profile 12 --strict"));
    assert_int_equal(fields.profile, 12);
    assert_true(parse("--profile=13"));
    assert_int_equal(fields.profile, 13);
    assert_true(parse("--profile file"));
    assert_int_equal(fields.profile, 100);
    assert_int_equal(operands, 1);
}

static void refuses_what_is_not_in_the_table(void **state)
{
    (void)state;
    refuses("--modle dir");
    refuses("-x");
    refuses("-sx");
    refuses("---");
    refuses("--=3");
}

static void refuses_a_value_that_is_no_number_or_out_of_range(void **state)
{
    (void)state;
    refuses("--threads 0");
    refuses("--threads 65");
    refuses("--threads -1");
    refuses("--threads 3x");
    refuses("--threads=");
    refuses("--threads 99999999999999999999");
    refuses("--bytes 17179869184G");
    refuses("--bytes 1T");
    refuses("--seconds nan");
    refuses("--seconds 61");
    refuses("--seconds -1");
    refuses("--format xml");
    refuses("--format np");
}

static void refuses_a_missing_or_needless_argument(void **state)
{
    (void)state;
    refuses("--threads");
    refuses("-m");
    refuses("--model=");
    refuses("--strict=yes");
}

static void refuses_operands_of_a_command_that_takes_none(void **state)
{
    (void)state;
    fby_cli_command plain = command;
    plain.operands = NULL;
    char name[] = "try", file[] = "file";
    char *argv[] = {name, file};
    assert_false(fby_cli_parse(&plain, 2, argv, &fields, &operands, &code));
    assert_int_equal(code, FBY_EXIT_USAGE);
}

static void help_names_every_option_within_eighty_columns(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fby_cli_help(&command, out);
    fclose(out);

    for (const fby_cli_option *option = options; option->kind != FBY_CLI_END; option++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", option->name);
        assert_non_null(strstr(text, name));
    }
    assert_non_null(strstr(text, "Usage: forebay try [OPTION...] [FILE...]"));
    assert_non_null(strstr(text, "Example:\n  forebay try\n"));
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        assert_true(strlen(line) < 80);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_kind),
        cmocka_unit_test(takes_an_attached_argument),
        cmocka_unit_test(leaves_a_default_that_was_not_named),
        cmocka_unit_test(the_last_of_two_settings_holds),
        cmocka_unit_test(gathers_operands_in_order_wherever_they_stand),
        cmocka_unit_test(a_list_gathers_what_each_option_says),
        cmocka_unit_test(an_argument_may_be_left_out_where_the_kind_allows_it),
        cmocka_unit_test(refuses_what_is_not_in_the_table),
        cmocka_unit_test(refuses_a_value_that_is_no_number_or_out_of_range),
        cmocka_unit_test(refuses_a_missing_or_needless_argument),
        cmocka_unit_test(refuses_operands_of_a_command_that_takes_none),
        cmocka_unit_test(help_names_every_option_within_eighty_columns),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
