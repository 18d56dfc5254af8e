/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load_requests.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"

/* What is not UTF-8 goes out as it is: the server says what it thinks of it. */
static void write_text(FILE *out, const fby_text *text)
{
    putc('"', out);
    for (size_t i = 0; i < text->size; i++) {
        unsigned char byte = (unsigned char)text->bytes[i];
        if (byte < 0x20) {
            fprintf(out, "\\u%04x", byte);
            continue;
        }
        if (byte == '"' || byte == '\\')
            putc('\\', out);
        putc(byte, out);
    }
    putc('"', out);
}

static void write_body(FILE *out, const fby_text *texts, size_t count, bool list,
                       fby_load_encoding encoding)
{
    fputs(encoding == FBY_LOAD_TEI ? "{\"inputs\":" : "{\"input\":", out);
    if (list)
        putc('[', out);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            putc(',', out);
        write_text(out, &texts[i]);
    }
    if (list)
        putc(']', out);
    if (encoding == FBY_LOAD_BASE64)
        fputs(",\"encoding_format\":\"base64\"", out);
    putc('}', out);
}

static fby_status out_of_memory(void)
{
    return fby_error(FBY_ENOMEM, "no memory for the requests");
}

/* One request onto `out`. */
static fby_status write_request(FILE *out, const fby_load_target *target, const fby_text *texts,
                                size_t count, bool list)
{
    char *text = NULL;
    size_t size = 0;
    FILE *body = open_memstream(&text, &size);
    if (body == NULL)
        return out_of_memory();
    write_body(body, texts, count, list, target->encoding);
    bool failed = fclose(body) != 0;
    if (!failed) {
        fprintf(out,
                "POST %s%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                "Content-Length: %zu\r\n",
                target->base, target->encoding == FBY_LOAD_TEI ? "/embed" : "/v1/embeddings",
                target->host, size);
        if (target->key != NULL)
            fprintf(out, "Authorization: Bearer %s\r\n", target->key);
        fputs("\r\n", out);
        fwrite(text, 1, size, out);
    }
    free(text);
    return failed ? out_of_memory() : FBY_OK;
}

fby_status fby_load_requests_make(const fby_text *texts, size_t count, size_t batch,
                                  const fby_load_target *target, fby_load_requests *requests)
{
    fby_load_requests made = {.count = (count + batch - 1) / batch};
    size_t size = 0;
    fby_status status = FBY_OK;

    made.starts = calloc(made.count + 1, sizeof *made.starts);
    FILE *out = open_memstream(&made.bytes, &size);
    if (made.starts == NULL || out == NULL)
        status = out_of_memory();
    for (size_t i = 0; status == FBY_OK && i < made.count; i++) {
        size_t first = i * batch;
        status = write_request(out, target, texts + first, fby_min_size(batch, count - first),
                               batch > 1);
        if (fflush(out) != 0) /* size is what was written from here on */
            status = out_of_memory();
        made.starts[i + 1] = size;
    }
    if (out != NULL && fclose(out) != 0)
        status = out_of_memory();
    if (status != FBY_OK) {
        fby_load_requests_clear(&made);
        return status;
    }
    *requests = made;
    return FBY_OK;
}

void fby_load_requests_clear(fby_load_requests *requests)
{
    free(requests->bytes);
    free(requests->starts);
    *requests = (fby_load_requests){0};
}
