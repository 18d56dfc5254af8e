/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "model/utf8.h"
#include "serve/api_json.h"

/* What each dialect makes of a refusal. Statuses and words are those of the servers that the
 * dialects come from where they have such a refusal. */
static const struct {
    const char *name;        /* for metrics and logs */
    uint16_t status;         /* OpenAI's, llama's and our own */
    uint16_t tei, ollama;    /* theirs where they differ, else 0 */
    const char *code, *type; /* OpenAI's */
    const char *tei_type;
} refusals[FBY_REFUSALS] = {
    [FBY_REFUSED_NOT] = {"none", 200, 0, 0, "none", "none", "None"},
    [FBY_REFUSED_BAD_JSON] = {"bad_json", 400, 0, 0, "invalid_json", "invalid_request_error",
                              "Validation"},
    [FBY_REFUSED_BAD_FIELD] = {"bad_field", 400, 422, 0, "invalid_value", "invalid_request_error",
                               "Validation"},
    [FBY_REFUSED_EMPTY] = {"empty", 400, 0, 0, "empty_input", "invalid_request_error", "Empty"},
    [FBY_REFUSED_TOKEN_IDS] = {"token_ids", 400, 422, 0, "token_ids_foreign",
                               "invalid_request_error", "Validation"},
    [FBY_REFUSED_TOO_LONG] = {"too_long", 400, 422, 0, "context_length_exceeded",
                              "invalid_request_error", "Validation"},
    [FBY_REFUSED_TOO_MANY] = {"too_many", 400, 422, 0, "too_many_inputs", "invalid_request_error",
                              "Validation"},
    [FBY_REFUSED_NO_KEY] = {"no_key", 401, 0, 0, "invalid_api_key", "invalid_request_error",
                            "Validation"},
    [FBY_REFUSED_NO_MODEL] = {"no_model", 404, 0, 0, "model_not_found", "invalid_request_error",
                              "Validation"},
    [FBY_REFUSED_NO_ROUTE] = {"no_route", 404, 0, 0, "unknown_url", "invalid_request_error",
                              "Validation"},
    [FBY_REFUSED_METHOD] = {"method", 405, 0, 0, "method_not_allowed", "invalid_request_error",
                            "Validation"},
    [FBY_REFUSED_SLOW] = {"slow", 504, 0, 0, "deadline_exceeded", "server_error", "Backend"},
    [FBY_REFUSED_BODY_TOO_LARGE] = {"body_too_large", 413, 0, 0, "body_too_large",
                                    "invalid_request_error", "Validation"},
    [FBY_REFUSED_OVERLOADED] = {"overloaded", 429, 0, 503, "overloaded", "rate_limit_error",
                                "Overloaded"},
    [FBY_REFUSED_RATE] = {"rate", 429, 0, 0, "rate_limit_exceeded", "rate_limit_error",
                          "Overloaded"},
    [FBY_REFUSED_NO_HEAD] = {"no_head", 400, 424, 0, "not_supported", "invalid_request_error",
                             "Backend"},
    [FBY_REFUSED_DRAINING] = {"draining", 503, 0, 0, "shutting_down", "server_error", "Unhealthy"},
    [FBY_REFUSED_INTERNAL] = {"internal", 500, 424, 0, "internal_error", "server_error", "Backend"},
};

/* Puts '?' for each byte that is not UTF-8, as a message cut short or a snippet may hold. */
static void make_utf8(char *text)
{
    unsigned char *at = (unsigned char *)text, *end = at + strlen(text);
    while (at < end) {
        uint32_t length;
        if (fby_utf8_decode(at, (size_t)(end - at), &length) == FBY_UTF8_INVALID)
            memset(at, '?', length);
        at += length;
    }
}

bool fby_refuse(fby_api_error *error, fby_refusal reason, const char *param, const char *fmt, ...)
{
    va_list arguments;

    error->reason = reason;
    error->param = param;
    va_start(arguments, fmt);
    vsnprintf(error->message, sizeof error->message, fmt, arguments);
    va_end(arguments);
    make_utf8(error->message);
    return false;
}

