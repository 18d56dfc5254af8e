/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "serve/api_request.h"

static void add_text(fby_header *headers, unsigned *count, const char *name, const char *value)
{
    fby_assert(*count < FBY_API_HEADERS_MAX);
    headers[*count].name = name;
    snprintf(headers[*count].value, sizeof headers->value, "%s", value);
    ++*count;
}

static void add_number(fby_header *headers, unsigned *count, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    add_text(headers, count, name, text);
}

/* As TEI's ResponseMetadata (router/src/lib.rs): times in whole milliseconds. */
static void add_tei(const fby_answer *answer, fby_header *headers, unsigned *count)
{
    enum { MS = 1000000 };
    add_text(headers, count, "x-compute-type", "cpu");
    add_number(headers, count, "x-compute-time", answer->total_ns / MS);
    add_number(headers, count, "x-compute-characters", answer->call->characters);
    add_number(headers, count, "x-compute-tokens", answer->tokens);
    add_number(headers, count, "x-total-time", answer->total_ns / MS);
    add_number(headers, count, "x-tokenization-time", answer->tokenize_ns / MS);
    add_number(headers, count, "x-queue-time", answer->queue_ns / MS);
    add_number(headers, count, "x-inference-time", answer->compute_ns / MS);
}

static uint32_t truncated(const fby_answer *answer)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < answer->call->count; i++)
        count += answer->infos[i].truncated;
    return count;
}

unsigned fby_api_headers(const fby_call *call, const fby_answer *answer, fby_header *headers)
{
    unsigned count = 0;

    add_text(headers, &count, "content-type", "application/json");
    if (call->ignored[0] != '\0')
        add_text(headers, &count, "x-forebay-ignored", call->ignored);
    if (answer == NULL)
        return count;
    uint32_t cut = truncated(answer);
    if (cut > 0)
        add_number(headers, &count, "x-forebay-truncated", cut);
    if (call->dialect == FBY_DIALECT_TEI)
        add_tei(answer, headers, &count);
    return count;
}
