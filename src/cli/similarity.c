/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/float_text.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/json_text.h"
#include "cli/lines.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/stop.h"
#include "search/grow.h"

enum { WAIT_MS = 50 /* between two looks at the stop flag */ };

struct options {
    fby_model_choice model;
    const char *prompt;
    bool lines, matrix, json;
};

#define AT(field) .offset = offsetof(struct options, field)

static const fby_cli_option options_table[] = {
    FBY_MODEL_OPTIONS(struct options, model),
    {.kind = FBY_CLI_FLAG,
     .name = "lines",
     .help = "A and B name files, each line of which is a text",
     AT(lines)},
    {.kind = FBY_CLI_FLAG,
     .name = "matrix",
     .help = "each text of A with each of B, a row for each of A",
     AT(matrix)},
    {.kind = FBY_CLI_TEXT,
     .name = "prompt",
     .argument = "NAME",
     .help = "put the model's prompt of that name before each text",
     AT(prompt)},
    {.kind = FBY_CLI_FLAG, .name = "json", .help = "a JSON object a line", AT(json)},
    {.kind = FBY_CLI_END},
};

/* The texts of one side, their bytes one after another, and their vectors. */
struct side {
    size_t count, ends_room, used, room;
    size_t *ends; /* (count): where each text's bytes end */
    char *bytes;
    float *vectors; /* (count, dim), of length 1 */
    fby_text_info *infos;
    const char *operand;
};

static void drop_side(struct side *side)
{
    free(side->ends);
    free(side->bytes);
    free(side->vectors);
    free(side->infos);
}

static fby_text text_at(const struct side *side, size_t i)
{
    size_t begin = i > 0 ? side->ends[i - 1] : 0;
    return (fby_text){side->bytes + begin, side->ends[i] - begin};
}

static fby_status add_text(struct side *side, const char *bytes, size_t size)
{
    if (!fby_grow(&side->ends, &side->ends_room, side->count + 1, sizeof *side->ends) ||
        !fby_grow(&side->bytes, &side->room, side->used + size + 1, 1))
        return fby_error(FBY_ENOMEM, "no memory for texts");
    fby_assert(side->bytes != NULL && side->ends != NULL);
    if (size > 0)
        memcpy(side->bytes + side->used, bytes, size);
    side->used += size;
    side->ends[side->count++] = side->used;
    return FBY_OK;
}

static fby_status read_lines(struct side *side, char *file)
{
    fby_lines *lines = NULL;
    fby_status status = fby_lines_open(&file, 1, FBY_LINE_LIMIT, &lines);
    if (status != FBY_OK)
        return status;
    for (bool end = false; status == FBY_OK;) {
        fby_line line;
        status = fby_lines_next(lines, &line, &end);
        if (status != FBY_OK || end)
            break;
        status = add_text(side, line.bytes, line.size);
    }
    fby_lines_close(lines);
    return status;
}

static fby_status read_side(const struct options *options, char *operand, struct side *side)
{
    side->operand = operand;
    if (options->lines || strcmp(operand, "-") == 0)
        return read_lines(side, operand);
    return add_text(side, operand, strlen(operand));
}

/* Blames the text of `side` that the model refused, if it is one of several. */
static fby_status wait_for(const struct options *options, fby_job *job, const struct side *side)
{
    fby_status status;
    while ((status = fby_job_wait(job, WAIT_MS)) == FBY_EAGAIN)
        if (fby_stop_asked())
            fby_job_cancel(job);
    size_t text = fby_job_failed_text(job);
    bool lines = options->lines || strcmp(side->operand, "-") == 0;
    fby_job_free(job);
    if (text >= side->count)
        return status;
    const char *file = strcmp(side->operand, "-") == 0 ? "standard input" : side->operand;
    return lines ? fby_input_blame(status, file, text + 1) : status;
}

static fby_status embed_side(const struct options *options, fby_model *model, struct side *side)
{
    fby_job *job;
    fby_embed_options embed = FBY_EMBED_OPTIONS_INIT;
    size_t floats;

    embed.normalize = FBY_NORMALIZE_YES;
    embed.prompt_name = options->prompt;
    fby_text *texts = malloc((side->count + 1) * sizeof *texts);
    if (fby_mul_size(side->count + 1, fby_model_dim(model), &floats))
        side->vectors = calloc(floats, sizeof *side->vectors);
    side->infos = calloc(side->count + 1, sizeof *side->infos);
    fby_status status = FBY_OK;
    if (texts == NULL || side->vectors == NULL || side->infos == NULL)
        status = fby_error(FBY_ENOMEM, "no memory for %zu vectors", side->count);
    for (size_t i = 0; i < side->count && status == FBY_OK; i++)
        texts[i] = text_at(side, i);
    if (status == FBY_OK)
        status = fby_embed_submit(model, texts, side->count, &embed, side->vectors, side->infos,
                                  NULL, NULL, &job);
    if (status == FBY_OK)
        status = wait_for(options, job, side);
    free(texts);
    return status;
}

static void say_replaced(const struct side *sides, uint32_t max_tokens)
{
    size_t texts = sides[0].count + sides[1].count, truncated = 0, replaced = 0;
    for (int i = 0; i < 2; i++)
        for (size_t j = 0; j < sides[i].count; j++) {
            truncated += sides[i].infos[j].truncated;
            replaced += sides[i].infos[j].replaced;
        }
    fby_say_texts(texts, truncated, replaced, max_tokens);
}

