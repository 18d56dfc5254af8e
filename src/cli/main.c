/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/commands.h"

static const fby_cli_command *const children[] = {
#if FBY_HAVE_ENGINE
    &fby_command_embed, &fby_command_tokenize,
    &fby_command_info,
#endif
    &fby_command_bench, NULL,
};

/* For --help: main() reads it. */
static const fby_cli_option options[] = {
    {.kind = FBY_CLI_FLAG, .letter = 'V', .name = "version", .help = "print the version"},
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
               "  forebay tokenize --pieces notes.txt\n"
               "  forebay bench embed --file bench/texts/mixed.txt\n",
    .children = children,
};

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        puts("forebay " FBY_VERSION);
        return fflush(stdout) == 0 ? FBY_EXIT_OK : FBY_EXIT_FAILED;
    }
    return fby_cli_dispatch(&forebay, argc, argv);
}
