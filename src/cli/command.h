/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command as data: its name, its options, its examples. Parsing and --help
 * are made from the same table, so that neither says what the other does not.
 *
 *     forebay ── embed, tokenize, info
 *             └─ bench ── embed, ...          a command with children runs one of them
 *
 * A command's run() begins with fby_cli_parse(), which fills a struct of the
 * command's own through each option's offset; the defaults are what the struct
 * held before.
 *
 * Threads: the main thread only.
 */
#ifndef FBY_CLI_COMMAND_H
#define FBY_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

/* What a process ends with. */
enum {
    FBY_EXIT_OK = 0,
    FBY_EXIT_FAILED = 1,
    FBY_EXIT_USAGE = 2,        /* the command line is wrong; nothing was done */
    FBY_EXIT_INTERRUPTED = 130 /* SIGINT or SIGTERM, as a shell reports it */
};

typedef enum fby_cli_kind {
    FBY_CLI_END = 0, /* closes a table */
    FBY_CLI_FLAG,    /* bool: set to true */
    FBY_CLI_SET,     /* int: set to `value` */
    FBY_CLI_TEXT,    /* const char *: the argument, not empty */
    FBY_CLI_CHOICE,  /* int: which of `choices`, counted from 0 */
    FBY_CLI_UINT,    /* uint64_t: decimal, min ≤ x ≤ max */
    FBY_CLI_UINT_OR, /* the same, the argument may be left out: `value` then */
    FBY_CLI_SIZE,    /* uint64_t: bytes, or with K, M, G (powers of 1,024), min ≤ x ≤ max */
    FBY_CLI_REAL,    /* double: min ≤ x ≤ max */
    FBY_CLI_LIST,   /* fby_cli_list: each argument, unchecked; the option may stand several times */
    FBY_CLI_LIST_OR /* the same, the argument may be left out, else is attached by '=': "yes" then
                     */
} fby_cli_kind;

enum { FBY_CLI_LIST_MAX = 64 };
typedef struct fby_cli_list {
    const char *items[FBY_CLI_LIST_MAX];
    uint32_t count;
} fby_cli_list;

typedef struct fby_cli_option {
    fby_cli_kind kind;
    char letter;          /* 'm' for -m; '\0' for none */
    const char *name;     /* "model" for --model */
    const char *argument; /* "DIR"; NULL where the kind takes none */
    const char *help;     /* plain words, wrapped by the printer */
    size_t offset;        /* of its field in the command's struct */
    const char *choices;  /* CHOICE: "npy|jsonl|csv"; LIST: what is offered */
    int value;            /* SET, UINT_OR */
    uint64_t min, max;    /* UINT, UINT_OR, SIZE, REAL; max 0: no limit */
} fby_cli_option;

typedef struct fby_cli_command fby_cli_command;
struct fby_cli_command {
    const char *name;     /* as in the message's prefix: "forebay bench embed" */
    const char *summary;  /* one line, no full stop */
    const char *operands; /* "[FILE...]"; NULL: takes none */
    const fby_cli_option *options;
    const char *details; /* printed as it stands after the options: notes, then examples */
    int (*run)(const fby_cli_command *self, int argc, char **argv);
    const fby_cli_command *const *children; /* ends with NULL; NULL: has none */
};

/* What a command that ended with `status` leaves with: whatever is wrong with what it was told, by
 * option or environment, is FBY_EXIT_USAGE. */
int fby_cli_exit(fby_status status);

/* Hands what was printed to standard output on; FBY_EXIT_FAILED, and said, if it could not be. */
int fby_cli_printed(void);

static inline bool fby_cli_may_lack_argument(const fby_cli_option *option)
{
    return option->kind == FBY_CLI_UINT_OR || option->kind == FBY_CLI_LIST_OR;
}

/* The last word of a command's name: "embed". */
const char *fby_cli_word(const fby_cli_command *command);

/*
 * Reads argv[1] … argv[argc - 1] into `fields`. The operands end up in argv[1] … in their order,
 * their number in `*operands`; options and operands may be mixed, "--" ends the options, "-" is an
 * operand. False: leave with `*exit_code`, for --help was printed or the mistake was named.
 */
bool fby_cli_parse(const fby_cli_command *command, int argc, char **argv, void *fields,
                   int *operands, int *exit_code);

/* The same for a command that takes exactly `count` operands; else `wanted` is said. */
bool fby_cli_parse_exactly(const fby_cli_command *command, int argc, char **argv, void *fields,
                           int count, const char *wanted, int *exit_code);

/* How a command that prints ends: says the thread's error, or whether the output could be written;
 * the exit code. */
int fby_cli_end(fby_status status);

/* Runs the child that argv[1] names; without one, or with --help, prints the list. */
int fby_cli_dispatch(const fby_cli_command *command, int argc, char **argv);

/* The whole of --help, lines of at most 79 columns. */
void fby_cli_help(const fby_cli_command *command, FILE *out);

#endif
