/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/embed_stream.h"
#include "cli/model_choice.h"
#include "cli/say.h"
#include "cli/stop.h"

enum { FORMAT_DEFAULT = -1 };

struct options {
    fby_model_choice model;
    fby_input_options input;
    const char *output;
    int format;      /* fby_row_format or FORMAT_DEFAULT */
    int output_type; /* fby_row_type */
    uint64_t count, dimensions;
    int normalize; /* fby_normalize */
    const char *prompt;
    bool no_truncate;
    int truncate_side; /* fby_side */
};

#define AT(field) .offset = offsetof(struct options, field)

static const fby_cli_option options_table[] = {
    FBY_MODEL_OPTIONS(struct options, model),
    FBY_INPUT_OPTIONS(struct options, input),
    {.kind = FBY_CLI_TEXT,
     .letter = 'o',
     .name = "output",
     .argument = "FILE",
     .help = "write to FILE",
     AT(output)},
    {.kind = FBY_CLI_CHOICE,
     .name = "format",
     .argument = "F",
     .help = "npy, jsonl, csv or f32 (npy to a file, jsonl to a terminal or a pipe)",
     .choices = FBY_ROW_FORMATS,
     AT(format)},
    {.kind = FBY_CLI_CHOICE,
     .name = "output-type",
     .argument = "T",
     .help = "float32, int8 (127 x, rounded), uint8 (that plus 128), binary or ubinary (a bit a "
             "dimension, 1 where x > 0; less 128 or not); all but float32 of vectors of length 1",
     .choices = FBY_ROW_TYPES,
     AT(output_type)},
    {.kind = FBY_CLI_UINT,
     .name = "count",
     .argument = "N",
     .help = "there are N texts: checked; needed for npy into a pipe",
     .min = 1,
     AT(count)},
    {.kind = FBY_CLI_SET,
     .name = "normalize",
     .help = "vectors of length 1 (as the model's own modules say)",
     .value = FBY_NORMALIZE_YES,
     AT(normalize)},
    {.kind = FBY_CLI_SET,
     .name = "no-normalize",
     .help = "vectors as pooling leaves them",
     .value = FBY_NORMALIZE_NO,
     AT(normalize)},
    {.kind = FBY_CLI_UINT,
     .name = "dimensions",
     .argument = "N",
     .help = "the first N numbers of each vector, normalized again",
     .min = 1,
     .max = UINT32_MAX,
     AT(dimensions)},
    {.kind = FBY_CLI_TEXT,
     .name = "prompt",
     .argument = "NAME",
     .help = "put the model's prompt of that name before each text",
     AT(prompt)},
    {.kind = FBY_CLI_FLAG,
     .name = "no-truncate",
     .help = "refuse a text over the model's limit",
     AT(no_truncate)},
    {.kind = FBY_CLI_CHOICE,
     .name = "truncate-side",
     .argument = "SIDE",
     .help = "cut a long text's right (default) or left end",
     .choices = "right|left",
     AT(truncate_side)},
    {.kind = FBY_CLI_END},
};

static fby_row_format format_of(const struct options *options, const fby_output *output)
{
    if (options->format != FORMAT_DEFAULT)
        return (fby_row_format)options->format;
    return output->regular ? FBY_ROWS_NPY : FBY_ROWS_JSONL;
}

static fby_embed_options embed_options_of(const struct options *options)
{
    fby_embed_options embed = FBY_EMBED_OPTIONS_INIT;

    embed.normalize = (fby_normalize)options->normalize;
    if (options->output_type != FBY_ROW_FLOAT32)
        embed.normalize = FBY_NORMALIZE_YES; /* int8's scale stands on it */
    embed.dimensions = (uint32_t)options->dimensions;
    embed.prompt_name = options->prompt;
    embed.no_truncate = options->no_truncate;
    embed.strict_utf8 = options->input.strict;
    embed.truncate_side = (fby_side)options->truncate_side;
    return embed;
}

static fby_status check_options(const struct options *options, uint32_t dim)
{
    if (options->dimensions > dim)
        return fby_error(FBY_EINVAL, "--dimensions %llu: the model's vectors have %u numbers",
                         (unsigned long long)options->dimensions, dim);
    bool scaled = options->output_type == FBY_ROW_INT8 || options->output_type == FBY_ROW_UINT8;
    if (scaled && options->normalize == FBY_NORMALIZE_NO)
        return fby_error(FBY_EINVAL,
                         "--output-type int8 and uint8 state their scale for vectors of length 1: "
                         "leave out --no-normalize");
    return FBY_OK;
}

static void say_totals(const fby_stream_totals *totals, const fby_progress *progress,
                       uint32_t max_tokens)
{
    double seconds = (double)(fby_now_ns() - progress->started) * 1e-9;
    unsigned long long texts = totals->texts;

    if (isatty(STDERR_FILENO) && seconds > 0)
        fby_say("%llu texts, %llu tokens in %.2f s: %.0f texts/s, %.0f tokens/s", texts,
                (unsigned long long)totals->tokens, seconds, (double)totals->texts / seconds,
                (double)totals->tokens / seconds);
    fby_say_texts(totals->texts, totals->truncated, totals->replaced, max_tokens);
}

