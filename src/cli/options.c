/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/digits.h"
#include "base/suggest.h"
#include "cli/say.h"

/* A walk over argv: where the next word is, where the operands gather. */
struct parse {
    const fby_cli_command *command;
    char **argv;
    int argc, next, operands;
    unsigned char *fields;
    bool help;
};

static bool takes_argument(const fby_cli_option *option)
{
    return option->kind != FBY_CLI_FLAG && option->kind != FBY_CLI_SET;
}

static const fby_cli_option *find_name(const fby_cli_command *command, const char *name,
                                       size_t size)
{
    for (const fby_cli_option *option = command->options; option->kind != FBY_CLI_END; option++)
        if (strlen(option->name) == size && memcmp(option->name, name, size) == 0)
            return option;
    return NULL;
}

static const fby_cli_option *find_letter(const fby_cli_command *command, char letter)
{
    for (const fby_cli_option *option = command->options; option->kind != FBY_CLI_END; option++)
        if (option->letter == letter)
            return option;
    return NULL;
}

static bool read_suffix(const char **text, uint64_t *x)
{
    static const char suffixes[] = "KMG";
    const char *found = **text != '\0' ? strchr(suffixes, **text) : NULL;

    if (found == NULL)
        return true;
    (*text)++;
    return !__builtin_mul_overflow(*x, (uint64_t)1 << (10 * (found - suffixes + 1)), x);
}

static bool bad_number(const fby_cli_option *option, const char *text)
{
    const char *what = option->kind == FBY_CLI_SIZE   ? "a size such as 64M"
                       : option->kind == FBY_CLI_REAL ? "a number"
                                                      : "a whole number";
    if (option->max != 0)
        fby_say("--%s %s: expected %s from %llu to %llu", option->name, text, what,
                (unsigned long long)option->min, (unsigned long long)option->max);
    else
        fby_say("--%s %s: expected %s of at least %llu", option->name, text, what,
                (unsigned long long)option->min);
    return false;
}

static bool store_uint(const fby_cli_option *option, const char *text, void *field)
{
    uint64_t x;
    const char *end;

    if (!fby_read_digits(text, &x, &end) ||
        (option->kind == FBY_CLI_SIZE && !read_suffix(&end, &x)) || *end != '\0' ||
        x < option->min || (option->max != 0 && x > option->max))
        return bad_number(option, text);
    memcpy(field, &x, sizeof x);
    return true;
}

static bool store_real(const fby_cli_option *option, const char *text, void *field)
{
    char *end;
    errno = 0;
    double x = strtod(text, &end);

    if (end == text || *end != '\0' || errno != 0 || !isfinite(x) || x < (double)option->min ||
        (option->max != 0 && x > (double)option->max))
        return bad_number(option, text);
    memcpy(field, &x, sizeof x);
    return true;
}

static bool store_choice(const fby_cli_option *option, const char *text, void *field)
{
    const char *choice = option->choices;
    size_t size = strlen(text);

    for (int i = 0;; i++) {
        size_t choice_size = strcspn(choice, "|");
        if (choice_size == size && memcmp(choice, text, size) == 0) {
            memcpy(field, &i, sizeof i);
            return true;
        }
        if (choice[choice_size] == '\0')
            break;
        choice += choice_size + 1;
    }
    fby_say("--%s %s: expected one of %s", option->name, text, option->choices);
    return false;
}

static bool store_text(const fby_cli_option *option, const char *text, void *field)
{
    if (text[0] == '\0') {
        fby_say("--%s: the argument is empty", option->name);
        return false;
    }
    memcpy(field, &text, sizeof text);
    return true;
}

static bool store_item(const fby_cli_option *option, const char *text, void *field)
{
    fby_cli_list *list = field;
    if (list->count == FBY_CLI_LIST_MAX) {
        fby_say("--%s: at most %d times", option->name, FBY_CLI_LIST_MAX);
        return false;
    }
    list->items[list->count++] = text;
    return true;
}

static bool store(const struct parse *parse, const fby_cli_option *option, const char *text)
{
    void *field = parse->fields + option->offset;
    const bool yes = true;

    switch (option->kind) {
    case FBY_CLI_FLAG:
        memcpy(field, &yes, sizeof yes);
        return true;
    case FBY_CLI_SET:
        memcpy(field, &option->value, sizeof option->value);
        return true;
    case FBY_CLI_TEXT:
        return store_text(option, text, field);
    case FBY_CLI_CHOICE:
        return store_choice(option, text, field);
    case FBY_CLI_REAL:
        return store_real(option, text, field);
    case FBY_CLI_UINT_OR:
        if (text == NULL) {
            uint64_t x = (uint64_t)option->value;
            memcpy(field, &x, sizeof x);
            return true;
        }
        return store_uint(option, text, field);
    case FBY_CLI_UINT:
    case FBY_CLI_SIZE:
        return store_uint(option, text, field);
    case FBY_CLI_LIST:
        return store_item(option, text, field);
    case FBY_CLI_LIST_OR:
        return store_item(option, text != NULL ? text : "yes", field);
    case FBY_CLI_END:
        break;
    }
    return false;
}