bool fby_api_refuse_too_long(const fby_call *call, uint32_t index, fby_api_error *error)
{
    switch (call->dialect) {
    case FBY_DIALECT_TEI:
        return fby_refuse(error, FBY_REFUSED_TOO_LONG, "inputs",
                          "Input validation error: `inputs` must have less than %u tokens; text %u "
                          "has more",
                          call->limit, index);
    case FBY_DIALECT_OLLAMA:
        return fby_refuse(error, FBY_REFUSED_TOO_LONG, "input",
                          "the input length exceeds the context length");
    case FBY_DIALECT_LLAMA:
        return fby_refuse(error, FBY_REFUSED_TOO_LONG, "content",
                          "input (text %u) is larger than the max context size (%u tokens)", index,
                          call->limit);
    default:
        return fby_refuse(error, FBY_REFUSED_TOO_LONG, "input",
                          "This model's maximum context length is %u tokens; text %u of `input` "
                          "has more",
                          call->limit, index);
    }
}

const char *fby_refusal_name(fby_refusal reason)
{
    return refusals[reason].name;
}

int fby_refusal_status(fby_dialect dialect, fby_refusal reason)
{
    uint16_t own = dialect == FBY_DIALECT_TEI      ? refusals[reason].tei
                   : dialect == FBY_DIALECT_OLLAMA ? refusals[reason].ollama
                                                   : 0;
    return own != 0 ? own : refusals[reason].status;
}

/* llama-server's `type` goes by the status. */
static const char *llama_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 404:
        return "not_found_error";
    case 429:
    case 503:
        return "unavailable_error";
    default:
        return status < 500 ? "invalid_request_error" : "server_error";
    }
}

static void put_openai(fby_sink *sink, const fby_api_error *error)
{
    fby_sink_text(sink, "{\"error\":{\"message\":");
    fby_sink_string(sink, error->message, strlen(error->message));
    fby_sink_text(sink, ",\"type\":\"");
    fby_sink_text(sink, refusals[error->reason].type);
    fby_sink_text(sink, "\",\"param\":");
    if (error->param == NULL)
        fby_sink_text(sink, "null");
    else
        fby_sink_string(sink, error->param, fby_min_size(strlen(error->param), 128));
    fby_sink_text(sink, ",\"code\":\"");
    fby_sink_text(sink, refusals[error->reason].code);
    fby_sink_text(sink, "\"}}");
}

static void put_tei(fby_sink *sink, const fby_api_error *error)
{
    if (error->reason == FBY_REFUSED_NO_KEY)
        return; /* an empty body */
    fby_sink_text(sink, "{\"error\":");
    fby_sink_string(sink, error->message, strlen(error->message));
    fby_sink_text(sink, ",\"error_type\":\"");
    fby_sink_text(sink, refusals[error->reason].tei_type);
    fby_sink_text(sink, "\"}");
}

static void put_ollama(fby_sink *sink, const fby_api_error *error)
{
    fby_sink_text(sink, "{\"error\":");
    fby_sink_string(sink, error->message, strlen(error->message));
    fby_sink_text(sink, "}");
}

static void put_llama(fby_sink *sink, const fby_api_error *error)
{
    int status = fby_refusal_status(FBY_DIALECT_LLAMA, error->reason);
    fby_sink_text(sink, "{\"error\":{\"code\":");
    fby_sink_number(sink, (uint64_t)status);
    fby_sink_text(sink, ",\"message\":");
    fby_sink_string(sink, error->message, strlen(error->message));
    fby_sink_text(sink, ",\"type\":\"");
    fby_sink_text(sink, error->reason == FBY_REFUSED_TOO_LONG ? "exceed_context_size_error"
                                                              : llama_type(status));
    fby_sink_text(sink, "\"}}");
}

static void put_native(fby_sink *sink, const fby_api_error *error)
{
    fby_sink_text(sink, "{\"error\":");
    fby_sink_string(sink, error->message, strlen(error->message));
    fby_sink_text(sink, ",\"code\":\"");
    fby_sink_text(sink, refusals[error->reason].code);
    fby_sink_text(sink, "\"}");
}

_Static_assert(FBY_API_ERROR_MAX >= 6 * (sizeof((fby_api_error *)0)->message + 128) + 160,
               "a message of escapes, a param of escapes, the rest");

size_t fby_api_error_body(fby_dialect dialect, const fby_api_error *error, char *out)
{
    static void (*const put[])(fby_sink *, const fby_api_error *) = {
        [FBY_DIALECT_NATIVE] = put_native, [FBY_DIALECT_OPENAI] = put_openai,
        [FBY_DIALECT_TEI] = put_tei,       [FBY_DIALECT_OLLAMA] = put_ollama,
        [FBY_DIALECT_LLAMA] = put_llama,
    };
    fby_sink sink = {out, out + FBY_API_ERROR_MAX, false};

    put[dialect](&sink, error);
    fby_assert(!sink.full);
    return (size_t)(sink.at - out);
}
