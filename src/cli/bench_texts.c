/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "cli/lines.h"

static fby_status keep_line(fby_bench_texts *texts, const fby_line *line)
{
    if (line->size > texts->size - texts->used)
        return fby_error(FBY_EIO, "%s: grows while it is read", line->file);
    if (texts->count == texts->capacity) {
        size_t bytes, capacity = 2 * texts->capacity + 1024;
        fby_text *grown = NULL;
        if (fby_mul_size(capacity, sizeof *grown, &bytes))
            grown = realloc(texts->texts, bytes);
        if (grown == NULL)
            return fby_error(FBY_ENOMEM, "no memory for the texts of %s", line->file);
        texts->texts = grown;
        texts->capacity = capacity;
    }
    char *bytes = texts->bytes + texts->used;
    memcpy(bytes, line->bytes, line->size);
    texts->texts[texts->count++] = (fby_text){bytes, line->size};
    texts->used += line->size;
    return FBY_OK;
}

static fby_status load_lines(fby_lines *lines, fby_bench_texts *texts)
{
    for (;;) {
        fby_line line;
        bool end;
        fby_status status = fby_lines_next(lines, &line, &end);
        if (status == FBY_OK && !end)
            status = keep_line(texts, &line);
        if (status != FBY_OK || end)
            return status;
    }
}

fby_status fby_bench_texts_load(char *file, fby_bench_texts *texts)
{
    fby_lines *lines;
    fby_status status = fby_lines_open(&file, 1, FBY_LINE_LIMIT, &lines);
    if (status != FBY_OK)
        return status;
    texts->size = fby_lines_total(lines);
    texts->bytes = malloc(texts->size + 1);
    if (texts->bytes == NULL)
        status = fby_error(FBY_ENOMEM, "no memory for the %zu bytes of %s", texts->size, file);
    else
        status = load_lines(lines, texts);
    fby_lines_close(lines);
    if (status == FBY_OK && texts->used == 0)
        status = fby_error(FBY_EFORMAT, "%s: no text to measure with", file);
    return status;
}

void fby_bench_texts_clear(fby_bench_texts *texts)
{
    free(texts->texts);
    free(texts->bytes);
    *texts = (fby_bench_texts){0};
}