/* With an option that wants one and has none attached, the next word is the argument. */
static bool store_with_argument(struct parse *parse, const fby_cli_option *option,
                                const char *attached)
{
    if (attached != NULL && !takes_argument(option)) {
        fby_say("--%s takes no argument", option->name);
        return false;
    }
    if (attached == NULL && takes_argument(option) && parse->next < parse->argc) {
        const char *word = parse->argv[parse->next];
        bool digit = word[0] >= '0' && word[0] <= '9';
        if (!fby_cli_may_lack_argument(option) || (option->kind == FBY_CLI_UINT_OR && digit)) {
            attached = word;
            parse->next++;
        }
    }
    if (attached == NULL && takes_argument(option) && !fby_cli_may_lack_argument(option)) {
        fby_say("--%s wants %s", option->name, option->argument);
        return false;
    }
    return store(parse, option, attached);
}

static bool unknown_option(const fby_cli_command *command, const char *word, const char *name)
{
    for (const fby_cli_option *option = command->options; option->kind != FBY_CLI_END; option++)
        if (name != NULL && fby_is_near(name, option->name)) {
            fby_say("unknown option %s; did you mean --%s? --help lists them", word, option->name);
            return false;
        }
    fby_say("unknown option %s; --help lists them", word);
    return false;
}

static bool parse_long(struct parse *parse, const char *word)
{
    const char *name = word + 2;
    size_t size = strcspn(name, "=");
    const fby_cli_option *option = find_name(parse->command, name, size);

    if (option != NULL)
        return store_with_argument(parse, option, name[size] == '=' ? name + size + 1 : NULL);
    if (strcmp(name, "help") == 0) {
        parse->help = true;
        return true;
    }
    char typed[64];
    snprintf(typed, sizeof typed, "%.*s", (int)(size < sizeof typed ? size : sizeof typed - 1),
             name);
    return unknown_option(parse->command, word, typed);
}

static bool parse_letters(struct parse *parse, const char *word)
{
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        const fby_cli_option *option = find_letter(parse->command, *letter);
        if (option == NULL && *letter == 'h') {
            parse->help = true;
            continue;
        }
        if (option == NULL)
            return unknown_option(parse->command, word, NULL);
        if (takes_argument(option))
            return store_with_argument(parse, option, letter[1] != '\0' ? letter + 1 : NULL);
        if (!store(parse, option, NULL))
            return false;
    }
    return true;
}

static bool parse_words(struct parse *parse)
{
    bool options_end = false;

    while (parse->next < parse->argc && !parse->help) {
        char *word = parse->argv[parse->next++];
        if (options_end || word[0] != '-' || word[1] == '\0')
            parse->argv[1 + parse->operands++] = word;
        else if (strcmp(word, "--") == 0)
            options_end = true;
        else if (!(word[1] == '-' ? parse_long(parse, word) : parse_letters(parse, word)))
            return false;
    }
    return true;
}

int fby_cli_exit(fby_status status)
{
    switch (status) {
    case FBY_OK:
        return FBY_EXIT_OK;
    case FBY_EINVAL:
        return FBY_EXIT_USAGE;
    case FBY_ECANCELED:
        return FBY_EXIT_INTERRUPTED;
    default:
        return FBY_EXIT_FAILED;
    }
}

int fby_cli_printed(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return FBY_EXIT_OK;
    fby_say("standard output: %s", errno != 0 ? strerror(errno) : "an earlier write failed");
    return FBY_EXIT_FAILED;
}

bool fby_cli_parse(const fby_cli_command *command, int argc, char **argv, void *fields,
                   int *operands, int *exit_code)
{
    struct parse parse = {
        .command = command, .argv = argv, .argc = argc, .next = 1, .fields = fields};

    fby_say_as(command->name);
    *exit_code = FBY_EXIT_USAGE;
    if (!parse_words(&parse))
        return false;
    if (parse.help) {
        fby_cli_help(command, stdout);
        *exit_code = fby_cli_printed();
        return false;
    }
    if (parse.operands > 0 && command->operands == NULL) {
        fby_say("unexpected word %s; --help says what there is", argv[1]);
        return false;
    }
    if (operands != NULL)
        *operands = parse.operands;
    return true;
}

bool fby_cli_parse_exactly(const fby_cli_command *command, int argc, char **argv, void *fields,
                           int count, const char *wanted, int *exit_code)
{
    int operands;
    if (!fby_cli_parse(command, argc, argv, fields, &operands, exit_code))
        return false;
    if (operands == count)
        return true;
    fby_say("%s", wanted);
    *exit_code = FBY_EXIT_USAGE;
    return false;
}

int fby_cli_end(fby_status status)
{
    if (status == FBY_OK)
        return fby_cli_printed();
    fby_say("%s", fby_last_error());
    return fby_cli_exit(status);
}

static int unknown_command(const fby_cli_command *command, const char *word)
{
    for (const fby_cli_command *const *child = command->children; *child != NULL; child++)
        if (fby_is_near(word, fby_cli_word(*child))) {
            fby_say("unknown command %s; did you mean %s?", word, fby_cli_word(*child));
            return FBY_EXIT_USAGE;
        }
    fby_say("unknown command %s; --help lists them", word);
    return FBY_EXIT_USAGE;
}

int fby_cli_dispatch(const fby_cli_command *command, int argc, char **argv)
{
    fby_say_as(command->name);
    if (argc < 2) {
        fby_cli_help(command, stderr);
        return FBY_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        fby_cli_help(command, stdout);
        return fby_cli_printed();
    }
    if (word[0] == '-') {
        unknown_option(command, word, NULL);
        return FBY_EXIT_USAGE;
    }
    for (const fby_cli_command *const *child = command->children; *child != NULL; child++)
        if (strcmp(word, fby_cli_word(*child)) == 0)
            return (*child)->run(*child, argc - 1, argv + 1);
    return unknown_command(command, word);
}
