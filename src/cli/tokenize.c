/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "base/float_text.h"
#include "cli/input.h"
#include "cli/json_text.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/stop.h"

struct options {
    fby_model_choice model;
    fby_input_options input;
    const char *output, *prompt;
    bool no_special, no_truncate, pieces;
    int truncate_side; /* fby_side */
};

#define AT(field) .offset = offsetof(struct options, field)

static const fby_cli_option options_table[] = {
    FBY_MODEL_OPTION(struct options, model),
    FBY_INPUT_OPTIONS(struct options, input),
    {.kind = FBY_CLI_TEXT,
     .letter = 'o',
     .name = "output",
     .argument = "FILE",
     .help = "write to FILE, which appears when it is whole",
     AT(output)},
    {.kind = FBY_CLI_FLAG,
     .name = "no-special",
     .help = "leave out [CLS] and [SEP]",
     AT(no_special)},
    {.kind = FBY_CLI_FLAG,
     .name = "no-truncate",
     .help = "every token, whatever the model's limit",
     AT(no_truncate)},
    {.kind = FBY_CLI_CHOICE,
     .name = "truncate-side",
     .argument = "SIDE",
     .help = "cut a long text's right (default) or left end",
     .choices = "right|left",
     AT(truncate_side)},
    {.kind = FBY_CLI_FLAG,
     .name = "pieces",
     .help = "the vocabulary's entries instead of their ids",
     AT(pieces)},
    {.kind = FBY_CLI_TEXT,
     .name = "prompt",
     .argument = "NAME",
     .help = "put the model's prompt of that name before each text",
     AT(prompt)},
    {.kind = FBY_CLI_END},
};

/* What stays the same from text to text, and room for the longest so far. */
struct job {
    fby_model *model;
    fby_tokenize_options options;
    bool pieces;
    fby_output *output;
    uint32_t *ids, max_tokens;
    size_t capacity;
    bool strict;
    uint64_t texts, truncated, replaced;
};

/* Room for a text that is not cut short of the model's limit; more comes when it is asked for. */
static fby_status open_model(struct job *job, const fby_model_choice *choice)
{
    fby_model_info info = {.struct_size = sizeof info};
    fby_status status = fby_model_choice_open(choice, &job->model);
    if (status == FBY_OK)
        status = fby_model_get_info(job->model, &info);
    if (status != FBY_OK)
        return status;
    job->capacity = job->max_tokens = info.max_tokens;
    job->ids = malloc(job->capacity * sizeof *job->ids);
    return job->ids != NULL ? FBY_OK : fby_error(FBY_ENOMEM, "no memory for tokens");
}

/* What is cut off counts too. */
static fby_status check_utf8(const struct job *job, const fby_line *line)
{
    fby_tokenize_options whole = FBY_TOKENIZE_OPTIONS_INIT;
    fby_text_info info;
    size_t count;

    whole.no_truncate = true;
    fby_status status = fby_tokenize(job->model, (fby_text){line->bytes, line->size}, &whole, NULL,
                                     0, &count, &info);
    if (status == FBY_OK && info.replaced)
        status = fby_error(FBY_EENCODING, "%s:%llu: invalid UTF-8", line->file,
                           (unsigned long long)line->number);
    return status;
}

static fby_status tokenize(struct job *job, const fby_line *line, size_t *count)
{
    const fby_text text = {line->bytes, line->size};
    unsigned long long number = line->number;
    fby_text_info info;

    fby_status status = job->strict ? check_utf8(job, line) : FBY_OK;
    if (status != FBY_OK)
        return status;
    for (;;) {
        status =
            fby_tokenize(job->model, text, &job->options, job->ids, job->capacity, count, &info);
        if (status != FBY_OK)
            return fby_error_prefix(status, "%s:%llu", line->file, number);
        if (*count <= job->capacity) {
            job->texts++;
            job->truncated += info.truncated;
            job->replaced += info.replaced || line->replaced;
            return FBY_OK;
        }
        uint32_t *ids = realloc(job->ids, *count * sizeof *ids); /* a token is a byte at least */
        if (ids == NULL)
            return fby_error(FBY_ENOMEM, "%s:%llu: no memory for %zu tokens", line->file, number,
                             *count);
        job->ids = ids;
        job->capacity = *count;
    }
}

