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
    bool jsonl, strict;
    const char *field; /* NULL: "text" */
} fby_input_options;

/* For a command whose struct, `type`, has them as `member`. */
#define FBY_INPUT_OPTIONS(type, member)                                                            \
    {.kind = FBY_CLI_FLAG,                                                                         \
     .name = "jsonl",                                                                              \
     .help = "each line is a JSON object, its text a field",                                       \
     .offset = offsetof(type, member) + offsetof(fby_input_options, jsonl)},                       \
        {.kind = FBY_CLI_FLAG,                                                                     \
         .name = "strict",                                                                         \
         .help = "refuse invalid UTF-8",                                                           \
         .offset = offsetof(type, member) + offsetof(fby_input_options, strict)},                  \
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

/*
 * As fby_lines_next(): `text` is the text's bytes with the place of its line. FBY_EFORMAT for a
 * line that is not an object with the field. In an object, what is not UTF-8 is replaced by U+FFFD
 * as fby_embed() does it in a text, or refused with FBY_EENCODING where `strict` is set; a line
 * that is a text is given as it is.
 */
fby_status fby_input_next(fby_input *input, fby_line *text, bool *end);

/* For a text of `line` of `file` that the model refused with `status`, this thread's message
 * beginning with its number among those of the call: puts file and line there instead. */
fby_status fby_input_blame(fby_status status, const char *file, uint64_t line);

/* Where it stands: fby_lines_ready(), _position(), _total(). */
fby_lines *fby_input_lines(fby_input *input);

#endif
