/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion for bash, zsh and fish, made from the tables that --help is made
 * from: commands, options, the words that an option takes, files and
 * directories. The build runs `forebay --completion SHELL` for each.
 *
 * Threads: the main thread only.
 */
#ifndef FBY_CLI_COMPLETION_H
#define FBY_CLI_COMPLETION_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/command.h"

/* False: `shell` is none of bash, zsh, fish, and nothing was written. */
bool fby_completion_print(const fby_cli_command *root, const char *shell, FILE *out);

#endif
