/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/search_show.h"

#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/float_text.h"
#include "cli/json_text.h"
#include "search/utf8.h"

/* As grep --color and ripgrep have them. */
#define FILE_COLOR  "\033[35m"
#define LINE_COLOR  "\033[32m"
#define SCORE_COLOR "\033[36m"
#define QUERY_COLOR "\033[1m"
#define FAINT       "\033[2m"
#define PLAIN       "\033[0m"

/* Where a passage and the lines around it lie in its file. */
struct lines {
    size_t before, begin, end, after;
};

static fby_status put(fby_show *show, const char *text)
{
    return fby_output_write(show->output, text, strlen(text));
}

static fby_status put_color(fby_show *show, const char *color)
{
    return show->color ? put(show, color) : FBY_OK;
}

static fby_status put_number(fby_show *show, uint64_t number)
{
    char text[FBY_UINT_TEXT];
    return fby_output_write(show->output, text, fby_uint_text(number, text));
}

/* Whether the character steers a terminal: C0 but for the tab, DEL, C1. */
static bool steers(const char *bytes, size_t size)
{
    unsigned char byte = (unsigned char)bytes[0];
    return (size == 1 && ((byte < 0x20 && byte != '\t') || byte == 0x7f)) ||
           (size == 2 && byte == 0xc2 && (unsigned char)bytes[1] < 0xa0);
}

static fby_status put_plain(fby_show *show, const char *bytes, size_t size)
{
    fby_status status = FBY_OK;
    size_t begin = 0;
    for (size_t at = 0; at < size && status == FBY_OK;) {
        size_t step = fby_utf8_size(bytes + at, size - at);
        if (step != 0 && !steers(bytes + at, step)) {
            at += step;
            continue;
        }
        status = fby_output_write(show->output, bytes + begin, at - begin);
        if (status == FBY_OK)
            status = put(show, step == 0 ? "\xef\xbf\xbd" : "?");
        at += step != 0 ? step : 1;
        begin = at;
    }
    return status == FBY_OK ? fby_output_write(show->output, bytes + begin, size - begin) : status;
}

/* Each line indented. */
static fby_status put_lines(fby_show *show, const char *bytes, size_t size)
{
    fby_status status = FBY_OK;
    while (size > 0 && status == FBY_OK) {
        const char *lf = memchr(bytes, '\n', size);
        size_t line = lf != NULL ? (size_t)(lf - bytes) : size;
        size_t shown = line > 0 && bytes[line - 1] == '\r' ? line - 1 : line;
        status = put(show, "    ");
        if (status == FBY_OK)
            status = put_plain(show, bytes, shown);
        if (status == FBY_OK)
            status = put(show, "\n");
        bytes += line + (lf != NULL);
        size -= line + (lf != NULL);
    }
    return status;
}

static size_t line_begin(const char *text, size_t at)
{
    while (at > 0 && text[at - 1] != '\n')
        at--;
    return at;
}

static size_t line_end(const char *text, size_t size, size_t at)
{
    const char *lf = at < size ? memchr(text + at, '\n', size - at) : NULL;
    return lf != NULL ? (size_t)(lf - text) : size;
}

/* False when the file is not as it was indexed. */
static bool find_lines(fby_show *show, const fby_shown *shown, struct lines *lines)
{
    const fby_index_passage *passage = shown->passage;
    fby_file_text *text = &show->text;

    if (fby_file_text_read(text, shown->path) != FBY_OK || passage->begin > text->size ||
        passage->size > text->size - passage->begin)
        return false;
    fby_hash content = fby_hash_of(text->bytes, text->size);
    if (content.low != shown->content.low || content.high != shown->content.high)
        return false;
    lines->begin = passage->begin;
    lines->end = lines->begin + passage->size;
    /* The blanks before its first word, where no other words stand there. */
    size_t margin = line_begin(text->bytes, lines->begin), at = margin;
    while (at < lines->begin && (text->bytes[at] == ' ' || text->bytes[at] == '\t'))
        at++;
    if (at == lines->begin)
        lines->begin = margin;

    lines->before = line_begin(text->bytes, lines->begin);
    lines->after = line_end(text->bytes, text->size, lines->end);
    for (uint32_t i = 0; i < show->context && lines->before > 0; i++)
        lines->before = line_begin(text->bytes, lines->before - 1);
    for (uint32_t i = 0; i < show->context && lines->after < text->size; i++)
        lines->after = line_end(text->bytes, text->size, lines->after + 1);
    if (show->context == 0) {
        lines->before = lines->begin;
        lines->after = lines->end;
    }
    return true;
}

/* ---- for people ---- */

static fby_status put_heading(fby_show *show, const fby_shown *shown)
{
    char score[32];
    fby_status status = show->answers > 0 ? put(show, "\n") : FBY_OK;

    snprintf(score, sizeof score, "  %s%.3f%s\n", show->color ? SCORE_COLOR : "", shown->score,
             show->color ? PLAIN : "");
    if (status == FBY_OK)
        status = put_color(show, FILE_COLOR);
    if (status == FBY_OK)
        status = put_plain(show, shown->file, strlen(shown->file));
    if (status == FBY_OK)
        status = put_color(show, PLAIN);
    if (status == FBY_OK)
        status = put(show, ":");
    if (status == FBY_OK)
        status = put_color(show, LINE_COLOR);
    if (status == FBY_OK)
        status = put_number(show, shown->passage->first_line);
    if (status == FBY_OK)
        status = put_color(show, PLAIN);
    return status == FBY_OK ? put(show, score) : status;
}