static fby_status write_token(const struct job *job, uint32_t id)
{
    if (job->pieces) {
        size_t size = 0;
        const char *piece = fby_token_piece(job->model, id, &size);
        return fby_json_text(job->output, piece != NULL ? piece : "", size);
    }
    char *room = fby_output_room(job->output, FBY_UINT_TEXT);
    if (room == NULL)
        return FBY_EIO;
    fby_output_took(job->output, fby_uint_text(id, room));
    return FBY_OK;
}

static fby_status write_tokens(const struct job *job, size_t count)
{
    fby_status status = fby_output_write(job->output, "[", 1);

    for (size_t i = 0; i < count && status == FBY_OK; i++) {
        if (i > 0)
            status = fby_output_write(job->output, ",", 1);
        if (status == FBY_OK)
            status = write_token(job, job->ids[i]);
    }
    return status == FBY_OK ? fby_output_write(job->output, "]\n", 2) : status;
}

static fby_status tokenize_all(struct job *job, fby_input *input)
{
    for (;;) {
        fby_line line;
        bool end;
        size_t count;
        if (!fby_lines_ready(fby_input_lines(input))) {
            fby_status status = fby_output_flush(job->output);
            if (status != FBY_OK)
                return status;
        }
        fby_status status = fby_stop_asked() ? FBY_ECANCELED : fby_input_next(input, &line, &end);
        if (status != FBY_OK || end)
            return status;
        status = tokenize(job, &line, &count);
        if (status == FBY_OK)
            status = write_tokens(job, count);
        if (status != FBY_OK)
            return status;
    }
}

static int finish(const struct job *job, fby_status status)
{
    bool stopped = status == FBY_ECANCELED;
    fby_output *output = job->output;

    if (status == FBY_OK || stopped)
        status = fby_output_commit(output);
    else
        fby_output_abandon(output);
    if (status != FBY_OK) {
        fby_say("%s", fby_last_error());
        return fby_cli_exit(status);
    }
    fby_say_texts(job->texts, job->truncated, job->replaced, job->max_tokens);
    return stopped ? FBY_EXIT_INTERRUPTED : FBY_EXIT_OK;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {0};
    int operands, code;
    if (!fby_cli_parse(self, argc, argv, &options, &operands, &code))
        return code;

    fby_input *input = NULL;
    fby_output output;
    struct job job = {.options = FBY_TOKENIZE_OPTIONS_INIT, .output = &output};
    job.options.no_special = options.no_special;
    job.options.no_truncate = options.no_truncate;
    job.options.truncate_side = (fby_side)options.truncate_side;
    job.options.prompt_name = options.prompt;
    job.pieces = options.pieces;
    job.strict = options.input.strict;
    options.model.threads = 1;

    signal(SIGPIPE, SIG_IGN);
    fby_status status = fby_input_open(&options.input, argv + 1, (size_t)operands, &input);
    if (status == FBY_OK)
        status = open_model(&job, &options.model);
    if (status == FBY_OK)
        status = fby_stop_listen();
    if (status == FBY_OK)
        status = fby_output_open(&output, options.output);
    if (status == FBY_OK) {
        code = finish(&job, tokenize_all(&job, input));
    } else {
        fby_say("%s", fby_last_error());
        code = fby_cli_exit(status);
    }
    free(job.ids);
    fby_model_close(job.model);
    fby_input_close(input);
    return code;
}

const fby_cli_command fby_command_tokenize = {
    .name = "forebay tokenize",
    .summary = "a JSON array of token ids for each line of text",
    .operands = "[FILE...]",
    .options = options_table,
    .details = "Reads standard input where no FILE is named, or for -. An empty line is a text.\n"
               "A text over the model's limit is cut as embed would cut it.\n"
               "\n"
               "Examples:\n"
               "  echo 'a pool of water' | forebay tokenize --pieces\n"
               "  forebay tokenize --no-truncate book.txt | jq length\n",
    .run = run,
};
