/* SPDX-License-Identifier: Apache-2.0 */
/* TEI's /tokenize and /decode: answered at once, for they run no model. */
#include <string.h>

#include "serve/api_request.h"

/* TEI's MAX_CHAR_MULTIPLIER (core/src/tokenization.rs): characters a token of the model's limit. */
enum { CHARACTERS_A_TOKEN = 250 };

/* ---- /tokenize ---- */

typedef struct listing { /* tokens of one text, on their way into a body */
    const fby_tokenizer *tokenizer;
    const char *text; /* what the places are in */
    fby_sink *sink;
    bool more; /* a token stands before */
} listing;

static void put_token(void *context, const fby_token_place *token)
{
    listing *list = context;
    fby_sink *sink = list->sink;
    size_t size = token->stop - token->start;
    const char *text = token->special ? fby_tokenizer_piece(list->tokenizer, token->id, &size)
                                      : list->text + token->start;

    fby_sink_text(sink, list->more ? ",{\"id\":" : "{\"id\":");
    list->more = true;
    fby_sink_number(sink, token->id);
    fby_sink_text(sink, ",\"text\":");
    fby_sink_string(sink, text, size);
    if (token->special) {
        fby_sink_text(sink, ",\"special\":true,\"start\":null,\"stop\":null}");
        return;
    }
    fby_sink_text(sink, ",\"special\":false,\"start\":");
    fby_sink_number(sink, token->start);
    fby_sink_text(sink, ",\"stop\":");
    fby_sink_number(sink, token->stop);
    fby_sink_text(sink, "}");
}

/* The prompt and the text as one, which is what places are in. */
static bool prepend_prompt(const fby_api_request *request, fby_api_text *text)
{
    const fby_call *call = request->call;
    if (call->prompt_size == 0)
        return true;
    char *whole = fby_api_request_take(request, call->prompt_size + text->size, 1);
    if (whole == NULL)
        return false;
    memcpy(whole, call->prompt, call->prompt_size);
    memcpy(whole + call->prompt_size, text->bytes, text->size);
    text->bytes = whole;
    text->size += call->prompt_size;
    return true;
}

static bool prepare_texts(const fby_api_request *request, size_t *scratch)
{
    const fby_call *call = request->call;
    size_t most = (size_t)call->limit * CHARACTERS_A_TOKEN;

    *scratch = 0;
    for (uint32_t i = 0; i < call->count; i++) {
        fby_api_text *text = &call->texts[i];
        size_t characters = fby_utf8_characters(text->bytes, text->size);
        if (characters > most)
            return fby_refuse(request->error, FBY_REFUSED_TOO_LONG, "inputs",
                              "Input validation error: `inputs` must have less than %zu "
                              "characters. Given: %zu",
                              most, characters);
        if (!prepend_prompt(request, text))
            return false;
        *scratch =
            fby_max_size(*scratch, fby_tokenizer_places_scratch(fby_api_request_tokenizer(request),
                                                                text->bytes, text->size));
    }
    return true;
}

static bool answer_tokens(const fby_api_request *request, bool no_special, void *scratch)
{
    const fby_call *call = request->call;
    fby_sink sink = fby_api_request_body(request);

    for (uint32_t i = 0; i < call->count && !sink.full; i++) {
        const fby_api_text *text = &call->texts[i];
        listing list = {fby_api_request_tokenizer(request), text->bytes, &sink, false};
        fby_sink_text(&sink, i == 0 ? "[[" : ",[");
        fby_tokenizer_places(list.tokenizer, text->bytes, text->size, no_special, scratch,
                             put_token, &list);
        fby_sink_text(&sink, "]");
    }
    fby_sink_text(&sink, "]");
    return fby_api_request_answer(request, &sink);
}

bool fby_tei_tokenize(const fby_api_request *request)
{
    static const char *const known[] = {"inputs", "add_special_tokens", "prompt_name", NULL};
    fby_texts_rule rule = fby_tei_texts_rule(request, "inputs");
    size_t scratch_size;
    bool special;

    rule.ids = FBY_IDS_NEVER;
    if (!fby_api_request_model(request, NULL))
        return false;
    fby_api_request_defaults(request);
    if (!fby_member_bool(request, request->root, "add_special_tokens", true, &special) ||
        !fby_tei_prompt(request, request->root, &rule) ||
        !fby_api_request_texts(request, fby_member(request->root, "inputs"), &rule) ||
        !prepare_texts(request, &scratch_size))
        return false;
    void *scratch = fby_api_request_take(request, scratch_size, 1);
    fby_api_request_ignored(request, known);
    return scratch != NULL && answer_tokens(request, !special, scratch);
}

/* ---- /decode ---- */

/* A list of ids, or a list of such lists. */
static bool read_id_lists(const fby_api_request *request, const json_t *value)
{
    fby_texts_rule rule = fby_tei_texts_rule(request, "ids");
    fby_call *call = request->call;
    bool lists = json_is_array(json_array_get(value, 0));
    size_t count = lists ? json_array_size(value) : 1;

    if (!json_is_array(value))
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "ids",
                          "`ids` must be a list of token ids or a list of such lists");
    if (count > rule.max_texts)
        return fby_refuse_text_count(request, &rule, count);
    call->texts = fby_api_request_take(request, count, sizeof *call->texts);
    if (call->texts == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *ids = lists ? json_array_get(value, i) : value;
        if (json_array_size(ids) == 0)
            return fby_refuse(request->error,
                              json_is_array(ids) ? FBY_REFUSED_EMPTY : FBY_REFUSED_BAD_FIELD, "ids",
                              "Input validation error: `input_ids` cannot be empty");
        if (!fby_api_request_ids(request, ids, "ids", UINT32_MAX, &call->texts[i]))
            return false;
    }
    call->count = (uint32_t)count;
    return true;
}

bool fby_tei_decode(const fby_api_request *request)
{
    static const char *const known[] = {"ids", "skip_special_tokens", NULL};
    fby_call *call = request->call;
    bool skip;

    if (!fby_api_request_model(request, NULL) ||
        !fby_member_bool(request, request->root, "skip_special_tokens", true, &skip) ||
        !read_id_lists(request, fby_member(request->root, "ids")))
        return false;
    for (uint32_t i = 0; i < call->count; i++)
        if (!fby_api_request_decode(request, &call->texts[i], skip))
            return false;
    fby_api_request_ignored(request, known);
    fby_sink sink = fby_api_request_body(request);
    for (uint32_t i = 0; i < call->count; i++) {
        fby_sink_text(&sink, i == 0 ? "[" : ",");
        fby_sink_string(&sink, call->texts[i].bytes, call->texts[i].size);
    }
    fby_sink_text(&sink, "]");
    return fby_api_request_answer(request, &sink);
}
