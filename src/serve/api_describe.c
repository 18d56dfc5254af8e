/* SPDX-License-Identifier: Apache-2.0 */
/* What is served: OpenAI's /v1/models and TEI's /info. */
#include <string.h>

#include "serve/api_request.h"

static void put_text(fby_sink *sink, const char *before, const char *text)
{
    fby_sink_text(sink, before);
    fby_sink_string(sink, text, strlen(text));
}

static void put_number(fby_sink *sink, const char *before, uint64_t number)
{
    fby_sink_text(sink, before);
    fby_sink_number(sink, number);
}

static void put_bool(fby_sink *sink, const char *before, bool value)
{
    fby_sink_text(sink, before);
    fby_sink_text(sink, value ? "true" : "false");
}

static uint32_t tokens_max(const fby_api *api, const fby_served *served)
{
    uint32_t limit = api->limits.max_tokens, most = served->info.max_tokens;
    return limit == 0 ? most : fby_min_u32(limit, most);
}

/* What OpenAI's object has, and in `meta` what it lacks. */
static void put_model(fby_sink *sink, const fby_api *api, const fby_served *served)
{
    put_text(sink, "{\"id\":", served->name);
    put_number(sink, ",\"object\":\"model\",\"created\":", api->started_unix_s);
    put_number(sink, ",\"owned_by\":\"forebay\",\"meta\":{\"dimensions\":", served->info.dim);
    put_number(sink, ",\"max_tokens\":", tokens_max(api, served));
    put_text(sink, ",\"architecture\":", served->info.architecture);
    put_text(sink, ",\"pooling\":", served->info.pooling);
    put_text(sink, ",\"precision\":", served->precision);
    put_text(sink, ",\"fingerprint\":", served->info.fingerprint);
    fby_sink_text(sink, ",\"aliases\":[");
    for (uint32_t i = 0; i < served->alias_count; i++)
        put_text(sink, i == 0 ? "" : ",", served->aliases[i]);
    fby_sink_text(sink, "]}}");
}

bool fby_openai_models(const fby_api_request *request)
{
    const fby_api *api = request->api;
    fby_sink sink = fby_api_request_body(request);

    fby_sink_text(&sink, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < api->served_count; i++) {
        if (i > 0)
            fby_sink_text(&sink, ",");
        put_model(&sink, api, &api->served[i]);
    }
    fby_sink_text(&sink, "]}");
    return fby_api_request_answer(request, &sink);
}

/* The words of TEI's `Pool` and of its `DType`. */
static const char *tei_pooling(const char *pooling)
{
    return strcmp(pooling, "last-token") == 0 ? "last_token" : pooling;
}

static const char *tei_dtype(const char *precision)
{
    return strcmp(precision, "f32") == 0 ? "float32" : precision;
}

bool fby_tei_info(const fby_api_request *request)
{
    const fby_api *api = request->api;
    const fby_served *served = &api->served[0];
    size_t batch = api->limits.max_client_batch;
    fby_sink sink = fby_api_request_body(request);

    put_text(&sink, "{\"model_id\":", served->path);
    put_text(&sink, ",\"model_sha\":null,\"model_dtype\":", tei_dtype(served->precision));
    put_text(&sink, ",\"served_model_name\":", served->name);
    put_text(&sink,
             ",\"model_type\":{\"embedding\":{\"pooling\":", tei_pooling(served->info.pooling));
    put_number(&sink, "}},\"max_concurrent_requests\":", api->max_concurrent_requests);
    put_number(&sink, ",\"max_input_length\":", tokens_max(api, served));
    put_number(&sink, ",\"max_batch_tokens\":", api->max_batch_tokens);
    put_number(&sink, ",\"max_batch_requests\":null,\"max_client_batch_size\":",
               batch != 0 ? batch : api->limits.max_texts);
    put_bool(&sink, ",\"auto_truncate\":", api->truncates);
    put_number(&sink, ",\"tokenization_workers\":", api->workers);
    put_text(&sink, ",\"version\":", FBY_VERSION);
    fby_sink_text(&sink, ",\"sha\":null,\"docker_label\":null}");
    return fby_api_request_answer(request, &sink);
}
