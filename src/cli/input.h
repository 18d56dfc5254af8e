/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts that a command works on: a line each, or a string field of a JSON
 * object a line.
 *
 *     lines.h --> fby_input_next: the line itself, or its field --> the command
 *
 * Threads: one.
 */
#ifndef FBY_CLI_INPUT_H
#define FBY_CLI_INPUT_H

#include "cli/command.h"
#include "cli/lines.h"

/* What the command line says of it. */
typedef struct fby_input_options {
    bool jsonl;
    const char *field; /* NULL: "text" */
} fby_input_options;

/* For a command whose struct, `type`, has them as `member`. */
#define FBY_INPUT_OPTIONS(type, member)                                                            \
    {.kind = FBY_CLI_FLAG,                                                                         \
     .name = "jsonl",                                                                              \
     .help = "each line is a JSON object, its text a field",                                       \
     .offset = offsetof(type, member) + offsetof(fby_input_options, jsonl)},                       \
    {                                                                                              \
        .kind = FBY_CLI_TEXT, .name = "field", .argument = "NAME",                                 \
        .help = "the field of --jsonl that holds the text (text)",                                 \
        .offset = offsetof(type, member) + offsetof(fby_input_options, field)                      \
    }

typedef struct fby_input fby_input;

/* As fby_lines_open(). FBY_EINVAL for --field without --jsonl. */
fby_status fby_input_open(const fby_input_options *options, char *const *files, size_t count,
                          fby_input **input);
void fby_input_close(fby_input *input);

/* As fby_lines_next(): `text` is the text's bytes with the place of its line. FBY_EFORMAT for a
 * line that is not an object with the field. */
fby_status fby_input_next(fby_input *input, fby_line *text, bool *end);

/* Where it stands: fby_lines_ready(), _position(), _total(). */
fby_lines *fby_input_lines(fby_input *input);

#endif
