/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"

#include <jansson.h>
#include <stdlib.h>

struct fby_input {
    fby_lines *lines;
    bool jsonl;
    const char *field;
    json_t *object; /* of the last line: holds the text that was given */
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
    made->field = options->field != NULL ? options->field : "text";
    *input = made;
    return FBY_OK;
}

void fby_input_close(fby_input *input)
{
    if (input == NULL)
        return;
    json_decref(input->object);
    fby_lines_close(input->lines);
    free(input);
}

/* Replaces the line in `text` by its field. */
static fby_status take_field(fby_input *input, fby_line *text)
{
    unsigned long long number = text->number;
    json_error_t error;

    json_decref(input->object);
    /* A NUL in a string is a byte like another; an id of any size beside the text does no harm. */
    input->object =
        json_loadb(text->bytes, text->size, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
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

fby_lines *fby_input_lines(fby_input *input)
{
    return input->lines;
}
