/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/completion.h"

#include <string.h>

/* What may stand after an option. */
enum takes { NOTHING, WORDS, FILES, DIRECTORIES, ANYTHING };

static enum takes takes_of(const fby_cli_option *option)
{
    if (option->argument == NULL)
        return NOTHING;
    if (option->choices != NULL)
        return WORDS;
    if (strcmp(option->argument, "DIR") == 0)
        return DIRECTORIES;
    return strcmp(option->argument, "FILE") == 0 ? FILES : ANYTHING;
}

static bool takes_files(const fby_cli_command *command)
{
    return command->children == NULL && command->operands != NULL;
}

/* `text` with each `from` as `to`. */
static void put_with(const char *text, char from, const char *to, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == from)
            fputs(to, out);
        else
            fputc(*text, out);
    }
}

typedef void visit(const fby_cli_command *command, FILE *out);

static void each_command(const fby_cli_command *command, visit *call, FILE *out)
{
    call(command, out);
    if (command->children == NULL)
        return;
    for (const fby_cli_command *const *child = command->children; *child != NULL; child++)
        each_command(*child, call, out);
}

/* ---- bash: the case labels are "forebay bench embed" ---- */

static void bash_step(const fby_cli_command *command, FILE *out)
{
    if (strchr(command->name, ' ') != NULL)
        fprintf(out, "        '%s') at=\"$at ${COMP_WORDS[i]}\" ;;\n", command->name);
}

static void bash_option(const fby_cli_command *command, const fby_cli_option *option, FILE *out)
{
    enum takes takes = takes_of(option);

    if (takes == NOTHING)
        return;
    fprintf(out, "    '%s --%s'", command->name, option->name);
    if (option->letter != '\0')
        fprintf(out, " | '%s -%c'", command->name, option->letter);
    fputs(") ", out);
    if (takes == WORDS) {
        fputs("__forebay_reply -W '", out);
        put_with(option->choices, '|', " ", out);
        fputs("'; return ;;\n", out);
    } else if (takes == DIRECTORIES)
        fputs("__forebay_reply -d; return ;;\n", out);
    else
        fputs(takes == FILES ? "__forebay_reply -f; return ;;\n" : "return ;;\n", out);
}

static void bash_options(const fby_cli_command *command, FILE *out)
{
    for (const fby_cli_option *option = command->options; option->kind != FBY_CLI_END; option++)
        bash_option(command, option, out);
}

static void bash_words(const fby_cli_command *command, FILE *out)
{
    fprintf(out, "    '%s')\n        options='--help", command->name);
    for (const fby_cli_option *option = command->options; option->kind != FBY_CLI_END; option++)
        fprintf(out, " --%s", option->name);
    fputs("'\n", out);
    if (command->children != NULL) {
        fputs("        words='", out);
        for (const fby_cli_command *const *child = command->children; *child != NULL; child++)
            fprintf(out, "%s%s", child == command->children ? "" : " ", fby_cli_word(*child));
        fputs("'\n", out);
    }
    fprintf(out, "        files=%d ;;\n", takes_files(command));
}

static void print_bash(const fby_cli_command *root, FILE *out)
{
    fputs("# bash completion for forebay; made by `forebay --completion bash`\n\n"
          "__forebay_reply() {\n"
          "    [[ $1 == -[fd] ]] && compopt -o filenames 2>/dev/null\n"
          "    mapfile -t COMPREPLY < <(compgen \"$@\" -- \"$cur\")\n"
          "}\n\n"
          "_forebay() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local at=forebay options= words= files=0 i\n"
          "    COMPREPLY=()\n"
          "    if [[ $cur == '=' ]]; then cur=; elif [[ $prev == '=' ]]; then\n"
          "        prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case \"$at ${COMP_WORDS[i]}\" in\n",
          out);
    each_command(root, bash_step, out);
    fputs("        esac\n    done\n    case \"$at $prev\" in\n", out);
    each_command(root, bash_options, out);
    fputs("    esac\n    case $at in\n", out);
    each_command(root, bash_words, out);
    fputs("    esac\n"
          "    if [[ $cur == -* ]]; then __forebay_reply -W \"$options\"\n"
          "    elif [[ $words ]]; then __forebay_reply -W \"$words\"\n"
          "    elif ((files)); then __forebay_reply -f; fi\n"
          "}\n\n"
          "complete -F _forebay forebay\n",
          out);
}

/* ---- zsh: a function a command, "_forebay-bench-embed" ---- */

static void zsh_function(const fby_cli_command *command, FILE *out)
{
    fputc('_', out);
    put_with(command->name, ' ', "-", out);
}

/* In single quotes and brackets. */
static void zsh_help(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *text) != NULL)
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void zsh_option(const fby_cli_option *option, FILE *out)
{
    enum takes takes = takes_of(option);
    const char *attached = takes == NOTHING ? "" : option->kind == FBY_CLI_LIST_OR ? "=-" : "=";

    fputs("        ", out);
    if (option->letter != '\0' && option->kind == FBY_CLI_LIST)
        fprintf(out, "'*'{-%c+,--%s=}", option->letter, option->name);
    else if (option->letter != '\0')
        fprintf(out, "'(-%c --%s)'{-%c%s,--%s%s}", option->letter, option->name, option->letter,
                takes == NOTHING ? "" : "+", option->name, attached);
    else if (option->kind == FBY_CLI_LIST)
        fprintf(out, "'*'--%s%s", option->name, attached);
    else
        fprintf(out, "--%s%s", option->name, attached);
    fputs("'[", out);
    zsh_help(option->help, out);
    fputc(']', out);
    if (takes != NOTHING)
        fprintf(out, "%s%s:", fby_cli_may_lack_argument(option) ? "::" : ":", option->argument);
    if (takes == WORDS) {
        fputc('(', out);
        put_with(option->choices, '|', " ", out);
        fputc(')', out);
    } else if (takes == FILES || takes == DIRECTORIES)
        fputs(takes == FILES ? "_files" : "_files -/", out);
    fputs("' \\\n", out);
}

