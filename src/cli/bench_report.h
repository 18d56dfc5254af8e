/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manner in which every `forebay bench X` reports: a table for people, or a
 * flat JSON object or a CSV line for each measured point.
 *
 *     fby_report_begin --> { fby_report_text, _uint, _bool, _real, _spread } --> fby_report_row --+
 *                            ^                                                                    |
 *                            +--------------------------------------------------------------------+
 *                                                                              --> fby_report_end
 *
 * A row is written and flushed as soon as it is whole. The key carries the unit
 * (ns_per_pair, tokens_per_s, p50_ms, pool_bytes). JSON and CSV rows begin with
 * bench, cpu and isa; the table says them once, above.
 *
 * Threads: one at a time.
 */
#ifndef FBY_CLI_BENCH_REPORT_H
#define FBY_CLI_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "cli/bench_stats.h"
#include "cli/command.h"

typedef enum fby_report_format {
    FBY_REPORT_TABLE = 0,
    FBY_REPORT_JSON,
    FBY_REPORT_CSV
} fby_report_format;

/* The options of every bench, for a field `format` of type int. */
#define FBY_REPORT_OPTIONS(type, format)                                                           \
    {.kind = FBY_CLI_SET,                                                                          \
     .name = "json",                                                                               \
     .help = "a JSON object a line for each measured point",                                       \
     .offset = offsetof(type, format),                                                             \
     .value = FBY_REPORT_JSON},                                                                    \
    {                                                                                              \
        .kind = FBY_CLI_SET, .name = "csv", .help = "the same as comma-separated values",          \
        .offset = offsetof(type, format), .value = FBY_REPORT_CSV                                  \
    }

enum { FBY_REPORT_CELLS = 32, FBY_REPORT_CELL_SIZE = 96 };

typedef struct fby_report_cell {
    const char *key;                 /* not copied: a literal */
    char text[FBY_REPORT_CELL_SIZE]; /* as a number or a word, not yet quoted */
    char spread[32];                 /* "q1..q3" of the table; "" where none */
    bool quoted;                     /* a string in JSON and CSV */
    bool hidden;                     /* in JSON and CSV only */
} fby_report_cell;

typedef struct fby_report {
    FILE *out;
    fby_report_format format;
    const char *bench, *isa;
    size_t count; /* cells of the row in the making */
    fby_report_cell cells[FBY_REPORT_CELLS];
    size_t shown; /* columns of the heading that stands above */
    const char *shown_keys[FBY_REPORT_CELLS];
    int widths[FBY_REPORT_CELLS];
} fby_report;

/* `bench` names the bench ("ring"); `isa` the instruction set whose code is measured, NULL for the
 * widest that this machine and FBY_ISA allow. Both must stay. */
void fby_report_begin(fby_report *report, FILE *out, fby_report_format format, const char *bench,
                      const char *isa);

/* Cells, in the order of the row. Keys are literals, at most FBY_REPORT_CELLS a row. */
void fby_report_text(fby_report *report, const char *key, const char *text);
void fby_report_uint(fby_report *report, const char *key, uint64_t x);
void fby_report_bool(fby_report *report, const char *key, bool x);
void fby_report_real(fby_report *report, const char *key, double x); /* NaN, infinity: null */

/* The median under `key`, the quartiles under `q1_key` and `q3_key` (in a table: a range in one
 * column). */
void fby_report_spread(fby_report *report, const char *key, const char *q1_key, const char *q3_key,
                       fby_spread spread);
#define FBY_REPORT_SPREAD(report, key, spread)                                                     \
    fby_report_spread(report, key, key "_q1", key "_q3", spread)

/* Ends a row. */
void fby_report_row(fby_report *report);

/* FBY_EIO when something could not be written. */
fby_status fby_report_end(fby_report *report);

#endif
