/* SPDX-License-Identifier: Apache-2.0 */
/* Every subcommand, each in the file of its name. */
#ifndef FBY_CLI_COMMANDS_H
#define FBY_CLI_COMMANDS_H

#include "cli/command.h"

extern const fby_cli_command fby_command_embed;
extern const fby_cli_command fby_command_tokenize;
extern const fby_cli_command fby_command_info;
extern const fby_cli_command fby_command_search;
extern const fby_cli_command fby_command_serve;
extern const fby_cli_command fby_command_similarity;
extern const fby_cli_command fby_command_pool;
extern const fby_cli_command fby_command_tune;
extern const fby_cli_command fby_command_bench;

/* forebay pool X, in pool_X.c, listed in pool.c. */
extern const fby_cli_command fby_pool_advise;
extern const fby_cli_command fby_pool_run;
extern const fby_cli_command fby_pool_size;

/* forebay bench X, in bench_X.c, listed in bench.c. */
extern const fby_cli_command fby_bench_alloc;
extern const fby_cli_command fby_bench_compare;
extern const fby_cli_command fby_bench_disruptor;
extern const fby_cli_command fby_bench_embed;
extern const fby_cli_command fby_bench_heap;
extern const fby_cli_command fby_bench_ring;
extern const fby_cli_command fby_bench_search;
extern const fby_cli_command fby_bench_serve;
extern const fby_cli_command fby_bench_workers;

#endif
