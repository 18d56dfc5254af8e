/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/completion.h"
#include "cli/manual.h"
#include "test.h"

static const fby_cli_option leaf_options[] = {
    {.kind = FBY_CLI_TEXT, .letter = 'm', .name = "model", .argument = "DIR", .help = "it's there"},
    {.kind = FBY_CLI_CHOICE,
     .name = "format",
     .argument = "F",
     .help = "of the [output]",
     .choices = "npy|csv"},
    {.kind = FBY_CLI_UINT_OR, .name = "profile", .argument = "N", .help = ".dotted"},
    {.kind = FBY_CLI_END},
};
static const fby_cli_option no_options[] = {{.kind = FBY_CLI_END}};
static const fby_cli_command leaf = {.name = "forebay try leaf",
                                     .summary = "a leaf",
                                     .operands = "[FILE...]",
                                     .options = leaf_options,
                                     .details = "Filled.\n\nExamples:\n  a \\ b\n\n  .c\n"};
static const fby_cli_command *const middle_children[] = {&leaf, NULL};
static const fby_cli_command middle = {.name = "forebay try",
                                       .summary = "a middle",
                                       .options = no_options,
                                       .children = middle_children};
static const fby_cli_command *const root_children[] = {&middle, NULL};
static const fby_cli_command root = {
    .name = "forebay", .summary = "all", .options = no_options, .children = root_children};

/* What was written; to be freed. */
struct written {
    char *text;
    size_t size;
    FILE *out;
};

static FILE *begin(struct written *written)
{
    written->out = open_memstream(&written->text, &written->size);
    assert_non_null(written->out);
    return written->out;
}

static const char *end(struct written *written)
{
    assert_int_equal(fclose(written->out), 0);
    return written->text;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void lists_a_page_for_every_command(void **state)
{
    struct written written;
    (void)state;

    fby_manual_list(&root, begin(&written));
    assert_string_equal(end(&written), "forebay\nforebay-try\nforebay-try-leaf\n");
    free(written.text);
}

static void writes_options_as_help_has_them(void **state)
{
    struct written written;
    (void)state;

    assert_true(fby_manual_print(&root, "forebay-try-leaf", begin(&written)));
    const char *text = end(&written);
    assert_has(text, ".TH FOREBAY-TRY-LEAF 1 ");
    assert_has(text, "\nforebay\\-try\\-leaf \\- a leaf\n");
    assert_has(text, ".TP\n\\fB\\-m\\fR, \\fB\\-\\-model\\fR \\fIDIR\\fR\nit's there\n");
    assert_has(text, "\\fB\\-\\-profile\\fR [\\fIN\\fR]\n");
    assert_has(text, "\\fBforebay\\-try\\fR(1)\n");
    free(written.text);
}

static void escapes_what_roff_would_obey(void **state)
{
    struct written written;
    (void)state;

    assert_true(fby_manual_print(&root, "forebay-try-leaf", begin(&written)));
    const char *text = end(&written);
    assert_has(text, "\n\\&.dotted\n");
    assert_has(text,
               ".SH NOTES\nFilled.\n.SH EXAMPLES\n.PP\n.nf\n.RS 4\na \\e b\n\n\\&.c\n.RE\n.fi\n");
    free(written.text);
}

static void knows_no_other_page(void **state)
{
    struct written written;
    (void)state;

    assert_false(fby_manual_print(&root, "forebay-leaf", begin(&written)));
    assert_string_equal(end(&written), "");
    free(written.text);
}

static void completes_for_three_shells_and_no_other(void **state)
{
    static const struct {
        const char *shell, *part;
    } cases[] = {
        {"bash", "    'forebay try leaf --format') __forebay_reply -W 'npy csv'; return ;;\n"},
        {"bash", "    'forebay try leaf --model' | 'forebay try leaf -m') __forebay_reply -d;"},
        {"bash", "        options='--help --model --format --profile'\n        files=1 ;;\n"},
        {"zsh", "        '(-m --model)'{-m+,--model=}'[it'\\''s there]:DIR:_files -/' \\\n"},
        {"zsh", "        --format='[of the \\[output\\]]:F:(npy csv)' \\\n"},
        {"zsh", "    leaf) _forebay-try-leaf ;;\n"},
        {"fish", "__forebay_at 'forebay try leaf'\" -l format -x -a 'npy csv' -d"},
        {"fish", " -s m -l model -x -a '(__fish_complete_directories)' -d 'it\\'s there'\n"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct written written;
        assert_true(fby_completion_print(&root, cases[i].shell, begin(&written)));
        assert_has(end(&written), cases[i].part);
        free(written.text);
    }
    assert_false(fby_completion_print(&root, "tcsh", stdout));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_a_page_for_every_command),
        cmocka_unit_test(writes_options_as_help_has_them),
        cmocka_unit_test(escapes_what_roff_would_obey),
        cmocka_unit_test(knows_no_other_page),
        cmocka_unit_test(completes_for_three_shells_and_no_other),
    };
    return cmocka_run_group_tests_name("manual", tests, NULL, NULL);
}
