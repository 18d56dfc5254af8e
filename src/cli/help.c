/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <string.h>

enum { WIDTH = 79, COLUMN = 27 };

const char *fby_cli_word(const fby_cli_command *command)
{
    const char *space = strrchr(command->name, ' ');
    return space != NULL ? space + 1 : command->name;
}

/* Words of `text` from column `column` on, continued at `indent`. */
static void print_wrapped(FILE *out, const char *text, size_t column, size_t indent)
{
    bool first = true;

    while (*text != '\0') {
        size_t size = strcspn(text, " ");
        if (!first && column + 1 + size > WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)size, text);
        column += size + !first;
        first = false;
        text += size + strspn(text + size, " ");
    }
    fputc('\n', out);
}

static void print_entry(FILE *out, const char *term, const char *text, size_t column)
{
    size_t size = strlen(term);

    fputs(term, out);
    if (size + 2 > column) {
        fputc('\n', out);
        size = 0;
    }
    fprintf(out, "%*s", (int)(column - size), "");
    print_wrapped(out, text, column, column);
}

static void print_option(const fby_cli_option *option, FILE *out)
{
    char term[128], letter[8] = "    ";
    const char *argument = option->argument != NULL ? option->argument : "";

    if (option->letter != '\0')
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    if (option->kind == FBY_CLI_LIST_OR)
        snprintf(term, sizeof term, "  %s--%s[=%s]", letter, option->name, argument);
    else if (option->kind == FBY_CLI_UINT_OR)
        snprintf(term, sizeof term, "  %s--%s [%s]", letter, option->name, argument);
    else
        snprintf(term, sizeof term, "  %s--%s%s%s", letter, option->name,
                 argument[0] != '\0' ? " " : "", argument);
    print_entry(out, term, option->help, COLUMN);
}

static void print_children(const fby_cli_command *command, FILE *out)
{
    char term[64];

    fputs("\nCommands:\n", out);
    for (const fby_cli_command *const *child = command->children; *child != NULL; child++) {
        snprintf(term, sizeof term, "  %s", fby_cli_word(*child));
        print_entry(out, term, (*child)->summary, 13);
    }
}

void fby_cli_help(const fby_cli_command *command, FILE *out)
{
    fprintf(out, "%s: %s\n\nUsage: %s%s%s%s\n", command->name, command->summary, command->name,
            command->children != NULL ? " COMMAND" : " [OPTION...]",
            command->operands != NULL ? " " : "",
            command->operands != NULL ? command->operands : "");
    if (command->children != NULL)
        print_children(command, out);
    fputs("\nOptions:\n", out);
    for (const fby_cli_option *option = command->options; option->kind != FBY_CLI_END; option++)
        print_option(option, out);
    print_entry(out, "  -h, --help", "print this", COLUMN);
    if (command->details != NULL)
        fprintf(out, "\n%s", command->details);
}