static fby_status put_faint(fby_show *show, size_t begin, size_t end)
{
    if (begin >= end)
        return FBY_OK;
    fby_status status = put_color(show, FAINT);
    if (status == FBY_OK)
        status = put_lines(show, show->text.bytes + begin, end - begin);
    return status == FBY_OK ? put_color(show, PLAIN) : status;
}

static fby_status put_text(fby_show *show, const struct lines *lines)
{
    fby_status status = put_faint(show, lines->before, lines->begin);
    if (status == FBY_OK)
        status = put_lines(show, show->text.bytes + lines->begin, lines->end - lines->begin);
    size_t rest = lines->end;
    if (rest < lines->after && show->text.bytes[rest] == '\n')
        rest++;
    return status == FBY_OK ? put_faint(show, rest, lines->after) : status;
}

fby_status fby_show_query(fby_show *show, const char *query, size_t size)
{
    fby_status status = FBY_OK;
    if (show->json)
        return FBY_OK;
    if (show->answers > 0)
        status = put(show, "\n");
    if (status == FBY_OK)
        status = put_color(show, QUERY_COLOR);
    if (status == FBY_OK)
        status = put_plain(show, query, size);
    if (status == FBY_OK)
        status = put_color(show, PLAIN);
    show->answers = 0;
    return status == FBY_OK ? put(show, "\n") : status;
}

/* ---- as JSON ---- */

static fby_status put_base64(fby_show *show, const char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fby_status status = FBY_OK;
    for (size_t at = 0; at < size && status == FBY_OK; at += 3) {
        size_t left = fby_min_size(size - at, 3);
        uint32_t three = (uint32_t)(unsigned char)bytes[at] << 16;
        three |= left > 1 ? (uint32_t)(unsigned char)bytes[at + 1] << 8 : 0;
        three |= left > 2 ? (uint32_t)(unsigned char)bytes[at + 2] : 0;
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
                        left > 1 ? digits[three >> 6 & 63] : '=',
                        left > 2 ? digits[three & 63] : '='};
        status = fby_output_write(show->output, four, 4);
    }
    return status;
}

static bool is_utf8(const char *bytes, size_t size)
{
    for (size_t at = 0, step; at < size; at += step)
        if ((step = fby_utf8_size(bytes + at, size - at)) == 0)
            return false;
    return true;
}

static fby_status put_string(fby_show *show, const char *key, const char *bytes, size_t size)
{
    fby_status status = put(show, key);
    return status == FBY_OK ? fby_json_text(show->output, bytes, size) : status;
}

static fby_status put_json_text(fby_show *show, const struct lines *lines)
{
    const char *bytes = show->text.bytes;
    fby_status status =
        put_string(show, ",\"text\":", bytes + lines->begin, lines->end - lines->begin);
    if (status != FBY_OK || show->context == 0)
        return status;
    status = put_string(show, ",\"before\":", bytes + lines->before, lines->begin - lines->before);
    if (status == FBY_OK)
        status = put_string(show, ",\"after\":", bytes + lines->end, lines->after - lines->end);
    return status;
}

static fby_status put_json(fby_show *show, const fby_shown *shown, const struct lines *lines)
{
    const fby_index_passage *passage = shown->passage;
    char numbers[160], score[FBY_FLOAT_TEXT + 1];
    size_t file_size = strlen(shown->file);

    score[fby_float_text((float)shown->score, score)] = '\0';
    snprintf(numbers, sizeof numbers,
             ",\"line\":%u,\"last_line\":%u,\"rank\":%u,\"score\":%s,\"tokens\":%u",
             passage->first_line, passage->last_line, shown->rank, score, passage->tokens);
    fby_status status = put_string(show, "{\"query\":", shown->query, shown->query_size);
    if (status == FBY_OK)
        status = put_string(show, ",\"file\":", shown->file, file_size);
    if (status == FBY_OK && !is_utf8(shown->file, file_size)) {
        status = put(show, ",\"file_base64\":\"");
        if (status == FBY_OK)
            status = put_base64(show, shown->file, file_size);
        if (status == FBY_OK)
            status = put(show, "\"");
    }
    if (status == FBY_OK)
        status = put(show, numbers);
    if (status == FBY_OK)
        status = lines != NULL ? put_json_text(show, lines) : put(show, ",\"text\":null");
    return status == FBY_OK ? put(show, "}\n") : status;
}

fby_status fby_show_answer(fby_show *show, const fby_shown *shown)
{
    struct lines lines;
    bool found = find_lines(show, shown, &lines);
    fby_status status;

    if (show->json) {
        status = put_json(show, shown, found ? &lines : NULL);
    } else {
        status = put_heading(show, shown);
        if (status == FBY_OK)
            status = found ? put_text(show, &lines)
                           : put(show, "    (the file has changed since it was read)\n");
    }
    show->answers++;
    return status;
}

void fby_show_end(fby_show *show)
{
    fby_file_text_drop(&show->text);
}
