/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers, written piece by piece: a head, each vector, a tail. What they look
 * like is a matter of the operation; how far they are, of fby_answer.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "serve/api_request.h"
#include "serve/api_vector.h"

enum { HEAD, ROWS, TAIL, DONE }; /* fby_answer.stage */

typedef struct form {
    void (*head)(fby_sink *, const fby_answer *);
    void (*row)(fby_sink *, const fby_answer *, const float *vector);
    void (*tail)(fby_sink *, const fby_answer *);
} form;

static void put_name(fby_sink *sink, const fby_answer *answer)
{
    const char *name = answer->call->served->name;
    fby_sink_string(sink, name, strlen(name));
}

static bool is_one_type(uint32_t types)
{
    return (types & (types - 1)) == 0;
}

/* ---- OpenAI ---- */

static void openai_head(fby_sink *sink, const fby_answer *answer)
{
    (void)answer;
    fby_sink_text(sink, "{\"object\":\"list\",\"data\":[");
}

/* One type: its value; several: an object of them by name. */
static void put_types(fby_sink *sink, const fby_call *call, const float *vector)
{
    const char *before = "{\"";
    if (is_one_type(call->types)) {
        fby_vector_json(sink, call->types, vector, call->dimensions);
        return;
    }
    for (uint32_t type = 1; type <= FBY_TYPE_UBINARY; type <<= 1) {
        if ((call->types & type) == 0)
            continue;
        fby_sink_text(sink, before);
        fby_sink_text(sink, fby_vector_type_name(type));
        fby_sink_text(sink, "\":");
        fby_vector_json(sink, type, vector, call->dimensions);
        before = ",\"";
    }
    fby_sink_text(sink, "}");
}

static void put_meta(fby_sink *sink, const fby_text_info *info)
{
    fby_sink_text(sink, ",\"meta\":{\"tokens\":");
    fby_sink_number(sink, info->tokens);
    fby_sink_text(sink, info->truncated ? ",\"truncated\":true}" : ",\"truncated\":false}");
}

static void openai_row(fby_sink *sink, const fby_answer *answer, const float *vector)
{
    fby_sink_text(sink, answer->text == 0 ? "{\"object\":\"embedding\",\"index\":"
                                          : ",{\"object\":\"embedding\",\"index\":");
    fby_sink_number(sink, answer->text);
    fby_sink_text(sink, ",\"embedding\":");
    put_types(sink, answer->call, vector);
    if (answer->call->return_meta)
        put_meta(sink, &answer->infos[answer->text]);
    fby_sink_text(sink, "}");
}

static void openai_tail(fby_sink *sink, const fby_answer *answer)
{
    fby_sink_text(sink, "],\"model\":");
    put_name(sink, answer);
    fby_sink_text(sink, ",\"usage\":{\"prompt_tokens\":");
    fby_sink_number(sink, answer->tokens);
    fby_sink_text(sink, ",\"total_tokens\":");
    fby_sink_number(sink, answer->tokens);
    fby_sink_text(sink, "}}");
}

/* ---- TEI ---- */

static void list_head(fby_sink *sink, const fby_answer *answer)
{
    (void)answer;
    fby_sink_text(sink, "[");
}

static void list_row(fby_sink *sink, const fby_answer *answer, const float *vector)
{
    if (answer->text > 0)
        fby_sink_text(sink, ",");
    fby_vector_json(sink, FBY_TYPE_FLOAT, vector, answer->call->dimensions);
}

static void list_tail(fby_sink *sink, const fby_answer *answer)
{
    (void)answer;
    fby_sink_text(sink, "]");
}

/* A list a text of a row a token. A text may have none. */
static void tokens_row(fby_sink *sink, const fby_answer *answer, const float *vector)
{
    uint32_t rows = answer->infos[answer->text].tokens;
    if (answer->row == 0)
        fby_sink_text(sink, answer->text == 0 ? "[" : ",[");
    else
        fby_sink_text(sink, ",");
    if (rows > 0)
        fby_vector_json(sink, FBY_TYPE_FLOAT, vector, answer->call->dimensions);
    if (answer->row + 1 >= rows)
        fby_sink_text(sink, "]");
}