/* Every text, from the input's first to its last. */
static fby_status embed_rows(const struct options *options, fby_model *model, fby_input *input,
                             fby_rows *rows, uint32_t max_tokens, fby_stream_totals *totals)
{
    fby_embed_options embed = embed_options_of(options);
    fby_progress progress;

    fby_progress_begin(&progress, fby_lines_total(fby_input_lines(input)));
    fby_status status = fby_embed_stream(model, &embed, input, rows, &progress, totals);
    fby_progress_end(&progress);
    if (status == FBY_OK && options->count != 0 && totals->texts < options->count)
        status = fby_error(FBY_EFORMAT, "%llu texts, but --count says %llu",
                           (unsigned long long)totals->texts, (unsigned long long)options->count);
    if (status != FBY_OK && status != FBY_ECANCELED)
        return status;
    say_totals(totals, &progress, max_tokens);

    if (status == FBY_ECANCELED && rows->format == FBY_ROWS_NPY && !rows->output->regular)
        fby_say("the header that went into the pipe states %llu rows",
                (unsigned long long)rows->expected);
    fby_status ended = fby_rows_end(rows);
    return ended != FBY_OK ? ended : status;
}

/* The caller opened everything. */
static fby_status embed_all(const struct options *options, fby_model *model, fby_input *input,
                            fby_output *output, fby_stream_totals *totals)
{
    fby_model_info info = {.struct_size = sizeof info};
    fby_rows rows;

    fby_status status = fby_model_get_info(model, &info);
    if (status == FBY_OK)
        status = check_options(options, info.full_dim);
    if (status != FBY_OK)
        return status;
    uint32_t dim = options->dimensions != 0 ? (uint32_t)options->dimensions : info.dim;
    status = fby_rows_begin(&rows, output, format_of(options, output),
                            (fby_row_type)options->output_type, dim, options->count);
    if (status != FBY_OK)
        return status;
    status = embed_rows(options, model, input, &rows, info.max_tokens, totals);
    fby_rows_drop(&rows);
    return status;
}

static int finish(fby_status status, fby_output *output, const fby_stream_totals *totals,
                  const char *name)
{
    bool stopped = status == FBY_ECANCELED;

    if (stopped && totals->texts == 0) {
        fby_output_abandon(output);
        fby_say("stopped before the first row; nothing was written");
        return FBY_EXIT_INTERRUPTED;
    }
    if (status == FBY_OK || stopped)
        status = fby_output_commit(output);
    else
        fby_output_abandon(output);
    if (status != FBY_OK) {
        fby_say("%s", fby_last_error());
        return fby_cli_exit(status);
    }
    if (stopped)
        fby_say("stopped: %s has the first %llu rows, whole",
                name != NULL ? name : "standard output", (unsigned long long)totals->texts);
    return stopped ? FBY_EXIT_INTERRUPTED : FBY_EXIT_OK;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {.format = FORMAT_DEFAULT};
    int operands, code;
    if (!fby_cli_parse(self, argc, argv, &options, &operands, &code))
        return code;

    fby_input *input = NULL;
    fby_model *model = NULL;
    fby_output output;
    fby_stream_totals totals = {0};
    signal(SIGPIPE, SIG_IGN);
    fby_status status = fby_input_open(&options.input, argv + 1, (size_t)operands, &input);
    if (status == FBY_OK)
        status = fby_model_choice_open(&options.model, &model);
    if (status == FBY_OK)
        status = fby_stop_listen();
    if (status == FBY_OK)
        status = fby_output_open(&output, options.output);
    if (status == FBY_OK) {
        status = embed_all(&options, model, input, &output, &totals);
        code = finish(status, &output, &totals, options.output);
    } else {
        fby_say("%s", fby_last_error());
        code = fby_cli_exit(status);
    }
    fby_model_close(model);
    fby_input_close(input);
    return code;
}

const fby_cli_command fby_command_embed = {
    .name = "forebay embed",
    .summary = "one vector for each line of text",
    .operands = "[FILE...]",
    .options = options_table,
    .details = "Reads standard input where no FILE is named, or for -. An empty line is a text,\n"
               "and has a vector. Rows come in the order of the texts. Ctrl-C leaves whole\n"
               "rows; an error leaves nothing, and an earlier FILE as it was.\n"
               "\n"
               "Examples:\n"
               "  forebay embed notes.txt -o notes.npy\n"
               "  forebay embed --jsonl --field body posts.jsonl | jq .embedding[0]\n"
               "  forebay embed --output-type int8 notes.txt -o notes.npy\n",
    .run = run,
};
