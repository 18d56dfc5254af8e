/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manual from the tables that --help is made from: a page a command, in the
 * man macros of roff. The build runs `forebay --man PAGE` for each.
 *
 * Threads: the main thread only.
 */
#ifndef FBY_CLI_MANUAL_H
#define FBY_CLI_MANUAL_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/command.h"

/* The page called `page` ("forebay-bench-embed"), of `root` or a command below it. False: there is
 * none of that name, and nothing was written. */
bool fby_manual_print(const fby_cli_command *root, const char *page, FILE *out);

/* The names of all pages, a line each. */
void fby_manual_list(const fby_cli_command *root, FILE *out);

#endif
