/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers, written piece by piece: a head, each vector, a tail. What they look
 * like is a matter of the operation; how far they are, of fby_answer.
 */
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

static const form forms[FBY_OPERATIONS] = {
    [FBY_OP_OPENAI] = {openai_head, openai_row, openai_tail},
    [FBY_OP_EMBED] = {list_head, list_row, list_tail},
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
    if (!fby_mul_size(rows, row_max(call), &all) ||
        !fby_add_size(all, 2 * fby_answer_piece_max(call), &all))
        return SIZE_MAX;
    return all;
}

static void put_row(fby_sink *sink, fby_answer *answer)
{
    const fby_call *call = answer->call;
    forms[call->operation].row(sink, answer, answer->vectors + answer->written * call->dimensions);
    answer->written++;
    answer->text++;
}

size_t fby_answer_next(fby_answer *answer, char *out)
{
    const form *as = &forms[answer->call->operation];
    fby_sink sink = {out, out + fby_answer_piece_max(answer->call), false};

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
