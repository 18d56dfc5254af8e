/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `forebay bench workers` share. */
#ifndef FBY_CLI_BENCH_WORKERS_H
#define FBY_CLI_BENCH_WORKERS_H

#include "cli/bench_report.h"
#include "cli/model_choice.h"

typedef struct fby_workers_options {
    fby_model_choice model;
    fby_cli_list batches, lengths;
    uint64_t rounds, simulate, phase_ms;
    double sample_ms;
    int format, part;
} fby_workers_options;

enum { FBY_WORKERS_LONGEST = 512 /* tokens of a text */, FBY_WORKERS_ROUNDS_MAX = 101 };

/* Texts of a bench: one word a token, so that their lengths are exact. */
typedef struct fby_workers_texts {
    fby_text *texts; /* (count) */
    uint32_t count;
    uint64_t tokens; /* of all, special ones included */
    char *bytes;
} fby_workers_texts;

/* `length` tokens each; 0: mixed, 4 to 256 with a mean of 41. FBY_ENOMEM. */
fby_status fby_workers_texts_make(uint32_t count, uint32_t length, fby_workers_texts *texts);
uint32_t fby_workers_mixed_length(uint32_t i);
void fby_workers_texts_clear(fby_workers_texts *texts);

/* The model as `options` say, but for what a strategy is. */
fby_status fby_workers_open(const fby_workers_options *options, uint32_t threads,
                            fby_parallelism parallelism, fby_strategy strategy, fby_model **model);

/* What --rounds says, else what is usual for the part. */
uint32_t fby_workers_rounds(const fby_workers_options *options, uint32_t usual);

/* Sleeps. */
void fby_workers_pause(uint64_t ms);

/* The parts. */
fby_status fby_workers_grid(const fby_workers_options *options, fby_report *report);
fby_status fby_workers_pairs(const fby_workers_options *options, fby_report *report);
fby_status fby_workers_load(const fby_workers_options *options, fby_report *report);
fby_status fby_workers_latency(const fby_workers_options *options, fby_report *report);
fby_status fby_workers_curve(const fby_workers_options *options, fby_report *report);
fby_status fby_workers_cancellation(const fby_workers_options *options, fby_report *report);
fby_status fby_workers_simulate(const fby_workers_options *options, fby_report *report);

#endif
