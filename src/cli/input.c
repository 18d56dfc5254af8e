/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/json.h"
#include "model/utf8.h"

struct fby_input {
    fby_lines *lines;
    bool jsonl;
    const char *field;
    bool strict;
    json_t *object; /* of the last line: holds the text that was given */
    char *mended;   /* the last line that was not UTF-8, as it is read */
};

fby_status fby_input_open(const fby_input_options *options, char *const *files, size_t count,
                          fby_input **input)
{
    if (options->field != NULL && !options->jsonl)
        return fby_error(FBY_EINVAL, "--field wants --jsonl");

    fby_input *made = calloc(1, sizeof *made);
    if (made == NULL)
        return fby_error(FBY_ENOMEM, "no memory to read with");
    fby_status status = fby_lines_open(files, count, FBY_LINE_LIMIT, &made->lines);
    if (status != FBY_OK) {
        free(made);
        return status;
    }
    made->jsonl = options->jsonl;
    made->strict = options->strict;
    made->field = options->field != NULL ? options->field : "text";
    *input = made;
    return FBY_OK;
}

void fby_input_close(fby_input *input)
{
    if (input == NULL)
        return;
    json_decref(input->object);
    free(input->mended);
    fby_lines_close(input->lines);
    free(input);
}

/* The line with U+FFFD for each maximal subpart that is not UTF-8, where `out` is not NULL; its
 * size. `*subparts` are their number. */
static size_t mend(const fby_line *line, unsigned char *out, size_t *subparts)
{
    const unsigned char *bytes = (const unsigned char *)line->bytes;
    size_t used = 0;

    *subparts = 0;
    for (size_t at = 0; at < line->size;) {
        uint32_t length;
        int32_t c = fby_utf8_decode(bytes + at, line->size - at, &length);
        unsigned char encoded[FBY_UTF8_MAX];
        *subparts += c == FBY_UTF8_INVALID;
        uint32_t size =
            fby_utf8_encode(c == FBY_UTF8_INVALID ? FBY_UTF8_REPLACEMENT : (uint32_t)c, encoded);
        if (out != NULL)
            memcpy(out + used, encoded, size);
        used += size;
        at += length;
    }
    return used;
}

/* Puts UTF-8 in place of a line that is none. */
static fby_status mend_line(fby_input *input, fby_line *line)
{
    size_t subparts, size = mend(line, NULL, &subparts);

    if (subparts == 0)
        return FBY_OK;
    if (input->strict)
        return fby_error(FBY_EENCODING, "%s:%llu: invalid UTF-8", line->file,
                         (unsigned long long)line->number);
    free(input->mended);
    input->mended = malloc(size);
    if (input->mended == NULL)
        return fby_error(FBY_ENOMEM, "%s:%llu: no memory for the line", line->file,
                         (unsigned long long)line->number);
    mend(line, (unsigned char *)input->mended, &subparts);
    line->bytes = input->mended;
    line->size = size;
    line->replaced = true;
    return FBY_OK;
}

/* A NUL in a string is a byte like another; an id of any size beside the text does no harm. */
static json_t *parse(const fby_line *line, json_error_t *error)
{
    return json_loadb(line->bytes, line->size, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, error);
}

/* Replaces the line in `text` by its field. */
static fby_status take_field(fby_input *input, fby_line *text)
{
    unsigned long long number = text->number;
    json_error_t error;

    json_decref(input->object);
    input->object = NULL;
    if (!fby_json_memory_suffices(text->size))
        return fby_error(FBY_ENOMEM, "%s:%llu: no memory to read the line", text->file, number);
    input->object = parse(text, &error);
    if (input->object == NULL) { /* jansson takes UTF-8 only */
        fby_status status = mend_line(input, text);
        if (status != FBY_OK)
            return status;
        if (text->replaced)
            input->object = parse(text, &error);
    }
    if (input->object == NULL && json_error_code(&error) == json_error_out_of_memory)
        return fby_error(FBY_ENOMEM, "%s:%llu: no memory to read the line", text->file, number);
    if (input->object == NULL)
        return fby_error(FBY_EFORMAT, "%s:%llu: not JSON: %s at byte %d", text->file, number,
                         error.text, error.position);
    if (!json_is_object(input->object))
        return fby_error(FBY_EFORMAT, "%s:%llu: not a JSON object", text->file, number);
    json_t *field = json_object_get(input->object, input->field);
    if (field == NULL)
        return fby_error(FBY_EFORMAT, "%s:%llu: no field \"%s\"", text->file, number, input->field);
    if (!json_is_string(field))
        return fby_error(FBY_EFORMAT, "%s:%llu: field \"%s\" is not a string", text->file, number,
                         input->field);
    text->bytes = json_string_value(field);
    text->size = json_string_length(field);
    return FBY_OK;
}

fby_status fby_input_next(fby_input *input, fby_line *text, bool *end)
{
    fby_status status = fby_lines_next(input->lines, text, end);
    if (status == FBY_OK && !*end && input->jsonl)
        status = take_field(input, text);
    return status;
}

fby_status fby_input_blame(fby_status status, const char *file, uint64_t line)
{
    char message[FBY_ERROR_SIZE];
    const char *said = fby_last_error(), *behind = strstr(said, ": ");

    snprintf(message, sizeof message, "%s", behind != NULL ? behind + 2 : said);
    return fby_error(status, "%s:%llu: %s", file, (unsigned long long)line, message);
}

fby_lines *fby_input_lines(fby_input *input)
{
    return input->lines;
}
