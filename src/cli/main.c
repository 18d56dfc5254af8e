/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/manual.h"
#include "cli/say.h"

static const fby_cli_command *const children[] = {
    &fby_command_embed,    &fby_command_search,
    &fby_command_serve,    &fby_command_similarity,
    &fby_command_tokenize, &fby_command_info,
    &fby_command_pool,     &fby_command_tune,
    &fby_command_bench,    NULL,
};

/* For --help: main() reads it. */
static const fby_cli_option options[] = {
    {.kind = FBY_CLI_FLAG, .letter = 'V', .name = "version", .help = "print the version"},
    {.kind = FBY_CLI_CHOICE,
     .name = "completion",
     .argument = "SHELL",
     .help = "print completion for bash, zsh or fish",
     .choices = "bash|zsh|fish"},
    {.kind = FBY_CLI_END},
};

static const fby_cli_command forebay = {
    .name = "forebay",
    .summary = "text to embeddings on this machine's processors",
    .operands = "...",
    .options = options,
    .details = "forebay COMMAND --help says more about one.\n"
               "\n"
               "Environment:\n"
               "  FBY_MODEL  the model directory, where no --model is given\n"
               "  FBY_ISA    narrows the instruction set: c, avx2, avx512, ...\n"
               "\n"
               "Examples:\n"
               "  echo 'a pool of water' | forebay embed\n"
               "  forebay embed notes.txt -o notes.npy\n"
               "  forebay search 'where the water goes' docs/\n"
               "  forebay serve\n"
               "  forebay tokenize --pieces notes.txt\n"
               "  forebay bench embed --file bench/texts/mixed.txt\n",
    .children = children,
};

static int printed(bool known, const char *what)
{
    fby_say_as(forebay.name);
    if (known)
        return fby_cli_printed();
    fby_say("%s: there is none of that name", what);
    return FBY_EXIT_USAGE;
}

/* What is printed instead of running a command. --man [PAGE] is for the build. */
static bool prints(int argc, char **argv, int *exit_code)
{
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        puts("forebay " FBY_VERSION);
        *exit_code = printed(true, argv[1]);
    } else if (argc == 2 && strcmp(argv[1], "--man") == 0) {
        fby_manual_list(&forebay, stdout);
        *exit_code = printed(true, argv[1]);
    } else if (argc == 3 && strcmp(argv[1], "--man") == 0)
        *exit_code = printed(fby_manual_print(&forebay, argv[2], stdout), argv[2]);
    else if (argc == 3 && strcmp(argv[1], "--completion") == 0)
        *exit_code = printed(fby_completion_print(&forebay, argv[2], stdout), argv[2]);
    else
        return false;
    return true;
}

/* Whoever closed one of the three has none: or the next file to be opened would be taken for it.
 * What stands in for it can only be used the wrong way round, which fails. */
static void occupy_standard_files(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    int exit_code;
    occupy_standard_files();
    return prints(argc, argv, &exit_code) ? exit_code : fby_cli_dispatch(&forebay, argc, argv);
}
