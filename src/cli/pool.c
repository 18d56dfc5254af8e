/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

static const fby_cli_command *const children[] = {
    &fby_pool_advise,
    &fby_pool_size,
    &fby_pool_run,
    NULL,
};

static const fby_cli_option options[] = {{.kind = FBY_CLI_END}};

const fby_cli_command fby_command_pool = {
    .name = "forebay pool",
    .summary = "size a heap pool, and say what its statistics mean",
    .operands = "...",
    .options = options,
    .details = "Before anything runs, `pool size` proposes a configuration; `pool run` tries\n"
               "one on a recorded trace; `pool advise` reads the statistics of a run and says\n"
               "what to change.\n",
    .run = fby_cli_dispatch,
    .children = children,
};
