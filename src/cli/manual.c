/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/manual.h"

#include <ctype.h>
#include <string.h>

enum { PAGE_NAME_SIZE = 64 };

/* "forebay bench embed" is on the page forebay-bench-embed. */
static const char *page_of(const fby_cli_command *command, char name[PAGE_NAME_SIZE])
{
    snprintf(name, PAGE_NAME_SIZE, "%s", command->name);
    for (char *at = name; *at != '\0'; at++)
        if (*at == ' ')
            *at = '-';
    return name;
}

/* Text that roff takes as it is: '-' stays a hyphen that can be copied, a line's first '.' or '\''
 * is no request. */
static void put_text(const char *text, size_t size, FILE *out)
{
    if (size > 0 && (text[0] == '.' || text[0] == '\''))
        fputs("\\&", out);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\')
            fputs("\\e", out);
        else if (text[i] == '-')
            fputs("\\-", out);
        else
            fputc(text[i], out);
    }
}

static void put_line(const char *text, FILE *out)
{
    put_text(text, strlen(text), out);
    fputc('\n', out);
}

static void put_heading(const char *text, size_t size, FILE *out)
{
    fputs(".SH ", out);
    for (size_t i = 0; i < size; i++)
        fputc(toupper((unsigned char)text[i]), out);
    fputc('\n', out);
}

static void put_synopsis(const fby_cli_command *command, FILE *out)
{
    fputs(".SH SYNOPSIS\n\\fB", out);
    put_text(command->name, strlen(command->name), out);
    fputs(command->children != NULL ? "\\fR \\fICOMMAND\\fR" : "\\fR [\\fIOPTION\\fR...]", out);
    if (command->operands != NULL) {
        fputc(' ', out);
        put_text(command->operands, strlen(command->operands), out);
    }
    fputc('\n', out);
}

static void put_children(const fby_cli_command *command, FILE *out)
{
    char page[PAGE_NAME_SIZE];

    fputs(".SH COMMANDS\n", out);
    for (const fby_cli_command *const *child = command->children; *child != NULL; child++) {
        fputs(".TP\n\\fB", out);
        page_of(*child, page);
        put_text(page, strlen(page), out);
        fputs("\\fR(1)\n", out);
        put_line((*child)->summary, out);
    }
}

static void put_option(const fby_cli_option *option, FILE *out)
{
    fputs(".TP\n", out);
    if (option->letter != '\0')
        fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", out);
    put_text(option->name, strlen(option->name), out);
    fputs("\\fR", out);
    if (option->argument != NULL) {
        bool may_lack = fby_cli_may_lack_argument(option);
        bool attached = option->kind == FBY_CLI_LIST_OR;
        fprintf(out, "%s%s\\fI%s\\fR%s", attached ? "" : " ",
                attached   ? "[="
                : may_lack ? "["
                           : "",
                option->argument, may_lack ? "]" : "");
    }
    fputc('\n', out);
    put_line(option->help, out);
}

static void put_options(const fby_cli_command *command, FILE *out)
{
    fputs(".SH OPTIONS\n", out);
    for (const fby_cli_option *option = command->options; option->kind != FBY_CLI_END; option++)
        put_option(option, out);
    fputs(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nprint what this page says\n", out);
}

/* Details as they are being written: within a block that stands as it is; after an empty line. */
struct details {
    FILE *out;
    bool literal, parted;
};

static bool is_heading(const char *line, size_t size)
{
    return size > 1 && line[size - 1] == ':' && memchr(line, ' ', size) == NULL;
}

static void set_literal(struct details *details, bool literal)
{
    if (literal != details->literal)
        fputs(literal ? ".PP\n.nf\n.RS 4\n" : ".RE\n.fi\n", details->out);
    else if (details->parted)
        fputs(literal ? "\n" : ".PP\n", details->out);
    details->literal = literal;
    details->parted = false;
}

/* "Examples:" is a heading, what is indented stands as it is, an empty line begins a paragraph, the
 * rest is filled. */
static void put_detail(struct details *details, const char *line, size_t size)
{
    size_t indent = size > 0 && line[0] == ' ' ? 1 : 0;
    if (indent == 1 && size > 1 && line[1] == ' ')
        indent = 2;

    if (size == 0) {
        details->parted = true;
        return;
    }
    bool heading = is_heading(line, size);
    details->parted = details->parted && !heading;
    set_literal(details, indent > 0);
    if (heading)
        put_heading(line, size - 1, details->out);
    else {
        put_text(line + indent, size - indent, details->out);
        fputc('\n', details->out);
    }
}

static void put_details(const char *text, FILE *out)
{
    struct details details = {.out = out};

    if (!is_heading(text, strcspn(text, "\n")))
        fputs(".SH NOTES\n", out);
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        put_detail(&details, text, size);
        text += size + (text[size] == '\n');
    }
    details.parted = false;
    set_literal(&details, false);
}

static void put_exit_status(FILE *out)
{
    fprintf(out,
            ".SH EXIT STATUS\n"
            ".TP\n%d\nall is done\n.TP\n%d\nsomething failed; standard error says what\n"
            ".TP\n%d\nthe command line is wrong; nothing was done\n.TP\n%d\ninterrupted\n",
            FBY_EXIT_OK, FBY_EXIT_FAILED, FBY_EXIT_USAGE, FBY_EXIT_INTERRUPTED);
}

static void put_page(const fby_cli_command *command, const fby_cli_command *parent, FILE *out)
{
    char page[PAGE_NAME_SIZE], above[PAGE_NAME_SIZE];

    page_of(command, page);
    fputs(".TH ", out);
    for (const char *at = page; *at != '\0'; at++)
        fputc(toupper((unsigned char)*at), out);
    fputs(" 1 \"\" \"forebay " FBY_VERSION "\" \"User Commands\"\n.SH NAME\n", out);
    put_text(page, strlen(page), out);
    fputs(" \\- ", out);
    put_line(command->summary, out);
    put_synopsis(command, out);
    if (command->children != NULL)
        put_children(command, out);
    put_options(command, out);
    if (command->details != NULL)
        put_details(command->details, out);
    put_exit_status(out);
    if (parent != NULL) {
        fputs(".SH SEE ALSO\n\\fB", out);
        page_of(parent, above);
        put_text(above, strlen(above), out);
        fputs("\\fR(1)\n", out);
    }
}

static bool print_below(const fby_cli_command *command, const fby_cli_command *parent,
                        const char *page, FILE *out)
{
    char name[PAGE_NAME_SIZE];

    if (strcmp(page_of(command, name), page) == 0) {
        put_page(command, parent, out);
        return true;
    }
    if (command->children == NULL)
        return false;
    for (const fby_cli_command *const *child = command->children; *child != NULL; child++)
        if (print_below(*child, command, page, out))
            return true;
    return false;
}

bool fby_manual_print(const fby_cli_command *root, const char *page, FILE *out)
{
    return print_below(root, NULL, page, out);
}

void fby_manual_list(const fby_cli_command *root, FILE *out)
{
    char name[PAGE_NAME_SIZE];

    fprintf(out, "%s\n", page_of(root, name));
    if (root->children == NULL)
        return;
    for (const fby_cli_command *const *child = root->children; *child != NULL; child++)
        fby_manual_list(*child, out);
}