/* Of vectors of length 1; rounding leaves no cosine above 1. */
static float cosine(const float *a, const float *b, uint32_t dim)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < dim; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)fmin(fmax(sum, -1.0), 1.0);
}

static fby_status put(fby_output *output, const char *text)
{
    return fby_output_write(output, text, strlen(text));
}

static fby_status put_pair(const struct options *options, fby_output *output,
                           const struct side *sides, size_t i, size_t j, uint32_t dim)
{
    fby_text a = text_at(&sides[0], i), b = text_at(&sides[1], j);
    char number[FBY_FLOAT_TEXT + 1];
    fby_status status = FBY_OK;

    number[fby_float_text(cosine(sides[0].vectors + i * dim, sides[1].vectors + j * dim, dim),
                          number)] = '\0';
    if (!options->json)
        return put(output, number);
    status = put(output, "{\"a\":");
    if (status == FBY_OK)
        status = fby_json_text(output, a.bytes, a.size);
    if (status == FBY_OK)
        status = put(output, ",\"b\":");
    if (status == FBY_OK)
        status = fby_json_text(output, b.bytes, b.size);
    if (status == FBY_OK)
        status = put(output, ",\"similarity\":");
    if (status == FBY_OK)
        status = put(output, number);
    return status == FBY_OK ? put(output, "}") : status;
}

static fby_status put_pairs(const struct options *options, fby_output *output,
                            const struct side *sides, uint32_t dim)
{
    size_t rows = sides[0].count > sides[1].count ? sides[0].count : sides[1].count;
    fby_status status = FBY_OK;
    for (size_t i = 0; i < rows && status == FBY_OK; i++) {
        status = put_pair(options, output, sides, sides[0].count > 1 ? i : 0,
                          sides[1].count > 1 ? i : 0, dim);
        if (status == FBY_OK)
            status = put(output, "\n");
    }
    return status;
}

static fby_status put_matrix(const struct options *options, fby_output *output,
                             const struct side *sides, uint32_t dim)
{
    fby_status status = FBY_OK;
    for (size_t i = 0; i < sides[0].count; i++)
        for (size_t j = 0; j < sides[1].count && status == FBY_OK; j++) {
            status = put_pair(options, output, sides, i, j, dim);
            if (status == FBY_OK)
                status = put(output, options->json || j + 1 == sides[1].count ? "\n" : "\t");
        }
    return status;
}

static fby_status check_counts(const struct options *options, const struct side *sides)
{
    size_t a = sides[0].count, b = sides[1].count;
    if (options->matrix || a == b || a == 1 || b == 1)
        return FBY_OK;
    return fby_error(FBY_EINVAL, "A has %zu lines and B has %zu: --matrix takes each with each", a,
                     b);
}

static fby_status compare(const struct options *options, fby_model *model, struct side *sides)
{
    uint32_t dim = fby_model_dim(model);
    fby_model_info info = {.struct_size = sizeof info};
    fby_output output;
    fby_status status = fby_model_get_info(model, &info);

    for (int i = 0; i < 2 && status == FBY_OK; i++)
        status = embed_side(options, model, &sides[i]);
    if (status == FBY_OK)
        status = fby_output_open(&output, NULL);
    if (status != FBY_OK)
        return status;
    if (sides[0].count > 0 && sides[1].count > 0)
        status = options->matrix ? put_matrix(options, &output, sides, dim)
                                 : put_pairs(options, &output, sides, dim);
    if (status == FBY_OK)
        status = fby_output_commit(&output);
    else
        fby_output_abandon(&output);
    if (status == FBY_OK)
        say_replaced(sides, info.max_tokens);
    return status;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {0};
    struct side sides[2] = {{0}, {0}};
    fby_model *model = NULL;
    int operands, code;

    if (!fby_cli_parse(self, argc, argv, &options, &operands, &code))
        return code;
    if (operands != 2 || (strcmp(argv[1], "-") == 0 && strcmp(argv[2], "-") == 0)) {
        fby_say("two texts are wanted, at most one of them -; --help says more");
        return FBY_EXIT_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    fby_status status = fby_stop_listen();
    for (int i = 0; i < 2 && status == FBY_OK; i++)
        status = read_side(&options, argv[1 + i], &sides[i]);
    if (status == FBY_OK)
        status = check_counts(&options, sides);
    if (status == FBY_OK)
        status = fby_model_choice_open(&options.model, &model);
    if (status == FBY_OK)
        status = compare(&options, model, sides);
    if (status != FBY_OK)
        fby_say("%s", status == FBY_ECANCELED ? "stopped" : fby_last_error());
    fby_model_close(model);
    drop_side(&sides[0]);
    drop_side(&sides[1]);
    return fby_cli_exit(status);
}

const fby_cli_command fby_command_similarity = {
    .name = "forebay similarity",
    .summary = "how near two texts are: the cosine of their vectors",
    .operands = "A B",
    .options = options_table,
    .details = "A number from -1 to 1 for each pair, a line each. An A or B of - stands for the\n"
               "lines of standard input. One text is compared with each line of the other side;\n"
               "two sides of as many lines are compared line by line.\n"
               "\n"
               "Examples:\n"
               "  forebay similarity 'a pool of water' 'the weir is full'\n"
               "  forebay similarity 'a pool of water' - < lines.txt | sort -rn | head\n"
               "  forebay similarity --lines --matrix left.txt right.txt\n",
    .run = run,
};