static void zsh_children(const fby_cli_command *command, FILE *out)
{
    fputs(" \\\n        '1: :((", out);
    for (const fby_cli_command *const *child = command->children; *child != NULL; child++) {
        fprintf(out, "%s%s\\:\"", child == command->children ? "" : " ", fby_cli_word(*child));
        zsh_help((*child)->summary, out);
        fputc('"', out);
    }
    fputs("))' '*:: :->below' && return\n    [[ $state == below ]] && case $words[1] in\n", out);
    for (const fby_cli_command *const *child = command->children; *child != NULL; child++) {
        fprintf(out, "    %s) ", fby_cli_word(*child));
        zsh_function(*child, out);
        fputs(" ;;\n", out);
    }
    fputs("    esac\n", out);
}

static void zsh_command(const fby_cli_command *command, FILE *out)
{
    fputc('\n', out);
    zsh_function(command, out);
    fputs("() {\n", out);
    if (command->children != NULL)
        fputs("    local context state state_descr line\n    typeset -A opt_args\n", out);
    fputs(command->children != NULL ? "    _arguments -C \\\n" : "    _arguments -s \\\n", out);
    for (const fby_cli_option *option = command->options; option->kind != FBY_CLI_END; option++)
        zsh_option(option, out);
    fputs("        '(-h --help)'{-h,--help}'[print help]'", out);
    if (command->children != NULL)
        zsh_children(command, out);
    else
        fputs(takes_files(command) ? " \\\n        '*:file:_files'\n" : "\n", out);
    fputs("}\n", out);
}

static void print_zsh(const fby_cli_command *root, FILE *out)
{
    fputs("#compdef forebay\n# made by `forebay --completion zsh`\n", out);
    each_command(root, zsh_command, out);
    fputs("\n_forebay \"$@\"\n", out);
}

/* ---- fish ---- */

static void fish_quoted(const char *text, FILE *out)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('\'', out);
}

static void fish_step(const fby_cli_command *command, FILE *out)
{
    if (strchr(command->name, ' ') != NULL)
        fprintf(out, " '%s'", command->name);
}

static void fish_begin(const fby_cli_command *command, FILE *out)
{
    fprintf(out, "complete -c forebay -n \"__forebay_at '%s'\"", command->name);
}

static void fish_option(const fby_cli_command *command, const fby_cli_option *option, FILE *out)
{
    enum takes takes = takes_of(option);

    fish_begin(command, out);
    if (option->letter != '\0')
        fprintf(out, " -s %c", option->letter);
    fprintf(out, " -l %s", option->name);
    if (takes == WORDS) {
        fputs(" -x -a '", out);
        put_with(option->choices, '|', " ", out);
        fputc('\'', out);
    } else if (takes == DIRECTORIES)
        fputs(" -x -a '(__fish_complete_directories)'", out);
    else if (takes == FILES)
        fputs(" -r -F", out);
    else if (takes == ANYTHING && !fby_cli_may_lack_argument(option))
        fputs(" -x", out);
    fputs(" -d ", out);
    fish_quoted(option->help, out);
    fputc('\n', out);
}

static void fish_command(const fby_cli_command *command, FILE *out)
{
    if (command->children != NULL)
        for (const fby_cli_command *const *child = command->children; *child != NULL; child++) {
            fish_begin(command, out);
            fprintf(out, " -a %s -d ", fby_cli_word(*child));
            fish_quoted((*child)->summary, out);
            fputc('\n', out);
        }
    if (takes_files(command)) {
        fish_begin(command, out);
        fputs(" -F\n", out);
    }
    for (const fby_cli_option *option = command->options; option->kind != FBY_CLI_END; option++)
        fish_option(command, option, out);
    fish_begin(command, out);
    fputs(" -s h -l help -d 'print help'\n", out);
}

static void print_fish(const fby_cli_command *root, FILE *out)
{
    fputs("# fish completion for forebay; made by `forebay --completion fish`\n\n"
          "function __forebay_at\n"
          "    set -l at forebay\n"
          "    set -l words (commandline -opc)\n"
          "    set -e words[1]\n"
          "    for word in $words\n"
          "        switch \"$at $word\"\n"
          "            case",
          out);
    each_command(root, fish_step, out);
    fputs("\n                set at \"$at $word\"\n"
          "        end\n    end\n    test \"$at\" = \"$argv[1]\"\nend\n\n"
          "complete -c forebay -f\n",
          out);
    each_command(root, fish_command, out);
}

bool fby_completion_print(const fby_cli_command *root, const char *shell, FILE *out)
{
    static const struct {
        const char *name;
        void (*print)(const fby_cli_command *root, FILE *out);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(shell, shells[i].name) == 0) {
            shells[i].print(root, out);
            return true;
        }
    return false;
}
