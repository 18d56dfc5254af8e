/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

static const fby_cli_command *const benches[] = {
    &fby_bench_alloc, &fby_bench_compare, &fby_bench_disruptor, &fby_bench_embed,   &fby_bench_heap,
    &fby_bench_ring,  &fby_bench_search,  &fby_bench_serve,     &fby_bench_workers, NULL,
};

static const fby_cli_option options[] = {{.kind = FBY_CLI_END}};

const fby_cli_command fby_command_bench = {
    .name = "forebay bench",
    .summary = "measure one part on this machine",
    .operands = "...",
    .options = options,
    .details = "Each prints a table, or with --json a flat JSON object a line for each measured\n"
               "point: the unit in the key, the processor, the instruction set, the number of\n"
               "repetitions, and for what was repeated its median (the key itself) and its\n"
               "quartiles (key_q1, key_q3).\n"
               "\n"
               "Figures mean something on an idle machine only; the quartiles say how idle.\n",
    .run = fby_cli_dispatch,
    .children = benches,
};