static double product(const float *a, const float *b, uint32_t dim)
{
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Of vectors without a direction 0, as long as they differ. */
static float cosine(const float *a, const float *b, uint32_t dim)
{
    double lengths = sqrt(product(a, a, dim)) * sqrt(product(b, b, dim));
    if (lengths == 0)
        return memcmp(a, b, dim * sizeof *a) == 0;
    return (float)(product(a, b, dim) / lengths);
}

/* The first vector is what the others are compared with. */
static void similarity_row(fby_sink *sink, const fby_answer *answer, const float *vector)
{
    if (answer->text == 0)
        return;
    if (answer->text > 1)
        fby_sink_text(sink, ",");
    fby_sink_float(sink, cosine(answer->vectors, vector, answer->call->dimensions));
}

/* ---- Ollama ---- */

static void ollama_head(fby_sink *sink, const fby_answer *answer)
{
    fby_sink_text(sink, "{\"model\":");
    put_name(sink, answer);
    fby_sink_text(sink, ",\"embeddings\":[");
}

static void ollama_tail(fby_sink *sink, const fby_answer *answer)
{
    fby_sink_text(sink, "],\"total_duration\":");
    fby_sink_number(sink, answer->total_ns);
    fby_sink_text(sink, ",\"load_duration\":0,\"prompt_eval_count\":");
    fby_sink_number(sink, answer->tokens);
    fby_sink_text(sink, "}");
}

/* ---- llama-server ---- */

static void llama_row(fby_sink *sink, const fby_answer *answer, const float *vector)
{
    fby_sink_text(sink, answer->text == 0 ? "{\"index\":" : ",{\"index\":");
    fby_sink_number(sink, answer->text);
    fby_sink_text(sink, ",\"embedding\":[");
    fby_vector_json(sink, FBY_TYPE_FLOAT, vector, answer->call->dimensions);
    fby_sink_text(sink, "]}");
}

static const form forms[FBY_OPERATIONS] = {
    [FBY_OP_OPENAI] = {openai_head, openai_row, openai_tail},
    [FBY_OP_EMBED] = {list_head, list_row, list_tail},
    [FBY_OP_EMBED_ALL] = {list_head, tokens_row, list_tail},
    [FBY_OP_SIMILARITY] = {list_head, similarity_row, list_tail},
    [FBY_OP_OLLAMA] = {ollama_head, list_row, ollama_tail},
    [FBY_OP_LLAMA] = {list_head, llama_row, list_tail},
};

/* ---- pieces ---- */

enum { WORDS_MAX = 256 }; /* of a head, a tail or around a row: everything but names and vectors */

static size_t row_max(const fby_call *call)
{
    size_t size = WORDS_MAX;
    for (uint32_t type = 1; type <= FBY_TYPE_UBINARY; type <<= 1)
        if ((call->types & type) != 0)
            size += fby_vector_json_max(type, call->dimensions);
    return size;
}

size_t fby_answer_piece_max(const fby_call *call)
{
    return row_max(call) + fby_sink_string_max(strlen(call->served->name));
}

size_t fby_answer_max(const fby_call *call, uint64_t rows)
{
    size_t all;
    rows = rows < call->count ? call->count : rows; /* a text without a row takes brackets */
    if (!fby_mul_size(rows, row_max(call), &all) ||
        !fby_add_size(all, 2 * fby_answer_piece_max(call), &all))
        return SIZE_MAX;
    return all;
}

/* The next row, and with it the brackets around a text's rows. */
static void put_row(fby_sink *sink, fby_answer *answer)
{
    const fby_call *call = answer->call;
    uint32_t rows = call->kind == FBY_CALL_TOKENS ? answer->infos[answer->text].tokens : 1;

    forms[call->operation].row(sink, answer, answer->vectors + answer->written * call->dimensions);
    answer->written += rows > 0;
    answer->row++;
    if (answer->row >= rows) {
        answer->row = 0;
        answer->text++;
    }
}

size_t fby_answer_next(fby_answer *answer, char *out)
{
    const form *as = &forms[answer->call->operation];
    fby_sink sink = {out, out + fby_answer_piece_max(answer->call), false};

    /* Nothing comes of what others are compared with. */
    if (answer->stage == ROWS && answer->text == 0 && as->row == similarity_row)
        put_row(&sink, answer);
    if (answer->stage == ROWS && answer->text == answer->call->count)
        answer->stage = TAIL;
    switch (answer->stage) {
    case HEAD:
        as->head(&sink, answer);
        answer->stage = ROWS;
        break;
    case ROWS:
        put_row(&sink, answer);
        break;
    case TAIL:
        as->tail(&sink, answer);
        answer->stage = DONE;
        break;
    default:
        break;
    }
    fby_assert(!sink.full);
    return (size_t)(sink.at - out);
}
